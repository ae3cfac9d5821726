//! The existing provider: a cluster that is already there, and that somebody needs afterwards.
//!
//! A [`Survey`] finds what the cluster is and what the account may do in it, without a trace.
//! Everything that a run creates has its labels, and its namespaces have its prefix; so it is found again and removed,
//! by the run or by a later sweep. The user's kubeconfig is read and never written.

mod cluster;
mod error;
mod kubeconfig;
mod objects;
mod reach;
mod rights;
mod survey;

use std::{collections::BTreeMap, net::IpAddr};

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

pub(crate) use self::cluster::{removed, still_there};
pub use self::{
    cluster::{Cluster, PreparedCluster, prepare},
    error::ExistingError,
    kubeconfig::Context,
    rights::{Purpose, Rights},
    survey::{AgentSandboxFound, NodeFound, Survey},
};

/// The label with the run that an object belongs to.
pub const RUN_LABEL: &str = "sandproof.dev/run";

/// The port on which the registry speaks plain HTTP, where it is free: nodes can be told of it once and for all.
pub const PLAIN_PORT: u16 = 5000;

/// The port on which it speaks TLS, where it is free.
pub const SECURE_PORT: u16 = 5001;

/// What a run in an existing cluster is made of.
#[derive(Debug, Clone)]
pub struct Means {
    /// What was found.
    pub survey: Survey,
    /// What the names of the run's namespaces start with; see [`prefix`].
    pub prefix: String,
    /// The address of this host on which the registry is to listen; found out where none is given.
    pub registry_address: Option<IpAddr>,
    /// The certificate of the registry's authority, as a file that a person can copy to a node.
    pub registry_authority: Utf8PathBuf,
}

/// What a run holds in an existing cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holdings {
    /// The context.
    pub context: String,
    /// The API server's address.
    pub server: String,
    /// The kubeconfig files that the context was read from.
    pub kubeconfigs: Vec<Utf8PathBuf>,
    /// What the names of its namespaces start with, before a hyphen.
    pub prefix: String,
}

/// What the names of a run's namespaces start with. A run's identifier ends with a word of its own.
pub fn prefix(run: &str) -> String {
    format!("sandproof-{}", run.rsplit('-').next().unwrap_or(run))
}

/// What everything that a run creates is labelled with.
pub fn labels(run: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (RUN_LABEL.to_owned(), run.to_owned()),
        ("app.kubernetes.io/managed-by".to_owned(), "sandproof".to_owned()),
    ])
}
