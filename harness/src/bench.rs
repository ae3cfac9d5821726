//! `bench`: measures what the budgets are about, and prints it as JSON.

mod driver;
mod group;
mod matrix;
mod providers;
mod suite;

use std::{collections::BTreeMap, process::Stdio, time::Instant};

use camino::{Utf8Path, Utf8PathBuf};
use sandproof_clusters::{
    host::Host,
    process::{Process, SpawnStdio},
};
use sandproof_reports::{CaseResult, Cell, ExitCode, Record, Verdict};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    cli::{BenchArguments, BenchCommand, GlobalArguments},
    commands::run::OUT,
    failure::Failure,
    paths::Paths,
    terminal,
};

/// Results in the report that rendering is measured with.
const RENDERED_RESULTS: usize = 10_000;

/// One figure over several runs.
#[derive(Debug, Serialize)]
struct Figure {
    name: String,
    unit: &'static str,
    median: f64,
    min: f64,
    max: f64,
    runs: usize,
}

/// Measurements by name; the unit belongs to the name.
#[derive(Debug, Default)]
struct Measurements(BTreeMap<String, (&'static str, Vec<f64>)>);

/// The directory of a benchmark, which goes with it.
struct Scratch {
    directory: Utf8PathBuf,
    _temporary: tempfile::TempDir,
}

impl Scratch {
    fn make() -> Result<Self, Failure> {
        let tried = "make a directory for the benchmark";
        let temporary = tempfile::Builder::new()
            .prefix("sandproof-bench-")
            .tempdir()
            .map_err(|error| Failure::environment(tried, error))?;
        let directory = Utf8Path::from_path(temporary.path())
            .ok_or_else(|| Failure::environment(tried, "its path is not UTF-8"))?
            .to_owned();
        Ok(Self { directory, _temporary: temporary })
    }

    fn path(&self) -> &Utf8Path {
        &self.directory
    }
}

/// Runs the smoke profile several times as a user would, and renders a large report.
pub(crate) async fn bench(global: &GlobalArguments, arguments: &BenchArguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        Some(BenchCommand::Matrix(arguments)) => return matrix::matrix(global, arguments).await,
        Some(BenchCommand::Providers(arguments)) => return providers::providers(global, arguments).await,
        Some(BenchCommand::Driver(arguments)) => return driver::driver(global, arguments).await,
        Some(BenchCommand::Suite(arguments)) => return suite::suite(global, arguments).await,
        None => {}
    }
    let paths = Paths::find()?;
    let host = Host::probe_at(&paths.cache);
    let mut measurements = Measurements::default();
    let scratch = Scratch::make()?;
    let directory = scratch.path();
    let mut last = None;
    for run in 1..=arguments.runs {
        terminal::progress(&format!("run {run} of {}", arguments.runs));
        let out = directory.join(run.to_string());
        last = Some(one(&paths, &out, &mut measurements).await?);
    }
    if let Some(record) = last {
        render(&record, directory, &mut measurements)?;
    }
    terminal::json(&json!({ "host": host_json(&host), "figures": measurements.figures() }))?;
    Ok(ExitCode::CONFORMANT)
}

/// What figures depend on.
fn host_json(host: &Host) -> Value {
    json!({
        "processors": host.processors,
        "memoryBytes": host.memory.total,
        "kernel": host.kernel.release,
        "cgroup": host.cgroup,
    })
}

/// One whole command, in a process of its own.
async fn one(paths: &Paths, out: &Utf8Path, measurements: &mut Measurements) -> Result<Record, Failure> {
    let tried = "measure a run";
    let started = Instant::now();
    let mut child = Process::new(paths.program("sandproof")?)
        .args(["run", "--profile", "smoke", "--out", out.as_str()])
        .env("SANDPROOF_HOME", &paths.home)
        .spawn(SpawnStdio { stdin: Stdio::null(), stdout: Stdio::null(), stderr: Stdio::inherit() })
        .map_err(|error| Failure::environment(tried, error))?;
    let status = child.wait().await.map_err(|error| Failure::environment(tried, error))?;
    let whole = started.elapsed().as_secs_f64();
    if !status.success() {
        return Err(Failure::environment(tried, format!("it ended with {status}; its report is in {OUT}")));
    }
    measurements.add("run, whole command", "s", whole);
    let record = Record::read(out.join("report.json")).map_err(|error| Failure::environment(tried, error))?;
    for cell in &record.cells {
        for phase in &cell.phases {
            measurements.add(&format!("phase {}", phase.name), "s", phase.seconds);
        }
    }
    let events =
        fs_err::read_to_string(out.join("events.jsonl")).map_err(|error| Failure::environment(tried, error))?;
    for event in events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        if event["event"] == "milestone" {
            let name = event["name"].as_str().unwrap_or_default();
            measurements.add(&format!("create to {name}"), "s", event["seconds"].as_f64().unwrap_or_default());
        }
        if event["event"] == "runFinished" {
            let own = event["cpuSeconds"].as_f64().unwrap_or_default();
            measurements.add("harness, own CPU", "% of one core", 100.0 * own / whole);
            let memory = event["peakMemoryBytes"].as_f64().unwrap_or_default();
            measurements.add("harness, peak memory", "MB", memory / 1e6);
        }
    }
    Ok(record)
}

/// Renders a report of many results, made from the results of a real one.
fn render(record: &Record, directory: &Utf8Path, measurements: &mut Measurements) -> Result<(), Failure> {
    let mut large = record.clone();
    let Some(cell) = record.cells.first() else { return Ok(()) };
    let Some(result) = cell.results.first() else { return Ok(()) };
    let per_cell = 100;
    large.cells = (0..RENDERED_RESULTS / per_cell).map(|position| copy(cell, result, position, per_cell)).collect();
    let large = Record::new(large.run, large.cells, false);
    let target = directory.join("large");
    fs_err::create_dir_all(&target).map_err(|error| Failure::environment("make a directory", error))?;
    for _ in 0..3 {
        let started = Instant::now();
        large.write_all(&target).map_err(|error| Failure::environment("render a large report", error))?;
        measurements.add("render 10,000 results, all forms", "s", started.elapsed().as_secs_f64());
    }
    Ok(())
}

fn copy(cell: &Cell, result: &CaseResult, position: usize, results: usize) -> Cell {
    let mut copy = cell.clone();
    copy.id = format!("cell-{position}");
    copy.name.clone_from(&copy.id);
    copy.results = (0..results)
        .map(|number| {
            let mut result = result.clone();
            result.scenario = format!("XX-{number:03}");
            result.verdict = if number % 17 == 0 { Verdict::Fail } else { Verdict::Pass };
            result.expected = result.verdict == Verdict::Pass;
            result
        })
        .collect();
    copy
}

impl Measurements {
    fn add(&mut self, name: &str, unit: &'static str, value: f64) {
        self.0.entry(name.to_owned()).or_insert((unit, Vec::new())).1.push(value);
    }

    fn figures(self) -> Vec<Figure> {
        self.0
            .into_iter()
            .filter_map(|(name, (unit, mut values))| {
                values.sort_by(f64::total_cmp);
                let (min, max) = (*values.first()?, *values.last()?);
                let middle = values.len() / 2;
                let median = if values.len() % 2 == 1 {
                    values[middle]
                } else {
                    f64::midpoint(values[middle - 1], values[middle])
                };
                Some(Figure { name, unit, median, min, max, runs: values.len() })
            })
            .collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "whole megabytes are shown")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_or_the_mean_of_the_two_middles() {
        let mut measurements = Measurements::default();
        for value in [3.0, 1.0, 2.0] {
            measurements.add("odd", "s", value);
        }
        for value in [4.0, 1.0] {
            measurements.add("even", "s", value);
        }
        let medians: Vec<(String, f64)> =
            measurements.figures().into_iter().map(|figure| (figure.name, figure.median)).collect();
        assert_eq!(medians, [("even".to_owned(), 2.5), ("odd".to_owned(), 2.0)]);
    }
}
