//! `selftest mutations`: a suite that cannot turn red proves nothing.
//!
//! Each fault is switched on in turn, on one cluster, and the smoke profile and every scenario that claims some fault run
//! against it; with `--claimed` only those that claim this one, and with `--quick` only one of them.
//! A fault is caught when exactly the scenarios that claim it turn red, of those that run and make sense on the cluster.

use std::collections::{BTreeMap, BTreeSet};

use sandproof_protocol::faults::FAULTS;
use sandproof_reports::{CaseResult, ExitCode, Verdict};
use sandproof_scenarios::{Expectations, ScenarioInstance, judge_beforehand};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::settings_of;
use crate::{
    cli::{GlobalArguments, Profile, SelectionArguments, SubjectArguments},
    commands::{list::table, suite},
    events::{Event, Events},
    failure::Failure,
    interrupt::with_events,
    paths::Paths,
    plan::{self, Plan},
    runner::{
        cell,
        faulty::with_faults,
        install::{self, Definition, definition::put_back},
        one_cell::with_cell,
        result::Bench,
        run::RunSettings,
    },
    sinks,
    subject::{choice::Choice, faulty::FaultyParts},
    terminal,
};

/// Namespaces of different faults must not meet on the one cluster.
const POSITIONS_PER_FAULT: usize = 1000;

/// What runs against a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breadth {
    /// The smoke profile, and every scenario that claims some fault: what should stay green is seen to.
    Everything,
    /// The scenarios that claim it.
    Claimed,
    /// One of those that claim it.
    One,
}

/// What one fault did to the suite.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Mutation {
    fault: &'static str,
    caught: bool,
    /// The scenarios that turned red.
    by: Vec<String>,
    /// The scenarios that claim the fault and ran.
    claimed: Vec<String>,
    /// Those of them that were skipped, because they make no sense on this cluster.
    skipped: Vec<String>,
    /// Those of them that were left out, because one of them was enough.
    left_out: Vec<String>,
    /// The cause of the first of them.
    cause: Option<String>,
}

/// A fault that the cell cannot show.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NotShown {
    fault: &'static str,
    /// The scenarios that claim it: none of them makes sense on this cluster, or nothing of it can have the fault.
    skipped: Vec<String>,
}

/// What became of all faults.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    mutations: Vec<Mutation>,
    not_shown: Vec<NotShown>,
}

/// Runs every fault, or those that are named.
pub(super) async fn mutations(
    global: &GlobalArguments,
    faults: Vec<String>,
    cell: Option<String>,
    breadth: Breadth,
    json: bool,
) -> Result<ExitCode, Failure> {
    if let Some(unknown) = faults.iter().find(|name| FAULTS.iter().all(|fault| fault.name != **name)) {
        return Err(Failure::usage(format!("there is no fault `{unknown}`"), "`sandproof list faults` names them"));
    }
    let paths = Paths::find()?;
    let suite = suite::load(&paths, None)?;
    let selection = SelectionArguments { profile: Profile::Smoke, cell, ..SelectionArguments::default() };
    let mut plan = Plan::make(&selection, &plan::load_pins(&paths)?, &suite)?;
    plan.scenarios =
        suite.instances().filter(|scenario| scenario.is_smoke() || !scenario.faults.is_empty()).cloned().collect();
    // Any fault: it chooses the driver that has all of them compiled in.
    let arguments = SubjectArguments { faults: vec![FAULTS[0].name.to_owned()], ..SubjectArguments::default() };
    let subject = Choice::make(&paths, &arguments)?;
    let expectations = suite::expectations(&paths, &suite, None)?;
    let settings = settings_of(global, paths, "mutations", subject)?;
    let (outcome, interrupted) =
        with_events(sinks::of_a_run(&settings.out, global.verbose)?, async |events, cancelled| {
            let outcome = all(&settings, &plan, expectations, (&faults, breadth), events, cancelled).await?;
            Ok((outcome, cancelled.is_cancelled()))
        })
        .await?;
    if interrupted {
        return Ok(ExitCode::INTERRUPTED);
    }
    let Outcome { mutations, not_shown } = &outcome;
    if json {
        terminal::json(&outcome)?;
    } else {
        let mut rows = table(["FAULT", "CAUGHT", "BY", "CLAIMED BY", "CAUSE"]);
        for mutation in mutations {
            rows.add_row([
                mutation.fault.to_owned(),
                if mutation.caught { "yes" } else { "no" }.to_owned(),
                mutation.by.join(","),
                mutation.claimed.join(","),
                mutation.cause.clone().unwrap_or_default(),
            ]);
        }
        let caught = mutations.iter().filter(|mutation| mutation.caught).count();
        terminal::result(&format!("{rows}\n\n{caught} of {} faults caught", mutations.len()));
        for fault in not_shown {
            let skipped = fault.skipped.join(", ");
            terminal::result(&format!(
                "{}: not shown on this cell: it cannot have it, or {skipped} makes no sense there",
                fault.fault
            ));
        }
    }
    let all_caught = mutations.iter().all(|mutation| mutation.caught);
    if mutations.is_empty() {
        return Ok(ExitCode::NOTHING_RAN);
    }
    Ok(if all_caught { ExitCode::CONFORMANT } else { ExitCode::NONCONFORMANT })
}

async fn all(
    settings: &RunSettings,
    plan: &Plan,
    expectations: Expectations,
    (wanted, breadth): (&[String], Breadth),
    events: &Events,
    cancelled: &CancellationToken,
) -> Result<Outcome, Failure> {
    let planned = &plan.cells[0];
    let faults = FAULTS.iter().filter(|fault| wanted.is_empty() || wanted.iter().any(|name| name == fault.name));
    events.emit(Event::RunStarted {
        run: settings.run_id.clone(),
        profile: "mutations".to_owned(),
        cells: vec![planned.name.clone()],
        results: faults.map(|fault| scenarios_for(plan, fault.name, breadth, |_| true).len()).sum(),
        seed: settings.seed,
    });
    let name = format!("mutations-{}", settings.short_id());
    with_cell(settings, planned, &name, expectations, (events, cancelled), async |context, equipped| {
        let mut outcome = Outcome::default();
        let definition = Definition::read(&equipped.bench.stage.client).await?;
        for (index, fault) in FAULTS.iter().enumerate() {
            if (!wanted.is_empty() && !wanted.iter().any(|name| name == fault.name)) || cancelled.is_cancelled() {
                continue;
            }
            events.emit(Event::CellNote { cell: planned.id.clone(), text: format!("fault {}", fault.name) });
            let bench = &equipped.bench;
            let judged_here =
                |scenario: &ScenarioInstance| judge_beforehand(scenario, &bench.facts, &bench.expectations).is_none();
            let faults = vec![fault.name.to_owned()];
            let defects = FaultyParts::of(&faults).agent_sandbox;
            let client = equipped.bench.stage.client.clone();
            let shows = plan.scenarios.iter().any(|scenario| claims(scenario, fault.name) && judged_here(scenario));
            if !shows || !install::can_have(&definition, &defects) {
                outcome.not_shown.push(NotShown { fault: fault.name, skipped: claiming(plan, fault.name) });
                continue;
            }
            let scratch = context.scratch.join(fault.name);
            let stage = with_faults(&equipped.bench.stage, faults, &settings.paths, &scratch).await?;
            let bench = equipped.bench.on(stage, settings.out.join(fault.name));
            let offset = index * POSITIONS_PER_FAULT;
            let scenarios = scenarios_for(plan, fault.name, breadth, judged_here);
            install::spoil(&client, &defects).await?;
            let mut results = cell::perform(&bench, &scenarios, context.jobs, offset).await;
            again(&bench, &scenarios, &mut results, offset, events).await;
            if !defects.is_empty() {
                put_back(&client, &definition).await?;
            }
            let mut mutation = judged(fault.name, &scenarios, &results);
            mutation.leave_out(plan);
            outcome.mutations.push(mutation);
        }
        Ok(outcome)
    })
    .await
}

/// The scenarios that claim a fault.
fn claiming(plan: &Plan, fault: &str) -> Vec<String> {
    let ids: BTreeSet<&String> =
        plan.scenarios.iter().filter(|scenario| claims(scenario, fault)).map(|scenario| &scenario.id).collect();
    ids.into_iter().cloned().collect()
}

fn claims(scenario: &ScenarioInstance, fault: &str) -> bool {
    scenario.faults.iter().any(|name| name == fault)
}

/// What runs against a fault. Where it is one scenario, it is the one that takes the least: with nothing that has to wait
/// for it, and with the fewest results. All of those are run, as a fault may show in one of them only.
fn scenarios_for(
    plan: &Plan,
    fault: &str,
    breadth: Breadth,
    judged_here: impl Fn(&ScenarioInstance) -> bool,
) -> Vec<ScenarioInstance> {
    let all = plan.scenarios.iter().filter(|scenario| breadth == Breadth::Everything || claims(scenario, fault));
    if breadth != Breadth::One {
        return all.cloned().collect();
    }
    let mut scenarios: BTreeMap<&str, Vec<&ScenarioInstance>> = BTreeMap::new();
    for scenario in all.filter(|scenario| judged_here(scenario)) {
        scenarios.entry(&scenario.id).or_default().push(scenario);
    }
    let least = scenarios.into_values().min_by_key(|instances| (instances[0].alone, instances.len()));
    least.into_iter().flatten().cloned().collect()
}

impl Mutation {
    /// Notes the scenarios that claim the fault and were not among those that ran.
    fn leave_out(&mut self, plan: &Plan) {
        self.left_out = claiming(plan, self.fault);
        self.left_out.retain(|id| !self.claimed.contains(id));
    }
}

/// An error is the environment's and says nothing about the suite: what had one is run once more, and it is said.
async fn again(
    bench: &Bench,
    scenarios: &[ScenarioInstance],
    results: &mut [CaseResult],
    offset: usize,
    events: &Events,
) {
    for (position, scenario) in scenarios.iter().enumerate() {
        if results[position].verdict == Verdict::Error {
            let why = results[position].cause.as_ref().map(|cause| cause.summary.clone()).unwrap_or_default();
            events.emit(Event::Warning { text: format!("{} again, because of the environment: {why}", scenario.key) });
            results[position] = bench.run(scenario, offset + POSITIONS_PER_FAULT / 2 + position).await;
        }
    }
}

fn judged(fault: &'static str, scenarios: &[ScenarioInstance], results: &[CaseResult]) -> Mutation {
    let claimed: BTreeSet<String> =
        scenarios.iter().filter(|scenario| claims(scenario, fault)).map(|scenario| scenario.id.clone()).collect();
    let was_skipped = |id: &String| {
        results.iter().filter(|result| result.scenario == **id).all(|result| result.verdict == Verdict::Skipped)
    };
    let (skipped, shown): (BTreeSet<String>, BTreeSet<String>) = claimed.iter().cloned().partition(was_skipped);
    let red: Vec<&CaseResult> = results.iter().filter(|result| result.is_red(true)).collect();
    let by: BTreeSet<String> = red.iter().map(|result| result.scenario.clone()).collect();
    // An error of the environment proves nothing about the suite.
    let judged = results.iter().all(|result| !result.verdict.leaves_open());
    let cause = red
        .iter()
        .find(|result| claimed.contains(&result.scenario))
        .and_then(|result| result.cause.as_ref())
        .map(|cause| format!("{} {}", cause.rule, cause.chain.first().map_or(&cause.summary, |link| &link.text)));
    Mutation {
        fault,
        caught: judged && !shown.is_empty() && by == shown,
        by: by.into_iter().collect(),
        claimed: claimed.into_iter().collect(),
        skipped: skipped.into_iter().collect(),
        left_out: Vec::new(),
        cause,
    }
}
