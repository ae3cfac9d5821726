//! Removing what dead runs left, and clusters that are no longer wanted.

use camino::Utf8Path;
use serde::Serialize;

use super::{Entry, EntryState, Ledger, LedgerError};
use crate::{
    kind,
    provider::{self, LeftBehind},
};

/// What a sweep found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepReport {
    /// Clusters that were removed, or that should have been.
    pub removed: Vec<Swept>,
    /// Names of kept clusters that run and were left alone.
    pub kept: Vec<String>,
    /// Names of clusters that belong to living runs.
    pub owned: Vec<String>,
}

/// One removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Swept {
    /// The cluster.
    pub name: String,
    /// The run that had made it.
    pub run: String,
    /// What could not be removed.
    pub leftovers: LeftBehind,
}

/// Every cluster of the state directory.
pub async fn list(state: &Utf8Path) -> Result<Vec<Entry>, LedgerError> {
    let ledger = Ledger::open(state)?;
    let _lock = ledger.lock().await?;
    ledger.entries()
}

/// Removes what dead runs left; kept clusters that run and everything of living runs stay.
pub async fn sweep(state: &Utf8Path) -> Result<SweepReport, LedgerError> {
    sweep_where(state, false).await
}

/// Removes what dead runs left, and kept clusters too.
pub async fn sweep_including_kept(state: &Utf8Path) -> Result<SweepReport, LedgerError> {
    sweep_where(state, true).await
}

/// Removes the cluster with this name (or ID), whoever owns it.
pub async fn down(state: &Utf8Path, name: &str) -> Result<Swept, LedgerError> {
    let ledger = Ledger::open(state)?;
    let entries = ledger.entries()?;
    let Some(entry) = entries.iter().find(|entry| entry.name == name || entry.id == name) else {
        let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(LedgerError::Unknown { name: name.to_owned(), state: state.to_owned(), known });
    };
    remove(&ledger, entry).await
}

async fn sweep_where(state: &Utf8Path, force: bool) -> Result<SweepReport, LedgerError> {
    let ledger = Ledger::open(state)?;
    let mut report = SweepReport::default();
    let entries = {
        // An entry is complete once the lock is free.
        let _lock = ledger.lock().await?;
        ledger.entries()?
    };
    for entry in entries {
        match entry.state() {
            EntryState::Owned => report.owned.push(entry.name),
            EntryState::Kept if !force => report.kept.push(entry.name),
            EntryState::Kept | EntryState::Dead => report.removed.push(remove(&ledger, &entry).await?),
        }
    }
    // What an engine has of this state directory and no entry knows.
    for (name, run, leftovers) in kind::sweep_labels(state).await {
        report.removed.push(Swept { name, run, leftovers });
    }
    Ok(report)
}

/// Removes a cluster; its entry stays as long as something of it is left.
pub(crate) async fn remove(ledger: &Ledger, entry: &Entry) -> Result<Swept, LedgerError> {
    let leftovers = provider::remove(entry).await;
    if leftovers.is_nothing() {
        ledger.remove(&entry.id)?;
    }
    Ok(Swept { name: entry.name.clone(), run: entry.run.clone(), leftovers })
}
