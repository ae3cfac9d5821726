//! What the driver was told at start, resolved and validated.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use crate::faults::Faults;
use crate::image_reference::reference_problem;
use crate::names;

/// The image of a sandbox that names none (upstream's default).
pub const DEFAULT_SANDBOX_IMAGE: &str = "ghcr.io/nvidia/openshell-community/sandboxes/base:latest";
/// The repository of the supervisor image (upstream's default); the tag is the driver's version.
pub const DEFAULT_SUPERVISOR_REPOSITORY: &str = "ghcr.io/nvidia/openshell/supervisor";
/// Where a sandbox's SSH socket is (upstream's default).
pub const DEFAULT_SSH_SOCKET_PATH: &str = "/run/openshell/ssh.sock";
/// The user and group of a sandbox's main process (upstream's default).
pub const DEFAULT_SANDBOX_ID: u32 = 1000;
/// How long a sandbox's pod may take to end after it was told to, in seconds.
///
/// Kubernetes' default is 30; the supervisor ends at the first SIGTERM, so a longer grace only delays a stuck pod.
pub const DEFAULT_TERMINATION_GRACE_SECONDS: u32 = 5;

/// Everything the driver was told at start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where gRPC is served.
    pub bind_address: SocketAddr,
    /// The gateway whose sandboxes this driver owns; the value of a label.
    pub gateway_id: String,
    /// What every sandbox's pod is built from.
    pub sandbox: SandboxDefaults,
    /// The faults that are on.
    pub faults: Faults,
}

/// What every sandbox's pod is built from, unless its request says otherwise.
#[derive(Debug, Clone)]
pub struct SandboxDefaults {
    /// The namespace of all sandboxes.
    pub namespace: String,
    /// The pods' service account.
    pub service_account: String,
    /// The image of a sandbox that names none.
    pub image: String,
    /// The pull policy of the agent container; none leaves it to Kubernetes.
    pub image_pull_policy: Option<PullPolicy>,
    /// The names of the pull secrets of a sandbox without an override, in order, without duplicates.
    pub image_pull_secrets: Vec<String>,
    /// The image the supervisor comes from.
    pub supervisor_image: String,
    /// The pull policy of the supervisor image; none leaves it to Kubernetes.
    pub supervisor_image_pull_policy: Option<PullPolicy>,
    /// How the supervisor gets into a pod.
    pub sideload: SideloadMethod,
    /// The gateway's callback address; without it a pod gets no gateway token either.
    pub grpc_endpoint: Option<String>,
    /// The path of a sandbox's SSH socket.
    pub ssh_socket_path: String,
    /// The user of a sandbox's main process.
    pub user_id: u32,
    /// The group of a sandbox's main process.
    pub group_id: u32,
    /// The runtime class of a sandbox that names none.
    pub runtime_class_name: Option<String>,
    /// How long a pod may take to end, in seconds.
    pub termination_grace_seconds: u32,
}

/// How the supervisor gets into a sandbox's pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SideloadMethod {
    /// The supervisor image is mounted as a read-only volume.
    ImageVolume,
    /// An init container of the supervisor image copies the supervisor into an empty directory.
    InitContainer,
}

impl SideloadMethod {
    /// The name as flags, values and requests spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ImageVolume => "image-volume",
            Self::InitContainer => "init-container",
        }
    }
}

impl fmt::Display for SideloadMethod {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for SideloadMethod {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        match text {
            "image-volume" => Ok(Self::ImageVolume),
            "init-container" => Ok(Self::InitContainer),
            other => Err(ConfigError::SideloadMethod(other.to_owned())),
        }
    }
}

/// When the kubelet pulls an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// At each start.
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// Never; the node must have it.
    Never,
}

impl PullPolicy {
    /// Kubernetes' spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }

    /// The policy of that name; an empty text is no policy.
    pub fn parse(field: &'static str, text: &str) -> Result<Option<Self>, ConfigError> {
        match text {
            "" => Ok(None),
            "Always" => Ok(Some(Self::Always)),
            "IfNotPresent" => Ok(Some(Self::IfNotPresent)),
            "Never" => Ok(Some(Self::Never)),
            other => Err(ConfigError::PullPolicy { field, found: other.to_owned() }),
        }
    }
}

/// Why the driver does not start with what it was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The side-load method is none of the two.
    #[error("unknown supervisor sideload method '{0}'; expected 'image-volume' or 'init-container'")]
    SideloadMethod(String),
    /// A pull policy is none of Kubernetes' three.
    #[error(
        "unknown {field} '{found}'; expected 'Always', 'IfNotPresent' or 'Never', or nothing to leave it to Kubernetes"
    )]
    PullPolicy {
        /// The setting.
        field: &'static str,
        /// What it was set to.
        found: String,
    },
    /// The workspace mode is not one this driver has.
    #[error("workspace mode '{0}' is not available; this driver has 'shared'")]
    WorkspaceMode(String),
    /// A setting's value breaks a rule.
    #[error("invalid {field} '{found}': {problem}")]
    Value {
        /// The setting.
        field: &'static str,
        /// What it was set to.
        found: String,
        /// The rule.
        problem: &'static str,
    },
    /// A fault is not in the catalogue.
    #[error("unknown fault '{0}'; --list-faults shows those there are")]
    Fault(String),
}

/// The names of a comma-separated list: trimmed, blanks dropped, a repeated name kept once.
///
/// Repetitions go because the Sandbox's schema keys the list by name and would refuse it.
pub fn parse_pull_secrets(list: &str) -> Result<Vec<String>, ConfigError> {
    let mut names = Vec::new();
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        check("sandbox image pull secret", name, names::subdomain_problem)?;
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Refuses a setting that breaks its rule.
pub(crate) fn check(
    field: &'static str,
    value: &str,
    rule: impl Fn(&str) -> Option<&'static str>,
) -> Result<(), ConfigError> {
    match rule(value) {
        None => Ok(()),
        Some(problem) => Err(ConfigError::Value { field, found: value.to_owned(), problem }),
    }
}

impl SandboxDefaults {
    /// Refuses values that would only fail at the first sandbox.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check("sandbox namespace", &self.namespace, names::label_problem)?;
        check("sandbox service account", &self.service_account, names::subdomain_problem)?;
        check("sandbox image", &self.image, reference_problem)?;
        check("supervisor image", &self.supervisor_image, reference_problem)?;
        if let Some(class) = &self.runtime_class_name {
            check("default runtime class", class, names::subdomain_problem)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::blanks_are_dropped(" a , ,b ", &["a", "b"])]
    #[case::empty("", &[])]
    #[case::only_blanks(" , ,", &[])]
    #[case::order_is_kept("z,a,m", &["z", "a", "m"])]
    #[case::repetitions_are_dropped("a,b,a", &["a", "b"])]
    fn pull_secret_lists(#[case] list: &str, #[case] expected: &[&str]) {
        assert_eq!(parse_pull_secrets(list).unwrap(), expected);
    }

    #[test]
    fn a_bad_pull_secret_name_is_refused() {
        assert!(parse_pull_secrets("good,Bad_Name").unwrap_err().to_string().contains("Bad_Name"));
    }

    #[rstest]
    #[case("tarball")]
    #[case("Image-Volume")]
    #[case("image_volume")]
    #[case("")]
    fn unknown_sideload_methods(#[case] text: &str) {
        assert_eq!(
            text.parse::<SideloadMethod>().unwrap_err().to_string(),
            format!("unknown supervisor sideload method '{text}'; expected 'image-volume' or 'init-container'")
        );
    }
}
