//! What the harness tells the first process of a cluster, and what it hears back.
//!
//! Both sides are this crate at one version; the files and lines are not a public format.

use std::{collections::BTreeMap, net::Ipv4Addr};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::ledger::ProcessIdentity;

/// Where the cluster's private directory is mounted inside its mount namespace.
pub(crate) const INSIDE: &str = "/run/sandproof";

/// Name of the start plan, in the private directory.
pub(crate) const START_PLAN: &str = "start.json";

/// Everything the first process needs to isolate itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct IsolationPlan {
    /// Name of the cluster, for messages.
    pub(crate) name: String,
    /// Host name inside the cluster's UTS namespace, which is the node's name.
    pub(crate) host_name: String,
    /// The cluster's private directory, a path of the host.
    pub(crate) directory: Utf8PathBuf,
    /// The subtrees to create and enter.
    pub(crate) cgroups: CgroupPlan,
    /// The process that asked for the cluster.
    pub(crate) owner: ProcessIdentity,
    /// The cluster's file in the ledger.
    pub(crate) ledger_entry: Utf8PathBuf,
    /// Name of the host's end of the veth pair.
    pub(crate) link: String,
}

/// The control-group subtrees of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CgroupPlan {
    /// Whether this is the one v2 hierarchy.
    pub(crate) unified: bool,
    /// One entry for each hierarchy.
    pub(crate) hierarchies: Vec<CgroupSubtree>,
}

/// The cluster's subtree in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CgroupSubtree {
    /// The controllers of the hierarchy, as its mount options name them.
    pub(crate) controllers: Vec<String>,
    /// Base name of the mount point, such as `cpu,cpuacct`.
    pub(crate) mount_name: String,
    /// The subtree, a path of the host.
    pub(crate) directory: Utf8PathBuf,
}

/// What to run inside, written once the node's settings are known.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StartPlan {
    /// Name of the node.
    pub(crate) node_name: String,
    /// The node's address, on the cluster's end of the veth pair.
    pub(crate) node_address: Ipv4Addr,
    /// The host's address on that link: the default route.
    pub(crate) host_address: Ipv4Addr,
    /// Length of the prefix of the link's network.
    pub(crate) prefix: u8,
    /// The range of pod addresses.
    pub(crate) pod_range: String,
    /// Host and port of the registries on the host that the node pulls from.
    pub(crate) registries: Vec<String>,
    /// The components in the order in which they are started.
    pub(crate) components: Vec<ComponentPlan>,
    /// Objects to create as soon as the API server answers.
    pub(crate) objects: Vec<ApiObject>,
    /// How to reach the API server.
    pub(crate) api: ApiAccess,
    /// Seconds until an API server that is not ready counts as failed.
    pub(crate) deadline_seconds: u64,
}

/// A program of the cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ComponentPlan {
    /// Name in messages, and of its log.
    pub(crate) name: String,
    /// The program.
    pub(crate) program: Utf8PathBuf,
    /// Its arguments; no secrets.
    pub(crate) arguments: Vec<String>,
    /// Its whole environment.
    pub(crate) environment: BTreeMap<String, String>,
    /// When to start it.
    pub(crate) start: StartCondition,
}

/// When a component is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StartCondition {
    /// With the first.
    AtOnce,
    /// When the API server accepts TLS connections.
    ApiServing,
    /// When the API server says it is ready.
    ApiReady,
    /// When the objects of the plan exist.
    ObjectsCreated,
}

/// An object to create through the API.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ApiObject {
    /// Path of its collection.
    pub(crate) collection: String,
    /// The object.
    pub(crate) body: serde_json::Value,
}

impl ApiObject {
    /// An object for a collection, for example `/api/v1/namespaces/kube-system/services`.
    pub(crate) fn new(collection: &str, body: serde_json::Value) -> Self {
        Self { collection: collection.to_owned(), body }
    }
}

/// How the first process reaches the API server; the paths are inside the cluster's namespace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ApiAccess {
    /// Port on the node's address.
    pub(crate) port: u16,
    /// The cluster's certificate authority.
    pub(crate) authority: Utf8PathBuf,
    /// The administrator's certificate.
    pub(crate) certificate: Utf8PathBuf,
    /// The administrator's key.
    pub(crate) key: Utf8PathBuf,
}

/// What the harness writes to the first process, one word a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// The start plan is written: run it.
    Start,
    /// Live on when the harness ends.
    Keep,
}

/// What the processes of a cluster report, one JSON object a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// The namespaces exist.
    Isolated {
        /// The first process, as the host counts.
        pid: i32,
    },
    /// Something was reached.
    Reached {
        /// What.
        milestone: Milestone,
        /// Milliseconds since the first process started.
        milliseconds: u64,
    },
    /// A component ended.
    Died(ComponentDeath),
    /// The first process cannot go on.
    Failed {
        /// What was tried and what was found.
        reason: String,
    },
    /// The first process is gone and what it held was removed.
    Ended {
        /// What could not be removed.
        leftovers: Vec<String>,
    },
}

/// A point on a cluster's way to being usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Milestone {
    /// The namespaces, mounts and control groups exist.
    Isolated,
    /// The first components run.
    ComponentsStarted,
    /// The API server accepts TLS connections.
    ApiServing,
    /// The API server answers `/readyz`.
    ApiReady,
    /// The node object exists.
    NodeRegistered,
    /// The node's Ready condition is true.
    NodeReady,
    /// The taint `node.kubernetes.io/not-ready` is gone.
    Schedulable,
}

/// The unexpected end of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentDeath {
    /// Which one, such as `kube-apiserver`.
    pub component: String,
    /// How it ended, such as `exit status 1` or `signal 9`.
    pub status: String,
    /// The first line of its log that says it gave up.
    pub fatal: Option<String>,
    /// The last lines of its log, oldest first.
    pub log_tail: Vec<String>,
}

impl Command {
    /// The word on the line.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Keep => "keep",
        }
    }

    /// The command of a line; unknown lines have none.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        [Self::Start, Self::Keep].into_iter().find(|command| command.word() == line.trim())
    }
}

impl Milestone {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Isolated => "isolated",
            Self::ComponentsStarted => "components started",
            Self::ApiServing => "api serving",
            Self::ApiReady => "api ready",
            Self::NodeRegistered => "node registered",
            Self::NodeReady => "node ready",
            Self::Schedulable => "schedulable",
        }
    }
}

impl std::fmt::Display for ComponentDeath {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} ended ({})", self.component, self.status)?;
        if let Some(fatal) = &self.fatal {
            write!(formatter, ": {fatal}")?;
        }
        Ok(())
    }
}

/// Path of a component's log beneath `directory`.
pub(crate) fn log_path(directory: &Utf8Path, component: &str) -> Utf8PathBuf {
    directory.join("logs").join(format!("{component}.log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_and_comes_back() {
        let events = [
            Event::Isolated { pid: 7 },
            Event::Reached { milestone: Milestone::ApiReady, milliseconds: 1200 },
            Event::Died(ComponentDeath {
                component: "etcd".to_owned(),
                status: "signal 9".to_owned(),
                fatal: Some("panic:\nboom".to_owned()),
                log_tail: vec!["one".to_owned()],
            }),
            Event::Failed { reason: "no".to_owned() },
            Event::Ended { leftovers: vec![] },
        ];
        for event in events {
            let line = serde_json::to_string(&event).unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
        }
    }

    #[test]
    fn commands_are_words() {
        for command in [Command::Start, Command::Keep] {
            assert_eq!(Command::parse(&format!("{}\n", command.word())), Some(command));
        }
        assert_eq!(Command::parse("stop"), None);
    }
}
