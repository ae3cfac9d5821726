//! What the driver was told at start, resolved and validated.
//!
//! A flag goes before an environment variable, that before the configuration file, and that before a default.

mod error;
mod file;
mod resolve;
mod sandbox;
mod settings;
mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

pub use error::ConfigError;
pub(crate) use file::{ConfigFile, FileError};
pub(crate) use resolve::{check, parse_gateway_id};
pub use sandbox::{
    DEFAULT_SANDBOX_ID, DEFAULT_SANDBOX_IMAGE, DEFAULT_SSH_SOCKET_PATH, DEFAULT_SUPERVISOR_REPOSITORY,
    DEFAULT_TERMINATION_GRACE_SECONDS, SandboxDefaults,
};
pub(crate) use settings::Settings;
pub use values::{PullPolicy, SideloadMethod};

use crate::faults::Faults;

/// The gateway of a driver that was told none (upstream's default).
pub const DEFAULT_GATEWAY_ID: &str = "openshell";
/// The namespace of a driver that was told none (upstream's default for the standalone binary).
pub const DEFAULT_NAMESPACE: &str = "default";

/// Everything the driver was told at start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where gRPC is served.
    pub listen: Listen,
    /// The gateway whose sandboxes this driver owns; the value of a label.
    pub gateway_id: String,
    /// How workspaces map to namespaces.
    pub workspaces: WorkspaceMode,
    /// Who may reach the SSH port of sandboxes in namespaces that this driver made; none leaves it closed or open as it is.
    pub managed_ssh: Option<ManagedSsh>,
    /// What every sandbox's pod is built from.
    pub sandbox: SandboxDefaults,
    /// The faults that are on.
    pub faults: Faults,
}

/// Where gRPC is served, in plaintext and without authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket, which only processes of the same user can use.
    Socket(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Socket(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// How workspaces map to namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkspaceMode {
    /// All sandboxes are in one namespace, and their objects are named `{workspace}--{name}`.
    Shared,
    /// The driver makes a namespace `openshell-{gateway_id}-{workspace}` for each workspace, and deletes it.
    Managed,
    /// A workspace is a namespace that somebody else made and allowed.
    Operator(AllowList),
}

impl WorkspaceMode {
    /// The name as flags and values spell it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Managed => "managed",
            Self::Operator(_) => "operator",
        }
    }
}

/// Which namespaces may be used as workspaces; one that is told nothing about is not.
///
/// A namespace must pass each of the two that is set, and at least one is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowList {
    /// The label it must have.
    pub label: Option<NamespaceLabel>,
    /// The file it must be named in.
    pub file: Option<PathBuf>,
}

/// A label with, or without, its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceLabel {
    /// The label's key.
    pub key: String,
    /// The label's value; none means any.
    pub value: Option<String>,
}

/// Who may reach the SSH port of sandboxes in namespaces that this driver made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedSsh {
    /// The gateway's namespace.
    pub gateway_namespace: String,
    /// The labels of the gateway's pods.
    pub gateway_pod_selector: BTreeMap<String, String>,
}
