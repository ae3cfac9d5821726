//! What a run says about the suite: expectations that are over or that nothing needs any more, and scenarios that depend on more than they say.

use sandproof_clusters::{components::Pins, provider::Provider};
use sandproof_reports::{Cell, Record};
use sandproof_scenarios::{Expectations, Facts, Suite};
use serde_json::json;

use super::independence;
use crate::{
    plan::{self, Plan, PlannedCell},
    runner::facts_of,
};

/// One sentence for each row and each scenario that a person should look at.
pub(super) fn warnings(
    record: &Record,
    plan: &Plan,
    suite: &Suite,
    expectations: &Expectations,
    pins: &Pins,
) -> Vec<String> {
    let (probed, unknown): (Vec<&Cell>, Vec<&Cell>) =
        record.cells.iter().partition(|cell| cell.observed.apiserver.is_some());
    let clusters: Vec<Facts> = probed.iter().map(|cell| facts_of(&record.run, cell)).collect();
    let mut warnings = Vec::new();
    // Where an expired row is red, its result says so.
    if !record.run.is_strict() {
        for (place, row) in expectations.relied_on_though_expired(suite, &clusters) {
            let until = row.expires.map(|date| date.to_string()).unwrap_or_default();
            warnings.push(format!(
                "{place}: the expectation for {} ended on {until}; it is red in the profile release: mend it, or say until when it holds",
                row.scenario
            ));
        }
    }
    if !record.was_interrupted() && is_full(plan, suite) {
        let ids = |cells: &[&Cell]| cells.iter().map(|cell| cell.id.clone()).collect::<Vec<_>>();
        let elsewhere = elsewhere(&ids(&probed), &ids(&unknown), pins, record);
        warnings.extend(expectations.dead(suite, &clusters, &elsewhere).into_iter().map(|row| {
            format!(
                "{}: no result needed the expectation for {}, and no other cell can: remove it",
                row.place, row.expectation.scenario
            )
        }));
    }
    warnings.extend(independence::contradictions(record, plan));
    warnings
}

/// Whether every result of the suite was to be run in every cell.
fn is_full(plan: &Plan, suite: &Suite) -> bool {
    plan.shard.is_none()
        && suite.instances().all(|instance| plan.scenarios.iter().any(|planned| planned.key == instance.key))
}

/// What is known of the cells that were not probed: those of the pins beside the run's, and those that broke down.
fn elsewhere(probed: &[String], unknown: &[String], pins: &Pins, record: &Record) -> Vec<Facts> {
    let cells = plan::cells(pins);
    let planned = cells.iter().filter(|cell| !probed.contains(&cell.id)).map(known);
    // A cell that was put together on the command line is none of the pins': of it nothing is known.
    let strange = unknown.iter().filter(|id| cells.iter().all(|cell| cell.id != **id)).map(|_| Facts::default());
    // A cluster that is already there can be of any kind.
    let is_existing = record.cells.iter().any(|cell| cell.axes.provider == Provider::Existing.name());
    let existing = (!is_existing).then(|| Facts::new(json!({ "provider": Provider::Existing.name() })));
    planned.chain(strange).chain(existing).collect()
}

/// What is known of a cell before it is made.
fn known(cell: &PlannedCell) -> Facts {
    let kubelet = cell.effective_kubelet_gates();
    let of_both = |gate: &str| match (cell.effective_gates.get(gate), kubelet.get(gate)) {
        (Some(one), Some(other)) => json!(*one && *other),
        _ => json!(null),
    };
    Facts::new(json!({
        "kubernetes": cell.kubernetes,
        "runtime": { "name": cell.runtime, "version": cell.runtime_version },
        "agentSandbox": { "release": cell.agent_sandbox },
        "gates": { "ImageVolume": of_both("ImageVolume") },
        "provider": cell.provider.name(),
    }))
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;
    use rstest::rstest;
    use sandproof_reports::{Harness, Run, Subject};
    use sandproof_scenarios::Expiry;

    use super::*;
    use crate::{cli::SelectionArguments, commands::suite::shipped};

    fn home() -> Utf8PathBuf {
        Utf8PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    /// A run of everything, or of one scenario, on the newest native cell with CRI-O, on which image volumes work.
    fn reviewed(rows: &str, scenario: Option<&str>, profile: &str, probed: bool) -> Vec<String> {
        let (suite, pins) = (shipped(), Pins::load(home().join("clusters/pins.yaml")).unwrap());
        let selection = SelectionArguments {
            cell: Some("k1.36-crio1.36-native".to_owned()),
            scenario: scenario.map_or_else(|| Some("id ~ \"\"".to_owned()), |id| Some(id.to_owned())),
            ..SelectionArguments::default()
        };
        let plan = Plan::make(&selection, &pins, &suite).unwrap();
        let planned = &plan.cells[0];
        let mut cell = Cell::new(&planned.id, &planned.name, planned.axes());
        if probed {
            cell.observed.apiserver = Some(planned.kubernetes.clone());
            cell.observed.runtime = Some(format!("{} {}", planned.runtime, planned.runtime_version));
            cell.observed.capabilities.insert("imageVolume".to_owned(), "works".to_owned());
        }
        let at = jiff::Timestamp::UNIX_EPOCH;
        let run = Run {
            id: "1".to_owned(),
            started_at: at,
            finished_at: at,
            profile: profile.to_owned(),
            argv: Vec::new(),
            harness: Harness { version: "0.1.0".to_owned(), commit: None },
            subject: Some(Subject { profile: "reference".to_owned(), ..Subject::default() }),
            seed: None,
        };
        let record = Record::new(run, vec![cell], false);
        let text = format!("expectations:\n  - {rows}\n");
        let rows = Expectations::parse(&text, "rows.yaml".into(), &suite, jiff::civil::date(2026, 11, 1)).unwrap();
        warnings(&record, &plan, &suite, &rows.with_expiry(Expiry::Warns), &pins)
    }

    const NOWHERE: &str = "{scenario: PS-01, when: kubernetes < 1.20, verdict: skipped, reason: r}";
    const OLDER: &str = "{scenario: PS-01, when: kubernetes < 1.35, verdict: skipped, reason: r}";
    const KIND: &str = "{scenario: PS-01, when: provider == kind, verdict: skipped, reason: r}";
    const EXISTING: &str = "{scenario: PS-01, when: provider == existing, verdict: skipped, reason: r}";
    const OVER: &str = "{scenario: PS-01, verdict: known-gap, reason: r, expires: 2026-10-31}";

    #[rstest]
    #[case::dead(NOWHERE, None, "full", true, &["rows.yaml:2: no result needed the expectation for PS-01"])]
    #[case::of_an_older_cell(OLDER, None, "full", true, &[])]
    #[case::of_another_provider(KIND, None, "full", true, &[])]
    #[case::of_existing_clusters(EXISTING, None, "full", true, &[])]
    #[case::a_part_of_the_suite(NOWHERE, Some("PS-01"), "full", true, &[])]
    #[case::expired(OVER, None, "full", true, &["rows.yaml:2: the expectation for PS-01 ended on 2026-10-31"])]
    #[case::expired_and_red(OVER, None, "release", true, &[])]
    #[case::never_probed(OVER, None, "full", false, &[])]
    fn what_a_run_says_about_the_rows(
        #[case] rows: &str,
        #[case] scenario: Option<&str>,
        #[case] profile: &str,
        #[case] probed: bool,
        #[case] expected: &[&str],
    ) {
        let said = reviewed(rows, scenario, profile, probed);
        assert_eq!(said.len(), expected.len(), "{said:?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.starts_with(expected), "{said}");
        }
    }
}
