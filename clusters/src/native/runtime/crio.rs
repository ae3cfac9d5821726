//! CRI-O and what it trusts.

use std::fmt::Write as _;

use camino::Utf8Path;
use serde_json::json;

use super::{NETWORK_DIRECTORY, ROOT};
use crate::native::{
    NodeRegistry, NodeSettings, ProviderError,
    files::{Files, inside},
    plan::{ComponentPlan, StartCondition},
    start,
};

/// CRI-O's socket. A path that ends in `run/crio/crio.sock` would switch the kubelet to its old
/// statistics of images.
pub(super) const SOCKET: &str = "/run/crio/cri.sock";

/// The programs that CRI-O calls.
pub(super) struct Callees<'a> {
    pub(super) pinns: &'a Utf8Path,
    pub(super) conmon: &'a Utf8Path,
    pub(super) oci_runtime: &'a str,
    pub(super) cni_plugins: &'a Utf8Path,
}

/// CRI-O and all it reads.
pub(super) fn component(
    files: &Files,
    crio: &Utf8Path,
    programs: &Callees<'_>,
    settings: &NodeSettings,
) -> Result<ComponentPlan, ProviderError> {
    files.write("configuration/crio.conf", configuration(programs, &settings.pause_image))?;
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
    let arguments = ["--config".to_owned(), inside("configuration/crio.conf"), "--config-dir=".to_owned()];
    Ok(start::component("crio", crio, arguments, StartCondition::AtOnce))
}

fn configuration(programs: &Callees<'_>, pause_image: &str) -> String {
    let Callees { pinns, conmon, oci_runtime, cni_plugins } = programs;
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
listen = "{SOCKET}"
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
runtime_path = "{oci_runtime}"
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
network_dir = "{NETWORK_DIRECTORY}"
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
    fn the_configuration_has_no_path_of_the_host_but_its_programs() {
        let programs = Callees {
            pinns: "/components/pinns".into(),
            conmon: "/components/conmon".into(),
            oci_runtime: "/run/sandproof/runtime/sandproof-oci-runtime",
            cni_plugins: "/components/cni".into(),
        };
        insta::assert_snapshot!(configuration(&programs, "198.18.0.1:5000/pause:1"));
    }
}
