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

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use sandproof_reports::{Axes, Cell, Harness, Run};

    use super::*;
    use crate::{
        cli::{Profile, SelectionArguments},
        plan::tests::plan,
    };

    #[rstest]
    #[case::of_kubernetes_alone("RB-01", Verdict::Fail, 1)]
    #[case::the_same("RB-01", Verdict::Pass, 0)]
    #[case::of_the_runtime_too("PS-05", Verdict::Fail, 0)]
    #[case::an_error_says_nothing("RB-01", Verdict::Error, 0)]
    fn two_runtimes_that_disagree_contradict_a_scenario_that_does_not_vary_with_them(
        #[case] scenario: &str,
        #[case] second: Verdict,
        #[case] contradictions: usize,
    ) {
        let cell = Some("kubernetes==1.36 && runtime==containerd".to_owned());
        let selection = SelectionArguments { cell, profile: Profile::Full, ..SelectionArguments::default() };
        let plan = plan(&selection).unwrap();
        let verdicts = [Verdict::Pass, second];
        let cells = plan.cells.iter().zip(verdicts).map(|(planned, verdict)| {
            let mut cell = Cell::new(&planned.id, &planned.name, Axes::default());
            cell.results.push(CaseResult::new(scenario, "", verdict));
            cell
        });
        let run = Run {
            id: "20260101-000000-1a2b".to_owned(),
            started_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            finished_at: "2026-01-01T00:00:01Z".parse().unwrap(),
            profile: "full".to_owned(),
            argv: Vec::new(),
            harness: Harness { version: "0.1.0".to_owned(), commit: None },
            subject: None,
            seed: None,
        };
        let record = Record::new(run, cells.collect(), false);
        let found = super::contradictions(&record, &plan);
        assert_eq!(found.len(), contradictions, "{found:?}");
        if let [sentence] = found.as_slice() {
            assert!(sentence.starts_with("RB-01: pass in Kubernetes 1.36 · containerd 2.2"), "{sentence}");
        }
    }
}
