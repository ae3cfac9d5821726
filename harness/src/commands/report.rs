//! `report`: everything shown is rendered from the record alone, so it can be rendered again, merged and compared.

use camino::{Utf8Component, Utf8Path};
use sandproof_reports::{
    ExitCode, Record, diff::diff, history::history, html, junit, markdown, merge::merge, terminal as matrix,
};

use crate::{
    cli::{ReportCommand, ReportFormat},
    failure::Failure,
    terminal,
};

/// Runs a report command.
pub(crate) fn report(command: ReportCommand) -> Result<ExitCode, Failure> {
    match command {
        ReportCommand::Render { report, format } => {
            let record = read(&report)?;
            terminal::result(&match format {
                ReportFormat::Terminal => matrix::render(&record, options()),
                ReportFormat::Junit => junit::render(&record),
                ReportFormat::Markdown => markdown::render(&record),
                ReportFormat::Html => html::render(&record),
                ReportFormat::Json => record.to_json(),
            });
            Ok(ExitCode::CONFORMANT)
        }
        ReportCommand::Merge { reports, out } => {
            let records = reports.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
            let mut merged = merge(&records)
                .map_err(|error| Failure::usage(error.to_string(), "name the reports of the shards of one run"))?;
            fs_err::create_dir_all(&out)
                .map_err(|error| Failure::environment(format!("make the directory {out}"), error))?;
            let parts: Vec<_> = reports.iter().map(|path| directory_of(path)).zip(&records).collect();
            gather(&mut merged.record, &parts, &out)
                .map_err(|error| Failure::environment(format!("copy the evidence to {out}"), error))?;
            merged
                .record
                .write_all(&out)
                .map_err(|error| Failure::environment(format!("write the report to {out}"), error))?;
            for conflict in &merged.conflicts {
                terminal::progress(&format!("conflict: {conflict}"));
            }
            terminal::result(&matrix::render(&merged.record, options()));
            Ok(merged.record.exit_code)
        }
        ReportCommand::Diff { old, new, json } => {
            let (old, new) = (read(&old)?, read(&new)?);
            let difference = diff(&old, &new);
            if json {
                terminal::json(&difference)?;
            } else {
                terminal::result(&difference.to_string());
            }
            Ok(match (difference.is_worse(), difference.is_open()) {
                (true, _) => ExitCode::NONCONFORMANT,
                (false, true) => ExitCode::ENVIRONMENT,
                (false, false) => ExitCode::CONFORMANT,
            })
        }
        ReportCommand::History { reports, json } => {
            let records = reports.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
            let history = history(&records);
            if json {
                terminal::json(&history)?;
            } else {
                terminal::result(&history.to_string());
            }
            Ok(ExitCode::CONFORMANT)
        }
    }
}

/// Reads a record from a file, or from the directory that it is in.
pub(crate) fn read(path: &Utf8Path) -> Result<Record, Failure> {
    let file = if path.is_dir() { path.join("report.json") } else { path.to_owned() };
    Record::read(&file).map_err(|error| {
        Failure::usage(error.to_string(), "name a report.json that `sandproof run` wrote, or the directory it is in")
    })
}

/// The directory that a report is in.
fn directory_of(report: &Utf8Path) -> &Utf8Path {
    if report.is_dir() { report } else { report.parent().unwrap_or(Utf8Path::new("")) }
}

/// Brings the evidence of the parts together beneath `out`, and lets the results say where they are now.
fn gather(merged: &mut Record, parts: &[(&Utf8Path, &Record)], out: &Utf8Path) -> std::io::Result<()> {
    for cell in &mut merged.cells {
        for (directory, _) in parts {
            let logs = Utf8Path::new("evidence").join(&cell.id).join("cluster");
            for file in directory.join(&logs).read_dir_utf8().into_iter().flatten().flatten() {
                copy(directory, &logs.join(file.file_name()), out)?;
            }
        }
        for result in &mut cell.results {
            let has = |part: &&Record| part.results().any(|(of, other)| of.id == cell.id && other == &*result);
            if let Some((directory, _)) = parts.iter().find(|(_, part)| has(part)) {
                result.evidence.iter().try_for_each(|file| copy(directory, Utf8Path::new(file), out))?;
            }
            result.repro = retargeted(&result.repro, out);
        }
    }
    Ok(())
}

/// Copies a file of a report; what is not there, or would lead out of it, is left out.
fn copy(from: &Utf8Path, file: &Utf8Path, to: &Utf8Path) -> std::io::Result<()> {
    let stays = file.components().all(|part| matches!(part, Utf8Component::Normal(_)));
    let (source, target) = (from.join(file), to.join(file));
    if !stays || !source.is_file() || target.exists() {
        return Ok(());
    }
    if let Some(parent) = target.parent() {
        fs_err::create_dir_all(parent)?;
    }
    fs_err::copy(source, target).map(drop)
}

/// The line that runs a result again, with another report: `… repro 'REPORT#CELL/SCENARIO' …`.
fn retargeted(line: &str, report: &Utf8Path) -> String {
    match line.split_once('\'').and_then(|(verb, rest)| Some((verb, rest.rsplit_once('#')?.1))) {
        Some((verb, rest)) => format!("{verb}'{report}#{rest}"),
        None => line.to_owned(),
    }
}

/// What changed since a baseline, as text.
pub(crate) fn difference(baseline: &Record, record: &Record) -> String {
    format!("since the baseline:\n{}", diff(baseline, record))
}

/// How this terminal takes a matrix.
pub(crate) fn options() -> matrix::TerminalOptions {
    matrix::TerminalOptions { color: terminal::stdout_color(), width: terminal::width() }
}

#[cfg(test)]
mod tests {
    use sandproof_reports::{Axes, CaseResult, Cell, Harness, Run, Verdict};

    use super::*;

    fn part(directory: &Utf8Path, scenario: &str, evidence: &[&str]) -> Record {
        let mut result = CaseResult::new(scenario, "t", Verdict::Fail);
        result.evidence = evidence.iter().map(|file| (*file).to_owned()).collect();
        result.repro = format!("./sandproof repro 'shard#1/report.json#cell/{scenario}' --seed 7");
        for file in evidence.iter().filter(|file| !file.starts_with("..")) {
            fs_err::create_dir_all(directory.join(file).parent().unwrap()).unwrap();
            fs_err::write(directory.join(file), scenario).unwrap();
        }
        let mut cell = Cell::new("cell", "Cell", Axes::default());
        cell.results.push(result);
        let run = Run {
            id: "run".to_owned(),
            started_at: jiff::Timestamp::UNIX_EPOCH,
            finished_at: jiff::Timestamp::UNIX_EPOCH,
            profile: "pr".to_owned(),
            argv: Vec::new(),
            harness: Harness { version: "0".to_owned(), commit: None },
            subject: None,
            seed: None,
        };
        Record::new(run, vec![cell], false)
    }

    #[test]
    fn a_merged_report_has_the_evidence_of_its_parts_and_names_itself() {
        let scratch = tempfile::tempdir().unwrap();
        let scratch = Utf8Path::from_path(scratch.path()).unwrap();
        let (one, two, out) = (scratch.join("1"), scratch.join("2"), scratch.join("out"));
        let first = part(&one, "PS-01", &["evidence/cell/PS-01/events.json", "../secret"]);
        let second = part(&two, "PS-02", &["evidence/cell/PS-02/events.json"]);
        fs_err::write(scratch.join("secret"), "").unwrap();
        fs_err::create_dir_all(two.join("evidence/cell/cluster")).unwrap();
        fs_err::write(two.join("evidence/cell/cluster/kubelet.log"), "").unwrap();
        let mut merged = merge(&[first.clone(), second.clone()]).unwrap().record;
        gather(&mut merged, &[(&one, &first), (&two, &second)], &out).unwrap();
        let read = |file: &str| fs_err::read_to_string(out.join("evidence/cell").join(file)).unwrap();
        assert_eq!((read("PS-01/events.json").as_str(), read("PS-02/events.json").as_str()), ("PS-01", "PS-02"));
        assert_eq!(read("cluster/kubelet.log"), "");
        assert_eq!(out.read_dir_utf8().unwrap().count(), 1);
        assert_eq!(merged.cells[0].results[0].repro, format!("./sandproof repro '{out}#cell/PS-01' --seed 7"));
    }
}
