use std::path::PathBuf;

use hyper_util::rt::TokioIo;
use sandproof_protocol::{ComputeDriverClient, v1};
use tokio::net::UnixStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::*;
use crate::config::{Listen, SandboxDefaults, WorkspaceMode};
use crate::fake_api_server::FakeApiServer;
use crate::faults::Faults;

async fn channel(path: PathBuf) -> Channel {
    let connector = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    // The authority is upstream's gateway's.
    Endpoint::from_static("http://[::]:50051").connect_with_connector(connector).await.unwrap()
}

fn driver(listen: Listen, stop: &CancellationToken) -> Driver {
    let config = Config {
        listen,
        gateway_id: "gate".to_owned(),
        workspaces: WorkspaceMode::Shared,
        managed_ssh: None,
        sandbox: SandboxDefaults::default(),
        faults: Faults::none(),
    };
    let client = FakeApiServer::with_namespaces(&["default"]).client();
    let layout = Layout::new(&config.workspaces, "gate", "default");
    let sandboxes = Arc::new(Sandboxes::new(client, layout, "default", "gate", Faults::none()));
    Driver::new(config, sandboxes, Arc::new(Feed::new(Faults::none())), stop.clone())
}

#[tokio::test]
async fn a_gateway_is_answered_over_a_unix_socket_until_the_stop() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("driver/driver.sock");
    let listen = Listen::Socket(path.clone());
    let stop = CancellationToken::new();
    let incoming = listener::reserve(&listen, &Faults::none()).unwrap().listen().unwrap();
    let serving = {
        let (driver, stop) = (driver(listen, &stop), stop.clone());
        tokio::spawn(async move { answer(driver, incoming, &stop).await })
    };
    let channel = channel(path.clone()).await;

    let mut client = ComputeDriverClient::new(channel.clone());
    let answer = client.get_capabilities(v1::GetCapabilitiesRequest {}).await.unwrap().into_inner();
    assert_eq!(answer.driver_name, "kubernetes");
    assert!(!answer.gateway_manages_lifecycle);
    let requirements = client.get_gateway_listener_requirements(v1::GetGatewayListenerRequirementsRequest {}).await;
    assert!(requirements.unwrap().into_inner().requirements.is_empty());

    let mut health = HealthClient::new(channel.clone());
    for service in ["", sandproof_protocol::SERVICE] {
        let status = health.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap().into_inner();
        assert_eq!(status.status(), ServingStatus::Serving, "{service:?}");
    }

    // An RPC of a later revision of the protocol is refused as such, and the connection lives on.
    let mut newer = tonic::client::Grpc::new(channel);
    newer.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<v1::GetCapabilitiesRequest, v1::GetCapabilitiesResponse>::default();
    let path_of_it = format!("/{}/AuthenticateSandbox", sandproof_protocol::SERVICE).parse().unwrap();
    let request = tonic::Request::new(v1::GetCapabilitiesRequest {});
    let refused = newer.unary(request, path_of_it, codec).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(client.get_capabilities(v1::GetCapabilitiesRequest {}).await.is_ok());

    stop.cancel();
    serving.await.unwrap().unwrap();
    assert!(!path.exists(), "the socket goes with the driver");
}
