//! The driver block: what is read, and what is refused with its path.

use super::*;
use crate::request::{ClaimMount, ClaimVolume};

fn refusal(block: &Value) -> String {
    let error = parse(with_config(None, Some(block))).unwrap_err().to_string();
    assert!(error.starts_with("invalid kubernetes driver_config: "), "{error}");
    error
}

#[rstest]
#[case::unknown_top(json!({ "topology": "sidecar" }), "unknown field \"topology\"")]
#[case::unknown_pod(json!({ "pod": { "nodeSelector": {} } }), "unknown field \"pod.nodeSelector\"")]
#[case::unknown_container(json!({ "containers": { "sidecar": {} } }), "unknown field \"containers.sidecar\"")]
#[case::unknown_agent(json!({ "containers": { "agent": { "image": "a" } } }), "unknown field \"containers.agent.image\"")]
#[case::pod_is_text(json!({ "pod": "a" }), "pod: expected an object, found a string")]
#[case::method(
    json!({ "supervisor_sideload_method": "tarball" }),
    "supervisor_sideload_method: unknown supervisor sideload method 'tarball'; expected 'image-volume' or 'init-container'"
)]
#[case::method_is_number(json!({ "supervisor_sideload_method": 1 }), "supervisor_sideload_method: expected a string")]
#[case::image(json!({ "supervisor_image": "Not An Image" }), "supervisor_image: \"Not An Image\" must be")]
#[case::empty_image(json!({ "supervisor_image": "" }), "supervisor_image: \"\" must not be empty")]
#[case::policy(json!({ "supervisor_image_pull_policy": "Sometimes" }), "supervisor_image_pull_policy: unknown")]
#[case::empty_policy(json!({ "supervisor_image_pull_policy": "" }), "supervisor_image_pull_policy: must not be empty")]
#[case::toleration(json!({ "pod": { "tolerations": [{ "taint": "a" }] } }), "unknown field \"pod.tolerations[0].taint\"")]
#[case::selector(json!({ "pod": { "node_selector": { "a": 1 } } }), "pod.node_selector.a: expected a string, found a number")]
#[case::quantity(
    json!({ "containers": { "agent": { "resources": { "limits": { "cpu": "lots" } } } } }),
    "containers.agent.resources.limits.cpu: \"lots\" must be a quantity"
)]
fn driver_blocks_that_are_refused(#[case] block: Value, #[case] expected: &str) {
    let error = refusal(&block);
    assert!(error.contains(expected), "{error}");
}

/// A block with one volume `data`, which is read-only unless told otherwise, and these mounts of the agent.
fn mounting(mounts: &Value) -> Value {
    json!({
        "volumes": [{ "name": "data", "persistent_volume_claim": { "claim_name": "my.claim" } }],
        "containers": { "agent": { "volume_mounts": mounts } },
    })
}

#[test]
fn claims_and_their_mounts_are_read() {
    let block = json!({
        "volumes": [
            { "name": "data", "persistent_volume_claim": { "claim_name": "my.claim" } },
            { "name": "cache", "persistent_volume_claim": { "claim_name": "cache", "read_only": false } },
        ],
        "containers": { "agent": { "volume_mounts": [
            { "name": "data", "mount_path": "/data/" },
            { "name": "cache", "mount_path": "/cache", "read_only": false, "sub_path": "mine" },
            { "name": "cache", "mount_path": "/cache-to-read", "read_only": true },
        ] } },
    });
    let driver = parse(with_config(None, Some(&block))).unwrap().driver;
    let volume = |name: &str, claim_name: &str, read_only| ClaimVolume {
        name: name.to_owned(),
        claim_name: claim_name.to_owned(),
        read_only,
    };
    assert_eq!(driver.volumes, [volume("data", "my.claim", true), volume("cache", "cache", false)]);
    let mount = |name: &str, path: &str, sub_path: Option<&str>, read_only| ClaimMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        sub_path: sub_path.map(str::to_owned),
        read_only,
    };
    assert_eq!(
        driver.mounts,
        [
            mount("data", "/data", None, true),
            mount("cache", "/cache", Some("mine"), false),
            mount("cache", "/cache-to-read", None, true),
        ]
    );
}

#[rstest]
#[case::no_list(json!({ "volumes": {} }), "volumes: expected a list of objects, found an object")]
#[case::no_object(json!({ "volumes": ["data"] }), "volumes[0]: expected an object, found a string")]
#[case::no_name(json!({ "volumes": [{}] }), "volumes[0].name: is required")]
#[case::bad_name(json!({ "volumes": [{ "name": "Data" }] }), "volumes[0].name: \"Data\" must be a DNS-1123 label")]
#[case::no_claim(json!({ "volumes": [{ "name": "data" }] }), "volumes[0].persistent_volume_claim: is required")]
#[case::unknown_source(json!({ "volumes": [{ "name": "data", "host_path": {} }] }), "unknown field \"volumes[0].host_path\"")]
#[case::no_claim_name(
    json!({ "volumes": [{ "name": "data", "persistent_volume_claim": {} }] }),
    "volumes[0].persistent_volume_claim.claim_name: is required"
)]
#[case::bad_claim_name(
    json!({ "volumes": [{ "name": "data", "persistent_volume_claim": { "claim_name": "../other" } }] }),
    "volumes[0].persistent_volume_claim.claim_name: \"../other\" must be"
)]
#[case::unknown_claim_field(
    json!({ "volumes": [{ "name": "data", "persistent_volume_claim": { "claim_name": "a", "namespace": "b" } }] }),
    "unknown field \"volumes[0].persistent_volume_claim.namespace\""
)]
#[case::read_only_is_text(
    json!({ "volumes": [{ "name": "data", "persistent_volume_claim": { "claim_name": "a", "read_only": "no" } }] }),
    "volumes[0].persistent_volume_claim.read_only: expected a boolean"
)]
#[case::twice(
    json!({ "volumes": [
        { "name": "data", "persistent_volume_claim": { "claim_name": "a" } },
        { "name": "data", "persistent_volume_claim": { "claim_name": "b" } },
    ] }),
    "volumes[1].name: \"data\" is given a second time"
)]
#[case::no_such_volume(mounting(&json!([{ "name": "other", "mount_path": "/a" }])), "volume_mounts[0].name: \"other\" is none of")]
#[case::no_path(mounting(&json!([{ "name": "data" }])), "containers.agent.volume_mounts[0].mount_path: is required")]
#[case::relative(mounting(&json!([{ "name": "data", "mount_path": "a" }])), "mount_path: \"a\" must be an absolute path")]
#[case::parent(mounting(&json!([{ "name": "data", "mount_path": "/a/../etc" }])), "mount_path: \"/a/../etc\" must not contain")]
#[case::sub_path(mounting(&json!([{ "name": "data", "mount_path": "/a", "sub_path": "../b" }])), "volume_mounts[0].sub_path: ")]
#[case::unknown_mount_field(mounting(&json!([{ "name": "data", "mountPath": "/a" }])), "unknown field \"containers.agent.volume_mounts[0].mountPath\"")]
#[case::write_to_read_only(
    mounting(&json!([{ "name": "data", "mount_path": "/a", "read_only": false }])),
    "containers.agent.volume_mounts[0].read_only: must not be false: volume \"data\" is read-only"
)]
#[case::same_target(
    mounting(&json!([{ "name": "data", "mount_path": "/a" }, { "name": "data", "mount_path": "/a/" }])),
    "containers.agent.volume_mounts[1].mount_path: \"/a\" is a mount's target already"
)]
fn volumes_and_mounts_that_are_refused(#[case] block: Value, #[case] expected: &str) {
    let error = refusal(&block);
    assert!(error.contains(expected), "{error}");
}

#[test]
fn the_drivers_own_volumes_keep_their_names() {
    for name in crate::pod::RESERVED_VOLUMES {
        let block = json!({ "volumes": [{ "name": name, "persistent_volume_claim": { "claim_name": "a" } }] });
        assert!(refusal(&block).contains("is reserved by the driver"));
    }
}

#[rstest]
#[case::token("/var/run/secrets/openshell")]
#[case::token_by_its_other_name("/run/secrets/openshell")]
#[case::inside("/var/run/secrets/openshell/token")]
#[case::around("/var/run")]
#[case::supervisor("/opt/openshell/bin")]
#[case::around_the_supervisor("/opt")]
#[case::proc("/proc/1")]
fn protected_directories(#[case] path: &str) {
    let error = refusal(&mounting(&json!([{ "name": "data", "mount_path": path }])));
    assert!(error.contains("containers.agent.volume_mounts[0].mount_path"), "{error}");
}

#[rstest]
#[case::workspace("/sandbox")]
#[case::in_the_workspace("/sandbox/data")]
#[case::beside_the_supervisor("/opt/openshell/data")]
#[case::beside_the_token("/var/run/secrets/openshell-mine")]
fn directories_that_are_the_users(#[case] path: &str) {
    assert!(parse(with_config(None, Some(&mounting(&json!([{ "name": "data", "mount_path": path }]))))).is_ok());
}

#[rstest]
#[case::null(json!(null))]
#[case::boolean(json!(true))]
#[case::number(json!(1.5))]
#[case::text(json!("x"))]
#[case::list(json!([]))]
#[case::list_of_lists(json!([[]]))]
#[case::object(json!({}))]
#[case::object_of_objects(json!({ "": {} }))]
fn no_value_of_another_type_is_taken_at_any_level(#[case] wrong: Value) {
    // Each place with the type that it takes; what is of that type may be accepted there.
    let places = [
        ("/pod", "object"),
        ("/pod/node_selector", "object"),
        ("/pod/runtime_class_name", "text"),
        ("/pod/tolerations", "list"),
        ("/pod/tolerations/0", "object"),
        ("/pod/tolerations/0/key", "text"),
        ("/pod/tolerations/0/tolerationSeconds", "integer"),
        ("/pod/priority_class_name", "text"),
        ("/pod/image_pull_secrets", "list"),
        ("/containers", "object"),
        ("/containers/agent", "object"),
        ("/containers/agent/resources", "object"),
        ("/containers/agent/resources/requests", "object"),
        ("/containers/agent/resources/limits", "object"),
        ("/containers/agent/volume_mounts", "list"),
        ("/containers/agent/volume_mounts/0", "object"),
        ("/containers/agent/volume_mounts/0/mount_path", "text"),
        ("/containers/agent/volume_mounts/0/sub_path", "text"),
        ("/containers/agent/volume_mounts/0/read_only", "boolean"),
        ("/volumes", "list"),
        ("/volumes/0", "object"),
        ("/volumes/0/name", "text"),
        ("/volumes/0/persistent_volume_claim", "object"),
        ("/volumes/0/persistent_volume_claim/claim_name", "text"),
        ("/volumes/0/persistent_volume_claim/read_only", "boolean"),
        ("/supervisor_sideload_method", "text"),
        ("/supervisor_image", "text"),
        ("/supervisor_image_pull_policy", "text"),
    ];
    let whole = json!({
        "pod": {
            "node_selector": { "a": "b" },
            "runtime_class_name": "kata",
            "tolerations": [{ "key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5 }],
            "priority_class_name": "high",
            "image_pull_secrets": ["a"],
        },
        "containers": { "agent": {
            "resources": { "requests": { "cpu": "1" }, "limits": { "cpu": 2 } },
            "volume_mounts": [{ "name": "data", "mount_path": "/data", "sub_path": "a", "read_only": true }],
        } },
        "volumes": [{ "name": "data", "persistent_volume_claim": { "claim_name": "a", "read_only": true } }],
        "supervisor_sideload_method": "init-container",
        "supervisor_image": "r.example/s:1",
        "supervisor_image_pull_policy": "Never",
    });
    assert!(parse(with_config(None, Some(&whole))).is_ok());
    let kind = match &wrong {
        Value::Null => return,
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    for (place, right) in places {
        if right == kind {
            continue;
        }
        let mut block = whole.clone();
        *block.pointer_mut(place).unwrap() = wrong.clone();
        let error = refusal(&block);
        // `/volumes/0/name` is written `volumes[0].name`.
        let path = place[1..].replace("/0", "[0]").replace('/', ".");
        assert!(error.contains(&path), "{path}: {error}");
    }
}
