//! What a report says about the expectations.

use jiff::civil::date;
use sandproof_reports::{CaseResult, Cause, Verdict};
use serde_json::{Value, json};

use crate::{Facts, Proposal, Seen, Suite, propose};

const FILE: &str = "\
# What the results should be.
expectations:
  # The kubelet's check.
  - scenario: PS-01
    when: kubernetes >= 1.36
    verdict: known-gap
    reason: it is known
    expires: 2026-12-31

  # Ended long ago.
  - scenario: PS-02
    verdict: known-gap
    reason: it was to be mended
    expires: 2026-01-31
";

fn suite() -> Suite {
    super::suite_of(&[("PS-01", &[]), ("PS-02", &[]), ("PS-03", &["plain", "secure"])])
}

fn facts(kubernetes: &str) -> Facts {
    Facts::new(json!({"kubernetes": kubernetes, "runtime": {"name": "cri-o"}, "provider": "native"}))
}

fn result(key: &str, verdict: Verdict, expected: bool) -> CaseResult {
    let (id, registry) = key.split_once('/').map_or((key, None), |(id, registry)| (id, Some(registry)));
    let mut result = CaseResult::new(id, "t", verdict);
    result.params.extend(registry.map(|registry| ("registry".to_owned(), Value::from(registry))));
    result.expected = expected;
    result.cause = Some(Cause::new("checks", "at await.reached: expected true, found \"false\""));
    result
}

/// What is proposed for these results: cluster, result, verdict, and whether it was expected.
fn proposed(file: &str, seen: &[(&str, &str, Verdict, bool)]) -> String {
    let seen: Vec<(Facts, CaseResult)> = seen
        .iter()
        .map(|(kubernetes, key, verdict, expected)| (facts(kubernetes), result(key, *verdict, *expected)))
        .collect();
    let seen: Vec<Seen> = seen.iter().map(|(facts, result)| Seen { result, facts }).collect();
    let Proposal { text, notes } =
        propose(file, "expectations.yaml".into(), &suite(), &seen, date(2026, 11, 22)).unwrap();
    format!("{}\n---\n{text}", notes.join("\n"))
}

#[test]
fn nothing_is_proposed_where_everything_is_as_expected() {
    let seen = [("1.36.4", "PS-01", Verdict::KnownGap, true), ("1.36.4", "PS-02", Verdict::Pass, true)];
    assert_eq!(proposed(FILE, &seen), format!("\n---\n{FILE}"));
}

#[test]
fn a_row_that_excuses_what_passes_is_removed_and_an_expired_one_gets_a_new_end() {
    insta::assert_snapshot!(proposed(
        FILE,
        &[("1.36.4", "PS-01", Verdict::UnexpectedPass, false), ("1.36.4", "PS-02", Verdict::Fail, false)]
    ));
}

/// Outside of the profile `release` an expired row excuses still.
#[test]
fn an_expired_row_that_excused_gets_a_new_end_too() {
    let seen = [("1.36.4", "PS-01", Verdict::KnownGap, true), ("1.36.4", "PS-02", Verdict::KnownGap, true)];
    let text = proposed(FILE, &seen);
    assert!(text.starts_with("PS-02 is still as an expired row says"), "{text}");
    assert!(text.contains("reason: it was to be mended\n    expires: 2027-02-20"), "{text}");
}

#[test]
fn a_row_is_added_for_what_is_red_with_the_condition_that_tells_it_apart() {
    insta::assert_snapshot!(proposed(
        FILE,
        &[
            ("1.34.10", "PS-03/plain", Verdict::Fail, false),
            ("1.34.10", "PS-03/secure", Verdict::Fail, false),
            ("1.36.4", "PS-03/plain", Verdict::Pass, true),
            ("1.36.4", "PS-03/secure", Verdict::Pass, true),
            ("1.34.10", "PS-01", Verdict::UnsupportedSilent, false),
            ("1.36.4", "PS-09", Verdict::Fail, false),
        ]
    ));
}

#[test]
fn a_row_is_for_the_parameters_that_are_red() {
    insta::assert_snapshot!(proposed(
        "expectations: []\n",
        &[("1.36.4", "PS-03/plain", Verdict::Pass, true), ("1.36.4", "PS-03/secure", Verdict::Flaky, false)]
    ));
}

#[test]
fn a_row_for_another_subject_is_for_no_other_than_that() {
    let facts = |kubernetes: &str, subject: &str| {
        Facts::new(json!({"kubernetes": kubernetes, "provider": "native", "subject": {"name": subject}}))
    };
    let when = |subject: &str, verdicts: &[(&str, Verdict)]| {
        let seen: Vec<(Facts, CaseResult)> = verdicts
            .iter()
            .map(|(kubernetes, verdict)| (facts(kubernetes, subject), result("PS-01", *verdict, false)))
            .collect();
        let seen: Vec<Seen> = seen.iter().map(|(facts, result)| Seen { result, facts }).collect();
        let file = "expectations: []\n";
        let text = propose(file, "expectations.yaml".into(), &suite(), &seen, date(2026, 11, 22)).unwrap().text;
        text.lines().find_map(|line| line.trim().strip_prefix("when: ").map(str::to_owned))
    };
    let everywhere = [("1.36.4", Verdict::Fail)];
    let somewhere = [("1.34.10", Verdict::Fail), ("1.36.4", Verdict::Pass)];
    assert_eq!(when("reference", &everywhere), None);
    assert_eq!(when("upstream-like", &everywhere).unwrap(), r#""subject.name == upstream-like""#);
    assert_eq!(when("upstream-like", &somewhere).unwrap(), r#""subject.name == upstream-like && kubernetes == 1.34""#);
}

#[test]
fn what_nothing_tells_apart_is_said_and_left() {
    insta::assert_snapshot!(proposed(
        "expectations: []\n",
        &[("1.36.4", "PS-01", Verdict::Pass, true), ("1.36.4", "PS-01", Verdict::Fail, false)]
    ));
}

#[test]
fn errors_and_skips_are_nothing_to_excuse() {
    let seen = [("1.36.4", "PS-01", Verdict::Error, false), ("1.36.4", "PS-03/plain", Verdict::Skipped, false)];
    assert_eq!(proposed("expectations: []\n", &seen), "\n---\nexpectations: []\n");
}
