//! The definition of the Sandbox: which API versions a cluster serves, stores and converts.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams},
    runtime::{conditions::is_crd_established, wait::await_condition},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::failure::Failure;

/// The definition's name.
const SANDBOX_CRD: &str = "sandboxes.agents.x-k8s.io";

/// The API group of the Sandbox.
const GROUP: &str = "agents.x-k8s.io";

/// API versions, the newest first.
pub(super) const NEWEST_FIRST: [&str; 2] = ["v1beta1", "v1alpha1"];

/// The annotation that the guide of the releases puts on what it has stored anew.
const MIGRATED: &str = "agents.x-k8s.io/storage-migrated-at";

/// How long the API server may take to go by a definition that it has accepted.
const DEADLINE: Duration = Duration::from_secs(30);

/// Between two tries where nothing announces what is waited for.
const PAUSE: Duration = Duration::from_millis(50);

/// How often a write is tried again because the object was written by somebody else in the meantime.
const WRITES: usize = 5;

/// The definition of the Sandbox, as a manifest or a cluster has it.
#[derive(Debug, Clone)]
pub(crate) struct Definition(pub(super) CustomResourceDefinition);

impl Definition {
    /// The definition in a manifest.
    pub(crate) fn of_manifest(manifest: &Value) -> Result<Self, Failure> {
        serde_json::from_value(manifest.clone())
            .map(Self)
            .map_err(|error| Failure::environment("read the Sandbox CRD of a release", error))
    }

    /// What the cluster has.
    pub(crate) async fn read(client: &Client) -> Result<Self, Failure> {
        definitions(client)
            .get(SANDBOX_CRD)
            .await
            .map(Self)
            .map_err(|error| Failure::environment(format!("read the CRD {SANDBOX_CRD}"), error))
    }

    /// Waits until the API server has established the definition.
    pub(crate) async fn established(client: &Client) -> Result<Self, Failure> {
        let tried = || format!("install the CRD {SANDBOX_CRD}");
        let established = await_condition(definitions(client), SANDBOX_CRD, is_crd_established());
        match tokio::time::timeout(DEADLINE, established).await {
            Ok(Ok(Some(definition))) => Ok(Self(definition)),
            Ok(Ok(None)) => Err(Failure::environment(tried(), "it was removed")),
            Ok(Err(error)) => Err(Failure::environment(format!("watch the CRD {SANDBOX_CRD}"), error)),
            Err(_) => Err(Failure::environment(
                tried(),
                format!("the API server did not establish it within {} s", DEADLINE.as_secs()),
            )),
        }
    }

    /// Whether the API server has established it.
    pub(crate) fn is_established(&self) -> bool {
        use kube::runtime::wait::Condition;
        is_crd_established().matches_object(Some(&self.0))
    }

    /// The API versions that are served, the newest first.
    pub(crate) fn served(&self) -> Vec<String> {
        self.versions(|version| version.served)
    }

    /// The API version that objects are stored in.
    pub(crate) fn storage(&self) -> Option<String> {
        self.versions(|version| version.storage).into_iter().next()
    }

    /// The API versions that objects may be stored in by now.
    pub(crate) fn stored(&self) -> Vec<String> {
        self.0.status.as_ref().and_then(|status| status.stored_versions.clone()).unwrap_or_default()
    }

    /// Whether it serves exactly these API versions.
    pub(crate) fn serves(&self, versions: &[&str]) -> bool {
        let served = self.served();
        served.len() == versions.len() && versions.iter().all(|version| served.iter().any(|served| served == version))
    }

    /// Whether its versions are converted by a webhook.
    pub(crate) fn converts(&self) -> bool {
        self.strategy() == "Webhook"
    }

    /// How its versions are converted.
    pub(crate) fn strategy(&self) -> &str {
        self.0.spec.conversion.as_ref().map_or("None", |conversion| conversion.strategy.as_str())
    }

    /// Whether the API server was told which authority vouches for the converter.
    pub(crate) fn has_ca_bundle(&self) -> bool {
        has_ca_bundle(&self.0)
    }

    /// Waits until an object in another version than the stored one is converted; at once where nothing converts.
    pub(crate) async fn wait_for_conversion(&self, client: &Client, deadline: Duration) -> Result<(), Failure> {
        let served = self.served();
        let other = served.iter().find(|version| Some(*version) != self.storage().as_ref());
        let (true, Some(other)) = (self.converts(), other) else { return Ok(()) };
        let tried = "wait until Agent Sandbox converts between its API versions";
        let end = Instant::now() + deadline;
        let told = |definition: Option<&CustomResourceDefinition>| definition.is_some_and(has_ca_bundle);
        match tokio::time::timeout_at(end, await_condition(definitions(client), SANDBOX_CRD, told)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(Failure::environment(tried, error)),
            Err(_) => {
                let found = format!("its controller set no caBundle within {} s", deadline.as_secs());
                return Err(Failure::environment(tried, found));
            }
        }
        // Nothing announces that the converter listens and that the API server trusts it, so it is tried until it does.
        loop {
            match rehearse(client, other).await {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() >= end => return Err(Failure::environment(tried, error)),
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    fn versions(&self, which: impl Fn(&CustomResourceDefinitionVersion) -> bool) -> Vec<String> {
        let mut names: Vec<String> =
            self.0.spec.versions.iter().filter(|version| which(version)).map(|version| version.name.clone()).collect();
        names.sort_by_key(|name| NEWEST_FIRST.iter().position(|known| known == name).unwrap_or(NEWEST_FIRST.len()));
        names
    }
}

/// Makes the API server serve these versions and no others, and waits until it does; a version that the definition does
/// not have is left out.
pub(crate) async fn serve(client: &Client, versions: &[&str]) -> Result<Definition, Failure> {
    changed(client, "change the served versions of the Sandbox", |definition| {
        for version in &mut definition.spec.versions {
            version.served = versions.contains(&version.name.as_str());
        }
        Ok(())
    })
    .await
}

/// Puts the definition back as it was `before`.
pub(crate) async fn put_back(client: &Client, before: &Definition) -> Result<(), Failure> {
    let put = changed(client, "put the definition of the Sandbox back", |definition| {
        definition.spec = before.0.spec.clone();
        Ok(())
    });
    put.await.map(drop)
}

/// Has a definition serve a version too. One that it does not have becomes a copy of the one that is stored: nothing
/// converts between them but their names.
pub(crate) fn also_serve(definition: &mut CustomResourceDefinition, version: &str) -> Result<(), &'static str> {
    let versions = &mut definition.spec.versions;
    if let Some(known) = versions.iter_mut().find(|known| known.name == version) {
        known.served = true;
        return Ok(());
    }
    let mut copy = versions.iter().find(|version| version.storage).cloned().ok_or("it stores none")?;
    (copy.name, copy.storage, copy.served) = (version.to_owned(), false, true);
    versions.push(copy);
    Ok(())
}

/// Changes the definition, as often as somebody else writes it in the meantime, and waits until the API server goes by it.
/// The change may refuse, with the reason.
pub(crate) async fn changed(
    client: &Client,
    tried: &str,
    change: impl Fn(&mut CustomResourceDefinition) -> Result<(), &'static str>,
) -> Result<Definition, Failure> {
    for _ in 0..WRITES {
        let mut definition = Definition::read(client).await?.0;
        change(&mut definition).map_err(|why| Failure::environment(tried, why))?;
        match definitions(client).replace(SANDBOX_CRD, &PostParams::default(), &definition).await {
            Ok(definition) => return gone_by(client, Definition(definition)).await,
            Err(error) if is_conflict(&error) => {}
            Err(error) => return Err(Failure::environment(tried, error)),
        }
    }
    Err(Failure::environment(tried, "somebody else wrote the CRD each time"))
}

/// Stores every Sandbox anew that may be stored in a version that `next` does not have, as the guide of the releases
/// that have both versions says.
pub(super) async fn migrate(client: &Client, next: &Definition) -> Result<(), Failure> {
    let tried = "store the Sandboxes in their new API version";
    let failed = |error: kube::Error| Failure::environment(tried, error);
    if can_store(client, next).await? {
        return Ok(());
    }
    let definition = Definition::read(client).await?;
    let storage = definition.storage().unwrap_or_default();
    // Something has to change: a write that changes nothing is not stored. One object that stays in the old version
    // would keep the API server from listing any of them once that version is gone.
    let mark = json!({ "metadata": { "annotations": { MIGRATED: jiff::Timestamp::now().to_string() } } });
    let all: Api<DynamicObject> = Api::all_with(client.clone(), &resource(&storage));
    for object in all.list(&ListParams::default()).await.map_err(failed)? {
        let api = Api::<DynamicObject>::namespaced_with(
            client.clone(),
            &object.namespace().unwrap_or_default(),
            &resource(&storage),
        );
        match api.patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(&mark)).await {
            Ok(_) => {}
            // It was deleted in the meantime; one that stays behind without its namespace cannot be written.
            Err(kube::Error::Api(status)) if status.code == 404 => {
                if api.get_opt(&object.name_any()).await.map_err(failed)?.is_some() {
                    return Err(Failure::environment(tried, status.message));
                }
            }
            Err(error) => return Err(failed(error)),
        }
    }
    let stored = Patch::Merge(json!({ "status": { "storedVersions": [storage] } }));
    definitions(client).patch_status(SANDBOX_CRD, &PatchParams::default(), &stored).await.map(drop).map_err(failed)
}

/// Whether `next` has every version that a Sandbox may be stored in.
pub(super) async fn can_store(client: &Client, next: &Definition) -> Result<bool, Failure> {
    let known = next.versions(|_| true);
    Ok(Definition::read(client).await?.stored().iter().all(|version| known.contains(version)))
}

/// Puts a manifest in the place of the definition. An apply would keep what the controller has added to it.
pub(super) async fn replace(client: &Client, manifest: &Value) -> Result<(), Failure> {
    let next = Definition::of_manifest(manifest)?.0;
    changed(client, &format!("replace the CRD {SANDBOX_CRD}"), |current| {
        let mut next = next.clone();
        keep_ca_bundle(current, &mut next);
        next.metadata.resource_version = current.metadata.resource_version.take();
        *current = next;
        Ok(())
    })
    .await
    .map(drop)
}

/// Removes the definition and every Sandbox with it.
pub(super) async fn remove(client: &Client) -> Result<(), Failure> {
    let tried = format!("remove the CRD {SANDBOX_CRD}");
    let api = definitions(client);
    api.delete(SANDBOX_CRD, &DeleteParams::default()).await.map_err(|error| Failure::environment(&tried, error))?;
    let gone = |definition: Option<&CustomResourceDefinition>| definition.is_none();
    match tokio::time::timeout(DEADLINE, await_condition(api, SANDBOX_CRD, gone)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::environment(tried, error)),
        Err(_) => Err(Failure::environment(tried, format!("it was still there after {} s", DEADLINE.as_secs()))),
    }
}

/// Waits until the API server answers requests and discovery by a definition that it has accepted.
async fn gone_by(client: &Client, definition: Definition) -> Result<Definition, Failure> {
    let served = definition.served();
    let end = Instant::now() + DEADLINE;
    for version in NEWEST_FIRST {
        let wanted = served.iter().any(|served| served == version);
        // Nothing announces it, so it is asked until it does.
        loop {
            let found = discovered(client, version).await;
            if found.as_ref().is_ok_and(|found| *found == [wanted, wanted]) {
                break;
            }
            if Instant::now() >= end {
                let tried = format!("go by the changed CRD {SANDBOX_CRD}");
                let not = if wanted { " not" } else { "" };
                let found = match found {
                    Ok(_) => format!("{version} was still{not} served after {} s", DEADLINE.as_secs()),
                    Err(error) => error.to_string(),
                };
                return Err(Failure::environment(tried, found));
            }
            sleep(PAUSE).await;
        }
    }
    Ok(definition)
}

/// Whether discovery names a version, and whether a request in it finds the Sandboxes.
async fn discovered(client: &Client, version: &str) -> Result<[bool; 2], kube::Error> {
    let listed = match client.list_api_group_resources(&format!("{GROUP}/{version}")).await {
        Ok(list) => list.resources.iter().any(|resource| resource.name == "sandboxes"),
        Err(kube::Error::Api(status)) if status.code == 404 => false,
        Err(error) => return Err(error),
    };
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource(version));
    let answers = match api.list(&ListParams::default().limit(1)).await {
        Ok(_) => true,
        // Any other refusal is one of a version that is served.
        Err(kube::Error::Api(status)) => status.code != 404,
        Err(error) => return Err(error),
    };
    Ok([listed, answers])
}

/// Rehearses the creation of a Sandbox in a version; nothing is created, but it is converted to the stored version.
async fn rehearse(client: &Client, version: &str) -> Result<(), kube::Error> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &resource(version));
    let spec = json!({ "podTemplate": { "spec": { "containers": [{ "name": "trial", "image": "trial" }] } } });
    let trial = DynamicObject::new("conversion-trial", &resource(version)).data(json!({ "spec": spec }));
    api.create(&PostParams { dry_run: true, ..PostParams::default() }, &trial).await.map(drop)
}

/// The Sandboxes in one of their API versions.
pub(crate) fn resource(version: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, version, "Sandbox"), "sandboxes")
}

fn definitions(client: &Client) -> Api<CustomResourceDefinition> {
    Api::all(client.clone())
}

/// A controller that runs already does not tell its authority again; it is the same as long as its secret is there.
fn keep_ca_bundle(current: &CustomResourceDefinition, next: &mut CustomResourceDefinition) {
    let bundle = current.spec.conversion.as_ref().and_then(|conversion| {
        let client = conversion.webhook.as_ref()?.client_config.as_ref()?;
        client.ca_bundle.clone()
    });
    let conversion = next.spec.conversion.as_mut();
    if let Some(client) = conversion.and_then(|conversion| conversion.webhook.as_mut()?.client_config.as_mut()) {
        client.ca_bundle = bundle;
    }
}

fn has_ca_bundle(definition: &CustomResourceDefinition) -> bool {
    let conversion = definition.spec.conversion.as_ref();
    let client = conversion.and_then(|conversion| conversion.webhook.as_ref()?.client_config.as_ref());
    client.and_then(|client| client.ca_bundle.as_ref()).is_some_and(|bundle| !bundle.0.is_empty())
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// A definition with these versions: name, served, stored.
    fn definition(versions: &[(&str, bool, bool)], ca_bundle: Option<&str>) -> CustomResourceDefinition {
        let versions: Vec<Value> = versions
            .iter()
            .map(|(name, served, storage)| json!({ "name": name, "served": served, "storage": storage }))
            .collect();
        let mut client = json!({ "service": { "name": "converter", "namespace": "system" } });
        if let Some(bundle) = ca_bundle {
            client["caBundle"] = json!(bundle);
        }
        let webhook = json!({ "conversionReviewVersions": ["v1"], "clientConfig": client });
        let names = json!({ "kind": "Sandbox", "plural": "sandboxes" });
        serde_json::from_value(json!({
            "spec": {
                "group": GROUP, "names": names, "scope": "Namespaced", "versions": versions,
                "conversion": { "strategy": "Webhook", "webhook": webhook },
            },
        }))
        .unwrap()
    }

    #[rstest]
    #[case::old(&[("v1alpha1", true, true)], &["v1alpha1"])]
    #[case::both(&[("v1alpha1", true, false), ("v1beta1", true, true)], &["v1beta1", "v1alpha1"])]
    #[case::unknown_ones_last(&[("v9", true, false), ("v1alpha1", true, true)], &["v1alpha1", "v9"])]
    #[case::not_served(&[("v1alpha1", false, false), ("v1beta1", true, true)], &["v1beta1"])]
    #[case::none(&[("v1beta1", false, true)], &[])]
    fn the_newest_served_version_comes_first(#[case] versions: &[(&str, bool, bool)], #[case] expected: &[&str]) {
        let definition = Definition(definition(versions, None));
        assert_eq!(definition.served(), expected);
        assert!(definition.serves(expected));
        assert!(!definition.serves(&["v2"]));
    }

    #[test]
    fn a_definition_that_is_put_in_the_place_of_another_keeps_its_authority() {
        let versions = [("v1beta1", true, true)];
        let current = definition(&versions, Some("bm9ib2R5"));
        let mut next = definition(&versions, None);
        keep_ca_bundle(&current, &mut next);
        assert!(has_ca_bundle(&next));
    }

    #[test]
    fn a_definition_without_a_converter_needs_no_authority() {
        let current = definition(&[("v1beta1", true, true)], Some("bm9ib2R5"));
        let mut next = definition(&[("v1beta1", true, true)], None);
        next.spec.conversion = None;
        keep_ca_bundle(&current, &mut next);
        assert!(next.spec.conversion.is_none());
        assert!(!Definition(next).converts());
    }
}
