//! One cell: create, install, probe, scenarios, collect, delete.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use camino::Utf8PathBuf;
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::wait::await_condition,
};
use sandproof_clusters::{
    host::Host,
    ledger,
    native::{self, Cluster, ClusterRequest, NodeRegistry, NodeSettings, Programs},
    registry::{Access, ListenerKind, Registry},
};
use sandproof_reports::{Adaptation, CaseResult, Cell, Observed, Phase};
use sandproof_scenarios::{Expectations, Facts, ScenarioInstance};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    facts,
    guests::Guests,
    install,
    result::{Bench, unjudged},
};
use crate::{
    cli::Keep,
    cluster_state::ClusterState,
    events::{Event, Events},
    failure::Failure,
    paths::Paths,
    plan::PlannedCell,
    provision::Kit,
    scene::Stage,
    subject::chart::{Chart, ImageValue},
};

/// How long a node may take to take pods.
const NODE_DEADLINE: Duration = Duration::from_secs(90);

/// How long the Agent Sandbox controller may take to be available.
const CONTROLLER_DEADLINE: Duration = Duration::from_secs(90);

/// The tag of the images that every scenario may use.
const TAG: &str = "v1";

/// What a cell needs from its run.
#[derive(Debug, Clone)]
pub(crate) struct CellContext {
    pub(crate) run_id: String,
    pub(crate) paths: Paths,
    pub(crate) kit: Kit,
    pub(crate) programs: Programs,
    pub(crate) host: Host,
    pub(crate) registry: Arc<Registry>,
    pub(crate) guests: Guests,
    pub(crate) expectations: Arc<Expectations>,
    pub(crate) events: Events,
    pub(crate) cancelled: CancellationToken,
    pub(crate) out: Utf8PathBuf,
    /// For files that nobody needs after the run.
    pub(crate) scratch: Utf8PathBuf,
    /// How `repro` is told of the report.
    pub(crate) report: String,
    pub(crate) keep: Keep,
    pub(crate) jobs: usize,
    pub(crate) retries: u8,
    pub(crate) fault: Option<String>,
}

/// A cluster with everything that scenarios need on it.
pub(crate) struct Equipped {
    pub(crate) cluster: Cluster,
    pub(crate) bench: Bench,
    pub(crate) observed: Observed,
    pub(crate) listeners: Vec<SocketAddr>,
}

/// Runs all of a cell. It never fails: what goes wrong is in its results.
pub(crate) async fn run(context: &CellContext, planned: &PlannedCell, scenarios: Vec<ScenarioInstance>) -> Cell {
    let mut cell = Cell::new(&planned.id, &planned.name, planned.axes());
    let name = cluster_name(&context.run_id, &planned.id);
    let mut equipped = match equip(context, planned, &name, &mut cell.phases).await {
        Ok(equipped) => equipped,
        Err(failure) => {
            cell.results = failed(context, planned, &scenarios, &failure);
            remove_remains(context, &name, &mut cell).await;
            return cell;
        }
    };
    cell.observed = equipped.observed.clone();
    if let Some(mismatch) = reached_something_else(planned, &cell.observed) {
        let failure = Failure::environment("reach the cell that was asked for", mismatch);
        cell.results = failed(context, planned, &scenarios, &failure);
    } else {
        let phase = PhaseClock::start(context, planned, "scenarios");
        cell.results = perform(&equipped.bench, &scenarios, context.jobs, 0).await;
        phase.finish(&mut cell.phases);
    }
    let red = cell.results.iter().any(|result| result.is_red(true));
    let keep = match context.keep {
        Keep::Never => false,
        Keep::OnFailure => red,
        Keep::Always => true,
    } && !context.cancelled.is_cancelled();
    let phase = PhaseClock::start(context, planned, "collect");
    let logs = context.out.join("evidence").join(&planned.id).join("cluster");
    if (red || equipped.bench.stage.broken().is_some())
        && let Err(error) = equipped.cluster.collect_logs(&logs).await
    {
        context.events.emit(Event::Warning { text: format!("cannot collect the cluster's logs: {error}") });
    }
    phase.finish(&mut cell.phases);
    if keep {
        if let Err(error) = equipped.cluster.keep() {
            context.events.emit(Event::Warning { text: format!("cannot keep the cluster {name}: {error}") });
        } else {
            context.events.emit(Event::CellNote {
                cell: planned.id.clone(),
                text: format!("kept as {name}; look with `./sandproof cluster shell {name}`, remove with `./sandproof cluster down {name}`"),
            });
            return cell;
        }
    }
    let phase = PhaseClock::start(context, planned, "delete");
    for address in &equipped.listeners {
        context.registry.close(*address);
    }
    let id = equipped.cluster.entry().id.clone();
    let deletion = equipped.cluster.delete().await;
    cell.leftovers = deletion.leftovers;
    // The deletion says what it could not remove; the inventory looks for itself.
    for leftover in ledger::inventory(&context.paths.state).of(&[id]) {
        if !cell.leftovers.contains(&leftover) {
            cell.leftovers.push(leftover);
        }
    }
    phase.finish(&mut cell.phases);
    cell
}

/// Creates a cluster and puts everything on it that scenarios need.
pub(crate) async fn equip(
    context: &CellContext,
    planned: &PlannedCell,
    name: &str,
    phases: &mut Vec<Phase>,
) -> Result<Equipped, Failure> {
    let mut made = None;
    let outcome = tokio::select! {
        outcome = equip_uninterrupted(context, planned, name, phases, &mut made) => outcome,
        () = context.cancelled.cancelled() => Err(Failure::Interrupted { during: format!("setting up {}", planned.id) }),
    };
    match (outcome, made) {
        (Ok((bench, observed, listeners)), Some(cluster)) => Ok(Equipped { cluster, bench, observed, listeners }),
        (Ok(_), None) => Err(Failure::environment("set up the cluster", "it is gone")),
        (Err(failure), made) => {
            if let Some(cluster) = made {
                cluster.delete().await;
            }
            Err(failure)
        }
    }
}

async fn equip_uninterrupted(
    context: &CellContext,
    planned: &PlannedCell,
    name: &str,
    phases: &mut Vec<Phase>,
    made: &mut Option<Cluster>,
) -> Result<(Bench, Observed, Vec<SocketAddr>), Failure> {
    let began = Instant::now();
    let phase = PhaseClock::start(context, planned, "create");
    let request = ClusterRequest {
        name: name.to_owned(),
        run_id: context.run_id.clone(),
        kubernetes_version: planned.kubernetes.clone(),
        feature_gates: planned.gates.clone(),
        programs: context.programs.clone(),
        host: context.host.clone(),
        state: context.paths.state.clone(),
        directory: context.paths.state.join("clusters").join(name),
    };
    let tried = "create the cluster";
    let prepared = native::prepare(request).await.map_err(|error| match error {
        error @ (native::ProviderError::InvalidName { .. } | native::ProviderError::NameTaken { .. }) => {
            Failure::usage(error.to_string(), "`sandproof cluster list` shows the clusters that there are")
        }
        error => Failure::environment(tried, error),
    })?;
    let listen = |kind| {
        let registry = Arc::clone(&context.registry);
        let ip = prepared.host_address;
        async move {
            registry.listen(ip, kind).await.map_err(|error| Failure::environment("listen for the node's pulls", error))
        }
    };
    let plain = listen(ListenerKind::PlainBasic).await?;
    let secure = listen(ListenerKind::TlsBearer).await?;
    let settings = NodeSettings {
        registries: vec![
            NodeRegistry { address: plain.to_string(), ca_pem: None },
            NodeRegistry { address: secure.to_string(), ca_pem: Some(context.registry.ca_pem().to_owned()) },
        ],
        pause_image: format!("{plain}/pause:{TAG}"),
    };
    let starting = async { prepared.start(settings).await.map_err(|error| Failure::environment(tried, error)) };
    let (started, ()) = futures::try_join!(starting, push_shared(context))?;
    // From here on it is the caller who deletes it, whatever happens.
    let cluster = made.insert(started);
    name_adaptations(context, planned, cluster);
    phase.finish(phases);

    let phase = PhaseClock::start(context, planned, "install");
    let client = connect(cluster).await?;
    let stage = Arc::new(Stage {
        cell: planned.id.clone(),
        client: client.clone(),
        state: ClusterState::watch(client.clone()),
        registry: Arc::clone(&context.registry),
        plain: plain.to_string(),
        secure: secure.to_string(),
        guests: context.guests.clone(),
        chart: Chart {
            helm: helm(context)?,
            directory: context.paths.chart(),
            kubeconfig: cluster.kubeconfig.clone(),
            scratch: context.scratch.join("helm"),
        },
        driver_image: ImageValue { repository: format!("{plain}/driver"), tag: TAG.to_owned() },
        supervisor_image: ImageValue { repository: format!("{plain}/supervisor"), tag: TAG.to_owned() },
        sandbox_image: format!("{plain}/agent:{TAG}"),
        fault: context.fault.clone(),
        events: context.events.clone(),
        cancelled: context.cancelled.clone(),
        halt: context.cancelled.child_token(),
        broken: Arc::new(Mutex::new(None)),
        began,
        sandbox_ran: Arc::default(),
    });
    mourn(&stage, cluster);
    report_milestones(&stage, &cluster.milestones());
    let outcome = finish_installation(context, &stage, &client, phases, planned, phase).await;
    let (facts, observed) = match outcome {
        Ok(found) => found,
        // A dead component explains the failure better than what failed because of it.
        Err(failure) => {
            let logs = context.out.join("evidence").join(&planned.id).join("cluster");
            let _ = cluster.collect_logs(&logs).await;
            return Err(match stage.broken() {
                Some(reason) => Failure::environment("set up the cluster", reason),
                None => failure,
            });
        }
    };
    let mut observed = observed;
    observed.adaptations =
        cluster.adaptations.iter().map(|adaptation| Adaptation::new(&adaptation.name, &adaptation.reason)).collect();
    let bench = Bench {
        stage,
        facts,
        expectations: Arc::clone(&context.expectations),
        out: context.out.clone(),
        retries: context.retries,
        keep: context.keep,
        report: context.report.clone(),
    };
    Ok((bench, observed, vec![plain, secure]))
}

async fn finish_installation(
    context: &CellContext,
    stage: &Arc<Stage>,
    client: &Client,
    phases: &mut Vec<Phase>,
    planned: &PlannedCell,
    phase: PhaseClock,
) -> Result<(Facts, Observed), Failure> {
    let manifests = context.kit.agent_sandbox.directory.join("k8s");
    let controller = format!("{}/agent-sandbox-controller:{TAG}", stage.plain);
    let installing = async {
        install::agent_sandbox(client, &manifests, &controller).await?;
        stage.state.watch_sandboxes("v1beta1");
        Ok::<_, Failure>(())
    };
    futures::try_join!(installing, schedulable(client, stage), default_account(client))?;
    phase.finish(phases);

    let phase = PhaseClock::start(context, planned, "probe");
    let agent = stage.sandbox_image.clone();
    let supervisor = format!("{}:{}", stage.supervisor_image.repository, stage.supervisor_image.tag);
    let (identity, capabilities, ()) = futures::try_join!(
        facts::identity(client),
        facts::capabilities(client, &stage.state, &agent, &supervisor),
        install::controller_available(client, CONTROLLER_DEADLINE),
    )?;
    phase.finish(phases);
    let observed = observed(&identity, planned);
    let mut tree = identity;
    tree["capabilities"] = capabilities;
    tree["subject"] = Value::String("reference".to_owned());
    tree["provider"] = Value::String(planned.provider.clone());
    Ok((Facts::new(tree), observed))
}

/// Runs the scenarios side by side, in the order of the plan; `offset` keeps apart what runs on one cluster twice.
pub(crate) async fn perform(
    bench: &Bench,
    scenarios: &[ScenarioInstance],
    jobs: usize,
    offset: usize,
) -> Vec<CaseResult> {
    let mut results: Vec<(usize, CaseResult)> = stream::iter(scenarios.iter().enumerate())
        .map(|(position, scenario)| async move { (position, bench.run(scenario, offset + position).await) })
        .buffer_unordered(jobs)
        .collect()
        .await;
    results.sort_by_key(|(position, _)| *position);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Pushes the images that every cluster needs; the registry keeps what it already has.
async fn push_shared(context: &CellContext) -> Result<(), Failure> {
    let guests = &context.guests;
    let images = [
        ("pause", &guests.pause),
        ("agent-sandbox-controller", &guests.controller),
        ("driver", &guests.driver),
        ("supervisor", &guests.supervisor),
        ("agent", &guests.agent),
    ];
    futures::future::try_join_all(images.map(|(repository, image)| async move {
        context.registry.grant(repository, Access::Public);
        context
            .registry
            .push(image, repository, TAG)
            .await
            .map(drop)
            .map_err(|error| Failure::environment(format!("push the image {repository}"), error))
    }))
    .await
    .map(drop)
}

/// A client for the cluster's own kubeconfig; the user's is never read.
async fn connect(cluster: &Cluster) -> Result<Client, Failure> {
    let tried = "talk to the cluster";
    let kubeconfig = Kubeconfig::read_from(&cluster.kubeconfig).map_err(|error| Failure::environment(tried, error))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| Failure::environment(tried, error))?;
    // The cluster is on this machine: a proxy could only be in the way.
    config.proxy_url = None;
    Client::try_from(config).map_err(|error| Failure::environment(tried, error))
}

/// What the host made necessary is part of what was tested.
fn name_adaptations(context: &CellContext, planned: &PlannedCell, cluster: &Cluster) {
    for adaptation in &cluster.adaptations {
        context.events.emit(Event::CellNote {
            cell: planned.id.clone(),
            text: format!("adapted: {} ({})", adaptation.name, adaptation.reason),
        });
    }
}

/// Declares the cluster broken when one of its programs ends.
fn mourn(stage: &Arc<Stage>, cluster: &Cluster) {
    let mut deaths = cluster.component_death();
    let stage = Arc::downgrade(stage);
    tokio::spawn(async move {
        let Ok(death) = deaths.wait_for(Option::is_some).await.map(|death| death.clone()) else { return };
        let (Some(stage), Some(death)) = (stage.upgrade(), death) else { return };
        stage.events.emit(Event::ComponentDied {
            cell: stage.cell.clone(),
            component: death.component.clone(),
            log: death.log_tail.clone(),
        });
        stage.declare_broken(format!("{} ended ({}): {}", death.component, death.status, death.log_tail.join("\n")));
    });
}

/// Says when the cluster reached what, counted from the start of its creation.
fn report_milestones(stage: &Stage, milestones: &native::Milestones) {
    for (milestone, after) in milestones.iter() {
        stage.events.emit(Event::Milestone {
            cell: stage.cell.clone(),
            name: milestone.name().to_owned(),
            seconds: after.as_secs_f64(),
        });
    }
}

/// Waits until the node takes pods.
async fn schedulable(client: &Client, stage: &Stage) -> Result<(), Failure> {
    let name = node_name(client).await?;
    let ready = |node: Option<&Node>| {
        node.is_some_and(|node| {
            let tainted = node
                .spec
                .as_ref()
                .and_then(|spec| spec.taints.as_ref())
                .is_some_and(|taints| taints.iter().any(|taint| taint.effect != "PreferNoSchedule"));
            let ready = node.status.as_ref().and_then(|status| status.conditions.as_ref()).is_some_and(|conditions| {
                conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
            });
            ready && !tainted
        })
    };
    let api: Api<Node> = Api::all(client.clone());
    let waiting = tokio::time::timeout(NODE_DEADLINE, await_condition(api.clone(), &name, ready));
    let outcome = tokio::select! {
        outcome = waiting => outcome,
        () = stage.halt.cancelled() => {
            return Err(Failure::environment("wait for the node", stage.broken().unwrap_or_else(|| "the run ends".to_owned())));
        }
    };
    match outcome {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::environment("watch the node", error)),
        Err(_) => {
            let node = api.get_opt(&name).await.ok().flatten();
            let conditions = node.and_then(|node| node.status).and_then(|status| status.conditions).unwrap_or_default();
            let said: Vec<String> = conditions
                .iter()
                .filter(|condition| condition.type_ == "Ready")
                .map(|condition| condition.message.clone().unwrap_or_default())
                .collect();
            Err(Failure::environment(
                "get a node that takes pods",
                format!("node {name} was not ready within {} s: {}", NODE_DEADLINE.as_secs(), said.join("; ")),
            ))
        }
    }
}

/// Pods need the account that the controller manager makes for each namespace.
async fn default_account(client: &Client) -> Result<(), Failure> {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    let exists = |account: Option<&ServiceAccount>| account.is_some();
    match tokio::time::timeout(NODE_DEADLINE, await_condition(api, "default", exists)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::environment("watch for the default service account", error)),
        Err(_) => Err(Failure::environment("start pods", "the controller manager made no default service account")),
    }
}

/// The node registers under a name that the provider chose.
async fn node_name(client: &Client) -> Result<String, Failure> {
    use kube::runtime::{WatchStreamExt, watcher};
    let tried = "wait for the node to register";
    let nodes =
        watcher(Api::<Node>::all(client.clone()), watcher::Config::default()).default_backoff().applied_objects();
    let mut nodes = std::pin::pin!(nodes);
    let first = async {
        loop {
            match nodes.next().await {
                Some(Ok(node)) => return node.metadata.name.unwrap_or_default(),
                // The watcher backs off and lists again by itself.
                Some(Err(_)) => {}
                None => return String::new(),
            }
        }
    };
    match tokio::time::timeout(NODE_DEADLINE, first).await {
        Ok(name) if !name.is_empty() => Ok(name),
        _ => Err(Failure::environment(tried, format!("no node within {} s", NODE_DEADLINE.as_secs()))),
    }
}

fn observed(identity: &Value, planned: &PlannedCell) -> Observed {
    let text = |pointer: &str| identity.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let gates = identity
        .pointer("/gates")
        .and_then(Value::as_object)
        .map(|gates| gates.iter().filter_map(|(name, on)| Some((name.clone(), on.as_bool()?))).collect())
        .unwrap_or_default();
    let served = identity.pointer("/agentSandbox/served").map(ToString::to_string).unwrap_or_default();
    Observed {
        apiserver: text("/apiserver"),
        kubelet: text("/kubelet"),
        runtime: Some(format!(
            "{} {}",
            text("/runtime/name").unwrap_or_default(),
            text("/runtime/version").unwrap_or_default()
        )),
        agent_sandbox: Some(format!("v{} serving {served}", planned.agent_sandbox)),
        gates,
        adaptations: Vec::new(),
    }
}

/// Reaching another version than asked is an error: the cell would claim what it did not test.
fn reached_something_else(planned: &PlannedCell, observed: &Observed) -> Option<String> {
    let differs = |found: &Option<String>, asked: &str| found.as_deref() != Some(asked);
    if differs(&observed.apiserver, &planned.kubernetes) || differs(&observed.kubelet, &planned.kubernetes) {
        return Some(format!(
            "Kubernetes {} was asked for, the API server says {} and the kubelet {}",
            planned.kubernetes,
            observed.apiserver.as_deref().unwrap_or("nothing"),
            observed.kubelet.as_deref().unwrap_or("nothing"),
        ));
    }
    let runtime = format!("{} {}", planned.runtime, planned.runtime_version);
    if differs(&observed.runtime, &runtime) {
        return Some(format!(
            "{runtime} was asked for, the node says {}",
            observed.runtime.as_deref().unwrap_or("nothing")
        ));
    }
    None
}

/// Every scenario of a cell that could not be set up.
fn failed(
    context: &CellContext,
    planned: &PlannedCell,
    scenarios: &[ScenarioInstance],
    failure: &Failure,
) -> Vec<CaseResult> {
    if !matches!(failure, Failure::Interrupted { .. }) {
        context.events.emit(Event::Warning { text: format!("{}: {failure}", planned.id) });
    }
    unjudged(&context.report, &planned.id, scenarios, failure)
}

/// After a failed or interrupted set-up: whatever there is by now goes.
async fn remove_remains(context: &CellContext, name: &str, cell: &mut Cell) {
    match ledger::down(&context.paths.state, name).await {
        Ok(swept) => cell.leftovers = swept.leftovers,
        Err(ledger::LedgerError::Unknown { .. }) => {}
        Err(error) => cell.leftovers = vec![format!("cluster {name}: {error}")],
    }
}

fn helm(context: &CellContext) -> Result<Utf8PathBuf, Failure> {
    context
        .kit
        .helm
        .file("helm")
        .map(camino::Utf8Path::to_owned)
        .map_err(|error| Failure::environment("find the program helm", error))
}

/// `RUN-CELL`, short enough to type.
fn cluster_name(run_id: &str, cell: &str) -> String {
    let suffix = run_id.rsplit('-').next().unwrap_or(run_id);
    format!("{}-{suffix}", cell.replace('.', "-"))
}

/// Times a phase and says so.
struct PhaseClock {
    events: Events,
    cell: String,
    name: &'static str,
    started: Instant,
}

impl PhaseClock {
    fn start(context: &CellContext, planned: &PlannedCell, name: &'static str) -> Self {
        context.events.emit(Event::PhaseStarted { cell: planned.id.clone(), phase: name });
        Self { events: context.events.clone(), cell: planned.id.clone(), name, started: Instant::now() }
    }

    fn finish(self, phases: &mut Vec<Phase>) {
        let seconds = self.started.elapsed().as_secs_f64();
        phases.push(Phase::new(self.name, seconds));
        self.events.emit(Event::PhaseFinished { cell: self.cell, phase: self.name, seconds });
    }
}
