//! `taint`: the nodes take no other pods until the scenario ends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a taint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// No pod without a toleration comes to the node.
    NoSchedule,
    /// Beyond that, those that are there have to go.
    NoExecute,
}

/// Fields of `taint`: every node gets the taint. Observes `{nodes}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaintStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// Its key.
    pub key: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
    /// What it does.
    pub effect: TaintEffect,
}

impl TaintEffect {
    /// The effect as Kubernetes spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}
