//! Topology `sidecar`: the network is guarded by a container of its own, and the agent has no rights.

use serde_json::{Value, json};

use super::{NETWORK_CONTAINER, NETWORK_INIT_CONTAINER, SUPERVISOR_IN_IMAGE, Template, environment};
use crate::request::SandboxRequest;

/// The volume over which the two parts of the supervisor know of each other.
pub(super) const STATE_VOLUME: &str = "openshell-sidecar-state";
pub(super) const STATE_DIRECTORY: &str = "/run/openshell-sidecar";
/// The volume with the certificates that the network container makes.
pub(super) const TLS_VOLUME: &str = "openshell-supervisor-tls";
pub(super) const TLS_DIRECTORY: &str = "/etc/openshell-tls/supervisor";

impl Template<'_> {
    /// Prepares the pod's network and the directories that the two parts share.
    pub(super) fn network_init_container(&self, request: &SandboxRequest) -> Value {
        let proxy = self.defaults.pod.sidecar.proxy_id.to_string();
        let container = json!({
            "name": NETWORK_INIT_CONTAINER,
            "command": [
                SUPERVISOR_IN_IMAGE,
                "--mode=network-init",
                "--proxy-uid", proxy,
                "--proxy-gid", proxy,
                "--sidecar-state-dir", STATE_DIRECTORY,
                "--sidecar-tls-dir", TLS_DIRECTORY,
            ],
            "securityContext": {
                "runAsUser": 0,
                "capabilities": { "drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW", "CHOWN", "FOWNER"] },
            },
            "volumeMounts": shared_mounts(),
        });
        self.of_supervisor_image(request, container)
    }

    /// Guards the network as long as the agent lives.
    pub(super) fn network_container(&self, request: &SandboxRequest) -> Value {
        let security = if self.defaults.pod.sidecar.process_binary_aware {
            // Whose connection it is, only root with these two can tell.
            let added = ["SYS_PTRACE", "DAC_READ_SEARCH"];
            json!({ "runAsUser": 0, "capabilities": { "drop": ["ALL"], "add": added } })
        } else {
            json!({
                "runAsUser": self.defaults.pod.sidecar.proxy_id,
                "runAsGroup": self.defaults.pod.sidecar.proxy_id,
                "runAsNonRoot": true,
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
            })
        };
        let mut command = vec![SUPERVISOR_IN_IMAGE.to_owned(), "--mode=network".to_owned()];
        command.extend(self.proxy_arguments());
        let mut mounts = shared_mounts();
        mounts.extend(self.gateway_mounts());
        let container = json!({
            "name": NETWORK_CONTAINER,
            "command": command,
            "env": environment::of_network(self.defaults, request),
            "securityContext": security,
            "volumeMounts": mounts,
        });
        self.of_supervisor_image(request, container)
    }
}

fn shared_mounts() -> Vec<Value> {
    [(STATE_VOLUME, STATE_DIRECTORY), (TLS_VOLUME, TLS_DIRECTORY)]
        .map(|(name, path)| json!({ "name": name, "mountPath": path }))
        .to_vec()
}
