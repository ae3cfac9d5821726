//! A subject in the cluster: its chart is installed, and its pod is watched until it runs or has ended.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{DeleteParams, LogParams},
};
use sandproof_clusters::process::ProcessError;
use sandproof_scenarios::{ChartSettings, DriverExpectation, time_limits};
use serde_json::Value;

use super::{
    Deployed, Settings, StartError, Started,
    chart::{Chart, RELEASE, values},
    connection,
};
use crate::{
    cluster_state::ClusterState,
    scene::Stage,
    steps::pods::{self, ContainerState, ContainerStatus},
};

/// How long the driver's pod may take to run or to end: it pulls one small image.
const START_DEADLINE: Duration = time_limits::DRIVER_START;

/// Lines of the driver's log that an observation holds.
const LOG_LINES: i64 = 40;

/// Where a subject is started.
#[derive(Clone)]
pub(crate) struct Site {
    /// The cluster's API.
    pub(crate) client: Client,
    /// The cluster's current state.
    pub(crate) state: ClusterState,
    /// The name of the subject's profile, for messages.
    pub(crate) profile: String,
}

impl Site {
    /// The site of a cell.
    pub(crate) fn of(stage: &Stage) -> Self {
        Self { client: stage.client.clone(), state: stage.state.clone(), profile: stage.subject.profile.name.clone() }
    }
}

/// A driver's pod.
#[derive(Clone)]
pub(crate) struct DriverPod {
    /// Its name.
    pub(crate) name: String,
    api: Api<Pod>,
    container: String,
}

impl std::fmt::Debug for DriverPod {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DriverPod").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Installs the chart and waits until its driver answers, or until it has ended.
pub(super) async fn install(
    chart: &Chart,
    told: &ChartSettings,
    site: &Site,
    settings: &Settings,
    expect: DriverExpectation,
) -> Result<Started, StartError> {
    let namespace = &settings.namespace;
    let values = values(told, &site.profile, settings)?;
    match chart.install(namespace, &values).await {
        Ok(()) => {}
        // The chart is part of the subject: what it refuses is an observation.
        Err(ProcessError::Failed { status, stderr, .. }) => {
            let log = stderr.lines().map(str::to_owned).collect();
            return Ok(Started::Ended { exit_code: status.code().map(i64::from), log, deployed: None });
        }
        Err(error) => return Err(StartError::environment("install the chart", error)),
    }
    settle(told, site, namespace, expect, None).await
}

/// Deletes the driver's pod, and waits until the one that takes its place answers or has ended.
pub(super) async fn restart(
    pod: &DriverPod,
    told: &ChartSettings,
    site: &Site,
    settings: &Settings,
) -> Result<Started, StartError> {
    pod.api
        .delete(&pod.name, &DeleteParams::background())
        .await
        .map_err(|error| StartError::environment(format!("delete the driver's pod {}", pod.name), error))?;
    settle(told, site, &settings.namespace, DriverExpectation::Running, Some(&pod.name)).await
}

/// Waits until the driver answers, or until it has ended; a pod of the past does not count.
async fn settle(
    told: &ChartSettings,
    site: &Site,
    namespace: &str,
    expect: DriverExpectation,
    past: Option<&str>,
) -> Result<Started, StartError> {
    let decisive = |state: &ClusterState| {
        let pod = driver_pod(state, namespace, past)?;
        let name = pod.pointer("/metadata/name")?.as_str()?.to_owned();
        let container = pods::containers(&pod).into_iter().find(|container| container.name == told.container)?;
        let ended = container.exit_code.is_some() || container.restarts > 0;
        let ready = container.state == ContainerState::Running && expect == DriverExpectation::Running && !ended;
        (ready || ended).then_some((name, container))
    };
    let waited = site.state.wait(START_DEADLINE, decisive).await;
    let Some((name, container)) = waited.found else {
        return not_decided(&site.state, namespace, expect, told, past);
    };
    let api = Api::namespaced(site.client.clone(), namespace);
    let pod = DriverPod { name, api, container: told.container.clone() };
    // A driver that ended is one that did not start, even while the kubelet is starting it again.
    let running =
        container.state == ContainerState::Running && container.exit_code.is_none() && container.restarts == 0;
    if !running {
        return Ok(ended(pod, &container).await);
    }
    match connection::to_pod(&pod.api, &pod.name, told.port).await {
        Ok(channel) => Ok(Started::Running { channel, deployed: Deployed::Pod(pod) }),
        Err(unreachable) => {
            let mut log = pod.last_lines(false).await;
            log.push(unreachable.to_string());
            Ok(Started::Ended { exit_code: None, log, deployed: Some(Deployed::Pod(pod)) })
        }
    }
}

fn driver_pod(state: &ClusterState, namespace: &str, past: Option<&str>) -> Option<Arc<Value>> {
    state.pods(namespace).into_iter().find(|pod| {
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str);
        text("/metadata/labels/app.kubernetes.io~1instance") == Some(RELEASE)
            && (past.is_none() || text("/metadata/name") != past)
    })
}

/// The pod neither runs nor ended in time: the cluster's doing, unless the container was started.
fn not_decided(
    state: &ClusterState,
    namespace: &str,
    expect: DriverExpectation,
    told: &ChartSettings,
    past: Option<&str>,
) -> Result<Started, StartError> {
    let pod = driver_pod(state, namespace, past);
    let containers = pod.as_deref().map(pods::containers).unwrap_or_default();
    let own = containers.iter().find(|container| container.name == told.container);
    if expect == DriverExpectation::Refused && own.is_some_and(|status| status.state == ContainerState::Running) {
        return Ok(Started::NotRefused);
    }
    let seen = match (&pod, own.or(containers.first())) {
        (None, _) => format!("its chart made no pod with the label app.kubernetes.io/instance={RELEASE}"),
        (Some(pod), None) => pods::unschedulable(pod).unwrap_or("its pod has no status").to_owned(),
        (Some(_), Some(status)) if own.is_none() => {
            format!("its pod has no container `{}`, but `{}`", told.container, status.name)
        }
        (Some(_), Some(status)) => format!("{} {}", status.reason, status.message),
    };
    let events: Vec<String> = state.events(namespace).into_iter().map(|event| event.message).collect();
    Err(StartError::environment(
        format!("start the driver within {} s", START_DEADLINE.as_secs()),
        format!("{seen}; events: {}", events.join(" | ")),
    ))
}

/// The last words in the pod's status are there however often the container was started since; its log may not be.
async fn ended(pod: DriverPod, container: &ContainerStatus) -> Started {
    let mut log: Vec<String> = container.last_words.lines().map(str::to_owned).collect();
    if log.is_empty() {
        log = pod.last_lines(container.restarts > 0).await;
    }
    Started::Ended { exit_code: container.exit_code, log, deployed: Some(Deployed::Pod(pod)) }
}

impl DriverPod {
    /// All of its log.
    pub(super) async fn log(&self) -> Option<String> {
        let parameters = LogParams { container: Some(self.container.clone()), ..LogParams::default() };
        self.api.logs(&self.name, &parameters).await.ok()
    }

    async fn last_lines(&self, previous: bool) -> Vec<String> {
        let parameters = LogParams {
            container: Some(self.container.clone()),
            previous,
            tail_lines: Some(LOG_LINES),
            ..LogParams::default()
        };
        let text = self.api.logs(&self.name, &parameters).await.unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}
