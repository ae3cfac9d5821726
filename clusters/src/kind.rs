//! Clusters in containers, made by the `kind` program over Docker or podman.
//!
//! [`prepare`] makes the cluster's network, on whose host address a registry can listen before anything pulls;
//! [`PreparedCluster::start`] lets kind make the node. Everything has labels, so that a sweep finds it in the engine
//! whatever became of the process that made it and of its ledger.

mod cluster;
mod configuration;
mod engine;
mod entries;
mod error;
mod holdings;
mod labels;
mod logs;
mod node_image;
mod preparation;
mod start;

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

pub(crate) use self::entries::{logs, node_shell, remains, remove, sweep_labels};
pub use self::{
    cluster::Cluster,
    engine::{Candidate, Engine, EngineError, Flavor, OciPrograms, candidates},
    error::KindError,
    holdings::Holdings,
    labels::Ownership,
    node_image::{DEBIAN_PACKAGES, NODE_IMAGE, NodeImage, NodeParts, assemble},
    preparation::{PreparedCluster, prepare},
};
use crate::host::Host;

/// What cluster is wanted.
#[derive(Debug, Clone)]
pub struct ClusterRequest {
    /// A DNS-1123 label, by which a person knows the cluster.
    pub name: String,
    /// The run that wants it, for the ledger and for labels.
    pub run_id: String,
    /// The version of Kubernetes that the node image has, such as `1.36.4`.
    pub kubernetes_version: String,
    /// Feature gates for every component.
    pub feature_gates: BTreeMap<String, bool>,
    /// Feature gates of the kubelet alone; each wins over the one of the same name above.
    pub kubelet_gates: BTreeMap<String, bool>,
    /// What it is made of.
    pub means: Means,
    /// The state directory, which has the ledger.
    pub state: Utf8PathBuf,
    /// The cluster's private directory; made and removed here.
    pub directory: Utf8PathBuf,
}

/// What a cluster of kind is made of.
#[derive(Debug, Clone)]
pub struct Means {
    /// The `kind` program.
    pub kind: Utf8PathBuf,
    /// What a limited host's engine and nodes run containers with.
    pub oci: OciPrograms,
    /// The image of the node.
    pub image: NodeImage,
    /// The probed host.
    pub host: Host,
}
