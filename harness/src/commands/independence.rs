//! Whether scenarios depend on what they say they do: `variesWith` against the results of a run.

use sandproof_reports::{CaseResult, Record, Verdict};
use sandproof_scenarios::ScenarioInstance;

use crate::plan::{Plan, PlannedCell, is_same};

/// One sentence for each result that differs between two cells which are the same to its scenario.
pub(super) fn contradictions(record: &Record, plan: &Plan) -> Vec<String> {
    plan.scenarios.iter().filter_map(|scenario| contradiction(record, plan, scenario)).collect()
}

fn contradiction(record: &Record, plan: &Plan, scenario: &ScenarioInstance) -> Option<String> {
    let axes = scenario.axes();
    let judged: Vec<(&PlannedCell, &CaseResult)> =
        plan.cells.iter().filter_map(|cell| Some((cell, result_of(record, cell, &scenario.key)?))).collect();
    judged.iter().enumerate().find_map(|(position, (cell, result))| {
        let (other, differs) = judged[..position]
            .iter()
            .find(|(other, earlier)| is_same(&axes, cell, other) && earlier.verdict != result.verdict)?;
        Some(format!(
            "{}: {} in {} and {} in {}, although its `variesWith` lists nothing in which these differ: mend the scenario, or find out why",
            scenario.key, differs.verdict, other.name, result.verdict, cell.name
        ))
    })
}

/// What a cell says of a result. An error is none of the subject's, and says nothing of what a result depends on.
fn result_of<'r>(record: &'r Record, cell: &PlannedCell, key: &str) -> Option<&'r CaseResult> {
    let results = &record.cells.iter().find(|run| run.id == cell.id)?.results;
    results.iter().find(|result| result.verdict != Verdict::Error && result.key() == key)
}
