use serde_json::{Value, json};

use super::*;

const PATIENCE: Duration = Duration::from_secs(1);

fn object(name: &str, id: &str, reason: &str) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "agents.x-k8s.io/v1beta1",
        "kind": "Sandbox",
        "metadata": {
            "name": name,
            "namespace": "sandboxes",
            "creationTimestamp": "2026-01-01T00:00:10Z",
            "labels": { "openshell.ai/sandbox-id": id, "openshell.ai/sandbox-name": name },
        },
        "status": { "conditions": [{ "type": "Ready", "status": "False", "reason": reason, "message": "" }] },
    }))
    .unwrap()
}

fn pod(name: &str, uid: &str, waiting: Option<&str>) -> Pod {
    let state = match waiting {
        Some(reason) => json!({ "waiting": { "reason": reason, "message": "authentication required" } }),
        None => json!({ "running": {} }),
    };
    serde_json::from_value(json!({
        "metadata": { "name": name, "namespace": "sandboxes", "uid": uid },
        "spec": { "containers": [{ "name": "agent", "image": "r.example/a:1" }] },
        "status": { "containerStatuses": [{
            "name": "agent", "image": "r.example/a:1", "imageID": "", "ready": false, "restartCount": 0, "state": state,
        }] },
    }))
    .unwrap()
}

fn event(name: &str, version: &str, time: &str) -> Event {
    serde_json::from_value(json!({
        "metadata": { "name": "e", "namespace": "sandboxes", "uid": "e1", "resourceVersion": version },
        "involvedObject": {
            "kind": "Pod", "name": name, "namespace": "sandboxes", "fieldPath": "spec.containers{agent}",
        },
        "type": "Warning", "reason": "Failed", "message": "Error: ErrImagePull", "count": 1, "lastTimestamp": time,
    }))
    .unwrap()
}

/// A feed whose lists were empty, with a subscriber.
async fn feed() -> (Feed, broadcast::Receiver<v1::WatchSandboxesEvent>) {
    let feed = Feed::new(Faults::none());
    feed.sandboxes_listed(&BTreeSet::new());
    feed.pods_listed(&BTreeSet::new());
    let (known, changes) = feed.subscribe(PATIENCE).await.unwrap();
    assert!(known.is_empty());
    (feed, changes)
}

/// What was told, in short: `sandbox ID REASON`, `deleted ID`, `event ID REASON`.
fn told(changes: &mut broadcast::Receiver<v1::WatchSandboxesEvent>) -> Vec<String> {
    std::iter::from_fn(|| changes.try_recv().ok()).map(|event| short(&event)).collect()
}

fn short(event: &v1::WatchSandboxesEvent) -> String {
    match event.payload.as_ref().unwrap() {
        Payload::Sandbox(event) => {
            let sandbox = event.sandbox.as_ref().unwrap();
            let conditions = &sandbox.status.as_ref().unwrap().conditions;
            let ready = conditions.iter().find(|condition| condition.r#type == "Ready").unwrap();
            format!("sandbox {} {}", sandbox.id, ready.reason)
        }
        Payload::Deleted(event) => format!("deleted {}", event.sandbox_id),
        Payload::PlatformEvent(event) => format!("event {} {}", event.sandbox_id, event.event.as_ref().unwrap().reason),
    }
}

#[tokio::test]
async fn a_subscriber_waits_for_the_first_lists() {
    let feed = Feed::new(Faults::none());
    feed.sandboxes_listed(&BTreeSet::new());
    assert!(feed.subscribe(Duration::from_millis(10)).await.is_none());
}

#[tokio::test]
async fn a_change_is_told_once_and_a_deletion_once() {
    let (feed, mut changes) = feed().await;
    feed.sandbox_applied(&object("a", "1", "Starting"));
    feed.sandbox_applied(&object("a", "1", "Starting"));
    feed.sandbox_applied(&object("a", "1", "DependenciesReady"));
    feed.sandbox_deleted(&object("a", "1", "x"));
    feed.sandbox_deleted(&object("a", "1", "x"));
    feed.sandboxes_listed(&BTreeSet::new());
    assert_eq!(told(&mut changes), ["sandbox 1 Starting", "sandbox 1 DependenciesReady", "deleted 1"]);
}

#[tokio::test]
async fn a_deletion_missed_while_the_watch_was_away_is_told_after_the_list() {
    let (feed, mut changes) = feed().await;
    feed.sandbox_applied(&object("a", "1", "x"));
    feed.sandbox_applied(&object("b", "2", "x"));
    feed.sandboxes_listed(&BTreeSet::from([ObjectKey::new("sandboxes", "b")]));
    assert_eq!(told(&mut changes), ["sandbox 1 x", "sandbox 2 x", "deleted 1"]);
}

#[tokio::test]
async fn a_sandbox_made_anew_under_its_name_ends_the_old_one() {
    let (feed, mut changes) = feed().await;
    feed.sandbox_applied(&object("a", "1", "x"));
    feed.sandbox_applied(&object("a", "2", "x"));
    assert_eq!(told(&mut changes), ["sandbox 1 x", "deleted 1", "sandbox 2 x"]);
}

#[tokio::test]
async fn a_new_subscriber_is_told_the_state_and_the_recent_events() {
    let (feed, _) = feed().await;
    feed.sandbox_applied(&object("a", "1", "x"));
    feed.pod_applied(pod("a", "p1", Some("ErrImagePull")));
    let (known, _) = feed.subscribe(PATIENCE).await.unwrap();
    assert_eq!(known.iter().map(short).collect::<Vec<_>>(), ["sandbox 1 ErrImagePull", "event 1 ErrImagePull"]);
}

#[tokio::test]
async fn a_failing_pull_becomes_a_condition_and_one_event_for_each_reason() {
    let (feed, mut changes) = feed().await;
    feed.sandbox_applied(&object("a", "1", "DependenciesNotReady"));
    for reason in ["ErrImagePull", "ImagePullBackOff", "ErrImagePull", "ImagePullBackOff"] {
        feed.pod_applied(pod("a", "p1", Some(reason)));
    }
    feed.pod_applied(pod("a", "p1", None));
    assert_eq!(
        told(&mut changes),
        [
            "sandbox 1 DependenciesNotReady",
            "sandbox 1 ErrImagePull",
            "event 1 ErrImagePull",
            "sandbox 1 ImagePullBackOff",
            "event 1 ImagePullBackOff",
            "sandbox 1 ErrImagePull",
            "sandbox 1 ImagePullBackOff",
            "sandbox 1 DependenciesNotReady",
        ]
    );
}

#[tokio::test]
async fn the_event_of_a_failing_pull_names_pod_image_and_reason() {
    let (feed, mut changes) = feed().await;
    feed.sandbox_applied(&object("a", "1", "x"));
    feed.pod_applied(pod("a", "p1", Some("ErrImagePull")));
    let events: Vec<_> = std::iter::from_fn(|| changes.try_recv().ok()).collect();
    let Some(Payload::PlatformEvent(platform)) = &events.last().unwrap().payload else {
        panic!("the last one is not a platform event");
    };
    let event = platform.event.as_ref().unwrap();
    assert_eq!(
        event.message,
        r#"pod "a": container "agent": image "r.example/a:1": ErrImagePull: authentication required"#
    );
    let metadata: Value = event.metadata.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    assert_eq!(
        metadata,
        json!({
            "involved_kind": "Pod", "involved_name": "a", "namespace": "sandboxes", "count": "1",
            "container": "agent", "image": "r.example/a:1",
        })
    );
}

#[tokio::test]
async fn a_pod_seen_before_its_sandbox_still_counts() {
    let (feed, mut changes) = feed().await;
    feed.pod_applied(pod("a", "p1", Some("ErrImagePull")));
    feed.event_seen(event("a", "7", "2026-01-01T00:00:11Z"));
    feed.sandbox_applied(&object("a", "1", "x"));
    assert_eq!(told(&mut changes), ["sandbox 1 ErrImagePull", "event 1 Failed", "event 1 ErrImagePull"]);
}

#[tokio::test]
async fn a_kubernetes_event_is_told_once_a_version_with_the_image_of_its_container() {
    let (feed, mut changes) = feed().await;
    feed.sandbox_applied(&object("a", "1", "x"));
    feed.pod_applied(pod("a", "p1", None));
    told(&mut changes);
    for version in ["7", "7", "8"] {
        feed.event_seen(event("a", version, "2026-01-01T00:00:11Z"));
    }
    let events: Vec<_> = std::iter::from_fn(|| changes.try_recv().ok()).collect();
    assert_eq!(events.len(), 2);
    let Some(Payload::PlatformEvent(platform)) = &events[0].payload else { panic!("not a platform event") };
    assert_eq!(platform.event.as_ref().unwrap().metadata["image"], "r.example/a:1");
}

#[tokio::test]
async fn an_event_of_an_earlier_sandbox_of_that_name_is_not_told() {
    let (feed, mut changes) = feed().await;
    feed.sandbox_applied(&object("a", "1", "x"));
    told(&mut changes);
    feed.event_seen(event("a", "7", "2026-01-01T00:00:09Z"));
    assert!(told(&mut changes).is_empty());
}

#[tokio::test]
async fn a_pods_successor_survives_the_end_of_the_old_one() {
    let (feed, mut changes) = feed().await;
    feed.sandbox_applied(&object("a", "1", "x"));
    feed.pod_applied(pod("a", "p2", Some("ErrImagePull")));
    told(&mut changes);
    feed.pod_deleted(&pod("a", "p1", None));
    assert!(told(&mut changes).is_empty());
    feed.pods_listed(&BTreeSet::new());
    assert_eq!(told(&mut changes), ["sandbox 1 x"]);
}

#[tokio::test]
async fn a_volume_that_cannot_be_mounted_is_told_until_the_pod_gets_further() {
    let (feed, mut changes) = feed().await;
    feed.sandbox_applied(&object("a", "1", "DependenciesNotReady"));
    feed.pod_applied(pod("a", "p1", Some("ContainerCreating")));
    let mut failed = event("a", "1", "2026-01-01T00:00:12Z");
    failed.reason = Some("FailedMount".to_owned());
    failed.involved_object.uid = Some("p1".to_owned());
    feed.event_seen(failed);
    feed.pod_applied(pod("a", "p1", Some("ContainerCreating")));
    feed.pod_applied(pod("a", "p1", None));
    assert_eq!(
        told(&mut changes),
        [
            "sandbox 1 DependenciesNotReady",
            "sandbox 1 FailedMount",
            // Once in the driver's words, which name the pod, and once in those of Kubernetes.
            "event 1 FailedMount",
            "event 1 FailedMount",
            "sandbox 1 DependenciesNotReady",
        ]
    );
}

fn stopped(name: &str, id: &str) -> DynamicObject {
    let mut object = object(name, id, "DependenciesReady");
    object.data["spec"] = json!({ "operatingMode": "Suspended" });
    object
}

fn suspended(sandbox: &v1::DriverSandbox) -> Option<String> {
    let conditions = &sandbox.status.as_ref().unwrap().conditions;
    conditions.iter().find(|condition| condition.r#type == "Suspended").map(|condition| condition.status.clone())
}

#[tokio::test]
async fn a_sandbox_is_stopped_when_its_pod_is_gone() {
    let (feed, _) = feed().await;
    feed.pod_applied(pod("a", "p1", None));
    feed.sandbox_applied(&object("a", "1", "DependenciesReady"));
    feed.sandbox_applied(&stopped("a", "1"));
    let located = feed.find("1").unwrap().located;
    assert_eq!(suspended(&feed.find("1").unwrap().sandbox), None);
    assert_eq!(feed.stopped(&located, Duration::from_millis(10)).await, Stopped::NotYet);
    feed.pod_deleted(&pod("a", "p1", None));
    assert_eq!(suspended(&feed.find("1").unwrap().sandbox).as_deref(), Some("True"));
    assert_eq!(feed.stopped(&located, PATIENCE).await, Stopped::Yes);
    feed.sandbox_applied(&object("a", "1", "DependenciesReady"));
    assert_eq!(feed.stopped(&located, PATIENCE).await, Stopped::NoLonger);
    assert_eq!(suspended(&feed.find("1").unwrap().sandbox), None);
}

#[tokio::test]
async fn the_end_of_a_stopped_sandboxs_pod_is_no_trouble_of_it() {
    let (feed, mut changes) = feed().await;
    feed.sandbox_applied(&stopped("a", "1"));
    told(&mut changes);
    feed.pod_applied(pod("a", "p1", Some("ErrImagePull")));
    assert_eq!(told(&mut changes), ["sandbox 1 DependenciesReady"]);
}

#[tokio::test]
async fn nothing_is_answered_from_a_watch_that_is_interrupted() {
    let (feed, _) = feed().await;
    feed.sandbox_applied(&object("a", "1", "x"));
    assert!(feed.find("1").is_some() && feed.knows("1") == Some(true) && feed.knows("2") == Some(false));
    assert_eq!(feed.list().unwrap().len(), 1);
    feed.sandboxes_interrupted();
    assert!(feed.find("1").is_none() && feed.knows("1").is_none() && feed.list().is_none());
    feed.sandboxes_listed(&BTreeSet::from([ObjectKey::new("sandboxes", "a")]));
    assert_eq!(feed.list().unwrap().len(), 1);
}

#[tokio::test]
async fn a_watch_that_does_not_show_what_was_done_is_not_trusted() {
    let (mut feed, _) = feed().await;
    feed.patience = Duration::from_millis(10);
    let created = sandbox::located(&object("a", "1", "x"));
    feed.catch_up(&created, |known| known.is_some()).await;
    assert!(feed.list().is_none());
    // And whoever follows the API server is told to list again.
    tokio::time::timeout(PATIENCE, feed.is_doubted()).await.unwrap();
}

#[tokio::test]
async fn what_was_done_is_waited_for() {
    let (feed, _) = feed().await;
    let feed = std::sync::Arc::new(feed);
    let created = sandbox::located(&object("a", "1", "x"));
    let waiting = {
        let feed = std::sync::Arc::clone(&feed);
        tokio::spawn(async move { feed.catch_up(&created, |known| known.is_some()).await })
    };
    feed.sandbox_applied(&object("a", "1", "x"));
    waiting.await.unwrap();
    assert!(feed.find("1").is_some());
}

#[tokio::test]
async fn sandboxes_of_one_name_in_two_namespaces_are_two() {
    let (feed, mut changes) = feed().await;
    let mut other = object("a", "2", "x");
    other.metadata.namespace = Some("elsewhere".to_owned());
    feed.sandbox_applied(&object("a", "1", "x"));
    feed.sandbox_applied(&other);
    feed.pod_applied(pod("a", "p1", Some("ErrImagePull")));
    feed.sandbox_deleted(&other);
    assert_eq!(
        told(&mut changes),
        ["sandbox 1 x", "sandbox 2 x", "sandbox 1 ErrImagePull", "event 1 ErrImagePull", "deleted 2"]
    );
}
