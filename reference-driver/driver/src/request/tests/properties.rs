//! Whatever a client sends: nothing panics, and what is accepted is an object that the API server takes.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Map;

use super::*;
use crate::config::SandboxDefaults;
use crate::pod::tests::{beside_a_network_container, defaults, full_defaults};
use crate::pod::{Template, validity};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i32>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,12}".prop_map(Value::String),
        "[a-z.-]{0,8}".prop_map(Value::String),
    ];
    // Known keys are drawn often, so that the deeper rules are reached.
    let key = prop_oneof![
        6 => select(&[
            "image_pull_secrets", "name", "pod", "containers", "agent", "resources", "resources_raw", "limits",
            "tolerations", "annotations", "supervisor_image", "supervisor_sideload_method", "volumes", "volume_mounts",
            "mount_path", "persistent_volume_claim", "claim_name", "read_only",
        ][..]).prop_map(str::to_owned),
        1 => ".{0,8}".prop_map(String::from),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::btree_map(key.clone(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A text that is mostly one of the good ones.
fn mostly(good: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![60 => select(good).prop_map(str::to_owned), 1 => ".{0,70}".prop_map(String::from)]
}

/// A JSON value that is mostly of the right kind.
fn value(right: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Value> {
    prop_oneof![120 => right.boxed(), 1 => any_json().boxed()]
}

fn word(good: &'static [&'static str]) -> impl Strategy<Value = Value> {
    value(mostly(good).prop_map(Value::String))
}

/// An object with some of the fields.
fn object(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(key, field)| prop::option::of(field).prop_map(move |value| value.map(|value| (key.to_owned(), value))))
        .collect();
    value(fields.prop_map(|fields| Value::Object(fields.into_iter().flatten().collect()))).boxed()
}

fn list(entry: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    value(prop::collection::vec(entry, 0..4).prop_map(Value::Array)).boxed()
}

fn labels() -> BoxedStrategy<Value> {
    let key = mostly(&["a", "zone", "example.com/kind", "A.b_c-d"]);
    let map = prop::collection::btree_map(key, word(&["", "a", "A.b_c-d", "blue"]), 0..4);
    value(map.prop_map(|map| Value::Object(map.into_iter().collect()))).boxed()
}

fn quantities() -> BoxedStrategy<Value> {
    let name = mostly(&["cpu", "memory", "ephemeral-storage", "nvidia.com/gpu", "hugepages-2Mi", "example.com/x"]);
    let quantity = prop_oneof![
        word(&["0", "1", "2", "500m", "1Gi", "4Mi", "1.5", "1e3", "-1", "1E", "9223372036854775807"]).boxed(),
        (0_u32..5).prop_map(|number| json!(number)).boxed(),
    ];
    value(prop::collection::btree_map(name, quantity, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())))
        .boxed()
}

fn resources() -> BoxedStrategy<Value> {
    object(vec![("requests", quantities()), ("limits", quantities())])
}

fn tolerations() -> BoxedStrategy<Value> {
    list(object(vec![
        ("key", word(&["", "a", "example.com/kind"]).boxed()),
        ("operator", word(&["", "Exists", "Equal"]).boxed()),
        ("value", word(&["", "x"]).boxed()),
        ("effect", word(&["", "NoSchedule", "NoExecute"]).boxed()),
        ("tolerationSeconds", value(any::<i32>().prop_map(|number| json!(number))).boxed()),
    ]))
}

fn secrets() -> BoxedStrategy<Value> {
    let name = || word(&["a", "b", "my.secret", "Bad_Name", ""]).boxed();
    list(prop_oneof![name(), object(vec![("name", name())])].boxed())
}

fn boolean() -> BoxedStrategy<Value> {
    value(any::<bool>().prop_map(Value::Bool)).boxed()
}

fn class() -> BoxedStrategy<Value> {
    word(&["kata", "gvisor", "high.priority"]).boxed()
}

fn driver_block() -> BoxedStrategy<Value> {
    let volume = object(vec![
        ("name", word(&["data", "cache", "workspace"]).boxed()),
        (
            "persistent_volume_claim",
            object(vec![("claim_name", word(&["claim", "my.claim"]).boxed()), ("read_only", boolean())]),
        ),
    ]);
    let mount = object(vec![
        ("name", word(&["data", "cache"]).boxed()),
        ("mount_path", word(&["/data", "/data/", "/sandbox", "/sandbox/x", "/opt/openshell/bin", "/a:b", "/"]).boxed()),
        ("sub_path", word(&["a", "a/b", "../a", "/a"]).boxed()),
        ("read_only", boolean()),
    ]);
    object(vec![
        (
            "pod",
            object(vec![
                ("node_selector", labels()),
                ("runtime_class_name", class()),
                ("tolerations", tolerations()),
                ("priority_class_name", class()),
                ("image_pull_secrets", secrets()),
            ]),
        ),
        (
            "containers",
            object(vec![("agent", object(vec![("resources", resources()), ("volume_mounts", list(mount))]))]),
        ),
        ("volumes", list(volume)),
        ("supervisor_sideload_method", word(&["image-volume", "init-container"]).boxed()),
        ("supervisor_image", word(&["r.example/s:1", "s"]).boxed()),
        ("supervisor_image_pull_policy", word(&["Always", "IfNotPresent", "Never"]).boxed()),
    ])
}

fn platform_block() -> BoxedStrategy<Value> {
    object(vec![
        ("runtime_class_name", class()),
        ("annotations", labels()),
        ("host_users", boolean()),
        ("resources_raw", resources()),
        ("node_selector", labels()),
        ("tolerations", tolerations()),
        ("image_pull_secrets", secrets()),
    ])
}

fn strings(name: &'static [&'static str]) -> impl Strategy<Value = HashMap<String, String>> {
    prop::collection::hash_map(mostly(name), mostly(&["", "1", "x y"]), 0..4)
}

prop_compose! {
    fn any_sandbox()(
        identity in (mostly(&["id-1"]), mostly(&["box", "a"]), mostly(&["default", "team"])),
        image in mostly(&["", "r.example/a:1", "a@sha256:00000000000000000000000000000000"]),
        labels in strings(&["a", "example.com/kind"]),
        environments in (strings(&["A", "B", "OPENSHELL_SANDBOX_ID"]), strings(&["A", "_x", "a.b-c"])),
        process in (prop::collection::vec(mostly(&["sh", "-c", "true"]), 0..4), any::<bool>(), mostly(&["", "debug"])),
        typed in prop::option::of((mostly(&["", "1", "500m"]), mostly(&["", "2"]), mostly(&["", "1Gi"]), mostly(&["", "2Gi"]))),
        gpus in prop::option::of(prop::option::of(0_u32..4)),
        socket in mostly(&["", "/run/agent.sock"]),
        blocks in (prop::option::of(platform_block()), prop::option::of(driver_block())),
    ) -> v1::DriverSandbox {
        let block = |value: Option<Value>| value.as_ref().and_then(Value::as_object).map(structs::from_json);
        let template = v1::DriverSandboxTemplate {
            image,
            agent_socket_path: socket,
            labels,
            environment: environments.0,
            resources: typed.map(|(cpu_request, cpu_limit, memory_request, memory_limit)| {
                v1::DriverResourceRequirements { cpu_request, cpu_limit, memory_request, memory_limit }
            }),
            platform_config: block(blocks.0),
            driver_config: block(blocks.1),
        };
        v1::DriverSandbox {
            id: identity.0,
            name: identity.1,
            workspace: identity.2,
            spec: Some(v1::DriverSandboxSpec {
                log_level: process.2,
                environment: environments.1,
                template: Some(template),
                resource_requirements: gpus.map(|count| v1::ResourceRequirements {
                    gpu: Some(v1::GpuResourceRequirements { count }),
                }),
                command: process.0,
                tty: process.1,
                ..v1::DriverSandboxSpec::default()
            }),
            ..v1::DriverSandbox::default()
        }
    }
}

fn any_defaults() -> impl Strategy<Value = SandboxDefaults> {
    let configurations = [
        defaults(),
        full_defaults(),
        beside_a_network_container(defaults()),
        beside_a_network_container(SandboxDefaults { sideload: SideloadMethod::InitContainer, ..full_defaults() }),
    ];
    (0..configurations.len()).prop_map(move |index| configurations[index].clone())
}

proptest! {
    #[test]
    fn what_is_accepted_is_taken_by_the_api_server(sandbox in any_sandbox(), defaults in any_defaults()) {
        let faults = Faults::none();
        let template = Template { defaults: &defaults, gateway_id: "openshell", faults: &faults };
        let outcome = parse(sandbox).and_then(|request| template.check(&request).map(|()| request));
        match outcome {
            Ok(request) => {
                let problems = validity::problems(&template.render(&request), &template.claims(&request));
                prop_assert!(problems.is_empty(), "{problems:?}");
            }
            Err(error) => {
                let error = error.to_string();
                prop_assert!(error.len() < 1000 && !error.contains(char::is_control), "{error:?}");
                prop_assert!(error.starts_with("invalid ") || error.ends_with(" is required"), "{error:?}");
            }
        }
    }

    #[test]
    fn no_configuration_panics(platform in any_json(), driver in any_json()) {
        let block = |value: Value| if value.is_object() { value } else { json!({ "image_pull_secrets": value }) };
        let _ = parse(with_config(Some(&block(platform)), Some(&block(driver))));
    }

    #[test]
    fn what_is_accepted_of_an_override_is_well_formed(list in any_json()) {
        let outcome = parse(with_config(Some(&json!({ "image_pull_secrets": list })), None));
        if let Ok(SandboxRequest { image_pull_secrets: Some(names), .. }) = outcome {
            prop_assert!(names.len() <= MAXIMUM_PULL_SECRETS);
            for name in &names {
                prop_assert!(names::subdomain_problem(name).is_none());
            }
        }
    }

    #[test]
    fn no_identity_panics(id in ".*", name in ".*", workspace in ".*", image in ".*") {
        let mut sandbox = with_template(|template| template.image = image);
        sandbox.id = id;
        sandbox.name = name;
        sandbox.workspace = workspace;
        if let Ok(request) = parse(sandbox) {
            prop_assert!(names::label_problem(&request.name).is_none());
            prop_assert!(names::label_problem(&request.workspace).is_none());
        }
    }
}

/// The generator must reach acceptance often enough for the first property to mean something.
#[test]
fn the_generator_is_not_idle() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let strategy = any_sandbox();
    let accepted = (0..200).filter(|_| parse(strategy.new_tree(&mut runner).unwrap().current()).is_ok()).count();
    assert!(accepted > 20, "{accepted} of 200");
}
