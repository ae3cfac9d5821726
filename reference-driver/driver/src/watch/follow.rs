//! Keeps the feed up to date from the API server's watches.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::core::DynamicObject;
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Config, Error, watcher};
use kube::{Api, Resource, ResourceExt};
use tokio_util::sync::CancellationToken;

use super::Feed;
use super::backoff::Doubling;
use crate::error::with_causes;
use crate::kubernetes::{Sandboxes, is_missing_api};
use crate::sandbox;

/// How long to wait before the API version is looked for again after it could not be found.
const REDISCOVERY: Duration = Duration::from_secs(2);

/// How long one watch lasts, in seconds: a dead connection is noticed no later. Kubernetes' own default is 5 to 10 minutes.
const WATCH_SECONDS: u32 = 60;

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
    let selector = sandboxes.selector();
    let mut pauses = Doubling::new();
    loop {
        let resource = match sandboxes.resource().await {
            Ok(resource) => resource,
            // There is nothing to watch until the definition is installed again.
            Err(error) => {
                tracing::warn!(%error, "cannot watch sandboxes");
                tokio::time::sleep(REDISCOVERY).await;
                continue;
            }
        };
        let stream = watcher(sandboxes.all(&resource), config().labels(&selector));
        let end = tokio::select! {
            end = follow_version(feed, stream, &mut pauses) => end,
            () = feed.is_doubted() => continue,
        };
        feed.sandboxes_interrupted();
        match end {
            End::Gone => {
                sandboxes.forget_resource().await;
                // Discovery may still name what requests no longer find.
                tokio::time::sleep(SETTLING).await;
            }
            End::Interrupted => tokio::time::sleep(pauses.next().unwrap_or(REDISCOVERY)).await,
        }
    }
}

/// Why a watch of sandboxes ended.
enum End {
    /// The API version is no longer served.
    Gone,
    /// Something between here and there; all is listed again afterwards, because what was missed is not known.
    Interrupted,
}

/// Follows one API version until the watch ends.
async fn follow_version(
    feed: &Feed,
    stream: impl Stream<Item = Result<watcher::Event<DynamicObject>, Error>>,
    pauses: &mut Doubling,
) -> End {
    let mut stream = pin!(stream);
    let mut listed = BTreeSet::new();
    while let Some(change) = stream.next().await {
        match change {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                listed.insert(sandbox::located(&object).key);
                feed.sandbox_applied(&object);
            }
            Ok(watcher::Event::InitDone) => {
                feed.sandboxes_listed(&listed);
                pauses.reset();
            }
            Ok(watcher::Event::Apply(object)) => feed.sandbox_applied(&object),
            Ok(watcher::Event::Delete(object)) => feed.sandbox_deleted(&object),
            Err(error) if is_gone(&error) => return End::Gone,
            Err(error) => {
                interrupted("sandboxes", &error);
                return End::Interrupted;
            }
        }
    }
    End::Interrupted
}

async fn follow_pods(feed: &Feed, sandboxes: &Sandboxes) {
    let api: Api<Pod> = everywhere(sandboxes);
    let mut stream = pin!(watcher(api, config().labels(&sandboxes.selector())).backoff(Doubling::new()));
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
    let api: Api<Event> = everywhere(sandboxes);
    let mut stream = pin!(watcher(api, config()).backoff(Doubling::new()));
    while let Some(change) = stream.next().await {
        match change {
            Ok(watcher::Event::InitApply(event) | watcher::Event::Apply(event)) => {
                // A watch of the whole cluster tells of much that is nobody's sandbox.
                let namespace = event.involved_object.namespace.as_deref().unwrap_or_default();
                if sandboxes.layout().may_hold(namespace) {
                    feed.event_seen(event);
                }
            }
            // Kubernetes forgets events after a while; a client that saw one does not.
            Ok(watcher::Event::Init | watcher::Event::InitDone | watcher::Event::Delete(_)) => {}
            Err(error) => interrupted("events", &error),
        }
    }
}

/// A kind in every namespace that sandboxes of this driver can be in.
fn everywhere<K>(sandboxes: &Sandboxes) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    let client = sandboxes.client().clone();
    match sandboxes.layout().only_namespace() {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    }
}

fn config() -> Config {
    Config::default().timeout(WATCH_SECONDS)
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
