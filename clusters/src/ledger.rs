//! The list of everything external that runs have made, written before it is made.
//!
//! One file for each cluster lies in the state directory. An entry has its owner's process number
//! and start time, so that what a dead run left is told from what a living one uses.

mod entry;
mod identity;
mod inventory;
mod sweep;

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

pub use self::{
    entry::{Entry, EntryState, Holdings},
    identity::ProcessIdentity,
    inventory::{Inventory, inventory},
    sweep::{SweepReport, Swept, down, list, sweep, sweep_including_kept},
};

pub(crate) use self::identity::end_of;
pub(crate) use self::sweep::remove as remove_cluster;

/// Why the ledger could not be read or written.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// A file or directory of the ledger.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An entry that cannot be understood.
    #[error("cannot read the ledger entry {path}: {reason}; if no run uses it, remove the file")]
    Entry {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No cluster has this name.
    #[error("no cluster named {name:?} in {state}; there is {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The state directory.
        state: Utf8PathBuf,
        /// The names that exist, or "none".
        known: String,
    },
}

/// The ledger of one state directory.
#[derive(Debug, Clone)]
pub struct Ledger {
    directory: Utf8PathBuf,
}

/// Exclusive use of a ledger, released when dropped.
#[derive(Debug)]
pub struct LedgerLock {
    _file: std::fs::File,
}

/// The state directory: `$SANDPROOF_STATE`, else `$XDG_STATE_HOME/sandproof`, else `~/.local/state/sandproof`.
pub fn default_state() -> Utf8PathBuf {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(state) = variable("SANDPROOF_STATE") {
        return state.into();
    }
    if let Some(state) = variable("XDG_STATE_HOME") {
        return Utf8PathBuf::from(state).join("sandproof");
    }
    let home = variable("HOME").unwrap_or_else(|| "/root".to_owned());
    Utf8PathBuf::from(home).join(".local/state/sandproof")
}

/// How long the lock is waited for.
const LOCK: Duration = Duration::from_secs(30);

/// Whether a cluster may have this name: a DNS-1123 label of at most 40 characters. Its directory is called so.
pub(crate) fn is_cluster_name(name: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    let name = name.as_bytes();
    name.len() <= 40 && name.iter().all(inner) && edge(name.first()) && edge(name.last())
}

impl Ledger {
    /// Opens the ledger beneath `state`, creating its directory.
    pub fn open(state: &Utf8Path) -> Result<Self, LedgerError> {
        let directory = state.join("ledger");
        std::fs::create_dir_all(&directory).map_err(io("create", &directory))?;
        Ok(Self { directory })
    }

    /// Waits for exclusive use, 30 s at most. Entries are added and removed only under the lock, which is held
    /// for milliseconds.
    pub async fn lock(&self) -> Result<LedgerLock, LedgerError> {
        let path = self.directory.join("lock");
        let file =
            std::fs::File::options().create(true).truncate(false).write(true).open(&path).map_err(io("open", &path))?;
        let locked = tokio::task::spawn_blocking(move || flock(&file, FlockOperation::LockExclusive).map(|()| file));
        // Whoever comes too late lets go of it as soon as it has it.
        match tokio::time::timeout(LOCK, locked).await {
            Ok(Ok(Ok(file))) => Ok(LedgerLock { _file: file }),
            Ok(Ok(Err(error))) => Err(io("lock", &path)(error.into())),
            Ok(Err(error)) => Err(io("lock", &path)(std::io::Error::other(error))),
            Err(_) => {
                let found = format!("another sandproof has held it for {} s", LOCK.as_secs());
                Err(io("lock", &path)(std::io::Error::new(std::io::ErrorKind::TimedOut, found)))
            }
        }
    }

    /// Every entry, by name. A file that vanishes meanwhile is not an error.
    pub fn entries(&self) -> Result<Vec<Entry>, LedgerError> {
        let mut entries = Vec::new();
        let files = std::fs::read_dir(&self.directory).map_err(io("read", &self.directory))?;
        for file in files.flatten() {
            let Ok(path) = Utf8PathBuf::from_path_buf(file.path()) else { continue };
            if path.extension() != Some("json") {
                continue;
            }
            match std::fs::read(&path) {
                Ok(text) => entries.push(
                    Entry::parse(&text)
                        .map_err(|error| LedgerError::Entry { path: path.clone(), reason: error.to_string() })?,
                ),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(io("read", &path)(error)),
            }
        }
        entries.sort_by(|one: &Entry, other: &Entry| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        Ok(entries)
    }

    /// Writes an entry, whole or not at all.
    pub fn write<H: Clone + Into<Holdings>>(&self, entry: &Entry<H>) -> Result<(), LedgerError> {
        let entry = entry.recorded();
        let path = self.path(&entry.id);
        let temporary = path.with_extension("new");
        let text = serde_json::to_vec_pretty(&entry)
            .map_err(|error| LedgerError::Entry { path: path.clone(), reason: error.to_string() })?;
        std::fs::write(&temporary, text).map_err(io("write", &temporary))?;
        std::fs::rename(&temporary, &path).map_err(io("write", &path))
    }

    /// Removes an entry; one that is gone is fine.
    pub fn remove(&self, id: &str) -> Result<(), LedgerError> {
        let path = self.path(id);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    /// The file of an entry.
    pub fn path(&self, id: &str) -> Utf8PathBuf {
        self.directory.join(format!("{id}.json"))
    }
}

fn io(action: &'static str, path: &Utf8Path) -> impl FnOnce(std::io::Error) -> LedgerError {
    let path = path.to_owned();
    move |source| LedgerError::Io { action, path, source }
}

#[cfg(test)]
mod tests;
