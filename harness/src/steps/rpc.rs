//! Calls of the compute-driver protocol, and what they answered.

use std::collections::HashMap;

use jiff::Timestamp;
use sandproof_protocol::{
    ComputeDriverClient, structs,
    v1::{
        CreateSandboxRequest, DeleteSandboxRequest, DeleteWorkspaceRequest, DriverCondition,
        DriverResourceRequirements, DriverSandbox, DriverSandboxSpec, DriverSandboxTemplate, EnsureWorkspaceRequest,
        GetCapabilitiesRequest, GetSandboxRequest, GpuResourceRequirements, ListSandboxesRequest, ResourceRequirements,
        StartSandboxRequest, StopSandboxRequest, ValidateSandboxCreateRequest,
    },
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tonic::{Code, Status, transport::Channel};

/// One call, as the evidence keeps it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Call {
    /// When the answer came.
    pub(crate) at: Timestamp,
    /// The RPC's name.
    pub(crate) method: &'static str,
    /// What was asked, without secrets.
    pub(crate) request: Value,
    /// The gRPC code's name, for example `InvalidArgument`.
    pub(crate) code: String,
    /// The status message; empty when the call succeeded.
    pub(crate) message: String,
}

/// What a sandbox request says, before it becomes a protocol message.
#[derive(Debug, Clone, Default)]
pub(crate) struct SandboxMessage {
    /// Send no sandbox at all.
    pub(crate) omit: bool,
    /// The sandbox's id.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// Its workspace.
    pub(crate) workspace: String,
    /// The agent image's reference; empty leaves it to the driver.
    pub(crate) image: String,
    /// User environment.
    pub(crate) environment: HashMap<String, String>,
    /// Labels of the pod.
    pub(crate) labels: HashMap<String, String>,
    /// The main process.
    pub(crate) command: Vec<String>,
    /// Typed requests and limits.
    pub(crate) resources: Option<DriverResourceRequirements>,
    /// How many GPUs.
    pub(crate) gpus: Option<u32>,
    /// `platform_config`; must be an object to fit the wire format.
    pub(crate) platform_config: Option<Map<String, Value>>,
    /// `driver_config`; must be an object to fit the wire format.
    pub(crate) driver_config: Option<Map<String, Value>>,
}

/// A connection that remembers every call.
#[derive(Debug, Clone)]
pub(crate) struct Driver {
    client: ComputeDriverClient<Channel>,
    calls: Vec<Call>,
}

impl Driver {
    /// Wraps a connection.
    pub(crate) fn new(client: ComputeDriverClient<Channel>) -> Self {
        Self { client, calls: Vec::new() }
    }

    /// The calls made so far.
    pub(crate) fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// The calls that were made.
    pub(crate) fn into_calls(self) -> Vec<Call> {
        self.calls
    }

    /// The connection itself, for a stream.
    pub(crate) fn client(&self) -> ComputeDriverClient<Channel> {
        self.client.clone()
    }

    /// `GetCapabilities`.
    pub(crate) async fn capabilities(&mut self) -> Value {
        let answer = self.client.get_capabilities(GetCapabilitiesRequest {}).await;
        let mut seen = self.record("GetCapabilities", json!({}), answer.as_ref().err());
        if let Ok(answer) = answer {
            let answer = answer.into_inner();
            seen.insert("driverName".to_owned(), json!(answer.driver_name));
            seen.insert("driverVersion".to_owned(), json!(answer.driver_version));
            seen.insert("defaultImage".to_owned(), json!(answer.default_image));
        }
        Value::Object(seen)
    }

    /// `ValidateSandboxCreate`.
    pub(crate) async fn validate(&mut self, message: &SandboxMessage) -> Value {
        let request = ValidateSandboxCreateRequest { sandbox: message.to_protocol() };
        let answer = self.client.validate_sandbox_create(request).await;
        Value::Object(self.record("ValidateSandboxCreate", message.shown(), answer.as_ref().err()))
    }

    /// `CreateSandbox`.
    pub(crate) async fn create(&mut self, message: &SandboxMessage) -> Value {
        let request = CreateSandboxRequest { sandbox: message.to_protocol() };
        let answer = self.client.create_sandbox(request).await;
        Value::Object(self.record("CreateSandbox", message.shown(), answer.as_ref().err()))
    }

    /// `GetSandbox`.
    pub(crate) async fn get(&mut self, id: &str, name: &str) -> Value {
        let request = GetSandboxRequest { sandbox_id: id.to_owned(), sandbox_name: name.to_owned() };
        let answer = self.client.get_sandbox(request).await;
        let mut seen = self.record("GetSandbox", json!({ "id": id, "name": name }), answer.as_ref().err());
        let sandbox = answer.ok().and_then(|answer| answer.into_inner().sandbox);
        seen.insert("sandbox".to_owned(), sandbox.as_ref().map_or(Value::Null, shown_sandbox));
        Value::Object(seen)
    }

    /// `ListSandboxes`.
    pub(crate) async fn list(&mut self) -> Value {
        let answer = self.client.list_sandboxes(ListSandboxesRequest {}).await;
        let mut seen = self.record("ListSandboxes", json!({}), answer.as_ref().err());
        let mut sandboxes = answer.map(|answer| answer.into_inner().sandboxes).unwrap_or_default();
        sandboxes.sort_by(|left, right| left.name.cmp(&right.name));
        let each = |read: fn(&DriverSandbox) -> &str| -> Value { sandboxes.iter().map(read).collect() };
        seen.insert("ids".to_owned(), each(|sandbox| &sandbox.id));
        seen.insert("names".to_owned(), each(|sandbox| &sandbox.name));
        Value::Object(seen)
    }

    /// `DeleteSandbox`.
    pub(crate) async fn delete(&mut self, id: &str, name: &str) -> Value {
        let request = DeleteSandboxRequest { sandbox_id: id.to_owned(), sandbox_name: name.to_owned() };
        let answer = self.client.delete_sandbox(request).await;
        let mut seen = self.record("DeleteSandbox", json!({ "id": id, "name": name }), answer.as_ref().err());
        if let Ok(answer) = answer {
            seen.insert("deleted".to_owned(), json!(answer.into_inner().deleted));
        }
        Value::Object(seen)
    }

    /// `StopSandbox`.
    pub(crate) async fn stop(&mut self, id: &str, name: &str) -> Value {
        let request = StopSandboxRequest { sandbox_id: id.to_owned(), sandbox_name: name.to_owned() };

        let answer = self.client.stop_sandbox(request).await;
        Value::Object(self.record("StopSandbox", json!({ "id": id, "name": name }), answer.as_ref().err()))
    }

    /// `StartSandbox`.
    pub(crate) async fn start(&mut self, id: &str, name: &str) -> Value {
        let request = StartSandboxRequest { sandbox_id: id.to_owned(), sandbox_name: name.to_owned() };
        let answer = self.client.start_sandbox(request).await;
        Value::Object(self.record("StartSandbox", json!({ "id": id, "name": name }), answer.as_ref().err()))
    }

    /// `EnsureWorkspace`.
    pub(crate) async fn ensure_workspace(&mut self, workspace: &str) -> Value {
        let answer = self.client.ensure_workspace(EnsureWorkspaceRequest { workspace: workspace.to_owned() }).await;
        Value::Object(self.record("EnsureWorkspace", json!({ "workspace": workspace }), answer.as_ref().err()))
    }

    /// `DeleteWorkspace`.
    pub(crate) async fn delete_workspace(&mut self, workspace: &str) -> Value {
        let answer = self.client.delete_workspace(DeleteWorkspaceRequest { workspace: workspace.to_owned() }).await;
        Value::Object(self.record("DeleteWorkspace", json!({ "workspace": workspace }), answer.as_ref().err()))
    }

    fn record(&mut self, method: &'static str, request: Value, error: Option<&Status>) -> Map<String, Value> {
        let code = error.map_or("OK".to_owned(), |status| code_name(status.code()));
        let message = error.map(|status| status.message().to_owned()).unwrap_or_default();
        self.calls.push(Call { at: Timestamp::now(), method, request, code: code.clone(), message: message.clone() });
        Map::from_iter([("code".to_owned(), json!(code)), ("message".to_owned(), json!(message))])
    }
}

impl SandboxMessage {
    fn to_protocol(&self) -> Option<DriverSandbox> {
        if self.omit {
            return None;
        }
        Some(DriverSandbox {
            id: self.id.clone(),
            name: self.name.clone(),
            workspace: self.workspace.clone(),
            spec: Some(DriverSandboxSpec {
                environment: self.environment.clone(),
                command: self.command.clone(),
                resource_requirements: self
                    .gpus
                    .map(|count| ResourceRequirements { gpu: Some(GpuResourceRequirements { count: Some(count) }) }),
                template: Some(DriverSandboxTemplate {
                    image: self.image.clone(),
                    labels: self.labels.clone(),
                    resources: self.resources.clone(),
                    platform_config: self.platform_config.as_ref().map(structs::from_json),
                    driver_config: self.driver_config.as_ref().map(structs::from_json),
                    ..DriverSandboxTemplate::default()
                }),
                ..DriverSandboxSpec::default()
            }),
            ..DriverSandbox::default()
        })
    }

    fn shown(&self) -> Value {
        if self.omit {
            return Value::Null;
        }
        json!({
            "id": self.id,
            "name": self.name,
            "workspace": self.workspace,
            "image": self.image,
            "environment": self.environment.keys().collect::<Vec<_>>(),
            "labels": self.labels,
            "command": self.command,
            "resources": self.resources.as_ref().map(|resources| format!("{resources:?}")),
            "gpus": self.gpus,
            "platformConfig": self.platform_config,
            "driverConfig": self.driver_config,
        })
    }
}

/// A sandbox of an answer, as observations show it.
pub(crate) fn shown_sandbox(sandbox: &DriverSandbox) -> Value {
    let status = sandbox.status.clone().unwrap_or_default();
    json!({
        "id": sandbox.id,
        "name": sandbox.name,
        "namespace": sandbox.namespace,
        "workspace": sandbox.workspace,
        "deleting": status.deleting,
        "conditions": status.conditions.iter().map(shown_condition).collect::<Vec<_>>(),
    })
}

fn shown_condition(condition: &DriverCondition) -> Value {
    json!({
        "type": condition.r#type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
    })
}

/// The name of a gRPC code as the protocol's documents write it.
fn code_name(code: Code) -> String {
    match code {
        Code::Ok => "OK".to_owned(),
        other => format!("{other:?}"),
    }
}
