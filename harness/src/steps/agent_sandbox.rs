//! `installation`, `change`, `store` and `read`: Agent Sandbox itself, past the driver.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, PostParams},
};
use sandproof_scenarios::{ChangeStep, ControllerState, ReadStep, SandboxVersion, StoreStep, time_limits};
use serde_json::{Value, json};

use super::StepError;
use crate::{
    cluster_state::ClusterState,
    failure::Failure,
    runner::{
        install::{self, CONTROLLER, CONTROLLER_NAMESPACE, Definition, definition},
        namespace::going,
    },
    scene::{Scene, Stage},
};

/// How long Agent Sandbox may take to work again after a change; its controller's image may have to be pulled.
const CHANGE_DEADLINE: Duration = time_limits::CHANGE;

/// How long an object may take to be seen after the driver has answered.
const OBJECT_DEADLINE: Duration = time_limits::OBJECT_SEEN;

/// How long the API server may take to answer; it waits up to 30 s for a converter.
const ANSWER_DEADLINE: Duration = time_limits::API_ANSWER;

/// What steps changed of Agent Sandbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// The controller's replicas.
    controller: bool,
    /// The served API versions.
    served: bool,
    /// The whole release.
    release: bool,
}

/// Reads what is installed.
pub(super) async fn installation(scene: &Scene) -> Result<Value, StepError> {
    let client = &scene.stage.client;
    let definition = Definition::read(client).await.map_err(failed)?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), CONTROLLER_NAMESPACE);
    let controller = deployments
        .get_opt(CONTROLLER)
        .await
        .map_err(|error| StepError::environment("read the Agent Sandbox controller's Deployment", error))?;
    Ok(json!({
        "established": definition.is_established(),
        "served": definition.served(),
        "storage": definition.storage(),
        "storedVersions": definition.stored(),
        "conversion": definition.strategy(),
        "caBundle": definition.has_ca_bundle(),
        "controllerAvailable": controller.is_some_and(|controller| install::is_available(&controller)),
    }))
}

/// Changes what is installed, and waits until the change has taken effect.
pub(super) async fn change(scene: &mut Scene, step: &ChangeStep) -> Result<Value, StepError> {
    namespaces_gone(scene).await?;
    if let Some(state) = step.controller {
        scene.changes.controller = true;
        control(scene, state).await?;
    }
    if let Some(versions) = &step.served {
        scene.changes.served = true;
        let definition = definition::serve(&scene.stage.client, &names(versions)).await.map_err(failed)?;
        scene.stage.state.watch_sandboxes(&definition.served());
    }
    if let Some(versions) = &step.release {
        upgrade(scene, &names(versions)).await?;
    }
    installation(scene).await
}

/// Puts back what the scenario's steps changed of Agent Sandbox.
pub(super) async fn restore(scene: &mut Scene) -> Result<(), StepError> {
    let changes = std::mem::take(&mut scene.changes);
    if changes == Changes::default() {
        return Ok(());
    }
    let definition = put_back(&scene.stage, changes).await.map_err(failed)?;
    scene.stage.state.watch_sandboxes(&definition.served());
    Ok(())
}

async fn put_back(stage: &Stage, changes: Changes) -> Result<Definition, Failure> {
    let own = &stage.releases.own;
    if changes.release {
        return install::reinstall(&stage.client, own, CHANGE_DEADLINE).await;
    }
    if changes.served {
        let served = Definition::of_manifest(&own.definition()?)?.served();
        let served: Vec<&str> = served.iter().map(String::as_str).collect();
        definition::serve(&stage.client, &served).await?;
    }
    if changes.controller {
        install::scale_controller(&stage.client, 1).await?;
    }
    install::works(&stage.client, CHANGE_DEADLINE).await
}

/// Writes a Sandbox.
pub(super) async fn store(scene: &mut Scene, step: &StoreStep) -> Result<Value, StepError> {
    let resource = definition::resource(step.version.as_str());
    let mut object = DynamicObject::new(&step.name, &resource).data(json!({ "spec": step.spec }));
    object.metadata.labels = Some(step.labels.clone()).filter(|labels| !labels.is_empty());
    let api: Api<DynamicObject> = Api::namespaced_with(scene.stage.client.clone(), &scene.namespace, &resource);
    scene.stored.insert(step.name.clone());
    let tried = format!("write the Sandbox {} in {}", step.name, step.version.as_str());
    answer(&tried, api.create(&PostParams::default(), &object)).await
}

/// Reads a Sandbox.
pub(super) async fn read(scene: &mut Scene, step: &ReadStep) -> Result<Value, StepError> {
    let version = match step.version {
        Some(version) => version.as_str().to_owned(),
        None => scene.stage.sandbox_version(),
    };
    let name = object_name(scene, &step.sandbox).await?;
    let api: Api<DynamicObject> =
        Api::namespaced_with(scene.stage.client.clone(), &scene.namespace, &definition::resource(&version));
    answer(&format!("read the Sandbox {name} in {version}"), api.get(&name)).await
}

/// Waits until the namespaces of scenarios that have ended are gone.
/// The Sandboxes in them are deleted by whoever deletes the namespace, and only in an API version that is served: what is
/// not deleted by now would stay behind in a namespace that is no more, where nobody can change it.
async fn namespaces_gone(scene: &Scene) -> Result<(), StepError> {
    let tried = "wait until the namespaces of earlier scenarios are gone";
    let waits = going(&scene.stage.client).await.map_err(|error| StepError::environment(tried, error))?;
    match tokio::time::timeout(CHANGE_DEADLINE, futures::future::try_join_all(waits)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(StepError::environment(tried, error)),
        Err(_) => {
            let found = format!("one was still there after {} s", CHANGE_DEADLINE.as_secs());
            Err(StepError::environment(tried, found))
        }
    }
}

/// Upgrades to the release that serves these versions, unless the cluster has it.
async fn upgrade(scene: &mut Scene, versions: &[&str]) -> Result<(), StepError> {
    let client = &scene.stage.client;
    if Definition::read(client).await.map_err(failed)?.serves(versions) {
        return Ok(());
    }
    let release = scene.stage.releases.serving(versions).await.map_err(failed)?;
    // From here on the release is another one, whatever becomes of the upgrade.
    scene.changes.release = true;
    let definition = install::upgrade(client, &release, CHANGE_DEADLINE).await.map_err(failed)?;
    scene.stage.state.watch_sandboxes(&definition.served());
    Ok(())
}

/// Starts or stops the controller, and waits until it works or is gone.
async fn control(scene: &Scene, state: ControllerState) -> Result<(), StepError> {
    let client = &scene.stage.client;
    if state == ControllerState::Running {
        install::scale_controller(client, 1).await.map_err(failed)?;
        return install::works(client, CHANGE_DEADLINE).await.map(drop).map_err(failed);
    }
    install::scale_controller(client, 0).await.map_err(failed)?;
    let gone = |state: &ClusterState| state.pods(CONTROLLER_NAMESPACE).is_empty().then_some(());
    let waited = scene.stage.state.wait(CHANGE_DEADLINE, gone).await;
    waited.found.ok_or_else(|| {
        let found = format!("its pod was still there after {} s", CHANGE_DEADLINE.as_secs());
        StepError::environment("stop the Agent Sandbox controller", found)
    })
}

/// The name of the object: a stored one has that of its step, one of the driver's is found by its label.
async fn object_name(scene: &Scene, sandbox: &str) -> Result<String, StepError> {
    if scene.stored.contains(sandbox) {
        return Ok(sandbox.to_owned());
    }
    // What was refused never comes.
    let within = if scene.refused.contains(sandbox) { Duration::ZERO } else { OBJECT_DEADLINE };
    let waited = scene.stage.state.wait(within, |state| scene.sandbox_object(state, sandbox)).await;
    waited
        .found
        .and_then(|object| object.pointer("/metadata/name")?.as_str().map(str::to_owned))
        .ok_or_else(|| StepError::Subject(format!("there is no Sandbox object of sandbox {sandbox}")))
}

/// What the API server answered: an object, or a refusal in its own words.
async fn answer(
    tried: &str,
    request: impl Future<Output = Result<DynamicObject, kube::Error>>,
) -> Result<Value, StepError> {
    match tokio::time::timeout(ANSWER_DEADLINE, request).await {
        Ok(Ok(object)) => Ok(shown(object)),
        Ok(Err(kube::Error::Api(status))) => {
            Ok(json!({ "ok": false, "status": status.code, "message": status.message.trim(), "object": null }))
        }
        Ok(Err(error)) => Err(StepError::environment(tried, error)),
        Err(_) => {
            let found = format!("the API server did not answer within {} s", ANSWER_DEADLINE.as_secs());
            Err(StepError::environment(tried, found))
        }
    }
}

/// The object without its field ownership, of which only the version that its spec was written in matters.
fn shown(mut object: DynamicObject) -> Value {
    let owns_spec = |entry: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        fields.is_some_and(|fields| fields.pointer("/f:spec/f:podTemplate").is_some())
    };
    let written_in = object
        .managed_fields()
        .iter()
        .find(owns_spec)
        .and_then(|entry| entry.api_version.as_deref()?.rsplit('/').next().map(str::to_owned));
    object.managed_fields_mut().clear();
    json!({ "ok": true, "status": null, "message": "", "object": object, "writtenIn": written_in })
}

fn names(versions: &[SandboxVersion]) -> Vec<&'static str> {
    versions.iter().map(|version| version.as_str()).collect()
}

/// A failure to read or change Agent Sandbox, as that of a step: it says nothing about the subject.
pub(super) fn failed(failure: Failure) -> StepError {
    match failure {
        Failure::Interrupted { .. } => StepError::Interrupted,
        Failure::Environment { tried, found, .. } => StepError::Environment { tried, found },
        other => StepError::environment("change Agent Sandbox", other),
    }
}
