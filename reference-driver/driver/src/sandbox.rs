//! The Sandbox object that is written, and the sandbox a client sees of it.

use kube::ResourceExt;
use kube::core::{ApiResource, DynamicObject, ObjectMeta};
use sandproof_protocol::v1;
use serde_json::{Value, json};

use crate::names;
use crate::placement::ObjectKey;
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

/// How long a pod may take to end that says nothing about it, in seconds (Kubernetes' default).
const DEFAULT_GRACE_SECONDS: i64 = 30;

/// The object that holds a sandbox.
pub fn object(
    template: &Template<'_>,
    request: &SandboxRequest,
    key: &ObjectKey,
    resource: &ApiResource,
) -> DynamicObject {
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
    let mut spec = json!({ "podTemplate": template.render(request) });
    let claims = template.claims(request);
    if !claims.is_empty() {
        spec["volumeClaimTemplates"] = json!(claims);
    }
    // As upstream has it; a schema that does not know it prunes it.
    if let Some(path) = &request.agent_socket_path {
        spec["agentSocket"] = json!(path);
    }
    let mut object = DynamicObject::new(&key.name, resource).within(&key.namespace).data(json!({ "spec": spec }));
    object.metadata.labels = Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    if template.faults.omits_workspace() {
        object.labels_mut().remove(names::SANDBOX_WORKSPACE_LABEL);
    }
    let own = annotations.map(|(key, value)| (key.to_owned(), value.clone()));
    object.metadata.annotations =
        Some(template.defaults.namespace_annotations.clone().into_iter().chain(own).collect());
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

/// A sandbox's object, as far as a change of it needs to be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Where it is.
    pub key: ObjectKey,
    /// Which one it is: another object may come to the same place.
    pub uid: String,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether it is told to have no pod.
    pub suspended: bool,
    /// How long its pod may take to end, in seconds.
    pub grace_seconds: i64,
}

/// Where an object is, and what was told of it.
pub fn located(object: &DynamicObject) -> Located {
    let spec = object.data.get("spec");
    let at = |pointer: &str| spec.and_then(|spec| spec.pointer(pointer));
    // `operatingMode` is v1beta1's word, `replicas` v1alpha1's.
    let suspended = at("/operatingMode").and_then(Value::as_str) == Some("Suspended")
        || at("/replicas").and_then(Value::as_i64) == Some(0);
    Located {
        key: ObjectKey::new(
            object.metadata.namespace.clone().unwrap_or_default(),
            object.metadata.name.clone().unwrap_or_default(),
        ),
        uid: object.metadata.uid.clone().unwrap_or_default(),
        deleting: object.metadata.deletion_timestamp.is_some(),
        suspended,
        grace_seconds: at("/podTemplate/spec/terminationGracePeriodSeconds")
            .and_then(Value::as_i64)
            .unwrap_or(DEFAULT_GRACE_SECONDS),
    }
}

/// What a stopped sandbox's object says, or a running one's, in an API version.
pub fn running_mode(version: &str, running: bool) -> Value {
    match version {
        "v1alpha1" => json!({ "replicas": i32::from(running) }),
        _ => json!({ "operatingMode": if running { "Running" } else { "Suspended" } }),
    }
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
