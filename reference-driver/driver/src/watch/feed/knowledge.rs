//! What an RPC may be answered with from the watch, and when.
//!
//! An answer from here must not be older than what this driver itself has done, so it waits until the watch has shown that.
//! While the watch is interrupted nothing is answered from here; the API server is asked instead.

use std::time::Duration;

use sandproof_protocol::v1;

use super::{Feed, State, TrackedPod, running};
use crate::sandbox::Located;
use crate::watch::conditions::Running;

/// A sandbox that is known.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Its object.
    pub(crate) located: Located,
    /// What a client sees of it.
    pub(crate) sandbox: v1::DriverSandbox,
}

/// How the wait for a stopped sandbox's pod ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// It has no pod any more.
    Yes,
    /// Its pod has not ended in time.
    NotYet,
    /// It was deleted, or started again.
    NoLonger,
}

impl Feed {
    /// The sandbox of that identifier, unless it is unknown or what is known may be old.
    pub(crate) fn find(&self, sandbox_id: &str) -> Option<Found> {
        let state = self.lock();
        let tracked =
            state.sandboxes.values().find(|tracked| tracked.object.id == sandbox_id).filter(|_| state.live)?;
        Some(Found { located: tracked.located.clone(), sandbox: tracked.told.clone() })
    }

    /// All sandboxes, unless what is known may be old.
    pub(crate) fn list(&self) -> Option<Vec<v1::DriverSandbox>> {
        let state = self.lock();
        let is_complete = state.live && self.complete.borrow().pods;
        is_complete.then(|| state.sandboxes.values().map(|tracked| tracked.told.clone()).collect())
    }

    /// Whether a sandbox has that identifier; none if what is known may be old.
    pub(crate) fn knows(&self, sandbox_id: &str) -> Option<bool> {
        let state = self.lock();
        state.live.then(|| state.sandboxes.values().any(|tracked| tracked.object.id == sandbox_id))
    }

    /// Adds what is known of the pod to a sandbox read from the API server.
    pub(crate) fn complete(&self, located: Located, sandbox: v1::DriverSandbox) -> Found {
        let state = self.lock();
        let pod = state.pods.get(&located.key);
        let running = running(&Running::Wanted, &located, pod.is_some());
        let sandbox = self.overlay(sandbox, &running, pod.map(TrackedPod::adds));
        Found { located, sandbox }
    }

    /// Waits until the watch has shown an object as it is after this driver changed it.
    pub(crate) async fn catch_up(&self, located: &Located, is_shown: impl Fn(Option<&Located>) -> bool) {
        let caught_up = |state: &State| {
            let known = state.sandboxes.get(&located.key).map(|tracked| &tracked.located);
            !state.live || is_shown(known.filter(|known| known.uid == located.uid))
        };
        if !self.until(self.patience, caught_up).await {
            self.doubt();
        }
    }

    /// Waits until a sandbox that was told to stop has no pod.
    pub(crate) async fn stopped(&self, located: &Located, patience: Duration) -> Stopped {
        let outcome = |state: &State| match state.sandboxes.get(&located.key) {
            Some(tracked) if tracked.located.uid != located.uid || !tracked.located.suspended => {
                Some(Stopped::NoLonger)
            }
            Some(tracked) => matches!(tracked.running, Running::Stopped(_)).then_some(Stopped::Yes),
            None => Some(Stopped::NoLonger),
        };
        self.until(patience, |state| state.live && outcome(state).is_some()).await;
        outcome(&self.lock()).unwrap_or(Stopped::NotYet)
    }

    /// Resolves when what is known is in doubt and should be listed again.
    pub(in crate::watch) async fn is_doubted(&self) {
        self.doubted.notified().await;
    }

    fn doubt(&self) {
        tracing::warn!("the watch of sandboxes is behind; listing them again");
        self.sandboxes_interrupted();
        self.doubted.notify_one();
    }

    /// Waits for a condition; false if it did not hold in time.
    async fn until(&self, patience: Duration, holds: impl Fn(&State) -> bool) -> bool {
        let mut versions = self.version.subscribe();
        let waiting = async {
            while !holds(&self.lock()) {
                if versions.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(patience, waiting).await.is_ok()
    }
}
