//! `schema`: changes the schema of the Sandbox, and puts it back when the scenario ends.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinitionVersion, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::{
    Api,
    api::{DynamicObject, PostParams},
};
use sandproof_scenarios::{SchemaLack, SchemaStep, time_limits};
use serde_json::{Value, json};

use super::{StepError, agent_sandbox::failed};
use crate::{
    runner::install::{
        Definition,
        definition::{also_serve, changed, put_back, resource},
    },
    scene::Scene,
};

/// Where the schema of a Sandbox has its volumes.
const VOLUMES: [&str; 4] = ["spec", "podTemplate", "spec", "volumes"];

/// How long the API server may take to go by a changed schema; it takes well under a second.
const DEADLINE: Duration = time_limits::SCHEMA;

/// Between two tries: nothing announces that the API server goes by a changed schema.
const PAUSE: Duration = Duration::from_millis(50);

/// Changes the schema, and waits until the API server goes by it.
pub(super) async fn change(scene: &mut Scene, step: &SchemaStep) -> Result<Value, StepError> {
    let client = scene.stage.client.clone();
    // Whatever happens from here on, it is put back as it was before the first change.
    if scene.definition.is_none() {
        scene.definition = Some(Definition::read(&client).await.map_err(failed)?);
    }
    let Some(lack) = step.without else {
        let wanted = || step.with.iter().map(|version| version.as_str());
        let serving = changed(&client, "serve further API versions of the Sandbox", |definition| {
            wanted().try_for_each(|version| also_serve(definition, version))
        });
        let served = serving.await.map_err(failed)?.served();
        return Ok(json!({ "pruned": false, "served": served }));
    };
    let tried = match lack {
        SchemaLack::ImageVolumes => "take image volumes out of the schema of the Sandbox",
    };
    let lacking = changed(&client, tried, |definition| {
        let versions = definition.spec.versions.iter_mut();
        let taken = versions.filter_map(|version| volume(version)?.remove("image")).count();
        if taken == 0 { Err("it has none") } else { Ok(()) }
    });
    let served = lacking.await.map_err(failed)?.served();
    let pruned = settled(scene, &served, false).await.map_err(|error| StepError::environment(tried, error))?;
    Ok(json!({ "pruned": pruned, "served": served }))
}

/// What the schema of a version says of a volume.
fn volume(version: &mut CustomResourceDefinitionVersion) -> Option<&mut BTreeMap<String, JSONSchemaProps>> {
    let schema = version.schema.as_mut()?.open_api_v3_schema.as_mut()?;
    let volumes = VOLUMES.iter().try_fold(schema, |schema, name| schema.properties.as_mut()?.get_mut(*name))?;
    match volumes.items.as_mut()? {
        JSONSchemaPropsOrArray::Schema(volume) => volume.properties.as_mut(),
        JSONSchemaPropsOrArray::Schemas(_) => None,
    }
}

/// Puts back what the scenario's steps changed of the schema.
pub(crate) async fn restore(scene: &mut Scene) -> Result<(), StepError> {
    let Some(before) = scene.definition.take() else { return Ok(()) };
    let tried = "put the schema of the Sandbox back";
    put_back(&scene.stage.client, &before).await.map_err(failed)?;
    if settled(scene, &before.served(), true).await.map_err(|error| StepError::environment(tried, error))? {
        return Ok(());
    }
    let found = format!("the API server still goes by the changed one after {} s", DEADLINE.as_secs());
    Err(StepError::environment(tried, found))
}

/// Rehearses a Sandbox with an image volume until every served version keeps it, or, if it is not to, until none does.
/// Returns whether it came to that; a last rehearsal that the API server did not carry out is the error.
async fn settled(scene: &Scene, served: &[String], kept: bool) -> Result<bool, kube::Error> {
    let end = tokio::time::Instant::now() + DEADLINE;
    loop {
        let keeping = served.iter().map(|version| keeps_image_volume(scene, version));
        let kept_by = futures::future::try_join_all(keeping).await;
        if kept_by.as_ref().is_ok_and(|kept_by| kept_by.iter().all(|keeps| *keeps == kept)) {
            return Ok(true);
        }
        if tokio::time::Instant::now() >= end {
            return kept_by.map(|_| false);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn keeps_image_volume(scene: &Scene, version: &str) -> Result<bool, kube::Error> {
    let resource = resource(version);
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
