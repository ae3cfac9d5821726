//! The way to a driver: through a port-forward to its pod, or over its Unix socket.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use sandproof_protocol::v1::compute_driver_client::ComputeDriverClient;
use thiserror::Error;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

use super::reference::Address;

/// How long the driver may take from its start to its first answer.
pub(super) const CONNECT_DEADLINE: Duration = Duration::from_secs(20);

/// Between two attempts: neither a TCP port nor a socket has anything to watch.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);

/// How long a driver that runs already may take to its first answer.
const ONCE_DEADLINE: Duration = Duration::from_secs(5);

/// How long one call may take.
const CALL_DEADLINE: Duration = sandproof_scenarios::time_limits::CALL;

/// Why a driver could not be reached.
#[derive(Debug, Error)]
#[error("the driver does not answer on {place} within {} s: {found}", CONNECT_DEADLINE.as_secs())]
pub(crate) struct Unreachable {
    place: String,
    found: String,
}

/// Connects to the driver in a pod, trying again until it answers.
pub(super) async fn to_pod(api: &Api<Pod>, pod: &str, port: u16) -> Result<Channel, Unreachable> {
    let place = format!("port {port} of pod {pod}");
    until_it_answers(place, || forwarded(api, pod, port)).await
}

/// Connects to the driver behind a Unix socket, trying again until it answers.
pub(super) async fn to_socket(socket: &Utf8Path) -> Result<Channel, Unreachable> {
    until_it_answers(format!("the socket {socket}"), || local(socket)).await
}

/// Connects to a driver that runs already, trying again until it answers.
pub(super) async fn to_address(address: &Address) -> Result<Channel, Unreachable> {
    until_it_answers(address.to_string(), || dialled(address)).await
}

/// Connects to a driver that runs already, at the first attempt or not at all.
pub(super) async fn once(address: &Address) -> Result<Channel, String> {
    let attempt = async { answers(dialled(address).await?).await };
    match tokio::time::timeout(ONCE_DEADLINE, attempt).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no answer within {} s", ONCE_DEADLINE.as_secs())),
    }
}

async fn until_it_answers<Attempt>(place: String, attempt: impl Fn() -> Attempt) -> Result<Channel, Unreachable>
where
    Attempt: Future<Output = Result<Channel, String>>,
{
    let end = tokio::time::Instant::now() + CONNECT_DEADLINE;
    loop {
        let outcome = match attempt().await {
            Ok(channel) => answers(channel).await,
            Err(found) => Err(found),
        };
        let found = match outcome {
            Ok(channel) => return Ok(channel),
            Err(found) => found,
        };
        if tokio::time::Instant::now() >= end {
            return Err(Unreachable { place, found });
        }
        tokio::time::sleep(CONNECT_PAUSE).await;
    }
}

async fn forwarded(api: &Api<Pod>, pod: &str, port: u16) -> Result<Channel, String> {
    let connector = {
        let api = api.clone();
        let pod = pod.to_owned();
        tower::service_fn(move |_: Uri| {
            let api = api.clone();
            let pod = pod.clone();
            async move {
                let mut forwarder = api.portforward(&pod, &[port]).await.map_err(std::io::Error::other)?;
                let stream = forwarder
                    .take_stream(port)
                    .ok_or_else(|| std::io::Error::other("the port-forward has no stream"))?;
                // The forwarder's task ends with the stream; detaching it keeps the stream open.
                tokio::spawn(async move {
                    let _ = forwarder.join().await;
                });
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        })
    };
    endpoint("http://driver.loopback").connect_with_connector(connector).await.map_err(|error| chain(&error))
}

async fn dialled(address: &Address) -> Result<Channel, String> {
    match address {
        Address::Socket(path) => local(path).await,
        Address::Http(address) => {
            let endpoint = Endpoint::from_shared(address.clone()).map_err(|error| chain(&error))?;
            endpoint.timeout(CALL_DEADLINE).connect().await.map_err(|error| chain(&error))
        }
    }
}

async fn local(socket: &Utf8Path) -> Result<Channel, String> {
    let socket: Utf8PathBuf = socket.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket.as_std_path()).await.map(TokioIo::new) }
    });
    // The authority that the upstream gateway dials.
    endpoint("http://[::]:50051").connect_with_connector(connector).await.map_err(|error| chain(&error))
}

fn endpoint(authority: &'static str) -> Endpoint {
    Endpoint::from_static(authority).timeout(CALL_DEADLINE)
}

/// A forwarded connection opens before the driver listens: only an answer counts.
async fn answers(channel: Channel) -> Result<Channel, String> {
    let mut client = ComputeDriverClient::new(channel.clone());
    match client.get_capabilities(sandproof_protocol::v1::GetCapabilitiesRequest {}).await {
        Err(status) if is_of_the_transport(status.code()) => Err(status.to_string()),
        // Any other status came from the driver itself.
        Ok(_) | Err(_) => Ok(channel),
    }
}

/// Codes that the client itself gives to a broken connection: the driver may not have said anything.
pub(super) fn is_of_the_transport(code: tonic::Code) -> bool {
    matches!(code, tonic::Code::Unavailable | tonic::Code::Unknown | tonic::Code::Internal | tonic::Code::Cancelled)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
