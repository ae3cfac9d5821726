//! Making, using and removing a cluster, whoever provides it.

use camino::Utf8Path;
use tokio::sync::watch;

use super::{
    ClusterRequest, ComponentDeath, CreationError, Deletion, Description, Failed, Means, Milestones, NodeSettings,
    RegistryPlace, Usage,
};
use crate::{existing, kind, ledger::Entry, native};

/// A cluster that has an address for its registry, and nothing that runs in it yet.
#[derive(Debug)]
pub enum PreparedCluster {
    /// Namespaces and a link.
    Native(Box<native::PreparedCluster>),
    /// A ledger entry.
    Existing(Box<existing::PreparedCluster>),
    /// A network of the container engine.
    Kind(Box<kind::PreparedCluster>),
}

/// A running cluster. Dropping it leaves its removal to a sweep: call [`Cluster::delete`], or [`Cluster::keep`].
#[derive(Debug)]
pub enum Cluster {
    /// Processes of this host.
    Native(Box<native::Cluster>),
    /// Namespaces in somebody's cluster.
    Existing(Box<existing::Cluster>),
    /// A container of the engine.
    Kind(Box<kind::Cluster>),
}

/// Makes what the registry's address needs. Everything is in the ledger before it exists.
pub async fn prepare(request: ClusterRequest) -> Result<PreparedCluster, Failed<CreationError>> {
    match request.means.clone() {
        Means::Native(means) => {
            let request = native::ClusterRequest {
                name: request.name,
                run_id: request.run_id,
                kubernetes_version: request.kubernetes_version,
                feature_gates: request.feature_gates,
                kubelet_gates: request.kubelet_gates,
                programs: means.programs,
                host: means.host,
                state: request.state,
                directory: request.directory,
            };
            let prepared = native::prepare(request).await.map_err(|failed| failed.map(CreationError::from))?;
            Ok(PreparedCluster::Native(Box::new(prepared)))
        }
        Means::Existing(means) => {
            let prepared =
                existing::prepare(request, *means).await.map_err(|failed| failed.map(CreationError::from))?;
            Ok(PreparedCluster::Existing(Box::new(prepared)))
        }
        Means::Kind(means) => {
            let request = kind::ClusterRequest {
                name: request.name,
                run_id: request.run_id,
                kubernetes_version: request.kubernetes_version,
                feature_gates: request.feature_gates,
                kubelet_gates: request.kubelet_gates,
                means: *means,
                state: request.state,
                directory: request.directory,
            };
            let prepared = kind::prepare(request).await.map_err(|failed| failed.map(CreationError::from))?;
            Ok(PreparedCluster::Kind(Box::new(prepared)))
        }
    }
}

impl PreparedCluster {
    /// Where registries for this cluster can listen, the most promising place first.
    pub fn registry_places(&self) -> Vec<RegistryPlace> {
        match self {
            Self::Native(prepared) => {
                vec![RegistryPlace { address: prepared.host_address, plain_port: 0, secure_port: 0 }]
            }
            Self::Existing(prepared) => prepared.registry_places(),
            Self::Kind(prepared) => {
                vec![RegistryPlace { address: prepared.host_address, plain_port: 0, secure_port: 0 }]
            }
        }
    }

    /// Whether starting it pulls from the registries of its settings, so that images have to be there before.
    pub const fn pulls_at_start(&self) -> bool {
        match self {
            Self::Existing(_) => true,
            Self::Native(_) | Self::Kind(_) => false,
        }
    }

    /// Makes the rest; resolves when the API server answers. Nodes may become ready later.
    /// On failure, what was made is removed.
    pub async fn start(self, settings: NodeSettings) -> Result<Cluster, Failed<CreationError>> {
        match self {
            Self::Native(prepared) => {
                let started = prepared.start(settings).await.map_err(|failed| failed.map(CreationError::from))?;
                Ok(Cluster::Native(Box::new(started)))
            }
            Self::Existing(prepared) => {
                let started = prepared.start(settings).await.map_err(|failed| failed.map(CreationError::from))?;
                Ok(Cluster::Existing(Box::new(started)))
            }
            Self::Kind(prepared) => {
                let started = prepared.start(settings).await.map_err(|failed| failed.map(CreationError::from))?;
                Ok(Cluster::Kind(Box::new(started)))
            }
        }
    }

    /// Removes what was made.
    pub async fn delete(self) -> Deletion {
        match self {
            Self::Native(prepared) => prepared.delete().await,
            Self::Existing(prepared) => prepared.delete().await,
            Self::Kind(prepared) => prepared.delete().await,
        }
    }
}

impl Cluster {
    /// What it is.
    pub fn describe(&self) -> Description {
        match self {
            Self::Native(cluster) => cluster.describe(),
            Self::Existing(cluster) => cluster.describe(),
            Self::Kind(cluster) => cluster.describe(),
        }
    }

    /// The first unexpected end of a program of the cluster, once there is one. It stays empty where nobody can tell.
    pub fn component_death(&self) -> watch::Receiver<Option<ComponentDeath>> {
        match self {
            Self::Native(cluster) => cluster.component_death(),
            Self::Existing(cluster) => cluster.component_death(),
            Self::Kind(cluster) => cluster.component_death(),
        }
    }

    /// What has been reached so far.
    pub fn milestones(&self) -> Milestones {
        match self {
            Self::Native(cluster) => cluster.milestones(),
            Self::Existing(cluster) => cluster.milestones(),
            Self::Kind(cluster) => cluster.milestones(),
        }
    }

    /// What it took until now, as far as somebody counts it.
    pub fn usage(&self) -> Usage {
        match self {
            Self::Native(cluster) => Usage::of(&cluster.entry().holdings.groups),
            Self::Existing(_) => Usage::default(),
            Self::Kind(cluster) => Usage::of(&cluster.groups()),
        }
    }

    /// Copies the logs of its programs and of its containers to `to`. An error says what stood in the way.
    pub async fn collect_logs(&self, to: &Utf8Path) -> Result<(), CreationError> {
        match self {
            Self::Native(cluster) => Ok(cluster.collect_logs(to).await?),
            Self::Existing(cluster) => Ok(cluster.collect_logs(to).await?),
            Self::Kind(cluster) => Ok(cluster.collect_logs(to).await?),
        }
    }

    /// Lets it outlive this process. `sandproof cluster down` or a forced sweep ends it.
    pub fn keep(&mut self) -> Result<(), CreationError> {
        match self {
            Self::Native(cluster) => Ok(cluster.keep()?),
            Self::Existing(cluster) => Ok(cluster.keep()?),
            Self::Kind(cluster) => Ok(cluster.keep()?),
        }
    }

    /// Its ledger entry.
    pub fn entry(&self) -> Entry {
        match self {
            Self::Native(cluster) => cluster.entry().recorded(),
            Self::Existing(cluster) => cluster.entry().recorded(),
            Self::Kind(cluster) => cluster.entry().recorded(),
        }
    }

    /// Ends it and removes everything of it.
    pub async fn delete(self) -> Deletion {
        match self {
            Self::Native(cluster) => cluster.delete().await,
            Self::Existing(cluster) => cluster.delete().await,
            Self::Kind(cluster) => cluster.delete().await,
        }
    }
}
