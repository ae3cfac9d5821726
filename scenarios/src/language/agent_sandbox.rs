//! The verbs that are about Agent Sandbox itself: what is installed, and its objects in each API version.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An API version of the Sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SandboxVersion {
    /// The first one, with `spec.replicas`.
    V1alpha1,
    /// The one after it, with `spec.operatingMode`.
    V1beta1,
}

/// Whether the controller runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ControllerState {
    /// Its Deployment has its one replica.
    Running,
    /// Its Deployment has none, so that nothing reconciles and nothing converts.
    Stopped,
}

/// Fields of `installation`.
/// Observes `{established, served, storage, storedVersions, conversion, caBundle, controllerAvailable}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InstallationStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
}

/// Fields of `change`: exactly one of `controller`, `served` and `release`; only in a scenario that runs alone.
/// What was changed is put back when the scenario ends.
/// Observes what `installation` observes, once the change has taken effect.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// Stop the controller, or start it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<ControllerState>,
    /// The API versions that the CRD serves from now on; of those that it has, and possibly none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<Vec<SandboxVersion>>,
    /// Upgrade to the pinned release that serves exactly these API versions, as its own guide has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Vec<SandboxVersion>>,
}

/// Fields of `store`: a Sandbox that the harness writes itself. Observes `{ok, status, message, object, writtenIn}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoreStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// The object's name; `read` steps refer to it.
    pub name: String,
    /// The API version that it is written in.
    pub version: SandboxVersion,
    /// Its spec, any JSON.
    pub spec: Value,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Fields of `read`. Observes `{ok, status, message, object, writtenIn}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// A sandbox that was asked for, or the name of a `store` step.
    pub sandbox: String,
    /// The API version that it is read in; without it the newest that is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<SandboxVersion>,
}

impl SandboxVersion {
    /// The version as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1alpha1 => "v1alpha1",
            Self::V1beta1 => "v1beta1",
        }
    }
}
