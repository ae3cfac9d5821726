//! What a cluster of kind holds outside of its directory.

use std::{collections::BTreeMap, net::Ipv4Addr};

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::engine::Flavor;
use crate::ledger::ProcessIdentity;

/// Everything that a cluster of kind holds, beside its directory. All of it has labels with the entry's ID too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holdings {
    /// The engine that has them; none before it was found.
    pub engine: Option<EngineHold>,
    /// The node's container.
    pub node: String,
    /// The cluster's network.
    pub network: String,
    /// The node's address on it, once it has one.
    pub address: Option<Ipv4Addr>,
    /// The node's first process as this host counts, once it runs.
    pub first_process: Option<ProcessIdentity>,
}

/// How an engine is reached again, by another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EngineHold {
    /// Which engine.
    pub flavor: Flavor,
    /// Its command-line program.
    pub program: Utf8PathBuf,
    /// The program's environment.
    pub environment: BTreeMap<String, String>,
    /// The socket of its service; none where the service is started when it is needed.
    pub socket: Option<Utf8PathBuf>,
}

impl Holdings {
    /// Whether the node can be running. Where its process cannot be seen, on another machine's kernel, it may.
    pub(crate) fn may_run(&self) -> bool {
        self.engine.is_some() && self.first_process.is_none_or(ProcessIdentity::is_alive)
    }
}
