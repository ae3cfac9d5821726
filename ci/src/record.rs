//! What a smoke run must have left: a record without gaps, with proof of every pull.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use camino::Utf8Path;
use sandproof_reports::{CaseResult, Cell, ExitCode, Record, SCHEMA, Verdict};
use sandproof_scenarios::{AwaitUntil, ScenarioInstance, Step};
use serde_json::Value;

use crate::suite;
use crate::tally::Tally;
use crate::workspace::Workspace;

/// What every cell goes through.
const PHASES: [&str; 6] = ["create", "install", "probe", "scenarios", "collect", "delete"];

pub(crate) fn check(workspace: &Workspace, path: &Utf8Path) -> Result<Tally> {
    let text = fs_err::read_to_string(path)?;
    let record: Record = serde_json::from_str(&text).with_context(|| format!("{path} is not a record"))?;
    let suite = suite::load(workspace)?;
    let smoke: Vec<ScenarioInstance> = suite
        .scenarios
        .iter()
        .flat_map(sandproof_scenarios::Scenario::instances)
        .filter(ScenarioInstance::is_smoke)
        .collect();
    let mut tally = Tally::default();
    check_run(&record, &mut tally);
    for cell in &record.cells {
        check_cell(cell, &mut tally);
        for instance in &smoke {
            let directory = path.parent().unwrap_or(Utf8Path::new("."));
            tally.add(format!("{}: {}", cell.name, instance.key), case_findings(cell, instance, directory));
        }
    }
    Ok(tally)
}

fn check_run(record: &Record, tally: &mut Tally) {
    tally.expect("the schema is the one of this version", record.schema == SCHEMA, || record.schema.clone());
    tally.expect("the summary counts the results", record.summary == record.summary(), || {
        format!("it says {:?}, the results say {:?}", record.summary, record.summary())
    });
    let earned = record.exit_code(record.was_interrupted());
    tally.expect("the exit code is the one that the results earn", record.exit_code == earned, || {
        format!("it is {}, the results earn {earned}", record.exit_code)
    });
    tally.expect("the run is conformant", record.exit_code == ExitCode::CONFORMANT, || record.exit_code.to_string());
    tally.expect("there is a cell", !record.cells.is_empty(), || "the record has none".to_owned());
}

fn check_cell(cell: &Cell, tally: &mut Tally) {
    tally.add(format!("{}: nothing is left behind", cell.name), cell.leftovers.clone());
    let found: BTreeSet<&str> = cell.phases.iter().map(|phase| phase.name.as_str()).collect();
    let missing = PHASES.iter().filter(|phase| !found.contains(*phase));
    tally.add(format!("{}: every phase has its time", cell.name), missing.map(|phase| format!("no {phase}")).collect());
    let wanted = Some(cell.axes.kubernetes.as_str());
    let reached = [("API server", &cell.observed.apiserver), ("kubelet", &cell.observed.kubelet)];
    let wrong = reached.iter().filter(|(_, version)| version.as_deref().map(without_v) != wanted);
    tally.add(
        format!("{}: the versions asked for were reached", cell.name),
        wrong.map(|(program, version)| format!("the {program} is {version:?}, asked for was {wanted:?}")).collect(),
    );
}

fn without_v(version: &str) -> &str {
    version.trim_start_matches('v')
}

fn case_findings(cell: &Cell, instance: &ScenarioInstance, directory: &Utf8Path) -> Vec<String> {
    let Some(result) = cell.results.iter().find(|result| is_of(result, instance)) else {
        return vec!["it has no result".to_owned()];
    };
    // Declared in the scenario itself, and said in the report: there is nothing that could be proven.
    if result.verdict == Verdict::Skipped && result.expected && instance.applies.is_some() && result.cause.is_some() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    if !result.verdict.was_judged() || !(result.verdict == Verdict::Pass || result.expected) {
        findings.push(format!("its verdict is {}", result.verdict));
    }
    if result.repro.is_empty() {
        findings.push("no command repeats it".to_owned());
    }
    if result.evidence.is_empty() {
        findings.push("it has no evidence".to_owned());
    }
    findings.extend(
        result.evidence.iter().filter(|file| !directory.join(file).exists()).map(|file| format!("{file} is missing")),
    );
    if result.verdict == Verdict::Pass && expects_a_pull(instance) && !pull_is_proven(result, directory) {
        findings.push("a sandbox ran, and the registry has no record of the pull in the evidence".to_owned());
    }
    findings
}

fn is_of(result: &CaseResult, instance: &ScenarioInstance) -> bool {
    result.scenario == instance.id && result.params == instance.parameters.clone().into_iter().collect()
}

/// Whether a sandbox with an image of the scenario's own must have run.
fn expects_a_pull(instance: &ScenarioInstance) -> bool {
    let pushes = instance.steps.iter().any(|step| matches!(step, Step::Image(_)));
    let runs = |step: &Step| matches!(step, Step::Await(wait) if wait.until == AwaitUntil::Running);
    pushes && instance.steps.iter().any(runs)
}

/// Whether the registry's record of a manifest that it handed out is among the evidence.
fn pull_is_proven(result: &CaseResult, directory: &Utf8Path) -> bool {
    result.evidence.iter().filter(|file| file.ends_with("/registry.json")).any(|file| {
        let text = fs_err::read_to_string(directory.join(file)).unwrap_or_default();
        serde_json::from_str(&text).is_ok_and(|requests| has_pulled_manifest(&requests))
    })
}

fn has_pulled_manifest(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().any(has_pulled_manifest),
        Value::Object(fields) => {
            let is_manifest = fields.get("kind").and_then(Value::as_str) == Some("manifest");
            let succeeded = fields.get("status").and_then(Value::as_u64) == Some(200);
            // The harness's own requests, by which it pushes images, come through no listener.
            let by_the_node = fields.get("listener").is_some_and(Value::is_string);
            (is_manifest && succeeded && by_the_node) || fields.values().any(has_pulled_manifest)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
