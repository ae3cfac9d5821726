//! What all scenarios of a cluster share: it must be after a scenario as it was before.

use std::collections::BTreeMap;

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Node};
use kube::{Api, Client, ResourceExt, api::ListParams};
use serde_json::json;

use super::{Leftover, objects};
use crate::runner::install::{CONTROLLER_NAMESPACE, Definition};

/// Namespaces whose Deployments everybody needs.
const NAMESPACES: &[&str] = &["kube-system", CONTROLLER_NAMESPACE];

/// The state of a cluster as far as all scenarios share it: each part with what it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shared(BTreeMap<String, String>);

impl Shared {
    /// Reads it. Objects that are being deleted are no part of it.
    pub(crate) async fn read(client: &Client) -> Result<Self, kube::Error> {
        let mut parts = BTreeMap::new();
        for found in objects::all(client).await?.into_iter().filter(|found| !found.is_going()) {
            parts.insert(found.object(), String::new());
        }
        for node in Api::<Node>::all(client.clone()).list(&ListParams::default()).await? {
            parts.insert(format!("Node {}", node.name_any()), node_text(&node));
        }
        for namespace in NAMESPACES {
            let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
            for deployment in deployments.list(&ListParams::default()).await? {
                let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
                let name = format!("Deployment {namespace}/{}", deployment.name_any());
                parts.insert(name, format!("{replicas} replicas"));
            }
        }
        // A cluster need not have it.
        if let Ok(definition) = Definition::read(client).await {
            let served = format!("serving {}", definition.served().join(" and "));
            parts.insert("definition of the Sandbox".to_owned(), served);
        }
        Ok(Self(parts))
    }

    /// How `now` differs from this.
    pub(super) fn changes(&self, now: &Self) -> Vec<Leftover> {
        let mut changes = Vec::new();
        for (part, text) in &now.0 {
            match self.0.get(part) {
                None if text.is_empty() => changes.push(Leftover::new(part, "it was not there before")),
                None => changes.push(Leftover::new(part, format!("it was not there before, and is now: {text}"))),
                Some(before) if before != text => {
                    changes.push(Leftover::new(part, format!("it was: {before}; it is now: {text}")));
                }
                Some(_) => {}
            }
        }
        let gone = self.0.keys().filter(|part| !now.0.contains_key(*part));
        changes.extend(gone.map(|part| Leftover::new(part, "it was there before and is gone")));
        changes
    }
}

/// What of a node decides about pods.
fn node_text(node: &Node) -> String {
    let spec = node.spec.clone().unwrap_or_default();
    let mut taints: Vec<String> = spec
        .taints
        .into_iter()
        .flatten()
        .map(|taint| format!("{}={}:{}", taint.key, taint.value.unwrap_or_default(), taint.effect))
        .collect();
    taints.sort_unstable();
    let unschedulable = spec.unschedulable.unwrap_or(false);
    json!({ "taints": taints, "unschedulable": unschedulable, "labels": node.metadata.labels }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(parts: &[(&str, &str)]) -> Shared {
        Shared(parts.iter().map(|(part, text)| ((*part).to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn every_difference_is_told() {
        let before = shared(&[("Node one", "{}"), ("ClusterRole a", ""), ("Deployment x/y", "1 replicas")]);
        let now = shared(&[
            ("Node one", "{\"taints\":[\"a=b:NoSchedule\"]}"),
            ("ClusterRole b", ""),
            ("Deployment x/y", "1 replicas"),
        ]);
        let told: Vec<String> =
            before.changes(&now).into_iter().map(|change| format!("{}: {}", change.object, change.text)).collect();
        assert_eq!(
            told,
            [
                "ClusterRole b: it was not there before",
                "Node one: it was: {}; it is now: {\"taints\":[\"a=b:NoSchedule\"]}",
                "ClusterRole a: it was there before and is gone",
            ]
        );
        assert_eq!(before.changes(&before), []);
    }

    #[test]
    fn a_taint_a_label_and_a_cordon_are_part_of_a_node() {
        let node: Node = serde_json::from_value(json!({
            "metadata": { "name": "one", "labels": { "a": "b" } },
            "spec": { "unschedulable": true, "taints": [{ "key": "k", "effect": "NoSchedule" }] },
        }))
        .unwrap();
        assert_eq!(node_text(&node), r#"{"labels":{"a":"b"},"taints":["k=:NoSchedule"],"unschedulable":true}"#);
    }
}
