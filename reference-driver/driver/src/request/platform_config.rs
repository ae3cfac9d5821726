//! `template.platform_config`: what the gateway derived from the public template, and the pull-secret override.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::fields::{Fields, Section};
use super::{InvalidRequest, Resources, pull_secrets, tolerations};
use crate::faults::Faults;
use crate::names;

/// The platform block of a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlatformConfig {
    /// The pod's runtime class; it goes before the driver block's.
    pub runtime_class_name: Option<String>,
    /// Annotations for the pod.
    pub annotations: BTreeMap<String, String>,
    /// Whether the pod uses the host's user namespace.
    pub host_users: Option<bool>,
    /// Requests and limits of the agent; the typed ones go before them.
    pub resources: Resources,
    /// Labels a node must have; they go before the driver block's.
    pub node_selector: BTreeMap<String, String>,
    /// Tolerations, followed by the driver block's.
    pub tolerations: Vec<Value>,
    /// The pull-secret override.
    pub image_pull_secrets: Option<Vec<String>>,
}

impl PlatformConfig {
    /// Parses the block; an unknown key is refused, because dropping it silently would hide that it has no effect.
    pub(super) fn parse(object: &Map<String, Value>, faults: &Faults) -> Result<Self, InvalidRequest> {
        let fields = Fields::root(Section::Platform, object, faults);
        fields.only(&[
            "runtime_class_name",
            "annotations",
            "host_users",
            "resources_raw",
            "node_selector",
            "tolerations",
            "image_pull_secrets",
        ])?;
        Ok(Self {
            runtime_class_name: fields.checked_text("runtime_class_name", names::subdomain_problem)?,
            annotations: fields.text_map("annotations", names::label_key_problem, annotation_problem)?,
            host_users: fields.boolean("host_users")?,
            resources: match Resources::parse(&fields, "resources_raw") {
                Err(_) if faults.accepts_malformed_resources() => Resources::default(),
                outcome => outcome?,
            },
            node_selector: fields.text_map("node_selector", names::label_key_problem, names::label_value_problem)?,
            tolerations: tolerations::parse(&fields)?,
            image_pull_secrets: if faults.ignores_platform_override() { None } else { pull_secrets::parse(&fields)? },
        })
    }
}

fn annotation_problem(value: &str) -> Option<&'static str> {
    value.contains('\0').then_some("must not contain a NUL character")
}
