//! The native provider: a real single-node Kubernetes cluster with CRI-O or containerd, as processes of this host,
//! in network, mount, control-group, PID, UTS and IPC namespaces of its own.
//!
//! [`prepare`] makes the namespaces and the link to the host, so that a registry can listen on the
//! host's end before anything needs it; [`PreparedCluster::start`] runs the components.
//! A cluster ends when the process that prepared it ends, unless it was [kept](Cluster::keep).

mod adaptations;
mod cluster;
mod control_groups;
mod control_plane;
mod dns;
mod error;
mod files;
mod holdings;
mod isolation;
mod kubeconfig;
mod logs;
mod network;
mod node;
mod pki;
pub(crate) mod plan;
mod runtime;
mod start;
pub(crate) mod teardown;
mod usage;

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};

pub(crate) use self::holdings::enter;
pub use self::{
    adaptations::Adaptation,
    cluster::Cluster,
    error::ProviderError,
    holdings::Holdings,
    isolation::{PreparedCluster, prepare},
    network::is_link_name,
    plan::{ComponentDeath, Milestone},
    usage::Usage,
};
pub(crate) use self::{
    adaptations::{adjustments, named as named_adaptations, named_adjustments},
    files::Files,
    node::pull_secret_objects,
    runtime::registry_host,
    teardown::remove_directory,
};
use crate::host::Host;
pub use crate::provider::{NodeRegistry, NodeSettings};

/// What every control group of a cluster starts its name with.
pub const GROUP_PREFIX: &str = "sandproof-";

/// How long the API server may take to become ready, unless a cluster is given another time.
pub const API_DEADLINE: Duration = Duration::from_mins(1);

/// Port of the API server on the node's address.
pub const API_PORT: u16 = 6443;

/// The range of Service addresses.
pub(crate) const SERVICE_RANGE: &str = "10.96.0.0/16";

/// The Service address of the API server: the first of the range.
pub(crate) const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// The Service address of the cluster's DNS.
pub(crate) const DNS_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);

/// The range of pod addresses.
pub(crate) const POD_RANGE: &str = "10.244.0.0/16";

/// What cluster is wanted.
#[derive(Debug, Clone)]
pub struct ClusterRequest {
    /// A DNS-1123 label; also the node's name.
    pub name: String,
    /// The run that wants it, for the ledger.
    pub run_id: String,
    /// The version of the Kubernetes programs, such as `1.36.4`.
    pub kubernetes_version: String,
    /// Feature gates for the API server, the controller manager, the scheduler and the kubelet.
    pub feature_gates: BTreeMap<String, bool>,
    /// Feature gates of the kubelet alone; each wins over the one of the same name above.
    pub kubelet_gates: BTreeMap<String, bool>,
    /// The programs it is made of.
    pub programs: Programs,
    /// The probed host.
    pub host: Host,
    /// The state directory, which has the ledger; see [`default_state`].
    pub state: Utf8PathBuf,
    /// The cluster's private directory, by custom `<state>/clusters/<name>`; made and removed here.
    pub directory: Utf8PathBuf,
}

/// Absolute paths of the programs of a cluster.
#[derive(Debug, Clone)]
pub struct Programs {
    /// etcd.
    pub etcd: Utf8PathBuf,
    /// The API server.
    pub kube_apiserver: Utf8PathBuf,
    /// The controller manager.
    pub kube_controller_manager: Utf8PathBuf,
    /// The scheduler.
    pub kube_scheduler: Utf8PathBuf,
    /// The kubelet.
    pub kubelet: Utf8PathBuf,
    /// The Service proxy.
    pub kube_proxy: Utf8PathBuf,
    /// The container runtime.
    pub runtime: RuntimePrograms,
    /// The OCI runtime.
    pub runc: Utf8PathBuf,
    /// The directory with the CNI plugins `bridge`, `host-local`, `loopback` and `portmap`.
    pub cni_plugins: Utf8PathBuf,
    /// The cluster's DNS server.
    pub coredns: Utf8PathBuf,
    /// `sandproof-cluster-init`.
    pub cluster_init: Utf8PathBuf,
    /// `sandproof-oci-runtime`.
    pub oci_runtime: Utf8PathBuf,
}

/// A container runtime with the programs of its own that it calls.
#[derive(Debug, Clone)]
pub enum RuntimePrograms {
    /// CRI-O.
    CriO {
        /// CRI-O itself.
        crio: Utf8PathBuf,
        /// Its program that pins namespaces.
        pinns: Utf8PathBuf,
        /// The container monitor.
        conmon: Utf8PathBuf,
    },
    /// containerd.
    Containerd {
        /// Its version, such as `2.3.5`, which decides what its configuration looks like.
        version: String,
        /// containerd itself.
        containerd: Utf8PathBuf,
        /// The shim that holds the containers of a pod, `containerd-shim-runc-v2`.
        shim: Utf8PathBuf,
    },
}

impl Programs {
    /// Every program with its name and path.
    pub(crate) fn all(&self) -> Vec<(&'static str, &Utf8Path)> {
        let mut all = vec![
            ("etcd", self.etcd.as_path()),
            ("kube-apiserver", &self.kube_apiserver),
            ("kube-controller-manager", &self.kube_controller_manager),
            ("kube-scheduler", &self.kube_scheduler),
            ("kubelet", &self.kubelet),
            ("kube-proxy", &self.kube_proxy),
            ("runc", &self.runc),
            ("the CNI plugin bridge", &self.cni_plugins),
            ("the CNI plugin host-local", &self.cni_plugins),
            ("the CNI plugin loopback", &self.cni_plugins),
            ("the CNI plugin portmap", &self.cni_plugins),
            ("coredns", &self.coredns),
            ("sandproof-cluster-init", &self.cluster_init),
            ("sandproof-oci-runtime", &self.oci_runtime),
        ];
        all.extend(self.runtime.all());
        all
    }
}

impl RuntimePrograms {
    /// Every program with its name and path.
    fn all(&self) -> Vec<(&'static str, &Utf8Path)> {
        match self {
            Self::CriO { crio, pinns, conmon } => vec![("crio", crio), ("pinns", pinns), ("conmon", conmon)],
            Self::Containerd { containerd, shim, .. } => {
                vec![("containerd", containerd), ("containerd-shim-runc-v2", shim)]
            }
        }
    }
}
