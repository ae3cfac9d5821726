//! One interface for everything that makes clusters.
//!
//! A cluster is made in two steps, because its registry listens on an address that exists only once the first step is done:
//! [`prepare`] makes what the address needs, [`PreparedCluster::start`] makes the rest.
//! What fails says what it left behind; what is external is in the [ledger](crate::ledger) before it is made.
//! Whatever else a provider offers follows from a cluster's [description](Cluster::describe) or from its ledger entry.

mod client_limits;
mod cluster;
mod description;
mod entries;
mod node_processes;
mod outcome;

use std::{collections::BTreeMap, net::IpAddr};

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::{
    client_limits::limit_waits,
    cluster::{Cluster, PreparedCluster, prepare},
    description::{Description, Guest, Milestones, NodeAccess, RegistryAccess},
    entries::{logs, node_shell, remains, remove},
    node_processes::NodeProcesses,
    outcome::{Deletion, Failed, LeftBehind},
};
pub use crate::native::{Adaptation, ComponentDeath, Milestone, Usage};
use crate::{
    existing::{self, ExistingError},
    host::Host,
    kind::{self, KindError},
    native::{self, Programs},
};

/// Who makes a cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// Processes of this host, in namespaces of their own.
    #[default]
    Native,
    /// Nobody: it is there already.
    Existing,
    /// Containers of Docker or podman, through the `kind` program.
    Kind,
}

/// What cluster is wanted.
#[derive(Debug, Clone)]
pub struct ClusterRequest {
    /// A DNS-1123 label of at most 40 characters.
    pub name: String,
    /// The run that wants it, for the ledger and for labels.
    pub run_id: String,
    /// The version of Kubernetes, such as `1.36.4`.
    pub kubernetes_version: String,
    /// Feature gates for the API server, the controller manager, the scheduler and the kubelet.
    pub feature_gates: BTreeMap<String, bool>,
    /// Feature gates of the kubelet alone; each wins over the one of the same name above.
    pub kubelet_gates: BTreeMap<String, bool>,
    /// The state directory, which has the ledger; see [`default_state`](crate::ledger::default_state).
    pub state: Utf8PathBuf,
    /// The cluster's private directory, by custom `<state>/clusters/<name>`; made and removed by the provider.
    pub directory: Utf8PathBuf,
    /// What the provider makes it of.
    pub means: Means,
}

/// What a provider makes clusters of.
#[derive(Debug, Clone)]
pub enum Means {
    /// Programs and a host that can run them.
    Native(Box<NativeMeans>),
    /// A cluster that is there.
    Existing(Box<existing::Means>),
    /// A container engine, `kind`, and a node image.
    Kind(Box<kind::Means>),
}

/// What a native cluster is made of.
#[derive(Debug, Clone)]
pub struct NativeMeans {
    /// The programs.
    pub programs: Programs,
    /// The probed host.
    pub host: Host,
}

/// Where a registry can listen so that a cluster's nodes reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistryPlace {
    /// An address of this host.
    pub address: IpAddr,
    /// The port for plain HTTP; 0 is any free one.
    pub plain_port: u16,
    /// The port for TLS; 0 is any free one.
    pub secure_port: u16,
}

/// What the nodes need to know before they start.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// The registries that they pull from.
    pub registries: Vec<NodeRegistry>,
    /// Reference of the pause image; the runtime pulls it without credentials.
    pub pause_image: String,
}

/// A registry as a node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRegistry {
    /// Host and port, such as `198.18.0.1:5000`.
    pub address: String,
    /// The certificate authority of a TLS registry, as PEM; none means plain HTTP.
    pub ca_pem: Option<String>,
}

/// Why a cluster could not be made.
#[derive(Debug, Error)]
pub enum CreationError {
    /// The native provider.
    #[error(transparent)]
    Native(#[from] native::ProviderError),
    /// The existing provider.
    #[error(transparent)]
    Existing(#[from] ExistingError),
    /// The kind provider.
    #[error(transparent)]
    Kind(#[from] KindError),
}

impl Provider {
    /// All of them, the preferred one first.
    pub const ALL: &[Self] = &[Self::Native, Self::Kind, Self::Existing];

    /// The name in cells, reports and the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Existing => "existing",
            Self::Kind => "kind",
        }
    }
}

impl std::str::FromStr for Provider {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names = || Self::ALL.iter().map(|provider| provider.name()).collect::<Vec<_>>().join(", ");
        let found = Self::ALL.iter().find(|provider| provider.name() == name);
        found.copied().ok_or_else(|| format!("there is no provider {name:?}; there are {}", names()))
    }
}

impl std::fmt::Display for Provider {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Means {
    /// Whose they are.
    pub const fn provider(&self) -> Provider {
        match self {
            Self::Native(_) => Provider::Native,
            Self::Existing(_) => Provider::Existing,
            Self::Kind(_) => Provider::Kind,
        }
    }
}

impl CreationError {
    /// Whether what was asked for cannot be: another name, another context would do.
    pub const fn is_usage(&self) -> bool {
        match self {
            Self::Native(error) => {
                matches!(error, native::ProviderError::InvalidName { .. } | native::ProviderError::NameTaken { .. })
            }
            Self::Existing(error) => error.is_usage(),
            Self::Kind(error) => matches!(error, KindError::InvalidName { .. } | KindError::NameTaken { .. }),
        }
    }
}
