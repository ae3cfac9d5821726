//! A whole run: host, components, registry, cells, record.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use sandproof_clusters::{
    host::Host,
    ledger,
    registry::{Registry, RegistryOptions, random_word},
};
use sandproof_reports::{Cell, Harness, Record, Run};
use sandproof_scenarios::Expectations;
use tokio_util::sync::CancellationToken;

use super::{
    cell::{self, CellContext},
    guests::Guests,
    result::unjudged,
};
use crate::{
    cli::{Keep, SourceArguments},
    events::{Event, Events},
    failure::Failure,
    paths::Paths,
    plan::{Plan, PlannedCell, profile_name},
    provision::{self, Kit},
};

/// What a run is told.
#[derive(Debug, Clone)]
pub(crate) struct RunSettings {
    pub(crate) run_id: String,
    pub(crate) paths: Paths,
    pub(crate) sources: SourceArguments,
    pub(crate) out: Utf8PathBuf,
    pub(crate) keep: Keep,
    pub(crate) jobs: Option<usize>,
    pub(crate) retries: u8,
    pub(crate) fault: Option<String>,
    pub(crate) install: bool,
}

/// What is the same for all cells of a run.
#[derive(Debug)]
pub(crate) struct Foundation {
    pub(crate) host: Host,
    pub(crate) kit: Kit,
    pub(crate) registry: Arc<Registry>,
    pub(crate) guests: Guests,
    scratch: Utf8PathBuf,
}

/// A new run's identifier: the UTC time and a random word.
pub(crate) fn new_run_id() -> String {
    // Cluster names take four digits of it, and a name has no capital letters.
    let word = crate::scene::stable_id(&random_word(), "run");
    format!("{}-{}", Timestamp::now().strftime("%Y%m%d-%H%M%S"), &word[..4])
}

/// Runs the plan. An error means that nothing could be run; everything later is in the record.
pub(crate) async fn run(
    settings: &RunSettings,
    plan: &Plan,
    expectations: Expectations,
    events: &Events,
    cancelled: &CancellationToken,
) -> Result<Record, Failure> {
    let started_at = Timestamp::now();
    events.emit(Event::RunStarted {
        run: settings.run_id.clone(),
        profile: profile_name(plan.profile).to_owned(),
        cells: plan.cells.iter().map(|cell| cell.name.clone()).collect(),
        results: plan.results(),
    });
    let expectations = Arc::new(expectations);
    let mut cells = Vec::new();
    let mut refused = None;
    for (position, planned) in plan.cells.iter().enumerate() {
        let scenarios = plan.scenarios_of(position);
        if scenarios.is_empty() {
            continue;
        }
        let foundation = match lay(settings, planned, events, cancelled).await {
            Ok(foundation) => foundation,
            Err(failure) => {
                // Nothing has been created for this cell; the record says why.
                let interrupted = matches!(failure, Failure::Interrupted { .. });
                if cells.is_empty() && !interrupted {
                    refused = Some(failure);
                    break;
                }
                let mut cell = Cell::new(&planned.id, &planned.name, planned.axes());
                cell.results = unjudged(settings.out.as_str(), &planned.id, &scenarios, &failure);
                cells.push(cell);
                continue;
            }
        };
        let context = context(settings, &foundation, Arc::clone(&expectations), events, cancelled)?;
        cells.push(cell::run(&context, planned, scenarios).await);
        drop(context);
        foundation.remove().await;
    }
    if let Some(failure) = refused {
        return Err(failure);
    }
    let run = Run {
        id: settings.run_id.clone(),
        started_at,
        finished_at: Timestamp::now(),
        profile: profile_name(plan.profile).to_owned(),
        argv: argv(),
        harness: Harness { version: env!("CARGO_PKG_VERSION").to_owned(), commit: commit() },
    };
    Ok(Record::new(run, cells, cancelled.is_cancelled()))
}

/// Gets what a cell stands on: packages, components, a registry, images.
pub(crate) async fn lay(
    settings: &RunSettings,
    planned: &PlannedCell,
    events: &Events,
    cancelled: &CancellationToken,
) -> Result<Foundation, Failure> {
    let store = provision::store(&settings.paths, &settings.sources)?;
    let host = provision::host(&settings.paths, &store, events, settings.install).await?;
    let kit = provision::kit(&store, planned, events, cancelled).await?;
    let driver = settings.paths.program(match settings.fault {
        None => "sandproof-reference-driver",
        Some(_) => "sandproof-reference-driver-faults",
    })?;
    let file = |component: &sandproof_clusters::components::Component, program: &str| {
        component
            .file(program)
            .map(Utf8Path::to_owned)
            .map_err(|error| Failure::environment(format!("find the program {program}"), error))
    };
    let guests = Guests::build(&settings.paths, &driver, &file(&kit.agent_sandbox, "agent-sandbox-controller")?)?;
    let scratch = settings.paths.state.join("runs").join(&settings.run_id);
    let owner = serde_json::to_string(&ledger::ProcessIdentity::own()).unwrap_or_default();
    // The owner comes first, so that a sweep can tell a dead run's directory from a living one's.
    fs_err::create_dir_all(&scratch)
        .and_then(|()| fs_err::write(scratch.join("owner"), owner))
        .map_err(|error| Failure::environment("make the run's directory", error))?;
    let registry = Registry::start(RegistryOptions {
        distribution: file(&kit.registry, "registry")?,
        directory: scratch.join("registry"),
    })
    .await
    .map_err(|error| Failure::environment("start the registry", error))?;
    Ok(Foundation { host, kit, registry: Arc::new(registry), guests, scratch })
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
        programs: provision::programs(&foundation.kit, &foundation.host, &settings.paths)?,
        host: foundation.host.clone(),
        registry: Arc::clone(&foundation.registry),
        guests: foundation.guests.clone(),
        expectations,
        events: events.clone(),
        cancelled: cancelled.clone(),
        out: settings.out.clone(),
        scratch: foundation.scratch.clone(),
        report: settings.out.to_string(),
        keep: settings.keep,
        jobs: settings.jobs.unwrap_or_else(|| default_jobs(&foundation.host)),
        retries: settings.retries,
        fault: settings.fault.clone(),
    })
}

impl Foundation {
    /// Ends the registry and removes the run's scratch directory.
    pub(crate) async fn remove(self) {
        if let Ok(registry) = Arc::try_unwrap(self.registry) {
            registry.shutdown().await;
        }
        let _ = fs_err::remove_dir_all(&self.scratch);
        // The parent goes with the last run.
        if let Some(parent) = self.scratch.parent() {
            let _ = fs_err::remove_dir(parent);
        }
    }
}

/// Scenarios mostly wait for the kubelet, so there are more of them than processors.
fn default_jobs(host: &Host) -> usize {
    (host.processors * 4).clamp(4, 24)
}

/// The command line, without what a reader of the report has no use for: the program's directory.
fn argv() -> Vec<String> {
    let mut argv: Vec<String> = std::env::args().collect();
    if let Some(program) = argv.first_mut() {
        "sandproof".clone_into(program);
    }
    argv
}

/// The commit that the launcher found, where it did.
fn commit() -> Option<String> {
    std::env::var("SANDPROOF_COMMIT").ok().filter(|commit| !commit.is_empty())
}
