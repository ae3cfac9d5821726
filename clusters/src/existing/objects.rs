//! What a run has created in a cluster: found by its labels and its prefix, and removed.

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::{
    api::{
        core::v1::Namespace,
        rbac::v1::{ClusterRole, ClusterRoleBinding},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams},
    runtime::{conditions::is_deleted, wait::await_condition},
};

use super::{ExistingError, Holdings, RUN_LABEL};
use crate::provider::LeftBehind;

/// How long listing may take.
const LISTING: Duration = Duration::from_secs(30);

/// How long the namespaces of a run may take to go. Their pods get their grace period, and a busy cluster its time.
const NAMESPACES: Duration = Duration::from_mins(2);

/// How long objects without namespace may take to go.
const OTHERS: Duration = Duration::from_secs(30);

/// An object that was found.
#[derive(Debug, Clone)]
struct Found {
    api: Api<DynamicObject>,
    kind: String,
    name: String,
    uid: String,
}

/// In the order in which they are removed: while its definition goes, the controller still ends the last Sandboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Namespaces,
    Definitions,
    Others,
}

/// One line for everything of the run that is there now.
pub(super) async fn inventory(client: &Client, holdings: &Holdings, run: &str) -> LeftBehind {
    match everything(client, holdings, run).await {
        Ok(found) => found.iter().map(|found| found.line(&holdings.context)).collect::<Vec<_>>().into(),
        Err(error) => LeftBehind::Unknown(error.to_string()),
    }
}

/// Removes everything of the run, and looks for what is left.
pub(super) async fn remove(client: &Client, holdings: &Holdings, run: &str) -> LeftBehind {
    let mut refused = Vec::new();
    for stage in [Stage::Namespaces, Stage::Definitions, Stage::Others] {
        let found = match everything(client, holdings, run).await {
            Ok(found) => found,
            Err(error) => return LeftBehind::Unknown(error.to_string()),
        };
        let (deadline, of_stage): (Duration, Vec<Found>) = match stage {
            // The controller's own namespace is last: it still has to end the Sandboxes.
            Stage::Namespaces => {
                (NAMESPACES, select(found, |it| it.kind == "Namespace" && it.name.starts_with(&holdings.prefix)))
            }
            Stage::Definitions => (OTHERS, select(found, |it| it.kind == "CustomResourceDefinition")),
            Stage::Others => (NAMESPACES, found),
        };
        refused.extend(delete_all(&of_stage, deadline).await);
    }
    let left = inventory(client, holdings, run).await;
    match left {
        LeftBehind::Nothing => LeftBehind::Nothing,
        left => left.and(refused.into()),
    }
}

fn select(found: Vec<Found>, wanted: impl Fn(&Found) -> bool) -> Vec<Found> {
    found.into_iter().filter(|found| wanted(found)).collect()
}

/// Deletes side by side and waits until all are gone. Returns what the API server refused.
async fn delete_all(found: &[Found], deadline: Duration) -> Vec<String> {
    let deletions = found.iter().map(|found| async move {
        match found.api.delete(&found.name, &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => None,
            Err(error) => Some(format!("the API server would not delete {} {}: {error}", found.kind, found.name)),
            Ok(_) => {
                // Whether it is gone is looked for afterwards, whatever ended the wait.
                let gone = await_condition(found.api.clone(), &found.name, is_deleted(&found.uid));
                let _ = tokio::time::timeout(deadline, gone).await;
                None
            }
        }
    });
    join_all(deletions).await.into_iter().flatten().collect()
}

/// Everything of the run: by label, and what the chart made outside of its namespace, by its name.
async fn everything(client: &Client, holdings: &Holdings, run: &str) -> Result<Vec<Found>, ExistingError> {
    let prefix = format!("{}-", holdings.prefix);
    let resources = [
        ApiResource::erase::<Namespace>(&()),
        ApiResource::erase::<CustomResourceDefinition>(&()),
        ApiResource::erase::<ClusterRoleBinding>(&()),
        ApiResource::erase::<ClusterRole>(&()),
    ];
    let listings = resources.into_iter().map(|resource| {
        let prefix = &prefix;
        async move {
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            let tried = format!("list {}", resource.plural);
            let everything = ListParams::default();
            let listed = tokio::time::timeout(LISTING, api.list_metadata(&everything));
            let listed =
                listed.await.map_err(|_| ExistingError::silent(&holdings.context, &tried, LISTING.as_secs()))?;
            let objects = match listed {
                Ok(objects) => objects.items,
                // Who may not list them could not create them either.
                Err(kube::Error::Api(status)) if status.is_forbidden() && resource.kind != "Namespace" => Vec::new(),
                Err(error) => return Err(ExistingError::api(&holdings.context, &tried, &error)),
            };
            let ours = objects.into_iter().filter(|object| {
                object.labels().get(RUN_LABEL).is_some_and(|of| of == run) || object.name_any().starts_with(prefix)
            });
            Ok(ours
                .map(|object| Found {
                    api: api.clone(),
                    kind: resource.kind.clone(),
                    name: object.name_any(),
                    uid: object.uid().unwrap_or_default(),
                })
                .collect::<Vec<_>>())
        }
    });
    let listed = join_all(listings).await.into_iter().collect::<Result<Vec<_>, ExistingError>>()?;
    Ok(listed.concat())
}

impl Found {
    fn line(&self, context: &str) -> String {
        format!("{} {} in the cluster of context {context}", self.kind, self.name)
    }
}
