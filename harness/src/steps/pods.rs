//! Reading pods: what their containers say, and which observation is decisive.

use serde_json::Value;

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
