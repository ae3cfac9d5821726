//! The namespace of a scenario: made before its first step, and taken away with all that belongs to it.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
    runtime::{conditions::is_deleted, wait},
};
use serde_json::json;

use super::{
    leftovers::{Found, Leftover, remove_release},
    result::file_name,
};
use crate::{events::Event, failure::Failure, scene::Scene, steps};

/// What is known after a scenario's clean-up.
#[derive(Debug, Default)]
pub(super) struct Closed {
    /// What of a namespace that is not its own stays.
    pub(super) left: Vec<Leftover>,
    /// What is in no namespace and was not removed, where that was looked at.
    pub(super) seen: Option<Vec<Found>>,
}

/// Creates the scenario's namespace.
pub(super) async fn open(scene: &Scene) -> Result<(), Failure> {
    if scene.stage.subject.namespace().is_some() {
        return Ok(());
    }
    let tried = format!("create the namespace {}", scene.namespace);
    let mut namespace = json!({
        "metadata": { "name": scene.namespace, "labels": { "sandproof.dev/scenario": label(&scene.key) } },
    });
    scene.stage.place.label(&mut namespace);
    let namespace: Namespace =
        serde_json::from_value(namespace).map_err(|error| Failure::environment(&tried, error))?;
    Api::all(scene.stage.client.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .map(drop)
        .map_err(|error| Failure::environment(&tried, error))
}

/// Removes what the scenario made: asks for the end of its namespaces, and removes what its driver's chart installed
/// beside them.
pub(super) async fn close(scene: &mut Scene) -> Closed {
    if scene.stage.subject.namespace().is_some() {
        return Closed { left: steps::clear(scene).await, seen: None };
    }
    let client = &scene.stage.client;
    let warn = |text: String| scene.stage.events.emit(Event::Warning { text });
    let api: Api<Namespace> = Api::all(client.clone());
    for namespace in scene.namespaces() {
        match api.delete(&namespace, &DeleteParams::background()).await {
            Ok(_) => {}
            // A workspace need not have had a namespace, and the driver may have deleted it.
            Err(kube::Error::Api(status)) if status.code == 404 && namespace != scene.namespace => {}
            Err(error) => warn(format!("cannot delete the namespace {namespace}: {error}")),
        }
    }
    let mut closed = Closed::default();
    if scene.settings.is_some() && scene.stage.subject.chart().is_some() {
        match remove_release(client, &scene.namespace).await {
            Ok(others) => closed.seen = Some(others),
            Err(error) => {
                warn(format!("cannot remove what the driver's chart made beside {}: {error}", scene.namespace));
            }
        }
    }
    closed
}

/// The waits for the namespaces that are being deleted by now, each until its namespace is gone.
pub(crate) async fn going(
    client: &Client,
) -> Result<impl Iterator<Item = impl Future<Output = Result<(), wait::Error>>>, kube::Error> {
    let api: Api<Namespace> = Api::all(client.clone());
    let found = api.list(&ListParams::default()).await?;
    let going = found.items.into_iter().filter(|namespace| namespace.metadata.deletion_timestamp.is_some());
    Ok(going.map(move |namespace| {
        let api = api.clone();
        async move {
            let (name, uid) = (namespace.name_any(), namespace.uid().unwrap_or_default());
            wait::await_condition(api, &name, is_deleted(&uid)).await.map(drop)
        }
    }))
}

/// A key as a label value: at most 63 characters.
fn label(key: &str) -> String {
    let mut value: String = file_name(key).chars().take(63).collect();
    while value.ends_with(['-', '.', '_']) {
        value.pop();
    }
    value
}
