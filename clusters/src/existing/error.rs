//! Why a cluster that is already there could not be used.

use camino::Utf8PathBuf;
use thiserror::Error;

use super::Purpose;
use crate::ledger::LedgerError;

/// Why a cluster that is already there could not be used.
#[derive(Debug, Error)]
pub enum ExistingError {
    /// There is no kubeconfig.
    #[error("there is no kubeconfig: looked for {looked}; name one with --kubeconfig FILE")]
    NoKubeconfig {
        /// Where it was looked for.
        looked: String,
    },
    /// A kubeconfig cannot be understood.
    #[error("cannot use the kubeconfig {file}: {reason}")]
    Kubeconfig {
        /// The file.
        file: Utf8PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No context was named, and none is current.
    #[error("no context is current in {}; name one with --context, of {}", names(files), names(known))]
    NoCurrentContext {
        /// The kubeconfig files.
        files: Vec<Utf8PathBuf>,
        /// The contexts that there are.
        known: Vec<String>,
    },
    /// The context does not exist.
    #[error("there is no context {name:?} in {}; there is {}", names(files), names(known))]
    UnknownContext {
        /// What was asked for.
        name: String,
        /// The kubeconfig files.
        files: Vec<Utf8PathBuf>,
        /// The contexts that there are.
        known: Vec<String>,
    },
    /// The API server does not answer.
    #[error("cannot talk to the cluster of context {context:?}: {reason}")]
    Unreachable {
        /// The context.
        context: String,
        /// What came instead of an answer.
        reason: String,
    },
    /// The API server answered with something else.
    #[error("cannot {tried} in the cluster of context {context:?}: {reason}")]
    Api {
        /// The context.
        context: String,
        /// What was tried.
        tried: String,
        /// What it said.
        reason: String,
    },
    /// The account may not do what there is no run without.
    #[error("the account of context {context:?} may not {}: it lacks {lacking}", purpose.text())]
    Rights {
        /// The context.
        context: String,
        /// What it is needed for.
        purpose: Purpose,
        /// The rights, as kubectl says them.
        lacking: String,
    },
    /// Something of the cluster has a name that the run needs.
    #[error("the cluster of context {context:?} has {what} already, and {whose}")]
    NameTaken {
        /// The context.
        context: String,
        /// What has the name.
        what: String,
        /// Whose it is, as a clause.
        whose: String,
    },
    /// No node takes pods.
    #[error("the cluster of context {context:?} has no node that takes pods: {found}")]
    NoNode {
        /// The context.
        context: String,
        /// The nodes and what is wrong with each.
        found: String,
    },
    /// The nodes cannot pull from a registry of this host.
    #[error(
        "no node of context {context:?} can pull from a registry of this host: {refusals}; \
         let them trust plain HTTP from port {} or the authority {authority} on port {} of an address that they reach \
         (--registry-address), as docs/providers.md says",
        super::PLAIN_PORT,
        super::SECURE_PORT
    )]
    NoRegistry {
        /// The context.
        context: String,
        /// What was tried, and what each node said.
        refusals: String,
        /// The certificate of the registry's authority.
        authority: Utf8PathBuf,
    },
    /// There is nowhere to listen.
    #[error(
        "this host has no address from which it reaches a node of context {context:?}; name one with --registry-address"
    )]
    NoAddress {
        /// The context.
        context: String,
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
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl ExistingError {
    /// Whether something else has to be asked for: another context, another account, another cluster.
    pub const fn is_usage(&self) -> bool {
        match self {
            Self::NoKubeconfig { .. }
            | Self::Kubeconfig { .. }
            | Self::NoCurrentContext { .. }
            | Self::UnknownContext { .. }
            | Self::Rights { .. }
            | Self::NameTaken { .. }
            | Self::NoAddress { .. } => true,
            Self::Unreachable { .. }
            | Self::Api { .. }
            | Self::NoNode { .. }
            | Self::NoRegistry { .. }
            | Self::Io { .. }
            | Self::Ledger(_) => false,
        }
    }

    /// What the client said of a request.
    pub(super) fn api(context: &str, tried: &str, error: &kube::Error) -> Self {
        let context = context.to_owned();
        match error {
            kube::Error::Api(status) => Self::Api { context, tried: tried.to_owned(), reason: status.message.clone() },
            error => Self::Unreachable { context, reason: with_causes(error) },
        }
    }

    /// A request that was not answered in time.
    pub(super) fn silent(context: &str, tried: &str, seconds: u64) -> Self {
        let reason = format!("no answer within {seconds} s, while it was tried to {tried}");
        Self::Unreachable { context: context.to_owned(), reason }
    }
}

/// An error with what caused it: the client's own words seldom say why.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        cause = error.source();
    }
    words
}

fn names<T: std::fmt::Display>(names: &[T]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
