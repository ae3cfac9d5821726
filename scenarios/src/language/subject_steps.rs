//! The verbs about the driver itself: which of several is spoken to, the socket that one listens on, its API server.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Fields of `use`: the steps behind it speak to another driver of the scenario. Observes `{driver}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UseStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// The name of the observation of a `driver` step.
    pub driver: String,
}

/// Fields of `socket`: looks at the Unix socket that the driver listens on, and knocks as another user.
/// Observes `{exists, listens, directoryMode, socketMode, owner, otherUser}`; modes are octal, `otherUser` is `admitted`, `refused` or null.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SocketStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
}

/// Whether the API server answers a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ApiServerState {
    /// It takes connections and answers none.
    Silent,
    /// It answers.
    Answering,
}

/// Fields of `apiServer`: lets the API server fall silent for the scenario's drivers with `throughRelay`, or answer again.
/// Observes `{state}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiServerStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// What it does from now on.
    pub state: ApiServerState,
}
