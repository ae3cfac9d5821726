//! `run`: an image's own program, as containers of pods that no driver made.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Fields of `run`. Each case is a pod of its own, which has an empty directory at `/dest`.
/// Observes `{exitCode, message, file}` by the name of each case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// The name of an `image` step.
    pub image: String,
    /// What is run, by name.
    pub cases: BTreeMap<String, RunCase>,
}

/// One run of the image's entry point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunCase {
    /// The arguments of its entry point.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// A file that is looked at afterwards, from another container of the pod: what `probe` says of a supervisor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look_at: Option<String>,
}
