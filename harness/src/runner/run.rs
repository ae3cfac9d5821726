//! A whole run: components, cells side by side, record.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use camino::Utf8PathBuf;
use jiff::Timestamp;
use sandproof_clusters::{
    components::Store,
    host::{CellNeeds, Host, Room, capacity},
    provider::Provider,
    registry::random_word,
};
use sandproof_reports::{Cell, Harness, Record, Run};
use sandproof_scenarios::{Expectations, ScenarioInstance};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) use super::foundation::context;
use super::{
    cell,
    foundation::Ground,
    order::drawn_seed,
    result::unjudged,
    schedule::{Ended, Slot, Slots, schedule},
};
use crate::{
    cli::{Keep, SourceArguments},
    events::{Event, Events},
    existing::Target,
    failure::Failure,
    paths::Paths,
    plan::{Plan, PlannedCell, profile_name},
    provision::{self, Kit},
    subject::choice::Choice,
};

/// What a run is told.
#[derive(Debug, Clone)]
pub(crate) struct RunSettings {
    pub(crate) run_id: String,
    pub(crate) paths: Paths,
    pub(crate) sources: SourceArguments,
    pub(crate) out: Utf8PathBuf,
    pub(crate) keep: Keep,
    /// Cells at once; as many as the host has room for when not given.
    pub(crate) cells: Option<usize>,
    pub(crate) jobs: Option<usize>,
    pub(crate) retries: u8,
    /// What the order is drawn from in which results that run side by side begin.
    pub(crate) seed: u32,
    pub(crate) subject: Choice,
    pub(crate) install: bool,
    /// The cluster of the user's that the cell of provider `existing` is.
    pub(crate) existing: Option<Target>,
}

impl RunSettings {
    /// What is told of a single cell that is made for work of its own, of which a directory for evidence is all that stays.
    pub(crate) fn of_one_cell(paths: Paths, sources: SourceArguments, out: Utf8PathBuf, subject: Choice) -> Self {
        Self {
            run_id: new_run_id(),
            paths,
            sources,
            out,
            keep: Keep::Never,
            cells: None,
            jobs: None,
            retries: 0,
            seed: drawn_seed(),
            subject,
            install: true,
            existing: None,
        }
    }

    /// The few characters that tell this run's clusters from those of others.
    pub(crate) fn short_id(&self) -> &str {
        self.run_id.rsplit('-').next().unwrap_or_default()
    }
}

/// A cell of the plan that has scenarios to run.
#[derive(Debug)]
struct Turn<'a> {
    position: usize,
    planned: &'a PlannedCell,
    scenarios: Vec<ScenarioInstance>,
    /// Whether the cache has everything that it needs.
    cached: bool,
}

/// A cell that can begin.
#[derive(Debug)]
struct Job {
    planned: PlannedCell,
    scenarios: Vec<ScenarioInstance>,
    host: Host,
    kit: Kit,
}

/// What every cell's task has a copy of.
#[derive(Debug, Clone)]
struct Shared {
    settings: RunSettings,
    ground: Arc<Ground>,
    expectations: Arc<Expectations>,
    events: Events,
    cancelled: CancellationToken,
}

/// The host as probed for cells of a provider with a runtime, whose components are cached or not.
type Hosts<'a> = BTreeMap<(Provider, &'a str, bool), Host>;

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
        seed: settings.seed,
    });
    let store = provision::store(&settings.paths, &settings.sources)?;
    let turns = turns(&store, plan)?;
    let hosts = hosts(settings, &store, &turns, events).await?;
    let slots = slots(settings, &hosts, turns.len(), events);
    let shared = Shared {
        settings: settings.clone(),
        ground: Arc::new(Ground::new(settings)?),
        expectations: Arc::new(expectations),
        events: events.clone(),
        cancelled: cancelled.clone(),
    };
    let (ready, queue) = mpsc::unbounded_channel();
    let begin = |position, job, slot| one(shared.clone(), position, job, slot);
    let (unobtained, ended) =
        tokio::join!(obtain(&store, &hosts, &turns, &shared, ready), schedule(queue, &slots, cancelled, begin));
    let mut outcomes: BTreeMap<usize, Result<Cell, Failure>> = BTreeMap::new();
    outcomes.extend(unobtained.into_iter().map(|(position, failure)| (position, Err(failure))));
    for (position, ended) in ended {
        let outcome = match ended {
            Ended::Done(outcome) => outcome,
            Ended::NotBegun(_) => Err(Failure::Interrupted { during: "waiting for other cells".to_owned() }),
            Ended::Broken(why) => Ok(broken(settings, &plan.cells[position], plan.scenarios_of(position), &why).await),
        };
        outcomes.insert(position, outcome);
    }
    let cells = cells(settings, plan, outcomes, events)?;
    let run = Run {
        id: settings.run_id.clone(),
        started_at,
        finished_at: Timestamp::now(),
        profile: profile_name(plan.profile).to_owned(),
        argv: argv(),
        harness: harness(),
        subject: Some(settings.subject.record()),
        seed: Some(settings.seed),
    };
    Ok(Record::new(run, cells, cancelled.is_cancelled()))
}

/// The cells in the order in which they are obtained: those that are cached wait for no build of another's, and of
/// them those with the most results come first, so that none of these is left to run by itself at the end.
fn turns<'a>(store: &Store, plan: &'a Plan) -> Result<Vec<Turn<'a>>, Failure> {
    let mut turns = Vec::new();
    for (position, planned) in plan.cells.iter().enumerate() {
        let scenarios = plan.scenarios_of(position);
        if !scenarios.is_empty() {
            turns.push(Turn { position, planned, scenarios, cached: provision::cached(store, planned)? });
        }
    }
    turns.sort_by_key(|turn| (!turn.cached, Reverse(turn.scenarios.len())));
    Ok(turns)
}

/// Probes the host once for each kind of cell, before anything runs on it: what this run's own clusters take would
/// look as if the host lacked it. Where not even the first cell can be run, there is nothing to report on.
async fn hosts<'a>(
    settings: &RunSettings,
    store: &Store,
    turns: &[Turn<'a>],
    events: &Events,
) -> Result<Hosts<'a>, Failure> {
    let mut hosts = Hosts::new();
    for (index, turn) in turns.iter().enumerate() {
        let Entry::Vacant(vacant) = hosts.entry(kind(turn)) else { continue };
        match provision::host(&settings.paths, store, turn.planned, events, settings.install).await {
            Ok(host) => drop(vacant.insert(host)),
            Err(failure) if index == 0 => return Err(failure),
            // It is tried again, and its cell told, when its turn comes.
            Err(_) => {}
        }
    }
    Ok(hosts)
}

/// What decides about what a turn asks of the host.
fn kind<'a>(turn: &Turn<'a>) -> (Provider, &'a str, bool) {
    (turn.planned.provider, turn.planned.runtime.as_str(), turn.cached)
}

/// The slots for as many cells at once as the host has room for, or as were asked for.
fn slots(settings: &RunSettings, hosts: &Hosts, cells: usize, events: &Events) -> Slots {
    let room = hosts.values().next().map(|host| Room::of(host, &settings.paths.state)).unwrap_or_default();
    let capacity = capacity(&room, &CellNeeds::MEASURED);
    let (wanted, reason) = match settings.cells {
        Some(cells) => (cells, "as asked for".to_owned()),
        None => (capacity.cells, capacity.reason()),
    };
    let at_once = wanted.min(cells).max(1);
    let clusters = capacity.clusters(at_once);
    events.emit(Event::CellsAtOnce { cells, at_once, clusters, reason });
    Slots::new(at_once, clusters)
}

/// Obtains what each cell needs, one cell after the other, because a build takes every core. Cells begin meanwhile.
/// Returns the cells that cannot begin.
async fn obtain(
    store: &Store,
    hosts: &Hosts<'_>,
    turns: &[Turn<'_>],
    shared: &Shared,
    ready: mpsc::UnboundedSender<(usize, Job)>,
) -> Vec<(usize, Failure)> {
    let Shared { settings, events, cancelled, .. } = shared;
    let mut failed = Vec::new();
    for turn in turns {
        let planned = turn.planned;
        let job = async {
            let host = match hosts.get(&kind(turn)) {
                Some(host) => host.clone(),
                None => provision::host(&settings.paths, store, planned, events, settings.install).await?,
            };
            let kit = provision::kit(store, &settings.paths, planned, events, cancelled).await?;
            Ok(Job { planned: planned.clone(), scenarios: turn.scenarios.clone(), host, kit })
        };
        match job.await {
            // The other end is there until this one is gone.
            Ok(job) => drop(ready.send((turn.position, job))),
            Err(failure) => failed.push((turn.position, failure)),
        }
    }
    failed
}

/// One cell from its registry to its deletion. An error means that nothing was created for it.
async fn one(shared: Shared, position: usize, job: Job, mut slot: Slot) -> Result<Cell, Failure> {
    let Shared { settings, ground, expectations, events, cancelled } = shared;
    let Job { planned, scenarios, host, kit } = job;
    let foundation = ground.found(position, &planned, host, kit, &events).await?;
    let context = context(&settings, &foundation, expectations, &events, &cancelled)?;
    let cell = cell::run(&context, &planned, scenarios, &mut slot).await;
    drop(context);
    foundation.remove().await;
    cell
}

/// What is left to say of a cell whose task broke down, once its cluster is gone.
async fn broken(settings: &RunSettings, planned: &PlannedCell, scenarios: Vec<ScenarioInstance>, why: &str) -> Cell {
    let failure = Failure::environment(format!("run the cell {}", planned.id), why);
    let mut cell = Cell::new(&planned.id, &planned.name, planned.axes());
    cell.results = unjudged(settings.out.as_str(), &planned.id, &scenarios, &failure, settings.seed);
    let name = cell::cluster_name(&settings.run_id, &planned.id);
    cell.leftovers = cell::remains(&settings.paths, &name).await;
    cell
}

/// The record's cells in the order of the plan; those that could not begin say why. Where none could, the first
/// reason is the answer, unless the user ended the run.
fn cells(
    settings: &RunSettings,
    plan: &Plan,
    outcomes: BTreeMap<usize, Result<Cell, Failure>>,
    events: &Events,
) -> Result<Vec<Cell>, Failure> {
    let interrupted = |failure: &Failure| matches!(failure, Failure::Interrupted { .. });
    let begun = outcomes.values().any(|outcome| outcome.as_ref().map_or_else(interrupted, |_| true));
    if !begun {
        return outcomes.into_values().collect();
    }
    Ok(outcomes
        .into_iter()
        .map(|(position, outcome)| {
            outcome.unwrap_or_else(|failure| {
                let planned = &plan.cells[position];
                if !interrupted(&failure) {
                    events.emit(Event::Warning { text: format!("{}: {failure}", planned.id) });
                }
                let mut cell = Cell::new(&planned.id, &planned.name, planned.axes());
                let scenarios = plan.scenarios_of(position);
                cell.results = unjudged(settings.out.as_str(), &planned.id, &scenarios, &failure, settings.seed);
                cell
            })
        })
        .collect())
}

/// This harness.
pub(crate) fn harness() -> Harness {
    Harness { version: env!("CARGO_PKG_VERSION").to_owned(), commit: commit() }
}

/// The command line, without what a reader of the report has no use for: the program's directory.
pub(crate) fn argv() -> Vec<String> {
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
