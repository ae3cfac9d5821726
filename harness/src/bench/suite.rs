//! `bench suite`: how long the suite takes on one warm cluster, which results take longest, and whom they wait for.

use std::{collections::BTreeMap, time::Instant};

use sandproof_clusters::host::Host;
use sandproof_reports::ExitCode;
use serde_json::{Map, Value, json};

use super::{Figure, Measurements, Scratch, host_json};
use crate::{
    cli::{BenchSuiteArguments, GlobalArguments, Profile, SelectionArguments, SubjectArguments},
    commands::{list::table, suite as suite_files},
    events::{Event, Events},
    failure::Failure,
    interrupt::with_events,
    paths::Paths,
    plan::{self, Plan},
    runner::{cell, one_cell::with_cell, run::RunSettings, spent::Party},
    sinks::{Progress, Timing, Timings},
    subject::choice::Choice,
    terminal,
};

/// How many of the slowest results are shown.
const SLOWEST: usize = 10;

/// Namespaces of different runs must not meet on the one cluster.
const POSITIONS_PER_RUN: usize = 1000;

/// An expression that every scenario fits.
const EVERY: &str = "id ~ \"\"";

/// What was measured of all runs.
#[derive(Debug)]
struct Measured {
    cell: String,
    /// Scenarios at once.
    jobs: usize,
    seed: u32,
    /// The suite, run by run, in seconds.
    whole: Vec<f64>,
    timings: Vec<Timing>,
    red: usize,
}

/// One result over all runs: the medians.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    scenario: String,
    seconds: f64,
    spent: Vec<(Party, f64)>,
}

/// Measures, and shows a table or JSON.
pub(super) async fn suite(global: &GlobalArguments, arguments: &BenchSuiteArguments) -> Result<ExitCode, Failure> {
    let paths = Paths::find()?;
    let host = Host::probe_at(&paths.cache);
    let suite = suite_files::load(&paths, None)?;
    let selection = SelectionArguments {
        profile: Profile::Smoke,
        cell: arguments.cell.clone(),
        scenario: Some(arguments.scenario.clone().unwrap_or_else(|| EVERY.to_owned())),
        ..SelectionArguments::default()
    };
    let plan = Plan::make(&selection, &plan::load_pins(&paths)?, &suite)?;
    let subject = Choice::make(&paths, &SubjectArguments::default())?;
    let expectations = suite_files::expectations(&paths, &suite, None)?;
    let scratch = Scratch::make()?;
    let directory = scratch.path();
    let settings = RunSettings::of_one_cell(paths, global.sources.clone(), directory.to_owned(), subject);
    let seed = arguments.seed.unwrap_or(settings.seed);
    let settings = RunSettings { seed, jobs: arguments.jobs.map(usize::from), ..settings };
    let planned = &plan.cells[0];
    let timings = Timings::default();
    let name = format!("bench-{}", settings.short_id());
    let sinks: Vec<Box<dyn crate::events::Sink>> =
        vec![Box::new(timings.clone()), Box::new(Progress::new(global.verbose))];
    let measuring = with_events(sinks, async |events: &Events, cancelled| {
        events.emit(Event::RunStarted {
            run: settings.run_id.clone(),
            profile: "bench suite".to_owned(),
            cells: vec![planned.name.clone()],
            results: plan.scenarios.len() * usize::try_from(arguments.runs).unwrap_or(1),
            seed,
        });
        with_cell(&settings, planned, &name, expectations, (events, cancelled), async |context, equipped| {
            let mut whole = Vec::new();
            let mut red = 0;
            for run in 1..=usize::try_from(arguments.runs).unwrap_or(1) {
                let text = format!("run {run} of {}", arguments.runs);
                events.emit(Event::CellNote { cell: planned.id.clone(), text });
                let bench = equipped.bench.on((*equipped.bench.stage).clone(), directory.join(run.to_string()));
                let started = Instant::now();
                let results = cell::perform(&bench, &plan.scenarios, context.jobs, run * POSITIONS_PER_RUN).await;
                whole.push(started.elapsed().as_secs_f64());
                red += results.iter().filter(|result| result.is_red(true)).count();
                if cancelled.is_cancelled() {
                    return Err(Failure::Interrupted { during: "measuring the suite".to_owned() });
                }
                if let Some(reason) = equipped.bench.stage.broken() {
                    return Err(Failure::environment("measure the suite", reason));
                }
            }
            Ok((whole, red, context.jobs))
        })
        .await
    });
    let (whole, red, jobs) = measuring.await?;
    if red > 0 {
        terminal::progress(&format!("{red} results are red: the figures are not those of a good run"));
    }
    let measured = Measured { cell: planned.id.clone(), jobs, seed, whole, timings: timings.all(), red };
    if arguments.json {
        terminal::json(&as_json(&measured, &host))?;
    } else {
        terminal::result(&as_table(&measured));
    }
    Ok(ExitCode::CONFORMANT)
}

impl Measured {
    /// Every result, the slowest first.
    fn rows(&self) -> Vec<Row> {
        let mut by_key: BTreeMap<&str, Vec<&Timing>> = BTreeMap::new();
        for timing in &self.timings {
            by_key.entry(&timing.scenario).or_default().push(timing);
        }
        let mut rows: Vec<Row> = by_key
            .into_iter()
            .map(|(scenario, timings)| {
                let of = |party: Party| {
                    let values: Vec<f64> =
                        timings.iter().map(|timing| timing.spent.get(&party).copied().unwrap_or_default()).collect();
                    (party, median(&values))
                };
                let seconds: Vec<f64> = timings.iter().map(|timing| timing.seconds).collect();
                Row {
                    scenario: scenario.to_owned(),
                    seconds: median(&seconds),
                    spent: Party::ALL.into_iter().map(of).collect(),
                }
            })
            .collect();
        rows.sort_by(|left, right| right.seconds.total_cmp(&left.seconds));
        rows
    }

    /// What all results spent on whom in one run, on average.
    fn totals(&self) -> Vec<(Party, f64)> {
        #[expect(clippy::cast_precision_loss, reason = "a few runs")]
        let runs = self.whole.len().max(1) as f64;
        let of = |party: Party| {
            // The sum of nothing is a negative zero.
            let all: f64 = 0.0 + self.timings.iter().filter_map(|timing| timing.spent.get(&party)).sum::<f64>();
            (party, all / runs)
        };
        Party::ALL.into_iter().map(of).collect()
    }

    fn whole_figure(&self) -> Option<Figure> {
        let mut figures = Measurements::default();
        for seconds in &self.whole {
            figures.add("suite, whole time", "s", *seconds);
        }
        figures.figures().into_iter().next()
    }
}

fn median(values: &[f64]) -> f64 {
    let mut figures = Measurements::default();
    for value in values {
        figures.add("median", "s", *value);
    }
    figures.figures().first().map(|figure| figure.median).unwrap_or_default()
}

fn as_json(measured: &Measured, host: &Host) -> Value {
    let parties = |spent: &[(Party, f64)]| {
        let named = spent.iter().map(|(party, seconds)| (party.name().to_owned(), json!(seconds)));
        Value::Object(named.collect::<Map<String, Value>>())
    };
    let rows = measured.rows();
    let shown = rows
        .iter()
        .map(|row| json!({ "scenario": row.scenario, "seconds": row.seconds, "waitedFor": parties(&row.spent) }));
    json!({
        "host": host_json(host),
        "suite": {
            "cell": measured.cell,
            "jobs": measured.jobs,
            "seed": measured.seed,
            "red": measured.red,
            "results": rows.len(),
            "wholeSeconds": measured.whole,
            "waitedFor": parties(&measured.totals()),
            "slowest": shown.take(SLOWEST).collect::<Vec<_>>(),
        },
        "figures": measured.whole_figure().into_iter().collect::<Vec<_>>(),
    })
}

fn as_table(measured: &Measured) -> String {
    let seconds = |value: f64| format!("{value:.1} s");
    let mut rows = table(["RESULT", "ALL", "CLUSTER", "REGISTRY", "DRIVER", "HELM", "STATED", "HARNESS"]);
    let all = measured.rows();
    for row in all.iter().take(SLOWEST) {
        let spent = row.spent.iter().map(|(_, spent)| seconds(*spent));
        rows.add_row([row.scenario.clone(), seconds(row.seconds)].into_iter().chain(spent).collect::<Vec<_>>());
    }
    let totals = measured.totals();
    let sum: f64 = totals.iter().map(|(_, spent)| spent).sum();
    let shares: Vec<String> = totals
        .iter()
        .map(|(party, spent)| format!("{} {} ({:.0} %)", party.name(), seconds(*spent), 100.0 * spent / sum.max(0.001)))
        .collect();
    let whole = measured.whole_figure().map_or_else(String::new, |figure| {
        format!(
            "{} ({} to {} in {} runs)",
            seconds(figure.median),
            seconds(figure.min),
            seconds(figure.max),
            figure.runs
        )
    });
    format!(
        "{rows}\n\nthe suite on {}: {whole}, {} results, {} at once, seed {}\nall results together: {} in a run, spent on {}",
        measured.cell,
        all.len(),
        measured.jobs,
        measured.seed,
        seconds(sum),
        shares.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(scenario: &str, spent: &[(Party, f64)]) -> Timing {
        let seconds = spent.iter().map(|(_, seconds)| seconds).sum();
        Timing { scenario: scenario.to_owned(), seconds, spent: spent.iter().copied().collect() }
    }

    fn measured() -> Measured {
        Measured {
            cell: "k1.36-crio1.36-native".to_owned(),
            jobs: 8,
            seed: 7,
            whole: vec![90.0, 80.0],
            timings: vec![
                timing("PS-01", &[(Party::Cluster, 10.0), (Party::Harness, 1.0)]),
                timing("PS-01", &[(Party::Cluster, 14.0), (Party::Harness, 1.0)]),
                timing("SL-01", &[(Party::Cluster, 20.0), (Party::Helm, 2.0)]),
                timing("SL-01", &[(Party::Cluster, 20.0), (Party::Helm, 4.0)]),
            ],
            red: 0,
        }
    }

    #[test]
    fn the_slowest_comes_first_with_its_medians() {
        let rows = measured().rows();
        let seconds: Vec<(&str, f64)> = rows.iter().map(|row| (row.scenario.as_str(), row.seconds)).collect();
        assert_eq!(seconds, [("SL-01", 23.0), ("PS-01", 13.0)]);
        assert_eq!(rows[0].spent[3], (Party::Helm, 3.0));
    }

    #[test]
    fn the_table_says_where_the_time_went() {
        let text = as_table(&measured());
        let text: Vec<&str> = text.lines().map(str::trim_end).collect();
        insta::assert_snapshot!(text.join("\n"));
    }
}
