//! A running cluster.

use std::{
    fmt,
    fs::File,
    io::Write,
    mem::ManuallyDrop,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout},
    sync::watch,
};

use super::{
    Adaptation, ClusterRequest, Holdings, NodeRegistry, ProviderError, logs,
    plan::{Command, ComponentDeath, Event, Milestone, log_path},
    runtime, teardown,
};
use crate::{
    ledger::{Entry, Ledger},
    provider::{Deletion, Description, LeftBehind, Milestones, NodeAccess, NodeProcesses, RegistryAccess},
};

/// How long the watching process may take to end after the cluster did.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A running cluster. Dropping it ends the cluster but leaves its directory and its ledger entry
/// to a sweep: call [`Cluster::delete`], or [`Cluster::keep`].
#[derive(Debug)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// The administrator's kubeconfig.
    pub kubeconfig: Utf8PathBuf,
    /// Name of its one node.
    pub node_name: String,
    /// The node's address, reachable from the host.
    pub node_address: IpAddr,
    /// The host's address as the node sees it.
    pub host_address: IpAddr,
    /// The runtime's socket as the host reaches it, through the root directory of the cluster's first process.
    pub runtime_socket: Utf8PathBuf,
    /// What differs from an ordinary cluster because of the host.
    pub adaptations: Vec<Adaptation>,
    /// What had been reached when the API server became ready.
    pub started: Milestones,
    registries: Vec<NodeRegistry>,
    state: Utf8PathBuf,
    entry: Entry<Holdings>,
    supervision: Supervision,
}

/// What the cluster's processes have said.
#[derive(Debug, Clone, Default)]
struct Heard {
    first_process: Option<i32>,
    milestones: Milestones,
    failure: Option<String>,
    ended: bool,
}

/// The harness's hold on a cluster's processes.
pub(crate) struct Supervision {
    /// Never killed when dropped: it ends by itself after the lifeline has closed, and a kept
    /// cluster needs it.
    child: ManuallyDrop<Child>,
    /// Closing it ends the cluster.
    lifeline: File,
    heard: watch::Receiver<Heard>,
    death: watch::Receiver<Option<ComponentDeath>>,
    /// Set before the cluster is ended on purpose: what ends then did not die.
    dismissed: Arc<AtomicBool>,
}

impl Cluster {
    pub(crate) fn new(
        request: ClusterRequest,
        entry: Entry<Holdings>,
        supervision: Supervision,
        adaptations: Vec<Adaptation>,
        registries: Vec<NodeRegistry>,
    ) -> Self {
        let started = supervision.heard.borrow().milestones.clone();
        Self {
            name: request.name.clone(),
            kubeconfig: entry.kubeconfig(),
            node_name: request.name,
            node_address: entry.holdings.node_address().into(),
            host_address: entry.holdings.host_address().into(),
            runtime_socket: {
                let first = entry.holdings.first_process.map_or(0, |process| process.pid);
                format!("/proc/{first}/root{}", runtime::socket(&request.programs.runtime)).into()
            },
            adaptations,
            started,
            registries,
            state: request.state,
            entry,
            supervision,
        }
    }

    /// What it is.
    pub fn describe(&self) -> Description {
        Description {
            kubeconfig: self.kubeconfig.clone(),
            node_addresses: vec![self.node_address],
            node_access: NodeAccess::Runtime {
                socket: self.runtime_socket.clone(),
                processes: NodeProcesses::beneath(self.entry.holdings.first_process.map_or(0, |process| process.pid)),
            },
            registries: RegistryAccess::configured(&self.registries),
            relay_address: Ok(self.entry.holdings.host_address().into()),
            adaptations: self.adaptations.clone(),
            guest: None,
        }
    }

    /// The first unexpected end of a component, once there is one.
    pub fn component_death(&self) -> watch::Receiver<Option<ComponentDeath>> {
        self.supervision.death.clone()
    }

    /// What has been reached so far.
    pub fn milestones(&self) -> Milestones {
        self.supervision.heard.borrow().milestones.clone()
    }

    /// Waits until `milestone` is reached; the time since the cluster was asked for. The death of
    /// a component ends the wait.
    pub async fn reached(&self, milestone: Milestone, deadline: Duration) -> Result<Duration, ProviderError> {
        self.supervision.reached(milestone, deadline, &self.entry.directory).await
    }

    /// Lets the cluster outlive this process. `sandproof cluster down` or a forced sweep ends it.
    pub fn keep(&mut self) -> Result<(), ProviderError> {
        // The ledger first: a sweep must not take a cluster for a dead run's.
        self.entry.kept = true;
        Ledger::open(&self.state)?.write(&self.entry)?;
        self.supervision.tell(Command::Keep)
    }

    /// Copies the logs of the components and of the containers to `to`.
    pub async fn collect_logs(&self, to: &Utf8Path) -> Result<(), ProviderError> {
        logs::collect(&self.entry.directory, to).await
    }

    /// The log of a component, such as `kubelet`, while the cluster exists.
    pub fn log(&self, component: &str) -> Utf8PathBuf {
        log_path(&self.entry.directory, component)
    }

    /// The cluster's ledger entry.
    pub fn entry(&self) -> &Entry<Holdings> {
        &self.entry
    }

    /// Ends the cluster and removes everything of it.
    pub async fn delete(self) -> Deletion {
        let Self { state, entry, supervision, .. } = self;
        delete(&state, &entry, supervision).await
    }
}

/// Ends a cluster's processes and removes what its entry names, then the entry.
pub(crate) async fn delete(state: &Utf8Path, entry: &Entry<Holdings>, supervision: Supervision) -> Deletion {
    let began = Instant::now();
    supervision.dismissed.store(true, Ordering::Release);
    let mut leftovers = teardown::remove(&entry.directory, &entry.holdings).await;
    leftovers.extend(supervision.end().await);
    if leftovers.is_empty()
        && let Err(error) = Ledger::open(state).and_then(|ledger| ledger.remove(&entry.id))
    {
        leftovers.push(error.to_string());
    }
    Deletion { seconds: began.elapsed().as_secs_f64(), left: LeftBehind::from(leftovers) }
}

impl Supervision {
    /// Takes hold of a fresh `sandproof-cluster-init`; times count from `began`.
    pub(crate) fn new(mut child: Child, began: Instant) -> Result<Self, ProviderError> {
        let lost = || ProviderError::FirstProcess { reason: "its pipes are missing".to_owned(), tail: Vec::new() };
        let lifeline = child.stdin.take().ok_or_else(lost)?;
        let output = child.stdout.take().ok_or_else(lost)?;
        let lifeline = lifeline
            .into_owned_fd()
            .map_err(|error| ProviderError::FirstProcess { reason: error.to_string(), tail: Vec::new() })?;
        let (heard_sender, heard) = watch::channel(Heard::default());
        let (death_sender, death) = watch::channel(None);
        let dismissed = Arc::new(AtomicBool::new(false));
        let listener = Listener {
            heard: heard_sender,
            death: death_sender,
            dismissed: Arc::clone(&dismissed),
            offset: began.elapsed(),
        };
        tokio::spawn(listener.listen(output));
        Ok(Self { child: ManuallyDrop::new(child), lifeline: lifeline.into(), heard, death, dismissed })
    }

    /// Number of the first process, once it has isolated itself.
    pub(crate) fn first_process(&self) -> Option<i32> {
        self.heard.borrow().first_process
    }

    /// Writes a command to the first process.
    pub(crate) fn tell(&mut self, command: Command) -> Result<(), ProviderError> {
        writeln!(self.lifeline, "{}", command.word()).map_err(|error| ProviderError::FirstProcess {
            reason: format!("it does not listen any more: {error}"),
            tail: Vec::new(),
        })
    }

    /// Waits for a milestone, a death, a failure, the end, or the deadline.
    pub(crate) async fn reached(
        &self,
        milestone: Milestone,
        deadline: Duration,
        directory: &Utf8Path,
    ) -> Result<Duration, ProviderError> {
        let mut heard = self.heard.clone();
        let mut death = self.death.clone();
        let settled =
            |heard: &Heard| heard.milestones.get(milestone).is_some() || heard.failure.is_some() || heard.ended;
        let wait = async {
            tokio::select! {
                biased;
                _ = heard.wait_for(settled) => {}
                // A closed channel says nothing more than that the listening has ended.
                Ok(_) = death.wait_for(Option::is_some) => {}
            }
        };
        let timely = tokio::time::timeout(deadline, wait).await.is_ok();
        let heard = self.heard.borrow().clone();
        if let Some(after) = heard.milestones.get(milestone) {
            return Ok(after);
        }
        if let Some(reason) = heard.failure {
            return Err(ProviderError::FirstProcess { reason, tail: logs::tails(directory) });
        }
        if let Some(death) = self.death.borrow().clone() {
            return Err(ProviderError::Component { death: Box::new(death) });
        }
        if timely {
            let reason = "it ended without a word".to_owned();
            return Err(ProviderError::FirstProcess { reason, tail: logs::tails(directory) });
        }
        Err(ProviderError::Deadline {
            what: milestone.name().to_owned(),
            seconds: deadline.as_secs(),
            tail: logs::tails(directory),
        })
    }

    /// Closes the lifeline and reaps the child.
    pub(crate) async fn end(self) -> Option<String> {
        let Self { child, lifeline, dismissed, .. } = self;
        dismissed.store(true, Ordering::Release);
        drop(lifeline);
        let mut child = ManuallyDrop::into_inner(child);
        match tokio::time::timeout(LAST_WORDS, child.wait()).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(format!("sandproof-cluster-init: {error}")),
            Err(_) => Some(format!("sandproof-cluster-init did not end within {} s", LAST_WORDS.as_secs())),
        }
    }
}

impl fmt::Debug for Supervision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Supervision").field("process", &self.child.id()).finish_non_exhaustive()
    }
}

/// Turns what a cluster's processes say into states.
struct Listener {
    heard: watch::Sender<Heard>,
    death: watch::Sender<Option<ComponentDeath>>,
    dismissed: Arc<AtomicBool>,
    /// How long after the cluster was asked for the first process was started.
    offset: Duration,
}

impl Listener {
    /// Listens until the last process of the cluster has closed its output.
    async fn listen(self, output: ChildStdout) {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            match serde_json::from_str(&line) {
                Ok(event) => self.hear(event),
                Err(error) => tracing::warn!(line, %error, "the cluster's first process said something odd"),
            }
        }
        self.heard.send_modify(|heard| heard.ended = true);
        if !self.dismissed.load(Ordering::Acquire) {
            self.mourn(ComponentDeath {
                component: "the cluster's first process".to_owned(),
                status: "everything in the cluster ended with it".to_owned(),
                fatal: self.heard.borrow().failure.clone(),
                log_tail: Vec::new(),
            });
        }
        // Whoever still asks about deaths finds the channel open.
        self.death.closed().await;
    }

    fn hear(&self, event: Event) {
        match event {
            Event::Isolated { pid } => self.heard.send_modify(|heard| heard.first_process = Some(pid)),
            Event::Reached { milestone, milliseconds } => self.heard.send_modify(|heard| {
                heard.milestones.insert(milestone, self.offset + Duration::from_millis(milliseconds));
            }),
            Event::Died(death) => self.mourn(death),
            Event::Failed { reason } => self.heard.send_modify(|heard| heard.failure = Some(reason)),
            Event::Ended { leftovers } => {
                if !leftovers.is_empty() {
                    tracing::warn!(?leftovers, "something of the cluster was left behind");
                }
            }
        }
    }

    /// The first death counts: the others follow from it.
    fn mourn(&self, death: ComponentDeath) {
        tracing::warn!(%death, "a component of the cluster ended");
        self.death.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                *known = Some(death);
            }
            first
        });
    }
}
