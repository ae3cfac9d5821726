//! `plan` and `list`.

use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use sandproof_clusters::provider::Provider;
use sandproof_protocol::faults::FAULTS;
use sandproof_reports::ExitCode;
use serde_json::{Value, json};

use super::suite;
use crate::{
    cli::{GlobalArguments, ListArguments, ListSubject, PlanArguments},
    existing,
    failure::Failure,
    paths::Paths,
    plan::{self, Plan, PlannedCell, profile_name, release_name},
    provider_choice, provision, terminal,
};

/// `plan`.
pub(crate) async fn plan(arguments: &PlanArguments) -> Result<ExitCode, Failure> {
    let paths = Paths::find()?;
    let suite = suite::load(&paths, arguments.selection.suite.as_deref())?;
    let mut selection = arguments.selection.clone();
    let choice = provider_choice::settle(&mut selection, &paths)?;
    let pins = plan::load_pins(&paths)?;
    let plan = if choice.provider == Provider::Existing {
        let target = existing::find(&selection.existing).await?;
        Plan::for_existing(&selection, &pins, &suite, &target.survey)?
    } else {
        Plan::make(&selection, &pins, &suite)?
    };
    if arguments.json {
        let cells: Vec<Value> = plan
            .cells
            .iter()
            .enumerate()
            .map(|(position, cell)| {
                let scenarios: Vec<String> =
                    plan.scenarios_of(position).into_iter().map(|scenario| scenario.key).collect();
                json!({ "id": cell.id, "name": cell.name, "axes": cell.fields(), "scenarios": scenarios })
            })
            .collect();
        terminal::json(&json!({
            "profile": profile_name(plan.profile),
            "cells": cells,
            // What a CI system takes as its matrix.
            "matrix": { "cell": plan.cells.iter().map(|cell| cell.id.clone()).collect::<Vec<_>>() },
        }))?;
        return Ok(ExitCode::CONFORMANT);
    }
    let mut cells = table(["CELL", "KUBERNETES", "RUNTIME", "AGENT SANDBOX", "GATES", "RESULTS", "MARK"]);
    for (position, cell) in plan.cells.iter().enumerate() {
        cells.add_row([
            cell.id.clone(),
            cell.kubernetes.clone(),
            format!("{} {}", cell.runtime, cell.runtime_version),
            release_name(&cell.agent_sandbox),
            cell.gate_text(),
            plan.scenarios_of(position).len().to_string(),
            mark(cell),
        ]);
    }
    let mut scenarios = table(["SCENARIO", "TITLE"]);
    for scenario in &plan.scenarios {
        scenarios.add_row([scenario.key.clone(), scenario.title.clone()]);
    }
    terminal::result(&format!("{cells}\n\n{scenarios}"));
    if let Some(note) = elsewhere(&plan) {
        terminal::result(&format!("\n{note}"));
    }
    Ok(ExitCode::CONFORMANT)
}

/// What is said of results that are left out because another cell's cannot differ.
pub(crate) fn elsewhere(plan: &Plan) -> Option<String> {
    let (left_out, run) = (plan.judged_elsewhere(), plan.results());
    (left_out > 0).then(|| {
        format!(
            "{run} results are run; {left_out} more are left out, because the scenarios' `variesWith` says that they tell nothing new (--profile release runs them too)"
        )
    })
}

/// `list`.
pub(crate) fn list(global: &GlobalArguments, arguments: &ListArguments) -> Result<ExitCode, Failure> {
    let paths = Paths::find()?;
    match arguments.subject {
        ListSubject::Cells => cells(&paths, arguments.json)?,
        ListSubject::Scenarios => scenarios(&paths, arguments)?,
        ListSubject::Components => components(&paths, global, arguments.json)?,
        ListSubject::Faults => faults(arguments.json)?,
    }
    Ok(ExitCode::CONFORMANT)
}

/// The pinned components and what the cache has of them.
pub(crate) fn components(paths: &Paths, global: &GlobalArguments, json: bool) -> Result<(), Failure> {
    let store = provision::store(paths, &global.sources)?;
    let listed = store.list().map_err(|error| Failure::environment("list the components", error))?;
    if json {
        return terminal::json(&listed);
    }
    let mut rows = table(["COMPONENT", "VERSION", "CACHED", "SIZE", "SOURCE"]);
    for component in &listed {
        let size = component.size.map_or_else(String::new, |bytes| format!("{} MB", bytes / 1_000_000));
        rows.add_row([
            component.name.clone(),
            component.version.clone(),
            if component.cached { "yes" } else { "no" }.to_owned(),
            size,
            component.origin.clone().unwrap_or_default(),
        ]);
    }
    terminal::result(&rows.to_string());
    Ok(())
}

/// A table without lines, as people and `awk` like it.
pub(crate) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    table
}

fn cells(paths: &Paths, json: bool) -> Result<(), Failure> {
    let cells = plan::cells(&plan::load_pins(paths)?);
    if json {
        return terminal::json(&cells);
    }
    let mut rows = table(["CELL", "KUBERNETES", "RUNTIME", "AGENT SANDBOX", "WHY", "MARK"]);
    for cell in cells {
        let runtime = format!("{} {}", cell.runtime, cell.runtime_version);
        let mark = mark(&cell);
        rows.add_row([cell.id, cell.kubernetes, runtime, format!("v{}", cell.agent_sandbox), cell.why, mark]);
    }
    terminal::result(&rows.to_string());
    Ok(())
}

/// What a reader has to know of a cell before its results.
fn mark(cell: &PlannedCell) -> String {
    cell.skew.as_ref().map(|skew| format!("skew: {skew}")).unwrap_or_default()
}

fn scenarios(paths: &Paths, arguments: &ListArguments) -> Result<(), Failure> {
    let suite = suite::load(paths, arguments.suite.as_deref())?;
    if arguments.json {
        let all: Vec<Value> = suite.scenarios.iter().map(sandproof_scenarios::Scenario::fields).collect();
        return terminal::json(&all);
    }
    let mut rows = table(["SCENARIO", "RESULTS", "TAGS", "TITLE"]);
    for scenario in &suite.scenarios {
        rows.add_row([
            scenario.id.clone(),
            scenario.instances().len().to_string(),
            scenario.tags.join(","),
            scenario.title.clone(),
        ]);
    }
    terminal::result(&rows.to_string());
    Ok(())
}

fn faults(json: bool) -> Result<(), Failure> {
    if json {
        let all: Vec<Value> = FAULTS
            .iter()
            .map(|fault| {
                json!({
                    "name": fault.name,
                    "description": fault.description,
                    "promise": fault.promise,
                    "caughtBy": fault.caught_by,
                })
            })
            .collect();
        return terminal::json(&all);
    }
    let mut rows = table(["FAULT", "CAUGHT BY", "WHAT THE DRIVER DOES WRONG"]);
    for fault in FAULTS {
        rows.add_row([fault.name.to_owned(), fault.caught_by.join(","), fault.description.to_owned()]);
    }
    terminal::result(&rows.to_string());
    Ok(())
}
