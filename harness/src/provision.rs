//! Gets everything that a cluster is made of: packages of the host, components, sibling programs.

use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use sandproof_clusters::{
    components::{Component, ComponentProgress, Listed, ProgressSender, Step, Store, StoreOptions, runtime_component},
    host::{Host, Missing, Purpose, install_packages},
    kind,
    native::{Programs, RuntimePrograms},
    provider::{Means, NativeMeans, Provider},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::SourceArguments,
    events::{Event, Events},
    failure::Failure,
    node_image::{self, KindKit, NodeImageSource},
    paths::Paths,
    plan::PlannedCell,
    runner::run::RunSettings,
};

/// How long a step may stay silent before its progress is repeated on a plain log.
const REPEAT: Duration = Duration::from_secs(15);

/// The runtime CRI-O, as cells and the component of that name call it.
const CRI_O: &str = "cri-o";

/// How many components every cell needs, whoever makes its cluster.
const COMMON: usize = 3;

/// Every component that one cell needs.
#[derive(Debug, Clone)]
pub(crate) struct Kit {
    pub(crate) registry: Component,
    pub(crate) helm: Component,
    pub(crate) agent_sandbox: Component,
    /// What the provider makes the cluster of.
    pub(crate) cluster: ClusterKit,
}

/// What a provider makes a cluster of.
#[derive(Debug, Clone)]
pub(crate) enum ClusterKit {
    /// The native provider.
    Native(Box<NativeKit>),
    /// A cluster that is there.
    Existing,
    /// The kind provider.
    Kind(Box<KindKit>),
}

/// The components of a native cluster.
#[derive(Debug, Clone)]
pub(crate) struct NativeKit {
    kubernetes: Component,
    runtime: Component,
    runc: Component,
    cni: Component,
    etcd: Component,
    coredns: Component,
}

impl Kit {
    /// Every component of it.
    pub(crate) fn all(&self) -> Vec<&Component> {
        let mut all = vec![&self.registry, &self.helm, &self.agent_sandbox];
        match &self.cluster {
            ClusterKit::Native(kit) => {
                all.extend([&kit.kubernetes, &kit.runtime, &kit.runc, &kit.cni, &kit.etcd, &kit.coredns]);
            }
            ClusterKit::Existing => {}
            ClusterKit::Kind(kit) => all.extend(&kit.parts),
        }
        all
    }
}

/// Probes the host, and installs what it lacks for a cell unless `install` is false.
/// What only builds need is installed beforehand where that can be done; anywhere else a build that begins says what it lacks.
pub(crate) async fn host(
    paths: &Paths,
    store: &Store,
    cell: &PlannedCell,
    events: &Events,
    install: bool,
) -> Result<Host, Failure> {
    let host = Host::probe_at(&paths.cache);
    let tried = format!("create a {} cluster", cell.provider);
    if cell.provider == Provider::Native && !host.root {
        return Err(Failure::environment_with_hint(
            tried,
            "this is not root, and namespaces, mounts and control groups of a node need it",
            "run it as root, for example: sudo ./sandproof run",
        ));
    }
    let installs = install && host.apt && host.root;
    let builds = installs && !cached(store, cell)?;
    let wanted = |missing: &&Missing| match missing.purpose {
        Purpose::Builds => builds && missing.package.is_some(),
        Purpose::CriO => cell.provider == Provider::Native && cell.runtime == CRI_O,
        Purpose::NativeCluster => cell.provider == Provider::Native,
        Purpose::KindCluster => cell.provider == Provider::Kind,
        Purpose::NodeImage => {
            cell.provider == Provider::Kind && NodeImageSource::chosen() == NodeImageSource::Assembled
        }
        Purpose::GuestImages => true,
    };
    let lacking: Vec<&Missing> = host.missing.iter().filter(wanted).collect();
    if lacking.is_empty() {
        return Ok(host);
    }
    let unmendable: Vec<String> = lacking
        .iter()
        .filter(|missing| missing.package.is_none())
        .map(|missing| format!("{} ({}); {}", missing.what, missing.why, missing.remedy))
        .collect();
    if !unmendable.is_empty() {
        return Err(Failure::environment_with_hint(
            tried,
            format!("this host lacks {}", unmendable.join("; ")),
            "`./sandproof doctor` says what this host can run",
        ));
    }
    let mut packages: Vec<String> = lacking.iter().filter_map(|missing| missing.package.clone()).collect();
    packages.sort();
    packages.dedup();
    if !installs {
        let sudo = if host.root { "" } else { "sudo " };
        return Err(Failure::environment_with_hint(
            tried,
            format!("this host lacks {}", packages.join(", ")),
            format!("{sudo}apt-get install -y {}", packages.join(" ")),
        ));
    }
    events.emit(Event::HostInstalling { packages: packages.clone() });
    install_packages(&packages).await.map_err(|error| Failure::environment("install what this host lacks", error))?;
    let host = Host::probe_at(&paths.cache);
    let still = host.missing.iter().find(wanted).cloned();
    match still {
        None => Ok(host),
        Some(missing) => Err(Failure::environment_with_hint(
            tried,
            format!("this host still lacks {} ({})", missing.what, missing.why),
            missing.remedy,
        )),
    }
}

/// Whether the cache has everything that a cell needs.
pub(crate) fn cached(store: &Store, cell: &PlannedCell) -> Result<bool, Failure> {
    let listed = store.list().map_err(|error| Failure::environment("look into the component cache", error))?;
    Ok(components(cell).iter().all(|(name, version)| {
        let is_it = |version: Option<&str>, listed: &Listed| version.map_or(listed.default, |it| it == listed.version);
        listed.iter().any(|listed| listed.name == *name && is_it(*version, listed) && listed.cached)
    }))
}

/// Opens the component store.
pub(crate) fn store(paths: &Paths, sources: &SourceArguments) -> Result<Store, Failure> {
    Store::open(StoreOptions {
        home: paths.home.join("clusters"),
        cache: paths.cache.clone(),
        mirror: sources.mirror.clone(),
        offline: sources.offline,
    })
    .map_err(|error| Failure::environment("open the component store", error))
}

/// Obtains one component after the other (a build uses every core), with progress.
pub(crate) async fn obtain(
    store: &Store,
    wanted: &[(&str, Option<&str>)],
    events: &Events,
    cancelled: &CancellationToken,
) -> Result<Vec<Component>, Failure> {
    let mut obtained = Vec::new();
    for (position, (name, version)) in wanted.iter().enumerate() {
        let remaining = wanted.len() - position - 1;
        let (sender, receiver) = mpsc::unbounded_channel();
        let forwarding = tokio::spawn(forward(receiver, events.clone(), remaining));
        let component = tokio::select! {
            component = one(store, name, *version, &sender) => component?,
            () = cancelled.cancelled() => {
                return Err(Failure::Interrupted { during: format!("obtaining {name}") });
            }
        };
        drop(sender);
        let _ = forwarding.await;
        obtained.push(component);
    }
    Ok(obtained)
}

/// Obtains what a cell needs.
pub(crate) async fn kit(
    store: &Store,
    paths: &Paths,
    cell: &PlannedCell,
    events: &Events,
    cancelled: &CancellationToken,
) -> Result<Kit, Failure> {
    let mut components = obtain(store, &components(cell), events, cancelled).await?;
    // Those that every provider needs come last.
    let common = components.split_off(components.len().saturating_sub(COMMON));
    let cluster = match cell.provider {
        Provider::Existing => ClusterKit::Existing,
        Provider::Native => ClusterKit::Native(Box::new(native_kit(components)?)),
        Provider::Kind => {
            let versions = (cell.kubernetes.as_str(), cell.runtime_version.as_str());
            let kit = node_image::kit(store, paths, versions, components, events, cancelled).await?;
            ClusterKit::Kind(Box::new(kit))
        }
    };
    let Ok([registry, helm, agent_sandbox]) = <[_; COMMON]>::try_from(common) else { return Err(too_few()) };
    Ok(Kit { registry, helm, agent_sandbox, cluster })
}

fn native_kit(components: Vec<Component>) -> Result<NativeKit, Failure> {
    let Ok([kubernetes, runtime, runc, cni, etcd, coredns]) = <[_; 6]>::try_from(components) else {
        return Err(too_few());
    };
    Ok(NativeKit { kubernetes, runtime, runc, cni, etcd, coredns })
}

fn too_few() -> Failure {
    Failure::environment("obtain the components", "the store returned fewer than were asked for")
}

/// The components that a cell needs, those of its cluster first, in the order in which [`kit`] takes them; the pinned
/// default where no version is said.
fn components(cell: &PlannedCell) -> Vec<(&str, Option<&str>)> {
    let mut components = match cell.provider {
        Provider::Native => vec![
            ("kubernetes", Some(cell.kubernetes.as_str())),
            (runtime_component(&cell.runtime, &cell.runtime_version), Some(cell.runtime_version.as_str())),
            ("runc", None),
            ("cni-plugins", None),
            ("etcd", None),
            ("coredns", None),
        ],
        Provider::Existing => Vec::new(),
        Provider::Kind => node_image::components(&cell.kubernetes, &cell.runtime_version),
    };
    // What is found in an existing cluster may be no pinned release; what is missing there is the default one.
    let agent_sandbox = (cell.provider != Provider::Existing).then_some(cell.agent_sandbox.as_str());
    components.extend([("registry", None), ("helm", None), ("agent-sandbox", agent_sandbox)]);
    components
}

/// What the provider of a cell makes its cluster of.
pub(crate) fn means(kit: &Kit, host: &Host, settings: &RunSettings) -> Result<Means, Failure> {
    let paths = &settings.paths;
    match &kit.cluster {
        ClusterKit::Native(kit) => {
            let programs = programs(kit, host, paths)?;
            Ok(Means::Native(Box::new(NativeMeans { programs, host: host.clone() })))
        }
        ClusterKit::Existing => {
            let target = settings
                .existing
                .as_ref()
                .ok_or_else(|| Failure::environment("use an existing cluster", "none was looked at"))?;
            Ok(Means::Existing(Box::new(target.means(&settings.run_id, paths))))
        }
        ClusterKit::Kind(kit) => {
            let file = |component: &Component, program: &str| -> Result<Utf8PathBuf, Failure> {
                let path = component.file(program).map(camino::Utf8Path::to_owned);
                path.map_err(|error| Failure::environment(format!("find the program {program}"), error))
            };
            Ok(Means::Kind(Box::new(kind::Means {
                kind: file(&kit.kind, "kind")?,
                oci: kind::OciPrograms {
                    runc: file(&kit.runc, "runc")?,
                    wrapper: paths.program("sandproof-oci-runtime")?,
                },
                image: kit.image.clone(),
                host: host.clone(),
            })))
        }
    }
}

/// The paths that the native provider needs.
fn programs(kit: &NativeKit, host: &Host, paths: &Paths) -> Result<Programs, Failure> {
    let file = |component: &Component, program: &str| -> Result<Utf8PathBuf, Failure> {
        component
            .file(program)
            .map(camino::Utf8Path::to_owned)
            .map_err(|error| Failure::environment(format!("find the program {program}"), error))
    };
    let tool = |name: &str| -> Result<Utf8PathBuf, Failure> {
        host.tool(name)
            .map(camino::Utf8Path::to_owned)
            .ok_or_else(|| Failure::environment(format!("find the program {name}"), "this host does not have it"))
    };
    let runtime = if kit.runtime.name == CRI_O {
        RuntimePrograms::CriO {
            crio: file(&kit.runtime, "crio")?,
            pinns: file(&kit.runtime, "pinns")?,
            conmon: tool("conmon")?,
        }
    } else {
        RuntimePrograms::Containerd {
            version: kit.runtime.version.clone(),
            containerd: file(&kit.runtime, "containerd")?,
            shim: file(&kit.runtime, "containerd-shim-runc-v2")?,
        }
    };
    Ok(Programs {
        etcd: file(&kit.etcd, "etcd")?,
        kube_apiserver: file(&kit.kubernetes, "kube-apiserver")?,
        kube_controller_manager: file(&kit.kubernetes, "kube-controller-manager")?,
        kube_scheduler: file(&kit.kubernetes, "kube-scheduler")?,
        kubelet: file(&kit.kubernetes, "kubelet")?,
        kube_proxy: file(&kit.kubernetes, "kube-proxy")?,
        runtime,
        runc: file(&kit.runc, "runc")?,
        cni_plugins: file(&kit.cni, "bridge")?.parent().unwrap_or(&kit.cni.directory).to_owned(),
        coredns: file(&kit.coredns, "coredns")?,
        cluster_init: paths.program("sandproof-cluster-init")?,
        oci_runtime: paths.program("sandproof-oci-runtime")?,
    })
}

async fn one(
    store: &Store,
    name: &str,
    version: Option<&str>,
    progress: &ProgressSender,
) -> Result<Component, Failure> {
    store.obtain(name, version, progress).await.map_err(|error| {
        let said = error.to_string();
        let (tried, found) = said
            .strip_prefix("cannot ")
            .and_then(|said| said.split_once(": "))
            .unwrap_or(("obtain a component", said.as_str()));
        Failure::environment_with_hint(
            tried,
            found,
            "`./sandproof components list` shows what is cached; a mirror can be named with --mirror",
        )
    })
}

/// Turns the store's progress into events: each change of step, and a sign of life now and then.
pub(crate) async fn forward(
    mut receiver: mpsc::UnboundedReceiver<ComponentProgress>,
    events: Events,
    remaining: usize,
) {
    let mut last: Option<(Step, Instant)> = None;
    while let Some(progress) = receiver.recv().await {
        let done = progress.step == Step::Done;
        let cached = last.as_ref().is_none_or(|(step, _)| *step == Step::Cached);
        let news = last.as_ref().is_none_or(|(step, at)| *step != progress.step || at.elapsed() > REPEAT);
        if done && cached {
            // A cache hit is no news.
            continue;
        }
        if news || done {
            let verb = last.as_ref().map(|(step, _)| word(*step)).unwrap_or_default();
            last = Some((progress.step, Instant::now()));
            if progress.step == Step::Cached {
                continue;
            }
            events.emit(Event::Component {
                component: progress.component,
                version: progress.version,
                step: if done { verb } else { word(progress.step) }.to_owned(),
                elapsed: progress.elapsed.as_secs_f64(),
                detail: progress.detail,
                done,
                remaining,
            });
        }
    }
}

/// A step, as progress shows it.
fn word(step: Step) -> &'static str {
    match step {
        Step::Cached => "cached",
        Step::Wait => "waiting for another run",
        Step::Mirror => "mirror",
        Step::Download => "download",
        Step::Modules => "fetching modules",
        Step::Compile => "compiling",
        Step::Verify => "verifying",
        Step::Done => "done",
    }
}
