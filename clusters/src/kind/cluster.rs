//! A running cluster of kind.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::watch;

use super::{ClusterRequest, Engine, Holdings, KindError, PreparedCluster, entries, logs};
use crate::{
    ledger::{Entry, Ledger},
    native::{Adaptation, ComponentDeath},
    provider::{Deletion, Description, Milestones, NodeAccess, NodeProcesses, NodeRegistry, RegistryAccess},
};

/// containerd's socket in the node.
const SOCKET: &str = "run/containerd/containerd.sock";

/// A running cluster. Dropping it leaves it to a sweep: call [`Cluster::delete`], or [`Cluster::keep`].
#[derive(Debug)]
pub struct Cluster {
    request: ClusterRequest,
    entry: Entry<Holdings>,
    engine: Arc<Engine>,
    /// The host's address as the node sees it.
    host_address: IpAddr,
    adaptations: Vec<Adaptation>,
    registries: Vec<NodeRegistry>,
    milestones: Milestones,
    death: watch::Receiver<Option<ComponentDeath>>,
    /// Set before the cluster is ended on purpose: what ends then did not die.
    dismissed: Arc<AtomicBool>,
    watching: Watching,
}

/// A task that ends with its cluster.
#[derive(Debug)]
struct Watching(tokio::task::JoinHandle<()>);

impl Cluster {
    pub(super) fn new(prepared: PreparedCluster, registries: Vec<NodeRegistry>) -> Self {
        let PreparedCluster { request, entry, engine, host_address, adaptations, milestones, .. } = prepared;
        let engine = Arc::new(engine);
        let (sender, death) = watch::channel(None);
        let dismissed = Arc::new(AtomicBool::new(false));
        let watching = mourn(Arc::clone(&engine), entry.holdings.clone(), sender, Arc::clone(&dismissed));
        let watching = Watching(tokio::spawn(watching));
        Self { request, entry, engine, host_address, adaptations, registries, milestones, death, dismissed, watching }
    }

    /// What it is.
    pub fn describe(&self) -> Description {
        Description {
            kubeconfig: self.entry.kubeconfig(),
            node_addresses: self.entry.holdings.address.map(IpAddr::from).into_iter().collect(),
            node_access: self.node_access(),
            registries: RegistryAccess::configured(&self.registries),
            relay_address: Ok(self.host_address),
            adaptations: self.adaptations.clone(),
            guest: None,
        }
    }

    /// Turns to the end of the node or of the engine.
    pub fn component_death(&self) -> watch::Receiver<Option<ComponentDeath>> {
        self.death.clone()
    }

    /// What was reached until it started.
    pub fn milestones(&self) -> Milestones {
        self.milestones.clone()
    }

    /// Copies the logs of the node to `to`.
    pub async fn collect_logs(&self, to: &Utf8Path) -> Result<(), KindError> {
        logs::collect(&self.engine, &self.entry.holdings.node, &self.entry.directory, to).await
    }

    /// Lets it outlive this process. `sandproof cluster down` or a forced sweep ends it.
    pub fn keep(&mut self) -> Result<(), KindError> {
        self.entry.kept = true;
        Ok(Ledger::open(&self.request.state)?.write(&self.entry.recorded())?)
    }

    /// The node's control groups, as this host sees them; none where it does not.
    pub(crate) fn groups(&self) -> Vec<Utf8PathBuf> {
        self.entry.holdings.first_process.map(|process| node_groups(process.pid)).unwrap_or_default()
    }

    /// Its ledger entry.
    pub fn entry(&self) -> &Entry<Holdings> {
        &self.entry
    }

    /// Ends it and removes everything of it.
    pub async fn delete(self) -> Deletion {
        self.dismissed.store(true, Ordering::Release);
        let Self { request, entry, engine, mut watching, .. } = self;
        watching.0.abort();
        let _ = (&mut watching.0).await;
        match Arc::try_unwrap(engine) {
            Ok(engine) => entries::delete(&request.state, &entry, engine).await,
            // Somebody still asks it something: it is reached anew.
            Err(_) => entries::delete_anew(&request.state, &entry).await,
        }
    }

    /// The node's file system is reached through its first process, where this user may look into it.
    fn node_access(&self) -> NodeAccess {
        let first = self.entry.holdings.first_process.map(|process| process.pid);
        let socket = first.map(|first| (Utf8PathBuf::from(format!("/proc/{first}/root/{SOCKET}")), first));
        match socket.filter(|(socket, _)| socket.exists()) {
            Some((socket, first)) => NodeAccess::Runtime { socket, processes: NodeProcesses::beneath(first) },
            None => NodeAccess::None {
                reason: "the node's runtime is inside of a container that this user cannot look into".to_owned(),
            },
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The control groups of the container that a process is the first of: above those that its systemd made.
fn node_groups(pid: i32) -> Vec<Utf8PathBuf> {
    let own = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mounted = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut groups = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let path = path.strip_suffix("/init.scope").unwrap_or(path);
        let mount = mounted.lines().find_map(|mount| {
            let (fields, kind) = mount.split_once(" - ")?;
            let options: Vec<&str> = kind.split_whitespace().nth(2)?.split(',').collect();
            let unified = kind.starts_with("cgroup2 ") && controllers.is_empty();
            let version_1 = kind.starts_with("cgroup ")
                && controllers.split(',').any(|controller| !controller.is_empty() && options.contains(&controller));
            (unified || version_1).then(|| fields.split(' ').nth(4))?
        });
        if let Some(mount) = mount {
            groups.push(Utf8PathBuf::from(format!("{mount}{path}")));
        }
    }
    groups
}

/// Waits for the end of the node and says what ended.
async fn mourn(
    engine: Arc<Engine>,
    holdings: Holdings,
    death: watch::Sender<Option<ComponentDeath>>,
    dismissed: Arc<AtomicBool>,
) {
    let node = holdings.node;
    let status = engine.ended(&node, holdings.first_process).await;
    drop(engine);
    if !dismissed.load(Ordering::Acquire) {
        tracing::warn!(node, status, "the node of a cluster ended");
        let component = "the cluster's node".to_owned();
        death.send_replace(Some(ComponentDeath { component, status, fatal: None, log_tail: Vec::new() }));
    }
    // Whoever still asks about deaths finds the channel open.
    death.closed().await;
}
