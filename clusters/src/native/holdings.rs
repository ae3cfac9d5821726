//! What a native cluster holds outside of its namespaces.

use std::net::Ipv4Addr;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::{ledger::ProcessIdentity, process::Process};

/// Everything that a native cluster holds outside of its namespaces, beside its directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holdings {
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
}

impl Holdings {
    /// The host's address on the link.
    pub fn host_address(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.subnet) + 1)
    }

    /// The node's address on the link.
    pub fn node_address(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.subnet) + 2)
    }
}

/// A process that enters a cluster's namespaces; the words to run there are still to come.
pub(crate) fn enter(first: ProcessIdentity) -> Process {
    Process::new("nsenter").args([
        "--target",
        &first.pid.to_string(),
        "--mount",
        "--net",
        "--pid",
        "--cgroup",
        "--uts",
        "--ipc",
        "--",
    ])
}
