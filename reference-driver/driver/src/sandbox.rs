//! The Sandbox object that is written, and the sandbox a client sees of it.

use kube::core::{ApiResource, DynamicObject, ObjectMeta};
use sandproof_protocol::v1;
use serde_json::{Value, json};

use crate::names;
use crate::pod::Template;
use crate::request::SandboxRequest;

/// The API group of the Sandbox.
pub const GROUP: &str = "agents.x-k8s.io";
/// The API versions this driver can write, the preferred one first.
pub const VERSIONS: [&str; 2] = ["v1beta1", "v1alpha1"];

/// The resource in one of its API versions.
pub fn resource(version: &str) -> ApiResource {
    ApiResource {
        group: GROUP.to_owned(),
        version: version.to_owned(),
        api_version: format!("{GROUP}/{version}"),
        kind: "Sandbox".to_owned(),
        plural: "sandboxes".to_owned(),
    }
}

/// The object that holds a sandbox.
pub fn object(template: &Template<'_>, request: &SandboxRequest, resource: &ApiResource) -> DynamicObject {
    let labels = [
        (names::MANAGED_BY_LABEL, names::MANAGED_BY),
        (names::GATEWAY_ID_LABEL, template.gateway_id),
        (names::SANDBOX_ID_LABEL, &request.id),
        (names::SANDBOX_NAME_LABEL, &request.name),
        (names::SANDBOX_WORKSPACE_LABEL, &request.workspace),
    ];
    let annotations = [
        (names::SANDBOX_ID_LABEL, &request.id),
        (names::SANDBOX_NAME_LABEL, &request.name),
        (names::SANDBOX_WORKSPACE_LABEL, &request.workspace),
    ];
    let mut object =
        DynamicObject::new(&request.object_name(), resource).within(&template.defaults.namespace).data(json!({
            "spec": { "podTemplate": template.render(request) },
        }));
    object.metadata.labels = Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    object.metadata.annotations = Some(annotations.map(|(key, value)| (key.to_owned(), value.clone())).into());
    object
}

/// The sandbox a client sees; only conditions and deletion are known of its status, as upstream has it.
///
/// An object without the identifying labels is not a sandbox of this driver.
pub fn seen(object: &DynamicObject) -> Option<v1::DriverSandbox> {
    let id = label(&object.metadata, names::SANDBOX_ID_LABEL)?;
    Some(v1::DriverSandbox {
        id: id.to_owned(),
        name: label(&object.metadata, names::SANDBOX_NAME_LABEL).unwrap_or_default().to_owned(),
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        workspace: label(&object.metadata, names::SANDBOX_WORKSPACE_LABEL).unwrap_or_default().to_owned(),
        spec: None,
        status: Some(v1::DriverSandboxStatus {
            conditions: conditions(object),
            deleting: object.metadata.deletion_timestamp.is_some(),
            ..v1::DriverSandboxStatus::default()
        }),
    })
}

/// The identifier an object carries.
pub fn id(object: &DynamicObject) -> Option<&str> {
    label(&object.metadata, names::SANDBOX_ID_LABEL)
}

fn label<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(key).map(String::as_str)
}

fn conditions(object: &DynamicObject) -> Vec<v1::DriverCondition> {
    let listed = object.data.pointer("/status/conditions").and_then(Value::as_array);
    listed.into_iter().flatten().map(condition).collect()
}

fn condition(condition: &Value) -> v1::DriverCondition {
    let text = |key: &str| condition.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    v1::DriverCondition {
        r#type: text("type"),
        status: text("status"),
        reason: text("reason"),
        message: text("message"),
        last_transition_time: text("lastTransitionTime"),
    }
}

#[cfg(test)]
mod tests;
