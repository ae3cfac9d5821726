//! Absurd sizes and characters: a refusal with the field's path, in a message that fits into a status.

use serde_json::Map;

use super::*;
use crate::request::{MAXIMUM_DRIVER_CONFIG, MAXIMUM_JSON, MAXIMUM_VARIABLES};

fn refusal(sandbox: v1::DriverSandbox) -> String {
    let error = parse(sandbox).unwrap_err().to_string();
    assert!(error.len() < 1000, "{} bytes", error.len());
    assert!(!error.contains(char::is_control), "{error:?}");
    error
}

/// A driver block of exactly so many bytes of JSON, well-formed but for its size.
fn block_of(bytes: usize) -> Value {
    let mut selector = Map::new();
    let length = |selector: &Map<String, Value>| json!({ "pod": { "node_selector": selector } }).to_string().len();
    while length(&selector) + 130 < bytes {
        selector.insert(format!("key-{:05}", selector.len()), json!("v".repeat(60)));
    }
    // The last value's length makes up for the rest.
    selector.insert("last".to_owned(), json!(""));
    selector.insert("last-but-one".to_owned(), json!(""));
    let rest = bytes - length(&selector);
    selector.insert("last".to_owned(), json!("v".repeat(rest.min(60))));
    selector.insert("last-but-one".to_owned(), json!("v".repeat(rest - rest.min(60))));
    let block = json!({ "pod": { "node_selector": selector } });
    assert_eq!(block.to_string().len(), bytes);
    block
}

#[test]
fn a_driver_block_may_have_64_kib_and_not_a_byte_more() {
    assert_eq!(MAXIMUM_DRIVER_CONFIG, 65_536);
    assert!(parse(with_config(None, Some(&block_of(65_536)))).is_ok());
    let error = refusal(with_config(None, Some(&block_of(65_537))));
    assert!(error.starts_with("invalid kubernetes driver_config: template.driver_config has 65537 bytes"), "{error}");
}

fn variables(count: usize, value: &str) -> std::collections::HashMap<String, String> {
    (0..count).map(|number| (format!("V{number}"), value.to_owned())).collect()
}

#[test]
fn the_environment_has_a_largest_count_over_both_places() {
    let sandbox = |template: usize, own: usize| {
        let mut sandbox = with_template(|part| part.environment = variables(template, "x"));
        sandbox.spec.as_mut().unwrap().environment =
            variables(own, "y").into_iter().map(|(name, value)| (format!("OWN_{name}"), value)).collect();
        sandbox
    };
    assert!(parse(sandbox(MAXIMUM_VARIABLES - 1, 1)).is_ok());
    assert!(refusal(sandbox(MAXIMUM_VARIABLES, 1)).starts_with("invalid spec.environment: "));
    assert!(refusal(sandbox(0, 10_000)).contains("have 10000 variables"));
}

#[test]
fn the_environment_must_fit_into_one_variable() {
    let error = refusal(with_template(|template| template.environment = variables(2, &"x".repeat(MAXIMUM_JSON / 2))));
    assert!(error.contains("bytes as JSON"), "{error}");
}

#[test]
fn the_command_must_fit_into_one_variable_and_name_a_program() {
    let with_command = |command: Vec<String>| {
        let mut sandbox = sandbox();
        sandbox.spec.as_mut().unwrap().command = command;
        sandbox
    };
    assert!(refusal(with_command(vec!["x".repeat(MAXIMUM_JSON)])).starts_with("invalid spec.command: "));
    assert!(refusal(with_command(vec!["sh".to_owned(), "a\0b".to_owned()])).starts_with("invalid spec.command[1]: "));
    assert!(refusal(with_command(vec![String::new()])).starts_with("invalid spec.command[0]: "));
}

#[test]
fn annotations_have_kubernetes_limit() {
    let block = json!({ "annotations": { "a": "x".repeat(240 * 1024) } });
    let error = refusal(with_config(Some(&block), None));
    assert!(error.starts_with("invalid platform_config: annotations: have 245761 bytes"), "{error}");
}

#[rstest]
#[case::name("a\u{7}b", "name in spec.environment \"a\\u{7}b\"")]
#[case::newline("a\nb", "name in spec.environment \"a\\nb\"")]
#[case::parents("..", "name in spec.environment \"..\"")]
fn names_of_variables(#[case] name: &str, #[case] expected: &str) {
    let mut sandbox = sandbox();
    sandbox.spec.as_mut().unwrap().environment = [(name.to_owned(), String::new())].into();
    let error = refusal(sandbox);
    assert!(error.contains(expected), "{error}");
}

#[test]
fn a_value_of_the_environment_is_never_repeated() {
    let mut sandbox = sandbox();
    sandbox.spec.as_mut().unwrap().environment = [("TOKEN".to_owned(), "s3cret\0".to_owned())].into();
    let error = refusal(sandbox);
    assert_eq!(error, "invalid spec.environment[\"TOKEN\"]: must not contain a NUL character");
}

#[test]
fn long_values_are_shortened_wherever_they_are() {
    let long = "x\u{1}".repeat(20_000);
    let blocks = [
        json!({ "supervisor_sideload_method": long }),
        json!({ "supervisor_image": long }),
        json!({ "supervisor_image_pull_policy": long }),
        json!({ long.as_str(): 1 }),
        json!({ "pod": { long.as_str(): 1 } }),
        json!({ "pod": { "node_selector": { long.as_str(): 1 } } }),
        json!({ "pod": { "node_selector": { "a": long } } }),
        json!({ "pod": { "runtime_class_name": long } }),
        json!({ "pod": { "image_pull_secrets": [long] } }),
        json!({ "pod": { "tolerations": [{ "key": "a", "operator": long }] } }),
        json!({ "containers": { "agent": { "resources": { "limits": { long.as_str(): 1 } } } } }),
        json!({ "containers": { "agent": { "resources": { "limits": { "cpu": long } } } } }),
        json!({ "volumes": [{ "name": long }] }),
    ];
    for block in blocks {
        refusal(with_config(None, Some(&block)));
    }
    for change in [
        |sandbox: &mut v1::DriverSandbox, long: String| sandbox.id = long,
        |sandbox: &mut v1::DriverSandbox, long: String| sandbox.name = long,
        |sandbox: &mut v1::DriverSandbox, long: String| sandbox.workspace = long,
        |sandbox: &mut v1::DriverSandbox, long: String| sandbox.spec.as_mut().unwrap().log_level = long,
    ] {
        let mut sandbox = sandbox();
        change(&mut sandbox, long.clone());
        refusal(sandbox);
    }
    for change in [
        |template: &mut v1::DriverSandboxTemplate, long: String| template.image = long,
        |template: &mut v1::DriverSandboxTemplate, long: String| template.agent_socket_path = long,
        |template: &mut v1::DriverSandboxTemplate, long: String| template.labels = [(long, String::new())].into(),
        |template: &mut v1::DriverSandboxTemplate, long: String| template.labels = [("a".to_owned(), long)].into(),
        |template: &mut v1::DriverSandboxTemplate, long: String| {
            template.resources = Some(v1::DriverResourceRequirements { cpu_limit: long, ..Default::default() });
        },
    ] {
        refusal(with_template(|template| change(template, long.clone())));
    }
}
