//! `sweep`: removes what dead runs left, and touches nothing of a living one.

use sandproof_clusters::ledger;
use sandproof_reports::ExitCode;

use crate::{cli::SweepArguments, failure::Failure, paths::Paths, terminal};

/// Sweeps, and says what was removed and what stayed.
pub(crate) async fn sweep(arguments: &SweepArguments) -> Result<ExitCode, Failure> {
    let paths = Paths::find()?;
    let swept = if arguments.kept {
        ledger::sweep_including_kept(&paths.state).await
    } else {
        ledger::sweep(&paths.state).await
    };
    let report = swept.map_err(|error| Failure::environment("sweep", error))?;
    remove_dead_runs(&paths);
    let clean = report.removed.iter().all(|swept| swept.leftovers.is_nothing());
    if arguments.json {
        terminal::json(&report)?;
    } else {
        let mut lines = Vec::new();
        for swept in &report.removed {
            lines.push(if swept.leftovers.is_nothing() {
                format!("removed {} of run {}", swept.name, swept.run)
            } else {
                format!("removed {} of run {}, but not: {}", swept.name, swept.run, swept.leftovers)
            });
        }
        lines.extend(
            report
                .kept
                .iter()
                .map(|name| format!("left {name}: it was kept; `sandproof cluster down {name}` removes it")),
        );
        lines.extend(report.owned.iter().map(|name| format!("left {name}: its run is alive")));
        if lines.is_empty() {
            lines.push("nothing to sweep".to_owned());
        }
        terminal::result(&lines.join("\n"));
    }
    Ok(if clean { ExitCode::CONFORMANT } else { ExitCode::LEFT_BEHIND })
}

/// Scratch directories of runs whose process is gone.
fn remove_dead_runs(paths: &Paths) {
    let Ok(entries) = fs_err::read_dir(paths.state.join("runs").as_std_path()) else { return };
    for entry in entries.flatten() {
        let owner = fs_err::read_to_string(entry.path().join("owner")).unwrap_or_default();
        let alive =
            serde_json::from_str::<ledger::ProcessIdentity>(&owner).is_ok_and(ledger::ProcessIdentity::is_alive);
        if !alive {
            let _ = fs_err::remove_dir_all(entry.path());
        }
    }
}
