//! What can be done with a cluster that only the ledger knows: its run may be dead.

use camino::{Utf8Path, Utf8PathBuf};

use super::{CreationError, LeftBehind};
use crate::{
    existing, kind,
    ledger::{self, Entry, Holdings},
    native::{self, teardown},
    process::Process,
};

/// Ends a cluster and removes everything that its ledger entry names, except the entry.
pub async fn remove(entry: &Entry) -> LeftBehind {
    match &entry.holdings {
        Holdings::Native(holdings) => teardown::remove(&entry.directory, holdings).await.into(),
        Holdings::Existing(holdings) => existing::removed(entry, holdings).await,
        Holdings::Kind(holdings) => kind::remove(&entry.directory, &entry.id, holdings).await,
    }
}

/// Looks for what there still is of a cluster. What a deletion says of itself is one thing, what is found another.
pub async fn remains(state: &Utf8Path, entry: &Entry) -> LeftBehind {
    match &entry.holdings {
        Holdings::Native(_) => {
            let (state, id) = (state.to_owned(), entry.id.clone());
            let looking = tokio::task::spawn_blocking(move || ledger::inventory(&state).of(&[id]));
            match looking.await {
                Ok(found) => found.into(),
                Err(error) => LeftBehind::Unknown(error.to_string()),
            }
        }
        Holdings::Existing(holdings) => existing::still_there(entry, holdings).await,
        Holdings::Kind(holdings) => kind::remains(&entry.directory, &entry.id, holdings).await,
    }
}

/// A process that runs `words` on the cluster's node, for a person; none where a node cannot be entered.
/// An error says why a node that could be entered cannot be any more.
pub fn node_shell(entry: &Entry, words: &[String]) -> Result<Option<Process>, String> {
    match &entry.holdings {
        Holdings::Native(holdings) => {
            let first = holdings.first_process.filter(|process| process.is_alive());
            let first = first.ok_or_else(|| "its first process is gone".to_owned())?;
            Ok(Some(native::enter(first).args(words)))
        }
        Holdings::Existing(_) => Ok(None),
        Holdings::Kind(holdings) => kind::node_shell(holdings, words).map(Some),
    }
}

/// The directory with the logs of the cluster's programs, one file `<program>.log` each.
pub async fn logs(entry: &Entry) -> Result<Utf8PathBuf, CreationError> {
    match &entry.holdings {
        Holdings::Native(_) | Holdings::Existing(_) => Ok(entry.directory.join("logs")),
        Holdings::Kind(holdings) => Ok(kind::logs(&entry.directory, holdings).await?),
    }
}
