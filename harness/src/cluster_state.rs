//! What a cluster's API says right now: pods, Sandboxes and events of all namespaces,
//! kept current by one watch a kind.
//!
//! Every wait in the harness is a condition over this state plus a deadline. The watcher
//! lists again by itself after a broken connection, so a missed event does not matter.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Event as KubernetesEvent, Pod};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::DynamicObject,
    runtime::{WatchStreamExt, watcher},
};
use serde::Serialize;
use serde_json::Value;
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::Instant,
};

use crate::runner::install::definition;

/// Namespace and name.
type Key = (String, String);

/// Objects by namespace and name, as JSON.
type Objects = BTreeMap<Key, Arc<Value>>;

/// The kinds that are watched.
#[derive(Debug, Default)]
struct Kinds {
    pods: Objects,
    sandboxes: Objects,
    events: Objects,
}

/// The current state of a cluster; cheap to clone.
#[derive(Clone)]
pub(crate) struct ClusterState {
    kinds: Arc<Mutex<Kinds>>,
    version: Arc<watch::Sender<u64>>,
    client: Client,
    tasks: Arc<Mutex<JoinSet<()>>>,
    sandboxes: Arc<Mutex<Option<WatchedVersion>>>,
}

/// The API version in which Sandboxes are watched, and the task that does.
type WatchedVersion = (String, AbortHandle);

/// How a wait ended.
#[derive(Debug, Clone)]
pub(crate) struct Waited<T> {
    /// What the condition gave; nothing when the deadline passed first.
    pub(crate) found: Option<T>,
    /// How long it took.
    pub(crate) seconds: f64,
}

/// Which of the watched kinds.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Pods,
    Sandboxes,
    Events,
}

impl std::fmt::Debug for ClusterState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ClusterState").field("version", &*self.version.borrow()).finish_non_exhaustive()
    }
}

impl ClusterState {
    /// Starts to watch pods and events.
    pub(crate) fn watch(client: Client) -> Self {
        let kinds = Arc::new(Mutex::new(Kinds::default()));
        let version = Arc::new(watch::Sender::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(follow(Api::<Pod>::all(client.clone()), Kind::Pods, Arc::clone(&kinds), Arc::clone(&version)));
        tasks.spawn(follow(
            Api::<KubernetesEvent>::all(client.clone()),
            Kind::Events,
            Arc::clone(&kinds),
            Arc::clone(&version),
        ));
        Self { kinds, version, client, tasks: Arc::new(Mutex::new(tasks)), sandboxes: Arc::default() }
    }

    /// Watches Sandboxes too, in the first of the API versions that are `served`, and in no other from now on.
    /// While none is served, what was seen last stays.
    pub(crate) fn watch_sandboxes(&self, served: &[String]) {
        let mut watched = self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, task)) = watched.take() {
            task.abort();
        }
        *watched = served.first().map(|version| {
            let api = Api::<DynamicObject>::all_with(self.client.clone(), &definition::resource(version));
            let following = follow(api, Kind::Sandboxes, Arc::clone(&self.kinds), Arc::clone(&self.version));
            let task = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(following);
            (version.clone(), task)
        });
    }

    /// The API version in which Sandboxes are watched.
    pub(crate) fn sandbox_version(&self) -> Option<String> {
        let watched = self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner);
        watched.as_ref().map(|(version, _)| version.clone())
    }

    /// A pod.
    pub(crate) fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.locked(|kinds| kinds.pods.get(&key(namespace, name)).cloned())
    }

    /// The pods of a namespace.
    pub(crate) fn pods(&self, namespace: &str) -> Vec<Arc<Value>> {
        self.locked(|kinds| in_namespace(&kinds.pods, namespace))
    }

    /// The Sandboxes of a namespace.
    pub(crate) fn sandboxes(&self, namespace: &str) -> Vec<Arc<Value>> {
        self.locked(|kinds| in_namespace(&kinds.sandboxes, namespace))
    }

    /// The events of a namespace, oldest first.
    pub(crate) fn events(&self, namespace: &str) -> Vec<SeenEvent> {
        let mut events: Vec<SeenEvent> = self
            .locked(|kinds| in_namespace(&kinds.events, namespace))
            .iter()
            .map(|event| SeenEvent::of(event))
            .collect();
        events.sort_by(|left, right| left.at.cmp(&right.at));
        events
    }

    /// Waits until `condition` gives a value, at most until `deadline` from now.
    pub(crate) async fn wait<T>(&self, deadline: Duration, mut condition: impl FnMut(&Self) -> Option<T>) -> Waited<T> {
        let started = Instant::now();
        let end = started + deadline;
        let mut version = self.version.subscribe();
        loop {
            version.mark_unchanged();
            if let Some(found) = condition(self) {
                return Waited { found: Some(found), seconds: started.elapsed().as_secs_f64() };
            }
            if tokio::time::timeout_at(end, version.changed()).await.is_err() {
                return Waited { found: None, seconds: started.elapsed().as_secs_f64() };
            }
        }
    }

    fn locked<T>(&self, read: impl FnOnce(&Kinds) -> T) -> T {
        read(&self.kinds.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The parts of a Kubernetes event that explain something.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub(crate) struct SeenEvent {
    /// When it was last seen, RFC 3339.
    pub(crate) at: String,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// A machine-readable word, for example `Failed`.
    pub(crate) reason: String,
    /// The text for a person.
    pub(crate) message: String,
    /// `Kind/name` of the object it is about.
    pub(crate) object: String,
    /// The container of the object it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) container: Option<String>,
    /// How often it was seen.
    pub(crate) count: i64,
}

impl SeenEvent {
    fn of(event: &Value) -> Self {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let at = ["/eventTime", "/lastTimestamp", "/firstTimestamp", "/metadata/creationTimestamp"]
            .iter()
            .map(|pointer| text(pointer))
            .find(|time| !time.is_empty())
            .unwrap_or_default();
        Self {
            at,
            kind: text("/type"),
            reason: text("/reason"),
            message: text("/message"),
            object: format!("{}/{}", text("/involvedObject/kind"), text("/involvedObject/name")),
            // For example `spec.initContainers{install}`.
            container: text("/involvedObject/fieldPath")
                .split_once('{')
                .and_then(|(_, rest)| rest.strip_suffix('}').map(str::to_owned)),
            count: event.get("count").and_then(Value::as_i64).unwrap_or(1),
        }
    }
}

/// Follows one kind until the task is dropped.
async fn follow<K>(api: Api<K>, kind: Kind, kinds: Arc<Mutex<Kinds>>, version: Arc<watch::Sender<u64>>)
where
    K: Resource + Clone + std::fmt::Debug + Serialize + serde::de::DeserializeOwned + Send + 'static,
{
    let mut stream = watcher(api, watcher::Config::default()).default_backoff().boxed();
    let mut listed = Objects::new();
    loop {
        let event = match stream.try_next().await {
            Ok(Some(event)) => event,
            // The watcher backs off and lists again by itself.
            Err(_) => continue,
            Ok(None) => return,
        };
        let mut kinds = kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let objects = match kind {
            Kind::Pods => &mut kinds.pods,
            Kind::Sandboxes => &mut kinds.sandboxes,
            Kind::Events => &mut kinds.events,
        };
        match event {
            watcher::Event::Init => listed.clear(),
            watcher::Event::InitApply(object) => {
                listed.insert(key_of(&object), json(&object));
                continue;
            }
            watcher::Event::InitDone => *objects = std::mem::take(&mut listed),
            watcher::Event::Apply(object) => {
                objects.insert(key_of(&object), json(&object));
            }
            watcher::Event::Delete(object) => {
                objects.remove(&key_of(&object));
            }
        }
        drop(kinds);
        version.send_modify(|version| *version += 1);
    }
}

fn json(object: &impl Serialize) -> Arc<Value> {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    // Field ownership is bulky and explains nothing here.
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    Arc::new(value)
}

fn key_of(object: &impl ResourceExt) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn key(namespace: &str, name: &str) -> Key {
    (namespace.to_owned(), name.to_owned())
}

fn in_namespace(objects: &Objects, namespace: &str) -> Vec<Arc<Value>> {
    objects
        .range(key(namespace, "")..)
        .take_while(|((found, _), _)| found == namespace)
        .map(|(_, object)| Arc::clone(object))
        .collect()
}
