//! The verbs about workspaces and about what happens behind the driver's back.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the driver maps workspaces to namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WorkspaceMode {
    /// All sandboxes are in one namespace, the scenario's (the default).
    #[default]
    Shared,
    /// The driver makes a namespace for each workspace.
    Managed,
    /// A workspace is a namespace that somebody else made and allowed.
    Operator,
}

impl WorkspaceMode {
    /// The mode as charts and flags spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Managed => "managed",
            Self::Operator => "operator",
        }
    }

    /// Whether it is the mode of a driver that is told none.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// Fields of `stop` and `start`: `sandbox`, or `id` and `name` as they are sent. Observes `{code, message, seconds}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LifeCycleStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// A sandbox of this scenario.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
    /// The `sandbox_id` to send as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The `sandbox_name` to send as it is, beside `id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Fields of `ensureWorkspace` and `deleteWorkspace`. Observes `{code, message}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkspaceStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// The workspace.
    pub workspace: String,
}

/// Fields of `namespace`: makes the namespace of a workspace past the driver, as somebody else. Observes `{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespaceStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// The workspace whose namespace it would be.
    pub workspace: String,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Fields of `lookAt`: reads the namespace of a workspace from the API server, after it is gone if it is being deleted.
/// Observes `{name, exists, labels, secrets: {NAME: {type, labels, sameAsSource}}, serviceAccounts, networkPolicies: [{name, pods}], sandboxes}`;
/// `pods` are the names of the pods that a policy selects.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LookAtStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// The workspace.
    pub workspace: String,
}

/// Fields of `remove`: exactly one of `sandbox`, `pod`, `driver` and `process`. It is deleted past the driver.
/// Observes `{removed, back}`; `back` is whether the driver answers again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemoveStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// The Sandbox object of this sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
    /// The pod of this sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The driver's own pod, so that it is started anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub driver: bool,
    /// The driver's process, which is killed at once and started again in the same place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub process: bool,
}

/// Fields of `rotate`: gives a user of the registry another password; secrets that exist keep the old one. Observes `{user}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// The user.
    pub user: String,
}
