//! Probes a running cluster: what it is, and what it can do, found by asking and by trying.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, LogParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    cluster_state::ClusterState,
    failure::Failure,
    steps::pods::{self, ContainerState},
};

/// How long the probe pod may take; it pulls two small images.
const PROBE_DEADLINE: Duration = Duration::from_mins(1);

/// The namespace and the name of the probe pod.
const PROBE_NAMESPACE: &str = "default";
const PROBE_POD: &str = "sandproof-probe";

/// Where the probe pod mounts the image volume.
const IMAGE_VOLUME: &str = "/image-volume";

/// What the API server, the kubelet and the runtime say of themselves.
pub(crate) async fn identity(client: &Client) -> Result<Value, Failure> {
    let tried = "ask the cluster what it is";
    let failed = |error: kube::Error| Failure::environment(tried, error);
    let version = client.apiserver_version().await.map_err(failed)?;
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await.map_err(failed)?;
    let info = nodes
        .items
        .first()
        .and_then(|node| node.status.as_ref()?.node_info.clone())
        .ok_or_else(|| Failure::environment(tried, "it has no node that reports its versions"))?;
    let node = nodes.items.first().and_then(|node| node.metadata.name.clone()).unwrap_or_default();
    let apiserver_gates = gates(client, "/metrics").await;
    let kubelet_gates = gates(client, &format!("/api/v1/nodes/{node}/proxy/metrics")).await;
    let (runtime, runtime_version) =
        info.container_runtime_version.split_once("://").unwrap_or((&info.container_runtime_version, ""));
    Ok(json!({
        "kubernetes": version.git_version.trim_start_matches('v'),
        "apiserver": version.git_version.trim_start_matches('v'),
        "kubelet": info.kubelet_version.trim_start_matches('v'),
        "runtime": { "name": runtime, "version": runtime_version },
        "kernel": info.kernel_version,
        "gates": { "ImageVolume": both(&apiserver_gates, &kubelet_gates, "ImageVolume") },
        "apiserverGates": { "ImageVolume": apiserver_gates.get("ImageVolume") },
        "kubeletGates": {
            "ImageVolume": kubelet_gates.get("ImageVolume"),
            "KubeletEnsureSecretPulledImages": kubelet_gates.get("KubeletEnsureSecretPulledImages"),
        },
        "agentSandbox": { "served": served(client).await },
    }))
}

/// Runs one pod that mounts an image volume, resolves a name, reaches a Service and reads its own seccomp mode.
pub(crate) async fn capabilities(
    client: &Client,
    state: &ClusterState,
    agent_image: &str,
    supervisor_image: &str,
) -> Result<Value, Failure> {
    let tried = "probe what the cluster can do";
    let failed = |error: kube::Error| Failure::environment(tried, error);
    let api: Api<Pod> = Api::namespaced(client.clone(), PROBE_NAMESPACE);
    let pod: Pod = serde_json::from_value(probe_pod(agent_image, supervisor_image))
        .map_err(|error| Failure::environment(tried, error))?;
    let stored = api.create(&PostParams::default(), &pod).await.map_err(failed)?;
    let kept = stored
        .spec
        .as_ref()
        .and_then(|spec| spec.volumes.as_ref())
        .is_some_and(|volumes| volumes.iter().any(|volume| volume.image.is_some()));
    let waited = state
        .wait(PROBE_DEADLINE, |state| {
            let pod = state.pod(PROBE_NAMESPACE, PROBE_POD)?;
            let status = pods::containers(&pod).into_iter().next()?;
            match status.state {
                ContainerState::Waiting | ContainerState::Running => None,
                _ => Some(status),
            }
        })
        .await;
    let report = match &waited.found {
        Some(status) if status.exit_code.is_some() => {
            let log = api.logs(PROBE_POD, &LogParams::default()).await.unwrap_or_default();
            log.lines().find_map(|line| serde_json::from_str::<Value>(line).ok())
        }
        _ => None,
    };
    let last = state.pod(PROBE_NAMESPACE, PROBE_POD);
    let _ = api.delete(PROBE_POD, &DeleteParams::default().grace_period(0)).await;
    let image_volume = image_volume_fact(kept, waited.found.as_ref(), report.as_ref());
    if report.is_none() && kept && image_volume == "unknown" {
        let events: Vec<String> =
            state.events(PROBE_NAMESPACE).iter().map(|event| format!("{}: {}", event.reason, event.message)).collect();
        return Err(Failure::environment(
            tried,
            format!(
                "the probe pod gave no report within {} s; phase {}, events: {}",
                PROBE_DEADLINE.as_secs(),
                last.as_deref().map_or("none", pods::phase),
                events.join(" | "),
            ),
        ));
    }
    let report = report.unwrap_or_default();
    Ok(json!({
        "imageVolume": image_volume,
        "dns": report.pointer("/dns/ok"),
        "service": report.pointer("/service/ok"),
        "seccomp": report.pointer("/seccomp").and_then(Value::as_i64).map(|mode| mode == 2),
    }))
}

/// `works`, `dropped` (the API server removed it in silence), `refused` (the runtime said no), `empty` or `unknown`.
fn image_volume_fact(kept: bool, status: Option<&pods::ContainerStatus>, report: Option<&Value>) -> &'static str {
    if !kept {
        return "dropped";
    }
    if let Some(executed) = report.and_then(|report| report.pointer("/imageVolume/executed/ok")) {
        return if executed == true { "works" } else { "empty" };
    }
    match status {
        Some(status) if status.state == ContainerState::Failed && status.exit_code.is_none() => "refused",
        _ => "unknown",
    }
}

fn probe_pod(agent_image: &str, supervisor_image: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": PROBE_POD, "namespace": PROBE_NAMESPACE },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "securityContext": { "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": "probe",
                "image": agent_image,
                "command": [
                    "/sandproof-probe", "cluster",
                    "--service-host", "kubernetes.default.svc",
                    "--image-volume", format!("{IMAGE_VOLUME}/openshell-sandbox"),
                ],
                "volumeMounts": [{ "name": "image", "mountPath": IMAGE_VOLUME, "readOnly": true }],
            }],
            "volumes": [{ "name": "image", "image": { "reference": supervisor_image, "pullPolicy": "IfNotPresent" } }],
        },
    })
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
async fn served(client: &Client) -> Vec<String> {
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

    #[test]
    fn a_volume_that_the_api_dropped_is_told_from_one_the_runtime_refused() {
        assert_eq!(image_volume_fact(false, None, None), "dropped");
        let report = json!({"imageVolume": {"executed": {"ok": true}}});
        assert_eq!(image_volume_fact(true, None, Some(&report)), "works");
        let report = json!({"imageVolume": {"executed": {"ok": false}}});
        assert_eq!(image_volume_fact(true, None, Some(&report)), "empty");
    }
}
