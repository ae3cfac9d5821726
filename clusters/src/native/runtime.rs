//! The container runtime: CRI-O or containerd, each with what it trusts, and what both share:
//! the pods' network and the OCI runtime that they call.

mod containerd;
mod crio;

use camino::Utf8Path;
use serde_json::json;

use super::{
    ClusterRequest, NodeRegistry, NodeSettings, POD_RANGE, ProviderError, RuntimePrograms, adaptations, files::Files,
    plan::ComponentPlan,
};
use crate::oci_runtime::{CONFIGURATION, Configuration, PROGRAM};

/// Where `root` lies in the private directory: its parts are mounted over the host's.
const ROOT: &str = "root";

/// The directory of the pods' network configuration.
const NETWORK_DIRECTORY: &str = "/etc/cni/net.d";

/// The runtime of the request and all it reads.
pub(crate) fn component(
    files: &Files,
    request: &ClusterRequest,
    settings: &NodeSettings,
) -> Result<ComponentPlan, ProviderError> {
    let oci_runtime = oci_runtime(files, request)?;
    files.write_json(&format!("{ROOT}{NETWORK_DIRECTORY}/10-sandproof.conflist"), &pod_network())?;
    let cni_plugins = &request.programs.cni_plugins;
    match &request.programs.runtime {
        RuntimePrograms::CriO { crio, pinns, conmon } => {
            let programs = crio::Callees { pinns, conmon, oci_runtime: &oci_runtime, cni_plugins };
            crio::component(files, crio, &programs, settings)
        }
        RuntimePrograms::Containerd { version, containerd, shim } => {
            let runc = &request.programs.runc;
            let programs = containerd::Callees { shim, runc, oci_runtime: &oci_runtime, cni_plugins };
            containerd::component(files, containerd, version, &programs, settings)
        }
    }
}

/// The socket of the runtime, where the kubelet asks for pods.
pub(crate) fn socket(runtime: &RuntimePrograms) -> &'static str {
    match runtime {
        RuntimePrograms::CriO { .. } => crio::SOCKET,
        RuntimePrograms::Containerd { .. } => containerd::SOCKET,
    }
}

/// What containerd reads of a registry whose files are in `directory`.
pub(crate) fn registry_host(registry: &NodeRegistry, directory: &str) -> String {
    containerd::host(registry, directory)
}

/// The OCI runtime that the runtime calls: runc itself, or the program in front of it where the host
/// needs a bundle adjusted.
fn oci_runtime(files: &Files, request: &ClusterRequest) -> Result<String, ProviderError> {
    let (programs, adjustments) = (&request.programs, adaptations::adjustments(&request.host));
    if !adjustments.any() {
        return Ok(programs.runc.to_string());
    }
    let configuration = Configuration { runtime: programs.runc.clone().into_std_path_buf(), adjustments };
    files.write_json(&format!("runtime/{CONFIGURATION}"), &configuration)?;
    files.link(&format!("runtime/{PROGRAM}"), &programs.oci_runtime)
}

/// A bridge for the pods; they reach the node and the registry through it.
fn pod_network() -> serde_json::Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "sandproof",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "ipMasq": false,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": POD_RANGE}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}, "backend": "nftables"},
        ],
    })
}

/// Whether the directory has the plugins that the network names.
pub(crate) fn missing_plugin(directory: &Utf8Path) -> Option<&'static str> {
    ["bridge", "host-local", "loopback", "portmap"].into_iter().find(|plugin| !directory.join(plugin).is_file())
}
