//! Why a container engine cannot be used.

use camino::Utf8PathBuf;
use thiserror::Error;

use super::Flavor;
use crate::process::ProcessError;

/// Why a container engine cannot be used, or did not do what it was asked.
#[derive(Debug, Error)]
pub enum EngineError {
    /// There is none.
    #[error(
        "no container engine: {}; install one, for example `apt-get install --no-install-recommends podman netavark aardvark-dns iptables`",
        tried.join(", ")
    )]
    Missing {
        /// Where it was looked for.
        tried: Vec<String>,
    },
    /// It is on another machine.
    #[error(
        "DOCKER_HOST is {address}, and only an engine on this host serves: its nodes have to reach this host's registry; use a unix:// address, or unset it"
    )]
    Remote {
        /// What `DOCKER_HOST` says.
        address: String,
    },
    /// Nothing answers at its socket.
    #[error(
        "the container engine at {socket} does not answer: {reason}; is it running, and may this user open the socket?"
    )]
    Silent {
        /// The socket.
        socket: Utf8PathBuf,
        /// What happened.
        reason: String,
    },
    /// kind calls its command-line program, which is not there.
    #[error("the container engine answers, but kind calls the program `{}`, which is not on PATH; install it", flavor.program())]
    Program {
        /// The engine.
        flavor: Flavor,
    },
    /// It is too old.
    #[error("{found} is too old for kind's nodes; install {needed} or newer")]
    TooOld {
        /// What was found.
        found: String,
        /// The oldest that serves.
        needed: String,
    },
    /// It runs without root.
    #[error(
        "{engine} runs rootless, and its nodes cannot reach this host's registry; use an engine that runs as root (for podman: run this as root)"
    )]
    Rootless {
        /// The engine.
        engine: String,
    },
    /// It does not start privileged containers.
    #[error("{engine} does not start a privileged container, which every node of kind is: {reason}")]
    Privileged {
        /// The engine.
        engine: String,
        /// What it said.
        reason: String,
    },
    /// `podman system service` could not be started.
    #[error("cannot start `podman system service`: {reason}")]
    Service {
        /// Why not.
        reason: String,
    },
    /// A request failed.
    #[error("cannot {action}: {reason}")]
    Request {
        /// What was tried.
        action: String,
        /// What the engine said.
        reason: String,
        /// The HTTP status, where it answered with one.
        status: Option<u16>,
    },
    /// A file of its private configuration.
    #[error("cannot write {path}: {source}")]
    Io {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program that was run.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl EngineError {
    /// A closure that makes an error of the engine's answer.
    pub(crate) fn request(action: impl Into<String>) -> impl FnOnce(bollard::errors::Error) -> Self {
        let action = action.into();
        move |error| {
            let (status, reason) = match error {
                bollard::errors::Error::DockerResponseServerError { status_code, message } => {
                    (Some(status_code), message)
                }
                bollard::errors::Error::RequestTimeoutError => (None, "it did not answer in time".to_owned()),
                other => (None, format!("lost contact with the engine: {}", chain(&other))),
            };
            Self::Request { action, reason, status }
        }
    }

    /// Whether it says that the thing is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Request { status: Some(404), .. })
    }
}

/// An error with everything that it stems from.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}
