//! What kind is told: its own configuration, and what it hands on to kubeadm, the kubelet and the Service proxy.

use std::{collections::BTreeMap, net::IpAddr};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use super::node_image::Assembled;
use crate::native::{POD_RANGE, SERVICE_RANGE};

/// The first minor whose kubeadm takes its arguments as lists (v1beta4), as kind v0.33 writes them
/// (`pkg/cluster/internal/kubeadm/config.go`).
const LISTED_ARGUMENTS_SINCE: u64 = 36;

/// Where the private directory appears in a node.
pub(crate) const INSIDE: &str = "/sandproof";

/// What a cluster of kind is made from.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    /// kind's name for it.
    pub(crate) name: &'a str,
    /// The node image.
    pub(crate) image: &'a str,
    /// The minor, such as 36.
    pub(crate) minor: u64,
    /// What is in the image where it was assembled by us: it has no default network and no images of others.
    pub(crate) assembled: Option<&'a Assembled>,
    pub(crate) feature_gates: &'a BTreeMap<String, bool>,
    pub(crate) kubelet_gates: &'a BTreeMap<String, bool>,
    /// Whether the host has cgroup v1.
    pub(crate) cgroup_v1: bool,
    pub(crate) mounts: &'a [Mount],
    /// The host's address as the node sees it.
    pub(crate) host_address: IpAddr,
}

/// A file or directory of the host in a node, read-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) host: Utf8PathBuf,
    pub(crate) node: String,
}

impl Mount {
    pub(crate) fn new(host: impl AsRef<Utf8Path>, node: impl Into<String>) -> Self {
        Self { host: host.as_ref().to_owned(), node: node.into() }
    }
}

/// kind's configuration. JSON is YAML.
pub(crate) fn cluster(wanted: &Wanted<'_>) -> Value {
    let mut networking = json!({
        // The engine chooses a free port: kind would close the one it found before the engine opens it.
        "apiServerPort": -1,
        "podSubnet": POD_RANGE,
        "serviceSubnet": SERVICE_RANGE,
    });
    if wanted.assembled.is_some() {
        networking["disableDefaultCNI"] = json!(true);
        networking["kubeProxyMode"] = json!("nftables");
    }
    let mounts: Vec<Value> = wanted
        .mounts
        .iter()
        .map(|mount| json!({"hostPath": mount.host, "containerPath": mount.node, "readOnly": true}))
        .collect();
    json!({
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "name": wanted.name,
        "featureGates": wanted.feature_gates,
        "networking": networking,
        "kubeadmConfigPatches": patches(wanted).iter().map(Value::to_string).collect::<Vec<_>>(),
        "nodes": [{"role": "control-plane", "image": wanted.image, "extraMounts": mounts}],
    })
}

/// Changes of kubeadm's configuration; each is merged into the document of its kind.
fn patches(wanted: &Wanted<'_>) -> Vec<Value> {
    let mut patches = vec![kubelet(wanted), control_plane(wanted)];
    if wanted.assembled.is_some() {
        patches.push(json!({
            "kind": "InitConfiguration",
            // kind leaves out `preflight`; the cluster's DNS is among the objects that are made afterwards.
            "skipPhases": ["preflight", "addon/coredns"],
        }));
        patches.push(json!({
            "kind": "KubeProxyConfiguration",
            // A pod reaches another pod of its bridge through a Service without the host's bridge netfilter module.
            "nftables": {"masqueradeAll": true, "minSyncPeriod": "100ms"},
            // A setting of the host's kernel, not of this cluster.
            "conntrack": {"tcpBeLiberal": false},
        }));
    }
    patches
}

/// What the credential check of pulls does is left at its defaults: it is under test. The rest is as in a native cluster.
fn kubelet(wanted: &Wanted<'_>) -> Value {
    let mut kubelet = json!({
        "kind": "KubeletConfiguration",
        "configMapAndSecretChangeDetectionStrategy": "Get",
        "eventBurst": 2000,
        "eventRecordQPS": 1000,
        "kubeAPIBurst": 400,
        "kubeAPIQPS": 200,
        "registryPullQPS": 0,
        "serializeImagePulls": false,
    });
    if !wanted.kubelet_gates.is_empty() {
        kubelet["featureGates"] = json!(wanted.kubelet_gates);
    }
    if wanted.cgroup_v1 {
        kubelet["failCgroupV1"] = json!(false);
        if wanted.assembled.is_some() {
            // As containerd is told in such a node.
            kubelet["cgroupDriver"] = json!("cgroupfs");
        }
    }
    kubelet
}

/// etcd does not wait for the disk: what is in it is gone with the cluster. The API server's certificate is valid for a
/// relay on the host as well.
fn control_plane(wanted: &Wanted<'_>) -> Value {
    let arguments = if wanted.minor >= LISTED_ARGUMENTS_SINCE {
        json!([{"name": "unsafe-no-fsync", "value": "true"}])
    } else {
        json!({"unsafe-no-fsync": "true"})
    };
    let mut local = json!({"extraArgs": arguments});
    if let Some(assembled) = wanted.assembled {
        local["imageTag"] = json!(assembled.etcd_tag());
    }
    // A patch replaces a list: the first two names are kind's own.
    let names = json!(["localhost", "127.0.0.1", wanted.host_address]);
    json!({"kind": "ClusterConfiguration", "apiServer": {"certSANs": names}, "etcd": {"local": local}})
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::assembled("assembled", 36, true, true)]
    #[case::official("official", 36, false, false)]
    #[case::arguments_as_a_map("older", 34, true, false)]
    fn kind_is_told(#[case] case: &str, #[case] minor: u64, #[case] assembled: bool, #[case] cgroup_v1: bool) {
        let gates = BTreeMap::from([("ImageVolume".to_owned(), true)]);
        let off = BTreeMap::from([("ImageVolume".to_owned(), false)]);
        let mounts = [Mount::new("/state/clusters/one/node", INSIDE)];
        let parts = Assembled { kubernetes: "9.36.4".to_owned(), etcd: "9.6.16".to_owned() };
        let wanted = Wanted {
            name: "sandproof-0a1b2c3d",
            image: "localhost/sandproof/node:v9.36.4-0123456789abcdef",
            minor,
            assembled: assembled.then_some(&parts),
            feature_gates: &gates,
            kubelet_gates: if minor == 34 { &off } else { &BTreeMap::new() },
            cgroup_v1,
            mounts: &mounts,
            host_address: IpAddr::from([10, 89, 0, 1]),
        };
        insta::assert_json_snapshot!(case, cluster(&wanted));
    }
}
