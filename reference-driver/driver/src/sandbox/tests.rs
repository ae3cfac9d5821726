use serde_json::json;

use super::*;
use crate::faults::Faults;
use crate::pod::tests::{defaults, request};

fn stored() -> DynamicObject {
    let defaults = defaults();
    let faults = Faults::none();
    let template = Template { defaults: &defaults, gateway_id: "gate", faults: &faults };
    object(&template, &request(), &ObjectKey::new("sandboxes", "default--box"), &resource("v1beta1"))
}

#[test]
fn the_object_carries_name_labels_and_template() {
    let object = stored();
    assert_eq!(object.metadata.name.as_deref(), Some("default--box"));
    assert_eq!(object.metadata.namespace.as_deref(), Some("sandboxes"));
    assert_eq!(object.types.as_ref().unwrap().api_version, "agents.x-k8s.io/v1beta1");
    insta::assert_json_snapshot!(object.metadata, @r#"
    {
      "annotations": {
        "openshell.ai/sandbox-id": "id-1",
        "openshell.ai/sandbox-name": "box",
        "openshell.ai/sandbox-workspace": "default"
      },
      "labels": {
        "openshell.ai/gateway-id": "gate",
        "openshell.ai/managed-by": "openshell",
        "openshell.ai/sandbox-id": "id-1",
        "openshell.ai/sandbox-name": "box",
        "openshell.ai/sandbox-workspace": "default"
      },
      "name": "default--box",
      "namespace": "sandboxes"
    }
    "#);
    assert_eq!(object.data["spec"]["podTemplate"]["spec"]["restartPolicy"], "Never");
}

#[test]
fn a_client_sees_identity_conditions_and_deletion() {
    let mut object = stored();
    object.data["status"] = json!({ "conditions": [
        { "type": "Ready", "status": "False", "reason": "DependenciesNotReady", "message": "m", "lastTransitionTime": "t" },
        { "type": "Odd" },
    ]});
    let sandbox = seen(&object).unwrap();
    assert_eq!((sandbox.id.as_str(), sandbox.name.as_str(), sandbox.workspace.as_str()), ("id-1", "box", "default"));
    let status = sandbox.status.unwrap();
    assert_eq!(status.conditions.len(), 2);
    assert_eq!(status.conditions[0].reason, "DependenciesNotReady");
    assert!(!status.deleting);
    assert!(status.sandbox_name.is_empty());
}

#[test]
fn an_object_without_the_label_is_not_a_sandbox() {
    let mut object = stored();
    object.metadata.labels = None;
    assert!(seen(&object).is_none());
}

#[rstest::rstest]
#[case(json!({}), false)]
#[case(json!({ "operatingMode": "Running" }), false)]
#[case(json!({ "operatingMode": "Suspended" }), true)]
#[case(json!({ "replicas": 1 }), false)]
#[case(json!({ "replicas": 0 }), true)]
fn both_versions_say_whether_a_sandbox_is_stopped(#[case] spec: Value, #[case] suspended: bool) {
    let mut object = stored();
    object.data["spec"] = spec;
    let located = located(&object);
    assert_eq!(located.suspended, suspended);
    assert_eq!(located.grace_seconds, 30);
}

#[rstest::rstest]
#[case("v1alpha1", json!({ "replicas": 0 }), json!({ "replicas": 1 }))]
#[case("v1beta1", json!({ "operatingMode": "Suspended" }), json!({ "operatingMode": "Running" }))]
fn stopping_and_starting_is_said_in_the_versions_words(
    #[case] version: &str,
    #[case] stopped: Value,
    #[case] started: Value,
) {
    assert_eq!(running_mode(version, false), stopped);
    assert_eq!(running_mode(version, true), started);
}
