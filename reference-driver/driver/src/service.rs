//! The gRPC contract.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use sandproof_protocol::{ComputeDriver, v1};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::config::{Config, SideloadMethod};
use crate::error::DriverError;
use crate::kubernetes::{DEADLINE, ImageVolumeProbe, Sandboxes, require_gpu};
use crate::pod::Template;
use crate::request::{InvalidRequest, SandboxRequest};
use crate::sandbox;
use crate::watch::Feed;

/// The driver's name (upstream's).
const DRIVER_NAME: &str = "kubernetes";

type Answer<T> = Result<Response<T>, Status>;

/// The driver as the gateway sees it.
pub(crate) struct Driver {
    config: Config,
    sandboxes: Arc<Sandboxes>,
    feed: Arc<Feed>,
    image_volumes: ImageVolumeProbe,
    stop: CancellationToken,
}

impl Driver {
    pub(crate) fn new(config: Config, sandboxes: Arc<Sandboxes>, feed: Arc<Feed>, stop: CancellationToken) -> Self {
        Self { config, sandboxes, feed, image_volumes: ImageVolumeProbe::default(), stop }
    }

    fn template(&self) -> Template<'_> {
        Template { defaults: &self.config.sandbox, gateway_id: &self.config.gateway_id, faults: &self.config.faults }
    }

    /// Everything that can be refused before an object exists.
    async fn validate(&self, sandbox: Option<v1::DriverSandbox>) -> Result<SandboxRequest, DriverError> {
        let request = SandboxRequest::parse(sandbox, &self.config.faults)?;
        let template = self.template();
        if template.sideload(&request) == SideloadMethod::ImageVolume && !self.config.faults.accepts_silent_drop() {
            self.image_volumes.require(&self.sandboxes, template.supervisor_image(&request)).await?;
        }
        if request.gpus.is_some() {
            require_gpu(self.sandboxes.client()).await?;
        }
        Ok(request)
    }

    async fn create(&self, sandbox: Option<v1::DriverSandbox>) -> Result<(), DriverError> {
        let request = self.validate(sandbox).await?;
        // Two objects of one identifier would make every later look-up ambiguous.
        if self.feed.has_other(&request.id, &request.object_name()) {
            return Err(DriverError::AlreadyExists);
        }
        self.sandboxes.create(&self.template(), &request).await
    }

    async fn get(&self, sandbox_id: &str) -> Result<v1::DriverSandbox, DriverError> {
        let object = self.sandboxes.find(required(sandbox_id)?).await?.ok_or(DriverError::NotFound)?;
        self.seen(&object).ok_or(DriverError::NotFound)
    }

    async fn list(&self) -> Result<Vec<v1::DriverSandbox>, DriverError> {
        let objects = self.sandboxes.list().await?;
        Ok(objects.iter().filter_map(|object| self.seen(object)).collect())
    }

    async fn delete(&self, sandbox_id: &str) -> Result<bool, DriverError> {
        self.sandboxes.delete(required(sandbox_id)?).await
    }

    fn seen(&self, object: &kube::core::DynamicObject) -> Option<v1::DriverSandbox> {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        Some(self.feed.with_pod_conditions(name, sandbox::seen(object)?))
    }
}

fn required(sandbox_id: &str) -> Result<&str, InvalidRequest> {
    if sandbox_id.is_empty() { Err(InvalidRequest::Required("sandbox_id")) } else { Ok(sandbox_id) }
}

/// Logs how an RPC ended and turns its outcome into the answer.
fn answer<T>(rpc: &'static str, sandbox: &str, outcome: Result<T, DriverError>) -> Answer<T> {
    match outcome {
        Ok(message) => {
            tracing::info!(rpc, sandbox, "ok");
            Ok(Response::new(message))
        }
        Err(error) => {
            let status = Status::from(error);
            tracing::warn!(rpc, sandbox, code = ?status.code(), message = status.message(), "refused");
            Err(status)
        }
    }
}

fn id_of(sandbox: Option<&v1::DriverSandbox>) -> String {
    sandbox.map(|sandbox| sandbox.id.chars().take(64).collect()).unwrap_or_default()
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
            driver_name: DRIVER_NAME.to_owned(),
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
        let outcome = self.validate(sandbox).await.map(|_| v1::ValidateSandboxCreateResponse {});
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
        let outcome = self.create(sandbox).await.map(|()| v1::CreateSandboxResponse {});
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

    async fn stop_sandbox(&self, _: Request<v1::StopSandboxRequest>) -> Answer<v1::StopSandboxResponse> {
        Err(unavailable("StopSandbox"))
    }

    async fn start_sandbox(&self, _: Request<v1::StartSandboxRequest>) -> Answer<v1::StartSandboxResponse> {
        Err(unavailable("StartSandbox"))
    }

    async fn ensure_workspace(&self, _: Request<v1::EnsureWorkspaceRequest>) -> Answer<v1::EnsureWorkspaceResponse> {
        Err(unavailable("EnsureWorkspace"))
    }

    async fn delete_workspace(&self, _: Request<v1::DeleteWorkspaceRequest>) -> Answer<v1::DeleteWorkspaceResponse> {
        Err(unavailable("DeleteWorkspace"))
    }
}

fn unavailable(rpc: &str) -> Status {
    Status::unimplemented(format!("this driver has no {rpc} in workspace mode shared"))
}
