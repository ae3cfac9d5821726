//! What is known of the sandboxes, told to every subscriber.

mod knowledge;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::core::DynamicObject;
use sandproof_protocol::v1;
use sandproof_protocol::v1::watch_sandboxes_event::Payload;
use tokio::sync::{Notify, broadcast, watch};

use super::conditions::{OfPod, Running, Since, now, overlay};
use super::{events, problems};
use crate::config::WorkspaceMode;
use crate::faults::Faults;
use crate::placement::ObjectKey;
use crate::sandbox::{self, Located};
use problems::Problem;

pub(crate) use knowledge::{Found, Stopped};

/// How many changes a subscriber may lag behind before it has to subscribe again.
const BACKLOG: usize = 4096;
/// How long the watch may take to show what the API server has confirmed; then it is not trusted until all is listed again.
const LAG: Duration = Duration::from_secs(5);
/// How many platform events of one sandbox a new subscriber is told.
const HISTORY: usize = 64;
/// How many events are kept that name a sandbox not seen yet; an event may overtake its object.
const STRAYS: usize = 256;

/// The state of all sandboxes, and the place every change goes through.
pub(crate) struct Feed {
    state: Mutex<State>,
    changes: broadcast::Sender<v1::WatchSandboxesEvent>,
    complete: watch::Sender<Complete>,
    /// Counts changes of the state, for those who wait for one.
    version: watch::Sender<u64>,
    doubted: Notify,
    patience: Duration,
    /// Nothing is told of what happens to pods.
    silent: bool,
    faults: Faults,
}

/// Which lists have been read in full once.
#[derive(Debug, Clone, Copy, Default)]
struct Complete {
    sandboxes: bool,
    pods: bool,
}

#[derive(Default)]
struct State {
    sandboxes: BTreeMap<ObjectKey, Tracked>,
    /// By the key of the Sandbox that a pod belongs to.
    pods: BTreeMap<ObjectKey, TrackedPod>,
    strays: VecDeque<Event>,
    /// Whether the watch of sandboxes is under way, so that what it has not told has not happened.
    live: bool,
}

struct Tracked {
    /// What the object itself says.
    object: v1::DriverSandbox,
    located: Located,
    running: Running,
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
    since: Since,
}

impl TrackedPod {
    fn adds(&self) -> OfPod<'_> {
        OfPod { problems: &self.problems, since: &self.since }
    }

    fn key(&self) -> ObjectKey {
        let metadata = &self.pod.metadata;
        ObjectKey::new(metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
    }
}

impl Feed {
    pub(crate) fn new(faults: Faults) -> Self {
        Self {
            state: Mutex::default(),
            changes: broadcast::Sender::new(BACKLOG),
            complete: watch::Sender::new(Complete::default()),
            version: watch::Sender::new(0),
            doubted: Notify::new(),
            patience: LAG,
            silent: faults.withholds_platform_events(),
            faults,
        }
    }

    /// The same for a driver in this mode; it makes a difference with a fault only.
    pub(crate) fn in_mode(mut self, mode: &WorkspaceMode) -> Self {
        self.silent |= self.faults.withholds_events_of_workspaces() && !matches!(mode, WorkspaceMode::Shared);
        self
    }

    /// The state of every sandbox and its recent platform events, then each change; none if the state was not complete in time.
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

    /// A sandbox's object is there, or changed.
    pub(super) fn sandbox_applied(&self, object: &DynamicObject) {
        let Some(seen) = sandbox::seen(object) else {
            return;
        };
        let located = sandbox::located(object);
        let key = located.key.clone();
        let mut state = self.lock();
        // Deleted and made anew between two lists: the old one's end must still be told.
        if state.sandboxes.get(&key).is_some_and(|known| known.located.uid != located.uid || known.object.id != seen.id)
        {
            self.forget(&mut state, &key);
        }
        if let Some(known) = state.sandboxes.get_mut(&key) {
            known.object = seen;
            known.located = located;
            self.reconsider(&mut state, &key);
        } else {
            let created = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
            let running = running(&Running::Wanted, &located, state.pods.contains_key(&key));
            let told = self.overlay(seen.clone(), &running, state.pods.get(&key).map(TrackedPod::adds));
            self.tell(sandbox_event(told.clone()));
            let tracked = Tracked { object: seen, located, running, created, told, history: VecDeque::new() };
            state.sandboxes.insert(key.clone(), tracked);
            self.tell_strays(&mut state, &key);
            self.tell_problems(&mut state, &key);
        }
        self.changed(state);
    }

    /// A sandbox's object is gone.
    pub(super) fn sandbox_deleted(&self, object: &DynamicObject) {
        let located = sandbox::located(object);
        let mut state = self.lock();
        if state.sandboxes.get(&located.key).is_some_and(|known| known.located.uid == located.uid) {
            self.forget(&mut state, &located.key);
        }
        self.changed(state);
    }

    /// All sandboxes were listed: those not in the list are gone.
    pub(super) fn sandboxes_listed(&self, keys: &BTreeSet<ObjectKey>) {
        let mut state = self.lock();
        let gone: Vec<ObjectKey> = state.sandboxes.keys().filter(|key| !keys.contains(*key)).cloned().collect();
        for key in gone {
            self.forget(&mut state, &key);
        }
        state.live = true;
        self.changed(state);
        self.complete.send_modify(|complete| complete.sandboxes = true);
    }

    /// The watch of sandboxes ended: changes may be missed until all are listed again.
    pub(super) fn sandboxes_interrupted(&self) {
        let mut state = self.lock();
        state.live = false;
        self.changed(state);
    }

    /// A pod is there, or changed.
    pub(super) fn pod_applied(&self, pod: Pod) {
        let Some(key) = owner_of(&pod) else {
            return;
        };
        let mut state = self.lock();
        let same = state.pods.get(&key).filter(|known| known.pod.metadata.uid == pod.metadata.uid);
        let mount = same.and_then(|known| known.mount.clone()).filter(|_| problems::waits_for_volumes(&pod));
        self.track(&mut state, &key, pod, mount);
        self.changed(state);
    }

    fn track(&self, state: &mut State, key: &ObjectKey, pod: Pod, mount: Option<Problem>) {
        let problems: Vec<Problem> = problems::of(&pod).into_iter().chain(mount.clone()).collect();
        let since = Since::of(&problems, state.pods.get(key).map(|known| &known.since));
        state.pods.insert(key.clone(), TrackedPod { pod, mount, problems, since });
        self.reconsider(state, key);
        self.tell_problems(state, key);
    }

    /// A pod is gone.
    pub(super) fn pod_deleted(&self, pod: &Pod) {
        let Some(key) = owner_of(pod) else {
            return;
        };
        let mut state = self.lock();
        // Its successor may have been seen first.
        if state.pods.get(&key).is_some_and(|known| known.pod.metadata.uid == pod.metadata.uid) {
            state.pods.remove(&key);
            self.reconsider(&mut state, &key);
        }
        self.changed(state);
    }

    /// All pods were listed: those not in the list, by uid, are gone.
    pub(super) fn pods_listed(&self, uids: &BTreeSet<String>) {
        let mut state = self.lock();
        let is_gone = |known: &TrackedPod| known.pod.metadata.uid.as_ref().is_none_or(|uid| !uids.contains(uid));
        let gone: Vec<ObjectKey> =
            state.pods.iter().filter(|(_, known)| is_gone(known)).map(|(key, _)| key.clone()).collect();
        for key in gone {
            state.pods.remove(&key);
            self.reconsider(&mut state, &key);
        }
        self.changed(state);
        self.complete.send_modify(|complete| complete.pods = true);
    }

    /// A Kubernetes event was seen.
    pub(super) fn event_seen(&self, event: Event) {
        let involved = &event.involved_object;
        let (Some(kind @ ("Pod" | "Sandbox")), Some(name)) = (involved.kind.as_deref(), &involved.name) else {
            return;
        };
        let of_pod = kind == "Pod";
        let named = ObjectKey::new(involved.namespace.clone().unwrap_or_default(), name);
        let mut state = self.lock();
        let key = if of_pod { owner_of_pod(&state, &named) } else { named };
        if let Some(known) = state.pods.get(&key).filter(|_| of_pod)
            && let Some(mount) = problems::of_mount(&known.pod, &event)
        {
            let pod = known.pod.clone();
            self.track(&mut state, &key, pod, Some(mount));
        }
        if state.sandboxes.contains_key(&key) {
            self.tell_event(&mut state, &key, &event);
        } else {
            if state.strays.len() == STRAYS {
                state.strays.pop_front();
            }
            state.strays.push_back(event);
        }
        self.changed(state);
    }

    fn forget(&self, state: &mut State, key: &ObjectKey) {
        if let Some(tracked) = state.sandboxes.remove(key)
            && !self.faults.forgets_deletions()
        {
            let sandbox_id = tracked.object.id;
            if self.faults.tells_deletion_twice() {
                self.tell(payload(Payload::Deleted(v1::WatchSandboxesDeletedEvent { sandbox_id: sandbox_id.clone() })));
            }
            self.tell(payload(Payload::Deleted(v1::WatchSandboxesDeletedEvent { sandbox_id })));
        }
    }

    /// Tells what a client sees of a sandbox if that is something else by now.
    fn reconsider(&self, state: &mut State, key: &ObjectKey) {
        let (Some(tracked), pod) = (state.sandboxes.get_mut(key), state.pods.get(key)) else {
            return;
        };
        tracked.running = running(&tracked.running, &tracked.located, pod.is_some());
        let told = self.overlay(tracked.object.clone(), &tracked.running, pod.map(TrackedPod::adds));
        if tracked.told != told {
            tracked.told = told.clone();
            self.tell(sandbox_event(told));
        }
    }

    /// The sandbox as a client sees it.
    fn overlay(&self, object: v1::DriverSandbox, running: &Running, pod: Option<OfPod<'_>>) -> v1::DriverSandbox {
        let troubled = *running == Running::Wanted
            && pod.as_ref().is_some_and(|pod| pod.problems.iter().any(|problem| problem.decides));
        let mut sandbox = overlay(object, running, pod);
        if troubled && self.faults.is_always_ready() {
            let conditions = sandbox.status.iter_mut().flat_map(|status| &mut status.conditions);
            conditions
                .filter(|condition| condition.r#type == "Ready")
                .for_each(|condition| "True".clone_into(&mut condition.status));
        }
        if self.faults.hides_messages() {
            let conditions = sandbox.status.iter_mut().flat_map(|status| &mut status.conditions);
            conditions.for_each(|condition| condition.message.clear());
        }
        sandbox
    }

    fn tell_strays(&self, state: &mut State, key: &ObjectKey) {
        let strays = std::mem::take(&mut state.strays);
        let (own, others): (VecDeque<Event>, VecDeque<Event>) = strays.into_iter().partition(|event| {
            let involved = &event.involved_object;
            involved.name.as_deref() == Some(&key.name) && involved.namespace.as_deref() == Some(&key.namespace)
        });
        state.strays = others;
        for event in own {
            self.tell_event(state, key, &event);
        }
    }

    fn tell_event(&self, state: &mut State, key: &ObjectKey, event: &Event) {
        let image = events::container_of(event)
            .and_then(|container| problems::own_image(&state.pods.get(key)?.pod, container))
            .map(str::to_owned);
        let Some(tracked) = state.sandboxes.get_mut(key) else {
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
    fn tell_problems(&self, state: &mut State, key: &ObjectKey) {
        let (Some(tracked), Some(known)) = (state.sandboxes.get_mut(key), state.pods.get(key)) else {
            return;
        };
        if tracked.running != Running::Wanted {
            return;
        }
        let metadata = &known.pod.metadata;
        let pod = metadata.name.as_deref().unwrap_or_default();
        for problem in &known.problems {
            let container = problem.container.as_deref().unwrap_or_default();
            let once = format!("{}/{container}/{}", metadata.uid.as_deref().unwrap_or_default(), problem.reason);
            self.tell_once(tracked, once, || events::of_problem(problem, pod, &key.namespace));
        }
    }

    fn tell_once(&self, tracked: &mut Tracked, key: String, event: impl FnOnce() -> v1::DriverPlatformEvent) {
        if self.silent || tracked.history.iter().any(|told| told.key == key) {
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

    /// Wakes those who wait for a change; after the lock is given back, because they take it to look.
    fn changed(&self, state: MutexGuard<'_, State>) {
        drop(state);
        self.version.send_modify(|version| *version = version.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code path leaves the state half changed, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far a sandbox is with running or with being stopped.
fn running(before: &Running, located: &Located, has_pod: bool) -> Running {
    match (located.suspended, has_pod, before) {
        (false, _, _) => Running::Wanted,
        (true, true, _) => Running::Ending,
        (true, false, Running::Stopped(since)) => Running::Stopped(since.clone()),
        (true, false, _) => Running::Stopped(now()),
    }
}

/// The sandbox a pod belongs to: the object that controls it, or else the object of the same name.
fn owner_of(pod: &Pod) -> Option<ObjectKey> {
    let owners = pod.metadata.owner_references.iter().flatten();
    let controller = owners.into_iter().find(|owner| owner.kind == "Sandbox").map(|owner| owner.name.clone());
    let name = controller.or_else(|| pod.metadata.name.clone())?;
    Some(ObjectKey::new(pod.metadata.namespace.clone().unwrap_or_default(), name))
}

/// The sandbox of the pod of that name; usually they are named alike.
fn owner_of_pod(state: &State, pod: &ObjectKey) -> ObjectKey {
    if state.pods.get(pod).is_some_and(|known| known.key() == *pod) {
        return pod.clone();
    }
    let found = state.pods.iter().find(|(_, known)| known.key() == *pod).map(|(owner, _)| owner.clone());
    found.unwrap_or_else(|| pod.clone())
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
