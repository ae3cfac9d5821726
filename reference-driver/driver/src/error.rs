//! Why an RPC fails, and the gRPC status it fails with.

use std::error::Error;

use tonic::Status;

use crate::kubernetes::{DEADLINE, Dropper};
use crate::request::InvalidRequest;
use crate::sandbox::VERSIONS;
use crate::workspace::Purpose;

/// Why an RPC, or the start, fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriverError {
    /// The request itself is wrong.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// A sandbox of that name or identifier exists.
    #[error("sandbox already exists")]
    AlreadyExists,
    /// There is no such sandbox.
    #[error("sandbox not found")]
    NotFound,
    /// The sandbox is on its way out.
    #[error("the sandbox is being deleted")]
    Deleting,
    /// The pod of a stopped sandbox is still there.
    #[error("could not stop the sandbox: its pod did not end within {seconds} s")]
    NotStopped {
        /// How long was waited.
        seconds: u64,
    },
    /// The sandbox was deleted or started while it was being stopped.
    #[error("could not stop the sandbox: it was deleted or started again meanwhile")]
    StopOvertaken,
    /// A secret that sandboxes need does not exist where it is copied from.
    #[error("configured {purpose} Secret {secret} does not exist in source namespace {namespace}")]
    MissingSecret {
        /// What it is for.
        purpose: Purpose,
        /// Its name.
        secret: String,
        /// Where it should be.
        namespace: String,
    },
    /// A copy differs from its original in what cannot be changed.
    #[error(
        "could not copy the Secret {secret} into namespace {namespace}: the copy there has another type, which cannot change; delete the copy"
    )]
    StaleCopy {
        /// Its name.
        secret: String,
        /// Where the copy is.
        namespace: String,
    },
    /// An object of a workspace is somebody else's.
    #[error("could not apply {what} in namespace {namespace}: somebody else manages it there; remove or rename theirs")]
    OwnedByAnother {
        /// Its kind and name.
        what: String,
        /// Where it is.
        namespace: String,
    },
    /// The namespace that a workspace would have is somebody else's.
    #[error(
        "namespace {namespace} exists and is not this gateway's: {why}; it is neither used nor deleted. Choose another workspace, or remove it"
    )]
    ForeignNamespace {
        /// The namespace.
        namespace: String,
        /// What it lacks.
        why: String,
    },
    /// A namespace is gone, or going.
    #[error("namespace {namespace} cannot be used: {message}; try again when it is gone or made anew")]
    NamespaceGone {
        /// The namespace.
        namespace: String,
        /// What was found.
        message: String,
    },
    /// The operator has not allowed a namespace for sandboxes.
    #[error("workspace {namespace} is not allowed: {why}")]
    WorkspaceNotAllowed {
        /// The namespace, which is the workspace.
        namespace: String,
        /// Why not.
        why: String,
    },
    /// The operator has not allowed a namespace as a workspace.
    #[error("workspace {namespace} is not allowed: {why}")]
    WorkspaceDenied {
        /// The namespace, which is the workspace.
        namespace: String,
        /// Why not.
        why: String,
    },
    /// The cluster would drop an image volume without a word.
    #[error(
        "the cluster drops image volumes silently: {dropped_by} kept no image of a trial volume (Kubernetes {version}, feature gate ImageVolume); {}, or use supervisor sideload method init-container",
        dropped_by.remedy()
    )]
    ImageVolumeDropped {
        /// Who dropped it.
        dropped_by: Dropper,
        /// The API server's version.
        version: String,
    },
    /// A GPU is asked for and no node has one.
    #[error("a GPU was asked for, but no node has allocatable nvidia.com/gpu")]
    NoGpu,
    /// The cluster does not serve the Sandbox.
    #[error("no supported Agent Sandbox API version is available; tried {}; install Agent Sandbox", VERSIONS.join(", "))]
    NoApiVersion,
    /// The API server did not answer in time.
    #[error("could not {action}: the API server did not answer within {} s", DEADLINE.as_secs())]
    Timeout {
        /// What was tried.
        action: &'static str,
    },
    /// The API server refused the object itself.
    #[error("could not {action}: Kubernetes refused it: {message}")]
    Refused {
        /// What was tried.
        action: &'static str,
        /// The API server's words.
        message: String,
    },
    /// The API server answered with an error.
    #[error("could not {action}: {}", words(source))]
    Kubernetes {
        /// What was tried.
        action: &'static str,
        /// The client's error.
        source: Box<kube::Error>,
    },
}

impl From<DriverError> for Status {
    fn from(error: DriverError) -> Self {
        let message = error.to_string();
        match error {
            DriverError::Invalid(_) | DriverError::Refused { .. } => Self::invalid_argument(message),
            DriverError::AlreadyExists => Self::already_exists(message),
            DriverError::NotFound => Self::not_found(message),
            DriverError::WorkspaceDenied { .. } => Self::permission_denied(message),
            DriverError::Deleting
            | DriverError::StopOvertaken
            | DriverError::MissingSecret { .. }
            | DriverError::StaleCopy { .. }
            | DriverError::OwnedByAnother { .. }
            | DriverError::ForeignNamespace { .. }
            | DriverError::NamespaceGone { .. }
            | DriverError::WorkspaceNotAllowed { .. }
            | DriverError::ImageVolumeDropped { .. }
            | DriverError::NoGpu
            | DriverError::NoApiVersion => Self::failed_precondition(message),
            DriverError::NotStopped { .. } | DriverError::Timeout { .. } | DriverError::Kubernetes { .. } => {
                Self::internal(message)
            }
        }
    }
}

/// A client error in the API server's own words where there are any.
pub(crate) fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({})", status.message, status.code),
        other => with_causes(other),
    }
}

/// An error with what caused it, where its own words leave that out.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}
