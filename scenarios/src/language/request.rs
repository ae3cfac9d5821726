//! What `validate` and `create` send to the driver.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A sandbox as a step asks the driver for it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SandboxRequest {
    /// The sandbox's name, sent as it is; later steps refer to the sandbox by it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The ID to send; without it a UUID that is the same for each use of the name within the scenario.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Send a request without any sandbox in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub omit: bool,
    /// The name of an `image` step: the agent's image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The agent's image as a reference that is sent as it is, instead of `image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_reference: Option<String>,
    /// Environment variables of the sandbox.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Labels of its pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Its main process; without it the supervisor idles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Typed requests and limits of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<TypedResources>,
    /// How many GPUs it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<u32>,
    /// `template.platform_config`, any JSON; `${image.NAME}` in a string becomes the image's reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_config: Option<Value>,
    /// `template.driver_config`, any JSON; `${image.NAME}` in a string becomes the image's reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_config: Option<Value>,
    /// The workspace; without it `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
}

/// `template.resources`: quantities as Kubernetes writes them; what is not given is sent empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TypedResources {
    /// What is reserved of a processor.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cpu_request: String,
    /// What may be used of a processor.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cpu_limit: String,
    /// What is reserved of the memory.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub memory_request: String,
    /// What may be used of the memory.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub memory_limit: String,
}

/// Requests by the name of their case, in the order they are sent.
pub type CaseRequests = BTreeMap<String, SandboxRequest>;

/// What a `validate` or `create` step sends: one request, or several whose answers are observed by case.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Submission<'a> {
    /// One request; the observation is its answer.
    One(&'a SandboxRequest),
    /// Several requests; the observation has one answer a case.
    Cases(&'a CaseRequests),
}

impl SandboxRequest {
    /// The workspace that is sent.
    pub fn workspace(&self) -> &str {
        self.workspace.as_deref().unwrap_or("default")
    }
}
