//! `selftest kills`: signals in every phase of a run, and what is left afterwards.
//!
//! SIGINT and SIGTERM must leave a record and nothing else, with exit code 130.
//! After SIGKILL nothing of a native cluster may run, and a sweep must remove the rest.
//! A kind cluster belongs to its engine and outlives the harness: there it is the sweep that must leave nothing.

use std::{os::unix::process::ExitStatusExt, process::Stdio, time::Duration};

use camino::Utf8Path;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process},
};
use sandproof_clusters::{
    ledger::{self, Swept},
    process::{Process, SpawnStdio},
    provider::Provider,
};
use sandproof_reports::{ExitCode, Record};
use serde::Serialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{cli::GlobalArguments, commands::list::table, failure::Failure, paths::Paths, plan, provision, terminal};

/// How long a run may take to reach the phase in which it is killed.
const REACH_DEADLINE: Duration = Duration::from_mins(3);

/// How long a run may take to end after a signal.
const END_DEADLINE: Duration = Duration::from_mins(1);

/// How long the kernel may take to end the processes of a cluster whose harness was killed.
const DEATH_DEADLINE: Duration = Duration::from_secs(10);

/// A case of the test.
#[derive(Debug, Clone, Copy)]
struct Case {
    phase: &'static str,
    signal: &'static str,
    /// Cells that are in the phase at once.
    cells: usize,
}

/// What a case left.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    provider: &'static str,
    phase: &'static str,
    signal: &'static str,
    cells: usize,
    exit_code: Option<i32>,
    record_written: bool,
    /// What still ran, or was still there after the sweep.
    leftovers: Vec<String>,
    ok: bool,
}

const PHASES: &[&str] = &["create", "install", "probe", "scenarios", "delete"];
const SIGNALS: &[&str] = &["SIGINT", "SIGTERM", "SIGKILL"];
const QUICK: &[Case] = &[
    Case { phase: "create", signal: "SIGKILL", cells: 1 },
    Case { phase: "install", signal: "SIGTERM", cells: 1 },
    Case { phase: "scenarios", signal: "SIGINT", cells: 1 },
    Case { phase: "scenarios", signal: "SIGKILL", cells: 1 },
];

/// With two cells side by side, none may outlive the run any more than one alone.
const SIDE_BY_SIDE: &[Case] = &[
    Case { phase: "scenarios", signal: "SIGTERM", cells: 2 },
    Case { phase: "scenarios", signal: "SIGKILL", cells: 2 },
];

/// Kills a run in each phase with each signal; the quick form takes a few of them.
pub(super) async fn kills(
    global: &GlobalArguments,
    provider: Provider,
    quick: bool,
    json: bool,
) -> Result<ExitCode, Failure> {
    let paths = Paths::find()?;
    let mut cases: Vec<Case> = if quick {
        QUICK.to_vec()
    } else {
        PHASES.iter().flat_map(|phase| SIGNALS.iter().map(move |signal| Case { phase, signal, cells: 1 })).collect()
    };
    let pair = two_cached_cells(global, &paths, provider)?;
    match &pair {
        Some(_) => cases.extend(SIDE_BY_SIDE),
        None => terminal::progress("the cache has no two cells, so that none is killed beside another"),
    }
    let mut outcomes = Vec::new();
    for case in cases {
        terminal::progress(&format!("{} in phase {}, cells: {}", case.signal, case.phase, case.cells));
        let selection = pair.as_deref().filter(|_| case.cells > 1);
        outcomes.push(one(&paths, provider, case, selection).await?);
    }
    let ok = outcomes.iter().all(|outcome| outcome.ok);
    if json {
        terminal::json(&json!({ "cases": outcomes }))?;
    } else {
        let mut rows = table(["PHASE", "SIGNAL", "CELLS", "EXIT", "RECORD", "LEFT", "OK"]);
        for outcome in &outcomes {
            rows.add_row([
                outcome.phase.to_owned(),
                outcome.signal.to_owned(),
                outcome.cells.to_string(),
                outcome.exit_code.map_or_else(|| "killed".to_owned(), |code| code.to_string()),
                if outcome.record_written { "yes" } else { "no" }.to_owned(),
                if outcome.leftovers.is_empty() { "nothing".to_owned() } else { outcome.leftovers.join(", ") },
                if outcome.ok { "yes" } else { "no" }.to_owned(),
            ]);
        }
        terminal::result(&rows.to_string());
    }
    Ok(if ok { ExitCode::CONFORMANT } else { ExitCode::NONCONFORMANT })
}

/// An expression for two cells that the cache has everything for.
fn two_cached_cells(global: &GlobalArguments, paths: &Paths, provider: Provider) -> Result<Option<String>, Failure> {
    let store = provision::store(paths, &global.sources)?;
    let mut cached = Vec::new();
    for cell in plan::cells(&plan::load_pins(paths)?) {
        if cell.provider == provider && provision::cached(&store, &cell)? {
            cached.push(format!("id == \"{}\"", cell.id));
        }
    }
    // The newest are last.
    Ok((cached.len() > 1).then(|| cached.split_off(cached.len() - 2).join(" || ")))
}

async fn one(paths: &Paths, provider: Provider, case: Case, cells: Option<&str>) -> Result<Outcome, Failure> {
    let tried = "run the case";
    let failed = |error: std::io::Error| Failure::environment(tried, error);
    let scratch = tempfile::Builder::new().prefix("sandproof-kills-").tempdir().map_err(failed)?;
    let directory = Utf8Path::from_path(scratch.path())
        .ok_or_else(|| Failure::environment(tried, "the temporary directory's path is not UTF-8"))?;
    let out = directory.join("out");
    // A state directory of its own: the inventory is then about this run and no other.
    let state = directory.join("state");
    let before = ledger::inventory(&state);
    let mut run = Process::new(paths.program("sandproof")?)
        .args(["run", "--scenario", "tags ~ \"pull-secrets\"", "--verbose", "--out", out.as_str()])
        .args(["--provider", provider.name(), "--cells", &case.cells.to_string()]);
    if let Some(cells) = cells {
        run = run.args(["--cell", cells]);
    }
    let mut child = run
        .env("SANDPROOF_HOME", &paths.home)
        .env("SANDPROOF_STATE", &state)
        .env("NO_COLOR", "1")
        .spawn(SpawnStdio { stdin: Stdio::null(), stdout: Stdio::null(), stderr: Stdio::piped() })
        .map_err(|error| Failure::environment(tried, error))?;
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    let stderr = child.stderr.take();
    let (Some(pid), Some(stderr)) = (pid, stderr) else {
        return Err(Failure::environment(tried, "the run ended at once"));
    };
    let mut lines = BufReader::new(stderr).lines();
    let marker = format!("begin {}", case.phase);
    let reached = tokio::time::timeout(REACH_DEADLINE, async {
        let mut cells = 0;
        while let Ok(Some(line)) = lines.next_line().await {
            cells += usize::from(line.trim_start().starts_with(&marker));
            if cells == case.cells {
                return true;
            }
        }
        false
    })
    .await
    .unwrap_or(false);
    // The rest of the output must be read, or the run would block on a full pipe.
    let draining = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let signal = match case.signal {
        "SIGINT" => Signal::INT,
        "SIGTERM" => Signal::TERM,
        _ => Signal::KILL,
    };
    kill_process(pid, signal).map_err(|error| Failure::environment(tried, error))?;
    let status = tokio::time::timeout(END_DEADLINE, child.wait()).await;
    let mut leftovers = Vec::new();
    let (exit_code, killed) = if let Ok(Ok(status)) = status {
        (status.code(), status.signal() == Some(9))
    } else {
        leftovers.push(format!("the run itself, {} s after the signal", END_DEADLINE.as_secs()));
        let _ = kill_process(pid, Signal::KILL);
        let _ = child.wait().await;
        (None, false)
    };
    draining.abort();
    let record_written = Record::read(out.join("report.json")).is_ok();
    if killed {
        leftovers.extend(still_running(&state).await);
        let swept = sweep(&state).await?;
        leftovers.extend(swept.into_iter().flat_map(|swept| swept.leftovers.lines()));
    }
    // What a container engine has is in no inventory of the host: a sweep finds it by its labels.
    let found = sweep(&state).await?;
    leftovers.extend(found.into_iter().map(|swept| format!("cluster {}", swept.name)));
    leftovers.extend(ledger::inventory(&state).since(&before));
    let as_told = if case.signal == "SIGKILL" { killed } else { exit_code == Some(130) && record_written };
    Ok(Outcome {
        provider: provider.name(),
        phase: case.phase,
        signal: case.signal,
        cells: case.cells,
        exit_code,
        record_written,
        ok: reached && as_told && leftovers.is_empty(),
        leftovers,
    })
}

async fn sweep(state: &Utf8Path) -> Result<Vec<Swept>, Failure> {
    Ok(ledger::sweep(state).await.map_err(|error| Failure::environment("sweep", error))?.removed)
}

/// The processes of the ledger's clusters that have not ended within the deadline.
async fn still_running(state: &Utf8Path) -> Vec<String> {
    let Ok(entries) = ledger::list(state).await else { return vec!["the ledger cannot be read".to_owned()] };
    let mut running = Vec::new();
    for entry in entries {
        let ledger::Holdings::Native(holdings) = &entry.holdings else { continue };
        let Some(first) = holdings.first_process else { continue };
        // A process descriptor becomes readable when its process ends: no polling.
        let Some(descriptor) = first.watch() else { continue };
        let waiting = tokio::task::spawn_blocking(move || {
            let mut watched = [PollFd::new(&descriptor, PollFlags::IN)];
            let deadline = Timespec { tv_sec: DEATH_DEADLINE.as_secs().cast_signed(), tv_nsec: 0 };
            poll(&mut watched, Some(&deadline))
        });
        let _ = waiting.await;
        if first.is_alive() {
            running.push(format!("{}: process {}", entry.name, first.pid));
        }
    }
    running
}
