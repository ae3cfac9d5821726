//! `rights` and `serviceAccount`: what the driver may do, and what the sandboxes' service account brings along.

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::{
    authorization::v1::SubjectAccessReview,
    core::v1::{Pod, ServiceAccount},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use sandproof_scenarios::ServiceAccountStep;
use serde_json::{Value, json};

use super::StepError;
use crate::scene::Scene;

/// The verbs that are asked about.
const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// What is in a namespace: group, resource, subresource.
const NAMESPACED: &[(&str, &str, &str)] = &[
    ("agents.x-k8s.io", "sandboxes", ""),
    ("agents.x-k8s.io", "sandboxes", "status"),
    ("", "pods", ""),
    ("", "pods", "exec"),
    ("", "pods", "log"),
    ("", "events", ""),
    ("", "secrets", ""),
    ("", "configmaps", ""),
    ("", "serviceaccounts", ""),
    ("", "serviceaccounts", "token"),
    ("", "persistentvolumeclaims", ""),
    ("apps", "deployments", ""),
    ("networking.k8s.io", "networkpolicies", ""),
    ("rbac.authorization.k8s.io", "roles", ""),
    ("rbac.authorization.k8s.io", "rolebindings", ""),
];

/// What is in none.
const CLUSTER: &[(&str, &str, &str)] = &[
    ("", "namespaces", ""),
    ("", "nodes", ""),
    ("", "persistentvolumes", ""),
    ("apiextensions.k8s.io", "customresourcedefinitions", ""),
    ("rbac.authorization.k8s.io", "clusterroles", ""),
    ("rbac.authorization.k8s.io", "clusterrolebindings", ""),
    ("authentication.k8s.io", "tokenreviews", ""),
];

/// A namespace in which no sandbox of any driver is.
const ELSEWHERE: &str = "kube-system";

/// The service account of a sandbox whose driver was told no other one.
const SANDBOX_ACCOUNT: &str = "default";

/// How many questions are asked at once.
const AT_ONCE: usize = 16;

/// Asks the API server for every verb on every resource.
pub(super) async fn rights(scene: &Scene) -> Result<Value, StepError> {
    let tried = "ask what the driver may do";
    let pod = scene.driver_pod.as_deref().ok_or_else(|| {
        StepError::Subject("the driver has no pod in the cluster, so it has no service account there".to_owned())
    })?;
    let client = &scene.stage.client;
    let pods: Api<Pod> = Api::namespaced(client.clone(), &scene.namespace);
    let pod = pods.get(pod).await.map_err(|error| StepError::environment(tried, error))?;
    let account = pod.spec.and_then(|spec| spec.service_account_name).unwrap_or_else(|| "default".to_owned());
    let user = format!("system:serviceaccount:{}:{account}", scene.namespace);
    let (sandboxes, elsewhere, cluster) = futures::try_join!(
        allowed(client, &user, &scene.namespace, NAMESPACED),
        allowed(client, &user, ELSEWHERE, NAMESPACED),
        allowed(client, &user, "", CLUSTER),
    )
    .map_err(|error| StepError::environment(tried, error))?;
    Ok(json!({ "sandboxes": sandboxes, "elsewhere": elsewhere, "cluster": cluster }))
}

/// Gives the sandboxes' service account pull secrets of its own.
pub(super) async fn service_account(scene: &Scene, step: &ServiceAccountStep) -> Result<Value, StepError> {
    let secrets: Vec<Value> = step.pull_secrets.iter().map(|name| json!({ "name": name })).collect();
    let accounts: Api<ServiceAccount> = Api::namespaced(scene.stage.client.clone(), &scene.namespace);
    // Applied, because Kubernetes makes it a moment after the namespace.
    let account = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "name": SANDBOX_ACCOUNT },
        "imagePullSecrets": secrets,
    });
    accounts
        .patch(SANDBOX_ACCOUNT, &PatchParams::apply("sandproof").force(), &Patch::Apply(account))
        .await
        .map_err(|error| StepError::environment("give the service account its pull secrets", error))?;
    Ok(json!({ "name": SANDBOX_ACCOUNT }))
}

async fn allowed(
    client: &Client,
    user: &str,
    namespace: &str,
    resources: &'static [(&'static str, &'static str, &'static str)],
) -> Result<Vec<String>, kube::Error> {
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let questions = resources.iter().flat_map(|resource| VERBS.iter().map(move |verb| (*verb, *resource)));
    let answers = stream::iter(questions).map(|(verb, (group, resource, subresource))| {
        let reviews = reviews.clone();
        async move {
            let review = serde_json::from_value(json!({
                "metadata": {},
                "spec": {
                    "user": user,
                    // A service account is always in these, and they may have rights of their own.
                    "groups": ["system:serviceaccounts", "system:authenticated"],
                    "resourceAttributes": {
                        "verb": verb,
                        "group": group,
                        "resource": resource,
                        "subresource": subresource,
                        "namespace": namespace,
                    },
                },
            }))
            .map_err(kube::Error::SerdeError)?;
            let answer = reviews.create(&PostParams::default(), &review).await?;
            let separator = if subresource.is_empty() { "" } else { "/" };
            let is_allowed = answer.status.is_some_and(|status| status.allowed);
            Ok::<_, kube::Error>(is_allowed.then(|| format!("{verb} {resource}{separator}{subresource}")))
        }
    });
    let mut allowed: Vec<String> =
        answers.buffer_unordered(AT_ONCE).try_filter_map(|right| async move { Ok(right) }).try_collect().await?;
    allowed.sort_unstable();
    Ok(allowed)
}
