//! Why a native cluster could not be made.

use camino::Utf8PathBuf;
use thiserror::Error;

use super::plan::ComponentDeath;
use crate::{ledger::LedgerError, process::ProcessError};

/// Why a native cluster could not be made. Whatever was made until then has been removed.
#[derive(Debug, Error)]
pub enum ProviderError {
    /// The caller lacks the rights.
    #[error("a native cluster needs root (namespaces, mounts and control groups); run this as root, or with sudo")]
    NotRoot,
    /// The name cannot be a node's.
    #[error(
        "{name:?} cannot name a cluster: use 1 to 40 lower-case letters, digits and hyphens, with a letter or digit at both ends"
    )]
    InvalidName {
        /// What was asked for.
        name: String,
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
    /// A program is not where it should be.
    #[error(
        "{program} is missing: {path} is not an executable file; fetch the components again, or install the package it comes from"
    )]
    MissingProgram {
        /// Its name.
        program: &'static str,
        /// Where it was looked for.
        path: Utf8PathBuf,
    },
    /// A program of the host is not on `PATH`.
    #[error("{program} is not on PATH; install it: {remedy}")]
    MissingTool {
        /// Its name.
        program: &'static str,
        /// The command that installs it.
        remedy: &'static str,
    },
    /// Every address range is in use.
    #[error(
        "no free /30 in {range} for the link to the cluster: {taken} are in routes or in the ledger; remove clusters that are not needed (sandproof sweep)"
    )]
    NoFreeSubnet {
        /// The range searched.
        range: &'static str,
        /// How many networks are taken.
        taken: usize,
    },
    /// The host's control groups do not serve.
    #[error("control groups: {what}; {remedy}")]
    ControlGroups {
        /// What was found.
        what: String,
        /// What to do.
        remedy: String,
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
    /// A certificate or key.
    #[error("cannot make the certificate for {what}: {source}")]
    Certificate {
        /// Whose.
        what: String,
        /// What the library said.
        source: rcgen::Error,
    },
    /// A program that was run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The first process gave up.
    #[error("the cluster's first process gave up: {reason}{}", indented(tail))]
    FirstProcess {
        /// What it said.
        reason: String,
        /// The end of its log.
        tail: Vec<String>,
    },
    /// A component ended before the API server was ready.
    #[error("{death}{}", indented(&death.log_tail))]
    Component {
        /// Which and how.
        death: Box<ComponentDeath>,
    },
    /// Something took too long.
    #[error("the cluster was not {what} within {seconds} s{}", indented(tail))]
    Deadline {
        /// What was waited for.
        what: String,
        /// The deadline.
        seconds: u64,
        /// The ends of the logs.
        tail: Vec<String>,
    },
}

impl ProviderError {
    /// A closure that makes an error of a system's answer about `path`.
    pub(crate) fn io(action: &'static str, path: impl Into<Utf8PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// Lines of a log beneath a message.
fn indented(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |text, line| text + "\n    " + line)
}
