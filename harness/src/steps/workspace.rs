//! `stop`, `start`, the verbs about workspaces, and what happens behind the driver's back.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::{
    core::v1::{Namespace, Pod, Secret, ServiceAccount},
    networking::v1::NetworkPolicy,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, PostParams},
    core::{Selector, SelectorExt},
    runtime::{conditions::is_deleted, wait::await_condition},
};
use sandproof_clusters::registry::random_word;
use sandproof_scenarios::{
    LifeCycleStep, LookAtStep, NamespaceStep, RemoveStep, RotateStep, WorkspaceStep, time_limits,
};
use serde_json::{Map, Value, json};

use super::{StepError, deploy, submit};
use crate::{runner::install::definition, scene::Scene};

/// How long a namespace that is being deleted may take until it is gone.
const GONE_DEADLINE: Duration = time_limits::NAMESPACE_GONE;

/// How long the objects of a sandbox may take to be seen after the driver has answered.
const OBJECT_DEADLINE: Duration = time_limits::OBJECT_SEEN;

/// `StopSandbox`, or `StartSandbox`.
pub(super) async fn set_running(scene: &mut Scene, step: &LifeCycleStep, running: bool) -> Result<Value, StepError> {
    let (id, name) = submit::target(scene, step.sandbox.as_deref(), step.id.as_deref(), step.name.as_deref());
    let began = Timestamp::now();
    let driver = submit::driver(scene)?;
    let mut answer = if running { driver.start(&id, &name).await } else { driver.stop(&id, &name).await };
    answer["seconds"] = json!(Timestamp::now().duration_since(began).as_secs_f64());
    Ok(answer)
}

/// `EnsureWorkspace`.
pub(super) async fn ensure(scene: &mut Scene, step: &WorkspaceStep) -> Result<Value, StepError> {
    let workspace = scene.workspace(&step.workspace);
    Ok(submit::driver(scene)?.ensure_workspace(&workspace).await)
}

/// `DeleteWorkspace`.
pub(super) async fn delete(scene: &mut Scene, step: &WorkspaceStep) -> Result<Value, StepError> {
    let workspace = scene.workspace(&step.workspace);
    let answer = submit::driver(scene)?.delete_workspace(&workspace).await;
    if answer["code"] == "OK" {
        scene.created.clear();
    }
    Ok(answer)
}

/// Makes the namespace of a workspace, as somebody else.
pub(super) async fn namespace(scene: &mut Scene, step: &NamespaceStep) -> Result<Value, StepError> {
    scene.workspace(&step.workspace);
    let name = scene.workspace_namespace(&step.workspace);
    let tried = format!("create the namespace {name}");
    let mut namespace = json!({ "metadata": { "name": name, "labels": step.labels, "annotations": step.annotations } });
    scene.stage.place.label(&mut namespace);
    let namespace: Namespace =
        serde_json::from_value(namespace).map_err(|error| StepError::environment(&tried, error))?;
    let api: Api<Namespace> = Api::all(scene.stage.client.clone());
    match api.create(&PostParams::default(), &namespace).await {
        Ok(_) => Ok(json!({ "name": name })),
        Err(error) => Err(StepError::environment(tried, error)),
    }
}

/// Reads the namespace of a workspace; one that is being deleted is waited for until it is gone.
pub(super) async fn look_at(scene: &mut Scene, step: &LookAtStep) -> Result<Value, StepError> {
    scene.workspace(&step.workspace);
    let name = scene.workspace_namespace(&step.workspace);
    let client = scene.stage.client.clone();
    let tried = format!("read the namespace {name}");
    let failed = |error: kube::Error| StepError::environment(&tried, error);
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let Some(found) = settled(&namespaces, &name).await? else {
        return Ok(json!({ "name": name, "exists": false, "sandboxes": 0 }));
    };
    let all = ListParams::default();
    let source: Api<Secret> = Api::namespaced(client.clone(), &scene.namespace);
    let mut secrets = Map::new();
    for secret in Api::<Secret>::namespaced(client.clone(), &name).list(&all).await.map_err(failed)? {
        let original = source.get_opt(&secret.name_any()).await.map_err(failed)?;
        // Only whether they are equal: what is in them belongs into no evidence.
        let same = original.is_some_and(|original| original.data == secret.data && original.type_ == secret.type_);
        let shown = json!({ "type": secret.type_, "labels": secret.metadata.labels, "sameAsSource": same });
        secrets.insert(secret.name_any(), shown);
    }
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), &name).list(&all).await.map_err(failed)?;
    let policies = Api::<NetworkPolicy>::namespaced(client, &name).list(&all).await.map_err(failed)?;
    let pods = scene.stage.state.pods(&name);
    Ok(json!({
        "name": name,
        "exists": true,
        "labels": found.metadata.labels,
        "secrets": secrets,
        "serviceAccounts": accounts.iter().map(ResourceExt::name_any).collect::<Vec<_>>(),
        "networkPolicies": policies.iter().map(|policy| shown_policy(policy, &pods)).collect::<Vec<_>>(),
        "sandboxes": scene.stage.state.sandboxes(&name).len(),
    }))
}

/// A network policy, with the pods that it selects.
fn shown_policy(policy: &NetworkPolicy, pods: &[Arc<Value>]) -> Value {
    let selector = policy.spec.as_ref().and_then(|spec| spec.pod_selector.clone()).unwrap_or_default();
    // One that cannot be read selects nothing that is known.
    let selector = Selector::try_from(selector).ok();
    let labels = |pod: &Value| -> BTreeMap<String, String> {
        pod.pointer("/metadata/labels")
            .and_then(|labels| serde_json::from_value(labels.clone()).ok())
            .unwrap_or_default()
    };
    let selected = pods.iter().filter(|pod| selector.as_ref().is_some_and(|selector| selector.matches(&labels(pod))));
    let names: Vec<&str> = selected.filter_map(|pod| pod.pointer("/metadata/name")?.as_str()).collect();
    json!({ "name": policy.name_any(), "pods": names })
}

/// Deletes something behind the driver's back.
pub(super) async fn remove(scene: &mut Scene, step: &RemoveStep) -> Result<Value, StepError> {
    if step.driver {
        return deploy::restart(scene).await;
    }
    if step.process {
        return deploy::kill(scene).await;
    }
    let name = step.sandbox.as_ref().or(step.pod.as_ref()).cloned().unwrap_or_default();
    let name = scene.sandbox(&name, None).name;
    let stage = scene.stage.clone();
    let is_pod = step.pod.is_some();
    let waited = stage
        .state
        .wait(OBJECT_DEADLINE, |state| {
            if is_pod { scene.sandbox_pod(state, &name) } else { scene.sandbox_object(state, &name) }
        })
        .await;
    let Some(object) = waited.found else {
        return Err(StepError::Subject(format!("there is nothing of sandbox {name} to remove")));
    };
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (namespace, object_name) = (text("/metadata/namespace"), text("/metadata/name"));
    let parameters = DeleteParams::background();
    if !is_pod {
        scene.created.remove(&name);
    }
    let outcome = if is_pod {
        let api: Api<Pod> = Api::namespaced(stage.client.clone(), &namespace);
        api.delete(&object_name, &parameters).await.map(drop)
    } else {
        let version = stage.sandbox_version();
        let resource = definition::resource(&version);
        let api: Api<DynamicObject> = Api::namespaced_with(stage.client.clone(), &namespace, &resource);
        api.delete(&object_name, &parameters).await.map(drop)
    };
    match outcome {
        Ok(()) => Ok(json!({ "removed": true, "back": null })),
        Err(error) => Err(StepError::environment(format!("delete {namespace}/{object_name}"), error)),
    }
}

/// Gives a user of the registry another password.
pub(super) fn rotate(scene: &mut Scene, step: &RotateStep) -> Value {
    let mut user = scene.user(&step.user);
    user.password = random_word();
    scene.stage.registry.add_user(&user.login, &user.password);
    scene.users.insert(step.user.clone(), user);
    json!({ "user": step.user })
}

/// The namespace, after it is gone if it is going.
async fn settled(api: &Api<Namespace>, name: &str) -> Result<Option<Namespace>, StepError> {
    let tried = format!("wait until the namespace {name} is gone");
    let found = api.get_opt(name).await.map_err(|error| StepError::environment(&tried, error))?;
    let Some(going) = found.as_ref().filter(|namespace| namespace.metadata.deletion_timestamp.is_some()) else {
        return Ok(found);
    };
    let uid = going.uid().unwrap_or_default();
    match tokio::time::timeout(GONE_DEADLINE, await_condition(api.clone(), name, is_deleted(&uid))).await {
        Ok(Ok(_)) => Ok(None),
        Ok(Err(error)) => Err(StepError::environment(&tried, error)),
        Err(_) => {
            Err(StepError::environment(&tried, format!("it was still there after {} s", GONE_DEADLINE.as_secs())))
        }
    }
}
