//! The verbs about what stands around a sandbox in its cluster: volumes, rights, service accounts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Fields of `volume`. Observes `{name, storageClass, claim}`, by default under the volume's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// The name of its claim in the scenario's namespace, exactly as given.
    pub name: String,
    /// Whether the claim is made too. Without it the volume is for the one that the driver makes for a sandbox's workspace:
    /// see `workspaceStorageClass` of the settings of a driver.
    #[serde(default = "VolumeStep::default_claim")]
    pub claim: bool,
}

/// Fields of `rights`. Observes `{sandboxes, elsewhere, cluster}`, each a sorted list of `VERB RESOURCE`: what the driver's
/// service account may do in the namespace of its sandboxes, in another one, and to what is in none;
/// and `secrets: {NAME: {sandboxes, elsewhere}}`, the verbs that it may use on Secrets of these names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RightsStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// Secrets by name: a right may be restricted to some. They need not exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
}

/// Fields of `serviceAccount`. Observes `{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccountStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// Its name; `default` unless given. It is made if there is none.
    #[serde(default = "ServiceAccountStep::default_name")]
    pub name: String,
    /// The pull secrets that it gets.
    #[serde(default)]
    pub pull_secrets: Vec<String>,
}

impl ServiceAccountStep {
    fn default_name() -> String {
        "default".to_owned()
    }
}

impl VolumeStep {
    fn default_claim() -> bool {
        true
    }
}
