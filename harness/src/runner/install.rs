//! Puts the Agent Sandbox controller into a cluster: its own CRDs, RBAC and Deployment, from its own module.

mod defects;
pub(crate) mod definition;
mod releases;

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
    runtime::wait::await_condition,
};
use serde_json::{Value, json};

pub(crate) use self::{
    defects::{can_have, spoil},
    definition::Definition,
    releases::{Release, Releases},
};
use crate::{failure::Failure, place::Place};

/// The field manager of everything the harness applies.
const MANAGER: &str = "sandproof";

/// The controller's Deployment and namespace, the same in every release.
pub(crate) const CONTROLLER: &str = "agent-sandbox-controller";
/// The controller's namespace.
pub(crate) const CONTROLLER_NAMESPACE: &str = "agent-sandbox-system";

/// Applies the manifests of a release to a cluster that has none yet.
/// Returns once the Sandbox CRD is served; the controller itself may still be starting.
pub(crate) async fn agent_sandbox(client: &Client, release: &Release, place: &Place) -> Result<Definition, Failure> {
    let mut definition = release.definition()?;
    let mut controller = release.controller()?;
    place.label(&mut definition);
    for object in &mut controller {
        place.label(object);
    }
    if Definition::of_manifest(&definition)?.converts() {
        // This controller looks for the definition once, when it starts, to tell it of its own certificate.
        apply(client, &definition).await?;
        apply_in_order(client, &controller).await?;
    } else {
        futures::try_join!(apply(client, &definition), apply_in_order(client, &controller))?;
    }
    Definition::established(client).await
}

/// Puts another release in the place of the one that a cluster has, and waits until it works.
/// Sandboxes stay; those that are stored in an API version that the new release does not have are stored anew before.
pub(crate) async fn upgrade(client: &Client, release: &Release, deadline: Duration) -> Result<Definition, Failure> {
    definition::migrate(client, &Definition::of_manifest(&release.definition()?)?).await?;
    definition::replace(client, &release.definition()?).await?;
    apply_in_order(client, &release.controller()?).await?;
    works(client, deadline).await
}

/// Puts a release back on a cluster that had another one. Where an upgrade cannot be undone, all Sandboxes are lost.
pub(crate) async fn reinstall(client: &Client, release: &Release, deadline: Duration) -> Result<Definition, Failure> {
    let manifest = release.definition()?;
    if definition::can_store(client, &Definition::of_manifest(&manifest)?).await? {
        definition::replace(client, &manifest).await?;
    } else {
        definition::remove(client).await?;
        apply(client, &manifest).await?;
    }
    apply_in_order(client, &release.controller()?).await?;
    works(client, deadline).await
}

/// Waits until the definition is served, the controller is available, and versions are converted where there are two.
pub(crate) async fn works(client: &Client, deadline: Duration) -> Result<Definition, Failure> {
    let definition = Definition::established(client).await?;
    controller_available(client, deadline).await?;
    definition.wait_for_conversion(client, deadline).await?;
    Ok(definition)
}

/// Waits until the controller that was asked for last is available, and no other one is left.
pub(crate) async fn controller_available(client: &Client, deadline: Duration) -> Result<(), Failure> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), CONTROLLER_NAMESPACE);
    let available = |deployment: Option<&Deployment>| deployment.is_some_and(is_available);
    match tokio::time::timeout(deadline, await_condition(api, CONTROLLER, available)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::environment("watch the Agent Sandbox controller", error)),
        Err(_) => Err(Failure::environment(
            "start the Agent Sandbox controller",
            format!("its Deployment was not available within {} s", deadline.as_secs()),
        )),
    }
}

/// Whether all replicas of a Deployment are of its current template, and there is one that is available.
pub(crate) fn is_available(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else { return false };
    let updated = status.updated_replicas.unwrap_or(0);
    status.observed_generation == deployment.metadata.generation
        && updated > 0
        && status.available_replicas == Some(updated)
        && status.replicas == Some(updated)
}

/// Gives the controller's Deployment so many replicas.
pub(crate) async fn scale_controller(client: &Client, replicas: u32) -> Result<(), Failure> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), CONTROLLER_NAMESPACE);
    let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
    api.patch(CONTROLLER, &PatchParams::default(), &patch)
        .await
        .map(drop)
        .map_err(|error| Failure::environment("scale the Agent Sandbox controller", error))
}

/// The namespace first: everything namespaced needs it.
async fn apply_in_order(client: &Client, objects: &[Value]) -> Result<(), Failure> {
    let (first, others): (Vec<_>, Vec<_>) = objects.iter().partition(|object| object["kind"] == "Namespace");
    apply_all(client, first.into_iter()).await?;
    apply_all(client, others.into_iter()).await
}

async fn apply_all<'a>(client: &Client, objects: impl Iterator<Item = &'a Value>) -> Result<(), Failure> {
    futures::future::try_join_all(objects.map(|object| apply(client, object))).await.map(drop)
}

/// Server-side apply of one object.
async fn apply(client: &Client, object: &Value) -> Result<(), Failure> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (kind, name, namespace) = (text("/kind"), text("/metadata/name"), text("/metadata/namespace"));
    let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = if namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, &resource)
    };
    api.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(object))
        .await
        .map(drop)
        .map_err(|error| Failure::environment(format!("apply {kind} {name}"), error))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::rolled_out(json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}), true)]
    #[case::not_seen_yet(json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}), false)]
    #[case::old_one_left(json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 2}), false)]
    #[case::starting(json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1}), false)]
    #[case::stopped(json!({"observedGeneration": 2}), false)]
    fn a_controller_is_available_when_only_the_new_one_is_left(#[case] status: Value, #[case] expected: bool) {
        let deployment: Deployment =
            serde_json::from_value(json!({ "metadata": { "generation": 2 }, "status": status })).unwrap();
        assert_eq!(is_available(&deployment), expected);
    }
}
