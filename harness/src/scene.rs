//! Where one scenario takes place: its namespace, images, users, sandboxes and driver. Nothing of it is shared.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::Client;
use sandproof_clusters::{
    provider::NodeAccess,
    registry::{Registry, random_word},
};
use sandproof_scenarios::{SandboxVersion, WorkspaceMode};
use serde_json::{Map, Value};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    cluster_state::{ClusterState, SeenEvent},
    events::{Event, Events},
    place::Place,
    relay::{Relay, RelayPlace},
    runner::{
        guests::Guests,
        install::{Definition, Releases},
    },
    steps::{
        agent_sandbox::Changes,
        rpc::{Call, Driver},
        watching::Watching,
    },
    subject::{Deployed, Settings, Subject, chart::ImageValue},
};

/// How long an API server that is there may take to say its version.
const ANSWER: Duration = Duration::from_secs(10);

/// How much later than its scenarios the run may hear that a part of the cluster has died.
const NOTICE: Duration = Duration::from_secs(2);

/// What all scenarios of a cell share.
#[derive(Clone)]
pub(crate) struct Stage {
    /// The cell's identifier.
    pub(crate) cell: String,
    /// The cluster's API.
    pub(crate) client: Client,
    /// The cluster's current state.
    pub(crate) state: ClusterState,
    /// Where in the cluster things are put.
    pub(crate) place: Place,
    /// How this process reaches what is on the node.
    pub(crate) node_access: NodeAccess,
    /// Where a relay to the API server can stand; otherwise why nowhere.
    pub(crate) relay: Result<RelayPlace, String>,
    /// The run's registry.
    pub(crate) registry: Arc<Registry>,
    /// `host:port` of the listener that speaks plain http and Basic.
    pub(crate) plain: String,
    /// `host:port` of the listener that speaks TLS and Bearer.
    pub(crate) secure: String,
    /// The releases of Agent Sandbox.
    pub(crate) releases: Releases,
    /// The images to make fresh ones from.
    pub(crate) guests: Guests,
    /// The driver under test.
    pub(crate) subject: Subject,
    /// The reference driver's image.
    pub(crate) driver_image: ImageValue,
    /// A public supervisor image for scenarios that bring none.
    pub(crate) supervisor_image: ImageValue,
    /// A public agent image for a sandbox that names none.
    pub(crate) sandbox_image: String,
    /// Where events go.
    pub(crate) events: Events,
    /// Set when the run is to end.
    pub(crate) cancelled: CancellationToken,
    /// Set when nothing on this cluster makes sense any more: the run is to end, or the cluster is broken.
    pub(crate) halt: CancellationToken,
    /// Set, with a reason, when the cluster is broken: nothing on it can be judged any more.
    pub(crate) broken: Arc<Mutex<Option<String>>>,
    /// When the cell's creation began.
    pub(crate) began: Instant,
    /// Whether some sandbox of the cell has run.
    pub(crate) sandbox_ran: Arc<AtomicBool>,
    /// Whether image volumes were tried on this cluster and do not work.
    pub(crate) only_init_containers: Arc<AtomicBool>,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Stage").field("cell", &self.cell).finish_non_exhaustive()
    }
}

impl Stage {
    /// The reason why nothing on this cluster can be judged any more.
    pub(crate) fn broken(&self) -> Option<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The reason why nothing on this cluster can be judged any more, asked of the cluster itself: a scenario feels the
    /// death of an API server a moment before the run hears of it.
    pub(crate) async fn lost(&self) -> Option<String> {
        let found = match timeout(ANSWER, self.client.apiserver_version()).await {
            Ok(Ok(_) | Err(kube::Error::Api(_))) => return self.broken(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", ANSWER.as_secs()),
        };
        // Whoever watches over the cluster can say what happened.
        let _ = timeout(NOTICE, self.halt.cancelled()).await;
        Some(self.broken().unwrap_or_else(|| format!("the cluster's API server does not answer: {found}")))
    }

    /// The API version in which Sandboxes are watched; the newest one while none is.
    pub(crate) fn sandbox_version(&self) -> String {
        self.state.sandbox_version().unwrap_or_else(|| SandboxVersion::V1beta1.as_str().to_owned())
    }

    /// The side-load method of a driver whose scenario does not care: the chart's own choice where that can work.
    pub(crate) fn usual_sideload(&self) -> String {
        if self.only_init_containers.load(Ordering::Relaxed) { "init-container".to_owned() } else { String::new() }
    }

    /// Reports the first sandbox that runs.
    pub(crate) fn sandbox_runs(&self) {
        if !self.sandbox_ran.swap(true, Ordering::Relaxed) {
            self.events.emit(Event::Milestone {
                cell: self.cell.clone(),
                name: "first sandbox running".to_owned(),
                seconds: self.began.elapsed().as_secs_f64(),
            });
        }
    }

    /// Declares the cluster broken; the first reason counts.
    pub(crate) fn declare_broken(&self, reason: String) {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.halt.cancel();
    }
}

/// An image that a scenario pushed.
#[derive(Debug, Clone)]
pub(crate) struct SceneImage {
    /// Its full reference as pods name it.
    pub(crate) reference: String,
    /// Registry and repository.
    pub(crate) address: String,
    /// Its tag.
    pub(crate) tag: String,
    /// The repository's path in the registry.
    pub(crate) repository: String,
}

/// A user of the registry that belongs to one scenario.
#[derive(Debug, Clone)]
pub(crate) struct SceneUser {
    /// The name the registry knows.
    pub(crate) login: String,
    /// The password; it goes into secrets and nowhere else.
    pub(crate) password: String,
}

/// A sandbox that a scenario asked for.
#[derive(Debug, Clone)]
pub(crate) struct SceneSandbox {
    /// The id that was sent.
    pub(crate) id: String,
    /// The name that was sent.
    pub(crate) name: String,
}

/// A driver of a scenario that steps do not speak to at present.
#[derive(Debug)]
pub(crate) struct SceneDriver {
    /// The driver, once it answers.
    pub(crate) driver: Option<Driver>,
    /// What there is of it.
    pub(crate) deployed: Option<Deployed>,
    /// What it was told.
    pub(crate) settings: Option<Settings>,
}

/// One attempt at one scenario.
#[derive(Debug)]
pub(crate) struct Scene {
    /// What the cell's scenarios share.
    pub(crate) stage: Arc<Stage>,
    /// The scenario's key, for example `PS-02[registry=plain]`.
    pub(crate) key: String,
    /// A name that is this scenario's alone, for everything that it makes.
    pub(crate) identity: String,
    /// The namespace of its sandboxes: its own of that name, unless the subject has one for all.
    pub(crate) namespace: String,
    /// Images by the name that steps use.
    pub(crate) images: BTreeMap<String, SceneImage>,
    /// Users by the name that steps use.
    pub(crate) users: BTreeMap<String, SceneUser>,
    /// Secrets that were created, with the time.
    pub(crate) secrets: BTreeMap<String, Timestamp>,
    /// Sandboxes by name.
    pub(crate) sandboxes: BTreeMap<String, SceneSandbox>,
    /// Sandboxes that were asked for under a name that another one has.
    pub(crate) namesakes: Vec<SceneSandbox>,
    /// Sandboxes that the driver refused to create: nothing of them will ever be seen.
    pub(crate) refused: BTreeSet<String>,
    /// Sandboxes that the driver created and that nobody has deleted: each has an object, whether it is seen yet or not.
    pub(crate) created: BTreeSet<String>,
    /// The driver, once it answers.
    pub(crate) driver: Option<Driver>,
    /// What there is of the driver.
    pub(crate) deployed: Option<Deployed>,
    /// What the driver was told.
    pub(crate) settings: Option<Settings>,
    /// The name of the driver that steps speak to.
    pub(crate) driver_name: Option<String>,
    /// The other drivers, by name.
    pub(crate) parked: BTreeMap<String, SceneDriver>,
    /// The calls to drivers whose place another one took, oldest first.
    pub(crate) past_calls: Vec<Call>,
    /// What those drivers had logged.
    pub(crate) past_logs: Vec<String>,
    /// Open watches by name.
    pub(crate) watches: BTreeMap<String, Watching>,
    /// Volumes that steps made, by their names in the cluster.
    pub(crate) volumes: BTreeSet<String>,
    /// Claims that the scenario made in its namespace.
    pub(crate) claims: BTreeSet<String>,
    /// The definition of the Sandbox as it was before a step changed it.
    pub(crate) definition: Option<Definition>,
    /// Sandboxes that a step wrote past the driver.
    pub(crate) stored: BTreeSet<String>,
    /// What steps changed of Agent Sandbox.
    pub(crate) changes: Changes,
    /// What stands between its drivers and the API server, where a driver is to have that.
    pub(crate) relay: Option<Relay>,
    /// Keys of the taints that steps put on nodes.
    pub(crate) taints: BTreeSet<String>,
    /// How the driver maps workspaces to namespaces.
    pub(crate) workspace_mode: WorkspaceMode,
    /// The workspaces that steps named.
    pub(crate) workspaces: BTreeSet<String>,
    /// What was observed, by the name of the observation.
    pub(crate) observations: Map<String, Value>,
}

impl Scene {
    /// An empty scene.
    pub(crate) fn new(stage: Arc<Stage>, key: &str, identity: String) -> Self {
        let namespace = stage.subject.namespace().map_or_else(|| identity.clone(), str::to_owned);
        Self {
            stage,
            key: key.to_owned(),
            identity,
            namespace,
            images: BTreeMap::new(),
            users: BTreeMap::new(),
            secrets: BTreeMap::new(),
            sandboxes: BTreeMap::new(),
            namesakes: Vec::new(),
            refused: BTreeSet::new(),
            created: BTreeSet::new(),
            driver: None,
            deployed: None,
            settings: None,
            driver_name: None,
            parked: BTreeMap::new(),
            past_calls: Vec::new(),
            past_logs: Vec::new(),
            watches: BTreeMap::new(),
            volumes: BTreeSet::new(),
            claims: BTreeSet::new(),
            definition: None,
            stored: BTreeSet::new(),
            changes: Changes::default(),
            relay: None,
            taints: BTreeSet::new(),
            workspace_mode: WorkspaceMode::default(),
            workspaces: BTreeSet::new(),
            observations: Map::new(),
        }
    }

    /// Puts the driver aside, under its name.
    pub(crate) fn park_driver(&mut self, name: String) {
        let driver =
            SceneDriver { driver: self.driver.take(), deployed: self.deployed.take(), settings: self.settings.take() };
        self.parked.insert(name, driver);
    }

    /// Another driver is about to take the current one's place: what was open to it ends with it.
    pub(crate) fn retire_driver(&mut self) {
        self.past_calls.extend(self.driver.take().into_iter().flat_map(Driver::into_calls));
        self.watches.clear();
    }

    /// The calls to all drivers, oldest first.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let parked = self.parked.values().filter_map(|driver| driver.driver.as_ref());
        let open = self.driver.iter().chain(parked).flat_map(Driver::calls);
        let mut calls: Vec<Call> = self.past_calls.iter().chain(open).cloned().collect();
        calls.sort_by_key(|call| call.at);
        calls
    }

    /// The user of that name, made on first use.
    pub(crate) fn user(&mut self, name: &str) -> SceneUser {
        if let Some(user) = self.users.get(name) {
            return user.clone();
        }
        let user = SceneUser { login: format!("{name}.{}", self.identity), password: random_word() };
        self.stage.registry.add_user(&user.login, &user.password);
        self.users.insert(name.to_owned(), user.clone());
        user
    }

    /// The name that steps use for a user of the registry.
    pub(crate) fn step_name_of(&self, login: &str) -> String {
        self.users
            .iter()
            .find(|(_, user)| user.login == login)
            .map_or_else(|| login.to_owned(), |(name, _)| name.clone())
    }

    /// The sandbox of that name, with an id that is the same for each use of the name.
    pub(crate) fn sandbox(&mut self, name: &str, id: Option<&str>) -> SceneSandbox {
        if let Some(sandbox) = self.sandboxes.get(name)
            && id.is_none_or(|id| id == sandbox.id)
        {
            return sandbox.clone();
        }
        let id = id.map_or_else(|| stable_id(&self.identity, name), str::to_owned);
        let sandbox = SceneSandbox { id, name: name.to_owned() };
        // The first id of a name is the one that later steps mean by it.
        if self.sandboxes.contains_key(name) {
            self.namesakes.push(sandbox.clone());
        } else {
            self.sandboxes.insert(name.to_owned(), sandbox.clone());
        }
        sandbox
    }

    /// A workspace as it is sent. Where it is itself the name of a namespace, that must be this scenario's alone.
    pub(crate) fn workspace(&mut self, name: &str) -> String {
        self.workspaces.insert(name.to_owned());
        match self.workspace_mode {
            WorkspaceMode::Operator => format!("{}-{name}", self.namespace),
            WorkspaceMode::Shared | WorkspaceMode::Managed => name.to_owned(),
        }
    }

    /// The namespace of a workspace's sandboxes.
    pub(crate) fn workspace_namespace(&self, name: &str) -> String {
        match self.workspace_mode {
            WorkspaceMode::Shared => self.namespace.clone(),
            // The gateway's identifier is the scenario's namespace.
            WorkspaceMode::Managed => format!("openshell-{}-{name}", self.namespace),
            WorkspaceMode::Operator => format!("{}-{name}", self.namespace),
        }
    }

    /// The scenario's own namespace, and those of its workspaces.
    pub(crate) fn namespaces(&self) -> Vec<String> {
        let mut all = vec![self.namespace.clone()];
        if self.workspace_mode != WorkspaceMode::Shared {
            all.extend(self.workspaces.iter().map(|name| self.workspace_namespace(name)));
        }
        all
    }

    /// The events of all these namespaces, oldest first.
    pub(crate) fn events(&self, state: &ClusterState) -> Vec<SeenEvent> {
        let mut events: Vec<SeenEvent> = self.namespaces().iter().flat_map(|name| state.events(name)).collect();
        events.sort_by(|left, right| left.at.cmp(&right.at));
        events
    }

    /// The pods of all these namespaces.
    pub(crate) fn pods(&self, state: &ClusterState) -> Vec<Arc<Value>> {
        self.namespaces().iter().flat_map(|name| state.pods(name)).collect()
    }

    /// The Sandboxes of all these namespaces.
    pub(crate) fn sandbox_objects(&self, state: &ClusterState) -> Vec<Arc<Value>> {
        self.namespaces().iter().flat_map(|name| state.sandboxes(name)).collect()
    }

    /// The Sandbox object of a sandbox, found by its label, whatever the driver called it.
    pub(crate) fn sandbox_object(&self, state: &ClusterState, name: &str) -> Option<Arc<Value>> {
        let id = &self.sandboxes.get(name)?.id;
        self.sandbox_objects(state).into_iter().find(|object| {
            object.pointer("/metadata/labels/openshell.ai~1sandbox-id").and_then(Value::as_str) == Some(id)
        })
    }

    /// The pod that the controller made for a sandbox.
    pub(crate) fn sandbox_pod(&self, state: &ClusterState, name: &str) -> Option<Arc<Value>> {
        let object = self.sandbox_object(state, name)?;
        let owner = object.pointer("/metadata/uid")?.as_str()?.to_owned();
        self.pods(state).into_iter().find(|pod| owned_by(pod, &owner))
    }

    /// Whether neither the Sandbox nor a pod of it is there; a pod that lost its owner has the name of the Sandbox still.
    pub(crate) fn is_gone(&self, state: &ClusterState, name: &str) -> bool {
        let of_it = |pod: &Arc<Value>| {
            pod.pointer("/metadata/name").and_then(Value::as_str).is_some_and(|pod| {
                pod.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('-'))
            })
        };
        self.sandbox_object(state, name).is_none() && !self.sandbox_pods(state).iter().any(of_it)
    }

    /// The scenario's pods that are some sandbox's: they belong to a Sandbox, or did so, as Agent Sandbox's label says.
    pub(crate) fn sandbox_pods(&self, state: &ClusterState) -> Vec<Arc<Value>> {
        let of_a_sandbox = |pod: &Arc<Value>| {
            let owned = pod
                .pointer("/metadata/ownerReferences")
                .and_then(Value::as_array)
                .is_some_and(|owners| owners.iter().any(|owner| owner["kind"] == "Sandbox"));
            owned || pod.pointer("/metadata/labels/agents.x-k8s.io~1sandbox-name-hash").is_some()
        };
        self.pods(state).into_iter().filter(of_a_sandbox).collect()
    }
}

/// Whether an object belongs to the one with this UID.
pub(crate) fn owned_by(object: &Value, uid: &str) -> bool {
    object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == uid))
}

/// A UUID (version 8 form) made of the scene and the sandbox's name.
pub(crate) fn stable_id(namespace: &str, name: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(format!("{namespace}/{name}"));
    let hex = |range: std::ops::Range<usize>| hexadecimal(&digest[range]);
    format!("{}-{}-8{}-a{}-{}", hex(0..4), hex(4..6), &hex(6..8)[1..], &hex(8..10)[1..], hex(10..16))
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_stable_and_looks_like_a_uuid() {
        let id = stable_id("ns", "one");
        assert_eq!(id, stable_id("ns", "one"));
        assert_ne!(id, stable_id("ns", "two"));
        assert_eq!(id.len(), 36);
    }
}
