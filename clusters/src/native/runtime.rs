//! CRI-O, what it trusts, and the pods' network.

use std::fmt::Write as _;

use camino::Utf8Path;
use serde_json::json;

use super::{
    NodeRegistry, NodeSettings, POD_RANGE, Programs, ProviderError, adaptations,
    files::{Files, inside},
    plan::{ComponentPlan, StartCondition},
    start::component,
};
use crate::{
    host::Host,
    oci_runtime::{CONFIGURATION, Configuration, PROGRAM},
};

/// CRI-O's socket. A path that ends in `run/crio/crio.sock` would switch the kubelet to its old
/// statistics of images.
pub(crate) const CRI_SOCKET: &str = "/run/crio/cri.sock";

/// Where `root` lies in the private directory: its parts are mounted over the host's.
const ROOT: &str = "root";

/// CRI-O and all it reads.
pub(crate) fn crio(
    files: &Files,
    programs: &Programs,
    host: &Host,
    settings: &NodeSettings,
) -> Result<ComponentPlan, ProviderError> {
    let runtime = oci_runtime(files, programs, host)?;
    files.write(
        "configuration/crio.conf",
        crio_configuration(
            programs.pinns.as_str(),
            programs.conmon.as_str(),
            programs.cni_plugins.as_str(),
            &runtime,
            &settings.pause_image,
        ),
    )?;
    files.write(&format!("{ROOT}/etc/containers/registries.conf"), registries(&settings.registries))?;
    files.write(
        &format!("{ROOT}/etc/containers/policy.json"),
        json!({"default": [{"type": "insecureAcceptAnything"}]}).to_string(),
    )?;
    for registry in &settings.registries {
        if let Some(authority) = &registry.ca_pem {
            files.write(&format!("{ROOT}/etc/containers/certs.d/{}/ca.crt", registry.address), authority)?;
        }
    }
    files.write_json(&format!("{ROOT}/etc/cni/net.d/10-sandproof.conflist"), &pod_network())?;
    let arguments = ["--config".to_owned(), inside("configuration/crio.conf"), "--config-dir=".to_owned()];
    Ok(component("crio", &programs.crio, arguments, StartCondition::AtOnce))
}

/// The OCI runtime that CRI-O calls: runc itself, or the program in front of it where the host
/// needs a bundle adjusted.
fn oci_runtime(files: &Files, programs: &Programs, host: &Host) -> Result<String, ProviderError> {
    let adjustments = adaptations::adjustments(host);
    if !adjustments.any() {
        return Ok(programs.runc.to_string());
    }
    let configuration = Configuration { runtime: programs.runc.clone().into_std_path_buf(), adjustments };
    files.write_json(&format!("runtime/{CONFIGURATION}"), &configuration)?;
    files.link(&format!("runtime/{PROGRAM}"), &programs.oci_runtime)
}

fn crio_configuration(pinns: &str, conmon: &str, cni_plugins: &str, runtime: &str, pause_image: &str) -> String {
    format!(
        r#"[crio]
root = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
storage_driver = "overlay"
log_dir = "/var/log/crio/pods"
version_file = "/run/crio/version"
clean_shutdown_file = "/var/lib/crio/clean.shutdown"
internal_wipe = false

[crio.api]
listen = "{CRI_SOCKET}"
stream_address = "127.0.0.1"
stream_port = "0"

[crio.runtime]
cgroup_manager = "cgroupfs"
conmon_cgroup = "pod"
container_attach_socket_dir = "/run/crio/attach"
container_exits_dir = "/run/crio/exits"
default_runtime = "runc"
disable_hostport_mapping = true
drop_infra_ctr = true
enable_criu_support = false
hooks_dir = []
log_level = "info"
namespaces_dir = "/run/crio/namespaces"
pinns_path = "{pinns}"
selinux = false

[crio.runtime.runtimes.runc]
runtime_path = "{runtime}"
runtime_type = "oci"
runtime_root = "/run/runc"
monitor_path = "{conmon}"
monitor_cgroup = "pod"

[crio.image]
pause_image = "{pause_image}"
pause_command = ""
signature_policy = "/etc/containers/policy.json"
short_name_mode = "disabled"

[crio.network]
network_dir = "/etc/cni/net.d"
plugin_dirs = ["{cni_plugins}"]

[crio.metrics]
enable_metrics = false

[crio.nri]
enable_nri = false
"#
    )
}

/// `registries.conf`: plain-HTTP registries are named, no other name is ever completed.
fn registries(registries: &[NodeRegistry]) -> String {
    let mut text = String::from("unqualified-search-registries = []\nshort-name-mode = \"disabled\"\n");
    for registry in registries.iter().filter(|registry| registry.ca_pem.is_none()) {
        let _ = write!(text, "\n[[registry]]\nlocation = \"{}\"\ninsecure = true\n", registry.address);
    }
    text
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_registries_are_insecure() {
        let known = [
            NodeRegistry { address: "198.18.0.1:5000".to_owned(), ca_pem: None },
            NodeRegistry { address: "198.18.0.1:5001".to_owned(), ca_pem: Some("pem".to_owned()) },
        ];
        insta::assert_snapshot!(registries(&known), @r#"
        unqualified-search-registries = []
        short-name-mode = "disabled"

        [[registry]]
        location = "198.18.0.1:5000"
        insecure = true
        "#);
    }

    #[test]
    fn the_runtime_configuration_has_no_path_of_the_host_but_its_programs() {
        let configuration = crio_configuration(
            "/components/pinns",
            "/components/conmon",
            "/components/cni",
            "/run/sandproof/runtime/sandproof-oci-runtime",
            "198.18.0.1:5000/pause:1",
        );
        insta::assert_snapshot!(configuration);
    }
}
