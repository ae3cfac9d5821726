//! Errors as a person meets them: what was tried, what was found, what to do next.

use std::fmt::Display;

use miette::Diagnostic;
use sandproof_reports::ExitCode;
use thiserror::Error;

/// A command that could not do its work.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum Failure {
    /// The caller asked for something that does not exist or does not fit together.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do about it.
        #[help]
        hint: Option<String>,
    },
    /// A file of the caller's is wrong; it carries its own place and caret.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Source(Box<dyn Diagnostic + Send + Sync>),
    /// The environment did not do its part.
    #[error("cannot {tried}: {found}")]
    Environment {
        /// What was tried.
        tried: String,
        /// What was found.
        found: String,
        /// What to do about it.
        #[help]
        hint: Option<String>,
    },
    /// The selection is empty.
    #[error("{message}")]
    NothingSelected {
        /// What selected nothing.
        message: String,
        /// What there is to select.
        #[help]
        hint: Option<String>,
    },
    /// The user ended it.
    #[error("interrupted while {during}")]
    Interrupted {
        /// What was under way.
        during: String,
    },
}

impl Failure {
    /// A mistake in a file or in an expression, with its place.
    pub(crate) fn source(diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self::Source(Box::new(diagnostic))
    }

    /// A mistake in what the caller asked for.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: Some(hint.into()) }
    }

    /// The environment failed while `tried` was tried.
    pub(crate) fn environment(tried: impl Into<String>, found: impl Display) -> Self {
        Self::Environment { tried: tried.into(), found: found.to_string(), hint: None }
    }

    /// The same, with what to do next.
    pub(crate) fn environment_with_hint(
        tried: impl Into<String>,
        found: impl Display,
        hint: impl Into<String>,
    ) -> Self {
        Self::Environment { tried: tried.into(), found: found.to_string(), hint: Some(hint.into()) }
    }

    /// The process exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } | Self::Source(_) => ExitCode::USAGE.code(),
            Self::Environment { .. } => ExitCode::ENVIRONMENT.code(),
            Self::NothingSelected { .. } => ExitCode::NOTHING_RAN.code(),
            Self::Interrupted { .. } => ExitCode::INTERRUPTED.code(),
        }
    }
}
