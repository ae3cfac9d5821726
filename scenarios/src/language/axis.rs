//! What the cells of a matrix differ in, as far as a result can depend on it.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{SeqAccess, Visitor, value::SeqAccessDeserializer, value::StrDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

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

/// An entry of `variesWith`: what a scenario is shown, where not every cell runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(untagged)]
pub enum Variation {
    /// Each value of one axis.
    Each(Axis),
    /// Each combination of the values of several axes.
    Together(Vec<Axis>),
}

impl Variation {
    /// Every combination of everything.
    pub(crate) fn everything() -> Vec<Self> {
        vec![Self::Together(Axis::ALL.to_vec())]
    }

    /// Its axes.
    pub fn axes(&self) -> &[Axis] {
        match self {
            Self::Each(axis) => std::slice::from_ref(axis),
            Self::Together(axes) => axes,
        }
    }
}

/// By hand, because a mistake in an untagged enum has neither its place nor its reason.
impl<'de> Deserialize<'de> for Variation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;

        impl<'de> Visitor<'de> for Entry {
            type Value = Variation;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an axis, or a list of axes whose combinations count")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Axis::deserialize(StrDeserializer::new(text)).map(Variation::Each)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(entries)).map(Variation::Together)
            }
        }

        deserializer.deserialize_any(Entry)
    }
}
