//! The record as JUnit XML, for CI systems: one suite for each cell, one case for each scenario and set of parameters.
//!
//! JUnit has fewer words than the record.
//! A result that counts against the run is a `failure` with the verdict as its type, or an `error`;
//! a gap, a refusal or an omission that was declared is `skipped` with its reason;
//! a flaky result that does not count is a success with one `flakyFailure` for each attempt before the last.

use std::time::Duration;

use chrono::{DateTime, FixedOffset};
use jiff::Timestamp;
use quick_junit::{FlakyOrRerun, NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};

use crate::{CaseResult, Cause, Cell, Record, Verdict, text};

/// Renders the record as JUnit XML.
pub fn render(record: &Record) -> String {
    let started = timestamp(record.run.started_at);
    let mut report = Report::new("sandproof");
    report.timestamp = started;
    let run_time = record.run.finished_at.duration_since(record.run.started_at);
    report.set_time(seconds(run_time.as_secs_f64()));
    for cell in &record.cells {
        let mut suite = TestSuite::new(text::single_line(&cell.name));
        suite.timestamp = started;
        suite.set_time(seconds(cell.phases.iter().map(|phase| phase.seconds).sum()));
        suite.add_property(Property::new("cell", text::single_line(&cell.id)));
        if let Some(subject) = &record.run.subject {
            suite.add_property(Property::new("subject", text::single_line(&subject.to_string())));
        }
        add_properties(&mut suite, "axes", cell.axes.pairs());
        add_properties(&mut suite, "observed", cell.observed.pairs());
        for leftover in &cell.leftovers {
            suite.add_property(Property::new("leftover", text::single_line(leftover)));
        }
        suite.add_test_cases(cell.results.iter().map(|result| test_case(cell, result, record.run.is_strict())));
        report.add_test_suite(suite);
    }
    write(&report)
}

#[expect(clippy::expect_used, reason = "the writer is a buffer in memory, and that does not fail")]
fn write(report: &Report) -> String {
    report.to_string().expect("JUnit XML is written to memory")
}

fn add_properties(suite: &mut TestSuite, group: &str, pairs: Vec<(String, String)>) {
    suite.add_properties(
        pairs.into_iter().map(|(name, value)| {
            Property::new(text::single_line(&format!("{group}.{name}")), text::single_line(&value))
        }),
    );
}

fn test_case(cell: &Cell, result: &CaseResult, strict: bool) -> TestCase {
    let mut name = format!("{} {}", result.scenario, result.title);
    if !result.params.is_empty() {
        name = format!("{name} [{}]", result.params_text());
    }
    let mut case = TestCase::new(text::single_line(&name), status(result, strict));
    case.set_classname(text::single_line(&cell.id));
    case.set_time(seconds(result.seconds));
    case.add_property(Property::new("verdict", result.verdict.name()));
    case.add_property(Property::new("expected", if result.expected { "true" } else { "false" }));
    case.add_property(Property::new("attempts", result.attempts.to_string()));
    if !result.repro.is_empty() {
        case.add_property(Property::new("repro", text::single_line(&result.repro)));
    }
    for file in &result.evidence {
        case.add_property(Property::new("evidence", text::single_line(file)));
    }
    case
}

fn status(result: &CaseResult, strict: bool) -> TestCaseStatus {
    if result.is_red(strict) {
        let kind = if result.verdict == Verdict::Error { NonSuccessKind::Error } else { NonSuccessKind::Failure };
        let mut status = TestCaseStatus::non_success(kind);
        describe(&mut status, result);
        status.add_reruns(earlier_attempts(result));
        return status;
    }
    match result.verdict {
        Verdict::Pass | Verdict::UnexpectedPass => TestCaseStatus::success(),
        Verdict::Flaky => {
            let mut status = TestCaseStatus::success();
            status.add_reruns(earlier_attempts(result));
            status.set_rerun_kind(FlakyOrRerun::Flaky);
            status
        }
        Verdict::Fail
        | Verdict::Error
        | Verdict::KnownGap
        | Verdict::Unsupported
        | Verdict::UnsupportedSilent
        | Verdict::Skipped
        | Verdict::NotRun => {
            let mut status = TestCaseStatus::skipped();
            describe(&mut status, result);
            status
        }
    }
}

/// Type, message and description: the verdict, the cause and its chain.
fn describe(status: &mut TestCaseStatus, result: &CaseResult) {
    status.set_type(result.verdict.name());
    status.set_message(format!("{}: {}", result.verdict, reason(result)));
    if let Some(cause) = &result.cause {
        status.set_description(chain(cause, result));
    }
}

fn reason(result: &CaseResult) -> String {
    match &result.cause {
        Some(cause) => text::single_line(&cause.summary),
        None => result.verdict.meaning().to_owned(),
    }
}

/// The chain as lines, and below it the way to see it again.
fn chain(cause: &Cause, result: &CaseResult) -> String {
    let mut lines = vec![format!("{} ({})", text::block(&cause.summary), text::single_line(&cause.rule))];
    for link in &cause.chain {
        let at = link.at.as_ref().map(|at| format!(" [{}]", text::single_line(at))).unwrap_or_default();
        lines.push(format!("{}{at}: {}", text::single_line(&link.source), text::block(&link.text)));
    }
    if !result.repro.is_empty() {
        lines.push(format!("reproduce: {}", text::single_line(&result.repro)));
    }
    lines.join("\n")
}

/// The attempts before the last. Only the cause of the result is known; it stands for each of them.
fn earlier_attempts(result: &CaseResult) -> impl Iterator<Item = TestRerun> {
    (1..result.attempts).map(move |attempt| {
        let mut rerun = TestRerun::new(NonSuccessKind::Failure);
        rerun.set_type(result.verdict.name());
        rerun.set_message(format!("attempt {attempt} of {}: {}", result.attempts, reason(result)));
        rerun
    })
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn timestamp(at: Timestamp) -> Option<DateTime<FixedOffset>> {
    let nanosecond = u32::try_from(at.subsec_nanosecond()).unwrap_or_default();
    Some(DateTime::from_timestamp(at.as_second(), nanosecond)?.fixed_offset())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn all_verdicts() {
        insta::assert_snapshot!(render(&fixture::record()));
    }

    #[test]
    fn the_xml_parses_and_counts_what_the_record_counts() {
        let record = fixture::record();
        let report = Report::deserialize_from_str(&render(&record)).unwrap();
        assert_eq!(report.tests, record.summary.total());
        assert_eq!(report.errors, record.summary.error);
        assert_eq!(report.failures, record.red_results().count() - record.summary.error);
        assert_eq!(report.test_suites.len(), record.cells.len());
        let names: Vec<&str> = report.test_suites[1].test_cases.iter().map(|case| case.name.as_str()).collect();
        assert!(names[0].starts_with("PS-02 red | pipe </script>"), "{names:?}");
    }

    #[test]
    fn no_character_is_left_that_xml_forbids() {
        let xml = render(&fixture::record());
        assert!(!xml.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\t' | '\r')));
    }

    #[test]
    fn a_flaky_result_counts_in_the_release_profile_only() {
        let mut record = fixture::record();
        let flaky = |record: &Record| {
            let report = Report::deserialize_from_str(&render(record)).unwrap();
            report.test_suites[1].test_cases[1].status.clone()
        };
        assert!(matches!(flaky(&record), TestCaseStatus::Success { flaky_runs, .. } if flaky_runs.len() == 2));
        record.run.profile = "release".to_owned();
        assert!(matches!(flaky(&record), TestCaseStatus::NonSuccess { kind: NonSuccessKind::Failure, .. }));
    }
}
