//! What a scenario leaves in a namespace that is not its own.

use std::{fmt::Debug, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::{
    Api,
    api::{DeleteParams, DynamicObject},
};
use sandproof_scenarios::SandboxVersion;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{events::Event, runner::install::definition, scene::Scene};

/// How long its sandboxes, with their pods, may take to be gone.
const DEADLINE: Duration = Duration::from_mins(1);

/// Removes the scenario's sandboxes through the driver, and what the scenario itself wrote into the namespace.
/// What stays is told: the next scenario sees it.
pub(crate) async fn clear(scene: &mut Scene) {
    let stage = scene.stage.clone();
    let mine: Vec<_> = objects(scene).iter().filter_map(|object| text(object, "/metadata/uid")).collect();
    let sandboxes: Vec<_> = scene.sandboxes.values().chain(&scene.namesakes).cloned().collect();
    if let Some(driver) = &mut scene.driver {
        for sandbox in &sandboxes {
            driver.delete(&sandbox.id, &sandbox.name).await;
        }
    }
    // The driver may neither see nor touch what the scenario wrote past it.
    let version = stage.state.sandbox_version().unwrap_or_else(|| SandboxVersion::V1beta1.as_str().to_owned());
    let namespace = scene.namespace.clone();
    let stored: Api<DynamicObject> =
        Api::namespaced_with(stage.client.clone(), &namespace, &definition::resource(&version));
    remove(scene, &stored, "Sandbox", &scene.stored).await;
    // A pod outlives its sandbox by its grace period, and the next scenario would count it.
    let left = |scene: &Scene| {
        let (sandboxes, pods) = (scene.sandbox_objects(&scene.stage.state), scene.sandbox_pods(&scene.stage.state));
        let of_mine =
            sandboxes.iter().filter(|object| text(object, "/metadata/uid").is_some_and(|uid| mine.contains(&uid)));
        let mut names: Vec<_> = of_mine.filter_map(|object| text(object, "/metadata/name")).collect();
        let owned = pods.iter().filter(|pod| owners(pod).any(|owner| mine.iter().any(|uid| uid == owner)));
        names.extend(owned.filter_map(|pod| text(pod, "/metadata/name")).map(|name| format!("{name} (pod)")));
        names
    };
    let gone = stage.state.wait(DEADLINE, |_| left(scene).is_empty().then_some(())).await;
    if gone.found.is_none() {
        tell(scene, &format!("sandboxes stay in {namespace}: {}", left(scene).join(", ")));
    }
    remove(scene, &Api::<Secret>::namespaced(stage.client.clone(), &namespace), "secret", scene.secrets.keys()).await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(stage.client.clone(), &namespace);
    remove(scene, &claims, "claim", &scene.claims).await;
}

/// The Sandboxes of the scenario: those that it asked the driver for, and those that it wrote itself.
fn objects(scene: &Scene) -> Vec<Arc<Value>> {
    let ids: Vec<_> = scene.sandboxes.values().chain(&scene.namesakes).map(|sandbox| sandbox.id.clone()).collect();
    let mine = |object: &Arc<Value>| {
        let id = text(object, "/metadata/labels/openshell.ai~1sandbox-id");
        let name = text(object, "/metadata/name");
        id.is_some_and(|id| ids.contains(&id)) || name.is_some_and(|name| scene.stored.contains(&name))
    };
    scene.sandbox_objects(&scene.stage.state).into_iter().filter(mine).collect()
}

/// Deletes objects of one kind; that one is gone already is as good.
async fn remove<K>(scene: &Scene, api: &Api<K>, kind: &str, names: impl IntoIterator<Item = &String>)
where
    K: Clone + Debug + DeserializeOwned,
{
    for name in names {
        match api.delete(name, &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => tell(scene, &format!("the {kind} {name} stays in {}: {error}", scene.namespace)),
        }
    }
}

fn tell(scene: &Scene, text: &str) {
    scene.stage.events.emit(Event::Warning { text: format!("{}: {text}", scene.key) });
}

fn text(object: &Value, pointer: &str) -> Option<String> {
    object.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

fn owners(object: &Value) -> impl Iterator<Item = &str> {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().filter_map(|owner| owner["uid"].as_str())
}
