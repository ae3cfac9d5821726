//! Reading pods: what their containers say, and which observation is decisive.

use serde_json::Value;

use crate::cluster_state::SeenEvent;

/// The reason of the kubelet's events about volumes that it could not mount.
pub(crate) const FAILED_MOUNT: &str = "FailedMount";

/// What the kubelet says of a volume of a kind that it does not know; it says so each time, and nothing else follows.
const NO_PLUGIN: &str = "no volume plugin matched";

/// Waiting reasons that mean an image could not be pulled.
const PULL_REFUSED: &[&str] = &[
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];

/// Waiting reasons that mean a container cannot start.
const CANNOT_START: &[&str] =
    &["CreateContainerError", "CreateContainerConfigError", "RunContainerError", "CrashLoopBackOff"];

/// The state that a container is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ContainerState {
    /// It waits for its image or for its turn.
    Waiting,
    /// Its image could not be pulled.
    PullRefused,
    /// It cannot start, or it ended with a failure.
    Failed,
    /// It runs.
    Running,
    /// It ended well.
    Completed,
}

/// A container's status, read.
#[derive(Debug, Clone)]
pub(crate) struct ContainerStatus {
    /// Its name.
    pub(crate) name: String,
    /// The state it is in.
    pub(crate) state: ContainerState,
    /// The status's reason, for example `ErrImagePull`.
    pub(crate) reason: String,
    /// The status's message.
    pub(crate) message: String,
    /// What it said when it last ended.
    pub(crate) last_words: String,
    /// How it ended when it last did; a container that runs again has one too.
    pub(crate) exit_code: Option<i64>,
    /// How often it was started again.
    pub(crate) restarts: i64,
}

/// The statuses of a pod's containers, init containers first.
pub(crate) fn containers(pod: &Value) -> Vec<ContainerStatus> {
    ["/status/initContainerStatuses", "/status/containerStatuses"]
        .iter()
        .filter_map(|pointer| pod.pointer(pointer).and_then(Value::as_array))
        .flatten()
        .map(container)
        .collect()
}

/// The pod's phase, for example `Running`.
pub(crate) fn phase(pod: &Value) -> &str {
    pod.pointer("/status/phase").and_then(Value::as_str).unwrap_or("Unknown")
}

/// The container whose pull was refused, by the kubelet's events. The pod's status says so too, but behind an init
/// container only with the next try, many seconds later.
pub(crate) fn refused(pod: &Value, events: &[SeenEvent]) -> Option<ContainerStatus> {
    let object = format!("Pod/{}", pod.pointer("/metadata/name")?.as_str()?);
    let failed = || events.iter().filter(|event| event.object == object && event.reason == "Failed");
    let (name, reason) = failed().find_map(|event| {
        let reason = event.message.strip_prefix("Error: ").filter(|reason| PULL_REFUSED.contains(reason))?;
        Some((event.container.clone()?, reason.to_owned()))
    })?;
    let said = failed().find(|event| event.container.as_ref() == Some(&name) && event.message.contains("pull image"));
    Some(ContainerStatus {
        state: ContainerState::PullRefused,
        message: said.map(|event| event.message.clone()).unwrap_or_default(),
        last_words: String::new(),
        exit_code: None,
        restarts: 0,
        name,
        reason,
    })
}

/// Whether the container of that name runs.
pub(crate) fn runs(pod: &Value, name: &str) -> bool {
    containers(pod).iter().any(|container| container.name == name && container.state == ContainerState::Running)
}

/// The message of a false `PodScheduled` condition.
pub(crate) fn unschedulable(pod: &Value) -> Option<&str> {
    pod.pointer("/status/conditions")?
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False")?
        .get("message")?
        .as_str()
}

/// The kubelet's words where it will never mount a volume of the pod, because it does not know such volumes.
pub(crate) fn unmountable(pod: &Value, events: &[SeenEvent]) -> Option<String> {
    let object = format!("Pod/{}", pod.pointer("/metadata/name")?.as_str()?);
    let event = events
        .iter()
        .find(|event| event.object == object && event.reason == FAILED_MOUNT && event.message.contains(NO_PLUGIN))?;
    Some(event.message.clone())
}

fn container(status: &Value) -> ContainerStatus {
    let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let restarts = status["restartCount"].as_i64().unwrap_or(0);
    let terminated = |pointer: &str| -> Option<(String, String, i64)> {
        status.pointer(pointer)?;
        Some((
            text(&format!("{pointer}/reason")),
            text(&format!("{pointer}/message")),
            status.pointer(&format!("{pointer}/exitCode")).and_then(Value::as_i64).unwrap_or(-1),
        ))
    };
    let last_words = ["/state/terminated", "/lastState/terminated"]
        .iter()
        .find_map(|pointer| terminated(pointer))
        .map(|(_, message, _)| message)
        .unwrap_or_default();
    let (state, reason, message, exit_code) = if status.pointer("/state/running").is_some() {
        let code = terminated("/lastState/terminated").map(|(_, _, code)| code);
        (ContainerState::Running, String::new(), String::new(), code)
    } else if let Some((reason, message, code)) = terminated("/state/terminated") {
        let state = if code == 0 { ContainerState::Completed } else { ContainerState::Failed };
        (state, reason, message, Some(code))
    } else {
        let reason = text("/state/waiting/reason");
        let state = if PULL_REFUSED.contains(&reason.as_str()) {
            ContainerState::PullRefused
        } else if CANNOT_START.contains(&reason.as_str()) {
            ContainerState::Failed
        } else {
            ContainerState::Waiting
        };
        let code = terminated("/lastState/terminated").map(|(_, _, code)| code);
        (state, reason, text("/state/waiting/message"), code)
    };
    ContainerStatus { name: text("/name"), state, reason, message, last_words, exit_code, restarts }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(json!({"running": {}}), ContainerState::Running)]
    #[case(json!({"waiting": {"reason": "ContainerCreating"}}), ContainerState::Waiting)]
    #[case(json!({"waiting": {"reason": "ErrImagePull", "message": "no"}}), ContainerState::PullRefused)]
    #[case(json!({"waiting": {"reason": "RunContainerError"}}), ContainerState::Failed)]
    #[case(json!({"terminated": {"exitCode": 0}}), ContainerState::Completed)]
    #[case(json!({"terminated": {"exitCode": 3}}), ContainerState::Failed)]
    fn a_state_is_read_from_its_status(#[case] state: Value, #[case] expected: ContainerState) {
        let pod = json!({"status": {"containerStatuses": [{"name": "agent", "state": state}]}});
        assert_eq!(containers(&pod)[0].state, expected);
    }

    #[test]
    fn a_container_that_was_started_again_still_tells_how_it_ended() {
        let pod = json!({"status": {"containerStatuses": [{
            "name": "driver",
            "restartCount": 1,
            "state": {"running": {}},
            "lastState": {"terminated": {"exitCode": 2, "message": "unknown method"}},
        }]}});
        let container = &containers(&pod)[0];
        assert_eq!(container.exit_code, Some(2));
        assert_eq!(container.last_words, "unknown method");
    }

    #[rstest]
    #[case::gate_off(
        "FailedMount",
        "failed to get Plugin from volumeSpec for volume \"v\" err=no volume plugin matched",
        true
    )]
    #[case::not_yet_there("FailedMount", "secret \"x\" not found", false)]
    #[case::of_another_kind("Failed", "no volume plugin matched", false)]
    fn a_volume_that_the_kubelet_does_not_know_is_final(
        #[case] reason: &str,
        #[case] message: &str,
        #[case] expected: bool,
    ) {
        let event = SeenEvent {
            at: String::new(),
            kind: "Warning".to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            object: "Pod/one".to_owned(),
            container: None,
            count: 1,
        };
        let pod = |name: &str| json!({ "metadata": { "name": name } });
        assert_eq!(unmountable(&pod("one"), std::slice::from_ref(&event)).is_some(), expected);
        assert_eq!(unmountable(&pod("other"), &[event]), None);
    }

    #[test]
    fn a_refused_pull_is_told_by_events_with_its_container() {
        let event = |message: &str, container: Option<&str>| SeenEvent {
            at: String::new(),
            kind: "Warning".to_owned(),
            reason: "Failed".to_owned(),
            message: message.to_owned(),
            object: "Pod/one".to_owned(),
            container: container.map(str::to_owned),
            count: 1,
        };
        let pod = json!({ "metadata": { "name": "one" } });
        let events = [
            event("Failed to pull image \"r/a:1\": unauthorized", Some("agent")),
            event("Error: ErrImagePull", Some("agent")),
        ];
        let found = refused(&pod, &events).unwrap();
        assert_eq!((found.name.as_str(), found.reason.as_str()), ("agent", "ErrImagePull"));
        assert_eq!(found.state, ContainerState::PullRefused);
        assert!(found.message.contains("unauthorized"));
        // The image of a volume is asked for in the pod's name; only the status says whose it is.
        assert!(refused(&pod, &[event("Error: ErrImagePull", None)]).is_none());
        assert!(refused(&pod, &[event("Error: container create failed", Some("agent"))]).is_none());
        assert!(refused(&json!({ "metadata": { "name": "other" } }), &events).is_none());
    }

    #[test]
    fn init_containers_come_first() {
        let pod = json!({"status": {
            "containerStatuses": [{"name": "agent", "state": {"waiting": {"reason": "PodInitializing"}}}],
            "initContainerStatuses": [{"name": "openshell-supervisor-install", "state": {"waiting": {"reason": "ErrImagePull"}}}],
        }});
        let names: Vec<String> = containers(&pod).into_iter().map(|container| container.name).collect();
        assert_eq!(names, ["openshell-supervisor-install", "agent"]);
    }
}
