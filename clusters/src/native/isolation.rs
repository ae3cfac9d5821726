//! Making the namespaces of a cluster and its link to the host.

use std::{
    fs,
    hash::{BuildHasher, Hasher},
    net::IpAddr,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    process::Stdio,
    time::{Duration, Instant},
};

use camino::Utf8Path;
use jiff::Timestamp;

use super::{
    Cluster, ClusterRequest, Holdings, NodeSettings, ProviderError, adaptations,
    cluster::Supervision,
    control_groups,
    files::Files,
    network,
    plan::{CgroupPlan, Command, IsolationPlan, Milestone},
    runtime, start,
};
use crate::{
    ledger::{Entry, Ledger, ProcessIdentity, is_cluster_name, remove_cluster},
    process::{Process, SpawnStdio},
    provider::{Deletion, Failed, LeftBehind},
};

/// How long namespaces and mounts may take; they take milliseconds.
const ISOLATION: Duration = Duration::from_secs(20);

/// How much longer than the first process's own deadline the harness waits.
const GRACE: Duration = Duration::from_secs(5);

/// A cluster's namespaces, with nothing running in them yet.
#[derive(Debug)]
pub struct PreparedCluster {
    /// The host's address on the link: where a registry for this cluster listens.
    pub host_address: IpAddr,
    /// The node's address on the link.
    pub node_address: IpAddr,
    /// What differs from an ordinary cluster because of the host.
    pub adaptations: Vec<super::Adaptation>,
    request: ClusterRequest,
    entry: Entry<Holdings>,
    supervision: Supervision,
    deadline: Duration,
}

/// Makes the namespaces and the link. Everything is in the ledger before it exists; on failure,
/// what was made is removed.
pub async fn prepare(request: ClusterRequest) -> Result<PreparedCluster, Failed<ProviderError>> {
    let began = Instant::now();
    let registered = async {
        check(&request)?;
        let ledger = Ledger::open(&request.state)?;
        let (entry, groups) = register(&ledger, &request).await?;
        Ok((ledger, entry, groups))
    };
    let (ledger, entry, groups) = registered.await.map_err(Failed::cleanly)?;
    match isolate(&ledger, &request, &entry, groups, began).await {
        Ok((entry, supervision)) => Ok(PreparedCluster {
            host_address: entry.holdings.host_address().into(),
            node_address: entry.holdings.node_address().into(),
            adaptations: adaptations::named(&request.host),
            request,
            entry,
            supervision,
            deadline: super::API_DEADLINE,
        }),
        Err(error) => {
            let left = discard(&ledger, entry).await;
            Err(Failed { reason: error, left })
        }
    }
}

impl PreparedCluster {
    /// Sets how long the API server may take to become ready ([`API_DEADLINE`](super::API_DEADLINE)
    /// when not called); emulated or crowded machines need more.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Starts the components; resolves when the API server answers `/readyz`. The node may become
    /// ready later: see [`Cluster::reached`]. On failure the cluster is removed.
    pub async fn start(mut self, settings: NodeSettings) -> Result<Cluster, Failed<ProviderError>> {
        match self.come_up(&settings).await {
            Ok(()) => {
                let Self { request, entry, supervision, adaptations, .. } = self;
                Ok(Cluster::new(request, entry, supervision, adaptations, settings.registries))
            }
            Err(reason) => Err(Failed { reason, left: self.delete().await.left }),
        }
    }

    /// Removes the namespaces and the link again.
    pub async fn delete(self) -> Deletion {
        let Self { request, entry, supervision, .. } = self;
        super::cluster::delete(&request.state, &entry, supervision).await
    }

    async fn come_up(&mut self, settings: &NodeSettings) -> Result<(), ProviderError> {
        start::write(&self.request, &self.entry, settings, self.deadline)?;
        self.supervision.tell(Command::Start)?;
        self.supervision.reached(Milestone::ApiReady, self.deadline + GRACE, &self.request.directory).await?;
        Ok(())
    }
}

/// What is wrong with the request before anything is made.
fn check(request: &ClusterRequest) -> Result<(), ProviderError> {
    if !request.host.root {
        return Err(ProviderError::NotRoot);
    }
    if !is_cluster_name(&request.name) {
        return Err(ProviderError::InvalidName { name: request.name.clone() });
    }
    for (program, path) in request.programs.all() {
        if program.starts_with("the CNI plugin") {
            continue;
        }
        let runs = |path: &Utf8Path| {
            fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
        };
        if !path.is_absolute() || !runs(path) {
            return Err(ProviderError::MissingProgram { program, path: path.to_owned() });
        }
    }
    if let Some(plugin) = runtime::missing_plugin(&request.programs.cni_plugins) {
        let path = request.programs.cni_plugins.join(plugin);
        return Err(ProviderError::MissingProgram { program: plugin, path });
    }
    for (program, remedy) in [("ip", "apt-get install iproute2"), ("nft", "apt-get install nftables")] {
        if which::which(program).is_err() && !Utf8Path::new("/usr/sbin").join(program).exists() {
            return Err(ProviderError::MissingTool { program, remedy });
        }
    }
    Ok(())
}

/// Chooses what the cluster will be called and writes it to the ledger.
async fn register(ledger: &Ledger, request: &ClusterRequest) -> Result<(Entry<Holdings>, CgroupPlan), ProviderError> {
    let _lock = ledger.lock().await?;
    let entries = ledger.entries()?;
    if let Some(other) = entries.iter().find(|other| other.directory == request.directory) {
        return Err(ProviderError::NameTaken {
            directory: request.directory.clone(),
            name: other.name.clone(),
            run: other.run.clone(),
        });
    }
    let id = loop {
        let id = random_id();
        let in_use = Utf8Path::new("/sys/class/net").join(network::link_name(&id)).exists();
        if !in_use && !entries.iter().any(|other| other.id == id) {
            break id;
        }
    };
    let routes = fs::read_to_string("/proc/net/route").map_err(ProviderError::io("read", "/proc/net/route"))?;
    let groups = control_groups::plan(&request.host, &id)?;
    let entry = Entry {
        name: request.name.clone(),
        run: request.run_id.clone(),
        created: Timestamp::now(),
        kubernetes: request.kubernetes_version.clone(),
        owner: ProcessIdentity::own(),
        directory: request.directory.clone(),
        kept: false,
        holdings: Holdings {
            link: network::link_name(&id),
            subnet: network::free_subnet(&id, &routes, &entries)?,
            groups: groups.hierarchies.iter().map(|subtree| subtree.directory.clone()).collect(),
            supervisor: None,
            first_process: None,
        },
        id,
    };
    ledger.write(&entry)?;
    Ok((entry, groups))
}

/// Eight hexadecimal digits; uniqueness is checked under the ledger's lock.
fn random_id() -> String {
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("{:08x}", random & 0xffff_ffff)
}

async fn isolate(
    ledger: &Ledger,
    request: &ClusterRequest,
    entry: &Entry<Holdings>,
    groups: CgroupPlan,
    began: Instant,
) -> Result<(Entry<Holdings>, Supervision), ProviderError> {
    let directory = &request.directory;
    // What lies there has no entry, so no run knows it.
    let _ = fs::remove_dir_all(directory);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory.join("logs"))
        .map_err(ProviderError::io("create", directory))?;
    let plan = IsolationPlan {
        name: request.name.clone(),
        host_name: request.name.clone(),
        directory: directory.clone(),
        cgroups: groups,
        owner: entry.owner,
        ledger_entry: ledger.path(&entry.id),
        link: entry.holdings.link.clone(),
    };
    let files = Files::new(directory);
    files.write_json("plan.json", &plan)?;
    let log_path = directory.join("logs/cluster-init.log");
    let log = fs::File::create(&log_path).map_err(ProviderError::io("create", &log_path))?;
    let child = Process::new(&request.programs.cluster_init).arg(files.outside("plan.json")).spawn(SpawnStdio {
        stdin: Stdio::piped(),
        stdout: Stdio::piped(),
        stderr: log.into(),
    })?;
    let mut entry = entry.clone();
    entry.holdings.supervisor = ProcessIdentity::of_child(child.id());
    ledger.write(&entry)?;
    let supervision = Supervision::new(child, began)?;
    match connect(ledger, &mut entry, &supervision).await {
        Ok(()) => Ok((entry, supervision)),
        Err(error) => {
            supervision.end().await;
            Err(error)
        }
    }
}

/// Waits for the namespaces and makes the link into them.
async fn connect(ledger: &Ledger, entry: &mut Entry<Holdings>, supervision: &Supervision) -> Result<(), ProviderError> {
    supervision.reached(Milestone::Isolated, ISOLATION, &entry.directory).await?;
    let pid = supervision.first_process().unwrap_or_default();
    entry.holdings.first_process = ProcessIdentity::of(pid);
    ledger.write(entry)?;
    network::connect(&entry.holdings, pid).await
}

/// Removes a cluster that did not come up. What resists stays in the ledger, for a sweep.
async fn discard(ledger: &Ledger, entry: Entry<Holdings>) -> LeftBehind {
    // The entry as written last: it may have the processes by now.
    let entry = match ledger.entries() {
        Ok(entries) => entries.into_iter().find(|written| written.id == entry.id).unwrap_or_else(|| entry.recorded()),
        Err(error) => return LeftBehind::Unknown(error.to_string()),
    };
    match remove_cluster(ledger, &entry).await {
        Ok(swept) => swept.leftovers,
        Err(error) => LeftBehind::Unknown(error.to_string()),
    }
}
