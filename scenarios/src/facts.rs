//! What was probed of a cluster.

use serde_json::{Value, json};

use crate::expression::Expression;
use crate::language::ScenarioInstance;

/// What was probed of a cluster, as a tree that `when:` expressions read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts(Value);

impl Facts {
    /// The fields that `when:` expressions may read: what is probed of every cluster, and nothing else.
    pub const FIELDS: &'static [&'static str] = &[
        "kubernetes",
        "runtime.name",
        "runtime.version",
        "gates.ImageVolume",
        "kubeletGates.ImageVolume",
        "kubeletGates.KubeletEnsureSecretPulledImages",
        "capabilities.imageVolume",
        "capabilities.imageVolumeSubPath",
        "capabilities.credentialCheck",
        "capabilities.dns",
        "capabilities.service",
        "capabilities.seccomp",
        "agentSandbox.release",
        "agentSandbox.served",
        "agentSandbox.conversion",
        "provider",
        "subject",
        "subject.*",
    ];

    /// Those of them that are lists: one of the elements is enough for a comparison.
    pub(crate) const LISTS: &'static [&'static str] = &["agentSandbox.served"];

    /// Takes a tree with the fields of [`Facts::FIELDS`].
    pub fn new(tree: Value) -> Self {
        Self(tree)
    }

    /// The tree.
    pub fn tree(&self) -> &Value {
        &self.0
    }

    /// Whether an expression holds for these facts and the instance's parameters (`param.NAME`).
    pub(crate) fn hold(&self, expression: &Expression, instance: &ScenarioInstance) -> bool {
        let mut fields = if self.0.is_object() { self.0.clone() } else { json!({}) };
        fields["param"] = Value::Object(instance.parameters.clone());
        expression.matches(&fields)
    }
}
