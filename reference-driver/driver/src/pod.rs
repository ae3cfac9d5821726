//! The pod template of a sandbox, as a pure function of the driver's configuration and a validated request.
//!
//! It is JSON rather than typed, because a field of a newer Kubernetes must reach an API server whose types this build lacks.

mod environment;
pub mod settings;

use serde_json::{Map, Value, json};

use crate::config::{PullPolicy, SandboxDefaults, SideloadMethod};
use crate::faults::Faults;
use crate::names;
use crate::request::{Resources, SandboxRequest};

/// The agent container's name.
pub const AGENT_CONTAINER: &str = "agent";
/// The init container that copies the supervisor.
pub const INSTALL_CONTAINER: &str = "openshell-supervisor-install";
/// The volume the supervisor is in.
pub const SUPERVISOR_VOLUME: &str = "openshell-supervisor-bin";
/// Where the agent container sees the supervisor's directory.
pub const SUPERVISOR_DIRECTORY: &str = "/opt/openshell/bin";
/// The supervisor as the agent container runs it.
pub const SUPERVISOR_PATH: &str = "/opt/openshell/bin/openshell-sandbox";
/// The supervisor inside its own image.
pub const SUPERVISOR_IN_IMAGE: &str = "/openshell-sandbox";
/// The directory a sandbox works in.
pub const WORK_DIRECTORY: &str = "/sandbox";
/// The volume with the token a sandbox shows to the gateway.
const TOKEN_VOLUME: &str = "openshell-sa-token";
const TOKEN_DIRECTORY: &str = "/var/run/secrets/openshell";
/// How long the gateway token is valid, in seconds (upstream's default).
const TOKEN_SECONDS: u32 = 3600;
/// What the supervisor needs to build the sandbox around the main process.
const CAPABILITIES: [&str; 4] = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYSLOG"];

/// Everything a pod template is a function of.
#[derive(Debug, Clone, Copy)]
pub struct Template<'a> {
    /// What the driver was configured with.
    pub defaults: &'a SandboxDefaults,
    /// The gateway the sandbox belongs to.
    pub gateway_id: &'a str,
    /// The faults that are on.
    pub faults: &'a Faults,
}

impl Template<'_> {
    /// The pod template of a sandbox: `{metadata, spec}`.
    pub fn render(&self, request: &SandboxRequest) -> Value {
        json!({
            "metadata": { "labels": self.labels(request), "annotations": annotations(request) },
            "spec": self.spec(request),
        })
    }

    /// How the supervisor gets into this sandbox's pod.
    pub fn sideload(&self, request: &SandboxRequest) -> SideloadMethod {
        if self.faults.always_uses_init_container() {
            return SideloadMethod::InitContainer;
        }
        request.driver.sideload.unwrap_or(self.defaults.sideload)
    }

    /// The image this sandbox's supervisor comes from.
    pub fn supervisor_image<'a>(&'a self, request: &'a SandboxRequest) -> &'a str {
        request.driver.supervisor_image.as_deref().unwrap_or(&self.defaults.supervisor_image)
    }

    /// The names of this sandbox's pull secrets: its own replace the configured ones and are never merged with them.
    pub fn pull_secrets(&self, request: &SandboxRequest) -> Vec<String> {
        let configured: &[String] =
            if self.faults.ignores_global_secrets() { &[] } else { &self.defaults.image_pull_secrets };
        match &request.image_pull_secrets {
            None => configured.to_vec(),
            Some(own) if self.faults.merges_override() => distinct(configured.iter().chain(own)),
            Some(own) if self.faults.falls_back_to_global() => distinct(own.iter().chain(configured)),
            Some(own) => own.clone(),
        }
    }

    // The labels are put on the pod too, so that a NetworkPolicy can select it: the Sandbox's own do not reach it.
    fn labels(&self, request: &SandboxRequest) -> Map<String, Value> {
        let mut labels: Map<String, Value> =
            request.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        labels.insert(names::MANAGED_BY_LABEL.to_owned(), json!(names::MANAGED_BY));
        labels.insert(names::GATEWAY_ID_LABEL.to_owned(), json!(self.gateway_id));
        labels.insert(names::SANDBOX_ID_LABEL.to_owned(), json!(request.id));
        labels
    }

    fn spec(&self, request: &SandboxRequest) -> Value {
        let mut spec = Map::new();
        let mut set = |key: &str, value: Value| {
            spec.insert(key.to_owned(), value);
        };
        set("restartPolicy", json!("Never"));
        set("automountServiceAccountToken", json!(false));
        set("terminationGracePeriodSeconds", json!(self.defaults.termination_grace_seconds));
        set("serviceAccountName", json!(self.defaults.service_account));

        let pull_secrets = self.pull_secrets(request);
        if !pull_secrets.is_empty() {
            set("imagePullSecrets", pull_secrets.iter().map(|name| json!({ "name": name })).collect());
        }
        let runtime_class = [&request.platform.runtime_class_name, &request.driver.runtime_class_name]
            .into_iter()
            .find_map(Option::as_ref)
            .or(self.defaults.runtime_class_name.as_ref());
        if let Some(class) = runtime_class {
            set("runtimeClassName", json!(class));
        }
        if let Some(class) = &request.driver.priority_class_name {
            set("priorityClassName", json!(class));
        }
        if let Some(host_users) = request.platform.host_users {
            set("hostUsers", json!(host_users));
        }
        let mut node_selector = request.driver.node_selector.clone();
        node_selector.extend(request.platform.node_selector.clone());
        if !node_selector.is_empty() {
            set("nodeSelector", json!(node_selector));
        }
        let tolerations: Vec<&Value> = request.platform.tolerations.iter().chain(&request.driver.tolerations).collect();
        if !tolerations.is_empty() {
            set("tolerations", json!(tolerations));
        }

        let method = self.sideload(request);
        if method == SideloadMethod::InitContainer {
            set("initContainers", json!([self.install_container(request)]));
        }
        set("containers", json!([self.agent_container(request)]));
        let mut volumes = vec![self.supervisor_volume(request, method)];
        volumes.extend(self.token_volume());
        set("volumes", json!(volumes));
        Value::Object(spec)
    }

    fn supervisor_volume(&self, request: &SandboxRequest, method: SideloadMethod) -> Value {
        match method {
            SideloadMethod::ImageVolume => {
                let mut image = json!({ "reference": self.supervisor_image(request) });
                set_policy(&mut image, "pullPolicy", self.supervisor_policy(request));
                json!({ "name": SUPERVISOR_VOLUME, "image": image })
            }
            SideloadMethod::InitContainer => json!({ "name": SUPERVISOR_VOLUME, "emptyDir": {} }),
        }
    }

    fn install_container(&self, request: &SandboxRequest) -> Value {
        let mut container = json!({
            "name": INSTALL_CONTAINER,
            "image": self.supervisor_image(request),
            "command": [SUPERVISOR_IN_IMAGE, "copy-self", SUPERVISOR_PATH],
            "securityContext": { "runAsUser": 0 },
            "volumeMounts": [{ "name": SUPERVISOR_VOLUME, "mountPath": SUPERVISOR_DIRECTORY }],
        });
        set_policy(&mut container, "imagePullPolicy", self.supervisor_policy(request));
        container
    }

    fn agent_container(&self, request: &SandboxRequest) -> Value {
        let mut mounts = vec![json!({
            "name": SUPERVISOR_VOLUME,
            "mountPath": SUPERVISOR_DIRECTORY,
            "readOnly": !self.faults.mounts_writable(),
        })];
        if self.defaults.grpc_endpoint.is_some() {
            mounts.push(json!({ "name": TOKEN_VOLUME, "mountPath": TOKEN_DIRECTORY, "readOnly": true }));
        }
        let mut container = json!({
            "name": AGENT_CONTAINER,
            "image": request.image.as_deref().unwrap_or(&self.defaults.image),
            "command": [SUPERVISOR_PATH, "--workdir", WORK_DIRECTORY],
            "env": environment::of(self.defaults, request),
            "securityContext": { "runAsUser": 0, "capabilities": { "add": CAPABILITIES } },
            "volumeMounts": mounts,
        });
        set_policy(&mut container, "imagePullPolicy", self.defaults.image_pull_policy);
        let resources = agent_resources(request);
        if !resources.is_empty() {
            let mut rendered = Map::new();
            for (key, quantities) in [("requests", &resources.requests), ("limits", &resources.limits)] {
                if !quantities.is_empty() {
                    rendered.insert(key.to_owned(), json!(quantities));
                }
            }
            insert(&mut container, "resources", Value::Object(rendered));
        }
        container
    }

    // Without a gateway to show it to, a pod gets no token.
    fn token_volume(&self) -> Option<Value> {
        self.defaults.grpc_endpoint.as_ref()?;
        let source = json!({
            "audience": "openshell-gateway",
            "expirationSeconds": TOKEN_SECONDS,
            "path": environment::TOKEN_FILE,
        });
        Some(json!({
            "name": TOKEN_VOLUME,
            "projected": { "defaultMode": 0o400, "sources": [{ "serviceAccountToken": source }] },
        }))
    }

    fn supervisor_policy(&self, request: &SandboxRequest) -> Option<PullPolicy> {
        request.driver.supervisor_image_pull_policy.or(self.defaults.supervisor_image_pull_policy)
    }
}

fn annotations(request: &SandboxRequest) -> Map<String, Value> {
    let mut annotations: Map<String, Value> =
        request.platform.annotations.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    annotations.insert(names::SANDBOX_ID_ANNOTATION.to_owned(), json!(request.id));
    annotations
}

/// The typed values first, then the platform's, then the GPUs, then the driver block's.
fn agent_resources(request: &SandboxRequest) -> Resources {
    let mut resources = request.resources.clone();
    resources.fill_from(&request.platform.resources);
    if let Some(gpus) = request.gpus {
        resources.limits.entry("nvidia.com/gpu".to_owned()).or_insert_with(|| gpus.to_string());
    }
    resources.fill_from(&request.driver.agent_resources);
    resources
}

fn distinct<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for name in names {
        if !kept.contains(name) {
            kept.push(name.clone());
        }
    }
    kept
}

fn set_policy(object: &mut Value, key: &str, policy: Option<PullPolicy>) {
    if let Some(policy) = policy {
        insert(object, key, json!(policy.as_str()));
    }
}

fn insert(object: &mut Value, key: &str, value: Value) {
    if let Some(map) = object.as_object_mut() {
        map.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
pub(crate) mod tests;
