//! How each result went over several runs.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::record::params_text;
use crate::{Params, Record, Verdict, text};

/// How each result went over several runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// The runs, the oldest first.
    pub runs: Vec<RunStamp>,
    /// One line for each result that any of the runs has, sorted by cell, scenario and parameters.
    pub lines: Vec<Line>,
}

/// Which run it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunStamp {
    /// The run's ID.
    pub id: String,
    /// When it began.
    pub started_at: Timestamp,
}

/// One result over all runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// The cell's ID.
    pub cell: String,
    /// The scenario.
    pub scenario: String,
    /// The parameters.
    pub params: Params,
    /// The verdict in each run, the oldest first; `None` where a run does not have the result.
    pub verdicts: Vec<Option<Verdict>>,
    /// How often the verdict changed from one run that has the result to the next that has it.
    pub changes: usize,
}

/// Arranges the results of several runs by time, whatever the order of the records.
pub fn history(records: &[Record]) -> History {
    let mut ordered: Vec<&Record> = records.iter().collect();
    ordered.sort_by_key(|record| record.run.started_at);
    let mut lines: BTreeMap<(&str, &str, String), Line> = BTreeMap::new();
    for (position, record) in ordered.iter().enumerate() {
        for (cell, result) in record.results() {
            let key = (cell.id.as_str(), result.scenario.as_str(), result.params_text());
            let line = lines.entry(key).or_insert_with(|| Line {
                cell: cell.id.clone(),
                scenario: result.scenario.clone(),
                params: result.params.clone(),
                verdicts: vec![None; ordered.len()],
                changes: 0,
            });
            line.verdicts[position] = Some(result.verdict);
        }
    }
    let mut lines: Vec<Line> = lines.into_values().collect();
    for line in &mut lines {
        let known: Vec<Verdict> = line.verdicts.iter().copied().flatten().collect();
        line.changes = known.windows(2).filter(|pair| pair[0] != pair[1]).count();
    }
    let runs = ordered
        .iter()
        .map(|record| RunStamp { id: record.run.id.clone(), started_at: record.run.started_at })
        .collect();
    History { runs, lines }
}

/// Plain text: the runs, then the results that were not the same in all of them, those that changed most often first.
impl fmt::Display for History {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, run) in self.runs.iter().enumerate() {
            writeln!(formatter, "{:>3}  {}  {}", index + 1, run.started_at, text::single_line(&run.id))?;
        }
        let same = |line: &&Line| line.changes == 0 && line.verdicts.iter().all(Option::is_some);
        let steady = self.lines.iter().filter(same).count();
        let mut moving: Vec<&Line> = self.lines.iter().filter(|line| !same(line)).collect();
        moving.sort_by_key(|line| std::cmp::Reverse(line.changes));
        for line in moving {
            let mut label = line.scenario.clone();
            if !line.params.is_empty() {
                label = format!("{label} [{}]", params_text(&line.params));
            }
            let verdicts: Vec<&str> =
                line.verdicts.iter().map(|verdict| verdict.map_or("absent", Verdict::name)).collect();
            writeln!(
                formatter,
                "{} in {}: {}",
                text::single_line(&label),
                text::single_line(&line.cell),
                verdicts.join(" → "),
            )?;
        }
        writeln!(formatter, "{steady} of {} results were the same in all runs", self.lines.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CaseResult, fixture};

    fn at(day: u8, results: &[(&str, Verdict)]) -> Record {
        let mut cell = fixture::bare_cell("cell");
        cell.results = results.iter().map(|(id, verdict)| CaseResult::new(*id, "", *verdict)).collect();
        let mut run = fixture::run();
        run.id = format!("run-{day}");
        run.started_at = format!("2026-11-{day:02}T00:00:00Z").parse().unwrap();
        Record::new(run, vec![cell], false)
    }

    #[test]
    fn runs_are_ordered_by_time_and_changes_counted() {
        let history = history(&[
            at(3, &[("A", Verdict::Pass), ("B", Verdict::Pass), ("C", Verdict::Fail)]),
            at(1, &[("A", Verdict::Pass), ("B", Verdict::Pass)]),
            at(2, &[("A", Verdict::Fail), ("B", Verdict::Pass), ("C", Verdict::Fail)]),
        ]);
        insta::assert_snapshot!(history.to_string(), @r"
          1  2026-11-01T00:00:00Z  run-1
          2  2026-11-02T00:00:00Z  run-2
          3  2026-11-03T00:00:00Z  run-3
        A in cell: pass → fail → pass
        C in cell: absent → fail → fail
        1 of 3 results were the same in all runs
        ");
        assert_eq!(history.lines.iter().map(|line| line.changes).collect::<Vec<_>>(), [2, 0, 0]);
    }
}
