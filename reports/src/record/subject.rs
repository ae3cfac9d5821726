//! The driver under test, as the record has it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The driver under test, as it was named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subject {
    /// What `--subject` takes: `reference`, `chart:…`, `process:…` or `grpc:…`.
    pub reference: String,
    /// The name of its profile.
    pub profile: String,
    /// What `--subject-profile` took, where it was given: a name or a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_file: Option<String>,
    /// The files of values that a chart got.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// The arguments that a process got, beside those that scenarios need.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// The namespace of the sandboxes of a driver that ran already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The faults of the reference driver that were on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// The features that the profile declares absent, with the reasons.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub absent: BTreeMap<String, String>,
}

/// What a subject said of itself when it answered for the first time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObservedSubject {
    /// The name that `GetCapabilities` gave.
    pub name: String,
    /// The version that `GetCapabilities` gave.
    pub version: String,
    /// What it has of later versions of the protocol than the harness speaks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub newer: Vec<String>,
}
