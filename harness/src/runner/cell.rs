//! One cell: create, install, probe, scenarios, collect, delete.

use std::{sync::Arc, time::Instant};

use camino::Utf8PathBuf;
use futures::{StreamExt, stream};
use sandproof_clusters::{host::Host, ledger, native::Programs, registry::Registry};
use sandproof_reports::{CaseResult, Cell, Phase};
use sandproof_scenarios::{Expectations, ScenarioInstance};
use tokio_util::sync::CancellationToken;

use super::{
    equip::equip,
    guests::Guests,
    observed::reached_something_else,
    result::{Bench, unjudged},
};
use crate::{
    cli::Keep,
    events::{Event, Events},
    failure::Failure,
    paths::Paths,
    plan::PlannedCell,
    provision::Kit,
};

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

/// `RUN-CELL`, short enough to type.
fn cluster_name(run_id: &str, cell: &str) -> String {
    let suffix = run_id.rsplit('-').next().unwrap_or(run_id);
    format!("{}-{suffix}", cell.replace('.', "-"))
}

/// Times a phase and says so.
pub(super) struct PhaseClock {
    events: Events,
    cell: String,
    name: &'static str,
    started: Instant,
}

impl PhaseClock {
    pub(super) fn start(context: &CellContext, planned: &PlannedCell, name: &'static str) -> Self {
        context.events.emit(Event::PhaseStarted { cell: planned.id.clone(), phase: name });
        Self { events: context.events.clone(), cell: planned.id.clone(), name, started: Instant::now() }
    }

    pub(super) fn finish(self, phases: &mut Vec<Phase>) {
        let seconds = self.started.elapsed().as_secs_f64();
        phases.push(Phase::new(self.name, seconds));
        self.events.emit(Event::PhaseFinished { cell: self.cell, phase: self.name, seconds });
    }
}
