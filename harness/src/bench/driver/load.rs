//! Sandboxes that are created at once: how long the driver takes to answer, and how long until they run.

use std::{collections::BTreeMap, time::Instant};

use kube::{
    Api,
    api::{DynamicObject, PostParams},
};
use sandproof_clusters::registry::Access;
use sandproof_protocol::v1::{
    CreateSandboxRequest, DeleteSandboxRequest, DriverSandbox, DriverSandboxSpec, DriverSandboxTemplate,
};
use serde_json::Value;

use super::{Bench, ROUND_DEADLINE, spread};
use crate::{
    bench::Measurements, cluster_state::ClusterState, failure::Failure, runner::install::definition, scene, steps::pods,
};

/// The tag of the images.
const TAG: &str = "v1";

/// What was measured of one round.
struct Round {
    /// From the call of `CreateSandbox` to its answer, in seconds.
    answered: Vec<f64>,
    /// From the call to the running agent container, in seconds.
    running: Vec<f64>,
}

/// One round with an image that the node has never seen, and one with the same image.
pub(super) async fn round(
    bench: &Bench,
    method: &str,
    at_once: usize,
    run: u32,
    measurements: &mut Measurements,
) -> Result<(), Failure> {
    let image = fresh_image(bench, &format!("{method}-{at_once}-{run}")).await?;
    for warmth in ["cold", "warm"] {
        let what = format!("{method}, {at_once} at once, {warmth} image");
        let names: Vec<String> = (0..at_once).map(|number| format!("{warmth}-{at_once}-{run}-{number}")).collect();
        let before = bench.costs.spent();
        let round = create(bench, &names, &image).await?;
        let spent = bench.costs.spent().since(before);
        spread(measurements, &format!("CreateSandbox to running, {what}"), "s", &round.running);
        spread(measurements, &format!("CreateSandbox to its answer, {what}"), "ms", &milliseconds(&round.answered));
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let each = |seconds: f64| 1000.0 * seconds / at_once as f64;
        if let Some(seconds) = spent.driver {
            measurements.add(&format!("driver, CPU for each sandbox, {what}"), "ms", each(seconds));
        }
        if let Some(seconds) = spent.api_server {
            measurements.add(&format!("API server, CPU for each sandbox, {what}"), "ms", each(seconds));
        }
        if warmth == "warm" {
            let alone = api_server_alone(bench, at_once).await?;
            let what = format!("API server alone, create of a Sandbox (dry run), {method}, {at_once} at once");
            spread(measurements, &what, "ms", &milliseconds(&alone));
        }
        delete(bench, &names).await?;
    }
    Ok(())
}

/// An image that no node has: its layers are those of the agent, its digest is new.
async fn fresh_image(bench: &Bench, name: &str) -> Result<String, Failure> {
    let stage = &bench.stage;
    let repository = format!("{}/{name}", bench.namespace);
    let tried = "push an image";
    let image = stage
        .guests
        .agent
        .with_label("dev.sandproof.image", &repository)
        .map_err(|error| bench.failed(tried, error))?;
    stage.registry.grant(&repository, Access::Public);
    stage.registry.push(&image, &repository, TAG).await.map_err(|error| bench.failed(tried, error))?;
    Ok(format!("{}/{repository}:{TAG}", stage.plain))
}

/// Asks for all of them at once and waits until each runs.
async fn create(bench: &Bench, names: &[String], image: &str) -> Result<Round, Failure> {
    let begun = Instant::now();
    let calls = names.iter().map(|name| {
        let mut client = bench.client.clone();
        let request = CreateSandboxRequest { sandbox: Some(sandbox(bench, name, image)) };
        async move {
            let started = begun.elapsed().as_secs_f64();
            let answer = client.create_sandbox(request).await;
            answer.map(|_| (started, begun.elapsed().as_secs_f64()))
        }
    });
    let ids: BTreeMap<String, usize> =
        names.iter().enumerate().map(|(position, name)| (id(bench, name), position)).collect();
    let mut ran: Vec<Option<f64>> = vec![None; names.len()];
    let all_run = bench.stage.state.wait(ROUND_DEADLINE, |state| {
        let now = begun.elapsed().as_secs_f64();
        for sandbox in running(state, bench) {
            if let Some(position) = ids.get(&sandbox) {
                ran[*position].get_or_insert(now);
            }
        }
        ran.iter().all(Option::is_some).then_some(())
    });
    let (answers, waited) = tokio::join!(futures::future::try_join_all(calls), all_run);
    let answers = answers.map_err(|status| bench.failed("create the sandboxes", status))?;
    if waited.found.is_none() {
        let missing = ran.iter().filter(|ran| ran.is_none()).count();
        return Err(bench.failed(
            "see every sandbox run",
            format!("{missing} of {} do not after {} s", names.len(), ROUND_DEADLINE.as_secs()),
        ));
    }
    let running = answers.iter().zip(&ran).filter_map(|((started, _), ran)| Some((*ran)? - started)).collect();
    Ok(Round { answered: answers.iter().map(|(started, ended)| ended - started).collect(), running })
}

/// The identifiers of the sandboxes whose agent container runs.
fn running(state: &ClusterState, bench: &Bench) -> Vec<String> {
    let agent = &bench.stage.subject.profile.agent_container;
    let owners: BTreeMap<String, String> = state
        .sandboxes(&bench.namespace)
        .iter()
        .filter_map(|object| {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            Some((text("/metadata/uid")?, text("/metadata/labels/openshell.ai~1sandbox-id")?))
        })
        .collect();
    let pods = state.pods(&bench.namespace);
    let runs = pods.iter().filter(|pod| pods::runs(pod, agent));
    runs.filter_map(|pod| {
        let owners_of = pod.pointer("/metadata/ownerReferences").and_then(Value::as_array)?;
        owners_of.iter().find_map(|owner| owners.get(owner["uid"].as_str()?).cloned())
    })
    .collect()
}

/// Deletes them through the driver, and waits until their pods are gone.
async fn delete(bench: &Bench, names: &[String]) -> Result<(), Failure> {
    let calls = names.iter().map(|name| {
        let mut client = bench.client.clone();
        let request = DeleteSandboxRequest { sandbox_id: id(bench, name), sandbox_name: name.clone() };
        async move { client.delete_sandbox(request).await }
    });
    futures::future::try_join_all(calls).await.map_err(|status| bench.failed("delete the sandboxes", status))?;
    let of_a_sandbox = |pod: &Value| {
        let owners = pod.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        owners.is_some_and(|owners| owners.iter().any(|owner| owner["kind"] == "Sandbox"))
    };
    let gone = |state: &ClusterState| {
        let left = state.pods(&bench.namespace).iter().any(|pod| of_a_sandbox(pod));
        (!left && state.sandboxes(&bench.namespace).is_empty()).then_some(())
    };
    let waited = bench.stage.state.wait(ROUND_DEADLINE, gone).await;
    waited.found.ok_or_else(|| bench.failed("delete the sandboxes", "their pods are still there"))
}

/// How long the API server alone takes for such an object, asked as often at once; nothing is stored.
async fn api_server_alone(bench: &Bench, at_once: usize) -> Result<Vec<f64>, Failure> {
    let tried = "ask the API server alone";
    let state = &bench.stage.state;
    let (Some(object), Some(version)) = (state.sandboxes(&bench.namespace).into_iter().next(), state.sandbox_version())
    else {
        return Err(bench.failed(tried, "there is no Sandbox to copy"));
    };
    let resource = definition::resource(&version);
    let api: Api<DynamicObject> = Api::namespaced_with(bench.stage.client.clone(), &bench.namespace, &resource);
    let calls = (0..at_once).map(|number| {
        let api = api.clone();
        let mut copy = DynamicObject::new(&format!("alone-{number}"), &resource);
        copy.metadata.labels = serde_json::from_value(object["metadata"]["labels"].clone()).ok();
        copy.data = serde_json::json!({ "spec": object["spec"] });
        async move {
            let started = Instant::now();
            api.create(&PostParams { dry_run: true, ..PostParams::default() }, &copy).await?;
            Ok::<_, kube::Error>(started.elapsed().as_secs_f64())
        }
    });
    futures::future::try_join_all(calls).await.map_err(|error| bench.failed(tried, error))
}

fn sandbox(bench: &Bench, name: &str, image: &str) -> DriverSandbox {
    DriverSandbox {
        id: id(bench, name),
        name: name.to_owned(),
        workspace: "default".to_owned(),
        spec: Some(DriverSandboxSpec {
            template: Some(DriverSandboxTemplate { image: image.to_owned(), ..DriverSandboxTemplate::default() }),
            ..DriverSandboxSpec::default()
        }),
        ..DriverSandbox::default()
    }
}

fn id(bench: &Bench, name: &str) -> String {
    scene::stable_id(&bench.namespace, name)
}

fn milliseconds(seconds: &[f64]) -> Vec<f64> {
    seconds.iter().map(|seconds| seconds * 1000.0).collect()
}
