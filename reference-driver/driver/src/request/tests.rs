use rstest::rstest;
use sandproof_protocol::structs;
use serde_json::{Value, json};

use super::*;
use crate::config::{PullPolicy, SideloadMethod};

mod driver_block;
mod properties;
mod sizes;

fn sandbox() -> v1::DriverSandbox {
    v1::DriverSandbox {
        id: "5f0c7a52-0000-4000-8000-000000000001".to_owned(),
        name: "box".to_owned(),
        workspace: "default".to_owned(),
        spec: Some(v1::DriverSandboxSpec {
            template: Some(v1::DriverSandboxTemplate::default()),
            ..v1::DriverSandboxSpec::default()
        }),
        ..v1::DriverSandbox::default()
    }
}

fn with_template(change: impl FnOnce(&mut v1::DriverSandboxTemplate)) -> v1::DriverSandbox {
    let mut sandbox = sandbox();
    change(sandbox.spec.as_mut().unwrap().template.as_mut().unwrap());
    sandbox
}

fn with_config(platform: Option<&Value>, driver: Option<&Value>) -> v1::DriverSandbox {
    let block = |value: &Value| structs::from_json(value.as_object().unwrap());
    with_template(|template| {
        template.platform_config = platform.map(block);
        template.driver_config = driver.map(block);
    })
}

fn parse(sandbox: v1::DriverSandbox) -> Result<SandboxRequest, InvalidRequest> {
    SandboxRequest::parse(Some(sandbox), &Faults::none())
}

#[test]
fn a_plain_sandbox_is_accepted() {
    let request = parse(sandbox()).unwrap();
    assert_eq!((request.workspace.as_str(), request.name.as_str()), ("default", "box"));
    assert_eq!(request.image, None);
    assert_eq!(request.image_pull_secrets, None);
}

#[test]
fn a_missing_sandbox_is_refused() {
    let error = SandboxRequest::parse(None, &Faults::none()).unwrap_err();
    assert_eq!(error.to_string(), "sandbox is required");
}

#[rstest]
#[case::no_id("", "box", "default", "sandbox_id is required")]
#[case::no_name("id", "", "default", "sandbox name is required")]
#[case::no_workspace("id", "box", "", "workspace is required")]
#[case::bad_id("a b", "box", "default", "invalid sandbox_id \"a b\"")]
#[case::upper_case("id", "Box", "default", "invalid sandbox name \"Box\": must be a DNS-1123 label")]
#[case::too_long("id", &"a".repeat(64), "default", "no more than 63")]
#[case::bad_workspace("id", "box", "My_Space", "invalid workspace")]
fn identities_that_are_refused(#[case] id: &str, #[case] name: &str, #[case] workspace: &str, #[case] expected: &str) {
    let error = parse(v1::DriverSandbox {
        id: id.to_owned(),
        name: name.to_owned(),
        workspace: workspace.to_owned(),
        ..sandbox()
    })
    .unwrap_err()
    .to_string();
    assert!(error.contains(expected), "{error}");
}

#[rstest]
#[case::absent(json!({}), None)]
#[case::null(json!({ "image_pull_secrets": null }), None)]
#[case::explicitly_none(json!({ "image_pull_secrets": [] }), Some(vec![]))]
#[case::objects(json!({ "image_pull_secrets": [{ "name": "b" }, { "name": "a" }] }), Some(vec!["b", "a"]))]
#[case::strings(json!({ "image_pull_secrets": ["b.c", "a"] }), Some(vec!["b.c", "a"]))]
#[case::mixed(json!({ "image_pull_secrets": ["b", { "name": "a" }] }), Some(vec!["b", "a"]))]
fn pull_secret_overrides(#[case] block: Value, #[case] expected: Option<Vec<&str>>) {
    let expected: Option<Vec<String>> = expected.map(|names| names.into_iter().map(str::to_owned).collect());
    let platform = parse(with_config(Some(&block), None)).unwrap();
    assert_eq!(platform.image_pull_secrets, expected);
    let driver = parse(with_config(None, Some(&json!({ "pod": block })))).unwrap();
    assert_eq!(driver.image_pull_secrets, expected);
}

#[rstest]
#[case::string(json!("a"))]
#[case::number(json!(7))]
#[case::boolean(json!(true))]
#[case::object(json!({ "name": "a" }))]
#[case::list_with_number(json!([7]))]
#[case::list_with_null(json!([null]))]
#[case::list_with_list(json!([["a"]]))]
#[case::empty_name(json!([{ "name": "" }]))]
#[case::empty_string(json!([""]))]
#[case::bad_name(json!([{ "name": "Bad_Name" }]))]
#[case::blank_around(json!([" a"]))]
#[case::null_name(json!([{ "name": null }]))]
#[case::no_name(json!([{}]))]
#[case::extra_key(json!([{ "name": "a", "namespace": "b" }]))]
#[case::duplicate(json!([{ "name": "a" }, "a"]))]
#[case::too_many(json!((0..17).map(|number| format!("s{number}")).collect::<Vec<_>>()))]
#[case::too_long(json!(["a".repeat(254)]))]
fn malformed_overrides_are_refused_and_named(#[case] list: Value) {
    let block = json!({ "image_pull_secrets": list });
    let platform = parse(with_config(Some(&block), None)).unwrap_err().to_string();
    assert!(platform.starts_with("invalid platform_config: image_pull_secrets"), "{platform}");
    let driver = parse(with_config(None, Some(&json!({ "pod": block })))).unwrap_err().to_string();
    assert!(driver.starts_with("invalid kubernetes driver_config: pod.image_pull_secrets"), "{driver}");
}

#[test]
fn sixteen_secrets_are_allowed() {
    let names: Vec<String> = (0..MAXIMUM_PULL_SECRETS).map(|number| format!("s{number}")).collect();
    let block = json!({ "image_pull_secrets": names });
    assert_eq!(parse(with_config(Some(&block), None)).unwrap().image_pull_secrets, Some(names));
}

#[test]
fn both_blocks_may_agree_but_not_differ() {
    let one = json!({ "image_pull_secrets": ["a"] });
    let same = json!({ "pod": { "image_pull_secrets": [{ "name": "a" }] } });
    let other = json!({ "pod": { "image_pull_secrets": [] } });
    let absent = json!({ "pod": { "image_pull_secrets": null } });
    assert_eq!(parse(with_config(Some(&one), Some(&same))).unwrap().image_pull_secrets, Some(vec!["a".to_owned()]));
    assert_eq!(parse(with_config(Some(&one), Some(&absent))).unwrap().image_pull_secrets, Some(vec!["a".to_owned()]));
    let error = parse(with_config(Some(&one), Some(&other))).unwrap_err();
    assert_eq!(error, InvalidRequest::PullSecretsDiffer);
    assert!(error.to_string().contains("image_pull_secrets"));
}

#[test]
fn the_sideload_keys_are_read() {
    let block = json!({
        "supervisor_sideload_method": "init-container",
        "supervisor_image": "r.example/s:1",
        "supervisor_image_pull_policy": "Never",
    });
    let driver = parse(with_config(None, Some(&block))).unwrap().driver;
    assert_eq!(driver.sideload, Some(SideloadMethod::InitContainer));
    assert_eq!(driver.supervisor_image.as_deref(), Some("r.example/s:1"));
    assert_eq!(driver.supervisor_image_pull_policy, Some(PullPolicy::Never));
}

#[rstest]
#[case::resources_as_text(json!({ "resources_raw": "cpu" }), "resources_raw: expected an object, found a string")]
#[case::annotations_as_list(json!({ "annotations": [] }), "annotations: expected an object, found a list")]
#[case::annotation_as_number(json!({ "annotations": { "a": 1 } }), "annotations.a: expected a string")]
#[case::host_users_as_text(json!({ "host_users": "no" }), "host_users: expected a boolean")]
#[case::runtime_class(json!({ "runtime_class_name": "" }), "runtime_class_name: \"\" must not be empty")]
#[case::unknown(json!({ "imagePullSecrets": [] }), "unknown field \"imagePullSecrets\"")]
fn platform_blocks_that_are_refused(#[case] block: Value, #[case] expected: &str) {
    let error = parse(with_config(Some(&block), None)).unwrap_err().to_string();
    assert!(error.starts_with("invalid platform_config: "), "{error}");
    assert!(error.contains(expected), "{error}");
}

#[test]
fn typed_resources_and_a_malformed_raw_block_do_not_meet() {
    let mut sandbox = with_config(Some(&json!({ "resources_raw": "junk" })), None);
    let template = sandbox.spec.as_mut().unwrap().template.as_mut().unwrap();
    template.resources = Some(v1::DriverResourceRequirements { cpu_limit: "1".to_owned(), ..Default::default() });
    assert!(parse(sandbox).is_err());
}

#[test]
fn gpu_counts() {
    let asked = |count| {
        let mut sandbox = sandbox();
        let gpu = Some(v1::GpuResourceRequirements { count });
        sandbox.spec.as_mut().unwrap().resource_requirements = Some(v1::ResourceRequirements { gpu });
        parse(sandbox).map(|request| request.gpus)
    };
    assert_eq!(asked(None), Ok(Some(1)));
    assert_eq!(asked(Some(2)), Ok(Some(2)));
    assert!(asked(Some(0)).is_err());
}

#[test]
fn the_sandboxes_own_environment_goes_before_the_templates() {
    let mut sandbox = with_template(|template| {
        template.environment = [("A".to_owned(), "template".to_owned()), ("B".to_owned(), "b".to_owned())].into();
    });
    sandbox.spec.as_mut().unwrap().environment = [("A".to_owned(), "own".to_owned())].into();
    let environment = parse(sandbox).unwrap().environment;
    assert_eq!(environment["A"], "own");
    assert_eq!(environment["B"], "b");
}

#[rstest]
#[case("")]
#[case("1A")]
#[case("A=B")]
#[case("A B")]
fn environment_names_that_are_refused(#[case] name: &str) {
    let sandbox = with_template(|template| template.environment = [(name.to_owned(), String::new())].into());
    assert!(parse(sandbox).is_err());
}

#[test]
fn long_values_are_shortened_in_messages() {
    let error = parse(with_template(|template| template.image = "X".repeat(5000))).unwrap_err().to_string();
    assert!(error.len() < 400, "{}", error.len());
}
