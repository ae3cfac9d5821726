//! A sandbox as asked for, parsed and validated without touching a cluster.

mod driver_config;
mod fields;
mod platform_config;
mod process;
mod pull_secrets;
mod resources;
mod tolerations;
mod volumes;

use std::collections::{BTreeMap, HashMap};

use sandproof_protocol::structs;
use sandproof_protocol::v1;

pub use driver_config::{DriverConfig, MAXIMUM_DRIVER_CONFIG};
pub use fields::Section;
pub use platform_config::PlatformConfig;
pub use process::{MAXIMUM_JSON, MAXIMUM_VARIABLES};
pub use pull_secrets::MAXIMUM_PULL_SECRETS;
pub use resources::{GPU, Resources};
pub use volumes::{ClaimMount, ClaimVolume};

use crate::faults::Faults;
use crate::image_reference::reference_problem;
use crate::names;

/// The longest user-given value an error message repeats, in characters.
const QUOTED_LIMIT: usize = 80;
/// The largest set of annotations, in bytes of keys and values.
///
/// Kubernetes allows 256 KiB together with those of this driver and of the controller.
const ANNOTATIONS_LIMIT: usize = 240 * 1024;
/// The longest log filter, in bytes.
const LOG_LEVEL_LIMIT: usize = 256;

/// A validated sandbox.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SandboxRequest {
    /// The gateway's identifier.
    pub id: String,
    /// The name within the workspace.
    pub name: String,
    /// The workspace.
    pub workspace: String,
    /// The agent image; none means the driver's default.
    pub image: Option<String>,
    /// The agent's socket, if asked for.
    pub agent_socket_path: Option<String>,
    /// Labels for the pod.
    pub labels: BTreeMap<String, String>,
    /// Environment for the agent: the template's, overlaid by the sandbox's own.
    pub environment: BTreeMap<String, String>,
    /// The main process; empty means the supervisor idles.
    pub command: Vec<String>,
    /// Whether the main process gets a terminal.
    pub tty: bool,
    /// The supervisor's log level, if asked for.
    pub log_level: Option<String>,
    /// Typed requests and limits of the agent, as they were given.
    pub resources: Resources,
    /// How many GPUs are asked for.
    pub gpus: Option<u32>,
    /// What the gateway derived from the public template.
    pub platform: PlatformConfig,
    /// What the user wrote for this driver.
    pub driver: DriverConfig,
    /// The sandbox's own pull secrets: none means the driver's default, an empty list means explicitly none.
    pub image_pull_secrets: Option<Vec<String>>,
}

/// Why a request is refused before anything is created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// Something that must be there is not.
    #[error("{0} is required")]
    Required(&'static str),
    /// A value breaks a rule.
    #[error("invalid {field} {found}: {problem}")]
    Value {
        /// The field.
        field: String,
        /// What it was, quoted and shortened.
        found: String,
        /// The rule.
        problem: String,
    },
    /// A field breaks a rule, and its value is too large or too secret to repeat.
    #[error("invalid {field}: {problem}")]
    Field {
        /// The field.
        field: String,
        /// The rule.
        problem: String,
    },
    /// A configuration block has a key or a value it must not have.
    #[error("invalid {section}: {problem}")]
    Config {
        /// The block.
        section: Section,
        /// The key's path and what is wrong with it.
        problem: String,
    },
    /// Two blocks give different pull secrets.
    #[error(
        "invalid image_pull_secrets: platform_config.image_pull_secrets and driver_config.pod.image_pull_secrets differ; give one of them"
    )]
    PullSecretsDiffer,
}

impl InvalidRequest {
    /// The refusal of a mount at or around a directory that is the driver's.
    pub(crate) fn protected_mount(index: usize, mount: &ClaimMount, directory: &str) -> Self {
        Self::Config {
            section: Section::Driver,
            problem: format!(
                "containers.agent.volume_mounts[{index}].mount_path: {} meets {directory}, which is the driver's",
                quoted(&mount.mount_path)
            ),
        }
    }
}

impl SandboxRequest {
    /// Parses and validates what a client sent; the token it may carry is not kept.
    pub fn parse(sandbox: Option<v1::DriverSandbox>, faults: &Faults) -> Result<Self, InvalidRequest> {
        let sandbox = sandbox.ok_or(InvalidRequest::Required("sandbox"))?;
        check_identity(&sandbox)?;
        let spec = sandbox.spec.unwrap_or_default();
        let template = spec.template.unwrap_or_default();

        let platform = template.platform_config.as_ref().map(structs::to_json).unwrap_or_default();
        let driver = template.driver_config.as_ref().map(structs::to_json).unwrap_or_default();
        let platform = PlatformConfig::parse(&platform, faults)?;
        let driver = DriverConfig::parse(&driver, faults)?;
        let image_pull_secrets = one_override(&platform, &driver)?;

        if !template.image.is_empty() {
            check("template.image", &template.image, reference_problem)?;
        }
        let annotations = platform.annotations.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        if annotations > ANNOTATIONS_LIMIT {
            return Err(InvalidRequest::Config {
                section: Section::Platform,
                problem: format!("annotations: have {annotations} bytes; at most {ANNOTATIONS_LIMIT} are allowed"),
            });
        }
        for (key, value) in sorted(&template.labels) {
            check("key in template.labels", key, names::label_key_problem)?;
            check(&format!("template.labels[{}]", quoted(key)), value, names::label_value_problem)?;
        }
        if !template.agent_socket_path.is_empty() {
            check("template.agent_socket_path", &template.agent_socket_path, socket_problem)?;
        }
        check("spec.log_level", &spec.log_level, log_level_problem)?;
        let environment = process::environment(template.environment, spec.environment)?;
        let command = process::command(spec.command)?;
        let gpus =
            spec.resource_requirements.and_then(|requirements| requirements.gpu).map(|gpu| gpu.count.unwrap_or(1));
        if gpus == Some(0) {
            return Err(value_error("resource_requirements.gpu.count", "0", "must be at least 1"));
        }

        let request = Self {
            id: sandbox.id,
            name: sandbox.name,
            workspace: sandbox.workspace,
            image: Some(template.image).filter(|image| !image.is_empty()),
            agent_socket_path: Some(template.agent_socket_path).filter(|path| !path.is_empty()),
            labels: template.labels.into_iter().collect(),
            environment,
            command,
            tty: spec.tty,
            log_level: Some(spec.log_level).filter(|level| !level.is_empty()),
            resources: Resources::typed(&template.resources.unwrap_or_default())?,
            gpus,
            platform,
            driver,
            image_pull_secrets,
        };
        request.agent_resources().check_together()?;
        Ok(request)
    }

    /// Requests and limits of the agent: the typed values first, then the platform's, then the GPUs, then the driver block's.
    pub fn agent_resources(&self) -> Resources {
        let mut resources = self.resources.clone();
        resources.fill_from(&self.platform.resources);
        if let Some(gpus) = self.gpus {
            resources.limits.entry(GPU.to_owned()).or_insert_with(|| gpus.to_string());
        }
        resources.fill_from(&self.driver.agent_resources);
        resources
    }
}

/// The one pull-secret override of the two places it may be given in.
fn one_override(platform: &PlatformConfig, driver: &DriverConfig) -> Result<Option<Vec<String>>, InvalidRequest> {
    match (&platform.image_pull_secrets, &driver.image_pull_secrets) {
        (Some(one), Some(other)) if one != other => Err(InvalidRequest::PullSecretsDiffer),
        (Some(names), _) | (None, Some(names)) => Ok(Some(names.clone())),
        (None, None) => Ok(None),
    }
}

fn check_identity(sandbox: &v1::DriverSandbox) -> Result<(), InvalidRequest> {
    if sandbox.id.is_empty() {
        return Err(InvalidRequest::Required("sandbox_id"));
    }
    check("sandbox_id", &sandbox.id, names::label_value_problem)?;
    if sandbox.name.is_empty() {
        return Err(InvalidRequest::Required("sandbox name"));
    }
    if sandbox.workspace.is_empty() {
        return Err(InvalidRequest::Required("workspace"));
    }
    check("sandbox name", &sandbox.name, names::label_problem)?;
    check("workspace", &sandbox.workspace, names::label_problem)
}

fn check(field: &str, value: &str, rule: impl Fn(&str) -> Option<&'static str>) -> Result<(), InvalidRequest> {
    match rule(value) {
        None => Ok(()),
        Some(problem) => Err(value_error(field, value, problem)),
    }
}

fn value_error(field: &str, value: &str, problem: &str) -> InvalidRequest {
    InvalidRequest::Value { field: field.to_owned(), found: quoted(value), problem: problem.to_owned() }
}

/// A user-given value as messages show it: quoted, escaped, shortened.
fn quoted(value: &str) -> String {
    format!("\"{}\"", shortened(value))
}

/// A user-given value without quotes: escaped and shortened.
fn shortened(value: &str) -> String {
    let mut shown: String = value.chars().take(QUOTED_LIMIT).flat_map(char::escape_debug).collect();
    if value.chars().nth(QUOTED_LIMIT).is_some() {
        shown.push('…');
    }
    shown
}

/// In order, so that one request is always refused with the same words.
fn sorted(map: &HashMap<String, String>) -> BTreeMap<&String, &String> {
    map.iter().collect()
}

/// Why a path cannot be that of the agent's socket, or nothing if it can.
fn socket_problem(path: &str) -> Option<&'static str> {
    let is_good = path.len() > 1 && path.starts_with('/') && !path.contains(char::is_control);
    (!is_good).then_some("must be an absolute path without control characters")
}

/// Why a text is no log level or filter, or nothing if it may be one; an empty one is allowed.
fn log_level_problem(level: &str) -> Option<&'static str> {
    let is_good = level.len() <= LOG_LEVEL_LIMIT && !level.contains(char::is_control);
    (!is_good).then_some("must be no more than 256 bytes without control characters")
}

#[cfg(test)]
mod tests;
