//! `preload`: an image comes onto the node through the runtime itself, so that the kubelet knows nothing of its pull.

mod wire;

use std::time::Duration;

use camino::Utf8Path;
use hyper_util::rt::TokioIo;
use sandproof_clusters::provider::NodeAccess;
use sandproof_scenarios::{PreloadStep, time_limits};
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tonic::{
    client::Grpc,
    transport::{Channel, Endpoint, Uri},
};

use self::wire::{ImageCodec, Pull};
use super::StepError;
use crate::scene::Scene;

/// How long the pull of one small image may take.
const PULL_DEADLINE: Duration = time_limits::NODE_PULL;

/// The method of the container runtime interface.
const PULL_IMAGE: &str = "/runtime.v1.ImageService/PullImage";

/// Pulls an image with the runtime's own interface.
pub(super) async fn image(scene: &mut Scene, step: &PreloadStep) -> Result<Value, StepError> {
    let user = step.user.as_deref().map(|name| scene.user(name));
    let reference =
        scene.images.get(&step.image).map(|image| image.reference.clone()).ok_or_else(|| {
            StepError::environment("preload an image", format!("no image `{}` was pushed", step.image))
        })?;
    let tried = format!("pull {reference} through the runtime");
    let pull = Pull { image: reference, credentials: user.map(|user| (user.login, user.password)) };
    let pulled = async {
        let socket = match &scene.stage.node_access {
            NodeAccess::Runtime { socket, .. } => socket,
            NodeAccess::None { reason } => return Err(reason.clone()),
        };
        let channel = connect(socket).await.map_err(|error| error.to_string())?;
        let mut client = Grpc::new(channel);
        client.ready().await.map_err(|error| error.to_string())?;
        let answer =
            client.unary(tonic::Request::new(pull), http::uri::PathAndQuery::from_static(PULL_IMAGE), ImageCodec);
        answer.await.map(tonic::Response::into_inner).map_err(|status| status.message().to_owned())
    };
    match tokio::time::timeout(PULL_DEADLINE, pulled).await {
        Ok(Ok(image)) => Ok(json!({ "image": image })),
        Ok(Err(found)) => Err(StepError::environment(tried, found)),
        Err(_) => Err(StepError::environment(tried, format!("no answer within {} s", PULL_DEADLINE.as_secs()))),
    }
}

async fn connect(socket: &Utf8Path) -> Result<Channel, tonic::transport::Error> {
    let socket = socket.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://runtime.loopback").connect_with_connector(connector).await
}
