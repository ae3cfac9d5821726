//! The Sandbox objects of one gateway in one namespace.

use kube::api::{DeleteParams, ListParams, PostParams, Preconditions, PropagationPolicy};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client};
use tokio::sync::RwLock;

use super::{call, code_of, is_missing_api};
use crate::error::DriverError;
use crate::faults::Faults;
use crate::names;
use crate::pod::Template;
use crate::request::SandboxRequest;
use crate::sandbox;

/// Reads and writes Sandbox objects in whichever API version the cluster serves.
pub(crate) struct Sandboxes {
    client: Client,
    namespace: String,
    gateway_id: String,
    /// The served version; forgotten when the API turns out to be gone.
    served: RwLock<Option<&'static str>>,
    faults: Faults,
}

impl Sandboxes {
    pub(crate) fn new(client: Client, namespace: &str, gateway_id: &str, faults: Faults) -> Self {
        let (namespace, gateway_id) = (namespace.to_owned(), gateway_id.to_owned());
        Self { client, namespace, gateway_id, served: RwLock::new(None), faults }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(crate) fn gateway_id(&self) -> &str {
        &self.gateway_id
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
        for version in sandbox::VERSIONS {
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

    /// The objects in the served version.
    pub(crate) fn api(&self, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, resource)
    }

    /// Stores a new sandbox.
    pub(crate) async fn create(&self, template: &Template<'_>, request: &SandboxRequest) -> Result<(), DriverError> {
        const ACTION: &str = "create the sandbox";
        let created = self
            .with_api(ACTION, |api, resource| {
                let object = sandbox::object(template, request, &resource);
                async move { api.create(&PostParams::default(), &object).await }
            })
            .await;
        match created {
            Ok(_) => Ok(()),
            Err(DriverError::Kubernetes { action, source }) => Err(match *source {
                kube::Error::Api(status) if status.code == 409 => DriverError::AlreadyExists,
                // The schema of the Sandbox found a fault in the pod template that this driver does not look for.
                kube::Error::Api(status) if matches!(status.code, 400 | 422) => {
                    DriverError::Refused { action, message: status.message }
                }
                other => DriverError::Kubernetes { action, source: Box::new(other) },
            }),
            Err(error) => Err(error),
        }
    }

    /// What the API server would store of this object; nothing is created.
    pub(crate) async fn rehearse(&self, name: &str, spec: serde_json::Value) -> Result<DynamicObject, DriverError> {
        self.with_api("rehearse a sandbox", |api, resource| {
            let object =
                DynamicObject::new(name, &resource).within(&self.namespace).data(serde_json::json!({ "spec": spec }));
            let rehearsal = PostParams { dry_run: true, ..PostParams::default() };
            async move { api.create(&rehearsal, &object).await }
        })
        .await
    }

    /// The object of one sandbox.
    pub(crate) async fn find(&self, sandbox_id: &str) -> Result<Option<DynamicObject>, DriverError> {
        // Anything else cannot be a label's value, and must not get into a selector.
        if names::label_value_problem(sandbox_id).is_some() {
            return Ok(None);
        }
        let selector = names::sandbox_selector(&self.gateway_id, sandbox_id);
        Ok(self.select("get the sandbox", &selector).await?.into_iter().next())
    }

    /// The objects of all sandboxes.
    pub(crate) async fn list(&self) -> Result<Vec<DynamicObject>, DriverError> {
        self.select("list the sandboxes", &names::gateway_selector(&self.gateway_id)).await
    }

    /// Deletes one sandbox's object; false if it was gone or going already.
    pub(crate) async fn delete(&self, sandbox_id: &str) -> Result<bool, DriverError> {
        let Some(object) = self.find(sandbox_id).await? else {
            return Ok(false);
        };
        if object.metadata.deletion_timestamp.is_some() {
            return Ok(false);
        }
        let name = object.metadata.name.unwrap_or_default();
        let parameters = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            // A sandbox made anew under the same name in the meantime is another one.
            preconditions: Some(Preconditions { uid: object.metadata.uid, resource_version: None }),
            ..DeleteParams::default()
        };
        let deleted = self
            .with_api("delete the sandbox", |api, _| {
                let (name, parameters) = (name.clone(), parameters.clone());
                async move { api.delete(&name, &parameters).await.map(|_| ()) }
            })
            .await;
        match deleted {
            Ok(()) => Ok(true),
            Err(error) if matches!(code_of(&error), Some(404 | 409)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn select(&self, action: &'static str, selector: &str) -> Result<Vec<DynamicObject>, DriverError> {
        let parameters = ListParams::default().labels(selector);
        self.with_api(action, |api, _| {
            let parameters = parameters.clone();
            async move { api.list(&parameters).await.map(|list| list.items) }
        })
        .await
    }

    /// One call in the served version; if that version is gone, the served one is found out again, once.
    async fn with_api<T, F>(
        &self,
        action: &'static str,
        request: impl Fn(Api<DynamicObject>, ApiResource) -> F,
    ) -> Result<T, DriverError>
    where
        F: Future<Output = Result<T, kube::Error>>,
    {
        let resource = self.resource().await?;
        match call(action, request(self.api(&resource), resource.clone())).await {
            Err(DriverError::Kubernetes { source, .. }) if is_missing_api(&source) => {
                self.forget_resource().await;
                let resource = self.resource().await?;
                call(action, request(self.api(&resource), resource.clone())).await
            }
            answer => answer,
        }
    }
}
