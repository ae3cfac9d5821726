//! `template.driver_config`: what the user wrote for this driver.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::fields::{Fields, Section, kind_of};
use super::{InvalidRequest, Resources, pull_secrets, quoted};
use crate::config::{PullPolicy, SideloadMethod};
use crate::faults::Faults;
use crate::image_reference::reference_problem;
use crate::names;

/// The driver block of a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DriverConfig {
    /// Labels a node must have.
    pub node_selector: BTreeMap<String, String>,
    /// The pod's runtime class.
    pub runtime_class_name: Option<String>,
    /// Tolerations in Kubernetes' form.
    pub tolerations: Vec<Value>,
    /// The pod's priority class.
    pub priority_class_name: Option<String>,
    /// The pull-secret override.
    pub image_pull_secrets: Option<Vec<String>>,
    /// Requests and limits of the agent; all others go before them.
    pub agent_resources: Resources,
    /// How the supervisor gets into this pod; none means the driver's default.
    pub sideload: Option<SideloadMethod>,
    /// The image the supervisor comes from; none means the driver's default.
    pub supervisor_image: Option<String>,
    /// The pull policy of the supervisor image; none means the driver's default.
    pub supervisor_image_pull_policy: Option<PullPolicy>,
}

impl DriverConfig {
    /// Parses the block; an unknown key is refused at every level.
    pub(super) fn parse(object: &Map<String, Value>, faults: &Faults) -> Result<Self, InvalidRequest> {
        let fields = Fields::root(Section::Driver, object);
        let known =
            ["pod", "containers", "supervisor_sideload_method", "supervisor_image", "supervisor_image_pull_policy"];
        fields.only(if faults.refuses_sideload_override() { &known[..2] } else { &known })?;
        let mut config = Self {
            sideload: named(&fields, "supervisor_sideload_method", |text| {
                text.parse::<SideloadMethod>().map(Some).map_err(|error| error.to_string())
            })?,
            supervisor_image: fields.checked_text("supervisor_image", reference_problem)?,
            supervisor_image_pull_policy: named(&fields, "supervisor_image_pull_policy", |text| {
                if text.is_empty() {
                    return Err("must not be empty; leave it out for the driver's default".to_owned());
                }
                PullPolicy::parse("supervisor image pull policy", text).map_err(|error| error.to_string())
            })?,
            ..Self::default()
        };
        if let Some(pod) = fields.object("pod")? {
            config.take_pod(&pod, faults)?;
        }
        if let Some(containers) = fields.object("containers")? {
            containers.only(&["agent"])?;
            if let Some(agent) = containers.object("agent")? {
                agent.only(&["resources"])?;
                config.agent_resources = Resources::parse(&agent, "resources")?;
            }
        }
        Ok(config)
    }

    fn take_pod(&mut self, pod: &Fields<'_>, faults: &Faults) -> Result<(), InvalidRequest> {
        let known = ["node_selector", "runtime_class_name", "tolerations", "priority_class_name", "image_pull_secrets"];
        pod.only(if faults.refuses_driver_override() { &known[..4] } else { &known })?;
        self.node_selector = pod.text_map("node_selector", names::label_key_problem, names::label_value_problem)?;
        self.runtime_class_name = pod.checked_text("runtime_class_name", names::subdomain_problem)?;
        self.tolerations = tolerations(pod)?;
        self.priority_class_name = pod.checked_text("priority_class_name", names::subdomain_problem)?;
        self.image_pull_secrets = pull_secrets::parse(pod, faults)?;
        Ok(())
    }
}

/// The tolerations under the key of that name, in Kubernetes' form.
pub(super) fn tolerations(fields: &Fields<'_>) -> Result<Vec<Value>, InvalidRequest> {
    let list = fields.list("tolerations", "a list of objects")?.unwrap_or_default();
    for (index, toleration) in list.iter().enumerate() {
        if let Some(problem) = toleration_problem(toleration) {
            return Err(fields.invalid(&format!("tolerations[{index}]"), problem));
        }
    }
    Ok(list.to_vec())
}

fn toleration_problem(toleration: &Value) -> Option<String> {
    let Some(object) = toleration.as_object() else {
        return Some(format!("expected an object, found {}", kind_of(toleration)));
    };
    object.iter().find_map(|(key, value)| match key.as_str() {
        "key" | "operator" | "value" | "effect" if value.is_string() => None,
        "tolerationSeconds" if value.is_i64() => None,
        "key" | "operator" | "value" | "effect" => Some(format!("{key}: expected a string, found {}", kind_of(value))),
        "tolerationSeconds" => Some(format!("{key}: expected a whole number, found {}", kind_of(value))),
        _ => Some(format!(
            "unknown field {}; expected one of key, operator, value, effect, tolerationSeconds",
            quoted(key)
        )),
    })
}

fn named<T>(
    fields: &Fields<'_>,
    key: &str,
    parse: impl Fn(&str) -> Result<Option<T>, String>,
) -> Result<Option<T>, InvalidRequest> {
    match fields.text(key)? {
        None => Ok(None),
        Some(text) => parse(text).map_err(|problem| fields.invalid(key, problem)),
    }
}
