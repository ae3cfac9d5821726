//! What was reached in a cell, as it was probed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ObservedSubject, gate_pairs};

/// What was reached. A field that could not be read is `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Observed {
    /// The version the API server reports.
    #[serde(default)]
    pub apiserver: Option<String>,
    /// The version the kubelet reports.
    #[serde(default)]
    pub kubelet: Option<String>,
    /// The runtime and its version, as the node reports them, such as `cri-o://1.36.0`.
    #[serde(default)]
    pub runtime: Option<String>,
    /// The release of Agent Sandbox that runs.
    #[serde(default)]
    pub agent_sandbox: Option<String>,
    /// The same in parts, as conditions read them; absent in records of harnesses that wrote the sentence only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_sandbox_parts: Option<AgentSandboxParts>,
    /// The feature gates that both the API server's and the kubelet's metrics report as on.
    #[serde(default)]
    pub gates: BTreeMap<String, bool>,
    /// The feature gates that the kubelet's metrics report otherwise, or that only the kubelet has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kubelet_gates: BTreeMap<String, bool>,
    /// What was found by trying: each capability and how it went, such as `imageVolume` and `works`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub capabilities: BTreeMap<String, String>,
    /// Where the cluster differs from a usual one because of the host.
    #[serde(default)]
    pub adaptations: Vec<Adaptation>,
    /// What the subject said of itself; absent where none answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<ObservedSubject>,
}

/// What was found of Agent Sandbox, in the parts that conditions read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentSandboxParts {
    /// The release, such as `1.0.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The API versions that are served, sorted.
    #[serde(default)]
    pub served: Vec<String>,
    /// Whether its definitions convert between API versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversion: Option<bool>,
}

/// One way in which a cluster differs from a usual one because of the host it runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Adaptation {
    /// What was changed.
    pub name: String,
    /// Why the host needs it.
    pub reason: String,
}

impl Observed {
    /// What was observed as pairs of name and value; what could not be read is left out.
    pub fn pairs(&self) -> Vec<(String, String)> {
        let mut pairs: Vec<(String, String)> = [
            ("apiserver", &self.apiserver),
            ("kubelet", &self.kubelet),
            ("runtime", &self.runtime),
            ("agentSandbox", &self.agent_sandbox),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)))
        .collect();
        pairs.extend(gate_pairs("gates", &self.gates));
        pairs.extend(gate_pairs("kubeletGates", &self.kubelet_gates));
        pairs.extend(self.capabilities.iter().map(|(name, found)| (format!("capabilities.{name}"), found.clone())));
        pairs.extend(
            self.adaptations
                .iter()
                .map(|adaptation| (format!("adaptation.{}", adaptation.name), adaptation.reason.clone())),
        );
        if let Some(subject) = &self.subject {
            pairs.push(("subject".to_owned(), format!("{} {}", subject.name, subject.version)));
            pairs.extend(subject.newer.iter().map(|newer| ("subject.newer".to_owned(), newer.clone())));
        }
        pairs
    }
}

impl Adaptation {
    /// An adaptation with its reason.
    pub fn new(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { name: name.into(), reason: reason.into() }
    }
}
