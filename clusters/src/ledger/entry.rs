//! One cluster in the ledger.

use camino::Utf8PathBuf;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ProcessIdentity;
use crate::{existing, kind, native, provider::Provider};

/// A cluster, and everything external that it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry<H = Holdings> {
    /// Unique on this host; part of every name the cluster uses.
    pub id: String,
    /// The name a person knows it by.
    pub name: String,
    /// The run that made it.
    pub run: String,
    /// When it was asked for.
    pub created: Timestamp,
    /// The Kubernetes version it runs.
    pub kubernetes: String,
    /// The process that made it.
    pub owner: ProcessIdentity,
    /// The private directory.
    pub directory: Utf8PathBuf,
    /// Whether the cluster is meant to outlive its run.
    pub kept: bool,
    /// What else it holds, which depends on its provider.
    #[serde(flatten)]
    pub holdings: H,
}

/// What a cluster holds, by its provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "provider", rename_all = "kebab-case")]
pub enum Holdings {
    /// Of a native cluster.
    Native(native::Holdings),
    /// Of a run in an existing cluster.
    Existing(existing::Holdings),
    /// Of a cluster of kind.
    Kind(kind::Holdings),
}

/// Whether an entry's cluster is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryState {
    /// Its run lives.
    Owned,
    /// Its run has ended, it was told to stay, and it runs.
    Kept,
    /// Its run has ended and nobody wants it.
    Dead,
}

impl<H> Entry<H> {
    /// The cluster's administrator kubeconfig.
    pub fn kubeconfig(&self) -> Utf8PathBuf {
        self.directory.join("kubeconfig")
    }
}

impl<H: Clone + Into<Holdings>> Entry<H> {
    /// The entry as the ledger has it.
    pub fn recorded(&self) -> Entry {
        let Self { id, name, run, created, kubernetes, owner, directory, kept, holdings } = self.clone();
        Entry { id, name, run, created, kubernetes, owner, directory, kept, holdings: holdings.into() }
    }
}

impl Entry {
    /// Whether the cluster is in use.
    pub fn state(&self) -> EntryState {
        if self.owner.is_alive() {
            EntryState::Owned
        } else if self.kept && self.holdings.may_run() {
            EntryState::Kept
        } else {
            EntryState::Dead
        }
    }

    /// Who made the cluster.
    pub const fn provider(&self) -> Provider {
        match &self.holdings {
            Holdings::Native(_) => Provider::Native,
            Holdings::Existing(_) => Provider::Existing,
            Holdings::Kind(_) => Provider::Kind,
        }
    }

    /// Where its node is, for a person.
    pub fn node(&self) -> String {
        match &self.holdings {
            Holdings::Native(holdings) => holdings.node_address().to_string(),
            Holdings::Existing(holdings) => holdings.server.clone(),
            Holdings::Kind(holdings) => {
                holdings.address.map_or_else(|| holdings.node.clone(), |address| address.to_string())
            }
        }
    }

    /// Reads an entry. One without a provider was written when there were only native clusters.
    pub(super) fn parse(text: &[u8]) -> serde_json::Result<Self> {
        let mut value: serde_json::Value = serde_json::from_slice(text)?;
        if let Some(fields) = value.as_object_mut() {
            fields.entry("provider").or_insert_with(|| Provider::Native.name().into());
        }
        serde_json::from_value(value)
    }
}

impl Holdings {
    /// Whether the cluster can be running, as far as a look at this host's processes tells.
    fn may_run(&self) -> bool {
        match self {
            Self::Native(holdings) => holdings.first_process.is_some_and(ProcessIdentity::is_alive),
            Self::Existing(_) => true,
            Self::Kind(holdings) => holdings.may_run(),
        }
    }
}

impl From<existing::Holdings> for Holdings {
    fn from(holdings: existing::Holdings) -> Self {
        Self::Existing(holdings)
    }
}

impl From<kind::Holdings> for Holdings {
    fn from(holdings: kind::Holdings) -> Self {
        Self::Kind(holdings)
    }
}

impl From<native::Holdings> for Holdings {
    fn from(holdings: native::Holdings) -> Self {
        Self::Native(holdings)
    }
}
