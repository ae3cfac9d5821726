//! Keeps the feed up to date from the API server's watches.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::runtime::watcher::{self, Config, watcher};
use kube::runtime::{WatchStreamExt, watcher::Error};
use kube::{Api, ResourceExt};
use tokio_util::sync::CancellationToken;

use super::Feed;
use super::backoff::Doubling;
use crate::error::with_causes;
use crate::kubernetes::{Sandboxes, is_missing_api};
use crate::names;

/// How long to wait before the API version is looked for again after it could not be found.
const REDISCOVERY: Duration = Duration::from_secs(2);

/// How long to wait after a version was gone before it is asked again which one is served.
const SETTLING: Duration = Duration::from_millis(200);

/// Follows sandboxes, their pods and their events until `stop`.
pub(crate) async fn follow(feed: Arc<Feed>, sandboxes: Arc<Sandboxes>, stop: CancellationToken) {
    let all = async {
        tokio::join!(
            follow_sandboxes(&feed, &sandboxes),
            follow_pods(&feed, &sandboxes),
            follow_events(&feed, &sandboxes)
        )
    };
    tokio::select! {
        _ = all => {}
        () = stop.cancelled() => {}
    }
}

async fn follow_sandboxes(feed: &Feed, sandboxes: &Sandboxes) {
    let selector = names::gateway_selector(sandboxes.gateway_id());
    loop {
        match sandboxes.resource().await {
            Ok(resource) => {
                let api = sandboxes.api(&resource);
                follow_version(feed, watcher(api, Config::default().labels(&selector)).backoff(Doubling::new())).await;
                sandboxes.forget_resource().await;
                // Discovery may still name what requests no longer find.
                tokio::time::sleep(SETTLING).await;
            }
            // There is nothing to watch until the definition is installed again.
            Err(error) => {
                tracing::warn!(%error, "cannot watch sandboxes");
                tokio::time::sleep(REDISCOVERY).await;
            }
        }
    }
}

/// Follows one API version until it is no longer served.
async fn follow_version(
    feed: &Feed,
    stream: impl Stream<Item = Result<watcher::Event<kube::core::DynamicObject>, Error>>,
) {
    let mut stream = pin!(stream);
    let mut listed = BTreeSet::new();
    while let Some(change) = stream.next().await {
        match change {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                listed.insert(object.name_any());
                feed.sandbox_applied(&object);
            }
            Ok(watcher::Event::InitDone) => feed.sandboxes_listed(&listed),
            Ok(watcher::Event::Apply(object)) => feed.sandbox_applied(&object),
            Ok(watcher::Event::Delete(object)) => feed.sandbox_deleted(&object.name_any()),
            Err(error) if is_gone(&error) => return,
            Err(error) => interrupted("sandboxes", &error),
        }
    }
}

async fn follow_pods(feed: &Feed, sandboxes: &Sandboxes) {
    let api: Api<Pod> = Api::namespaced(sandboxes.client().clone(), sandboxes.namespace());
    let selector = names::gateway_selector(sandboxes.gateway_id());
    let mut stream = pin!(watcher(api, Config::default().labels(&selector)).backoff(Doubling::new()));
    let mut listed = BTreeSet::new();
    while let Some(change) = stream.next().await {
        match change {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(pod)) => {
                listed.extend(pod.uid());
                feed.pod_applied(pod);
            }
            Ok(watcher::Event::InitDone) => feed.pods_listed(&listed),
            Ok(watcher::Event::Apply(pod)) => feed.pod_applied(pod),
            Ok(watcher::Event::Delete(pod)) => feed.pod_deleted(&pod),
            Err(error) => interrupted("pods", &error),
        }
    }
}

async fn follow_events(feed: &Feed, sandboxes: &Sandboxes) {
    let api: Api<Event> = Api::namespaced(sandboxes.client().clone(), sandboxes.namespace());
    let mut stream = pin!(watcher(api, Config::default()).backoff(Doubling::new()));
    while let Some(change) = stream.next().await {
        match change {
            Ok(watcher::Event::InitApply(event) | watcher::Event::Apply(event)) => feed.event_seen(event),
            // Kubernetes forgets events after a while; a client that saw one does not.
            Ok(watcher::Event::Init | watcher::Event::InitDone | watcher::Event::Delete(_)) => {}
            Err(error) => interrupted("events", &error),
        }
    }
}

fn interrupted(what: &str, error: &Error) {
    tracing::warn!(what, error = with_causes(error), "a watch was interrupted");
}

fn is_gone(error: &Error) -> bool {
    match error {
        Error::InitialListFailed(source) | Error::WatchStartFailed(source) | Error::WatchFailed(source) => {
            is_missing_api(source)
        }
        Error::WatchError(status) => status.code == 404,
        Error::NoResourceVersion => false,
    }
}
