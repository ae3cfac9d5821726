//! `taint`: the nodes take no other pods until the scenario ends.

use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use sandproof_scenarios::TaintStep;
use serde_json::{Value, json};

use super::StepError;
use crate::scene::Scene;

/// Taints every node.
pub(super) async fn taint(scene: &mut Scene, step: &TaintStep) -> Result<Value, StepError> {
    let taint = json!({ "key": step.key, "value": step.value, "effect": step.effect.as_str() });
    scene.taints.insert(step.key.clone());
    let nodes = change_taints(scene, "taint the nodes", |taints| taints.push(taint.clone())).await?;
    Ok(json!({ "nodes": nodes }))
}

/// Takes the taints away.
pub(super) async fn restore(scene: &mut Scene) -> Result<(), StepError> {
    let keys = std::mem::take(&mut scene.taints);
    if keys.is_empty() {
        return Ok(());
    }
    let is_ours = |taint: &Value| taint["key"].as_str().is_some_and(|key| keys.contains(key));
    change_taints(scene, "take the taints from the nodes", |taints| taints.retain(|taint| !is_ours(taint))).await?;
    Ok(())
}

async fn change_taints(scene: &Scene, tried: &str, change: impl Fn(&mut Vec<Value>)) -> Result<Vec<String>, StepError> {
    let failed = |error: &dyn std::fmt::Display| StepError::environment(tried, error);
    let api: Api<Node> = Api::all(scene.stage.client.clone());
    let mut names = Vec::new();
    for node in api.list(&ListParams::default()).await.map_err(|error| failed(&error))? {
        let found = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        let found = serde_json::to_value(found).map_err(|error| failed(&error))?;
        let mut taints = found.as_array().cloned().unwrap_or_default();
        change(&mut taints);
        // The version is a precondition: whoever else changed the taints meanwhile is not overruled.
        let patch = json!({
            "metadata": { "resourceVersion": node.resource_version() },
            "spec": { "taints": taints },
        });
        api.patch(&node.name_any(), &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(|error| failed(&error))?;
        names.push(node.name_any());
    }
    Ok(names)
}
