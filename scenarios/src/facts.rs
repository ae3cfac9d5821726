//! What was probed of a cluster.

use serde_json::{Value, json};

use crate::expression::Expression;
use crate::language::{Feature, ScenarioInstance};

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
        "subject.name",
    ];

    /// Those of them that are lists: one of the elements is enough for a comparison.
    pub(crate) const LISTS: &'static [&'static str] = &["agentSandbox.served"];

    /// Takes a tree with the fields of [`Facts::FIELDS`], and `subject.features` and `subject.absent` as a
    /// [`SubjectProfile`](crate::SubjectProfile) gives them.
    pub fn new(tree: Value) -> Self {
        Self(tree)
    }

    /// The tree.
    pub fn tree(&self) -> &Value {
        &self.0
    }

    /// Every field that `when:` expressions may read: [`Facts::FIELDS`], and `subject.features.NAME` of each feature.
    pub fn fields() -> Vec<String> {
        let features = Feature::ALL.iter().map(|feature| format!("subject.features.{feature}"));
        Self::FIELDS.iter().map(|field| (*field).to_owned()).chain(features).collect()
    }

    /// The first feature that the instance needs and the subject's profile declares absent, with the profile's reason.
    pub(crate) fn absent<'a>(&'a self, instance: &ScenarioInstance) -> Option<(Feature, &'a str)> {
        let declared = self.0.pointer("/subject/absent")?;
        let found = |feature: &Feature| Some((*feature, declared.get(feature.name())?.as_str()?));
        instance.features.iter().find_map(found)
    }

    /// Whether an expression holds for these facts and the instance's parameters (`param.NAME`).
    pub(crate) fn hold(&self, expression: &Expression, instance: &ScenarioInstance) -> bool {
        let mut fields = if self.0.is_object() { self.0.clone() } else { json!({}) };
        fields["param"] = Value::Object(instance.parameters.clone());
        expression.matches(&fields)
    }
}
