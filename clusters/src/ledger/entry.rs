//! One cluster in the ledger.

use std::net::Ipv4Addr;

use camino::Utf8PathBuf;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ProcessIdentity;

/// Everything that a native cluster holds outside of its namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
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
    /// The host's end of the veth pair.
    pub link: String,
    /// The /30 of the pair; the host has the first address of it, the node the second.
    pub subnet: Ipv4Addr,
    /// The control-group subtrees.
    pub groups: Vec<Utf8PathBuf>,
    /// The process that waits for the cluster's end and removes what it held, once it runs.
    pub supervisor: Option<ProcessIdentity>,
    /// The first process of the cluster's PID namespace, once it runs.
    pub first_process: Option<ProcessIdentity>,
    /// Whether the cluster is meant to outlive its run.
    pub kept: bool,
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

impl Entry {
    /// Whether the cluster is in use.
    pub fn state(&self) -> EntryState {
        let runs = self.first_process.is_some_and(ProcessIdentity::is_alive);
        if self.owner.is_alive() {
            EntryState::Owned
        } else if self.kept && runs {
            EntryState::Kept
        } else {
            EntryState::Dead
        }
    }

    /// The cluster's administrator kubeconfig.
    pub fn kubeconfig(&self) -> Utf8PathBuf {
        self.directory.join("kubeconfig")
    }

    /// The host's address on the link.
    pub fn host_address(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.subnet) + 1)
    }

    /// The node's address on the link.
    pub fn node_address(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.subnet) + 2)
    }
}
