//! `rights` and `serviceAccount`: what the driver may do, and what the sandboxes' service account brings along.

use futures::future::try_join_all;
use k8s_openapi::api::{
    authorization::v1::SubjectAccessReview,
    core::v1::{Pod, ServiceAccount},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use sandproof_scenarios::{RightsStep, ServiceAccountStep};
use serde_json::{Map, Value, json};

use super::StepError;
use crate::{scene::Scene, subject::Deployed};

/// A group, a resource and a subresource.
type Resource = (&'static str, &'static str, &'static str);

/// The verbs that are asked about.
const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// What is in a namespace.
const NAMESPACED: &[Resource] = &[
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
const CLUSTER: &[Resource] = &[
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

/// How many questions are asked at once.
const AT_ONCE: usize = 16;

/// Asks the API server for every verb on every resource.
pub(super) async fn rights(scene: &Scene, step: &RightsStep) -> Result<Value, StepError> {
    let tried = "ask what the driver may do";
    let pod = scene.deployed.as_ref().and_then(Deployed::pod).ok_or_else(|| {
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
    let mut secrets = Map::new();
    for name in &step.secrets {
        let (there, elsewhere) = futures::try_join!(
            on_secret(client, &user, &scene.namespace, name),
            on_secret(client, &user, ELSEWHERE, name)
        )
        .map_err(|error| StepError::environment(tried, error))?;
        secrets.insert(name.clone(), json!({ "sandboxes": there, "elsewhere": elsewhere }));
    }
    Ok(json!({ "sandboxes": sandboxes, "elsewhere": elsewhere, "cluster": cluster, "secrets": secrets }))
}

/// The verbs that are allowed on a Secret of that name.
async fn on_secret(client: &Client, user: &str, namespace: &str, name: &str) -> Result<Vec<&'static str>, kube::Error> {
    let asked = VERBS.iter().map(|verb| async move {
        let asked = ask(client.clone(), user.to_owned(), namespace.to_owned(), verb, ("", "secrets", ""), name);
        Ok::<_, kube::Error>(asked.await?.map(|_| *verb))
    });
    Ok(try_join_all(asked).await?.into_iter().flatten().collect())
}

/// Gives the sandboxes' service account pull secrets of its own.
pub(super) async fn service_account(scene: &Scene, step: &ServiceAccountStep) -> Result<Value, StepError> {
    let secrets: Vec<Value> = step.pull_secrets.iter().map(|name| json!({ "name": name })).collect();
    let accounts: Api<ServiceAccount> = Api::namespaced(scene.stage.client.clone(), &scene.namespace);
    // Applied, because Kubernetes makes it a moment after the namespace.
    let account = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "name": step.name },
        "imagePullSecrets": secrets,
    });
    accounts
        .patch(&step.name, &PatchParams::apply("sandproof").force(), &Patch::Apply(account))
        .await
        .map_err(|error| StepError::environment("give the service account its pull secrets", error))?;
    Ok(json!({ "name": step.name }))
}

async fn allowed(
    client: &Client,
    user: &str,
    namespace: &str,
    resources: &'static [Resource],
) -> Result<Vec<String>, kube::Error> {
    let mut questions: Vec<(&'static str, Resource)> = Vec::new();
    for resource in resources {
        questions.extend(VERBS.iter().map(|verb| (*verb, *resource)));
    }
    let mut allowed = Vec::new();
    for some in questions.chunks(AT_ONCE) {
        let asked: Vec<_> = some
            .iter()
            .map(|(verb, resource)| ask(client.clone(), user.to_owned(), namespace.to_owned(), verb, *resource, ""))
            .collect();
        allowed.extend(try_join_all(asked).await?.into_iter().flatten());
    }
    allowed.sort_unstable();
    Ok(allowed)
}

/// One question; `VERB RESOURCE` where it is allowed.
async fn ask(
    client: Client,
    user: String,
    namespace: String,
    verb: &'static str,
    (group, resource, subresource): Resource,
    name: &str,
) -> Result<Option<String>, kube::Error> {
    let reviews: Api<SubjectAccessReview> = Api::all(client);
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
                "name": name,
            },
        },
    }))
    .map_err(kube::Error::SerdeError)?;
    let answer = reviews.create(&PostParams::default(), &review).await?;
    let separator = if subresource.is_empty() { "" } else { "/" };
    let is_allowed = answer.status.is_some_and(|status| status.allowed);
    Ok(is_allowed.then(|| format!("{verb} {resource}{separator}{subresource}")))
}
