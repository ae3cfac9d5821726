//! The reference driver's chart through the real Helm, without a cluster: what it renders in each workspace mode, the rights
//! that it asks for, and what it refuses.
//!
//! Helm is taken from the cache of components; where it is not there, each test says so and proves nothing.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test ends at the first surprise and speaks on the terminal"
)]

use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use rstest::rstest;
use sandproof_clusters::{
    components::{Store, StoreOptions},
    process::{Process, ProcessError},
};
use sandproof_scenarios::yaml;
use serde_json::{Value, json};

fn home() -> Utf8PathBuf {
    Utf8PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The real Helm, if it is in the cache.
async fn helm() -> Option<Utf8PathBuf> {
    let store = Store::open(StoreOptions::from_environment(home().join("clusters"))).unwrap();
    let default = |listed: &sandproof_clusters::components::Listed| listed.name == "helm" && listed.default;
    if !store.list().unwrap().into_iter().any(|listed| default(&listed) && listed.cached) {
        eprintln!(
            "not tested: Helm is not in the cache of components; `./sandproof components build helm` puts it there"
        );
        return None;
    }
    let (progress, _nobody) = tokio::sync::mpsc::unbounded_channel();
    let component = store.obtain("helm", None, &progress).await.unwrap();
    Some(component.file("helm").unwrap().to_owned())
}

/// What the chart renders with these values; its words where it refuses.
async fn render(helm: &Utf8PathBuf, values: &Value) -> Result<Vec<Value>, String> {
    let scratch = tempfile::tempdir().unwrap();
    let scratch = Utf8PathBuf::from_path_buf(scratch.path().to_owned()).unwrap();
    let captured = Process::new(helm)
        .args(["template", "demo", home().join("reference-driver/chart").as_str(), "--namespace", "system"])
        .args(["--kube-version", "v1.36.0", "--api-versions", "agents.x-k8s.io/v1beta1", "--values", "-"])
        .env("HELM_CACHE_HOME", scratch.join("cache"))
        .env("HELM_CONFIG_HOME", scratch.join("config"))
        .env("HELM_DATA_HOME", scratch.join("data"))
        .stdin(values.to_string())
        .run()
        .await;
    match captured {
        Ok(captured) => Ok(captured
            .stdout
            .split("\n---\n")
            .map(|document| yaml::from_str::<Value>(document.trim_start_matches("---")).unwrap())
            .filter(|object| !object.is_null())
            .collect()),
        Err(ProcessError::Failed { stderr, .. }) => Err(stderr),
        Err(error) => panic!("{error}"),
    }
}

fn mode(mode: &str) -> Value {
    let mut driver = json!({ "workspaceMode": mode });
    if mode == "operator" {
        driver["operatorNamespaces"] = json!(["team-a", "team-b"]);
        driver["operatorNamespaceLabel"] = json!("example.com/sandboxes=allowed");
    }
    json!({
        "server": {
            "sandboxNamespace": "boxes",
            "sandboxImagePullSecrets": [{ "name": "one" }, "two", { "name": " " }],
            "drivers": { "kubernetes": driver },
        },
        "sandboxServiceAccount": { "create": mode != "managed" },
    })
}

/// Every right as `where: verb resource`, with the names that it is restricted to.
fn rights(objects: &[Value]) -> BTreeSet<String> {
    let mut rights = BTreeSet::new();
    let roles = objects.iter().filter(|object| matches!(object["kind"].as_str(), Some("Role" | "ClusterRole")));
    for role in roles {
        let place = role["metadata"]["namespace"].as_str().unwrap_or("everywhere");
        for rule in role["rules"].as_array().unwrap() {
            let words = |key: &str| -> Vec<&str> {
                rule[key].as_array().into_iter().flatten().map(|word| word.as_str().unwrap()).collect()
            };
            let names = words("resourceNames");
            let restriction = if names.is_empty() { String::new() } else { format!(" {}", names.join("|")) };
            for group in words("apiGroups") {
                let group = if group.is_empty() { String::new() } else { format!(".{group}") };
                for resource in words("resources") {
                    for verb in words("verbs") {
                        rights.insert(format!("{place}: {verb} {resource}{group}{restriction}"));
                    }
                }
            }
        }
    }
    rights
}

#[rstest]
#[case("shared")]
#[case("managed")]
#[case("operator")]
#[tokio::test]
async fn what_is_rendered(#[case] name: &str) {
    let Some(helm) = helm().await else { return };
    insta::assert_json_snapshot!(format!("rendered-{name}"), render(&helm, &mode(name)).await.unwrap());
}

#[rstest]
#[case("shared")]
#[case("managed")]
#[case("operator")]
#[tokio::test]
async fn the_rights_are_the_smallest_set(#[case] name: &str) {
    let Some(helm) = helm().await else { return };
    let objects = render(&helm, &mode(name)).await.unwrap();
    let rights = rights(&objects);
    // Everything, or anything at all to do with other people's rights, is never among them.
    assert!(!rights.iter().any(|right| right.contains('*') || right.contains("rbac.authorization.k8s.io")));
    insta::assert_json_snapshot!(format!("rights-{name}"), rights);
}

#[tokio::test]
async fn without_secrets_to_copy_there_is_no_right_to_secrets() {
    let Some(helm) = helm().await else { return };
    for name in ["shared", "managed", "operator"] {
        let mut values = mode(name);
        values["server"]["sandboxImagePullSecrets"] = json!([]);
        let rights = rights(&render(&helm, &values).await.unwrap());
        assert!(!rights.iter().any(|right| right.contains("secrets")), "{name}: {rights:?}");
    }
}

#[tokio::test]
async fn the_network_policy_selects_the_drivers_own_sandboxes() {
    let Some(helm) = helm().await else { return };
    let objects = render(&helm, &mode("shared")).await.unwrap();
    let policy = objects.iter().find(|object| object["kind"] == "NetworkPolicy").unwrap();
    // The labels of pod.rs; those of the Sandbox object do not reach its pod.
    assert_eq!(
        policy["spec"]["podSelector"]["matchLabels"],
        json!({ "openshell.ai/managed-by": "openshell", "openshell.ai/gateway-id": "demo" })
    );
    assert_eq!(policy["metadata"]["namespace"], "boxes");
}

#[rstest]
#[case::method(json!({ "supervisor": { "sideloadMethod": "init-container" } }), "OPENSHELL_SUPERVISOR_SIDELOAD_METHOD", "init-container")]
#[case::topology(json!({ "supervisor": { "topology": "sidecar" } }), "OPENSHELL_K8S_TOPOLOGY", "sidecar")]
#[case::proxy(json!({ "supervisor": { "sidecar": { "proxyUid": 2000 } } }), "OPENSHELL_K8S_SIDECAR_PROXY_UID", "2000")]
#[case::aware(
    json!({ "supervisor": { "sidecar": { "processBinaryAwareNetworkPolicy": false } } }),
    "OPENSHELL_K8S_SIDECAR_PROCESS_BINARY_AWARE_NETWORK_POLICY",
    "false"
)]
#[case::size(json!({ "server": { "workspaceDefaultStorageSize": "2Gi" } }), "OPENSHELL_K8S_WORKSPACE_DEFAULT_STORAGE_SIZE", "2Gi")]
#[case::class(json!({ "server": { "workspaceStorageClass": "fast" } }), "OPENSHELL_K8S_WORKSPACE_STORAGE_CLASS", "fast")]
#[case::token(json!({ "server": { "sandboxJwt": { "k8sSaTokenTtlSecs": 86400 } } }), "OPENSHELL_K8S_SA_TOKEN_TTL_SECS", "86400")]
#[case::gateway(json!({ "server": { "sandboxJwt": { "gatewayId": "gate" } } }), "OPENSHELL_GATEWAY_ID", "gate")]
#[case::release(json!({}), "OPENSHELL_GATEWAY_ID", "demo")]
#[case::certificate(json!({ "server": { "clientTlsSecretName": "tls" } }), "OPENSHELL_CLIENT_TLS_SECRET_NAME", "tls")]
#[case::host(json!({ "server": { "hostGatewayIP": "10.0.0.1" } }), "OPENSHELL_HOST_GATEWAY_IP", "10.0.0.1")]
#[case::users(json!({ "server": { "enableUserNamespaces": true } }), "OPENSHELL_ENABLE_USER_NAMESPACES", "true")]
#[case::profile(json!({ "server": { "appArmorProfile": "Unconfined" } }), "OPENSHELL_K8S_APP_ARMOR_PROFILE", "Unconfined")]
#[case::account(json!({ "sandboxServiceAccount": { "create": true } }), "OPENSHELL_K8S_SANDBOX_SERVICE_ACCOUNT", "demo-sandproof-reference-driver-sandbox")]
#[tokio::test]
async fn values_reach_the_driver(#[case] values: Value, #[case] variable: &str, #[case] expected: &str) {
    let Some(helm) = helm().await else { return };
    let objects = render(&helm, &values).await.unwrap();
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let environment = deployment.pointer("/spec/template/spec/containers/0/env").unwrap().as_array().unwrap();
    let found = environment.iter().find(|entry| entry["name"] == variable).map(|entry| &entry["value"]);
    assert_eq!(found, Some(&json!(expected)));
}

#[rstest]
#[case::mode(json!({ "server": { "drivers": { "kubernetes": { "workspaceMode": "private" } } } }), "workspaceMode")]
#[case::nothing_allowed(json!({ "server": { "drivers": { "kubernetes": { "workspaceMode": "operator" } } } }), "which namespaces are allowed")]
#[case::allowed_for_nothing(json!({ "server": { "drivers": { "kubernetes": { "operatorNamespaceLabel": "a" } } } }), "mode operator only")]
#[case::unknown(json!({ "server": { "sandboxImagePullSecret": [] } }), "sandboxImagePullSecret")]
#[case::proxy(json!({ "supervisor": { "sidecar": { "proxyUid": 999 } } }), "proxyUid")]
#[case::everybody(json!({ "networkPolicy": { "gatewayPodSelector": null } }), "gatewayPodSelector")]
#[tokio::test]
async fn values_that_are_refused(#[case] values: Value, #[case] expected: &str) {
    let Some(helm) = helm().await else { return };
    let refusal = render(&helm, &values).await.unwrap_err();
    assert!(refusal.contains(expected), "{refusal}");
}
