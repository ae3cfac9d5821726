//! The gRPC contract.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use sandproof_protocol::{ComputeDriver, v1};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::config::{Config, SandboxDefaults, SideloadMethod};
use crate::error::DriverError;
use crate::kubernetes::{DEADLINE, Gpus, ImageVolumeProbe, Sandboxes};
use crate::placement::ObjectKey;
use crate::pod::Template;
use crate::request::{InvalidRequest, SandboxRequest};
use crate::reservation::Reservations;
use crate::sandbox::{self, Located};
use crate::watch::{Feed, Found, Stopped};
use crate::workspace::Workspaces;

/// The driver's name (upstream's).
const DRIVER_NAME: &str = "kubernetes";
/// How much of an identifier is logged.
const LOGGED_CHARACTERS: usize = 64;
/// How much longer than its grace a stopped sandbox's pod is waited for (upstream's value).
const STOP_MARGIN: Duration = Duration::from_secs(30);

type Answer<T> = Result<Response<T>, Status>;

/// The driver as the gateway sees it.
pub(crate) struct Driver {
    config: Config,
    sandboxes: Arc<Sandboxes>,
    workspaces: Workspaces,
    feed: Arc<Feed>,
    image_volumes: ImageVolumeProbe,
    gpus: Gpus,
    being_created: Reservations,
    stop: CancellationToken,
}

impl Driver {
    pub(crate) fn new(config: Config, sandboxes: Arc<Sandboxes>, feed: Arc<Feed>, stop: CancellationToken) -> Self {
        let workspaces = Workspaces::new(sandboxes.client().clone(), sandboxes.layout().clone(), &config);
        Self {
            config,
            sandboxes,
            workspaces,
            feed,
            image_volumes: ImageVolumeProbe::default(),
            gpus: Gpus::default(),
            being_created: Reservations::default(),
            stop,
        }
    }

    fn template(&self) -> Template<'_> {
        Template { defaults: &self.config.sandbox, gateway_id: &self.config.gateway_id, faults: &self.config.faults }
    }

    /// What a request says, and where its object will be.
    fn parse(&self, mut sandbox: Option<v1::DriverSandbox>) -> Result<(SandboxRequest, ObjectKey), DriverError> {
        if let Some(sandbox) = sandbox.as_mut().filter(|_| self.config.faults.accepts_no_workspace())
            && sandbox.workspace.is_empty()
        {
            "default".clone_into(&mut sandbox.workspace);
        }
        let request = SandboxRequest::parse(sandbox, &self.config.faults)?;
        self.template().check(&request)?;
        let key = self.sandboxes.layout().place(&request.workspace, &request.name)?;
        Ok((request, key))
    }

    /// What the cluster cannot do for a request.
    async fn check_cluster(&self, request: &SandboxRequest) -> Result<(), DriverError> {
        let template = self.template();
        if template.sideload(request) == SideloadMethod::ImageVolume && !self.config.faults.accepts_silent_drop() {
            self.image_volumes.require(&self.sandboxes, template.supervisor_image(request)).await?;
        }
        if request.gpus.is_some() {
            self.gpus.require(self.sandboxes.client()).await?;
        }
        Ok(())
    }

    /// Everything that can be refused before an object exists.
    async fn validate(&self, sandbox: Option<v1::DriverSandbox>) -> Result<(), DriverError> {
        let (request, _) = self.parse(sandbox)?;
        self.workspaces.check(&request.workspace).await?;
        self.check_cluster(&request).await
    }

    async fn create(&self, sandbox: Option<v1::DriverSandbox>) -> Result<(), DriverError> {
        let (request, key) = self.parse(sandbox)?;
        self.check_cluster(&request).await?;
        // Two objects of one identifier would make every later look-up ambiguous.
        let _reserved = self.being_created.reserve(&request.id).ok_or(DriverError::AlreadyExists)?;
        let is_taken = match self.feed.knows(&request.id) {
            Some(known) => known,
            None => self.sandboxes.find(&request.id).await?.is_some(),
        };
        let faults = &self.config.faults;
        if is_taken {
            return if faults.accepts_duplicates() { Ok(()) } else { Err(DriverError::AlreadyExists) };
        }
        self.workspaces.prepare(&request.workspace).await?;
        let defaults = self.defaults_within(&key.namespace).await?;
        let template = Template { defaults: &defaults, ..self.template() };
        let created = match self.sandboxes.create(&template, &request, &key).await {
            Err(DriverError::AlreadyExists) if faults.accepts_duplicates() => return Ok(()),
            Err(DriverError::NamespaceGone { .. }) if self.workspaces.forget(&request.workspace).await => {
                self.workspaces.prepare(&request.workspace).await?;
                self.sandboxes.create(&template, &request, &key).await?
            }
            created => created?,
        };
        self.feed.catch_up(&sandbox::located(&created), |known| known.is_some()).await;
        Ok(())
    }

    /// What a sandbox in a namespace is built from: user and group come from the namespace where the driver was told none,
    /// and what it says of them is copied whether or not.
    async fn defaults_within(&self, namespace: &str) -> Result<Cow<'_, SandboxDefaults>, DriverError> {
        let defaults = &self.config.sandbox;
        if self.config.faults.ignores_namespace_identity() {
            return Ok(Cow::Borrowed(defaults));
        }
        let found = self.workspaces.identity(namespace).await?;
        let mut defaults = Cow::Borrowed(defaults);
        if let Some(user) = found.user.filter(|_| !defaults.user_is_told) {
            defaults.to_mut().user_id = user;
        }
        if let Some(group) = found.group.filter(|_| !defaults.group_is_told) {
            defaults.to_mut().group_id = group;
        }
        if !found.annotations.is_empty() {
            defaults.to_mut().namespace_annotations = found.annotations;
        }
        Ok(defaults)
    }

    /// A sandbox as the watch knows it; what it does not know, and all while it is interrupted, is asked of the API server.
    async fn find(&self, sandbox_id: &str) -> Result<Option<Found>, DriverError> {
        if let Some(found) = self.feed.find(sandbox_id) {
            return Ok(Some(found));
        }
        let object = self.sandboxes.find(sandbox_id).await?;
        Ok(object.and_then(|object| Some(self.feed.complete(sandbox::located(&object), sandbox::seen(&object)?))))
    }

    async fn get(&self, sandbox_id: &str) -> Result<v1::DriverSandbox, DriverError> {
        let found = self.find(required(sandbox_id)?).await?.map(|found| found.sandbox);
        found.ok_or(if self.config.faults.forbids_unknown() { DriverError::Deleting } else { DriverError::NotFound })
    }

    async fn list(&self) -> Result<Vec<v1::DriverSandbox>, DriverError> {
        if let Some(known) = self.feed.list().filter(|_| !self.config.faults.lists_foreign_sandboxes()) {
            return Ok(known);
        }
        let objects = self.sandboxes.list().await?;
        let seen = objects.iter().filter_map(|object| Some((sandbox::located(object), sandbox::seen(object)?)));
        Ok(seen.map(|(located, seen)| self.feed.complete(located, seen).sandbox).collect())
    }

    async fn delete(&self, sandbox_id: &str) -> Result<bool, DriverError> {
        let Some(found) = self.find(required(sandbox_id)?).await? else {
            return Ok(false);
        };
        if found.located.deleting {
            return Ok(false);
        }
        let deleted = self.sandboxes.delete(&found.located).await?;
        self.feed.catch_up(&found.located, |known| known.is_none_or(|known| known.deleting)).await;
        Ok(deleted)
    }

    async fn existing(&self, sandbox_id: &str) -> Result<Located, DriverError> {
        let found = self.find(required(sandbox_id)?).await?.ok_or(DriverError::NotFound)?;
        if found.located.deleting { Err(DriverError::Deleting) } else { Ok(found.located) }
    }

    /// Returns when the sandbox has no pod any more; one that is stopped already stays so.
    async fn stop(&self, sandbox_id: &str) -> Result<(), DriverError> {
        let located = self.existing(sandbox_id).await?;
        if self.config.faults.ignores_stop() {
            return Ok(());
        }
        if self.config.faults.deletes_to_stop() {
            return self.sandboxes.delete(&located).await.map(drop);
        }
        if !located.suspended {
            self.sandboxes.set_running(&located, false).await?;
            self.feed.catch_up(&located, |known| known.is_none_or(|known| known.suspended)).await;
        }
        let patience = Duration::from_secs(located.grace_seconds.try_into().unwrap_or(0)) + STOP_MARGIN;
        match self.feed.stopped(&located, patience).await {
            Stopped::Yes => Ok(()),
            Stopped::NotYet => Err(DriverError::NotStopped { seconds: patience.as_secs() }),
            Stopped::NoLonger => Err(DriverError::StopOvertaken),
        }
    }

    /// Returns when the sandbox is told to run; one that runs stays so.
    async fn start(&self, sandbox_id: &str) -> Result<(), DriverError> {
        let located = self.existing(sandbox_id).await?;
        if located.suspended {
            if self.config.faults.recreates_to_start() {
                return self.sandboxes.recreate(sandbox_id, &located).await;
            }
            self.sandboxes.set_running(&located, true).await?;
            self.feed.catch_up(&located, |known| known.is_none_or(|known| !known.suspended)).await;
        }
        Ok(())
    }
}

fn required(sandbox_id: &str) -> Result<&str, InvalidRequest> {
    if sandbox_id.is_empty() { Err(InvalidRequest::Required("sandbox_id")) } else { Ok(sandbox_id) }
}

/// Logs how an RPC about a sandbox or a workspace ended, and turns its outcome into the answer.
fn answer<T>(rpc: &'static str, subject: &str, outcome: Result<T, DriverError>) -> Answer<T> {
    // An identifier of any length and content may come from outside.
    let subject: String = subject.chars().take(LOGGED_CHARACTERS).collect();
    match outcome {
        Ok(message) => {
            tracing::info!(rpc, subject, "ok");
            Ok(Response::new(message))
        }
        Err(error) => {
            let status = Status::from(error);
            tracing::warn!(rpc, subject, code = ?status.code(), message = status.message(), "refused");
            Err(status)
        }
    }
}

fn id_of(sandbox: Option<&v1::DriverSandbox>) -> String {
    sandbox.map(|sandbox| sandbox.id.clone()).unwrap_or_default()
}

/// The live part of a watch; a client that cannot keep up is told to start again rather than left with a gap.
fn live(
    changes: Receiver<v1::WatchSandboxesEvent>,
) -> impl Stream<Item = Result<v1::WatchSandboxesEvent, Status>> + Send {
    stream::unfold(Some(changes), |changes| async move {
        let mut changes = changes?;
        match changes.recv().await {
            Ok(event) => Some((Ok(event), Some(changes))),
            Err(RecvError::Closed) => None,
            Err(RecvError::Lagged(missed)) => {
                let status = Status::aborted(format!("the watch fell {missed} changes behind; watch again"));
                Some((Err(status), None))
            }
        }
    })
}

#[tonic::async_trait]
impl ComputeDriver for Driver {
    async fn get_capabilities(&self, _: Request<v1::GetCapabilitiesRequest>) -> Answer<v1::GetCapabilitiesResponse> {
        Ok(Response::new(v1::GetCapabilitiesResponse {
            driver_name: if self.config.faults.has_no_name() { String::new() } else { DRIVER_NAME.to_owned() },
            driver_version: env!("CARGO_PKG_VERSION").to_owned(),
            default_image: self.config.sandbox.image.clone(),
            gateway_manages_lifecycle: false,
        }))
    }

    async fn get_gateway_listener_requirements(
        &self,
        _: Request<v1::GetGatewayListenerRequirementsRequest>,
    ) -> Answer<v1::GetGatewayListenerRequirementsResponse> {
        Ok(Response::new(v1::GetGatewayListenerRequirementsResponse::default()))
    }

    async fn validate_sandbox_create(
        &self,
        request: Request<v1::ValidateSandboxCreateRequest>,
    ) -> Answer<v1::ValidateSandboxCreateResponse> {
        let sandbox = request.into_inner().sandbox;
        let id = id_of(sandbox.as_ref());
        let outcome = self.validate(sandbox).await.map(|()| v1::ValidateSandboxCreateResponse {});
        answer("ValidateSandboxCreate", &id, outcome)
    }

    async fn get_sandbox(&self, request: Request<v1::GetSandboxRequest>) -> Answer<v1::GetSandboxResponse> {
        let id = request.into_inner().sandbox_id;
        let outcome = self.get(&id).await.map(|sandbox| v1::GetSandboxResponse { sandbox: Some(sandbox) });
        answer("GetSandbox", &id, outcome)
    }

    async fn list_sandboxes(&self, _: Request<v1::ListSandboxesRequest>) -> Answer<v1::ListSandboxesResponse> {
        let outcome = self.list().await.map(|sandboxes| v1::ListSandboxesResponse { sandboxes });
        answer("ListSandboxes", "", outcome)
    }

    async fn create_sandbox(&self, request: Request<v1::CreateSandboxRequest>) -> Answer<v1::CreateSandboxResponse> {
        let sandbox = request.into_inner().sandbox;
        let id = id_of(sandbox.as_ref());
        let created = match self.create(sandbox).await {
            Err(DriverError::Timeout { .. }) if self.config.faults.swallows_timeouts() => Ok(()),
            created => created,
        };
        let outcome = created.map(|()| v1::CreateSandboxResponse {});
        answer("CreateSandbox", &id, outcome)
    }

    async fn delete_sandbox(&self, request: Request<v1::DeleteSandboxRequest>) -> Answer<v1::DeleteSandboxResponse> {
        let id = request.into_inner().sandbox_id;
        let outcome = self.delete(&id).await.map(|deleted| v1::DeleteSandboxResponse { deleted });
        answer("DeleteSandbox", &id, outcome)
    }

    type WatchSandboxesStream = Pin<Box<dyn Stream<Item = Result<v1::WatchSandboxesEvent, Status>> + Send>>;

    async fn watch_sandboxes(&self, _: Request<v1::WatchSandboxesRequest>) -> Answer<Self::WatchSandboxesStream> {
        let Some((known, changes)) = self.feed.subscribe(DEADLINE).await else {
            let error = DriverError::Timeout { action: "list the sandboxes and their pods" };
            return answer("WatchSandboxes", "", Err(error));
        };
        let stop = self.stop.clone();
        let events = stream::iter(known.into_iter().map(Ok))
            .chain(live(changes))
            .take_until(async move { stop.cancelled().await });
        answer("WatchSandboxes", "", Ok(Box::pin(events) as Self::WatchSandboxesStream))
    }

    async fn stop_sandbox(&self, request: Request<v1::StopSandboxRequest>) -> Answer<v1::StopSandboxResponse> {
        let id = request.into_inner().sandbox_id;
        let outcome = self.stop(&id).await.map(|()| v1::StopSandboxResponse {});
        answer("StopSandbox", &id, outcome)
    }

    async fn start_sandbox(&self, request: Request<v1::StartSandboxRequest>) -> Answer<v1::StartSandboxResponse> {
        let id = request.into_inner().sandbox_id;
        let outcome = self.start(&id).await.map(|()| v1::StartSandboxResponse {});
        answer("StartSandbox", &id, outcome)
    }

    async fn ensure_workspace(
        &self,
        request: Request<v1::EnsureWorkspaceRequest>,
    ) -> Answer<v1::EnsureWorkspaceResponse> {
        let workspace = request.into_inner().workspace;
        let outcome = self.workspaces.ensure(&workspace).await.map(|()| v1::EnsureWorkspaceResponse {});
        answer("EnsureWorkspace", &workspace, outcome)
    }

    async fn delete_workspace(
        &self,
        request: Request<v1::DeleteWorkspaceRequest>,
    ) -> Answer<v1::DeleteWorkspaceResponse> {
        let workspace = request.into_inner().workspace;
        let outcome = self.workspaces.delete(&workspace).await.map(|()| v1::DeleteWorkspaceResponse {});
        answer("DeleteWorkspace", &workspace, outcome)
    }
}

#[cfg(test)]
mod tests;
