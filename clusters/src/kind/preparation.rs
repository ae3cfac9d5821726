//! The first step of a cluster of kind: its engine, its image, its network.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, Hasher},
    net::IpAddr,
    os::unix::fs::DirBuilderExt,
    time::Instant,
};

use jiff::Timestamp;

use super::{Cluster, ClusterRequest, Engine, Holdings, KindError, entries, labels::Ownership, start};
use crate::{
    ledger::{Entry, Ledger, ProcessIdentity, is_cluster_name},
    native::{Adaptation, Milestone},
    provider::{Deletion, Failed, LeftBehind, Milestones, NodeSettings},
};

/// What kind's name for a cluster starts with, and the names of everything of it.
const PREFIX: &str = "sandproof-";

/// A cluster that has a network, and no node yet.
#[derive(Debug)]
pub struct PreparedCluster {
    /// The host's address on the cluster's network: where a registry for it listens. Podman makes it when the first
    /// container starts, so a listener must not insist on its being there.
    pub host_address: IpAddr,
    /// What differs from an ordinary cluster because of the host.
    pub adaptations: Vec<Adaptation>,
    pub(super) request: ClusterRequest,
    pub(super) entry: Entry<Holdings>,
    pub(super) engine: Engine,
    pub(super) ownership: Ownership,
    pub(super) began: Instant,
    pub(super) milestones: Milestones,
}

/// Finds the engine, gives it the node image, makes the network. Everything is in the ledger before it exists; on
/// failure, what was made is removed.
pub async fn prepare(request: ClusterRequest) -> Result<PreparedCluster, Failed<KindError>> {
    let began = Instant::now();
    let registered = async {
        check(&request)?;
        let ledger = Ledger::open(&request.state)?;
        let entry = register(&ledger, &request).await?;
        Ok((ledger, entry))
    };
    let (ledger, mut entry) = registered.await.map_err(Failed::cleanly)?;
    match connect(&ledger, &request, &mut entry).await {
        Ok((engine, host_address)) => {
            let ownership = ownership(&request, &entry.id);
            let mut milestones = Milestones::default();
            milestones.insert(Milestone::Isolated, began.elapsed());
            let adaptations = start::adaptations(&engine, &request.means.host);
            let host_address = host_address.into();
            Ok(PreparedCluster { host_address, adaptations, request, entry, engine, ownership, began, milestones })
        }
        Err(reason) => Err(Failed { reason, left: discard(&ledger, &entry).await }),
    }
}

impl PreparedCluster {
    /// Lets kind make the node; resolves when it is ready. On failure the cluster is removed.
    pub async fn start(mut self, settings: NodeSettings) -> Result<Cluster, Failed<KindError>> {
        match start::node(&mut self, &settings).await {
            Ok(()) => Ok(Cluster::new(self, settings.registries)),
            Err(reason) => {
                // Evidence comes before clean-up; a node that is not there has none.
                let logs = self.entry.directory.join("logs");
                let command = || self.engine.command();
                let _ = super::logs::programs(&command, &self.entry.holdings.node, &logs).await;
                let reason = super::logs::with_last_words(reason, &self.entry.directory);
                Err(Failed { reason, left: self.delete().await.left })
            }
        }
    }

    /// Removes what was made.
    pub async fn delete(self) -> Deletion {
        entries::delete(&self.request.state, &self.entry, self.engine).await
    }
}

/// Whose what is in the engine is.
fn ownership(request: &ClusterRequest, id: &str) -> Ownership {
    Ownership {
        run: request.run_id.clone(),
        cluster: request.name.clone(),
        id: id.to_owned(),
        state: request.state.clone(),
    }
}

fn check(request: &ClusterRequest) -> Result<(), KindError> {
    if !is_cluster_name(&request.name) {
        return Err(KindError::InvalidName { name: request.name.clone() });
    }
    Ok(())
}

/// Chooses what the cluster will be called and writes it to the ledger.
async fn register(ledger: &Ledger, request: &ClusterRequest) -> Result<Entry<Holdings>, KindError> {
    let _lock = ledger.lock().await?;
    let entries = ledger.entries()?;
    if let Some(other) = entries.iter().find(|other| other.directory == request.directory) {
        return Err(KindError::NameTaken {
            directory: request.directory.clone(),
            name: other.name.clone(),
            run: other.run.clone(),
        });
    }
    let taken: BTreeSet<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
    let id = loop {
        let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
        let id = format!("{:08x}", random & 0xffff_ffff);
        if !taken.contains(id.as_str()) {
            break id;
        }
    };
    let entry = Entry {
        name: request.name.clone(),
        run: request.run_id.clone(),
        created: Timestamp::now(),
        kubernetes: request.kubernetes_version.clone(),
        owner: ProcessIdentity::own(),
        directory: request.directory.clone(),
        kept: false,
        holdings: Holdings {
            engine: None,
            node: format!("{PREFIX}{id}-control-plane"),
            network: format!("{PREFIX}{id}"),
            address: None,
            first_process: None,
        },
        id,
    };
    ledger.write(&entry.recorded())?;
    Ok(entry)
}

async fn connect(
    ledger: &Ledger,
    request: &ClusterRequest,
    entry: &mut Entry<Holdings>,
) -> Result<(Engine, std::net::Ipv4Addr), KindError> {
    let directory = &request.directory;
    // What lies there has no entry, so no run knows it.
    let _ = std::fs::remove_dir_all(directory);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory.join("logs"))
        .map_err(KindError::io("create", directory))?;
    let engine = Engine::open(&request.means.host, &directory.join("engine"), &request.means.oci).await?;
    entry.holdings.engine = Some(engine.hold());
    ledger.write(&entry.recorded())?;
    request.means.image.provide(&engine).await?;
    let gateway = engine.create_network(&entry.holdings.network, &ownership(request, &entry.id)).await?;
    Ok((engine, gateway))
}

/// Removes a cluster that did not come up. What resists stays in the ledger, for a sweep.
async fn discard(ledger: &Ledger, entry: &Entry<Holdings>) -> LeftBehind {
    let left = entries::remove(&entry.directory, &entry.id, &entry.holdings).await;
    if left.is_nothing() {
        let _ = ledger.remove(&entry.id);
    }
    left
}
