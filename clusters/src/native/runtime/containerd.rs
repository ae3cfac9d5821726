//! containerd and what it trusts.

use camino::Utf8Path;

use super::{NETWORK_DIRECTORY, ROOT};
use crate::native::{
    NodeRegistry, NodeSettings, ProviderError,
    files::{Files, inside},
    plan::{ComponentPlan, StartCondition},
    start,
};

/// containerd's socket, at its usual place: `/run` is the cluster's own.
pub(super) const SOCKET: &str = "/run/containerd/containerd.sock";

/// Where containerd looks for what it is told of a registry.
const REGISTRIES: &str = "/etc/containerd/certs.d";

/// The plugin that serves the kubelet. Without it containerd ends and says why; the kubelet would only say that nobody
/// serves it.
const KUBELET: &str = "io.containerd.grpc.v1.cri";

/// A directory, beneath the private one, that containerd's search path begins with.
const SEARCHED: &str = "runtime/path";

/// A directory, in the private one, that is never made: containerd asks programs in it whether it may use an image, and
/// by default it would ask those of the host. Without this plugin its own way to pull is not there.
const VERIFIERS: &str = "runtime/image-verifiers";

/// Plugins that a node for tests has no use for. Some look into directories of the host, which would then be part of
/// what is tested; the others look for file systems and services that are not there, and fill the log.
const DISABLED: [&str; 13] = [
    "io.containerd.differ.v1.erofs",
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.restart",
    "io.containerd.internal.v1.tracing",
    "io.containerd.monitor.container.v1.restart",
    "io.containerd.mount-handler.v1.erofs",
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.erofs",
    "io.containerd.snapshotter.v1.native",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.tracing.processor.v1.otlp",
];

/// The programs that containerd calls.
pub(super) struct Callees<'a> {
    pub(super) shim: &'a Utf8Path,
    pub(super) runc: &'a Utf8Path,
    pub(super) oci_runtime: &'a str,
    pub(super) cni_plugins: &'a Utf8Path,
}

/// containerd and all it reads.
pub(super) fn component(
    files: &Files,
    containerd: &Utf8Path,
    version: &str,
    programs: &Callees<'_>,
    settings: &NodeSettings,
) -> Result<ComponentPlan, ProviderError> {
    let configuration = configuration(version, programs, &settings.pause_image);
    let configuration = files.write("configuration/containerd.toml", configuration)?;
    for registry in &settings.registries {
        let directory = format!("{REGISTRIES}/{}", registry.address);
        if let Some(authority) = &registry.ca_pem {
            files.write(&format!("{ROOT}{directory}/ca.crt"), authority)?;
        }
        files.write(&format!("{ROOT}{directory}/hosts.toml"), host(registry, &directory))?;
    }
    let arguments = ["--config".to_owned(), configuration];
    let mut component = start::component("containerd", containerd, arguments, StartCondition::AtOnce);
    // A shim that is asked what runc can do looks for it on the search path, whatever it is configured with.
    files.link(&format!("{SEARCHED}/runc"), programs.runc)?;
    if let Some(path) = component.environment.get_mut("PATH") {
        *path = format!("{}:{path}", inside(SEARCHED));
    }
    Ok(component)
}

/// The main file: what a node for tests differs in from containerd's defaults.
fn configuration(version: &str, programs: &Callees<'_>, pause_image: &str) -> String {
    let disabled = DISABLED.join("\",\n  \"");
    // The first series has one plugin for all that the kubelet asks; the second has one for images and one for pods.
    let first_series = version.starts_with("1.");
    let plugins = if first_series { first_series_plugins } else { plugins }(programs, pause_image);
    let format = if first_series { 2 } else { 3 };
    format!(
        r#"version = {format}
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "{disabled}",
]
required_plugins = ["{KUBELET}"]

[grpc]
address = "{SOCKET}"

[plugins."io.containerd.nri.v1.nri"]
disable = true

{plugins}"#
    )
}

/// The plugins of containerd 2.
fn plugins(programs: &Callees<'_>, pause_image: &str) -> String {
    let Callees { shim, oci_runtime, cni_plugins, .. } = programs;
    let verifiers = inside(VERIFIERS);
    format!(
        r#"[plugins."io.containerd.image-verifier.v1.bindir"]
bin_dir = "{verifiers}"

[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{pause_image}"

[plugins."io.containerd.cri.v1.images".registry]
config_path = "{REGISTRIES}"

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{cni_plugins}"]
conf_dir = "{NETWORK_DIRECTORY}"

[plugins."io.containerd.cri.v1.runtime".containerd]
default_runtime_name = "runc"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
runtime_path = "{shim}"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{oci_runtime}"
SystemdCgroup = false
"#
    )
}

/// The plugin of containerd 1.
fn first_series_plugins(programs: &Callees<'_>, pause_image: &str) -> String {
    let Callees { shim, oci_runtime, cni_plugins, .. } = programs;
    format!(
        r#"[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause_image}"

[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{REGISTRIES}"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{cni_plugins}"
conf_dir = "{NETWORK_DIRECTORY}"

[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "runc"
snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
runtime_path = "{shim}"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{oci_runtime}"
SystemdCgroup = false
"#
    )
}

/// `hosts.toml` of a registry: which protocol it speaks, and whose certificate it shows. It is the server itself and no
/// mirror of it, so that a pull that fails is tried once. containerd 1 ignores a file without the table of mirrors.
pub(super) fn host(registry: &NodeRegistry, directory: &str) -> String {
    let address = &registry.address;
    match registry.ca_pem {
        None => format!("server = \"http://{address}\"\n\n[host]\n"),
        Some(_) => format!("server = \"https://{address}\"\nca = \"{directory}/ca.crt\"\n\n[host]\n"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_registry_is_its_own_server() {
        let plain = NodeRegistry { address: "198.18.0.1:5000".to_owned(), ca_pem: None };
        insta::assert_snapshot!(host(&plain, "/certs/198.18.0.1:5000"), @r#"
        server = "http://198.18.0.1:5000"

        [host]
        "#);
        let secure = NodeRegistry { address: "198.18.0.1:5001".to_owned(), ca_pem: Some("pem".to_owned()) };
        insta::assert_snapshot!(host(&secure, "/certs/198.18.0.1:5001"), @r#"
        server = "https://198.18.0.1:5001"
        ca = "/certs/198.18.0.1:5001/ca.crt"

        [host]
        "#);
    }

    #[rstest]
    #[case("1.7.30")]
    #[case("2.3.5")]
    fn the_configuration_has_no_path_of_the_host_but_its_programs(#[case] version: &str) {
        let programs = Callees {
            shim: "/components/containerd-shim-runc-v2".into(),
            runc: "/components/runc".into(),
            oci_runtime: "/run/sandproof/runtime/sandproof-oci-runtime",
            cni_plugins: "/components/cni".into(),
        };
        insta::assert_snapshot!(
            format!("series_{}", &version[..1]),
            configuration(version, &programs, "198.18.0.1:5000/pause:1")
        );
    }
}
