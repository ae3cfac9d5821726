//! What a running cluster is, whoever made it.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use camino::Utf8PathBuf;
use serde::{Serialize, Serializer};

use super::{Adaptation, Milestone, NodeProcesses};
use crate::existing::{AgentSandboxFound, Rights};

/// What the harness has to know of a cluster to work with it.
#[derive(Debug, Clone)]
pub struct Description {
    /// A kubeconfig of the cluster's own, in its private directory; the user's is never changed.
    pub kubeconfig: Utf8PathBuf,
    /// Addresses of its nodes, as this host reaches them.
    pub node_addresses: Vec<IpAddr>,
    /// How this process reaches what is on a node.
    pub node_access: NodeAccess,
    /// The registries that its nodes pull from.
    pub registries: RegistryAccess,
    /// The address of this host at which something can stand between the cluster's pods and its API server: they reach it,
    /// and the API server's certificate is valid for it. Otherwise why there is none, as a clause.
    pub relay_address: Result<IpAddr, String>,
    /// What differs from an ordinary cluster, and why.
    pub adaptations: Vec<Adaptation>,
    /// What binds the run in a cluster that was not made for it; none where everything in it may be changed and goes with it.
    pub guest: Option<Guest>,
}

/// What binds a run in a cluster that was not made for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// What the names of its namespaces start with.
    pub prefix: String,
    /// The namespace of the harness's own pods.
    pub namespace: String,
    /// What all that it creates is labelled with.
    pub labels: BTreeMap<String, String>,
    /// What there was of Agent Sandbox.
    pub agent_sandbox: AgentSandboxFound,
    /// What the account may not do.
    pub rights: Rights,
    /// The nodes that take pods; none where the account may not list them.
    pub nodes: Vec<String>,
}

/// How this process reaches what is on a cluster's node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeAccess {
    /// There is one node, and its container runtime can be called.
    Runtime {
        /// The socket of the runtime (CRI), as a path of this host.
        socket: Utf8PathBuf,
        /// The processes of the node.
        processes: NodeProcesses,
    },
    /// Not at all.
    None {
        /// Why, as a clause: `the node is not on this host`.
        reason: String,
    },
}

/// The registries that nodes pull from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryAccess {
    /// Host and port of the plain-HTTP one; otherwise why the nodes cannot use it.
    pub plain: Result<String, String>,
    /// Host and port of the TLS one; otherwise why the nodes cannot use it.
    pub secure: Result<String, String>,
}

/// What a cluster has reached, and how long after it was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Milestones(BTreeMap<Milestone, Duration>);

impl Milestones {
    /// Notes that a milestone was reached.
    pub(crate) fn insert(&mut self, milestone: Milestone, after: Duration) {
        self.0.insert(milestone, after);
    }

    /// When a milestone was reached.
    pub fn get(&self, milestone: Milestone) -> Option<Duration> {
        self.0.get(&milestone).copied()
    }

    /// All that were reached, in their usual order.
    pub fn iter(&self) -> impl Iterator<Item = (Milestone, Duration)> {
        self.0.iter().map(|(milestone, after)| (*milestone, *after))
    }
}

impl Serialize for Milestones {
    /// Seconds by name.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(milestone, after)| (milestone.name(), after.as_secs_f64())))
    }
}

impl RegistryAccess {
    /// The registries that a node was told of when it was made.
    pub(crate) fn configured(registries: &[super::NodeRegistry]) -> Self {
        let find = |tls: bool| {
            let found = registries.iter().find(|registry| registry.ca_pem.is_some() == tls);
            found.map(|registry| registry.address.clone()).ok_or_else(|| "no such registry was asked for".to_owned())
        };
        Self { plain: find(false), secure: find(true) }
    }
}
