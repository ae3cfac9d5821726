//! The compatibility matrix: scenarios by cells.
//!
//! All renderings show this one arrangement, so they cannot disagree.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::{CaseResult, Cell, Record, Verdict, text};

/// The results of a record, arranged as scenarios by cells.
#[derive(Debug)]
pub struct Matrix<'r> {
    /// The columns, in the order of the record.
    pub cells: &'r [Cell],
    /// The rows, sorted by scenario; numbers in an ID count as numbers.
    pub rows: Vec<Row<'r>>,
}

/// One scenario in all cells.
#[derive(Debug)]
pub struct Row<'r> {
    /// The scenario's catalogue ID.
    pub scenario: &'r str,
    /// The scenario's title.
    pub title: &'r str,
    /// One entry for each cell; `None` where the scenario was not planned in it.
    pub entries: Vec<Option<Entry<'r>>>,
}

/// One scenario in one cell: all its parameters collapsed to the worst verdict.
#[derive(Debug)]
pub struct Entry<'r> {
    /// The results, one for each set of parameters, in the order of the record. Never empty.
    pub results: Vec<&'r CaseResult>,
    /// The worst verdict: one that counts against the run before one that does not, then by severity.
    pub verdict: Verdict,
    /// Whether that verdict counts against the run.
    pub red: bool,
}

impl<'r> Matrix<'r> {
    /// Arranges the results of a record.
    pub fn of(record: &'r Record) -> Self {
        let strict = record.run.is_strict();
        let mut rows: BTreeMap<RowOrder<'r>, Row<'r>> = BTreeMap::new();
        for (column, cell) in record.cells.iter().enumerate() {
            for result in &cell.results {
                let row = rows.entry(RowOrder::of(&result.scenario)).or_insert_with(|| Row {
                    scenario: &result.scenario,
                    title: &result.title,
                    entries: record.cells.iter().map(|_| None).collect(),
                });
                match &mut row.entries[column] {
                    Some(entry) => entry.add(result, strict),
                    empty => *empty = Some(Entry::of(result, strict)),
                }
            }
        }
        Self { cells: &record.cells, rows: rows.into_values().collect() }
    }
}

impl<'r> Entry<'r> {
    fn of(result: &'r CaseResult, strict: bool) -> Self {
        Self { results: vec![result], verdict: result.verdict, red: result.is_red(strict) }
    }

    fn add(&mut self, result: &'r CaseResult, strict: bool) {
        self.results.push(result);
        (self.red, self.verdict) = (self.red, self.verdict).max((result.is_red(strict), result.verdict));
    }

    /// How many of the results have the verdict of the entry.
    pub fn count(&self) -> usize {
        self.results.iter().filter(|result| result.verdict == self.verdict).count()
    }

    /// What makes the entry differ from what its verdict alone says: `expected`, or `not declared`.
    pub fn note(&self) -> Option<&'static str> {
        match (self.verdict.is_red(), self.red, self.verdict) {
            (true, false, _) => Some("expected"),
            (false, true, Verdict::Flaky) => None,
            (false, true, _) => Some("not declared"),
            _ => None,
        }
    }
}

/// As `pass`, `pass 3/3`, `fail 1/3` or `unsupported-silent (expected)`.
impl fmt::Display for Entry<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.verdict.name())?;
        if self.results.len() > 1 {
            write!(formatter, " {}/{}", self.count(), self.results.len())?;
        }
        match self.note() {
            Some(note) => write!(formatter, " ({note})"),
            None => Ok(()),
        }
    }
}

/// Sorts `PS-9` before `PS-10`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RowOrder<'r> {
    prefix: &'r str,
    number: u64,
    whole: &'r str,
}

impl<'r> RowOrder<'r> {
    fn of(scenario: &'r str) -> Self {
        let prefix = scenario.trim_end_matches(|character: char| character.is_ascii_digit());
        // A number too long to count sorts last and then as text.
        let number = scenario[prefix.len()..].parse().unwrap_or(u64::MAX);
        Self { prefix, number, whole: scenario }
    }
}

/// Results with the same scenario, parameters, verdict and cause, whatever the cell. Where a scenario was not judged at
/// all, the reason is nothing of its own: then those with one reason are one finding, whatever the scenario.
#[derive(Debug)]
pub struct Finding<'r> {
    /// The results with their cells, in the order of the record. Never empty.
    pub results: Vec<(&'r Cell, &'r CaseResult)>,
}

impl<'r> Finding<'r> {
    /// What counts against the run: the gravest verdict first, then by scenario.
    pub fn red(record: &'r Record) -> Vec<Self> {
        Self::group(record.red_results())
    }

    /// What is no pass and does not count against the run: gaps, refusals and omissions that were declared, and retries.
    pub fn declared(record: &'r Record) -> Vec<Self> {
        let strict = record.run.is_strict();
        Self::group(record.results().filter(|(_, result)| result.verdict != Verdict::Pass && !result.is_red(strict)))
    }

    fn group(results: impl Iterator<Item = (&'r Cell, &'r CaseResult)>) -> Vec<Self> {
        let mut findings: BTreeMap<_, Self> = BTreeMap::new();
        for (cell, result) in results {
            let cause = result.cause.as_ref().map(|cause| (&cause.rule, text::fingerprint(&cause.summary)));
            let judged = !result.verdict.leaves_open() && result.verdict != Verdict::Skipped;
            let own = (judged || cause.is_none()).then(|| (RowOrder::of(&result.scenario), result.params_text()));
            let key = (std::cmp::Reverse(result.verdict), own, cause);
            findings.entry(key).or_insert_with(|| Self { results: Vec::new() }).results.push((cell, result));
        }
        findings.into_values().collect()
    }

    /// The reason on one line: the summary of the cause, or what the verdict means.
    pub fn reason(&self) -> String {
        let result = self.example();
        match &result.cause {
            Some(cause) => text::single_line(&cause.summary),
            None => result.verdict.meaning().to_owned(),
        }
    }

    /// The result that stands for all: the first.
    pub fn example(&self) -> &'r CaseResult {
        self.results[0].1
    }

    /// What it is about, on one line: the scenario with its parameters, or the first one and how many more.
    pub fn label(&self) -> String {
        let first = self.example().label();
        let others: BTreeSet<String> =
            self.results.iter().map(|(_, result)| result.label()).filter(|label| *label != first).collect();
        match others.len() {
            0 => first,
            more => format!("{first} and {more} more"),
        }
    }

    /// The title of the scenario, where it is about one alone.
    pub fn title(&self) -> Option<&'r str> {
        let first = self.example();
        self.results.iter().all(|(_, result)| result.scenario == first.scenario).then_some(first.title.as_str())
    }

    /// The names of the cells, on one line; more than `limit` are counted instead of named.
    pub fn cells_text(&self, limit: usize) -> String {
        // The results of a cell follow one another, as in the record.
        let mut names: Vec<String> = self.results.iter().map(|(cell, _)| text::single_line(&cell.name)).collect();
        names.dedup();
        let more = names.len().saturating_sub(limit);
        names.truncate(limit);
        match more {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{Cause, fixture};

    fn entry_text(profile: &str, words: &str) -> String {
        let mut cell = fixture::bare_cell("c");
        for word in words.split_whitespace() {
            let mut result = CaseResult::new("S-1", "title", word.trim_end_matches('+').parse().unwrap());
            result.expected = word.ends_with('+') || result.verdict == Verdict::Pass;
            cell.results.push(result);
        }
        let mut run = fixture::run();
        run.profile = profile.to_owned();
        let record = Record::new(run, vec![cell], false);
        let matrix = Matrix::of(&record);
        matrix.rows[0].entries[0].as_ref().unwrap().to_string()
    }

    #[rstest]
    #[case("pr", "pass", "pass")]
    #[case("pr", "pass pass pass", "pass 3/3")]
    #[case("pr", "pass fail pass", "fail 1/3")]
    #[case("pr", "pass fail error fail", "fail 2/4")]
    #[case::red_before_severe("pr", "unsupported-silent+ unexpected-pass", "unexpected-pass 1/2")]
    #[case::expected_red("pr", "unsupported-silent+", "unsupported-silent (expected)")]
    #[case::undeclared("pr", "pass skipped", "skipped 1/2 (not declared)")]
    #[case::flaky("release", "flaky", "flaky")]
    #[case::gap("pr", "pass known-gap+", "known-gap 1/2")]
    fn parameters_collapse_to_the_worst(#[case] profile: &str, #[case] words: &str, #[case] text: &str) {
        assert_eq!(entry_text(profile, words), text);
    }

    #[test]
    fn rows_count_numbers_and_gaps_stay_gaps() {
        let mut left = fixture::bare_cell("left");
        left.results = ["PS-10", "PS-9", "DC-1"].map(|id| CaseResult::new(id, "", Verdict::Pass)).into();
        let mut right = fixture::bare_cell("right");
        right.results = vec![CaseResult::new("PS-9", "", Verdict::Pass)];
        let record = Record::new(fixture::run(), vec![left, right], false);
        let matrix = Matrix::of(&record);
        let ids: Vec<_> = matrix.rows.iter().map(|row| row.scenario).collect();
        assert_eq!(ids, ["DC-1", "PS-9", "PS-10"]);
        assert!(matrix.rows[0].entries[1].is_none());
        assert!(matrix.rows[1].entries[1].is_some());
    }

    #[test]
    fn the_same_cause_in_two_cells_is_one_finding() {
        let cells = ["a", "b", "c"].map(|id| {
            let mut cell = fixture::bare_cell(id);
            let mut result = CaseResult::new("PS-1", "", Verdict::Fail);
            let what = if id == "c" { "no secret was tried".to_owned() } else { format!("pod {id}7 got 403") };
            result.cause = Some(Cause::new("pull-denied", what.replace(id, "x")));
            cell.results.push(result);
            cell
        });
        let record = Record::new(fixture::run(), cells.into(), false);
        let findings = Finding::red(&record);
        assert!(Finding::declared(&record).is_empty());
        assert_eq!(findings.len(), 2);
        assert_eq!(findings[1].cells_text(9), "a, b");
        assert_eq!(findings[1].cells_text(1), "a and 1 more");
    }

    #[rstest]
    #[case(Verdict::Error, 1)]
    #[case(Verdict::NotRun, 1)]
    #[case(Verdict::Skipped, 1)]
    #[case(Verdict::Fail, 3)]
    fn what_kept_a_whole_cell_from_being_judged_is_one_finding(#[case] verdict: Verdict, #[case] findings: usize) {
        let mut cell = fixture::bare_cell("a");
        for scenario in ["PS-1", "PS-2", "PS-3"] {
            let mut result = CaseResult::new(scenario, format!("title of {scenario}"), verdict);
            result.cause = Some(Cause::new("environment", "the cluster did not start"));
            cell.results.push(result);
        }
        let record = Record::new(fixture::run(), vec![cell], false);
        let found: Vec<_> = Finding::red(&record).into_iter().chain(Finding::declared(&record)).collect();
        assert_eq!(found.len(), findings);
        let several = ("PS-1 and 2 more".to_owned(), None);
        let expected = if findings == 1 { several } else { ("PS-1".to_owned(), Some("title of PS-1")) };
        assert_eq!((found[0].label(), found[0].title()), expected);
        assert_eq!(found[0].cells_text(1), "a");
    }
}
