//! `schema`: changes the schema of the Sandbox, and puts it back when the scenario ends.

use std::time::Duration;

use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind, PostParams},
};
use sandproof_scenarios::{SandboxVersion, SchemaLack, SchemaStep, time_limits};
use serde_json::{Value, json};

use super::StepError;
use crate::scene::{Scene, Stage};

/// The definition of the Sandbox.
const DEFINITION: &str = "sandboxes.agents.x-k8s.io";

/// Where a version of the definition has the schema of a volume.
const VOLUME: &str = "/schema/openAPIV3Schema/properties/spec/properties/podTemplate/properties/spec/properties/volumes/items/properties";

/// How long the API server may take to go by a changed definition; it takes well under a second.
const DEADLINE: Duration = time_limits::SCHEMA;

/// Between two tries: nothing announces that the API server goes by a changed definition.
const PAUSE: Duration = Duration::from_millis(50);

/// Changes the schema, and waits until the API server goes by it.
pub(super) async fn change(scene: &mut Scene, step: &SchemaStep) -> Result<Value, StepError> {
    match step.without {
        Some(SchemaLack::ImageVolumes) => lack_image_volumes(scene).await,
        None => serve_also(scene, &step.with).await,
    }
}

/// Serves further versions, as copies of the one that is stored. Nothing converts between them but their names.
async fn serve_also(scene: &mut Scene, wanted: &[SandboxVersion]) -> Result<Value, StepError> {
    let tried = "serve further API versions of the Sandbox";
    let failed = |error: &dyn std::fmt::Display| StepError::environment(tried, error);
    let before = definitions(&scene.stage).get(DEFINITION).await.map_err(|error| failed(&error))?;
    let mut changed = before.clone();
    let versions = changed.data["spec"]["versions"].as_array_mut().ok_or_else(|| failed(&"it has no versions"))?;
    let stored = versions.iter().find(|version| version["storage"] == true).cloned();
    let stored = stored.ok_or_else(|| failed(&"none of its versions is stored"))?;
    for wanted in wanted {
        if let Some(version) = versions.iter_mut().find(|version| version["name"] == wanted.as_str()) {
            version["served"] = json!(true);
            continue;
        }
        let mut copy = stored.clone();
        (copy["name"], copy["storage"]) = (json!(wanted.as_str()), json!(false));
        versions.push(copy);
    }
    let names: Vec<String> = served_by(&changed).into_iter().map(str::to_owned).collect();
    // Whatever happens from here on, it is put back.
    scene.definition = Some(before);
    let definitions = definitions(&scene.stage);
    definitions.replace(DEFINITION, &PostParams::default(), &changed).await.map_err(|error| failed(&error))?;
    let end = tokio::time::Instant::now() + DEADLINE;
    while !serves(scene, &names).await {
        if tokio::time::Instant::now() >= end {
            return Err(failed(&format!("the API server does not serve all of them after {} s", DEADLINE.as_secs())));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(json!({ "pruned": false, "served": names }))
}

/// Whether the API server's discovery has the Sandbox in all of these versions.
async fn serves(scene: &Scene, versions: &[String]) -> bool {
    let asked = versions.iter().map(|version| async move {
        let group = format!("agents.x-k8s.io/{version}");
        let found = scene.stage.client.list_api_group_resources(&group).await;
        found.is_ok_and(|list| list.resources.iter().any(|resource| resource.name == "sandboxes"))
    });
    futures::future::join_all(asked).await.into_iter().all(|served| served)
}

async fn lack_image_volumes(scene: &mut Scene) -> Result<Value, StepError> {
    let tried = "take image volumes out of the schema of the Sandbox";
    let failed = |error: &dyn std::fmt::Display| StepError::environment(tried, error);
    let before = definitions(&scene.stage).get(DEFINITION).await.map_err(|error| failed(&error))?;
    let mut changed = before.clone();
    let mut found = false;
    for version in changed.data["spec"]["versions"].as_array_mut().into_iter().flatten() {
        if let Some(volume) = version.pointer_mut(VOLUME).and_then(Value::as_object_mut) {
            found |= volume.remove("image").is_some();
        }
    }
    if !found {
        return Err(failed(&"it has none"));
    }
    // Whatever happens from here on, it is put back.
    scene.definition = Some(before);
    let definitions = definitions(&scene.stage);
    definitions.replace(DEFINITION, &PostParams::default(), &changed).await.map_err(|error| failed(&error))?;
    let pruned = settled(scene, &changed, false).await.map_err(|error| failed(&error))?;
    Ok(json!({ "pruned": pruned, "served": served_by(&changed) }))
}

/// Puts back what the scenario's steps changed of the cluster.
pub(crate) async fn restore(scene: &mut Scene) -> Result<(), StepError> {
    let Some(before) = scene.definition.take() else { return Ok(()) };
    let tried = "put the schema of the Sandbox back";
    let failed = |error: &dyn std::fmt::Display| StepError::environment(tried, error);
    let definitions = definitions(&scene.stage);
    let mut current = definitions.get(DEFINITION).await.map_err(|error| failed(&error))?;
    current.data["spec"]["versions"] = before.data["spec"]["versions"].clone();
    definitions.replace(DEFINITION, &PostParams::default(), &current).await.map_err(|error| failed(&error))?;
    if settled(scene, &before, true).await.map_err(|error| failed(&error))? {
        Ok(())
    } else {
        Err(failed(&format!("the API server still goes by the changed one after {} s", DEADLINE.as_secs())))
    }
}

/// Rehearses a Sandbox with an image volume until every served version keeps it, or, if it is not to, until none does.
/// Returns whether it came to that.
async fn settled(scene: &Scene, definition: &DynamicObject, kept: bool) -> Result<bool, kube::Error> {
    let served = served_by(definition);
    let end = tokio::time::Instant::now() + DEADLINE;
    loop {
        let keeping = served.iter().map(|version| keeps_image_volume(scene, version));
        if futures::future::try_join_all(keeping).await?.into_iter().all(|keeps| keeps == kept) {
            return Ok(true);
        }
        if tokio::time::Instant::now() >= end {
            return Ok(false);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The versions that a definition serves.
fn served_by(definition: &DynamicObject) -> Vec<&str> {
    let versions = definition.data["spec"]["versions"].as_array().into_iter().flatten();
    versions.filter(|version| version["served"] == true).filter_map(|version| version["name"].as_str()).collect()
}

async fn keeps_image_volume(scene: &Scene, version: &str) -> Result<bool, kube::Error> {
    let kind = GroupVersionKind::gvk("agents.x-k8s.io", version, "Sandbox");
    let resource = ApiResource::from_gvk_with_plural(&kind, "sandboxes");
    let api: Api<DynamicObject> = Api::namespaced_with(scene.stage.client.clone(), &scene.namespace, &resource);
    let spec = json!({
        "containers": [{ "name": "trial", "image": "trial" }],
        "volumes": [{ "name": "trial", "image": { "reference": "trial" } }],
    });
    let trial =
        DynamicObject::new("schema-trial", &resource).data(json!({ "spec": { "podTemplate": { "spec": spec } } }));
    let stored = api.create(&PostParams { dry_run: true, ..PostParams::default() }, &trial).await?;
    Ok(stored.data.pointer("/spec/podTemplate/spec/volumes/0/image").is_some())
}

fn definitions(stage: &Stage) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    Api::all_with(stage.client.clone(), &ApiResource::from_gvk(&kind))
}
