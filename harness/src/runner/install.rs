//! Puts the Agent Sandbox controller into a cluster: its own CRDs, RBAC and Deployment, from its own module.

use std::time::Duration;

use camino::Utf8Path;
use k8s_openapi::{
    api::apps::v1::Deployment, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
    runtime::{conditions::is_crd_established, wait::await_condition},
};
use serde_json::{Value, json};

use crate::failure::Failure;

/// The field manager of everything the harness applies.
const MANAGER: &str = "sandproof";

/// How long the API may take to serve a CRD that it has accepted.
const CRD_DEADLINE: Duration = Duration::from_secs(30);

/// The CRD that every driver needs.
const SANDBOX_CRD: &str = "sandboxes.agents.x-k8s.io";

/// The controller's Deployment and namespace, the same in every release.
pub(crate) const CONTROLLER: &str = "agent-sandbox-controller";
/// The controller's namespace.
pub(crate) const CONTROLLER_NAMESPACE: &str = "agent-sandbox-system";

/// Applies the manifests in `directory` (the module's `k8s/`), with `image` as the controller's image.
/// Returns once the Sandbox CRD is served; the controller itself may still be starting.
pub(crate) async fn agent_sandbox(client: &Client, directory: &Utf8Path, image: &str) -> Result<(), Failure> {
    let crd = manifests(&directory.join("crds/agents.x-k8s.io_sandboxes.yaml"))?;
    let mut rest = manifests(&directory.join("controller.yaml"))?;
    rest.extend(manifests(&directory.join("rbac.generated.yaml"))?);
    for object in &mut rest {
        if object["kind"] == "Deployment" {
            adapt_deployment(object, image);
        }
    }
    // The namespace is first in the file and everything namespaced needs it.
    let (first, others): (Vec<_>, Vec<_>) = rest.iter().partition(|object| object["kind"] == "Namespace");
    futures::try_join!(apply_all(client, crd.iter()), async {
        apply_all(client, first.into_iter()).await?;
        apply_all(client, others.into_iter()).await
    })?;
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let served = await_condition(api, SANDBOX_CRD, is_crd_established());
    match tokio::time::timeout(CRD_DEADLINE, served).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::environment(format!("watch the CRD {SANDBOX_CRD}"), error)),
        Err(_) => Err(Failure::environment(
            format!("install the CRD {SANDBOX_CRD}"),
            format!("the API server did not establish it within {} s", CRD_DEADLINE.as_secs()),
        )),
    }
}

/// Waits until the controller is available.
pub(crate) async fn controller_available(client: &Client, deadline: Duration) -> Result<(), Failure> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), CONTROLLER_NAMESPACE);
    let available = |deployment: Option<&Deployment>| {
        deployment
            .and_then(|deployment| deployment.status.as_ref()?.available_replicas)
            .is_some_and(|replicas| replicas > 0)
    };
    match tokio::time::timeout(deadline, await_condition(api, CONTROLLER, available)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::environment("watch the Agent Sandbox controller", error)),
        Err(_) => Err(Failure::environment(
            "start the Agent Sandbox controller",
            format!("its Deployment was not available within {} s", deadline.as_secs()),
        )),
    }
}

/// The image, and no leader election: one replica on one node waits for nobody.
fn adapt_deployment(deployment: &mut Value, image: &str) {
    if let Some(container) = deployment.pointer_mut("/spec/template/spec/containers/0") {
        container["image"] = json!(image);
        container["args"] = json!(["--leader-elect=false"]);
    }
}

/// The documents of a manifest file.
fn manifests(path: &Utf8Path) -> Result<Vec<Value>, Failure> {
    let tried = || format!("read the manifests in {path}");
    let text = fs_err::read_to_string(path).map_err(|error| Failure::environment(tried(), error))?;
    let documents: Vec<Value> = text
        .split("\n---")
        .map(|document| sandproof_scenarios::yaml::from_str::<Value>(document.trim_start_matches('-')))
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::environment(tried(), error))?;
    Ok(documents.into_iter().filter(Value::is_object).collect())
}

async fn apply_all<'a>(client: &Client, objects: impl Iterator<Item = &'a Value>) -> Result<(), Failure> {
    futures::future::try_join_all(objects.map(|object| apply(client, object))).await.map(drop)
}

/// Server-side apply of one object.
pub(crate) async fn apply(client: &Client, object: &Value) -> Result<(), Failure> {
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
