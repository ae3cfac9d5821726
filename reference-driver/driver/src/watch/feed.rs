//! What is known of the sandboxes, told to every subscriber.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::core::DynamicObject;
use sandproof_protocol::v1;
use sandproof_protocol::v1::watch_sandboxes_event::Payload;
use tokio::sync::{broadcast, watch};

use super::{events, problems};
use crate::sandbox;
use problems::Problem;

/// How many changes a subscriber may lag behind before it has to subscribe again.
const BACKLOG: usize = 4096;
/// How many platform events of one sandbox a new subscriber is told.
const HISTORY: usize = 64;
/// How many events are kept that name a sandbox not seen yet; an event may overtake its object.
const STRAYS: usize = 256;

/// The state of all sandboxes, and the place every change goes through.
pub(crate) struct Feed {
    state: Mutex<State>,
    changes: broadcast::Sender<v1::WatchSandboxesEvent>,
    complete: watch::Sender<Complete>,
}

/// Which lists have been read in full once.
#[derive(Debug, Clone, Copy, Default)]
struct Complete {
    sandboxes: bool,
    pods: bool,
}

#[derive(Default)]
struct State {
    sandboxes: BTreeMap<String, Tracked>,
    pods: BTreeMap<String, TrackedPod>,
    strays: VecDeque<Event>,
}

struct Tracked {
    /// What the object itself says.
    object: v1::DriverSandbox,
    created: Option<Timestamp>,
    /// What subscribers were told last.
    told: v1::DriverSandbox,
    history: VecDeque<Told>,
}

struct Told {
    /// The event's identity and version, so that a list read again tells nothing twice.
    key: String,
    event: v1::DriverPlatformEvent,
}

struct TrackedPod {
    pod: Pod,
    /// A volume that an event said could not be mounted; it holds until the pod gets further.
    mount: Option<Problem>,
    problems: Vec<Problem>,
    /// When each problem, by condition and reason, was first seen.
    since: BTreeMap<(&'static str, String), String>,
}

impl Feed {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            changes: broadcast::Sender::new(BACKLOG),
            complete: watch::Sender::new(Complete::default()),
        }
    }

    /// The state of every sandbox and its recent platform events, then each change; false if the state was not complete in time.
    pub(crate) async fn subscribe(
        &self,
        patience: Duration,
    ) -> Option<(Vec<v1::WatchSandboxesEvent>, broadcast::Receiver<v1::WatchSandboxesEvent>)> {
        let mut complete = self.complete.subscribe();
        let both = complete.wait_for(|complete| complete.sandboxes && complete.pods);
        tokio::time::timeout(patience, both).await.ok()?.ok()?;
        // Under the lock, so that no change falls between the state and the subscription.
        let state = self.lock();
        let changes = self.changes.subscribe();
        let mut known = Vec::new();
        for tracked in state.sandboxes.values() {
            known.push(sandbox_event(tracked.told.clone()));
            known.extend(
                tracked.history.iter().map(|told| platform_event(tracked.object.id.clone(), told.event.clone())),
            );
        }
        Some((known, changes))
    }

    /// Adds what is known of the pod to a sandbox read from the API server.
    pub(crate) fn with_pod_conditions(&self, object_name: &str, sandbox: v1::DriverSandbox) -> v1::DriverSandbox {
        overlay(sandbox, self.lock().pods.get(object_name))
    }

    /// The name of another object that carries this identifier.
    pub(crate) fn has_other(&self, sandbox_id: &str, object_name: &str) -> bool {
        self.lock().sandboxes.iter().any(|(name, tracked)| tracked.object.id == sandbox_id && name != object_name)
    }

    /// A sandbox's object is there, or changed.
    pub(super) fn sandbox_applied(&self, object: &DynamicObject) {
        let (Some(name), Some(seen)) = (object.metadata.name.clone(), sandbox::seen(object)) else {
            return;
        };
        let mut state = self.lock();
        let state = &mut *state;
        // Deleted and made anew between two lists: the old one's end must still be told.
        if state.sandboxes.get(&name).is_some_and(|known| known.object.id != seen.id) {
            self.forget(state, &name);
        }
        let created = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let told = overlay(seen.clone(), state.pods.get(&name));
        if let Some(known) = state.sandboxes.get_mut(&name) {
            known.object = seen;
            self.tell_if_changed(known, told);
            return;
        }
        self.tell(sandbox_event(told.clone()));
        let tracked = Tracked { object: seen, created, told, history: VecDeque::new() };
        state.sandboxes.insert(name.clone(), tracked);
        self.tell_strays(state, &name);
        self.tell_problems(state, &name);
    }

    /// A sandbox's object is gone.
    pub(super) fn sandbox_deleted(&self, name: &str) {
        self.forget(&mut self.lock(), name);
    }

    /// All sandboxes were listed: those not in the list are gone.
    pub(super) fn sandboxes_listed(&self, names: &BTreeSet<String>) {
        let mut state = self.lock();
        let gone: Vec<String> = state.sandboxes.keys().filter(|name| !names.contains(*name)).cloned().collect();
        for name in gone {
            self.forget(&mut state, &name);
        }
        drop(state);
        self.complete.send_modify(|complete| complete.sandboxes = true);
    }

    /// A pod is there, or changed.
    pub(super) fn pod_applied(&self, pod: Pod) {
        let Some(name) = owner_of(&pod) else {
            return;
        };
        let mut state = self.lock();
        let same = state.pods.get(&name).filter(|known| known.pod.metadata.uid == pod.metadata.uid);
        let mount = same.and_then(|known| known.mount.clone()).filter(|_| problems::waits_for_volumes(&pod));
        self.track(&mut state, &name, pod, mount);
    }

    fn track(&self, state: &mut State, name: &str, pod: Pod, mount: Option<Problem>) {
        let problems: Vec<Problem> = problems::of(&pod).into_iter().chain(mount.clone()).collect();
        let mut since = BTreeMap::new();
        for problem in &problems {
            let key = (problem.condition, problem.reason.clone());
            let known = state.pods.get(name).and_then(|known| known.since.get(&key)).cloned();
            since.insert(key, known.unwrap_or_else(now));
        }
        state.pods.insert(name.to_owned(), TrackedPod { pod, mount, problems, since });
        self.reconsider(state, name);
        self.tell_problems(state, name);
    }

    /// A pod is gone.
    pub(super) fn pod_deleted(&self, pod: &Pod) {
        let Some(name) = owner_of(pod) else {
            return;
        };
        let mut state = self.lock();
        // Its successor may have been seen first.
        if state.pods.get(&name).is_some_and(|known| known.pod.metadata.uid == pod.metadata.uid) {
            state.pods.remove(&name);
            self.reconsider(&mut state, &name);
        }
    }

    /// All pods were listed: those not in the list, by uid, are gone.
    pub(super) fn pods_listed(&self, uids: &BTreeSet<String>) {
        let mut state = self.lock();
        let is_gone = |known: &TrackedPod| known.pod.metadata.uid.as_ref().is_none_or(|uid| !uids.contains(uid));
        let gone: Vec<String> =
            state.pods.iter().filter(|(_, known)| is_gone(known)).map(|(name, _)| name.clone()).collect();
        for name in gone {
            state.pods.remove(&name);
            self.reconsider(&mut state, &name);
        }
        drop(state);
        self.complete.send_modify(|complete| complete.pods = true);
    }

    /// A Kubernetes event was seen.
    pub(super) fn event_seen(&self, event: Event) {
        let kind = event.involved_object.kind.as_deref();
        let (Some("Pod" | "Sandbox"), Some(name)) = (kind, event.involved_object.name.clone()) else {
            return;
        };
        let mut state = self.lock();
        let state = &mut *state;
        let of_pod = state.pods.iter().find(|(_, known)| known.pod.metadata.name.as_deref() == Some(&name));
        let mount = of_pod.and_then(|(owner, known)| {
            let mount = problems::of_mount(&known.pod, &event)?;
            Some((owner.clone(), known.pod.clone(), mount))
        });
        if let Some((owner, pod, mount)) = mount {
            self.track(state, &owner, pod, Some(mount));
        }
        if state.sandboxes.contains_key(&name) {
            self.tell_event(state, &name, &event);
            return;
        }
        if state.strays.len() == STRAYS {
            state.strays.pop_front();
        }
        state.strays.push_back(event);
    }

    fn forget(&self, state: &mut State, name: &str) {
        if let Some(tracked) = state.sandboxes.remove(name) {
            let sandbox_id = tracked.object.id;
            self.tell(payload(Payload::Deleted(v1::WatchSandboxesDeletedEvent { sandbox_id })));
        }
    }

    fn reconsider(&self, state: &mut State, name: &str) {
        if let Some(tracked) = state.sandboxes.get_mut(name) {
            let told = overlay(tracked.object.clone(), state.pods.get(name));
            self.tell_if_changed(tracked, told);
        }
    }

    fn tell_if_changed(&self, tracked: &mut Tracked, told: v1::DriverSandbox) {
        if tracked.told != told {
            tracked.told = told.clone();
            self.tell(sandbox_event(told));
        }
    }

    fn tell_strays(&self, state: &mut State, name: &str) {
        let (own, others) = std::mem::take(&mut state.strays)
            .into_iter()
            .partition(|event: &Event| event.involved_object.name.as_deref() == Some(name));
        state.strays = others;
        let own: VecDeque<Event> = own;
        for event in own {
            self.tell_event(state, name, &event);
        }
    }

    fn tell_event(&self, state: &mut State, name: &str, event: &Event) {
        let image = events::container_of(event)
            .and_then(|container| problems::own_image(&state.pods.get(name)?.pod, container))
            .map(str::to_owned);
        let Some(tracked) = state.sandboxes.get_mut(name) else {
            return;
        };
        // A late event of an earlier sandbox of this name is not this one's. Times here have whole seconds.
        let seconds = |time: Timestamp| time.as_second();
        if let (Some(seen), Some(created)) = (events::time_of(event), tracked.created)
            && seconds(seen) < seconds(created)
        {
            return;
        }
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let key = format!("{}@{}", text(&event.metadata.uid), text(&event.metadata.resource_version));
        self.tell_once(tracked, key, || events::of_kubernetes(event, image.as_deref()));
    }

    /// Tells each problem of a pod once for each container and reason; a back-off alternates between two of them.
    fn tell_problems(&self, state: &mut State, name: &str) {
        let (Some(tracked), Some(known)) = (state.sandboxes.get_mut(name), state.pods.get(name)) else {
            return;
        };
        let metadata = &known.pod.metadata;
        let pod = metadata.name.as_deref().unwrap_or_default();
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        for problem in &known.problems {
            let container = problem.container.as_deref().unwrap_or_default();
            let key = format!("{}/{container}/{}", metadata.uid.as_deref().unwrap_or_default(), problem.reason);
            self.tell_once(tracked, key, || events::of_problem(problem, pod, namespace));
        }
    }

    fn tell_once(&self, tracked: &mut Tracked, key: String, event: impl FnOnce() -> v1::DriverPlatformEvent) {
        if tracked.history.iter().any(|told| told.key == key) {
            return;
        }
        let event = event();
        if tracked.history.len() == HISTORY {
            tracked.history.pop_front();
        }
        tracked.history.push_back(Told { key, event: event.clone() });
        self.tell(platform_event(tracked.object.id.clone(), event));
    }

    fn tell(&self, event: v1::WatchSandboxesEvent) {
        // Without a subscriber there is nobody to tell, which is no fault.
        let _ = self.changes.send(event);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code path leaves the state half changed, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sandbox's conditions with those its pod's problems add; a deciding problem also becomes the reason of Ready.
fn overlay(mut sandbox: v1::DriverSandbox, pod: Option<&TrackedPod>) -> v1::DriverSandbox {
    let (Some(known), Some(status)) = (pod, sandbox.status.as_mut()) else {
        return sandbox;
    };
    for problem in &known.problems {
        let since = known.since.get(&(problem.condition, problem.reason.clone())).cloned().unwrap_or_default();
        set_condition(&mut status.conditions, problem.condition, problem, &since);
    }
    if let Some(problem) = known.problems.iter().find(|problem| problem.decides) {
        let since = known.since.get(&(problem.condition, problem.reason.clone())).cloned().unwrap_or_default();
        set_condition(&mut status.conditions, "Ready", problem, &since);
    }
    sandbox
}

fn set_condition(conditions: &mut Vec<v1::DriverCondition>, kind: &str, problem: &Problem, since: &str) {
    let condition = v1::DriverCondition {
        r#type: kind.to_owned(),
        status: "False".to_owned(),
        reason: problem.reason.clone(),
        message: problem.message.clone(),
        last_transition_time: since.to_owned(),
    };
    match conditions.iter_mut().find(|known| known.r#type == kind) {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

/// The sandbox a pod belongs to: the object that controls it, or else the object of the same name.
fn owner_of(pod: &Pod) -> Option<String> {
    let owners = pod.metadata.owner_references.iter().flatten();
    let controller = owners.into_iter().find(|owner| owner.kind == "Sandbox").map(|owner| owner.name.clone());
    controller.or_else(|| pod.metadata.name.clone())
}

fn now() -> String {
    let seconds = Timestamp::now().as_second();
    Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

fn sandbox_event(sandbox: v1::DriverSandbox) -> v1::WatchSandboxesEvent {
    payload(Payload::Sandbox(v1::WatchSandboxesSandboxEvent { sandbox: Some(sandbox) }))
}

fn platform_event(sandbox_id: String, event: v1::DriverPlatformEvent) -> v1::WatchSandboxesEvent {
    payload(Payload::PlatformEvent(v1::WatchSandboxesPlatformEvent { sandbox_id, event: Some(event) }))
}

fn payload(payload: Payload) -> v1::WatchSandboxesEvent {
    v1::WatchSandboxesEvent { payload: Some(payload) }
}

#[cfg(test)]
mod tests;
