//! Rows of the expectations against the suite, a run, and a subject's profile.

use camino::Utf8Path;
use jiff::civil::date;
use rstest::rstest;
use serde_json::{Value, json};

use crate::{Expectations, Facts, SubjectProfile, Suite, SuiteErrors};

fn suite() -> Suite {
    super::suite_of(&[("PS-05", &["plain", "secure"]), ("SL-01", &[])])
}

fn expectations(rows: &str) -> Expectations {
    let text = format!("expectations:\n  - {rows}\n");
    match Expectations::parse(&text, "expectations.yaml".into(), &suite(), date(2026, 11, 1)) {
        Ok(expectations) => expectations,
        Err(errors) => panic!("{}", super::rendered(&errors)),
    }
}

fn facts(kubernetes: &str, image_volume: Option<&str>) -> Facts {
    let mut tree = json!({ "kubernetes": kubernetes, "provider": "native", "subject": { "name": "reference" } });
    if let Some(found) = image_volume {
        tree["capabilities"] = json!({ "imageVolume": found });
    }
    Facts::new(tree)
}

/// The run was on 1.36, where image volumes work; there is a cell with 1.34 too.
#[rstest]
#[case::used("{scenario: PS-05, when: kubernetes >= 1.35, verdict: skipped, reason: r}", &[])]
#[case::older_cell("{scenario: PS-05, when: kubernetes < 1.35, verdict: skipped, reason: r}", &[])]
#[case::no_cell("{scenario: PS-05, when: kubernetes < 1.32, verdict: skipped, reason: r}", &["expectations.yaml:2"])]
#[case::other_provider("{scenario: PS-05, when: provider == kind, verdict: skipped, reason: r}", &["expectations.yaml:2"])]
#[case::unknown_capability(
    "{scenario: PS-05, when: capabilities.imageVolume == dropped, verdict: skipped, reason: r}",
    &[]
)]
#[case::never_there(
    "{scenario: PS-05, when: kubernetes >= 1.35 && capabilities.imageVolume == dropped, verdict: skipped, reason: r}",
    &["expectations.yaml:2"]
)]
#[case::other_subject("{scenario: PS-05, when: subject.name == upstream, verdict: skipped, reason: r}", &[])]
#[case::parameter("{scenario: PS-05, when: param.registry == other, verdict: skipped, reason: r}", &["expectations.yaml:2"])]
#[case::shadowed(
    "{scenario: PS-05, verdict: pass, reason: r}\n  - {scenario: PS-05, when: kubernetes >= 1.35, verdict: skipped, reason: r}",
    &["expectations.yaml:3"]
)]
fn a_row_that_no_result_used_and_that_fits_nowhere_else_is_dead(#[case] rows: &str, #[case] expected: &[&str]) {
    let (suite, rows) = (suite(), expectations(rows));
    let dead = rows.dead(&suite, &[facts("1.36.4", Some("works"))], &[facts("1.34.10", None)]);
    let places: Vec<&str> = dead.iter().map(|row| row.place.as_str()).collect();
    assert_eq!(places, expected);
}

#[test]
fn an_expired_row_that_something_relies_on_is_told_with_its_place() {
    let rows = expectations(
        "{scenario: PS-05, when: kubernetes >= 1.35, verdict: known-gap, reason: r, expires: 2026-10-31}
  - {scenario: PS-05, when: kubernetes < 1.35, verdict: known-gap, reason: r, expires: 2026-10-31}
  - {scenario: SL-01, verdict: known-gap, reason: r, expires: 2026-11-01}",
    );
    let relied_on = rows.relied_on_though_expired(&suite(), &[facts("1.36.4", None)]);
    let places: Vec<&str> = relied_on.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, ["expectations.yaml:2"]);
}

fn profile(rows: &Value) -> SubjectProfile {
    let text = json!({ "name": "own", "about": "a", "expectations": rows }).to_string();
    SubjectProfile::parse(&text, Utf8Path::new("profile.yaml"), &[], date(2026, 11, 1)).unwrap()
}

fn row(fields: &Value) -> Value {
    let mut row = json!({ "scenario": "PS-05", "verdict": "skipped", "reason": "r" });
    row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    row
}

#[rstest]
#[case::both_fit("{scenario: PS-*, verdict: skipped, reason: r}", json!({}), Some("PS-05[registry=plain]"))]
#[case::for_another_subject(
    "{scenario: PS-*, when: subject.name == other, verdict: skipped, reason: r}",
    json!({}),
    None
)]
#[case::for_this_subject(
    "{scenario: PS-*, when: subject.name != other, verdict: skipped, reason: r}",
    json!({}),
    Some("PS-05[registry=plain]")
)]
#[case::conditions_exclude_each_other(
    "{scenario: PS-*, when: kubernetes >= 1.35, verdict: skipped, reason: r}",
    json!({"when": "kubernetes < 1.35"}),
    None
)]
#[case::other_parameters(
    "{scenario: PS-*, params: {registry: plain}, verdict: skipped, reason: r}",
    json!({"params": {"registry": "secure"}}),
    None
)]
#[case::an_exemption("{scenario: PS-*, verdict: skipped, reason: r}", json!({"verdict": "pass"}), None)]
fn a_row_of_a_profile_and_one_of_the_suite_must_not_both_be_meant(
    #[case] suites: &str,
    #[case] profiles: Value,
    #[case] rivals: Option<&str>,
) {
    let own = profile(&json!([row(&profiles)]));
    let joined = expectations(suites).behind(&own.expectations, &suite(), &own.name);
    match rivals {
        None => assert_eq!(joined.unwrap().rows().count(), 2),
        Some(key) => {
            let errors: SuiteErrors = joined.unwrap_err();
            let error = &errors.errors()[0];
            assert_eq!(error.message(), format!("this row and one of the suite's can both fit {key}"));
            assert_eq!((error.file().as_str(), error.pointed_at()), ("profile.yaml", "\"PS-05\""));
        }
    }
}
