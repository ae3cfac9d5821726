//! `bench matrix`: what several cells cost side by side, and what they would cost one after the other.

use std::{process::Stdio, time::Instant};

use camino::Utf8Path;
use sandproof_clusters::{
    host::Host,
    process::{Process, SpawnStdio},
    provider::Usage,
};
use sandproof_reports::{ExitCode, Record};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Measurements, Scratch, group::Group, host_json, megabytes};
use crate::{
    cli::{BenchMatrixArguments, GlobalArguments, SelectionArguments},
    commands::{list::table, suite},
    failure::Failure,
    paths::Paths,
    plan::{self, Plan},
    terminal,
};

/// What was measured of one cell, in seconds where nothing else is said.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct CellFigures {
    id: String,
    create_to_ready: Option<f64>,
    create_to_first_sandbox: Option<f64>,
    suite: Option<f64>,
    delete: Option<f64>,
    /// All of its phases.
    total: f64,
    cpu_seconds: Option<f64>,
    peak_memory_bytes: Option<u64>,
    /// The whole command with this cell alone, where that was run.
    alone: Option<f64>,
}

/// One command, measured.
#[derive(Debug)]
struct Measured {
    wall: f64,
    usage: Usage,
    at_once: Option<u64>,
    red: usize,
    cells: Vec<CellFigures>,
}

/// Runs the cells side by side; with `--alone` each of them by itself first.
pub(super) async fn matrix(global: &GlobalArguments, arguments: &BenchMatrixArguments) -> Result<ExitCode, Failure> {
    let paths = Paths::find()?;
    let host = Host::probe_at(&paths.cache);
    let selection = SelectionArguments {
        profile: arguments.side_by_side.profile,
        cell: arguments.cell.clone(),
        scenario: arguments.side_by_side.scenario.clone(),
        ..SelectionArguments::default()
    };
    let plan = Plan::make(&selection, &plan::load_pins(&paths)?, &suite::load(&paths, None)?)?;
    let scratch = Scratch::make()?;
    let directory = scratch.path();
    let command = RunCommand { paths: &paths, host: &host, global, arguments };
    let mut alone = Vec::new();
    if arguments.side_by_side.alone {
        for (position, cell) in plan.cells.iter().enumerate() {
            terminal::progress(&format!("alone: {} ({} of {})", cell.id, position + 1, plan.cells.len()));
            let measured = command.measure(Some(&cell.id), &directory.join(position.to_string())).await?;
            alone.push((cell.id.clone(), measured.wall));
        }
    }
    terminal::progress(&format!("side by side: {} cells", plan.cells.len()));
    let mut measured = command.measure(arguments.cell.as_deref(), &directory.join("matrix")).await?;
    for cell in &mut measured.cells {
        cell.alone = alone.iter().find(|(id, _)| *id == cell.id).map(|(_, wall)| *wall);
    }
    if arguments.side_by_side.json {
        terminal::json(&as_json(&measured, &host))?;
    } else {
        terminal::result(&as_table(&measured));
    }
    Ok(ExitCode::CONFORMANT)
}

/// How the measured command is made.
struct RunCommand<'a> {
    paths: &'a Paths,
    host: &'a Host,
    global: &'a GlobalArguments,
    arguments: &'a BenchMatrixArguments,
}

impl RunCommand<'_> {
    /// Runs it in a process and a control group of its own.
    async fn measure(&self, cell: Option<&str>, out: &Utf8Path) -> Result<Measured, Failure> {
        let tried = "measure a run";
        let profile = plan::profile_name(self.arguments.side_by_side.profile);
        let mut process = Process::new(self.paths.program("sandproof")?)
            .args(["run", "--profile", profile, "--out", out.as_str()])
            .env("SANDPROOF_HOME", &self.paths.home);
        for (flag, value) in [
            ("--cell", cell.map(str::to_owned)),
            ("--scenario", self.arguments.side_by_side.scenario.clone()),
            ("--cells", self.arguments.side_by_side.cells.map(|cells| cells.to_string())),
            ("--mirror", self.global.sources.mirror.clone()),
        ] {
            if let Some(value) = value {
                process = process.arg(flag).arg(value);
            }
        }
        if self.global.sources.offline {
            process = process.env("SANDPROOF_OFFLINE", "true");
        }
        let group = Group::enter(self.host);
        if let Err(why) = &group {
            terminal::progress(&format!("processor time and memory are not counted: {why}"));
        }
        let started = Instant::now();
        let mut child = process
            .spawn(SpawnStdio { stdin: Stdio::null(), stdout: Stdio::null(), stderr: Stdio::inherit() })
            .map_err(|error| Failure::environment(tried, error))?;
        let status = child.wait().await.map_err(|error| Failure::environment(tried, error))?;
        let wall = started.elapsed().as_secs_f64();
        let usage = group.as_ref().map(Group::usage).unwrap_or_default();
        drop(group);
        if status.code() == Some(i32::from(ExitCode::INTERRUPTED.code())) {
            return Err(Failure::Interrupted { during: "measuring".to_owned() });
        }
        let record = Record::read(out.join("report.json"))
            .map_err(|error| Failure::environment(tried, format!("it ended with {status}: {error}")))?;
        let events =
            fs_err::read_to_string(out.join("events.jsonl")).map_err(|error| Failure::environment(tried, error))?;
        let events: Vec<Value> = events.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let red = record.results().filter(|(_, result)| result.is_red(true)).count();
        if red > 0 {
            terminal::progress(&format!("{red} results are red: the figures are not those of a good run"));
        }
        let at_once = events.iter().find(|event| event["event"] == "cellsAtOnce");
        Ok(Measured {
            wall,
            usage,
            at_once: at_once.and_then(|event| event["atOnce"].as_u64()),
            red,
            cells: record.cells.iter().map(|cell| figures(cell, &events)).collect(),
        })
    }
}

/// Reads one cell's figures off its phases and its events.
fn figures(cell: &sandproof_reports::Cell, events: &[Value]) -> CellFigures {
    let phase = |name: &str| cell.phases.iter().find(|phase| phase.name == name).map(|phase| phase.seconds);
    let own = |kind: &'static str| {
        let of_cell = move |event: &&Value| event["event"] == kind && event["cell"] == cell.id.as_str();
        events.iter().filter(of_cell)
    };
    let milestone =
        |name: &str| own("milestone").find(|event| event["name"] == name).and_then(|event| event["seconds"].as_f64());
    let used = own("cellUsage").next();
    CellFigures {
        id: cell.id.clone(),
        create_to_ready: milestone("node ready"),
        create_to_first_sandbox: milestone("first sandbox running"),
        suite: phase("scenarios"),
        delete: phase("delete"),
        total: cell.phases.iter().map(|phase| phase.seconds).sum(),
        cpu_seconds: used.and_then(|used| used["cpuSeconds"].as_f64()),
        peak_memory_bytes: used.and_then(|used| used["peakMemoryBytes"].as_u64()),
        alone: None,
    }
}

impl Measured {
    /// What the cells take one after the other, and where that is known from.
    fn one_after_the_other(&self) -> (f64, &'static str) {
        let alone: Option<Vec<f64>> = self.cells.iter().map(|cell| cell.alone).collect();
        match alone {
            Some(alone) if !alone.is_empty() => (alone.iter().sum(), "each run alone"),
            // Side by side each takes longer than alone: this says how well they overlap, not what is gained.
            _ => (self.cells.iter().map(|cell| cell.total).sum(), "their phases side by side"),
        }
    }

    fn speed_up(&self) -> f64 {
        self.one_after_the_other().0 / self.wall
    }
}

fn as_json(measured: &Measured, host: &Host) -> Value {
    let (alone, basis) = measured.one_after_the_other();
    let mut figures = Measurements::default();
    figures.add("matrix, whole command", "s", measured.wall);
    figures.add("matrix, speed-up", "times", measured.speed_up());
    if let Some(seconds) = measured.usage.cpu_seconds {
        figures.add("matrix, CPU", "s", seconds);
    }
    if let Some(bytes) = measured.usage.peak_memory_bytes {
        figures.add("matrix, peak memory", "MB", megabytes(bytes));
    }
    for cell in &measured.cells {
        for (name, seconds) in [
            ("create to node ready", cell.create_to_ready),
            ("create to first sandbox running", cell.create_to_first_sandbox),
            ("phase scenarios", cell.suite),
            ("phase delete", cell.delete),
        ] {
            if let Some(seconds) = seconds {
                figures.add(name, "s", seconds);
            }
        }
    }
    json!({
        "host": host_json(host),
        "matrix": {
            "cells": measured.cells,
            "atOnce": measured.at_once,
            "red": measured.red,
            "wallSeconds": measured.wall,
            "cpuSeconds": measured.usage.cpu_seconds,
            "peakMemoryBytes": measured.usage.peak_memory_bytes,
            "countedBy": "the control group of the command, with its page cache",
            "oneAfterTheOther": { "seconds": alone, "from": basis },
            "speedUp": measured.speed_up(),
        },
        "figures": figures.figures(),
    })
}

fn as_table(measured: &Measured) -> String {
    let seconds = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1} s"));
    let memory =
        |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{:.0} MB", megabytes(bytes)));
    let mut rows = table(["CELL", "READY", "FIRST SANDBOX", "SUITE", "DELETE", "TOTAL", "CPU", "MEMORY", "ALONE"]);
    for cell in &measured.cells {
        rows.add_row([
            cell.id.clone(),
            seconds(cell.create_to_ready),
            seconds(cell.create_to_first_sandbox),
            seconds(cell.suite),
            seconds(cell.delete),
            seconds(Some(cell.total)),
            seconds(cell.cpu_seconds),
            memory(cell.peak_memory_bytes),
            seconds(cell.alone),
        ]);
    }
    let (alone, basis) = measured.one_after_the_other();
    format!(
        "{rows}\n\n{} cells, {} at once: {:.1} s, {} of CPU, {} at most\none after the other: {alone:.1} s ({basis}); speed-up {:.2}",
        measured.cells.len(),
        measured.at_once.map_or_else(|| "-".to_owned(), |cells| cells.to_string()),
        measured.wall,
        seconds(measured.usage.cpu_seconds),
        memory(measured.usage.peak_memory_bytes),
        measured.speed_up(),
    )
}

#[cfg(test)]
mod tests {
    use sandproof_reports::{Axes, Cell, Phase};

    use super::*;

    fn cell(id: &str) -> Cell {
        let mut cell = Cell::new(id, id, Axes::default());
        cell.phases = [("create", 3.0), ("scenarios", 30.0), ("delete", 2.0)]
            .map(|(name, seconds)| Phase::new(name, seconds))
            .to_vec();
        cell
    }

    fn measured(alone: [Option<f64>; 2]) -> Measured {
        let events = [
            json!({ "event": "milestone", "cell": "b", "name": "node ready", "seconds": 9.0 }),
            json!({ "event": "milestone", "cell": "a", "name": "node ready", "seconds": 2.5 }),
            json!({ "event": "milestone", "cell": "a", "name": "first sandbox running", "seconds": 6.0 }),
            json!({ "event": "cellUsage", "cell": "a", "cpuSeconds": 41.0, "peakMemoryBytes": 1_000_000_000 }),
            json!({ "event": "cellUsage", "cell": "b", "cpuSeconds": null, "peakMemoryBytes": null }),
        ];
        let mut cells: Vec<CellFigures> = [cell("a"), cell("b")].iter().map(|cell| figures(cell, &events)).collect();
        for (cell, alone) in cells.iter_mut().zip(alone) {
            cell.alone = alone;
        }
        let usage = Usage { cpu_seconds: Some(90.0), peak_memory_bytes: Some(2_000_000_000) };
        Measured { wall: 50.0, usage, at_once: Some(2), red: 0, cells }
    }

    #[test]
    fn a_cell_has_its_own_events_only() {
        let measured = measured([None, None]);
        assert_eq!(measured.cells[0].create_to_ready, Some(2.5));
        assert_eq!(measured.cells[1].create_to_ready, Some(9.0));
        assert_eq!(measured.cells[1].create_to_first_sandbox, None);
    }

    #[test]
    fn the_gain_is_known_only_when_each_was_run_alone() {
        assert_eq!(measured([None, Some(40.0)]).one_after_the_other(), (70.0, "their phases side by side"));
        assert_eq!(measured([Some(35.0), Some(40.0)]).one_after_the_other(), (75.0, "each run alone"));
    }

    #[test]
    fn the_table_has_a_row_for_each_cell() {
        let text = as_table(&measured([Some(35.0), Some(40.0)]));
        let text: Vec<&str> = text.lines().map(str::trim_end).collect();
        insta::assert_snapshot!(text.join("\n"), @r"
         CELL  READY  FIRST SANDBOX  SUITE   DELETE  TOTAL   CPU     MEMORY   ALONE
         a     2.5 s  6.0 s          30.0 s  2.0 s   35.0 s  41.0 s  1000 MB  35.0 s
         b     9.0 s  -              30.0 s  2.0 s   35.0 s  -       -        40.0 s

        2 cells, 2 at once: 50.0 s, 90.0 s of CPU, 2000 MB at most
        one after the other: 75.0 s (each run alone); speed-up 1.50
        ");
    }
}
