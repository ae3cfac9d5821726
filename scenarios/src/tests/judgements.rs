//! Verdicts, and the words that go with them.

use jiff::civil::date;
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    Applies, Check, Expectations, Expiry, Facts, Feature, Judgement, Observations, Parameters, ScenarioFile,
    ScenarioInstance, StepError, Suite, Verdict, judge, judge_beforehand, judge_leftovers,
};

fn instance() -> ScenarioInstance {
    let file: ScenarioFile = serde_json::from_value(json!({
        "id": "SL-01", "title": "t", "promise": "p", "source": "s",
        "unsupported": [{
            "when": "capabilities.imageVolume != works",
            "refusal": [{"at": "create.code", "equals": "FailedPrecondition"},
                        {"at": "create.message", "contains": "ImageVolume", "because": "the message names the gate"}],
        }],
        "steps": [{"driver": {}}, {"create": {"sandbox": {"name": "a"}}}, {"await": {"sandbox": "a", "until": "running"}}],
        "expect": [
            {"at": "create.code", "equals": "OK"},
            {"at": "await.reached", "equals": true, "because": "the sandbox must run"},
            {"at": "await.seconds", "atMost": 60, "when": "kubernetes >= 1.36"},
        ],
    }))
    .unwrap();
    let parameters: Parameters = [("registry".to_owned(), json!("plain"))].into_iter().collect();
    ScenarioInstance::new(file, parameters)
}

fn seen(code: &str, message: &str, reached: bool) -> Observations {
    let steps = json!({
        "driver": {"running": true},
        "create": {"code": code, "message": message},
        "await": {"reached": reached, "seconds": 1.5},
    });
    observations(&steps)
}

fn observations(steps: &Value) -> Observations {
    Observations { steps: steps.as_object().unwrap().clone(), ..Observations::default() }
}

fn facts(image_volume: &str) -> Facts {
    Facts::new(
        json!({"kubernetes": "1.36.4", "runtime": {"name": "cri-o"}, "capabilities": {"imageVolume": image_volume}}),
    )
}

fn suite() -> Suite {
    super::suite_of(&[("SL-01", &["plain", "secure"])])
}

fn expectations(rows: &str) -> Expectations {
    let text = format!("expectations:\n{rows}");
    match Expectations::parse(&text, "expectations.yaml".into(), &suite(), date(2026, 11, 22)) {
        Ok(expectations) => expectations,
        Err(errors) => panic!("{}", super::rendered(&errors)),
    }
}

fn judged(observations: &Observations, image_volume: &str) -> Judgement {
    judge(&instance(), observations, &facts(image_volume), &Expectations::none(), 1)
}

#[rstest]
#[case::pass(seen("OK", "", true), "works", Verdict::Pass, "3 checks hold")]
#[case::one_check(
    seen("OK", "", false),
    "works",
    Verdict::Fail,
    "at await.reached: expected true, found false (the sandbox must run)"
)]
#[case::two_checks(
    seen("InvalidArgument", "no", false),
    "works",
    Verdict::Fail,
    "at create.code: expected OK, found InvalidArgument; 1 more check does not hold"
)]
#[case::nothing_seen(
    observations(&json!({})), "works", Verdict::Fail,
    "at create.code: expected OK, found no observation `create`; 2 more checks do not hold"
)]
#[case::refused(
    seen("FailedPrecondition", "gate ImageVolume", false),
    "dropped",
    Verdict::Unsupported,
    "refused as documented, because capabilities.imageVolume != works"
)]
#[case::silent(
    seen("OK", "", false),
    "dropped",
    Verdict::UnsupportedSilent,
    "not supported here (capabilities.imageVolume != works), and nothing said so: at create.code: expected FailedPrecondition, found OK; 1 more check does not hold"
)]
#[case::poor_refusal(
    seen("FailedPrecondition", "no", false),
    "dropped",
    Verdict::UnsupportedSilent,
    "not supported here (capabilities.imageVolume != works), and nothing said so: at create.message: expected something with ImageVolume, found no (the message names the gate)"
)]
#[case::works_all_the_same(seen("OK", "", true), "unknown", Verdict::Pass, "3 checks hold")]
#[case::refused_where_it_works(
    seen("FailedPrecondition", "gate ImageVolume", false),
    "works",
    Verdict::Fail,
    "at create.code: expected OK, found FailedPrecondition; 1 more check does not hold"
)]
fn verdicts(
    #[case] observations: Observations,
    #[case] image_volume: &str,
    #[case] verdict: Verdict,
    #[case] summary: &str,
) {
    let judgement = judged(&observations, image_volume);
    assert_eq!((judgement.verdict, judgement.summary.as_str()), (verdict, summary));
    assert_eq!(judgement.expected, matches!(verdict, Verdict::Pass | Verdict::Unsupported));
}

#[test]
fn the_environments_failure_is_an_error_whatever_was_seen() {
    for mut observations in [seen("OK", "", true), seen("OK", "", false), observations(&json!({}))] {
        observations.environment_error = Some("cannot push the image: connection refused".to_owned());
        let judgement = judged(&observations, "dropped");
        assert_eq!(judgement.verdict, Verdict::Error);
        assert_eq!(judgement.summary, "cannot push the image: connection refused");
        assert!(!judgement.expected && judgement.failed.is_empty());
    }
}

#[test]
fn a_step_that_the_subject_made_impossible_is_a_failure() {
    let mut observations = observations(&json!({"create": {"code": "OK", "message": ""}}));
    observations.step_error = Some(StepError { step: "await".to_owned(), message: "the driver has ended".to_owned() });
    let judgement = judged(&observations, "works");
    assert_eq!(judgement.verdict, Verdict::Fail);
    assert_eq!(judgement.summary, "step `await`: the driver has ended");
    assert!(judgement.failed.is_empty(), "what was not reached is unknown, not missing");
}

#[test]
fn a_refusal_counts_although_a_later_step_was_impossible() {
    let mut observations = observations(&json!({"create": {"code": "FailedPrecondition", "message": "ImageVolume"}}));
    observations.step_error = Some(StepError { step: "probe".to_owned(), message: "no pod".to_owned() });
    assert_eq!(judged(&observations, "refused").verdict, Verdict::Unsupported);
}

#[test]
fn a_refusal_that_nobody_saw_is_none() {
    let observations = Observations {
        step_error: Some(StepError { step: "create".to_owned(), message: "the driver does not run".to_owned() }),
        ..observations(&json!({"driver": {"running": false}}))
    };
    assert_eq!(judged(&observations, "refused").verdict, Verdict::UnsupportedSilent);
}

#[test]
fn a_refusal_at_the_second_attempt_is_flaky() {
    let seen = observations(&json!({"create": {"code": "FailedPrecondition", "message": "ImageVolume"}}));
    assert_eq!(judge(&instance(), &seen, &facts("refused"), &Expectations::none(), 1).verdict, Verdict::Unsupported);
    assert_eq!(judge(&instance(), &seen, &facts("refused"), &Expectations::none(), 2).verdict, Verdict::Flaky);
}

#[test]
fn a_pass_at_the_second_attempt_is_flaky() {
    let judgement = judge(&instance(), &seen("OK", "", true), &facts("works"), &Expectations::none(), 2);
    assert_eq!((judgement.verdict, judgement.expected), (Verdict::Flaky, false));
    assert_eq!(judgement.summary, "3 checks hold, but only at attempt 2");
}

#[test]
fn a_check_is_left_out_where_its_condition_does_not_hold() {
    let old = Facts::new(json!({"kubernetes": "1.35.0", "capabilities": {"imageVolume": "works"}}));
    let mut slow = seen("OK", "", true);
    slow.steps["await"]["seconds"] = json!(90);
    assert_eq!(judge(&instance(), &slow, &old, &Expectations::none(), 1).verdict, Verdict::Pass);
    assert_eq!(judge(&instance(), &slow, &facts("works"), &Expectations::none(), 1).verdict, Verdict::Fail);
}

#[test]
fn nothing_is_proven_where_no_check_applies() {
    let mut instance = instance();
    instance.expect.retain(|check| check.when.is_some());
    let old = Facts::new(json!({"kubernetes": "1.35.0", "capabilities": {"imageVolume": "works"}}));
    let judgement = judge(&instance, &seen("OK", "", true), &old, &Expectations::none(), 1);
    assert_eq!(judgement.verdict, Verdict::Fail);
}

const GAP: &str = "  - {scenario: 'SL-*', when: 'runtime.name == cri-o', verdict: known-gap, reason: it is known, issue: 'https://example.test/1', expires: 2026-11-22}\n";
const OLD_GAP: &str = "  - {scenario: SL-01, verdict: known-gap, reason: it was known, expires: 2026-11-21}\n";
const OTHER_PARAMETER: &str =
    "  - {scenario: SL-01, params: {registry: secure}, verdict: known-gap, reason: other, expires: 2027-01-01}\n";
const THIS_PARAMETER: &str =
    "  - {scenario: SL-01, params: {registry: plain}, verdict: known-gap, reason: this, expires: 2027-01-01}\n";
const MUST_PASS: &str = "  - {scenario: SL-01, verdict: pass, reason: fixed}\n";
const SILENT: &str =
    "  - {scenario: SL-01, verdict: unsupported-silent, reason: upstream says nothing, expires: 2027-01-01}\n";
const FLAKY: &str = "  - {scenario: SL-01, verdict: flaky, reason: races, expires: 2027-01-01}\n";

#[rstest]
#[case::known_gap(GAP, seen("OK", "", false), "works", 1, Verdict::KnownGap, true)]
#[case::unexpected_pass(GAP, seen("OK", "", true), "works", 1, Verdict::UnexpectedPass, false)]
#[case::gap_covers_silence(GAP, seen("OK", "", false), "dropped", 1, Verdict::UnsupportedSilent, true)]
#[case::a_refusal_is_no_gap(
    GAP,
    seen("FailedPrecondition", "ImageVolume", false),
    "dropped",
    1,
    Verdict::Unsupported,
    true
)]
#[case::flaky_gap(GAP, seen("OK", "", true), "works", 2, Verdict::Flaky, true)]
#[case::expired(OLD_GAP, seen("OK", "", false), "works", 1, Verdict::KnownGap, true)]
#[case::expired_pass(OLD_GAP, seen("OK", "", true), "works", 1, Verdict::UnexpectedPass, false)]
#[case::other_parameter(OTHER_PARAMETER, seen("OK", "", false), "works", 1, Verdict::Fail, false)]
#[case::this_parameter(THIS_PARAMETER, seen("OK", "", false), "works", 1, Verdict::KnownGap, true)]
#[case::silent(SILENT, seen("OK", "", false), "dropped", 1, Verdict::UnsupportedSilent, true)]
#[case::silent_is_no_gap(SILENT, seen("OK", "", false), "works", 1, Verdict::Fail, false)]
#[case::silent_but_refused(
    SILENT,
    seen("FailedPrecondition", "ImageVolume", false),
    "dropped",
    1,
    Verdict::Unsupported,
    true
)]
#[case::flaky(FLAKY, seen("OK", "", true), "works", 2, Verdict::Flaky, true)]
#[case::flaky_passes(FLAKY, seen("OK", "", true), "works", 1, Verdict::Pass, true)]
#[case::flaky_fails(FLAKY, seen("OK", "", false), "works", 1, Verdict::Fail, false)]
#[case::must_pass(MUST_PASS, seen("OK", "", false), "works", 1, Verdict::Fail, false)]
fn expectations_apply(
    #[case] rows: &str,
    #[case] observations: Observations,
    #[case] image_volume: &str,
    #[case] attempts: u32,
    #[case] verdict: Verdict,
    #[case] expected: bool,
) {
    let judgement = judge(&instance(), &observations, &facts(image_volume), &expectations(rows), attempts);
    assert_eq!((judgement.verdict, judgement.expected), (verdict, expected), "{}", judgement.summary);
}

#[test]
fn the_first_row_that_fits_wins() {
    let failing = seen("OK", "", false);
    let rows = expectations(&format!("{MUST_PASS}{GAP}"));
    assert_eq!(judge(&instance(), &failing, &facts("works"), &rows, 1).verdict, Verdict::Fail);
    let rows = expectations(&format!("{GAP}{MUST_PASS}"));
    assert_eq!(judge(&instance(), &failing, &facts("works"), &rows, 1).verdict, Verdict::KnownGap);
}

#[test]
fn an_environments_failure_is_never_excused() {
    let mut observations = seen("OK", "", false);
    observations.environment_error = Some("the cluster is gone".to_owned());
    let judgement = judge(&instance(), &observations, &facts("works"), &expectations(GAP), 1);
    assert_eq!((judgement.verdict, judgement.expected), (Verdict::Error, false));
}

#[test]
fn reasons_are_in_the_judgement() {
    let gap = judge(&instance(), &seen("OK", "", false), &facts("works"), &expectations(GAP), 1);
    let unexpected = judge(&instance(), &seen("OK", "", true), &facts("works"), &expectations(GAP), 1);
    let counts = expectations(OLD_GAP).with_expiry(Expiry::Counts);
    let expired = judge(&instance(), &seen("OK", "", false), &facts("works"), &counts, 1);
    insta::assert_json_snapshot!([gap, unexpected, expired]);
}

#[rstest]
#[case::fails(false, Verdict::Fail, "(the expectation that excused it ended on 2026-11-21)")]
#[case::passes(true, Verdict::UnexpectedPass, "although it was expected not to")]
fn an_expired_row_is_red_where_that_counts(#[case] reached: bool, #[case] verdict: Verdict, #[case] said: &str) {
    let rows = expectations(OLD_GAP).with_expiry(Expiry::Counts);
    let judgement = judge(&instance(), &seen("OK", "", reached), &facts("works"), &rows, 1);
    assert_eq!((judgement.verdict, judgement.expected), (verdict, false));
    assert!(judgement.summary.contains(said), "{}", judgement.summary);
    assert!(judgement.expectation.is_some_and(|row| row.expired));
}

#[test]
fn an_expired_row_keeps_a_scenario_from_being_run_unless_that_counts() {
    let row = "  - {scenario: SL-01, verdict: skipped, reason: slow, expires: 2026-11-21}\n";
    let judgement = judge_beforehand(&instance(), &facts("works"), &expectations(row)).unwrap();
    assert!(judgement.expectation.unwrap().expired);
    let counts = expectations(row).with_expiry(Expiry::Counts);
    assert_eq!(judge_beforehand(&instance(), &facts("works"), &counts), None);
}

#[rstest]
#[case(Verdict::Pass, true)]
#[case(Verdict::Unsupported, true)]
#[case(Verdict::KnownGap, true)]
#[case(Verdict::Flaky, true)]
#[case(Verdict::UnexpectedPass, true)]
#[case(Verdict::UnsupportedSilent, true)]
#[case(Verdict::Fail, false)]
#[case(Verdict::Error, false)]
#[case(Verdict::NotRun, false)]
#[case(Verdict::Skipped, false)]
fn what_is_left_behind_is_red(#[case] verdict: Verdict, #[case] changes: bool) {
    assert_eq!(judge_leftovers(verdict, &[]), None);
    let left = ["ClusterRole a".to_owned(), "Namespace b".to_owned()];
    let judgement = judge_leftovers(verdict, &left);
    assert_eq!(judgement.is_some(), changes);
    if let Some(judgement) = judgement {
        assert_eq!((judgement.verdict, judgement.expected), (Verdict::Fail, false));
        assert_eq!(judgement.summary, "left behind: ClusterRole a, Namespace b");
    }
}

#[test]
fn a_row_can_keep_a_scenario_from_being_run() {
    let rows = expectations("  - {scenario: SL-01, when: 'kubernetes < 1.33', verdict: skipped, reason: too old}\n");
    let old = Facts::new(json!({"kubernetes": "1.31.2"}));
    assert!(judge_beforehand(&instance(), &facts("works"), &rows).is_none());
    let judgement = judge_beforehand(&instance(), &old, &rows).unwrap();
    assert_eq!(
        (judgement.verdict, judgement.expected, judgement.summary.as_str()),
        (Verdict::Skipped, true, "too old")
    );
}

#[rstest]
#[case::there("1.36.4", None)]
#[case::elsewhere("1.31.2", Some("old kubelets have none (it applies where kubernetes >= 1.33)"))]
fn a_scenario_is_not_run_where_it_makes_no_sense(#[case] kubernetes: &str, #[case] summary: Option<&str>) {
    let mut instance = instance();
    instance.applies =
        Some(Applies { when: "kubernetes >= 1.33".to_owned(), reason: "old kubelets have none".to_owned() });
    let facts = Facts::new(json!({ "kubernetes": kubernetes }));
    // What is known to fail does not matter where nothing is run.
    let judgement = judge_beforehand(&instance, &facts, &expectations(GAP));
    let found = judgement.map(|judgement| (judgement.verdict, judgement.expected, judgement.summary));
    assert_eq!(found, summary.map(|summary| (Verdict::Skipped, true, summary.to_owned())));
}

#[rstest]
#[case("SL-01", true)]
#[case("SL-*", true)]
#[case("*", true)]
#[case("*-01", true)]
#[case("S*0*", true)]
#[case("SL-01*", true)]
#[case("SL", false)]
#[case("SL-1*", false)]
#[case("PS-*", false)]
#[case("*SL-012", false)]
fn globs(#[case] glob: &str, #[case] fits: bool) {
    let text = format!("expectations:\n  - {{scenario: '{glob}', verdict: pass, reason: r}}\n");
    let parsed = Expectations::parse(&text, "expectations.yaml".into(), &suite(), date(2026, 11, 22));
    assert_eq!(parsed.is_ok_and(|rows| rows.find(&instance(), &facts("works")).is_some()), fits);
}

#[test]
fn a_declared_absence_keeps_a_scenario_from_being_run() {
    let mut instance = instance();
    instance.features.insert(Feature::PullSecretOverride);
    let subject = |absent: Value| Facts::new(json!({ "kubernetes": "1.36.4", "subject": { "absent": absent } }));
    let nothing = Expectations::none();
    assert_eq!(judge_beforehand(&instance, &subject(json!({})), &nothing), None);
    assert_eq!(judge_beforehand(&instance, &subject(json!({ "chart": "it has none" })), &nothing), None);
    let declared = subject(json!({ "pull-secret-override": "never shipped" }));
    let judgement = judge_beforehand(&instance, &declared, &nothing).unwrap();
    assert_eq!((judgement.verdict, judgement.expected), (Verdict::Skipped, true));
    assert_eq!(judgement.summary, "the subject's profile declares `pull-secret-override` absent: never shipped");
}

#[test]
fn the_agent_container_can_have_another_name() {
    let mut instance = instance();
    let check = |at: &str, matcher: &str, value: &str| -> Check {
        serde_json::from_value(json!({ "at": at, matcher: value })).unwrap()
    };
    instance.expect = vec![
        check("await.pod.spec.containers[name=agent].image", "sameAs", "other.containers[name=agent].image"),
        check("await.container", "equals", "agent"),
        check("create.message", "equals", "agent"),
    ];
    let renamed = instance.clone().calling_agent("box");
    assert_eq!(
        renamed.expect,
        [
            check("await.pod.spec.containers[name=box].image", "sameAs", "other.containers[name=box].image"),
            check("await.container", "equals", "box"),
            check("create.message", "equals", "agent"),
        ]
    );
    assert_eq!(instance.clone().calling_agent("agent"), instance);
}
