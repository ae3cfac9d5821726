//! Why a cluster of kind could not be made.

use camino::Utf8PathBuf;
use thiserror::Error;

use super::EngineError;
use crate::{components::ComponentError, ledger::LedgerError, process::ProcessError};

/// Why a cluster of kind could not be made.
#[derive(Debug, Error)]
pub enum KindError {
    /// The container engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A component of the node.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The node image could not be assembled.
    #[error("cannot {action}: {reason}")]
    Assembly {
        /// What was tried.
        action: String,
        /// What happened.
        reason: String,
    },
    /// A node image could not be pulled.
    #[error(
        "the container engine cannot pull the node image {reference}: {reason}; where only package mirrors are within reach, assemble one: `sandproof components build node-image`"
    )]
    Pull {
        /// The image.
        reference: String,
        /// What the engine said.
        reason: String,
    },
    /// Another cluster has the directory.
    #[error(
        "the directory {directory} belongs to cluster {name:?} of run {run}, which still exists; delete that cluster first (sandproof cluster down {name}) or take another name"
    )]
    NameTaken {
        /// The directory.
        directory: Utf8PathBuf,
        /// Its cluster.
        name: String,
        /// The run that made it.
        run: String,
    },
    /// The name cannot be used.
    #[error(
        "{name:?} cannot name a cluster: use 1 to 40 lower-case letters, digits and hyphens, with a letter or digit at both ends"
    )]
    InvalidName {
        /// What was asked for.
        name: String,
    },
    /// kind gave up.
    #[error("kind did not make the cluster: {reason}{}", hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
    Create {
        /// The last lines of what it said.
        reason: String,
        /// What that usually means.
        hint: Option<String>,
    },
    /// kind says that all is well, and it is not.
    #[error("the cluster was not {what} within {seconds} s: {found}")]
    NotReady {
        /// What was waited for.
        what: &'static str,
        /// The deadline.
        seconds: u64,
        /// What was seen last.
        found: String,
    },
    /// The node does not reach the registry.
    #[error(
        "the node cannot reach this host's registry at {address}: {found}; a firewall of the host may drop what comes from the engine's networks"
    )]
    Unreachable {
        /// Where the registry listens.
        address: String,
        /// What the node saw.
        found: String,
    },
    /// The image is of another Kubernetes than was asked for.
    #[error("the node image {reference} has Kubernetes {found}, and {wanted} was asked for")]
    OtherVersion {
        /// The image.
        reference: String,
        /// What is in it.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// A file or directory.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program that was run.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl KindError {
    /// A closure that makes an error of a system's answer about `path`.
    pub(crate) fn io(action: &'static str, path: impl Into<Utf8PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// An error of the assembly.
    pub(crate) fn assembly(action: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Assembly { action: action.into(), reason: reason.to_string() }
    }
}
