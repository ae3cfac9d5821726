//! A `WatchSandboxes` stream that is recorded while other steps run.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sandproof_protocol::v1::{WatchSandboxesEvent, WatchSandboxesRequest, watch_sandboxes_event::Payload};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use super::rpc::{Driver, shown_sandbox};

/// A stream and what it has delivered.
#[derive(Debug)]
pub(crate) struct Watching {
    seen: Arc<Mutex<Vec<Value>>>,
    version: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Watching {
    /// Opens the stream; the answer says whether the driver accepted it.
    pub(crate) async fn open(driver: &Driver) -> Result<Self, tonic::Status> {
        let mut stream = driver.client().watch_sandboxes(WatchSandboxesRequest {}).await?.into_inner();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (sender, version) = watch::channel(0);
        let task = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                loop {
                    let event = match stream.message().await {
                        Ok(Some(event)) => shown(event),
                        Ok(None) => json!({ "kind": "ended", "reason": "the driver closed the stream" }),
                        Err(status) => json!({ "kind": "ended", "reason": status.message() }),
                    };
                    let ended = event["kind"] == "ended";
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(event);
                    sender.send_modify(|count| *count += 1);
                    if ended {
                        return;
                    }
                }
            }
        });
        Ok(Self { seen, version, task })
    }

    /// Everything delivered so far.
    pub(crate) fn seen(&self) -> Vec<Value> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `condition` holds for what was delivered; whether it did within `deadline`.
    pub(crate) async fn until(&self, deadline: Duration, condition: impl Fn(&[Value]) -> bool) -> bool {
        let end = Instant::now() + deadline;
        let mut version = self.version.clone();
        loop {
            version.mark_unchanged();
            if condition(&self.seen()) {
                return true;
            }
            match tokio::time::timeout_at(end, version.changed()).await {
                Ok(Ok(())) => {}
                // The stream has ended, or the time is up.
                Ok(Err(_)) | Err(_) => return condition(&self.seen()),
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn shown(event: WatchSandboxesEvent) -> Value {
    match event.payload {
        None => json!({ "kind": "empty" }),
        Some(Payload::Sandbox(event)) => {
            let sandbox = event.sandbox.unwrap_or_default();
            let mut shown = shown_sandbox(&sandbox);
            shown["kind"] = json!("sandbox");
            shown
        }
        Some(Payload::Deleted(event)) => json!({ "kind": "deleted", "id": event.sandbox_id }),
        Some(Payload::PlatformEvent(event)) => {
            let inner = event.event.unwrap_or_default();
            json!({
                "kind": "platform",
                "id": event.sandbox_id,
                "source": inner.source,
                "type": inner.r#type,
                "reason": inner.reason,
                "message": inner.message,
                "metadata": inner.metadata,
            })
        }
    }
}
