//! Where in its cluster a run puts things: anywhere in one of its own, in namespaces of its own in somebody else's.

use std::collections::BTreeMap;

use sandproof_clusters::provider::Guest;
use serde_json::{Value, json};

/// Where in its cluster a run puts things.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// What the names of its namespaces start with.
    prefix: String,
    /// What everything that it creates is labelled with.
    labels: BTreeMap<String, String>,
    /// The namespace of the probe pods.
    pub(crate) probes: String,
    /// The node that pods have to be on which rely on one another; any where there is but one.
    pub(crate) node: Option<String>,
}

impl Place {
    /// In a cluster of the run's own, or where a guest may put things.
    pub(crate) fn of(guest: Option<&Guest>) -> Self {
        match guest {
            None => Self { prefix: String::new(), labels: BTreeMap::new(), probes: "default".to_owned(), node: None },
            Some(guest) => Self {
                prefix: format!("{}-", guest.prefix),
                labels: guest.labels.clone(),
                probes: guest.namespace.clone(),
                node: guest.nodes.first().filter(|_| guest.nodes.len() > 1).cloned(),
            },
        }
    }

    /// Whether the cluster is somebody else's.
    pub(crate) fn is_guest(&self) -> bool {
        !self.prefix.is_empty()
    }

    /// The name of a namespace.
    pub(crate) fn namespace(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Puts the labels on an object.
    pub(crate) fn label(&self, object: &mut Value) {
        for (name, value) in &self.labels {
            object["metadata"]["labels"][name] = json!(value);
        }
    }

    /// Puts a pod on the one node, where that matters.
    pub(crate) fn pin(&self, pod: &mut Value) {
        if let Some(node) = &self.node {
            pod["spec"]["affinity"] = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [node] }] }],
            }}});
        }
    }
}

#[cfg(test)]
mod tests {
    use sandproof_clusters::existing::{self, AgentSandboxFound, Rights};

    use super::*;

    #[test]
    fn a_cluster_of_ones_own_has_no_marks() {
        let place = Place::of(None);
        let mut object = json!({ "metadata": { "name": "a" } });
        place.label(&mut object);
        place.pin(&mut object);
        assert_eq!(object, json!({ "metadata": { "name": "a" } }));
        assert_eq!(place.namespace("ps-01-0"), "ps-01-0");
    }

    #[test]
    fn a_guest_marks_what_it_makes() {
        let guest = Guest {
            prefix: existing::prefix("20260101-000000-1a2b"),
            namespace: "sandproof-1a2b-probe".to_owned(),
            labels: existing::labels("20260101-000000-1a2b"),
            agent_sandbox: AgentSandboxFound::Absent,
            rights: Rights::default(),
            nodes: vec!["one".to_owned(), "two".to_owned()],
        };
        let place = Place::of(Some(&guest));
        let mut object = json!({ "metadata": { "name": "a", "labels": { "b": "c" } } });
        place.label(&mut object);
        assert_eq!(object["metadata"]["labels"][existing::RUN_LABEL], "20260101-000000-1a2b");
        assert_eq!(object["metadata"]["labels"]["b"], "c");
        assert_eq!(place.namespace("ps-01-0"), "sandproof-1a2b-ps-01-0");
        let mut pod = json!({ "spec": {} });
        place.pin(&mut pod);
        assert!(pod.to_string().contains(r#""values":["one"]"#), "{pod}");
    }
}
