//! What a scenario leaves in a namespace that is not its own.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::DeleteParams};

use crate::{runner::leftovers::Leftover, scene::Scene};

/// How long its sandboxes may take to be gone.
const DEADLINE: Duration = Duration::from_mins(1);

/// Removes the scenario's sandboxes through the driver, and its secrets. Returns what stays: the next scenario sees it.
pub(crate) async fn clear(scene: &mut Scene) -> Vec<Leftover> {
    let stage = scene.stage.clone();
    let sandboxes: Vec<_> = scene.sandboxes.values().cloned().collect();
    if let Some(driver) = &mut scene.driver {
        for sandbox in &sandboxes {
            driver.delete(&sandbox.id, &sandbox.name).await;
        }
    }
    let left = |scene: &Scene| {
        let there = |name: &&String| scene.sandbox_object(&scene.stage.state, name).is_some();
        scene.sandboxes.keys().filter(there).cloned().collect::<Vec<_>>()
    };
    let gone = stage.state.wait(DEADLINE, |_| left(scene).is_empty().then_some(())).await;
    let mut stays = Vec::new();
    if gone.found.is_none() {
        let seconds = DEADLINE.as_secs();
        stays.extend(left(scene).into_iter().map(|name| {
            let text = format!("it is still there {seconds} s after the driver was told to delete it");
            Leftover::new(format!("Sandbox {}/{name}", scene.namespace), text)
        }));
    }
    let secrets: Api<Secret> = Api::namespaced(stage.client.clone(), &scene.namespace);
    for name in scene.secrets.keys() {
        if let Err(error) = secrets.delete(name, &DeleteParams::default()).await {
            stays.push(Leftover::new(format!("Secret {}/{name}", scene.namespace), error.to_string()));
        }
    }
    stays
}
