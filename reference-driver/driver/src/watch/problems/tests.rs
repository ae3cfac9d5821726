use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn pod(status: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": { "name": "default--box", "namespace": "sandboxes", "uid": "u1" },
        "spec": {
            "containers": [{ "name": "agent", "image": "r.example/agent:1" }],
            "initContainers": [{ "name": "openshell-supervisor-install", "image": "r.example/supervisor:1" }],
            "volumes": [{ "name": SUPERVISOR_VOLUME, "image": { "reference": "r.example/supervisor:1" } }],
        },
        "status": status,
    }))
    .unwrap()
}

fn container(name: &str, state: &Value) -> Value {
    json!({ "name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state })
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({ "waiting": { "reason": reason, "message": message } })
}

#[rstest]
#[case("ErrImagePull", "ImagePull")]
#[case("ImagePullBackOff", "ImagePull")]
#[case("ErrImageNeverPull", "ImagePull")]
#[case("InvalidImageName", "ImagePull")]
#[case("RegistryUnavailable", "ImagePull")]
#[case("CreateContainerError", "ContainerStart")]
#[case("CreateContainerConfigError", "ContainerStart")]
#[case("RunContainerError", "ContainerStart")]
fn waiting_reasons(#[case] reason: &str, #[case] condition: &str) {
    let found = of(&pod(&json!({ "containerStatuses": [container("agent", &waiting(reason, "detail"))] })));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].condition, condition);
    assert!(found[0].decides);
    for part in ["default--box", "agent", "r.example/agent:1", reason, "detail"] {
        assert!(found[0].message.contains(part), "{part} is not in {}", found[0].message);
    }
}

#[rstest]
#[case("ContainerCreating")]
#[case("PodInitializing")]
fn waiting_is_not_always_a_problem(#[case] reason: &str) {
    assert_eq!(of(&pod(&json!({ "containerStatuses": [container("agent", &waiting(reason, ""))] }))), []);
}

#[test]
fn the_image_of_a_volume_is_named_when_it_is_the_one() {
    let status = waiting("ImagePullBackOff", "Back-off pulling image \"r.example/supervisor:1\"");
    let found = of(&pod(&json!({ "containerStatuses": [container("agent", &status)] })));
    assert_eq!(found[0].image.as_deref(), Some("r.example/supervisor:1"));
}

#[test]
fn an_init_container_is_named() {
    let status = waiting("ErrImagePull", "authentication required");
    let statuses = json!({ "initContainerStatuses": [container("openshell-supervisor-install", &status)] });
    let found = of(&pod(&statuses));
    assert_eq!(found[0].container.as_deref(), Some("openshell-supervisor-install"));
    assert_eq!(found[0].image.as_deref(), Some("r.example/supervisor:1"));
}

#[test]
fn a_missing_binary_is_a_problem_of_starting() {
    let ended = json!({ "terminated": { "exitCode": 128, "reason": "StartError", "message": "no such file\n" } });
    let found = of(&pod(&json!({ "phase": "Failed", "containerStatuses": [container("agent", &ended)] })));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].condition, found[0].reason.as_str()), ("ContainerStart", "StartError"));
    assert!(found[0].message.ends_with("exit code 128: no such file"), "{}", found[0].message);
}

#[test]
fn a_clean_end_is_told_and_is_normal() {
    let ended = json!({ "terminated": { "exitCode": 0, "reason": "Completed" } });
    let found = of(&pod(&json!({ "phase": "Succeeded", "containerStatuses": [container("agent", &ended)] })));
    assert_eq!((found[0].condition, found[0].ready_reason()), ("PodRunning", "PodSucceeded"));
    assert!(found[0].decides && found[0].is_normal());
}

#[test]
fn a_program_that_ends_with_an_error_is_a_failed_pod() {
    let ended = json!({ "terminated": { "exitCode": 1, "reason": "Error" } });
    let found = of(&pod(&json!({ "phase": "Failed", "containerStatuses": [container("agent", &ended)] })));
    assert_eq!((found[0].condition, found[0].reason.as_str()), ("ContainerStart", "Error"));
    assert_eq!(found[0].ready_reason(), "PodFailed");
}

#[test]
fn the_end_of_a_pod_that_is_deleted_is_no_problem() {
    let ended = json!({ "terminated": { "exitCode": 143, "reason": "Error" } });
    let mut going = pod(&json!({ "phase": "Failed", "containerStatuses": [container("agent", &ended)] }));
    going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(of(&going), []);
}

#[test]
fn a_pod_no_node_takes_is_told_but_does_not_decide() {
    let condition =
        json!({ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes" });
    let found = of(&pod(&json!({ "phase": "Pending", "conditions": [condition] })));
    assert_eq!((found[0].condition, found[0].decides), ("PodScheduled", false));
}

#[test]
fn an_evicted_pod_is_a_problem() {
    let found = of(&pod(&json!({ "phase": "Failed", "reason": "Evicted", "message": "disk pressure" })));
    assert_eq!((found[0].condition, found[0].reason.as_str()), ("PodRunning", "Evicted"));
}

fn mount_event(uid: &str, message: &str) -> Event {
    serde_json::from_value(json!({
        "metadata": { "name": "e" },
        "involvedObject": { "kind": "Pod", "name": "default--box", "uid": uid },
        "reason": "FailedMount",
        "message": message,
    }))
    .unwrap()
}

#[test]
fn a_volume_that_cannot_be_mounted_is_named_with_its_image() {
    let waits = pod(&json!({ "containerStatuses": [container("agent", &waiting("ContainerCreating", ""))] }));
    let message = format!("for volume \"{SUPERVISOR_VOLUME}\" err=no volume plugin matched");
    let found = of_mount(&waits, &mount_event("u1", &message)).unwrap();
    assert_eq!((found.condition, found.reason.as_str(), found.decides), ("VolumeMount", "FailedMount", true));
    assert_eq!(found.image.as_deref(), Some("r.example/supervisor:1"));
    for part in ["default--box", "r.example/supervisor:1", "FailedMount", "no volume plugin matched"] {
        assert!(found.message.contains(part), "{part} is not in {}", found.message);
    }
    assert_eq!(of_mount(&waits, &mount_event("u1", "secret not found")).unwrap().image, None);
}

#[test]
fn a_late_word_about_a_volume_is_not_a_problem() {
    let runs = pod(&json!({ "containerStatuses": [container("agent", &json!({ "running": {} }))] }));
    assert_eq!(of_mount(&runs, &mount_event("u1", "timed out")), None);
    let waits = pod(&json!({}));
    assert_eq!(of_mount(&waits, &mount_event("u0", "of the pod before")), None);
}
