//! A crowd of Sandboxes, watched through the driver by several clients.
//!
//! The Sandboxes are written past the driver, suspended, so that there are no pods: what is measured is the driver's
//! watch, not how fast a node starts pods. An event's way through the driver is the time from the harness's own watch of
//! the API server to the same event out of the driver's; the first part of the way is the API server's.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, PostParams},
    runtime::watcher,
};
use sandproof_protocol::v1::{
    CreateSandboxRequest, DeleteSandboxRequest, DriverSandbox, DriverSandboxSpec, DriverSandboxTemplate,
    WatchSandboxesRequest, watch_sandboxes_event::Payload,
};
use serde_json::json;
use tokio::{sync::watch, task::JoinSet};

use super::{Bench, spread};
use crate::{bench::Measurements, failure::Failure, runner::install::definition, scene};

/// How long each part may take.
const DEADLINE: Duration = Duration::from_mins(3);

/// Writes at once: more only queue in the API server.
const WRITES: usize = 16;

/// The label that names a sandbox.
const ID: &str = "openshell.ai/sandbox-id";

/// When each sandbox was first seen, and when it was seen to be gone, in seconds.
#[derive(Debug, Clone, Default)]
struct Sightings {
    seen: BTreeMap<String, f64>,
    gone: BTreeMap<String, f64>,
}

/// Measures creation, a new watcher's first state, and deletion.
pub(super) async fn measure(
    bench: &Bench,
    sandboxes: usize,
    watchers: usize,
    measurements: &mut Measurements,
) -> Result<(), Failure> {
    let template = template(bench).await?;
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    let own = follow_api_server(bench, begun, &mut tasks)?;
    let mut others = Vec::new();
    for _ in 0..watchers {
        others.push(follow_driver(bench, begun, &mut tasks).await?);
    }
    let before = bench.costs.spent();
    write(bench, &template, sandboxes).await?;
    for sightings in std::iter::once(&own).chain(&others) {
        until(bench, sightings, |sightings| sightings.seen.len() >= sandboxes, "see every Sandbox").await?;
    }
    let what = format!("{sandboxes} Sandboxes, {watchers} watchers");
    report(measurements, &format!("watch, way of a new one through the driver, {what}"), &own, &others, |all| {
        &all.seen
    });
    let spent = bench.costs.spent().since(before);
    cpu(measurements, "written", &what, spent);

    let first = Instant::now();
    let late = follow_driver(bench, begun, &mut tasks).await?;
    until(bench, &late, |sightings| sightings.seen.len() >= sandboxes, "see every Sandbox in a new watch").await?;
    measurements.add(
        &format!("watch, first state of {sandboxes} Sandboxes"),
        "ms",
        first.elapsed().as_secs_f64() * 1000.0,
    );

    let before = bench.costs.spent();
    let api = api(bench)?;
    api.delete_collection(&DeleteParams::default(), &ListParams::default())
        .await
        .map_err(|error| bench.failed("delete the Sandboxes", error))?;
    for sightings in std::iter::once(&own).chain(&others) {
        until(bench, sightings, |sightings| sightings.gone.len() >= sandboxes, "see every Sandbox gone").await?;
    }
    report(measurements, &format!("watch, way of a deletion through the driver, {what}"), &own, &others, |all| {
        &all.gone
    });
    cpu(measurements, "deleted", &what, bench.costs.spent().since(before));
    Ok(())
}

/// A Sandbox as the driver writes it, suspended.
async fn template(bench: &Bench) -> Result<DynamicObject, Failure> {
    let tried = "get a Sandbox to copy";
    let id = scene::stable_id(&bench.namespace, "copied");
    let sandbox = DriverSandbox {
        id: id.clone(),
        name: "copied".to_owned(),
        workspace: "default".to_owned(),
        spec: Some(DriverSandboxSpec {
            template: Some(DriverSandboxTemplate::default()),
            ..DriverSandboxSpec::default()
        }),
        ..DriverSandbox::default()
    };
    let mut client = bench.client.clone();
    client
        .create_sandbox(CreateSandboxRequest { sandbox: Some(sandbox) })
        .await
        .map_err(|status| bench.failed(tried, status))?;
    let state = &bench.stage.state;
    let found = state.wait(DEADLINE, |state| state.sandboxes(&bench.namespace).into_iter().next()).await.found;
    let found = found.ok_or_else(|| bench.failed(tried, "the driver made none"))?;
    client
        .delete_sandbox(DeleteSandboxRequest { sandbox_id: id, sandbox_name: "copied".to_owned() })
        .await
        .map_err(|status| bench.failed(tried, status))?;
    let gone = state.wait(DEADLINE, |state| state.sandboxes(&bench.namespace).is_empty().then_some(())).await;
    gone.found.ok_or_else(|| bench.failed(tried, "it cannot be deleted"))?;
    let version = state.sandbox_version().unwrap_or_default();
    let mut object = DynamicObject::new("copied", &definition::resource(&version));
    object.metadata.labels = serde_json::from_value(found["metadata"]["labels"].clone()).ok();
    let mut spec = found["spec"].clone();
    if version == "v1alpha1" {
        spec["replicas"] = json!(0);
    } else {
        spec["operatingMode"] = json!("Suspended");
    }
    object.data = json!({ "spec": spec });
    Ok(object)
}

/// Writes so many of them past the driver.
async fn write(bench: &Bench, template: &DynamicObject, sandboxes: usize) -> Result<(), Failure> {
    let api = api(bench)?;
    let writes = (0..sandboxes).map(|number| {
        let mut object = template.clone();
        let name = format!("crowd-{number}");
        object.labels_mut().insert(ID.to_owned(), scene::stable_id(&bench.namespace, &name));
        object.labels_mut().insert("openshell.ai/sandbox-name".to_owned(), name.clone());
        object.metadata.name = Some(format!("default--{name}"));
        let api = api.clone();
        async move { api.create(&PostParams::default(), &object).await.map(drop) }
    });
    stream::iter(writes)
        .buffer_unordered(WRITES)
        .try_collect::<()>()
        .await
        .map_err(|error| bench.failed("write the Sandboxes", error))
}

fn api(bench: &Bench) -> Result<Api<DynamicObject>, Failure> {
    let version = bench.stage.state.sandbox_version().ok_or_else(|| bench.failed("find the API", "none is served"))?;
    let resource = definition::resource(&version);
    Ok(Api::namespaced_with(bench.stage.client.clone(), &bench.namespace, &resource))
}

/// A watch of the API server's own.
fn follow_api_server(
    bench: &Bench,
    begun: Instant,
    tasks: &mut JoinSet<()>,
) -> Result<watch::Receiver<Sightings>, Failure> {
    let (sender, receiver) = watch::channel(Sightings::default());
    let mut events = watcher(api(bench)?, watcher::Config::default()).boxed();
    tasks.spawn(async move {
        while let Some(event) = events.next().await {
            let now = begun.elapsed().as_secs_f64();
            let id = |object: &DynamicObject| object.labels().get(ID).cloned().unwrap_or_default();
            match event {
                Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                    sender.send_modify(|all| note(&mut all.seen, id(&object), now));
                }
                Ok(watcher::Event::Delete(object)) => {
                    sender.send_modify(|all| note(&mut all.gone, id(&object), now));
                }
                // It lists again by itself.
                Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => {}
            }
        }
    });
    Ok(receiver)
}

/// A watch through the driver.
async fn follow_driver(
    bench: &Bench,
    begun: Instant,
    tasks: &mut JoinSet<()>,
) -> Result<watch::Receiver<Sightings>, Failure> {
    let mut client = bench.client.clone();
    let opened = client.watch_sandboxes(WatchSandboxesRequest {}).await;
    let mut events = opened.map_err(|status| bench.failed("watch through the driver", status))?.into_inner();
    let (sender, receiver) = watch::channel(Sightings::default());
    tasks.spawn(async move {
        while let Ok(Some(event)) = events.message().await {
            let now = begun.elapsed().as_secs_f64();
            match event.payload {
                Some(Payload::Sandbox(event)) => {
                    let id = event.sandbox.map(|sandbox| sandbox.id).unwrap_or_default();
                    sender.send_modify(|all| note(&mut all.seen, id, now));
                }
                Some(Payload::Deleted(event)) => {
                    sender.send_modify(|all| note(&mut all.gone, event.sandbox_id, now));
                }
                Some(Payload::PlatformEvent(_)) | None => {}
            }
        }
    });
    Ok(receiver)
}

/// Only the first sighting counts.
fn note(sightings: &mut BTreeMap<String, f64>, id: String, now: f64) {
    sightings.entry(id).or_insert(now);
}

async fn until(
    bench: &Bench,
    sightings: &watch::Receiver<Sightings>,
    done: impl Fn(&Sightings) -> bool,
    tried: &str,
) -> Result<(), Failure> {
    let mut sightings = sightings.clone();
    match tokio::time::timeout(DEADLINE, sightings.wait_for(|all| done(all))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(bench.failed(tried, "the watch has ended")),
        Err(_) => Err(bench.failed(tried, format!("not within {} s", DEADLINE.as_secs()))),
    }
}

/// How much later than the harness's own watch the clients of the driver see each sandbox.
fn report(
    measurements: &mut Measurements,
    name: &str,
    own: &watch::Receiver<Sightings>,
    others: &[watch::Receiver<Sightings>],
    of: impl Fn(&Sightings) -> &BTreeMap<String, f64>,
) {
    let own = own.borrow().clone();
    let mut ways = Vec::new();
    for other in others {
        let other = other.borrow();
        ways.extend(of(&other).iter().filter_map(|(id, at)| Some((at - of(&own).get(id)?) * 1000.0)));
    }
    spread(measurements, name, "ms", &ways);
}

fn cpu(measurements: &mut Measurements, what: &str, crowd: &str, spent: super::costs::Spent) {
    for (who, seconds) in [("driver", spent.driver), ("API server", spent.api_server)] {
        if let Some(seconds) = seconds {
            measurements.add(&format!("{who}, CPU while Sandboxes are {what}, {crowd}"), "s", seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_way_through_the_driver_is_a_difference() {
        let at = |pairs: &[(&str, f64)]| Sightings {
            seen: pairs.iter().map(|(id, at)| ((*id).to_owned(), *at)).collect(),
            gone: BTreeMap::new(),
        };
        let (_own, own) = watch::channel(at(&[("a", 1.0), ("b", 2.0)]));
        let (_one, one) = watch::channel(at(&[("a", 1.5), ("b", 2.25), ("unknown", 9.0)]));
        let mut measurements = Measurements::default();
        report(&mut measurements, "way", &own, &[one], |all| &all.seen);
        let figures: Vec<Value> = measurements.figures().iter().map(|figure| json!(figure)).collect();
        assert_eq!(figures[0]["median"], 250.0);
        assert_eq!(figures[1]["median"], 500.0);
    }
}
