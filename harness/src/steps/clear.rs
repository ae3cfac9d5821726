//! What a scenario leaves in a namespace that is not its own.

use std::{fmt::Debug, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::{
    Api,
    api::{DeleteParams, DynamicObject},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    runner::{install::definition, leftovers::Leftover},
    scene::{Scene, SceneSandbox, owned_by},
};

/// How long its sandboxes, with their pods, may take to be gone.
const DEADLINE: Duration = Duration::from_mins(1);

/// Removes the scenario's sandboxes through the driver, and what the scenario itself wrote into the namespace.
/// Returns what stays: the next scenario sees it.
pub(crate) async fn clear(scene: &mut Scene) -> Vec<Leftover> {
    let stage = scene.stage.clone();
    let mine: Vec<_> = objects(scene).iter().filter_map(|object| text(object, "/metadata/uid")).collect();
    let sandboxes: Vec<_> = asked_for(scene).cloned().collect();
    if let Some(driver) = &mut scene.driver {
        for sandbox in &sandboxes {
            driver.delete(&sandbox.id, &sandbox.name).await;
        }
    }
    // The driver may neither see nor touch what the scenario wrote past it.
    let version = stage.sandbox_version();
    let namespace = scene.namespace.clone();
    let stored: Api<DynamicObject> =
        Api::namespaced_with(stage.client.clone(), &namespace, &definition::resource(&version));
    let mut stays = remove(&stored, "Sandbox", &namespace, &scene.stored).await;
    let gone = stage.state.wait(DEADLINE, |_| left(scene, &mine).is_empty().then_some(())).await;
    if gone.found.is_none() {
        let seconds = DEADLINE.as_secs();
        let text = format!("it is still there {seconds} s after the driver was told to delete it");
        stays.extend(left(scene, &mine).into_iter().map(|object| Leftover::new(object, text.clone())));
    }
    let secrets: Api<Secret> = Api::namespaced(stage.client.clone(), &namespace);
    stays.extend(remove(&secrets, "Secret", &namespace, scene.secrets.keys()).await);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(stage.client.clone(), &namespace);
    stays.extend(remove(&claims, "PersistentVolumeClaim", &namespace, &scene.claims).await);
    stays
}

/// The sandboxes that the scenario asked the driver for.
fn asked_for(scene: &Scene) -> impl Iterator<Item = &SceneSandbox> {
    scene.sandboxes.values().chain(&scene.namesakes)
}

/// The Sandboxes of the scenario: those that it asked the driver for, and those that it wrote itself.
fn objects(scene: &Scene) -> Vec<Arc<Value>> {
    let ids: Vec<_> = asked_for(scene).map(|sandbox| sandbox.id.clone()).collect();
    let mine = |object: &Arc<Value>| {
        let id = text(object, "/metadata/labels/openshell.ai~1sandbox-id");
        let name = text(object, "/metadata/name");
        id.is_some_and(|id| ids.contains(&id)) || name.is_some_and(|name| scene.stored.contains(&name))
    };
    scene.sandbox_objects(&scene.stage.state).into_iter().filter(mine).collect()
}

/// What there still is of the Sandboxes with these UIDs.
/// A pod outlives its Sandbox by its grace period, and the next scenario would count it.
fn left(scene: &Scene, uids: &[String]) -> Vec<String> {
    let sandboxes = scene.sandbox_objects(&scene.stage.state);
    let pods = scene.sandbox_pods(&scene.stage.state);
    let sandboxes =
        sandboxes.iter().filter(|object| text(object, "/metadata/uid").is_some_and(|uid| uids.contains(&uid)));
    let pods = pods.iter().filter(|pod| uids.iter().any(|uid| owned_by(pod, uid)));
    let named = |kind: &str, object: &Value| {
        format!("{kind} {}/{}", scene.namespace, text(object, "/metadata/name").unwrap_or_default())
    };
    let sandboxes = sandboxes.map(|object| named("Sandbox", object));
    sandboxes.chain(pods.map(|pod| named("Pod", pod))).collect()
}

/// Deletes objects of one kind; that one is gone already is as good. Returns those that cannot be deleted.
async fn remove<K>(api: &Api<K>, kind: &str, namespace: &str, names: impl IntoIterator<Item = &String>) -> Vec<Leftover>
where
    K: Clone + Debug + DeserializeOwned,
{
    let mut stays = Vec::new();
    for name in names {
        match api.delete(name, &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => stays.push(Leftover::new(format!("{kind} {namespace}/{name}"), error.to_string())),
        }
    }
    stays
}

fn text(object: &Value, pointer: &str) -> Option<String> {
    object.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}
