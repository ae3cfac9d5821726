//! What a run of `ci/leftover` must have found: the result that leaves something is red for that, and no other is.

use anyhow::Result;
use camino::Utf8Path;
use sandproof_reports::{ExitCode, Record, Verdict};

use crate::tally::Tally;

/// The scenario whose driver's chart leaves something.
const LEAVES: &str = "LO-01";

/// The rule that a cause names for it.
const RULE: &str = "leftover";

/// How the name of what is left ends; the template in `ci/leftover` gives it.
const NAME: &str = "-left-behind";

pub(crate) fn check(path: &Utf8Path) -> Result<Tally> {
    let record = Record::read(path)?;
    Ok(judge(&record))
}

fn judge(record: &Record) -> Tally {
    let mut tally = Tally::default();
    tally.expect(
        "a result that leaves something is nonconformant",
        record.exit_code == ExitCode::NONCONFORMANT,
        || format!("the exit code is {}", record.exit_code),
    );
    let found = record.results().find(|(_, result)| result.scenario == LEAVES).and_then(|(_, result)| {
        let cause = result.cause.as_ref().filter(|cause| result.verdict == Verdict::Fail && cause.rule == RULE)?;
        cause.chain.iter().find_map(|link| link.at.clone().filter(|at| at.ends_with(NAME)))
    });
    tally.expect(format!("{LEAVES} is red and its cause names what was left"), found.is_some(), || {
        format!("no result {LEAVES} fails with the cause `{RULE}` and something called …{NAME}")
    });
    let others = record.results().filter(|(_, result)| result.scenario != LEAVES && result.verdict != Verdict::Pass);
    tally.add(
        "no other result is red for it",
        others.map(|(_, result)| format!("{} is {}", result.key(), result.verdict)).collect(),
    );
    let leftovers = record.cells.iter().flat_map(|cell| cell.leftovers.clone());
    tally.add("the host is clean afterwards", leftovers.collect());
    tally
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use sandproof_reports::{Axes, CaseResult, Cause, Cell, ChainLink, Harness, Run};

    use super::*;

    fn record(rule: &str, object: &str, other: Verdict) -> Record {
        let mut cell = Cell::new("c", "c", Axes::default());
        let mut leaves = CaseResult::new(LEAVES, "t", Verdict::Fail);
        leaves.cause =
            Some(Cause::new(rule, "left behind").link(ChainLink::new("cluster", "nothing deletes it").at(object)));
        cell.results = vec![leaves, CaseResult::new("LO-02", "t", other)];
        let run = Run {
            id: "1".to_owned(),
            started_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            finished_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            profile: "smoke".to_owned(),
            argv: Vec::new(),
            harness: Harness { version: "0.1.0".to_owned(), commit: None },
            subject: None,
            seed: None,
        };
        Record::new(run, vec![cell], false)
    }

    #[rstest]
    #[case::found(RULE, "ClusterRole lo-01-0-left-behind", Verdict::Pass, 0)]
    #[case::another_cause("check-failed", "ClusterRole lo-01-0-left-behind", Verdict::Pass, 1)]
    #[case::another_object(RULE, "Namespace lo-01-0", Verdict::Pass, 1)]
    #[case::blamed_on_the_other(RULE, "ClusterRole lo-01-0-left-behind", Verdict::Fail, 1)]
    fn what_was_found_is_judged(
        #[case] rule: &str,
        #[case] object: &str,
        #[case] other: Verdict,
        #[case] findings: usize,
    ) {
        assert_eq!(judge(&record(rule, object, other)).findings().len(), findings);
    }
}
