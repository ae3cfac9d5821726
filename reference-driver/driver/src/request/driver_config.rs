//! `template.driver_config`: what the user wrote for this driver.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::fields::{Fields, Section};
use super::volumes::{self, ClaimMount, ClaimVolume};
use super::{InvalidRequest, Resources, pull_secrets, shortened, tolerations};
use crate::config::{PullPolicy, SideloadMethod};
use crate::faults::Faults;
use crate::image_reference::reference_problem;
use crate::names;

/// The largest driver block, in bytes of JSON without blanks (the gateway's own limit).
pub const MAXIMUM_DRIVER_CONFIG: usize = 65_536;

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
    /// Claims that are volumes of the pod.
    pub volumes: Vec<ClaimVolume>,
    /// Where the agent sees them.
    pub mounts: Vec<ClaimMount>,
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
        let length = json_length(object);
        if length > MAXIMUM_DRIVER_CONFIG {
            return Err(InvalidRequest::Config {
                section: Section::Driver,
                problem: format!(
                    "template.driver_config has {length} bytes as JSON; at most {MAXIMUM_DRIVER_CONFIG} are allowed"
                ),
            });
        }
        let fields = Fields::root(Section::Driver, object, faults);
        let known = [
            "pod",
            "containers",
            "volumes",
            "supervisor_sideload_method",
            "supervisor_image",
            "supervisor_image_pull_policy",
        ];
        fields.only(if faults.refuses_sideload_override() { &known[..3] } else { &known })?;
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
            volumes: volumes::volumes(&fields)?,
            ..Self::default()
        };
        if let Some(pod) = fields.object("pod")? {
            config.take_pod(&pod, faults)?;
        }
        if let Some(containers) = fields.object("containers")? {
            containers.only(&["agent"])?;
            if let Some(agent) = containers.object("agent")? {
                agent.only(&["resources", "volume_mounts"])?;
                config.agent_resources = Resources::parse(&agent, "resources")?;
                config.mounts = volumes::mounts(&agent, &config.volumes)?;
            }
        }
        Ok(config)
    }

    fn take_pod(&mut self, pod: &Fields<'_>, faults: &Faults) -> Result<(), InvalidRequest> {
        let known = ["node_selector", "runtime_class_name", "tolerations", "priority_class_name", "image_pull_secrets"];
        pod.only(if faults.refuses_driver_override() { &known[..4] } else { &known })?;
        self.node_selector = pod.text_map("node_selector", names::label_key_problem, names::label_value_problem)?;
        self.runtime_class_name = pod.checked_text("runtime_class_name", names::subdomain_problem)?;
        self.tolerations = tolerations::parse(pod)?;
        self.priority_class_name = pod.checked_text("priority_class_name", names::subdomain_problem)?;
        self.image_pull_secrets = pull_secrets::parse(pod)?;
        Ok(())
    }
}

/// How long the block is as JSON, counted without making it.
fn json_length(object: &Map<String, Value>) -> usize {
    struct Count(usize);

    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    // Counting cannot fail, and a block that could not be written would be refused as too long.
    serde_json::to_writer(&mut count, object).map_or(usize::MAX, |()| count.0)
}

fn named<T>(
    fields: &Fields<'_>,
    key: &str,
    parse: impl Fn(&str) -> Result<Option<T>, String>,
) -> Result<Option<T>, InvalidRequest> {
    match fields.text(key)? {
        None => Ok(None),
        // The names that are known are short; a long text need not be repeated whole in the refusal.
        Some(text) => parse(&shortened(text)).map_err(|problem| fields.invalid(key, problem)),
    }
}
