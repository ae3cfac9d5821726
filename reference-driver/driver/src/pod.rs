//! The pod template of a sandbox, as a pure function of the driver's configuration and a validated request.
//!
//! It is JSON rather than typed, because a field of a newer Kubernetes must reach an API server whose types this build lacks.

mod containers;
mod environment;
pub mod settings;
mod sidecar;
mod volumes;
mod workspace;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::config::{PullPolicy, SandboxDefaults, SideloadMethod};
use crate::faults::Faults;
use crate::names;
use crate::request::{InvalidRequest, SandboxRequest};
use settings::Topology;

/// The agent container's name.
pub const AGENT_CONTAINER: &str = "agent";
/// The init container that copies the supervisor.
pub const INSTALL_CONTAINER: &str = "openshell-supervisor-install";
/// The init container that fills a fresh workspace volume.
pub const WORKSPACE_CONTAINER: &str = "workspace-init";
/// The init container that prepares the network in topology `sidecar`.
pub const NETWORK_INIT_CONTAINER: &str = "openshell-network-init";
/// The container that guards the network in topology `sidecar`.
pub const NETWORK_CONTAINER: &str = "openshell-supervisor-network";
/// The volume the supervisor is in.
pub const SUPERVISOR_VOLUME: &str = "openshell-supervisor-bin";
/// The claim and the volume a sandbox works in.
pub const WORKSPACE_VOLUME: &str = "workspace";
/// Where the agent container sees the supervisor's directory.
pub const SUPERVISOR_DIRECTORY: &str = "/opt/openshell/bin";
/// The supervisor as the agent container runs it.
pub const SUPERVISOR_PATH: &str = "/opt/openshell/bin/openshell-sandbox";
/// The supervisor inside its own image.
pub const SUPERVISOR_IN_IMAGE: &str = "/openshell-sandbox";
/// The directory a sandbox works in.
pub const WORK_DIRECTORY: &str = "/sandbox";

/// The names of volumes that are the driver's (upstream's, and those of topology `sidecar`).
pub const RESERVED_VOLUMES: [&str; 8] = [
    volumes::CLIENT_TLS,
    volumes::PROXY_AUTH,
    volumes::TOKEN,
    volumes::SPIFFE,
    SUPERVISOR_VOLUME,
    WORKSPACE_VOLUME,
    sidecar::STATE_VOLUME,
    sidecar::TLS_VOLUME,
];

/// Directories that no volume of a user may hide or reach into.
///
/// `/var/run` is a link to `/run` in most images, so the token's directory is here by both of its names.
pub const PROTECTED_DIRECTORIES: [&str; 11] = [
    volumes::TOKEN_DIRECTORY,
    "/run/secrets/openshell",
    "/run/openshell",
    sidecar::STATE_DIRECTORY,
    SUPERVISOR_DIRECTORY,
    volumes::CLIENT_TLS_DIRECTORY,
    volumes::PROXY_AUTH_DIRECTORY,
    sidecar::TLS_DIRECTORY,
    "/proc",
    "/sys",
    "/dev",
];

/// The longest pod template, in bytes of JSON.
///
/// etcd takes 1.5 MiB; the rest is for what the API server writes beside the template, which is more for more fields.
const OBJECT_LIMIT: usize = 768 * 1024;

/// What the supervisor needs to build the sandbox around the main process.
const CAPABILITIES: [&str; 4] = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYSLOG"];
/// What it needs beyond that in a user namespace, where root does not have it by itself.
const USER_NAMESPACE_CAPABILITIES: [&str; 3] = ["SETUID", "SETGID", "DAC_READ_SEARCH"];

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

    /// Refuses a request that does not go with this driver's configuration.
    pub fn check(&self, request: &SandboxRequest) -> Result<(), InvalidRequest> {
        let own = self.defaults.pod.spiffe_socket.as_deref().and_then(volumes::directory_of);
        let socket = volumes::directory_of(&self.defaults.ssh_socket_path);
        for (index, mount) in request.driver.mounts.iter().enumerate() {
            if let Some(directory) = own.iter().chain(&socket).find(|directory| mount.meets(directory)) {
                return Err(InvalidRequest::protected_mount(index, mount, directory));
            }
        }
        let length = self.render(request).to_string().len();
        if length > OBJECT_LIMIT {
            return Err(InvalidRequest::Field {
                field: "sandbox".to_owned(),
                problem: format!(
                    "its pod template would have {length} bytes; at most {OBJECT_LIMIT} fit into Kubernetes' store"
                ),
            });
        }
        Ok(())
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
        let own = request.driver.supervisor_image.as_deref().filter(|_| !self.faults.ignores_supervisor_image());
        own.unwrap_or(&self.defaults.supervisor_image)
    }

    /// The names of this sandbox's pull secrets: its own replace the configured ones and are never merged with them.
    pub fn pull_secrets(&self, request: &SandboxRequest) -> Vec<String> {
        let configured: &[String] =
            if self.faults.ignores_global_secrets() { &[] } else { &self.defaults.image_pull_secrets };
        let trimmed: Vec<String>;
        let configured = if self.faults.trims_in_pods_only() {
            trimmed = configured.iter().map(|name| name.trim().to_owned()).collect();
            &trimmed
        } else {
            configured
        };
        match &request.image_pull_secrets {
            None if self.faults.guesses_pull_secret() && configured.is_empty() => vec!["regcred".to_owned()],
            None if self.faults.reverses_pull_secrets() => configured.iter().rev().cloned().collect(),
            None => configured.to_vec(),
            Some(own) if self.faults.merges_override() => distinct(configured.iter().chain(own)),
            Some(own) if self.faults.falls_back_to_global() => distinct(own.iter().chain(configured)),
            Some(own) => own.clone(),
        }
    }

    /// Whether the pod has a user namespace of its own.
    pub fn has_user_namespace(&self, request: &SandboxRequest) -> bool {
        let own = request.platform.host_users.filter(|_| !self.faults.ignores_host_users());
        own.map_or(self.defaults.pod.user_namespaces, |host_users| !host_users)
    }

    // The labels are put on the pod too, so that a NetworkPolicy can select it: the Sandbox's own do not reach it.
    fn labels(&self, request: &SandboxRequest) -> Map<String, Value> {
        let asked = request.labels.iter().filter(|_| !self.faults.omits_labels());
        let mut labels: Map<String, Value> = asked.map(|(key, value)| (key.clone(), json!(value))).collect();
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
        set("automountServiceAccountToken", json!(self.faults.automounts_token()));
        set("terminationGracePeriodSeconds", json!(self.defaults.termination_grace_seconds));
        if !self.faults.drops_service_account() {
            set("serviceAccountName", json!(self.defaults.service_account));
        }

        let pull_secrets = self.pull_secrets(request);
        if !pull_secrets.is_empty() {
            set("imagePullSecrets", pull_secrets.iter().map(|name| json!({ "name": name })).collect());
        }
        if let Some(class) = self.runtime_class(request) {
            set("runtimeClassName", json!(class));
        }
        if let Some(host_users) = self.host_users(request) {
            set("hostUsers", json!(host_users));
        }
        if !self.faults.ignores_placement() {
            if let Some(class) = &request.driver.priority_class_name {
                set("priorityClassName", json!(class));
            }
            let mut blocks = [&request.driver.node_selector, &request.platform.node_selector];
            if self.faults.prefers_driver_block() {
                blocks.reverse();
            }
            // What comes later goes first.
            let node_selector: BTreeMap<&String, &String> = blocks.into_iter().flatten().collect();
            if !node_selector.is_empty() {
                set("nodeSelector", json!(node_selector));
            }
            let tolerations: Vec<&Value> =
                request.platform.tolerations.iter().chain(&request.driver.tolerations).collect();
            if !tolerations.is_empty() {
                set("tolerations", json!(tolerations));
            }
        }
        if let Some(address) = &self.defaults.pod.host_gateway {
            let names = ["host.docker.internal", "host.openshell.internal"];
            set("hostAliases", json!([{ "ip": address, "hostnames": names }]));
        }
        if self.is_sidecar() {
            set("shareProcessNamespace", json!(true));
        }
        // The group that a volume belongs to is the main process's, so that it can write there.
        if self.is_sidecar() || self.workspace_claim(request).is_some() {
            set("securityContext", json!({ "fsGroup": self.defaults.group_id }));
        }

        let init_containers = self.init_containers(request);
        if !init_containers.is_empty() {
            set("initContainers", json!(init_containers));
        }
        set("containers", json!(self.containers(request)));
        set("volumes", json!(self.volumes(request)));
        Value::Object(spec)
    }

    fn runtime_class<'a>(&'a self, request: &'a SandboxRequest) -> Option<&'a String> {
        let mut asked = [&request.platform.runtime_class_name, &request.driver.runtime_class_name];
        if self.faults.prefers_driver_block() {
            asked.reverse();
        }
        asked.into_iter().find_map(Option::as_ref).or(self.defaults.runtime_class_name.as_ref())
    }

    fn host_users(&self, request: &SandboxRequest) -> Option<bool> {
        let own = request.platform.host_users.filter(|_| !self.faults.ignores_host_users());
        own.or(self.defaults.pod.user_namespaces.then_some(false))
    }

    fn is_sidecar(&self) -> bool {
        self.defaults.pod.topology == Topology::Sidecar
    }

    fn supervisor_policy(&self, request: &SandboxRequest) -> Option<PullPolicy> {
        if self.faults.ignores_pull_policy() {
            return None;
        }
        request.driver.supervisor_image_pull_policy.or(self.defaults.supervisor_image_pull_policy)
    }
}

fn annotations(request: &SandboxRequest) -> Map<String, Value> {
    let mut annotations: Map<String, Value> =
        request.platform.annotations.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    annotations.insert(names::SANDBOX_ID_ANNOTATION.to_owned(), json!(request.id));
    annotations
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
#[cfg(test)]
pub(crate) mod validity;
