//! What changed from one record to another.
//!
//! Results are matched by cell ID, scenario and parameters.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::record::params_text;
use crate::{CaseResult, Cause, Params, Record, Verdict, text};

/// What changed from an old record to a new one. Every list is in the order of the new record, then of the old.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    /// Red now, and not red before.
    pub regressed: Vec<Change>,
    /// Red before, and not red now.
    pub fixed: Vec<Change>,
    /// One of the two records has no judgement on it (`error`, `not-run`), and the other one has.
    pub unjudged: Vec<Change>,
    /// Red before and now, with another verdict or for another cause.
    pub changed_cause: Vec<Change>,
    /// Not red before nor now, with another verdict.
    pub changed_verdict: Vec<Change>,
    /// Results that the old record does not have.
    pub new: Vec<Change>,
    /// Results that the new record does not have.
    pub gone: Vec<Change>,
}

/// One result in two records.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The cell's ID.
    pub cell: String,
    /// The scenario.
    pub scenario: String,
    /// The parameters.
    pub params: Params,
    /// What the old record says; `None` for a new result.
    pub old: Option<Side>,
    /// What the new record says; `None` for a result that is gone.
    pub new: Option<Side>,
}

/// What one record says of a result.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    /// The verdict.
    pub verdict: Verdict,
    /// Whether it counts against that run.
    pub red: bool,
    /// The cause.
    pub cause: Option<Cause>,
}

type Key<'r> = (&'r str, &'r str, String);

/// Compares two records.
///
/// Causes are compared by rule and summary; names with digits in them, such as those of pods, do not count.
pub fn diff(old: &Record, new: &Record) -> Diff {
    let mut diff = Diff::default();
    let mut before = index(old);
    for (cell, result) in new.results() {
        let new_side = Side::of(result, new);
        let old_side = before.remove(&key(&cell.id, result)).map(|(_, result)| Side::of(result, old));
        let list = match &old_side {
            None => &mut diff.new,
            // What was not judged is neither better nor worse.
            Some(old_side) if old_side.verdict.leaves_open() != new_side.verdict.leaves_open() => &mut diff.unjudged,
            Some(old_side) => match (old_side.red, new_side.red) {
                (false, true) => &mut diff.regressed,
                (true, false) => &mut diff.fixed,
                (true, true) if !old_side.is_alike(&new_side) => &mut diff.changed_cause,
                (false, false) if old_side.verdict != new_side.verdict => &mut diff.changed_verdict,
                _ => continue,
            },
        };
        list.push(Change::of(&cell.id, result, old_side, Some(new_side)));
    }
    let mut gone: Vec<_> = before.into_iter().collect();
    gone.sort_by_key(|(_, (position, _))| *position);
    diff.gone.extend(
        gone.into_iter().map(|((cell, ..), (_, result))| Change::of(cell, result, Some(Side::of(result, old)), None)),
    );
    diff
}

fn index(record: &Record) -> BTreeMap<Key<'_>, (usize, &CaseResult)> {
    record.results().enumerate().map(|(position, (cell, result))| (key(&cell.id, result), (position, result))).collect()
}

fn key<'r>(cell: &'r str, result: &'r CaseResult) -> Key<'r> {
    (cell, &result.scenario, result.params_text())
}

impl Diff {
    /// Whether the new record is worse: something regressed, or something new is red.
    pub fn is_worse(&self) -> bool {
        let is_red = |side: &Side| side.red && !side.verdict.leaves_open();
        !self.regressed.is_empty() || self.new.iter().any(|change| change.new.as_ref().is_some_and(is_red))
    }

    /// Whether the new record leaves open whether it is worse: it does not judge what the old one judged, or what is new.
    pub fn is_open(&self) -> bool {
        let mut changes = self.unjudged.iter().chain(&self.new);
        changes.any(|change| change.new.as_ref().is_some_and(|side| side.verdict.leaves_open()))
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.lists().iter().all(|(_, list)| list.is_empty())
    }

    fn lists(&self) -> [(&'static str, &[Change]); 7] {
        [
            ("regressed", &self.regressed),
            ("fixed", &self.fixed),
            ("not judged", &self.unjudged),
            ("red with another cause", &self.changed_cause),
            ("another verdict", &self.changed_verdict),
            ("new", &self.new),
            ("gone", &self.gone),
        ]
    }
}

impl Change {
    fn of(cell: &str, result: &CaseResult, old: Option<Side>, new: Option<Side>) -> Self {
        Self { cell: cell.to_owned(), scenario: result.scenario.clone(), params: result.params.clone(), old, new }
    }
}

impl Side {
    fn of(result: &CaseResult, record: &Record) -> Self {
        Self { verdict: result.verdict, red: result.is_red(record.run.is_strict()), cause: result.cause.clone() }
    }

    fn is_alike(&self, other: &Self) -> bool {
        let print =
            |side: &Self| side.cause.as_ref().map(|cause| (cause.rule.clone(), text::fingerprint(&cause.summary)));
        self.verdict == other.verdict && print(self) == print(other)
    }
}

/// As `PS-05 [registry=plain] in k1.36-crio-native: pass → fail: the cause`.
impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = self.scenario.clone();
        if !self.params.is_empty() {
            line = format!("{line} [{}]", params_text(&self.params));
        }
        line = format!("{line} in {}: ", self.cell);
        let word = |side: &Side| side.verdict.name();
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => line = format!("{line}{} → {}", word(old), word(new)),
            (Some(side), None) => line = format!("{line}was {}", word(side)),
            (None, Some(side)) => line.push_str(word(side)),
            (None, None) => {}
        }
        if let Some(cause) = self.new.as_ref().filter(|side| side.red).and_then(|side| side.cause.as_ref()) {
            line = format!("{line}: {}", cause.summary);
        }
        formatter.write_str(&text::single_line(&line))
    }
}

/// Plain text, one heading for each list that is not empty.
impl fmt::Display for Diff {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return formatter.write_str("nothing changed\n");
        }
        for (heading, list) in self.lists() {
            if list.is_empty() {
                continue;
            }
            writeln!(formatter, "{heading} ({})", list.len())?;
            for change in list {
                writeln!(formatter, "  {change}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn with(results: &[(&str, Verdict, Option<&str>)]) -> Record {
        let mut cell = fixture::bare_cell("cell");
        for (scenario, verdict, cause) in results {
            let mut result = CaseResult::new(*scenario, "", *verdict);
            result.cause = cause.map(|summary| Cause::new("rule", summary));
            cell.results.push(result);
        }
        Record::new(fixture::run(), vec![cell], false)
    }

    #[test]
    fn every_kind_of_change_is_told() {
        let old = with(&[
            ("A", Verdict::Pass, None),
            ("B", Verdict::Fail, Some("pod a1 got 401")),
            ("C", Verdict::Fail, Some("pod a1 got nothing")),
            ("D", Verdict::Fail, Some("pod a1 got 401")),
            ("E", Verdict::Pass, None),
            ("F", Verdict::Pass, None),
            ("G", Verdict::Fail, None),
        ]);
        let new = with(&[
            ("A", Verdict::Fail, Some("broken")),
            ("B", Verdict::Pass, None),
            ("C", Verdict::Fail, Some("pod b2 got lost")),
            ("D", Verdict::Fail, Some("pod b2 got 403")),
            ("E", Verdict::Flaky, None),
            ("H", Verdict::Fail, Some("never\nworked")),
            ("G", Verdict::Fail, None),
        ]);
        let diff = diff(&old, &new);
        insta::assert_snapshot!(diff.to_string(), @r"
        regressed (1)
          A in cell: pass → fail: broken
        fixed (1)
          B in cell: fail → pass
        red with another cause (1)
          C in cell: fail → fail: pod b2 got lost
        another verdict (1)
          E in cell: pass → flaky
        new (1)
          H in cell: fail: never worked
        gone (1)
          F in cell: was pass
        ");
        assert!(diff.is_worse());
    }

    #[test]
    fn what_was_not_judged_is_neither_fixed_nor_worse() {
        let old = with(&[
            ("A", Verdict::Fail, None),
            ("B", Verdict::Pass, None),
            ("C", Verdict::Error, Some("no cluster")),
            ("D", Verdict::NotRun, None),
        ]);
        let new = with(&[
            ("A", Verdict::NotRun, None),
            ("B", Verdict::Error, Some("no cluster")),
            ("C", Verdict::Pass, None),
            ("D", Verdict::NotRun, None),
        ]);
        let changed = diff(&old, &new);
        insta::assert_snapshot!(changed.to_string(), @r"
        not judged (3)
          A in cell: fail → not-run
          B in cell: pass → error: no cluster
          C in cell: error → pass
        ");
        assert!(!changed.is_worse() && changed.is_open());
        assert!(!diff(&new, &old).is_worse() && diff(&new, &old).is_open());
        let judged = with(&[("A", Verdict::Fail, None)]);
        assert!(!diff(&judged, &judged).is_open());
    }

    #[test]
    fn a_record_does_not_differ_from_itself() {
        let record = fixture::record();
        let diff = diff(&record, &record);
        assert!(diff.is_empty() && !diff.is_worse());
        assert_eq!(diff.to_string(), "nothing changed\n");
    }
}
