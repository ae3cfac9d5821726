//! Probes what a running cluster is, by asking it. What it can do is found by trying, in [`super::capabilities`].

use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client, api::ListParams};
use serde_json::{Value, json};

use super::install::Definition;
use crate::{failure::Failure, place::Place, plan::PlannedCell};

/// What the API server, the kubelet and the runtime say of themselves.
/// What an account may not read is null.
pub(crate) async fn identity(client: &Client, place: &Place, planned: &PlannedCell) -> Result<Value, Failure> {
    let tried = "ask the cluster what it is";
    let failed = |error: kube::Error| Failure::environment(tried, error);
    let version = client.apiserver_version().await.map_err(failed)?;
    let nodes = match Api::<Node>::all(client.clone()).list(&ListParams::default()).await {
        Ok(nodes) => nodes.items,
        Err(kube::Error::Api(status)) if status.is_forbidden() => Vec::new(),
        Err(error) => return Err(failed(error)),
    };
    // Where there are several, it is the one that the probe pods are on.
    let is_it = |node: &&Node| place.node.is_none() || node.metadata.name == place.node;
    let node = nodes.iter().find(is_it);
    let info = node.and_then(|node| node.status.as_ref()?.node_info.clone());
    let runtime = info.as_ref().map(|info| {
        let said = &info.container_runtime_version;
        let (name, version) = said.split_once("://").unwrap_or((said, ""));
        json!({ "name": name, "version": version })
    });
    let node = node.and_then(|node| node.metadata.name.clone()).unwrap_or_default();
    let of_kubelet = format!("/api/v1/nodes/{node}/proxy/metrics");
    let (apiserver_gates, kubelet_gates, served, definition) =
        tokio::join!(gates(client, "/metrics"), gates(client, &of_kubelet), served(client), Definition::read(client));
    Ok(json!({
        "kubernetes": version.git_version.trim_start_matches('v'),
        "apiserver": version.git_version.trim_start_matches('v'),
        "kubelet": info.as_ref().map(|info| info.kubelet_version.trim_start_matches('v')),
        "runtime": runtime,
        "kernel": info.as_ref().map(|info| &info.kernel_version),
        "gates": { "ImageVolume": both(&apiserver_gates, &kubelet_gates, "ImageVolume") },
        "apiserverGates": { "ImageVolume": apiserver_gates.get("ImageVolume") },
        "kubeletGates": {
            "ImageVolume": kubelet_gates.get("ImageVolume"),
            "KubeletEnsureSecretPulledImages": kubelet_gates.get("KubeletEnsureSecretPulledImages"),
        },
        "agentSandbox": { "release": planned.agent_sandbox, "served": served, "conversion": definition.is_ok_and(|definition| definition.converts()) },
    }))
}

/// The feature gates that a metrics page reports.
async fn gates(client: &Client, path: &str) -> serde_json::Map<String, Value> {
    let request = http::Request::get(path).body(Vec::new());
    let text = match request {
        Ok(request) => client.request_text(request).await.unwrap_or_default(),
        Err(_) => String::new(),
    };
    parse_gates(&text)
}

/// Reads lines such as `kubernetes_feature_enabled{name="ImageVolume",stage=""} 1`.
fn parse_gates(text: &str) -> serde_json::Map<String, Value> {
    text.lines()
        .filter_map(|line| {
            let rest = line.strip_prefix("kubernetes_feature_enabled{name=\"")?;
            let (name, rest) = rest.split_once('"')?;
            let (_, value) = rest.rsplit_once(' ')?;
            Some((name.to_owned(), Value::Bool(value == "1")))
        })
        .collect()
}

/// On only where both the API server and the kubelet have it on; unknown where one does not say.
fn both(apiserver: &serde_json::Map<String, Value>, kubelet: &serde_json::Map<String, Value>, gate: &str) -> Value {
    match (apiserver.get(gate), kubelet.get(gate)) {
        (Some(Value::Bool(left)), Some(Value::Bool(right))) => Value::Bool(*left && *right),
        _ => Value::Null,
    }
}

/// The served versions of the Agent Sandbox API, for example `["v1beta1"]`.
pub(crate) async fn served(client: &Client) -> Vec<String> {
    let Ok(groups) = client.list_api_groups().await else { return Vec::new() };
    groups
        .groups
        .into_iter()
        .find(|group| group.name == "agents.x-k8s.io")
        .map(|group| group.versions.into_iter().map(|version| version.version).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_read_from_metrics() {
        let text = "# HELP x\nkubernetes_feature_enabled{name=\"ImageVolume\",stage=\"\"} 1\nkubernetes_feature_enabled{name=\"Other\",stage=\"ALPHA\"} 0\n";
        let gates = parse_gates(text);
        assert_eq!(gates["ImageVolume"], true);
        assert_eq!(gates["Other"], false);
    }

    #[test]
    fn a_gate_is_on_only_where_both_have_it_on() {
        let on = parse_gates("kubernetes_feature_enabled{name=\"ImageVolume\",stage=\"\"} 1\n");
        let off = parse_gates("kubernetes_feature_enabled{name=\"ImageVolume\",stage=\"\"} 0\n");
        assert_eq!(both(&on, &on, "ImageVolume"), true);
        assert_eq!(both(&on, &off, "ImageVolume"), false);
        assert_eq!(both(&on, &serde_json::Map::new(), "ImageVolume"), Value::Null);
    }
}
