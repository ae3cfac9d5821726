//! Who makes the clusters where nobody says so, and why.

use sandproof_clusters::{host::Host, kind, provider::Provider};

use crate::{cli::SelectionArguments, existing, failure::Failure, paths::Paths};

/// Who makes the clusters, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Who.
    pub(crate) provider: Provider,
    /// Why, as a clause.
    pub(crate) reason: String,
}

/// Chooses, and tells the selection.
pub(crate) fn settle(selection: &mut SelectionArguments, paths: &Paths) -> Result<Choice, Failure> {
    let choice = match selection.provider {
        Some(provider) => Choice { provider, reason: "it was asked for".to_owned() },
        None => automatic(&Host::probe_at(&paths.cache)),
    };
    existing::refuse_stray(&selection.existing, choice.provider)?;
    selection.usual_provider = choice.provider;
    Ok(choice)
}

/// The choice of a host on which nobody says anything.
pub(crate) fn automatic(host: &Host) -> Choice {
    let engine = kind::candidates().is_ok_and(|ways| !ways.is_empty());
    let (provider, reason) = match (host.root, engine) {
        (true, _) => (Provider::Native, "this is root on Linux, which needs no daemon and is fastest"),
        (false, true) => (Provider::Kind, "this is not root, and there is a container engine"),
        (false, false) => (Provider::Native, "nothing else can make clusters here, though it needs root"),
    };
    Choice { provider, reason: reason.to_owned() }
}
