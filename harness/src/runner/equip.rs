//! A cluster with everything that scenarios need on it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use sandproof_clusters::{
    existing::{AgentSandboxFound, PLAIN_PORT, SECURE_PORT},
    provider::{
        self, Cluster, ClusterRequest, CreationError, Description, Failed, Milestones, NodeRegistry, NodeSettings,
        PreparedCluster, Provider, RegistryAccess, RegistryPlace,
    },
    registry::{Access, ListenerKind, Registry},
};
use sandproof_reports::{Adaptation, Observed, Phase};
use sandproof_scenarios::Facts;
use serde_json::Value;

use super::{
    capabilities,
    cell::{CellContext, PhaseClock},
    deaths, facts,
    faulty::with_faults,
    install::{self, Release, Releases},
    limits::Limits,
    observed::observed,
    readiness::{default_account, schedulable},
    result::Bench,
};
use crate::{
    cli::Keep,
    cluster_state::ClusterState,
    events::Event,
    existing::AUTHORITY,
    failure::Failure,
    place::Place,
    plan::PlannedCell,
    relay::RelayPlace,
    scene::Stage,
    subject::{
        Attached, HostProcess, Subject, Way,
        chart::{Chart, ImageValue},
        faulty::FaultyParts,
        reference::SubjectReference,
    },
};

/// How long the Agent Sandbox controller may take to be available.
const CONTROLLER_DEADLINE: Duration = Duration::from_secs(90);

/// The tag of the images that every scenario may use.
const TAG: &str = "v1";

/// A cluster with everything that scenarios need on it.
pub(crate) struct Equipped {
    pub(crate) cluster: Cluster,
    pub(crate) bench: Bench,
    pub(crate) observed: Observed,
    pub(crate) listeners: Vec<SocketAddr>,
}

/// Creates a cluster and puts everything on it that scenarios need.
pub(crate) async fn equip(
    context: &CellContext,
    planned: &PlannedCell,
    name: &str,
    phases: &mut Vec<Phase>,
) -> Result<Equipped, Failure> {
    let mut made = None;
    let mut listeners = Vec::new();
    let outcome = tokio::select! {
        outcome = equip_uninterrupted(context, planned, name, phases, &mut listeners, &mut made) => outcome,
        () = context.cancelled.cancelled() => Err(Failure::Interrupted { during: format!("setting up {}", planned.id) }),
    };
    match (outcome, made) {
        (Ok((bench, observed)), Some(cluster)) => Ok(Equipped { cluster, bench, observed, listeners }),
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
    listeners: &mut Vec<SocketAddr>,
    made: &mut Option<Cluster>,
) -> Result<(Bench, Observed), Failure> {
    let began = Instant::now();
    let phase = PhaseClock::start(context, planned, "create");
    // From here on it is the caller who deletes it, whatever happens.
    let cluster = made.insert(create(context, planned, name, listeners).await?);
    let description = cluster.describe();
    // Scenarios that need a registry which the nodes cannot use are left out; for all else the other one serves.
    let RegistryAccess { plain, secure } = &description.registries;
    let either = |one: &Result<String, String>, other: &Result<String, String>| {
        let unusable = |why| Failure::environment("find a registry that the nodes can pull from", why);
        one.clone().or_else(|why| other.clone().map_err(|other| unusable(format!("{why}; {other}"))))
    };
    let (plain, secure) = (either(plain, secure)?, either(secure, plain)?);
    name_adaptations(context, planned, &description);
    phase.finish(phases);

    let phase = PhaseClock::start(context, planned, "install");
    let config = configuration(&description).await?;
    let relay = description.relay_address.clone().map(|address| RelayPlace { address, api_server: authority(&config) });
    let client = Client::try_from(config).map_err(|error| Failure::environment("talk to the cluster", error))?;
    let stage = Stage {
        cell: planned.id.clone(),
        client: client.clone(),
        state: ClusterState::watch(client.clone()),
        place: Place::of(description.guest.as_ref()),
        node_access: description.node_access.clone(),
        relay,
        registry: Arc::clone(&context.registry),
        plain: plain.clone(),
        secure,
        releases: releases(context, planned, plain.clone()),
        guests: context.guests.clone(),
        subject: subject(context, &description.kubeconfig)?,
        driver_image: ImageValue { repository: format!("{plain}/driver"), tag: TAG.to_owned() },
        supervisor_image: ImageValue { repository: format!("{plain}/supervisor"), tag: TAG.to_owned() },
        sandbox_image: format!("{plain}/agent:{TAG}"),
        events: context.events.clone(),
        cancelled: context.cancelled.clone(),
        halt: context.cancelled.child_token(),
        broken: Arc::new(Mutex::new(None)),
        began,
        sandbox_ran: Arc::default(),
        only_init_containers: Arc::default(),
    };
    let faults = context.subject.faults.clone();
    let stage = Arc::new(with_faults(&stage, faults, &context.paths, &context.scratch.join("faulty")).await?);
    deaths::of_cluster(&stage, cluster.component_death());
    if let Some(death) = context.registry.death() {
        deaths::of_registry(&stage, death);
    }
    report_milestones(&stage, &cluster.milestones());
    let outcome = finish_installation(context, &stage, &client, &description, phases, planned, phase).await;
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
    observed.adaptations = description
        .adaptations
        .iter()
        .map(|adaptation| Adaptation::new(&adaptation.name, &adaptation.reason))
        .collect();
    let bench = Bench {
        stage,
        facts,
        limits: Limits::of(&description),
        expectations: Arc::clone(&context.expectations),
        out: context.out.clone(),
        retries: context.retries,
        keep: context.keep,
        report: context.report.clone(),
        seed: context.seed,
        going: Mutex::default(),
    };
    Ok((bench, observed))
}

/// Creates the cluster, with registries that its nodes know.
async fn create(
    context: &CellContext,
    planned: &PlannedCell,
    name: &str,
    listeners: &mut Vec<SocketAddr>,
) -> Result<Cluster, Failure> {
    let request = ClusterRequest {
        name: name.to_owned(),
        run_id: context.run_id.clone(),
        kubernetes_version: planned.kubernetes.clone(),
        feature_gates: planned.gates.clone(),
        kubelet_gates: planned.kubelet_gates.clone(),
        state: context.paths.state.clone(),
        directory: context.paths.state.join("clusters").join(name),
        means: context.means.clone(),
    };
    let prepared = provider::prepare(request).await.map_err(not_created)?;
    let mut registries = Vec::new();
    for place in prepared.registry_places() {
        registries.extend(listen(context, place, listeners)?);
    }
    if context.keep == Keep::Always && planned.provider != Provider::Existing {
        registries.extend(later_registries(context, &prepared)?);
    }
    let plain = registries.iter().find(|registry| registry.ca_pem.is_none()).map(|registry| registry.address.clone());
    let pause_image = format!("{}/pause:{TAG}", plain.unwrap_or_default());
    let settings = NodeSettings { registries, pause_image };
    let pushing = push_shared(context);
    if prepared.pulls_at_start() {
        pushing.await?;
        return prepared.start(settings).await.map_err(not_created);
    }
    let starting = async { prepared.start(settings).await.map_err(not_created) };
    Ok(futures::try_join!(starting, pushing)?.0)
}

/// Listens for the pulls of a cluster's nodes, in plain HTTP and in TLS.
fn listen(
    context: &CellContext,
    place: RegistryPlace,
    listeners: &mut Vec<SocketAddr>,
) -> Result<[NodeRegistry; 2], Failure> {
    let open = |port, kind| {
        let address = SocketAddr::new(place.address, port);
        let opened = match context.registry.listen(address, kind) {
            // A port that would be better is taken by somebody else.
            Err(_) if port != 0 => context.registry.listen(SocketAddr::new(place.address, 0), kind),
            opened => opened,
        };
        opened.map_err(|error| Failure::environment("listen for the node's pulls", error))
    };
    let plain = open(place.plain_port, ListenerKind::PlainBasic)?;
    listeners.push(plain);
    let secure = open(place.secure_port, ListenerKind::TlsBearer)?;
    listeners.push(secure);
    let ca_pem = context.registry.ca_pem().to_owned();
    Ok([
        NodeRegistry { address: plain.to_string(), ca_pem: None },
        NodeRegistry { address: secure.to_string(), ca_pem: Some(ca_pem) },
    ])
}

/// The registries of later runs against this cluster as an existing one. A cluster that stays is told of them in advance.
fn later_registries(context: &CellContext, prepared: &PreparedCluster) -> Result<Vec<NodeRegistry>, Failure> {
    let authority = Registry::kept_authority(&context.paths.state.join(AUTHORITY))
        .map_err(|error| Failure::environment("make the authority of later registries", error))?;
    let of = |place: RegistryPlace| {
        let address = |port| SocketAddr::new(place.address, port).to_string();
        [
            NodeRegistry { address: address(PLAIN_PORT), ca_pem: None },
            NodeRegistry { address: address(SECURE_PORT), ca_pem: Some(authority.clone()) },
        ]
    };
    Ok(prepared.registry_places().into_iter().flat_map(of).collect())
}

/// A cluster that could not be made, as the caller's mistake or as the environment's.
fn not_created(failed: Failed<CreationError>) -> Failure {
    if failed.reason.is_usage() {
        return Failure::usage(failed.to_string(), "`sandproof cluster list` shows the clusters that there are");
    }
    Failure::environment("create the cluster", failed)
}

/// The cell's release of Agent Sandbox, and the way to the others that upgrades lead to.
fn releases(context: &CellContext, planned: &PlannedCell, address: String) -> Releases {
    Releases {
        own: Release::new(&context.kit.agent_sandbox, &address, TAG),
        own_version: planned.agent_sandbox.clone(),
        paths: context.paths.clone(),
        sources: context.sources.clone(),
        guests: context.guests.clone(),
        registry: Arc::clone(&context.registry),
        address,
        events: context.events.clone(),
        cancelled: context.cancelled.clone(),
    }
}

async fn finish_installation(
    context: &CellContext,
    stage: &Arc<Stage>,
    client: &Client,
    cluster: &Description,
    phases: &mut Vec<Phase>,
    planned: &PlannedCell,
    phase: PhaseClock,
) -> Result<(Facts, Observed), Failure> {
    let definition = match cluster.guest.as_ref().map(|guest| &guest.agent_sandbox) {
        Some(AgentSandboxFound::Present { .. }) => None,
        found => {
            let installing = async {
                let definition = install::agent_sandbox(client, &stage.releases.own, &stage.place).await?;
                stage.state.watch_sandboxes(&definition.served());
                Ok::<_, Failure>(definition)
            };
            // The nodes of an existing cluster have run a pod by now.
            let node = async { if found.is_none() { schedulable(client, stage).await } else { Ok(()) } };
            Some(futures::try_join!(installing, node, default_account(client, &stage.place.probes))?.0)
        }
    };
    if definition.is_none() {
        let mut served = facts::served(client).await;
        // As the API server prefers them, the newest comes first.
        served.sort_unstable_by(|one, other| other.cmp(one));
        stage.state.watch_sandboxes(&served);
    }
    phase.finish(phases);

    let phase = PhaseClock::start(context, planned, "probe");
    let working = async {
        let Some(definition) = &definition else { return Ok(()) };
        install::controller_available(client, CONTROLLER_DEADLINE).await?;
        definition.wait_for_conversion(client, CONTROLLER_DEADLINE).await
    };
    let (identity, capabilities, ()) =
        futures::try_join!(facts::identity(client, &stage.place, planned), capabilities::probe(stage), working)?;
    phase.finish(phases);
    let capabilities = capabilities.facts(&identity);
    let mut tree = identity;
    tree["capabilities"] = capabilities;
    tree["subject"] = context.subject.profile.facts();
    tree["provider"] = Value::String(planned.provider.to_string());
    if tree["capabilities"]["imageVolume"] != "works" {
        stage.only_init_containers.store(true, Ordering::Relaxed);
    }
    let observed = observed(&tree);
    // What was probed is what the release is; whoever looks at it must notice what became of it.
    let defects = FaultyParts::of(&stage.subject.faults).agent_sandbox;
    install::spoil(client, &defects).await?;
    Ok((Facts::new(tree), observed))
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

/// What the cluster's own kubeconfig says.
async fn configuration(cluster: &Description) -> Result<Config, Failure> {
    let tried = "talk to the cluster";
    let kubeconfig = Kubeconfig::read_from(&cluster.kubeconfig).map_err(|error| Failure::environment(tried, error))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| Failure::environment(tried, error))?;
    provider::limit_waits(&mut config);
    if cluster.guest.is_none() {
        // The cluster is on this machine: a proxy could only be in the way.
        config.proxy_url = None;
    }
    Ok(config)
}

/// Host and port of the API server.
fn authority(config: &Config) -> String {
    let url = &config.cluster_url;
    format!("{}:{}", url.host().unwrap_or_default(), url.port_u16().unwrap_or(443))
}

/// What the host made necessary is part of what was tested.
fn name_adaptations(context: &CellContext, planned: &PlannedCell, cluster: &Description) {
    for adaptation in &cluster.adaptations {
        context.events.emit(Event::CellNote {
            cell: planned.id.clone(),
            text: format!("adapted: {} ({})", adaptation.name, adaptation.reason),
        });
    }
}

/// Says when the cluster reached what, counted from the start of its creation.
fn report_milestones(stage: &Stage, milestones: &Milestones) {
    for (milestone, after) in milestones.iter() {
        stage.events.emit(Event::Milestone {
            cell: stage.cell.clone(),
            name: milestone.name().to_owned(),
            seconds: after.as_secs_f64(),
        });
    }
}

/// The subject, as it comes to be on this cluster.
fn subject(context: &CellContext, kubeconfig: &Utf8Path) -> Result<Subject, Failure> {
    let choice = &context.subject;
    let way = match (&choice.reference, &context.chart) {
        (SubjectReference::Process(program), _) => Way::Process(HostProcess {
            program: program.clone(),
            arguments: choice.arguments.clone(),
            kubeconfig: kubeconfig.to_owned(),
            directory: context.scratch.join("driver"),
            profile: choice.profile.name.clone(),
        }),
        (SubjectReference::Grpc(address), _) => Way::Attached(Attached {
            address: address.clone(),
            namespace: choice.namespace.clone().unwrap_or_default(),
            profile: choice.profile.name.clone(),
        }),
        (_, Some(directory)) => Way::Chart(Chart {
            helm: helm(context)?,
            directory: directory.clone(),
            values: choice.values.clone(),
            kubeconfig: kubeconfig.to_owned(),
            scratch: context.scratch.join("helm"),
        }),
        (_, None) => return Err(Failure::environment("find the subject's chart", "there is none")),
    };
    Ok(Subject::new(Arc::clone(&choice.profile), choice.faults.clone(), way))
}

fn helm(context: &CellContext) -> Result<Utf8PathBuf, Failure> {
    context
        .kit
        .helm
        .file("helm")
        .map(camino::Utf8Path::to_owned)
        .map_err(|error| Failure::environment("find the program helm", error))
}
