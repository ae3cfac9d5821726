//! `driver`: installs the subject in the scenario's namespace.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::LogParams};
use sandproof_clusters::process::ProcessError;
use sandproof_scenarios::{DriverExpectation, DriverStep, PullSecretsAs};
use serde_json::{Value, json};

use super::{
    StepError,
    pods::{self, ContainerState, ContainerStatus},
    rpc::Driver,
};
use crate::{
    cluster_state::ClusterState,
    scene::Scene,
    subject::{
        chart::{DriverValues, ImageValue, RELEASE, SecretsForm},
        connection,
    },
};

/// The driver's container in the chart.
const CONTAINER: &str = "driver";

/// How long the driver's pod may take to run or to end: it pulls one small public image.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// Lines of the driver's log that an observation holds.
const LOG_LINES: i64 = 40;

/// Installs the driver and waits until it answers, or until it has ended.
pub(super) async fn driver(scene: &mut Scene, step: &DriverStep) -> Result<Value, StepError> {
    let values = values(scene, step)?;
    match scene.stage.chart.install(&scene.namespace, &values.values()).await {
        Ok(()) => {}
        // The chart is part of the subject: what it refuses is an observation.
        Err(ProcessError::Failed { status, stderr, .. }) => {
            let log: Vec<&str> = stderr.lines().collect();
            return Ok(json!({ "running": false, "exitCode": status.code(), "log": log, "pod": null }));
        }
        Err(error) => return Err(StepError::environment("install the chart", error)),
    }
    let stage = Arc::clone(&scene.stage);
    let namespace = scene.namespace.clone();
    let decisive = |state: &ClusterState| {
        let pod = driver_pod(state, &namespace)?;
        let name = pod.pointer("/metadata/name")?.as_str()?.to_owned();
        let container = pods::containers(&pod).into_iter().find(|container| container.name == CONTAINER)?;
        let ended = container.exit_code.is_some() || container.restarts > 0;
        let ready = container.state == ContainerState::Running && step.expect == DriverExpectation::Running && !ended;
        (ready || ended).then_some((name, container))
    };
    let waited = stage.state.wait(START_DEADLINE, decisive).await;
    let Some((name, container)) = waited.found else {
        return not_decided(&stage.state, &namespace, step.expect);
    };
    scene.driver_pod = Some(name.clone());
    // A driver that ended is one that did not start, even while the kubelet is starting it again.
    let running =
        container.state == ContainerState::Running && container.exit_code.is_none() && container.restarts == 0;
    if !running {
        return Ok(ended(scene, &name, &container).await);
    }
    match connection::connect(stage.client.clone(), &namespace, &name).await {
        Ok(client) => {
            scene.driver = Some(Driver::new(client));
            Ok(json!({ "running": true, "exitCode": null, "log": [], "pod": name }))
        }
        Err(unreachable) => {
            let mut log = log_lines(scene, &name, false).await;
            log.push(unreachable.to_string());
            Ok(json!({ "running": false, "exitCode": null, "log": log, "pod": name }))
        }
    }
}

/// The driver's log, for the evidence.
pub(crate) async fn driver_log(scene: &Scene) -> Option<String> {
    let pod = scene.driver_pod.as_ref()?;
    let api: Api<Pod> = Api::namespaced(scene.stage.client.clone(), &scene.namespace);
    let parameters = LogParams { container: Some(CONTAINER.to_owned()), ..LogParams::default() };
    api.logs(pod, &parameters).await.ok()
}

/// The chart's values for a driver in the scenario's namespace.
pub(super) fn values(scene: &Scene, step: &DriverStep) -> Result<DriverValues, StepError> {
    let stage = &scene.stage;
    let supervisor = match &step.supervisor_image {
        None => stage.supervisor_image.clone(),
        Some(name) => {
            let image = scene
                .images
                .get(name)
                .ok_or_else(|| StepError::environment("deploy the driver", format!("no image `{name}` was pushed")))?;
            ImageValue { repository: image.address.clone(), tag: image.tag.clone() }
        }
    };
    Ok(DriverValues {
        driver: stage.driver_image.clone(),
        supervisor,
        sideload: step.sideload.clone().unwrap_or_else(|| stage.usual_sideload()),
        sandbox_image: stage.sandbox_image.clone(),
        pull_secrets: step.pull_secrets.clone(),
        form: match step.pull_secrets_as {
            PullSecretsAs::Objects => SecretsForm::Objects,
            PullSecretsAs::Strings => SecretsForm::Strings,
            PullSecretsAs::Environment => SecretsForm::Environment,
        },
        preflight: !step.skip_preflight,
        fault: stage.fault.clone(),
    })
}

fn driver_pod(state: &ClusterState, namespace: &str) -> Option<Arc<Value>> {
    state.pods(namespace).into_iter().find(|pod| {
        pod.pointer("/metadata/labels/app.kubernetes.io~1instance").and_then(Value::as_str) == Some(RELEASE)
    })
}

/// The pod neither runs nor ended in time: the cluster's doing, unless the container was started.
fn not_decided(state: &ClusterState, namespace: &str, expect: DriverExpectation) -> Result<Value, StepError> {
    let pod = driver_pod(state, namespace);
    let status = pod.as_deref().and_then(|pod| pods::containers(pod).into_iter().next());
    if expect == DriverExpectation::Refused
        && status.as_ref().is_some_and(|status| status.state == ContainerState::Running)
    {
        return Ok(json!({ "running": true, "exitCode": null, "log": [], "pod": null }));
    }
    let seen = match (&pod, status) {
        (None, _) => "its Deployment made no pod".to_owned(),
        (Some(pod), None) => pods::unschedulable(pod).unwrap_or("its pod has no status").to_owned(),
        (Some(_), Some(status)) => format!("{} {}", status.reason, status.message),
    };
    let events: Vec<String> = state.events(namespace).into_iter().map(|event| event.message).collect();
    Err(StepError::environment(
        format!("start the driver within {} s", START_DEADLINE.as_secs()),
        format!("{seen}; events: {}", events.join(" | ")),
    ))
}

/// The last words in the pod's status are there however often the container was started since; its log may not be.
async fn ended(scene: &Scene, pod: &str, container: &ContainerStatus) -> Value {
    let mut log: Vec<String> = container.last_words.lines().map(str::to_owned).collect();
    if log.is_empty() {
        log = log_lines(scene, pod, container.restarts > 0).await;
    }
    json!({ "running": false, "exitCode": container.exit_code, "log": log, "pod": pod })
}

async fn log_lines(scene: &Scene, pod: &str, previous: bool) -> Vec<String> {
    let api: Api<Pod> = Api::namespaced(scene.stage.client.clone(), &scene.namespace);
    let parameters = LogParams {
        container: Some(CONTAINER.to_owned()),
        previous,
        tail_lines: Some(LOG_LINES),
        ..LogParams::default()
    };
    let text = api.logs(pod, &parameters).await.unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}
