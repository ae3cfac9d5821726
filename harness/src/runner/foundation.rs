//! What a cell stands on: its host, its components, a registry of its own, and the images that all cells share.

use std::{collections::BTreeMap, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use sandproof_clusters::{
    components::{Component, Store},
    host::Host,
    ledger,
    registry::{Registry, RegistryOptions},
};
use sandproof_scenarios::Expectations;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{cell::CellContext, guests::Guests, run::RunSettings};
use crate::{
    events::{Event, Events},
    existing::AUTHORITY,
    failure::Failure,
    plan::PlannedCell,
    provision::{self, Kit},
    subject::{chart, reference::SubjectReference},
};

/// What is the same for all cells of a run.
#[derive(Debug)]
pub(crate) struct Ground {
    settings: RunSettings,
    scratch: Arc<Scratch>,
    driver: Utf8PathBuf,
    /// The images by the Agent Sandbox controller in them: nothing else in them differs from cell to cell.
    guests: Mutex<BTreeMap<Utf8PathBuf, Guests>>,
    /// The chart that came from a registry, once it has.
    pulled: Mutex<Option<Utf8PathBuf>>,
}

/// What one cell stands on.
///
/// The registry is the cell's own although one could serve the whole run. It is there after 0.1 s, while the cluster
/// starts anyway, and takes 46 MB of memory and 69 MB for its images, beside the 1 GB of its cluster; for that, a
/// registry that ends takes one cell with it, and names of repositories and users need to be unique in a cell only.
#[derive(Debug)]
pub(crate) struct Foundation {
    pub(crate) host: Host,
    pub(crate) kit: Kit,
    pub(crate) registry: Arc<Registry>,
    pub(crate) guests: Guests,
    /// The subject's chart, where it has one.
    pub(crate) chart: Option<Utf8PathBuf>,
    directory: Utf8PathBuf,
    _scratch: Arc<Scratch>,
}

/// A run's directory for files that nobody needs afterwards. It goes with the last who uses it.
#[derive(Debug)]
struct Scratch(Utf8PathBuf);

impl Ground {
    /// Makes the run's directory and finds the driver.
    pub(crate) fn new(settings: &RunSettings) -> Result<Self, Failure> {
        let driver = settings.paths.program(if settings.subject.faults.is_empty() {
            "sandproof-reference-driver"
        } else {
            "sandproof-reference-driver-faults"
        })?;
        let scratch = Arc::new(Scratch::make(settings)?);
        Ok(Self { settings: settings.clone(), scratch, driver, guests: Mutex::default(), pulled: Mutex::default() })
    }

    /// Makes what the cell at `position` stands on, and says what of it was there already.
    pub(crate) async fn found(
        &self,
        position: usize,
        planned: &PlannedCell,
        host: Host,
        kit: Kit,
        events: &Events,
    ) -> Result<Foundation, Failure> {
        let chart = self.chart(&kit).await?;
        let (guests, built) = self.guests(&kit).await?;
        let components = kit.all();
        let cached = components.iter().filter(|component| component.cached).count();
        events.emit(Event::CellNote {
            cell: planned.id.clone(),
            text: format!(
                "components from the cache: {cached} of {}; images built: {built}, shared with the run's other cells: {}",
                components.len(),
                Guests::COUNT - built,
            ),
        });
        // The position rather than the cell's name: the path of the registry's socket has to be short.
        let directory = self.scratch.0.join(position.to_string());
        let registry = Registry::start(RegistryOptions {
            distribution: program(&kit.registry, "registry")?,
            directory: directory.join("registry"),
            authority: self.settings.existing.is_some().then(|| self.settings.paths.state.join(AUTHORITY)),
        })
        .await
        .map_err(|error| Failure::environment("start the registry", error))?;
        Ok(Foundation {
            host,
            kit,
            registry: Arc::new(registry),
            guests,
            chart,
            directory,
            _scratch: Arc::clone(&self.scratch),
        })
    }

    /// The subject's chart. One in a registry is fetched once, so that every cell gets the same.
    async fn chart(&self, kit: &Kit) -> Result<Option<Utf8PathBuf>, Failure> {
        let (address, version) = match &self.settings.subject.reference {
            SubjectReference::Reference => return Ok(Some(self.settings.paths.chart())),
            SubjectReference::Chart(path) => return Ok(Some(path.clone())),
            SubjectReference::Process(_) | SubjectReference::Grpc(_) => return Ok(None),
            SubjectReference::OciChart { address, version } => (address, version.as_deref()),
        };
        let mut pulled = self.pulled.lock().await;
        if pulled.is_none() {
            let target = self.scratch.0.join("chart");
            let tried = format!("fetch the chart {address}");
            fs_err::create_dir_all(&target).map_err(|error| Failure::environment(&tried, error))?;
            let chart = chart::pull(&program(&kit.helm, "helm")?, address, version, &target).await.map_err(|found| {
                let hint = "look for it with the real Helm: helm show chart ADDRESS --version VERSION; a registry with a login needs `helm registry login` first, and one behind an authority of your own its certificate in SSL_CERT_FILE";
                Failure::environment_with_hint(tried, found, hint)
            })?;
            *pulled = Some(chart);
        }
        Ok(pulled.clone())
    }

    /// The images for a cell, and how many of them had to be built for it.
    async fn guests(&self, kit: &Kit) -> Result<(Guests, usize), Failure> {
        let controller = program(&kit.agent_sandbox, "agent-sandbox-controller")?;
        // Held while they are built: whoever wants the same ones meanwhile gets these.
        let mut stock = self.guests.lock().await;
        if let Some(guests) = stock.get(&controller) {
            return Ok((guests.clone(), 0));
        }
        let other = stock.values().next().cloned();
        let built = if other.is_some() { 1 } else { Guests::COUNT };
        let (paths, driver, path) = (self.settings.paths.clone(), self.driver.clone(), controller.clone());
        // Compressing is work for a thread on which nothing else waits.
        let building = tokio::task::spawn_blocking(move || match other {
            Some(other) => other.with_controller(&path),
            None => Guests::build(&paths, &driver, &path),
        });
        let guests = building.await.map_err(|error| Failure::environment("build the guest images", error))??;
        stock.insert(controller, guests.clone());
        Ok((guests, built))
    }
}

impl Foundation {
    /// Ends the registry and removes the cell's scratch directory.
    pub(crate) async fn remove(self) {
        if let Ok(registry) = Arc::try_unwrap(self.registry) {
            registry.shutdown().await;
        }
        let _ = fs_err::remove_dir_all(&self.directory);
    }
}

impl Scratch {
    fn make(settings: &RunSettings) -> Result<Self, Failure> {
        let directory = settings.paths.state.join("runs").join(&settings.run_id);
        let owner = serde_json::to_string(&ledger::ProcessIdentity::own()).unwrap_or_default();
        // The owner comes first, so that a sweep can tell a dead run's directory from a living one's.
        fs_err::create_dir_all(&directory)
            .and_then(|()| fs_err::write(directory.join("owner"), owner))
            .map_err(|error| Failure::environment("make the run's directory", error))?;
        Ok(Self(directory))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs_err::remove_dir_all(&self.0);
        // The parent goes with the last run.
        if let Some(parent) = self.0.parent() {
            let _ = fs_err::remove_dir(parent);
        }
    }
}

/// Gets what a single cell stands on: packages, components, a registry, images.
pub(crate) async fn lay(
    settings: &RunSettings,
    planned: &PlannedCell,
    events: &Events,
    cancelled: &CancellationToken,
) -> Result<Foundation, Failure> {
    let store: Store = provision::store(&settings.paths, &settings.sources)?;
    let host = provision::host(&settings.paths, &store, planned, events, settings.install).await?;
    let kit = provision::kit(&store, &settings.paths, planned, events, cancelled).await?;
    Ground::new(settings)?.found(0, planned, host, kit, events).await
}

/// What a cell is told.
pub(crate) fn context(
    settings: &RunSettings,
    foundation: &Foundation,
    expectations: Arc<Expectations>,
    events: &Events,
    cancelled: &CancellationToken,
) -> Result<CellContext, Failure> {
    Ok(CellContext {
        run_id: settings.run_id.clone(),
        paths: settings.paths.clone(),
        kit: foundation.kit.clone(),
        sources: settings.sources.clone(),
        means: provision::means(&foundation.kit, &foundation.host, settings)?,
        registry: Arc::clone(&foundation.registry),
        guests: foundation.guests.clone(),
        expectations,
        events: events.clone(),
        cancelled: cancelled.clone(),
        out: settings.out.clone(),
        scratch: foundation.directory.clone(),
        report: settings.out.to_string(),
        keep: settings.keep,
        jobs: settings.jobs.unwrap_or_else(|| default_jobs(&foundation.host)),
        retries: settings.retries,
        seed: settings.seed,
        subject: settings.subject.clone(),
        chart: foundation.chart.clone(),
    })
}

/// Scenarios mostly wait for the kubelet, so there are more of them than processors. It is the same beside other
/// cells: what decides how long they take together is the work, not the order in which it is done.
fn default_jobs(host: &Host) -> usize {
    (host.processors * 4).clamp(4, 24)
}

fn program(component: &Component, name: &str) -> Result<Utf8PathBuf, Failure> {
    component
        .file(name)
        .map(Utf8Path::to_owned)
        .map_err(|error| Failure::environment(format!("find the program {name}"), error))
}
