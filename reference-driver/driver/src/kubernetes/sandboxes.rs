//! The Sandbox objects of one gateway.

use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::RwLock;

use super::{call, code_of, is_missing_api};
use crate::error::DriverError;
use crate::faults::Faults;
use crate::names;
use crate::placement::{Layout, ObjectKey};
use crate::pod::Template;
use crate::request::SandboxRequest;
use crate::sandbox::{self, Located};

/// Reads and writes Sandbox objects in whichever API version the cluster serves.
pub(crate) struct Sandboxes {
    client: Client,
    layout: Layout,
    /// Where trial objects are created, as dry runs.
    trial_namespace: String,
    gateway_id: String,
    /// The served version; forgotten when the API turns out to be gone.
    served: RwLock<Option<&'static str>>,
    faults: Faults,
}

impl Sandboxes {
    pub(crate) fn new(client: Client, layout: Layout, trial_namespace: &str, gateway_id: &str, faults: Faults) -> Self {
        let (trial_namespace, gateway_id) = (trial_namespace.to_owned(), gateway_id.to_owned());
        Self { client, layout, trial_namespace, gateway_id, served: RwLock::new(None), faults }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn trial_namespace(&self) -> &str {
        &self.trial_namespace
    }

    /// Selects what belongs to this gateway.
    pub(crate) fn selector(&self) -> String {
        if self.faults.ignores_gateway_id() {
            return names::managed_selector();
        }
        names::gateway_selector(&self.gateway_id)
    }

    /// The resource in the served version, found out once.
    pub(crate) async fn resource(&self) -> Result<ApiResource, DriverError> {
        if let Some(version) = *self.served.read().await {
            return Ok(sandbox::resource(version));
        }
        let mut served = self.served.write().await;
        if let Some(version) = *served {
            return Ok(sandbox::resource(version));
        }
        if self.faults.assumes_api_version() {
            return Ok(sandbox::resource(sandbox::VERSIONS[0]));
        }
        let mut versions = sandbox::VERSIONS;
        if self.faults.prefers_older_api_version() {
            versions.reverse();
        }
        for version in versions {
            let group = format!("{}/{version}", sandbox::GROUP);
            match call("discover the Agent Sandbox API", self.client.list_api_group_resources(&group)).await {
                Ok(list) if list.resources.iter().any(|resource| resource.name == "sandboxes") => {
                    tracing::info!(version, "found the Agent Sandbox API");
                    *served = Some(version);
                    return Ok(sandbox::resource(version));
                }
                Ok(_) => {}
                Err(error) if code_of(&error) == Some(404) => {}
                Err(error) => return Err(error),
            }
        }
        Err(DriverError::NoApiVersion)
    }

    /// Makes the next call find the served version out again.
    pub(crate) async fn forget_resource(&self) {
        if !self.faults.keeps_api_version() {
            *self.served.write().await = None;
        }
    }

    /// All objects of this driver in the served version.
    pub(crate) fn all(&self, resource: &ApiResource) -> Api<DynamicObject> {
        match self.layout.only_namespace() {
            Some(namespace) => self.within(namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        }
    }

    fn within(&self, namespace: &str, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, resource)
    }

    /// Stores a new sandbox; the stored object is the answer.
    pub(crate) async fn create(
        &self,
        template: &Template<'_>,
        request: &SandboxRequest,
        key: &ObjectKey,
    ) -> Result<DynamicObject, DriverError> {
        const ACTION: &str = "create the sandbox";
        let created = self
            .with_api(ACTION, |resource| {
                let object = sandbox::object(template, request, key, &resource);
                let api = self.within(&key.namespace, &resource);
                async move { api.create(&PostParams::default(), &object).await }
            })
            .await;
        created.map_err(|error| match error {
            DriverError::Kubernetes { action, source } => match *source {
                kube::Error::Api(status) if status.code == 409 => DriverError::AlreadyExists,
                // What is not found, or going, is the namespace: nothing else is named by a creation.
                kube::Error::Api(status) if status.code == 404 || is_terminating(&status) => {
                    DriverError::NamespaceGone { namespace: key.namespace.clone(), message: status.message }
                }
                // The schema of the Sandbox found a fault in the pod template that this driver does not look for.
                kube::Error::Api(status) if matches!(status.code, 400 | 422) => {
                    DriverError::Refused { action, message: status.message }
                }
                other => DriverError::Kubernetes { action, source: Box::new(other) },
            },
            other => other,
        })
    }

    /// What the API server would store of this object; nothing is created.
    pub(crate) async fn rehearse(&self, name: &str, spec: Value) -> Result<DynamicObject, DriverError> {
        self.with_api("rehearse a sandbox", |resource| {
            let object =
                DynamicObject::new(name, &resource).within(&self.trial_namespace).data(json!({ "spec": spec }));
            let rehearsal = PostParams { dry_run: true, ..PostParams::default() };
            let api = self.within(&self.trial_namespace, &resource);
            async move { api.create(&rehearsal, &object).await }
        })
        .await
    }

    /// The object of one sandbox, asked of the API server.
    pub(crate) async fn find(&self, sandbox_id: &str) -> Result<Option<DynamicObject>, DriverError> {
        // Anything else cannot be a label's value, and must not get into a selector.
        if names::label_value_problem(sandbox_id).is_some() {
            return Ok(None);
        }
        let selector = names::with_sandbox_id(&self.selector(), sandbox_id);
        Ok(self.select("get the sandbox", &selector).await?.into_iter().next())
    }

    /// The objects of all sandboxes, asked of the API server.
    pub(crate) async fn list(&self) -> Result<Vec<DynamicObject>, DriverError> {
        const ACTION: &str = "list the sandboxes";
        if self.faults.lists_foreign_sandboxes() && self.layout.only_namespace().is_some() {
            return self.select(ACTION, &names::managed_selector()).await;
        }
        self.select(ACTION, &self.selector()).await
    }

    /// Deletes one sandbox's object; false if it was gone already.
    pub(crate) async fn delete(&self, located: &Located) -> Result<bool, DriverError> {
        let parameters = DeleteParams {
            propagation_policy: Some(if self.faults.orphans_on_delete() {
                PropagationPolicy::Orphan
            } else {
                PropagationPolicy::Background
            }),
            // A sandbox made anew under the same name in the meantime is another one.
            preconditions: Some(Preconditions { uid: Some(located.uid.clone()), resource_version: None }),
            ..DeleteParams::default()
        };
        let deleted = self
            .with_api("delete the sandbox", |resource| {
                let (api, name) = (self.within(&located.key.namespace, &resource), located.key.name.clone());
                let parameters = parameters.clone();
                async move { api.delete(&name, &parameters).await.map(|_| ()) }
            })
            .await;
        match deleted {
            Ok(()) => Ok(true),
            Err(error) if matches!(code_of(&error), Some(404 | 409)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Tells one sandbox to have a pod, or none; its other objects, such as its claims, stay.
    pub(crate) async fn set_running(&self, located: &Located, running: bool) -> Result<(), DriverError> {
        let changed = self
            .with_api(if running { "start the sandbox" } else { "stop the sandbox" }, |resource| {
                let (api, name) = (self.within(&located.key.namespace, &resource), located.key.name.clone());
                // The uid is a precondition: the API server refuses to change that of another object.
                let change = Patch::Merge(json!({
                    "metadata": { "uid": located.uid },
                    "spec": sandbox::running_mode(&resource.version, running),
                }));
                async move { api.patch(&name, &PatchParams::default(), &change).await.map(|_| ()) }
            })
            .await;
        match changed {
            Err(error) if code_of(&error) == Some(404) || is_another_object(&error) => Err(DriverError::NotFound),
            other => other,
        }
    }

    /// Deletes one sandbox's object and makes it anew, with nothing but what was asked for; a fault.
    pub(crate) async fn recreate(&self, sandbox_id: &str, located: &Located) -> Result<(), DriverError> {
        let old = self.find(sandbox_id).await?.ok_or(DriverError::NotFound)?;
        self.delete(located).await?;
        let made = self.with_api("make the sandbox anew", |resource| {
            let mut object = DynamicObject::new(&located.key.name, &resource).within(&located.key.namespace);
            (object.metadata.labels, object.metadata.annotations) =
                (old.metadata.labels.clone(), old.metadata.annotations.clone());
            let mut spec = old.data.get("spec").cloned().unwrap_or_default();
            if let (Some(spec), Some(mode)) =
                (spec.as_object_mut(), sandbox::running_mode(&resource.version, true).as_object())
            {
                spec.extend(mode.clone());
            }
            object.data = json!({ "spec": spec });
            let api = self.within(&located.key.namespace, &resource);
            async move { api.create(&PostParams::default(), &object).await }
        });
        made.await.map(drop)
    }

    async fn select(&self, action: &'static str, selector: &str) -> Result<Vec<DynamicObject>, DriverError> {
        let parameters = ListParams::default().labels(selector);
        self.with_api(action, |resource| {
            let (api, parameters) = (self.all(&resource), parameters.clone());
            async move { api.list(&parameters).await.map(|list| list.items) }
        })
        .await
    }

    /// One call in the served version; if that version is gone, the served one is found out again, once.
    async fn with_api<T, F>(&self, action: &'static str, request: impl Fn(ApiResource) -> F) -> Result<T, DriverError>
    where
        F: Future<Output = Result<T, kube::Error>>,
    {
        let resource = self.resource().await?;
        match call(action, request(resource)).await {
            Err(DriverError::Kubernetes { source, .. }) if is_missing_api(&source) => {
                self.forget_resource().await;
                let resource = self.resource().await?;
                call(action, request(resource)).await
            }
            answer => answer,
        }
    }
}

/// Whether the API server refused because the uid was not the object's.
fn is_another_object(error: &DriverError) -> bool {
    code_of(error) == Some(409) && error.to_string().contains("UID")
}

/// Whether the API server refused because the namespace is being deleted.
fn is_terminating(status: &kube::core::Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 403 && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}
