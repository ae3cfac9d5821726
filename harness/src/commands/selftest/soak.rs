//! `selftest soak`: the driver without a fault, again and again, until something is red.
//!
//! All runs are on one cluster: what piles up from run to run (objects, leases, pods that are going) is part of what is
//! tested, and a cluster anew each time would hide it. Each run has a seed of its own, so that the order differs.

use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use sandproof_reports::{CaseResult, Cell, ExitCode, Observed, Record, Run};
use serde::Serialize;
use serde_json::json;

use super::settings_of;
use crate::{
    cli::{GlobalArguments, Profile, SelectionArguments, SoakArguments, SubjectArguments},
    commands::{list::table, suite},
    events::{Event, Events},
    failure::Failure,
    interrupt::with_events,
    paths::Paths,
    plan::{self, Plan, PlannedCell},
    runner::{
        cell,
        equip::Equipped,
        one_cell::with_cell,
        run::{RunSettings, argv, harness},
    },
    sinks,
    subject::choice::Choice,
    terminal,
};

/// Namespaces of different runs must not meet on the one cluster.
const POSITIONS_PER_RUN: usize = 1000;

/// How many results are named whose time differed most.
const VARYING: usize = 5;

/// One run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct SoakRun {
    run: u32,
    seed: u32,
    seconds: f64,
    results: usize,
    /// The keys of the results that were red.
    red: Vec<String>,
    #[serde(skip)]
    times: Vec<(String, f64)>,
    /// Where its report is, where it was red.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<Utf8PathBuf>,
    #[serde(skip)]
    exit_code: ExitCode,
}

/// Runs until something is red, or as often as asked for.
pub(super) async fn soak(global: &GlobalArguments, arguments: &SoakArguments) -> Result<ExitCode, Failure> {
    let paths = Paths::find()?;
    let suite = suite::load(&paths, None)?;
    let selection = SelectionArguments {
        profile: Profile::Smoke,
        cell: arguments.cell.clone(),
        scenario: arguments.scenario.clone(),
        ..SelectionArguments::default()
    };
    let plan = Plan::make(&selection, &plan::load_pins(&paths)?, &suite)?;
    let subject = Choice::make(&paths, &SubjectArguments::default())?;
    let expectations = suite::expectations(&paths, &suite, None)?;
    let settings = settings_of(global, paths, "soak", subject)?;
    let seed = arguments.seed.unwrap_or(settings.seed);
    let settings = RunSettings { seed, ..settings };
    let name = format!("soak-{}", settings.short_id());
    let planned = &plan.cells[0];
    let soaking = with_events(sinks::of_a_run(&settings.out, global.verbose)?, async |events: &Events, cancelled| {
        events.emit(Event::RunStarted {
            run: settings.run_id.clone(),
            profile: "soak".to_owned(),
            cells: vec![planned.name.clone()],
            results: plan.scenarios.len() * usize::try_from(arguments.runs).unwrap_or(usize::MAX),
            seed,
        });
        with_cell(&settings, planned, &name, expectations, (events, cancelled), async |context, equipped| {
            let mut runs: Vec<SoakRun> = Vec::new();
            for number in 1..=arguments.runs {
                let text = format!("run {number} of {}", arguments.runs);
                events.emit(Event::CellNote { cell: planned.id.clone(), text });
                let run = one(&settings, &plan, equipped, number, context.jobs, cancelled.is_cancelled()).await?;
                let ends = run.exit_code != ExitCode::CONFORMANT || cancelled.is_cancelled();
                runs.push(run);
                if ends {
                    break;
                }
            }
            Ok((runs, cancelled.is_cancelled()))
        })
        .await
    });
    let (runs, interrupted) = soaking.await?;
    if arguments.json {
        terminal::json(&json!({ "cell": planned.id, "asked": arguments.runs, "runs": runs, "flaky": flaky(&runs) }))?;
    } else {
        terminal::result(&summary(&runs, arguments.runs));
    }
    if interrupted {
        return Ok(ExitCode::INTERRUPTED);
    }
    Ok(runs.last().map_or(ExitCode::NOTHING_RAN, |run| run.exit_code))
}

/// One run on the cluster. Its evidence stays where it is red.
async fn one(
    settings: &RunSettings,
    plan: &Plan,
    equipped: &Equipped,
    number: u32,
    jobs: usize,
    interrupted: bool,
) -> Result<SoakRun, Failure> {
    let out = settings.out.join(format!("run-{number}"));
    let seed = settings.seed.wrapping_add(number - 1);
    let mut bench = equipped.bench.on((*equipped.bench.stage).clone(), out.clone());
    bench.seed = seed;
    bench.report = out.to_string();
    let (began, started) = (Timestamp::now(), Instant::now());
    let offset = usize::try_from(number).unwrap_or(0) * POSITIONS_PER_RUN;
    let results = cell::perform(&bench, &plan.scenarios, jobs, offset).await;
    let seconds = started.elapsed().as_secs_f64();
    let times = results.iter().map(|result| (result.key(), result.seconds)).collect();
    let observed = equipped.observed.clone();
    let record = record(settings, &plan.cells[0], (observed, results), (began, seed), interrupted);
    let red: Vec<String> = record.red_results().map(|(_, result)| result.key()).collect();
    let good = record.exit_code == ExitCode::CONFORMANT;
    if good {
        let _ = fs_err::remove_dir_all(&out);
    } else {
        keep(&record, &out)?;
    }
    Ok(SoakRun {
        run: number,
        seed,
        seconds,
        results: record.summary.total(),
        red,
        times,
        report: (!good).then(|| out.join("report.json")),
        exit_code: record.exit_code,
    })
}

fn keep(record: &Record, out: &Utf8Path) -> Result<(), Failure> {
    fs_err::create_dir_all(out).map_err(|error| Failure::environment("make the report's directory", error))?;
    record.write_all(out).map(drop).map_err(|error| Failure::environment(format!("write the report to {out}"), error))
}

fn record(
    settings: &RunSettings,
    planned: &PlannedCell,
    (observed, results): (Observed, Vec<CaseResult>),
    (started_at, seed): (Timestamp, u32),
    interrupted: bool,
) -> Record {
    let mut cell = Cell::new(&planned.id, &planned.name, planned.axes());
    cell.observed = observed;
    cell.results = results;
    let run = Run {
        id: settings.run_id.clone(),
        started_at,
        finished_at: Timestamp::now(),
        profile: plan::profile_name(Profile::Smoke).to_owned(),
        argv: argv(),
        harness: harness(),
        subject: Some(settings.subject.record()),
        seed: Some(seed),
    };
    Record::new(run, vec![cell], interrupted)
}

/// What was red at the end and green before, with the number of runs in which it was green.
fn flaky(runs: &[SoakRun]) -> Vec<serde_json::Value> {
    let Some((last, before)) = runs.split_last() else { return Vec::new() };
    let green = before.len();
    last.red.iter().filter(|_| green > 0).map(|key| json!({ "scenario": key, "greenRuns": green })).collect()
}

fn summary(runs: &[SoakRun], asked: u32) -> String {
    let seconds = |value: f64| format!("{value:.1} s");
    let mut rows = table(["RUN", "SEED", "SECONDS", "RESULTS", "RED"]);
    for run in runs {
        let red = if run.red.is_empty() { "-".to_owned() } else { run.red.join(", ") };
        rows.add_row([run.run.to_string(), run.seed.to_string(), seconds(run.seconds), run.results.to_string(), red]);
    }
    let mut lines = vec![format!("{rows}\n")];
    let mut times: Vec<f64> = runs.iter().map(|run| run.seconds).collect();
    times.sort_by(f64::total_cmp);
    let at = |position: usize| times.get(position).copied().unwrap_or_default();
    let middle = f64::midpoint(at(times.len().saturating_sub(1) / 2), at(times.len() / 2));
    if let (Some(least), Some(most)) = (times.first(), times.last()) {
        let (least, most, middle) = (seconds(*least), seconds(*most), seconds(middle));
        lines.push(format!("a run took {least} to {most}, {middle} in the middle"));
    }
    let varying = varying(runs);
    if !varying.is_empty() {
        let named: Vec<String> = varying
            .iter()
            .map(|(key, least, most)| format!("{key} {} to {}", seconds(*least), seconds(*most)))
            .collect();
        lines.push(format!("what differed most from run to run: {}", named.join(", ")));
    }
    let green = runs.iter().filter(|run| run.exit_code == ExitCode::CONFORMANT).count();
    match runs.last().filter(|run| run.exit_code != ExitCode::CONFORMANT) {
        None => lines.push(format!("{green} of {asked} runs, all green")),
        Some(run) => {
            let what = if run.red.is_empty() { run.exit_code.meaning().to_owned() } else { run.red.join(", ") };
            let before = match run.run {
                1 => "it was so from the start".to_owned(),
                number => format!("it was green in {} runs before, so it is flaky", number - 1),
            };
            lines.push(format!("run {} of {asked} is red: {what}; {before}", run.run));
            lines.extend(run.report.iter().map(|report| format!("report: {report}")));
        }
    }
    lines.join("\n")
}

/// The results whose times differed most: the key, the shortest and the longest time.
fn varying(runs: &[SoakRun]) -> Vec<(String, f64, f64)> {
    let Some(first) = runs.first().filter(|_| runs.len() > 1) else { return Vec::new() };
    let mut all: Vec<(String, f64, f64)> = first
        .times
        .iter()
        .map(|(key, _)| {
            let own =
                || runs.iter().flat_map(|run| &run.times).filter(|(other, _)| other == key).map(|(_, time)| *time);
            (key.clone(), own().fold(f64::INFINITY, f64::min), own().fold(0.0, f64::max))
        })
        .collect();
    all.sort_by(|left, right| (right.2 - right.1).total_cmp(&(left.2 - left.1)));
    all.truncate(VARYING);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u32, red: &[&str], times: &[(&str, f64)]) -> SoakRun {
        SoakRun {
            run: number,
            seed: 6 + number,
            seconds: 40.0 + f64::from(number),
            results: 2,
            red: red.iter().map(|key| (*key).to_owned()).collect(),
            times: times.iter().map(|(key, seconds)| ((*key).to_owned(), *seconds)).collect(),
            report: (!red.is_empty()).then(|| Utf8PathBuf::from(format!("out/run-{number}/report.json"))),
            exit_code: if red.is_empty() { ExitCode::CONFORMANT } else { ExitCode::NONCONFORMANT },
        }
    }

    fn shown(runs: &[SoakRun]) -> String {
        summary(runs, 3).lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_summary_says_what_was_flaky() {
        let runs =
            [run(1, &[], &[("PS-01", 4.0), ("PS-02", 5.0)]), run(2, &["PS-02"], &[("PS-01", 4.5), ("PS-02", 60.0)])];
        insta::assert_snapshot!(shown(&runs));
        assert_eq!(flaky(&runs), [json!({ "scenario": "PS-02", "greenRuns": 1 })]);
    }

    #[test]
    fn what_is_red_from_the_start_is_not_flaky() {
        let runs = [run(1, &["PS-02"], &[("PS-02", 60.0)])];
        assert!(shown(&runs).contains("it was so from the start"));
        assert_eq!(flaky(&runs), Vec::<serde_json::Value>::new());
    }

    #[test]
    fn all_green_is_said() {
        let runs: Vec<SoakRun> = (1..=3).map(|number| run(number, &[], &[("PS-01", 4.0)])).collect();
        assert!(shown(&runs).ends_with("3 of 3 runs, all green"));
    }
}
