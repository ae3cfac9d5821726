//! The way to a driver in the cluster: its loopback address, through a port-forward.

use std::time::Duration;

use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use sandproof_protocol::v1::compute_driver_client::ComputeDriverClient;
use thiserror::Error;
use tonic::transport::{Channel, Endpoint, Uri};

/// The driver's port on its loopback address.
const PORT: u16 = 50061;

/// How long the driver may take from its container's start to its first answer.
const CONNECT_DEADLINE: Duration = Duration::from_secs(20);

/// Between two attempts: a TCP port has nothing to watch.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);

/// How long one call may take.
const CALL_DEADLINE: Duration = Duration::from_secs(40);

/// Why a driver could not be reached.
#[derive(Debug, Error)]
#[error("the driver in pod {namespace}/{pod} does not answer on port {PORT} within {} s: {found}", CONNECT_DEADLINE.as_secs())]
pub(crate) struct Unreachable {
    namespace: String,
    pod: String,
    found: String,
}

/// Connects to the driver in `pod`, trying again until it listens.
pub(crate) async fn connect(
    client: Client,
    namespace: &str,
    pod: &str,
) -> Result<ComputeDriverClient<Channel>, Unreachable> {
    let api: Api<Pod> = Api::namespaced(client, namespace);
    let end = tokio::time::Instant::now() + CONNECT_DEADLINE;
    loop {
        let found = match attempt(&api, pod).await {
            Ok(channel) => return Ok(ComputeDriverClient::new(channel)),
            Err(found) => found,
        };
        if tokio::time::Instant::now() >= end {
            return Err(Unreachable { namespace: namespace.to_owned(), pod: pod.to_owned(), found });
        }
        tokio::time::sleep(CONNECT_PAUSE).await;
    }
}

async fn attempt(api: &Api<Pod>, pod: &str) -> Result<Channel, String> {
    let connector = {
        let api = api.clone();
        let pod = pod.to_owned();
        tower::service_fn(move |_: Uri| {
            let api = api.clone();
            let pod = pod.clone();
            async move {
                let mut forwarder = api.portforward(&pod, &[PORT]).await.map_err(std::io::Error::other)?;
                let stream = forwarder
                    .take_stream(PORT)
                    .ok_or_else(|| std::io::Error::other("the port-forward has no stream"))?;
                // The forwarder's task ends with the stream; detaching it keeps the stream open.
                tokio::spawn(async move {
                    let _ = forwarder.join().await;
                });
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        })
    };
    let channel = Endpoint::from_static("http://driver.loopback")
        .timeout(CALL_DEADLINE)
        .connect_with_connector(connector)
        .await
        .map_err(|error| chain(&error))?;
    // The forwarded connection opens before the driver listens: only an answer counts.
    let mut client = ComputeDriverClient::new(channel.clone());
    match client.get_capabilities(sandproof_protocol::v1::GetCapabilitiesRequest {}).await {
        Err(status) if is_of_the_transport(status.code()) => Err(status.to_string()),
        // Any other status came from the driver itself.
        Ok(_) | Err(_) => Ok(channel),
    }
}

/// Codes that the client itself gives to a broken connection: the driver may not have said anything.
fn is_of_the_transport(code: tonic::Code) -> bool {
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
