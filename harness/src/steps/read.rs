//! `inspect`, `probe` and `requests`: reading what there is.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::AttachParams};
use sandproof_clusters::registry::{RequestKind, RequestRecord};
use sandproof_scenarios::{InspectStep, ProbeStep, RequestsStep, time_limits};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::StepError;
use crate::{cluster_state::ClusterState, scene::Scene};

/// Where the supervisor is in every sandbox, whatever the side-load method.
const SUPERVISOR: &str = "/opt/openshell/bin/openshell-sandbox";

/// How long the probe may take inside a container.
const PROBE_DEADLINE: std::time::Duration = time_limits::PROBE;

/// Reads a sandbox's objects.
///
/// What the driver has created is waited for: the harness's own view of the cluster may lag behind the driver's answer.
pub(super) async fn inspect(scene: &mut Scene, step: &InspectStep) -> Value {
    let seen = |state: &ClusterState| {
        scene.created.iter().all(|name| scene.sandbox_object(state, name).is_some()).then_some(())
    };
    // One that never comes is what the scenario finds.
    scene.stage.state.wait(time_limits::OBJECT_SEEN, seen).await;
    let name = step.sandbox.as_ref().map(|name| scene.sandbox(name, None).name);
    let state = &scene.stage.state;
    let object = name.as_ref().and_then(|name| scene.sandbox_object(state, name));
    let pod = name.as_ref().and_then(|name| scene.sandbox_pod(state, name));
    json!({
        "sandbox": object,
        "pod": pod,
        "events": scene.events(state),
        "sandboxes": scene.sandbox_objects(state).len(),
        "pods": scene.sandbox_pods(state).len(),
    })
}

/// Runs the probe inside the agent container.
pub(super) async fn probe(scene: &mut Scene, step: &ProbeStep) -> Result<Value, StepError> {
    let name = scene.sandbox(&step.sandbox, None).name;
    let found = scene.sandbox_pod(&scene.stage.state, &name);
    let text = |pointer: &str| found.as_deref()?.pointer(pointer)?.as_str().map(str::to_owned);
    let (Some(pod), Some(namespace)) = (text("/metadata/name"), text("/metadata/namespace")) else {
        return Err(StepError::Subject(format!("sandbox {name} has no pod to look into")));
    };
    let api: Api<Pod> = Api::namespaced(scene.stage.client.clone(), &namespace);
    let command = ["/sandproof-probe", "report", "--supervisor", SUPERVISOR];
    let agent = scene.stage.subject.profile.agent_container.clone();
    let parameters = AttachParams::default().container(agent).stdout(true).stderr(true);
    let run = async {
        let mut process = api.exec(&pod, command, &parameters).await.map_err(|error| error.to_string())?;
        // Side by side: what is printed to one is not to wait for the end of the other.
        let (stdout, stderr) = tokio::join!(all_of(process.stdout()), all_of(process.stderr()));
        let _ = process.join().await;
        serde_json::from_str::<Value>(stdout.trim()).map_err(|error| format!("{error}; it printed {stdout}{stderr}"))
    };
    match tokio::time::timeout(PROBE_DEADLINE, run).await {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(found)) => Err(StepError::Subject(format!("the probe in pod {pod} gave no report: {found}"))),
        Err(_) => Err(StepError::Subject(format!(
            "the probe in pod {pod} gave no report within {} s",
            PROBE_DEADLINE.as_secs()
        ))),
    }
}

/// All of a stream.
async fn all_of(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut text = String::new();
    if let Some(mut stream) = stream {
        let _ = stream.read_to_string(&mut text).await;
    }
    text
}

/// Reads what the registry was asked for an image.
pub(super) fn requests(scene: &Scene, step: &RequestsStep) -> Result<Value, StepError> {
    let image = scene.images.get(&step.image).ok_or_else(|| {
        StepError::environment("read the registry's record", format!("no image `{}` was pushed", step.image))
    })?;
    let records: Vec<RequestRecord> = scene
        .stage
        .registry
        .requests(&image.repository)
        .into_iter()
        // What the harness itself did to push the image proves nothing.
        .filter(|record| !record.by_harness())
        .collect();
    let who = |login: Option<&String>| login.map_or_else(|| "anonymous".to_owned(), |login| scene.step_name_of(login));
    let is = |record: &&RequestRecord, kind: RequestKind| record.kind == kind;
    let manifests: Vec<&RequestRecord> = records.iter().filter(|record| is(record, RequestKind::Manifest)).collect();
    let asked: Vec<&RequestRecord> =
        records.iter().filter(|record| is(record, RequestKind::Manifest) || is(record, RequestKind::Token)).collect();
    let users: BTreeSet<String> =
        manifests.iter().filter(|record| record.status == Some(200)).map(|record| who(record.user.as_ref())).collect();
    let denied: Vec<&&RequestRecord> = asked.iter().filter(|record| matches!(record.status, Some(401 | 403))).collect();
    let refused: BTreeSet<String> = denied.iter().map(|record| who(record.credentials_presented.as_ref())).collect();
    Ok(json!({
        "all": records.iter().map(|record| shown(record, &who)).collect::<Vec<_>>(),
        "manifests": manifests.iter().map(|record| shown(record, &who)).collect::<Vec<_>>(),
        "users": users,
        "refused": refused,
        "accepted": manifests.iter().filter(|record| record.status == Some(200)).count(),
        "denied": denied.len(),
    }))
}

fn shown(record: &RequestRecord, who: &impl Fn(Option<&String>) -> String) -> Value {
    json!({
        "at": record.at,
        "method": record.method,
        "kind": record.kind,
        "reference": record.reference,
        "user": record.user.as_ref().map(|user| who(Some(user))),
        "credentialsPresented": record.credentials_presented.as_ref().map(|user| who(Some(user))),
        "status": record.status,
    })
}
