//! What the cells of a matrix differ in, as far as a result can depend on it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An axis of the matrix. The provider is none: the same scenario has the same verdict on each, and each is shown it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Axis {
    /// The Kubernetes minor.
    Kubernetes,
    /// The container runtime and its series.
    Runtime,
    /// The feature gates that are set in the cell.
    Gates,
    /// The Agent Sandbox release.
    AgentSandbox,
}

impl Axis {
    /// Every axis.
    pub const ALL: &'static [Self] = &[Self::Kubernetes, Self::Runtime, Self::Gates, Self::AgentSandbox];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Runtime => "runtime",
            Self::Gates => "gates",
            Self::AgentSandbox => "agentSandbox",
        }
    }

    /// What a probed fact (a field of `when:`) can depend on. The provider and the subject are on no axis.
    pub(crate) fn of_fact(field: &str) -> &'static [Self] {
        match field {
            "kubernetes" => &[Self::Kubernetes],
            "capabilities.imageVolume" | "capabilities.imageVolumeSubPath" => {
                &[Self::Kubernetes, Self::Runtime, Self::Gates]
            }
            "capabilities.credentialCheck" => &[Self::Kubernetes, Self::Runtime],
            "capabilities.seccomp" => &[Self::Runtime],
            _ if field.starts_with("runtime.") => &[Self::Runtime],
            _ if field.starts_with("gates.") || field.starts_with("kubeletGates.") => &[Self::Kubernetes, Self::Gates],
            _ if field.starts_with("agentSandbox.") => &[Self::AgentSandbox],
            _ => &[],
        }
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
