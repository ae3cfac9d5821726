//! One cell: create, install, probe, scenarios, collect, delete.

use std::{sync::Arc, time::Instant};

use camino::Utf8PathBuf;
use futures::{StreamExt, stream};
use sandproof_clusters::{
    ledger,
    provider::{self, Means},
    registry::Registry,
};
use sandproof_reports::{CaseResult, Cell, Phase};
use sandproof_scenarios::{Expectations, ScenarioInstance};
use tokio_util::sync::CancellationToken;

use super::{
    equip::equip,
    guests::Guests,
    observed::reached_something_else,
    order::Order,
    result::{Bench, unjudged},
    schedule::Slot,
    trial,
};
use crate::{
    cli::{Keep, SourceArguments},
    events::{Event, Events},
    failure::Failure,
    paths::Paths,
    plan::PlannedCell,
    provision::Kit,
    subject::choice::Choice,
};

/// The longest name that the provider takes for a cluster.
const LONGEST_NAME: usize = 40;

/// The most scenarios whose namespaces all stay in a kept cluster: each has two or three pods, and a node takes 110
/// (the kubelet's `maxPods`).
const KEPT_NAMESPACES: usize = 30;

/// What a cell needs from its run.
#[derive(Debug, Clone)]
pub(crate) struct CellContext {
    pub(crate) run_id: String,
    pub(crate) paths: Paths,
    pub(crate) kit: Kit,
    /// Where components come from that only some scenarios need.
    pub(crate) sources: SourceArguments,
    pub(crate) means: Means,
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
    /// What the order of the results is drawn from.
    pub(crate) seed: u32,
    pub(crate) subject: Choice,
    /// The subject's chart, where it has one.
    pub(crate) chart: Option<Utf8PathBuf>,
}

/// Runs all of a cell. What goes wrong is in its results, but for a subject that does not start at all: that is the error.
/// Its slot is told when the scenarios are over, so that another cell begins while this one is deleted.
pub(crate) async fn run(
    context: &CellContext,
    planned: &PlannedCell,
    scenarios: Vec<ScenarioInstance>,
    slot: &mut Slot,
) -> Result<Cell, Failure> {
    let mut cell = Cell::new(&planned.id, &planned.name, planned.axes());
    let name = cluster_name(&context.run_id, &planned.id);
    let mut equipped = match equip(context, planned, &name, &mut cell.phases).await {
        Ok(equipped) => equipped,
        Err(failure) => {
            cell.results = failed(context, planned, &scenarios, &failure);
            slot.scenarios_ended();
            cell.leftovers = remains(&context.paths, &name).await;
            return Ok(cell);
        }
    };
    let trial = if context.subject.is_reference() {
        Ok(())
    } else {
        trial::start(&equipped.bench.stage, &context.subject.reference.to_string()).await
    };
    if let Err(failure @ Failure::Usage { .. }) = trial {
        slot.scenarios_ended();
        equipped.listeners.iter().for_each(|address| context.registry.close(*address));
        for leftover in equipped.cluster.delete().await.left.lines() {
            context.events.emit(Event::Warning { text: format!("{}: left behind: {leftover}", planned.id) });
        }
        return Err(failure);
    }
    if context.keep == Keep::Always && scenarios.len() > KEPT_NAMESPACES {
        equipped.bench.keep = Keep::OnFailure;
        context.events.emit(Event::CellNote {
            cell: planned.id.clone(),
            text: format!(
                "only red scenarios keep their namespaces: a node has no room for the pods of {}",
                scenarios.len()
            ),
        });
    }
    cell.observed = equipped.observed.clone();
    let mismatch = reached_something_else(planned, &cell.observed);
    let mismatch = mismatch.map(|found| Failure::environment("reach the cell that was asked for", found));
    if let Some(failure) = trial.err().or(mismatch) {
        cell.results = failed(context, planned, &scenarios, &failure);
    } else {
        let phase = PhaseClock::start(context, planned, "scenarios");
        cell.results = perform(&equipped.bench, &scenarios, context.jobs, 0).await;
        phase.finish(&mut cell.phases);
        cell.observed.subject = equipped.bench.stage.subject.said();
    }
    slot.scenarios_ended();
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
        context
            .events
            .emit(Event::Warning { text: format!("{}: cannot collect the cluster's logs: {error}", planned.id) });
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
            return Ok(cell);
        }
    }
    let phase = PhaseClock::start(context, planned, "delete");
    for address in &equipped.listeners {
        context.registry.close(*address);
    }
    let used = equipped.cluster.usage();
    context.events.emit(Event::CellUsage {
        cell: planned.id.clone(),
        cpu_seconds: used.cpu_seconds,
        peak_memory_bytes: used.peak_memory_bytes,
    });
    let entry = equipped.cluster.entry();
    let deletion = equipped.cluster.delete().await;
    cell.leftovers = deletion.left.lines();
    // The deletion says what it could not remove; the inventory looks for itself.
    for leftover in provider::remains(&context.paths.state, &entry).await.lines() {
        if !cell.leftovers.contains(&leftover) {
            cell.leftovers.push(leftover);
        }
    }
    phase.finish(&mut cell.phases);
    Ok(cell)
}

/// Runs the scenarios side by side, in the order that the bench's seed gives, and then those that must run alone, one
/// after the other. `offset` keeps apart what runs on one cluster twice.
pub(crate) async fn perform(
    bench: &Bench,
    scenarios: &[ScenarioInstance],
    jobs: usize,
    offset: usize,
) -> Vec<CaseResult> {
    // Where all of them share a namespace, each would see the others' sandboxes.
    let jobs = if bench.stage.subject.namespace().is_some() { 1 } else { jobs };
    let one = async |position: usize| (position, bench.run(&scenarios[position], offset + position).await);
    let Order { together, alone } = Order::of(scenarios, bench.seed);
    let together: Vec<_> = together.into_iter().map(one).collect();
    let mut results: Vec<(usize, CaseResult)> = stream::iter(together).buffer_unordered(jobs).collect().await;
    for position in alone {
        results.push(one(position).await);
    }
    results.sort_by_key(|(position, _)| *position);
    let mut results: Vec<CaseResult> = results.into_iter().map(|(_, result)| result).collect();
    bench.settle(&mut results).await;
    results
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
    unjudged(&context.report, &planned.id, scenarios, failure, context.seed)
}

/// Removes whatever there is of a cluster by now; returns what could not be removed.
pub(super) async fn remains(paths: &Paths, name: &str) -> Vec<String> {
    match ledger::down(&paths.state, name).await {
        Ok(swept) => swept.leftovers.lines(),
        Err(ledger::LedgerError::Unknown { .. }) => Vec::new(),
        Err(error) => vec![format!("cluster {name}: {error}")],
    }
}

/// `CELL-RUN`, short enough to type and to name a node.
pub(super) fn cluster_name(run_id: &str, cell: &str) -> String {
    let run = run_id.rsplit('-').next().unwrap_or(run_id);
    let mut name: String = cell.to_ascii_lowercase().replace(|character: char| !character.is_ascii_alphanumeric(), "-");
    let longest = LONGEST_NAME - run.len() - 1;
    if name.len() > longest {
        // Cells that begin alike are kept apart by a few digits of the whole.
        let digits = &crate::scene::stable_id(cell, "cell")[..4];
        name.truncate(longest - digits.len() - 1);
        name = format!("{}-{digits}", name.trim_end_matches('-'));
    }
    format!("{name}-{run}")
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("k1.36-crio1.36-native", "k1-36-crio1-36-native-1a2b")]
    #[case("k1.36-containerd2.2-native-imagevolume-on", "k1-36-containerd2-2-native-ima-ba0f-1a2b")]
    #[case("k1.36-containerd2.2-native-imagevolume-off", "k1-36-containerd2-2-native-ima-58ad-1a2b")]
    fn a_cluster_is_named_after_its_cell_and_its_run(#[case] cell: &str, #[case] name: &str) {
        let found = cluster_name("20260101-120000-1a2b", cell);
        assert_eq!(found, name);
        assert!(found.len() <= LONGEST_NAME);
    }
}
