//! Why a component could not be had.

use std::fmt;

use camino::Utf8PathBuf;
use thiserror::Error;

use super::{Source, pins::PinsError};
use crate::process::ProcessError;

/// One source that was tried, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The source.
    pub source: Source,
    /// Why it did not give the component.
    pub failure: String,
}

/// Why a component could not be had.
#[derive(Debug, Error)]
pub enum ComponentError {
    /// The pins could not be read.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// No pin has this name.
    #[error("no component is called `{name}`; there are {}", .known.join(", "))]
    UnknownComponent {
        /// The name that was asked for.
        name: String,
        /// The names that the pins have.
        known: Vec<String>,
    },
    /// The component is not pinned at this version.
    #[error("{component} is not pinned at `{version}`; pins.yaml has {}", .known.join(", "))]
    UnknownVersion {
        /// The component.
        component: String,
        /// The version that was asked for.
        version: String,
        /// The versions that the pins have.
        known: Vec<String>,
    },
    /// The component has no such program.
    #[error("{component} has no program `{program}`; it has {}", .known.join(", "))]
    UnknownProgram {
        /// The component.
        component: String,
        /// The program that was asked for.
        program: String,
        /// The programs that it has.
        known: Vec<String>,
    },
    /// Every source was tried, and none had it.
    #[error("cannot obtain {component} {version}: {}", Attempts(.attempts))]
    Unobtainable {
        /// The component.
        component: String,
        /// The version.
        version: String,
        /// What was tried, in order.
        attempts: Vec<Attempt>,
    },
    /// Another run held the component for too long.
    #[error(
        "another run has been obtaining {component} for {minutes} min (it holds {lock}); end it, or try again when it is done"
    )]
    Held {
        /// The component.
        component: String,
        /// How long this run waited, in minutes.
        minutes: u64,
        /// The lock file.
        lock: Utf8PathBuf,
    },
    /// The cache could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    Cache {
        /// What was tried, such as `create`.
        action: &'static str,
        /// Where.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The `go` commands that write a module's lock failed.
    #[error("cannot lock {component} {version}: {source}")]
    Lock {
        /// The component.
        component: String,
        /// The version.
        version: String,
        /// What failed.
        source: LockError,
    },
}

/// Why a component's Go module could not be written.
#[derive(Debug, Error)]
pub enum LockError {
    /// A `go` command failed.
    #[error(transparent)]
    Go(#[from] ProcessError),
    /// A file of the module could not be written or read.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// The answer of `go mod download` was not understood.
    #[error("`go mod download -json` gave no go.mod for {module}: {answer}")]
    Answer {
        /// The module that was asked about.
        module: String,
        /// What it said.
        answer: String,
    },
    /// The version is not three numbers.
    #[error("`{version}` is not a version of three numbers")]
    Version {
        /// The version that was given.
        version: String,
    },
    /// The component has a `main.go` of its own, and no version to take it from.
    #[error("no version of it has a main.go to start from; write one in {directory}")]
    NoMain {
        /// Where it belongs.
        directory: Utf8PathBuf,
    },
}

struct Attempts<'a>(&'a [Attempt]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, attempt) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("; ")?;
            }
            write!(formatter, "{}: {}", attempt.source, attempt.failure)?;
        }
        if self.0.is_empty() {
            formatter.write_str("no source is left to try")?;
        }
        Ok(())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Mirror => "mirror",
            Self::Download => "download",
            Self::Build => "build",
        })
    }
}
