use rstest::rstest;
use sandproof_reports::{Axes, Phase};
use sandproof_scenarios::{ImageContent, ImageStep};
use serde_json::json;

use super::*;

fn instance(steps: Vec<Step>) -> ScenarioInstance {
    ScenarioInstance {
        id: "PS-02".to_owned(),
        key: "PS-02[registry=plain]".to_owned(),
        title: String::new(),
        promise: String::new(),
        source: String::new(),
        tags: vec!["smoke".to_owned()],
        faults: Vec::new(),
        features: std::collections::BTreeSet::new(),
        parameters: serde_json::from_value(json!({"registry": "plain"})).unwrap(),
        applies: None,
        varies_with: Vec::new(),
        alone: false,
        unsupported: Vec::new(),
        steps,
        expect: Vec::new(),
    }
}

fn result(verdict: Verdict, evidence: &[&str]) -> CaseResult {
    let mut result = CaseResult::new("PS-02", "", verdict);
    result.params.insert("registry".to_owned(), json!("plain"));
    result.repro = "sandproof repro x".to_owned();
    result.evidence = evidence.iter().map(ToString::to_string).collect();
    result
}

fn cell(result: CaseResult) -> Cell {
    let mut cell = Cell::new("c", "c", Axes { kubernetes: "1.30.1".to_owned(), ..Axes::default() });
    cell.results.push(result);
    cell
}

#[rstest]
#[case::pass(result(Verdict::Pass, &["there.json"]), &[])]
#[case::fail(result(Verdict::Fail, &["there.json"]), &["its verdict is fail"])]
#[case::not_run(result(Verdict::NotRun, &["there.json"]), &["its verdict is not-run"])]
#[case::no_evidence(result(Verdict::Pass, &[]), &["it has no evidence"])]
#[case::lost_evidence(result(Verdict::Pass, &["gone.json"]), &["gone.json is missing"])]
#[case::other_parameters(CaseResult::new("PS-02", "", Verdict::Pass), &["it has no result"])]
fn a_case_is_complete(#[case] result: CaseResult, #[case] findings: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let directory = Utf8Path::from_path(directory.path()).unwrap();
    fs_err::write(directory.join("there.json"), "{}").unwrap();
    assert_eq!(case_findings(&cell(result), &instance(Vec::new()), directory), findings);
}

#[rstest]
#[case::pulled(r#"[{"kind": "manifest", "status": 200, "listener": "10.0.0.1:5000"}]"#, true)]
#[case::pushed_by_the_harness(r#"[{"kind": "manifest", "status": 200, "listener": null}]"#, false)]
#[case::refused(r#"[{"kind": "manifest", "status": 401, "listener": "10.0.0.1:5000"}]"#, false)]
#[case::only_a_blob(r#"[{"kind": "blob", "status": 200, "listener": "10.0.0.1:5000"}]"#, false)]
#[case::nothing("", false)]
fn a_pull_is_proven_by_the_registry(#[case] log: &str, #[case] proven: bool) {
    let directory = tempfile::tempdir().unwrap();
    let directory = Utf8Path::from_path(directory.path()).unwrap();
    fs_err::create_dir(directory.join("evidence")).unwrap();
    fs_err::write(directory.join("evidence/registry.json"), log).unwrap();
    let steps = vec![
        Step::Image(ImageStep {
            observe_as: None,
            name: "app".to_owned(),
            content: ImageContent::Agent,
            access: sandproof_scenarios::ImageAccess::Public,
            registry: sandproof_scenarios::RegistryKind::Plain,
            pushed: true,
        }),
        serde_json::from_value(json!({"await": {"sandbox": "one", "until": "running"}})).unwrap(),
    ];
    let findings =
        case_findings(&cell(result(Verdict::Pass, &["evidence/registry.json"])), &instance(steps), directory);
    assert_eq!(findings.is_empty(), proven, "{findings:?}");
}

#[test]
fn a_cell_reached_what_was_asked_for_and_left_nothing() {
    let mut cell = cell(result(Verdict::Pass, &[]));
    cell.observed.apiserver = Some("v1.30.1".to_owned());
    cell.observed.kubelet = Some("v1.30.1".to_owned());
    cell.phases = PHASES.iter().map(|name| Phase::new(*name, 0.1)).collect();
    let mut tally = Tally::default();
    check_cell(&cell, &mut tally);
    assert_eq!(tally.findings(), Vec::<&str>::new());

    cell.observed.kubelet = None;
    cell.leftovers.push("veth x".to_owned());
    cell.phases.pop();
    let mut tally = Tally::default();
    check_cell(&cell, &mut tally);
    assert_eq!(tally.findings().len(), 3, "{:?}", tally.findings());
}
