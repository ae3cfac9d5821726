//! `report`: everything shown is rendered from the record alone, so it can be rendered again, merged and compared.

use camino::Utf8Path;
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
            let merged = merge(&records)
                .map_err(|error| Failure::usage(error.to_string(), "name the reports of the shards of one run"))?;
            fs_err::create_dir_all(&out)
                .map_err(|error| Failure::environment(format!("make the directory {out}"), error))?;
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
            Ok(if difference.is_worse() { ExitCode::NONCONFORMANT } else { ExitCode::CONFORMANT })
        }
        ReportCommand::History { reports } => {
            let records = reports.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
            terminal::result(&history(&records).to_string());
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

/// What changed since a baseline, as text.
pub(crate) fn difference(baseline: &Record, record: &Record) -> String {
    format!("since the baseline:\n{}", diff(baseline, record))
}

/// How this terminal takes a matrix.
pub(crate) fn options() -> matrix::TerminalOptions {
    matrix::TerminalOptions { color: terminal::stdout_color(), width: terminal::width() }
}
