//! One record out of the records of several shards.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::{CaseResult, Cell, Params, Record, Subject, Verdict};

/// One record, and what the shards did not agree on.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// The record of all shards.
    pub record: Record,
    /// What they did not agree on. The record holds the worse of two results, and the first of two other values.
    pub conflicts: Vec<Conflict>,
}

/// Something that two shards say differently.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Conflict {
    /// Two shards judged the same result differently.
    Result {
        /// The cell's ID.
        cell: String,
        /// The scenario.
        scenario: String,
        /// The parameters.
        params: Params,
        /// The verdict that was kept: the worse.
        kept: Verdict,
        /// The verdict that was dropped.
        dropped: Verdict,
    },
    /// Two shards mean different things by the same cell ID.
    Cell {
        /// The cell's ID.
        cell: String,
        /// What differs: `axes` or `observed`.
        field: String,
    },
    /// The shards were made by different versions of the harness.
    Harness {
        /// The version that was kept: of the first shard.
        kept: String,
        /// Another version.
        found: String,
    },
}

impl fmt::Display for Conflict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Result { cell, scenario, params, kept, dropped } => {
                let label = if params.is_empty() {
                    scenario.clone()
                } else {
                    format!("{scenario} [{}]", crate::record::params_text(params))
                };
                write!(formatter, "{label} in {cell} was judged twice: kept {kept}, dropped {dropped}")
            }
            Self::Cell { cell, field } => write!(formatter, "cell {cell} has different {field} in two shards"),
            Self::Harness { kept, found } => {
                write!(formatter, "the shards were made by sandproof {kept} and sandproof {found}")
            }
        }
    }
}

/// Why records could not be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// There was nothing to merge.
    #[error("could not merge: no report was named; name the report.json of each shard")]
    Nothing,
    /// The records are of different profiles, so they are no shards of one run.
    #[error("could not merge reports of the profiles `{first}` and `{other}`: shards of one run have one profile")]
    Profiles {
        /// The profile of the first record.
        first: String,
        /// Another profile.
        other: String,
    },
    /// The records are of different subjects.
    #[error("could not merge reports of the subjects `{first}` and `{other}`: shards of one run have one subject")]
    Subjects {
        /// The subject of the first record.
        first: String,
        /// Another subject.
        other: String,
    },
}

/// Merges the records of the shards of one run.
///
/// Cells with the same ID become one: their results are joined, the times of their phases added.
/// A result that only one shard carried out is taken from it; a `not-run` gives way to any other verdict without conflict.
/// The run begins with the first shard and ends with the last, and is interrupted if one of them was.
pub fn merge(records: &[Record]) -> Result<Merged, MergeError> {
    let (first, others) = records.split_first().ok_or(MergeError::Nothing)?;
    let mut run = first.run.clone();
    let mut conflicts = Vec::new();
    let mut joined = Joined { strict: first.run.is_strict(), ..Joined::default() };
    joined.add(&first.cells, &mut conflicts);
    for other in others {
        if other.run.profile != run.profile {
            return Err(MergeError::Profiles { first: run.profile, other: other.run.profile.clone() });
        }
        if other.run.subject != run.subject {
            let name = |subject: &Option<Subject>| subject.as_ref().map_or("unknown".to_owned(), ToString::to_string);
            return Err(MergeError::Subjects { first: name(&run.subject), other: name(&other.run.subject) });
        }
        if other.run.harness != run.harness {
            let name = |record: &Record| {
                let harness = &record.run.harness;
                harness
                    .commit
                    .as_ref()
                    .map_or_else(|| harness.version.clone(), |commit| format!("{} ({commit})", harness.version))
            };
            conflicts.push(Conflict::Harness { kept: name(first), found: name(other) });
        }
        run.started_at = run.started_at.min(other.run.started_at);
        run.finished_at = run.finished_at.max(other.run.finished_at);
        // One seed orders one run: shards of several have none in common.
        run.seed = run.seed.filter(|seed| other.run.seed == Some(*seed));
        joined.add(&other.cells, &mut conflicts);
    }
    let interrupted = records.iter().any(Record::was_interrupted);
    Ok(Merged { record: Record::new(run, joined.cells, interrupted), conflicts })
}

/// Cells as they come together, with an index of their results.
#[derive(Default)]
struct Joined {
    /// Whether a flaky result counts against the run.
    strict: bool,
    cells: Vec<Cell>,
    positions: BTreeMap<String, usize>,
    results: BTreeMap<(usize, String, String), usize>,
}

impl Joined {
    fn add(&mut self, cells: &[Cell], conflicts: &mut Vec<Conflict>) {
        for cell in cells {
            let position = *self.positions.entry(cell.id.clone()).or_insert(self.cells.len());
            if position == self.cells.len() {
                self.cells.push(Cell { results: Vec::new(), ..cell.clone() });
            } else {
                join(&mut self.cells[position], cell, conflicts);
            }
            for result in &cell.results {
                self.add_result(position, result, conflicts);
            }
        }
    }

    fn add_result(&mut self, position: usize, result: &CaseResult, conflicts: &mut Vec<Conflict>) {
        let strict = self.strict;
        // What counts against the run is worse than what does not, whatever its name.
        let rank = |result: &CaseResult| (result.is_red(strict), result.verdict);
        let cell = &mut self.cells[position];
        let key = (position, result.scenario.clone(), result.params_text());
        let index = *self.results.entry(key).or_insert(cell.results.len());
        let Some(known) = cell.results.get_mut(index) else {
            cell.results.push(result.clone());
            return;
        };
        if known.verdict == Verdict::NotRun {
            *known = result.clone();
        } else if rank(known) != rank(result) && result.verdict != Verdict::NotRun {
            let dropped = if rank(result) > rank(known) {
                std::mem::replace(known, result.clone()).verdict
            } else {
                result.verdict
            };
            conflicts.push(Conflict::Result {
                cell: cell.id.clone(),
                scenario: result.scenario.clone(),
                params: result.params.clone(),
                kept: known.verdict,
                dropped,
            });
        }
    }
}

/// Joins everything but the results.
fn join(into: &mut Cell, from: &Cell, conflicts: &mut Vec<Conflict>) {
    let mut differs = |field: &str| conflicts.push(Conflict::Cell { cell: from.id.clone(), field: field.to_owned() });
    if into.axes != from.axes {
        differs("axes");
    }
    // A shard whose cluster was never reached has observed nothing.
    if into.observed == crate::Observed::default() {
        into.observed = from.observed.clone();
    } else if from.observed != crate::Observed::default() && into.observed != from.observed {
        differs("observed");
    }
    for phase in &from.phases {
        match into.phases.iter_mut().find(|known| known.name == phase.name) {
            Some(known) => known.seconds += phase.seconds,
            None => into.phases.push(phase.clone()),
        }
    }
    for leftover in &from.leftovers {
        if !into.leftovers.contains(leftover) {
            into.leftovers.push(leftover.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExitCode, Phase, fixture};

    fn shard(cell: &str, results: &[(&str, Verdict)]) -> Record {
        let mut cell = fixture::bare_cell(cell);
        cell.phases = vec![Phase::new("create", 2.0)];
        cell.results = results.iter().map(|(id, verdict)| CaseResult::new(*id, "", *verdict)).collect();
        Record::new(fixture::run(), vec![cell], false)
    }

    fn verdicts(record: &Record) -> Vec<(String, Verdict)> {
        record.results().map(|(cell, result)| (format!("{}/{}", cell.id, result.scenario), result.verdict)).collect()
    }

    #[test]
    fn shards_are_joined_by_cell() {
        let mut late = shard("a", &[("S-2", Verdict::Fail)]);
        late.run.finished_at = "2026-11-22T11:00:00Z".parse().unwrap();
        let merged =
            merge(&[shard("a", &[("S-1", Verdict::Pass)]), late, shard("b", &[("S-1", Verdict::Pass)])]).unwrap();
        assert_eq!(
            verdicts(&merged.record),
            [
                ("a/S-1".to_owned(), Verdict::Pass),
                ("a/S-2".to_owned(), Verdict::Fail),
                ("b/S-1".to_owned(), Verdict::Pass)
            ],
        );
        assert_eq!(merged.conflicts, []);
        assert_eq!(merged.record.cells[0].phases, [Phase::new("create", 4.0)]);
        assert_eq!(merged.record.run.finished_at.to_string(), "2026-11-22T11:00:00Z");
        assert_eq!(merged.record.exit_code, ExitCode::NONCONFORMANT);
        assert_eq!(merged.record.summary.total(), 3);
    }

    #[test]
    fn the_worse_of_two_verdicts_is_kept_and_told() {
        for order in [[Verdict::Pass, Verdict::Fail], [Verdict::Fail, Verdict::Pass]] {
            let shards = order.map(|verdict| shard("a", &[("S-1", verdict)]));
            let merged = merge(&shards).unwrap();
            assert_eq!(verdicts(&merged.record), [("a/S-1".to_owned(), Verdict::Fail)]);
            assert_eq!(
                merged.conflicts.iter().map(ToString::to_string).collect::<Vec<_>>(),
                ["S-1 in a was judged twice: kept fail, dropped pass"],
            );
        }
    }

    #[test]
    fn what_counts_against_the_run_is_worse_than_what_does_not() {
        let mut excused = shard("a", &[("S-1", Verdict::UnsupportedSilent)]);
        excused.cells[0].results[0].expected = true;
        let red = shard("a", &[("S-1", Verdict::UnexpectedPass)]);
        for shards in [[excused.clone(), red.clone()], [red, excused]] {
            let merged = merge(&shards).unwrap();
            assert_eq!(verdicts(&merged.record), [("a/S-1".to_owned(), Verdict::UnexpectedPass)]);
            assert_eq!(merged.conflicts.len(), 1);
        }
    }

    #[test]
    fn what_one_shard_did_not_run_the_other_did() {
        for order in [[Verdict::Pass, Verdict::NotRun], [Verdict::NotRun, Verdict::Pass]] {
            let merged = merge(&order.map(|verdict| shard("a", &[("S-1", verdict)]))).unwrap();
            assert_eq!(verdicts(&merged.record), [("a/S-1".to_owned(), Verdict::Pass)]);
            assert_eq!(merged.conflicts, []);
        }
    }

    #[test]
    fn cells_and_harnesses_that_differ_are_told() {
        let mut other = shard("a", &[("S-2", Verdict::Pass)]);
        other.cells[0].axes.kubernetes = "1.36.4".to_owned();
        other.run.harness.version = "0.2.0".to_owned();
        let merged = merge(&[shard("a", &[("S-1", Verdict::Pass)]), other]).unwrap();
        assert_eq!(
            merged.conflicts.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "the shards were made by sandproof 0.1.0 (0123abc) and sandproof 0.2.0 (0123abc)",
                "cell a has different axes in two shards",
            ],
        );
    }

    #[test]
    fn shards_have_a_seed_where_all_have_the_same() {
        let seeded = |cell: &str, seed: Option<u32>| {
            let mut shard = shard(cell, &[("S-1", Verdict::Pass)]);
            shard.run.seed = seed;
            shard
        };
        let merged = |other| merge(&[seeded("a", Some(7)), seeded("b", other)]).unwrap().record.run.seed;
        assert_eq!([merged(Some(7)), merged(Some(8)), merged(None)], [Some(7), None, None]);
    }

    #[test]
    fn an_interrupted_shard_interrupts_the_whole() {
        let mut shards = [shard("a", &[("S-1", Verdict::Pass)]), shard("a", &[("S-2", Verdict::NotRun)])];
        shards[1] = Record::new(shards[1].run.clone(), shards[1].cells.clone(), true);
        assert_eq!(merge(&shards).unwrap().record.exit_code, ExitCode::INTERRUPTED);
    }

    #[test]
    fn one_record_merges_to_itself_and_none_to_an_error() {
        let record = fixture::record();
        assert_eq!(merge(std::slice::from_ref(&record)).unwrap().record, record);
        assert_eq!(merge(&[]), Err(MergeError::Nothing));
        let mut other = record.clone();
        other.run.profile = "release".to_owned();
        assert!(merge(&[record, other]).unwrap_err().to_string().contains("`pr` and `release`"));
    }
}
