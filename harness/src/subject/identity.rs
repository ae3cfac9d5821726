//! What a subject says of itself, and what it has of later versions of the protocol than the one that is pinned here.
//!
//! A later version of the protocol is tolerated: its fields are skipped, its RPCs are not called by any scenario. That
//! the subject has them is noted, because it says what was not tested.

use std::time::Duration;

use http::uri::PathAndQuery;
use sandproof_protocol::v1::GetCapabilitiesRequest;
use sandproof_reports::ObservedSubject;
use tonic::{Code, Request, Status, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use super::connection::is_of_the_transport;

/// How long one of these calls may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// The capabilities as a later version of the protocol has them (upstream commit 0968f6fb3): fields 7 and 8 are new.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LaterCapabilities {
    #[prost(string, tag = "1")]
    pub(super) driver_name: String,
    #[prost(string, tag = "2")]
    pub(super) driver_version: String,
    #[prost(bool, optional, tag = "7")]
    pub(super) supports_sandbox_authentication: Option<bool>,
    #[prost(bool, optional, tag = "8")]
    pub(super) driver_reports_runtime_readiness: Option<bool>,
}

/// Asks a driver that answers; what it does not say is empty.
pub(super) async fn said(channel: Channel) -> ObservedSubject {
    let capabilities = call::<GetCapabilitiesRequest, LaterCapabilities>(
        channel.clone(),
        "/openshell.compute.v1.ComputeDriver/GetCapabilities",
        GetCapabilitiesRequest {},
    );
    // An empty request authenticates nobody; what counts is whether there is anybody to refuse it.
    let authenticate = call::<(), ()>(channel, "/openshell.compute.v1.ComputeDriver/AuthenticateSandbox", ());
    let (capabilities, authenticate) = tokio::join!(capabilities, authenticate);
    let capabilities = capabilities.unwrap_or_default();
    ObservedSubject {
        newer: newer(&capabilities, authenticate.map_err(|status| status.code())),
        name: capabilities.driver_name,
        version: capabilities.driver_version,
    }
}

/// What there is of later versions.
fn newer(capabilities: &LaterCapabilities, authenticate: Result<(), Code>) -> Vec<String> {
    let mut newer = Vec::new();
    let fields = [
        ("supports_sandbox_authentication", capabilities.supports_sandbox_authentication),
        ("driver_reports_runtime_readiness", capabilities.driver_reports_runtime_readiness),
    ];
    newer
        .extend(fields.into_iter().filter_map(|(field, value)| Some(format!("capabilities field {field}={}", value?))));
    let is_there = match authenticate {
        Ok(()) => true,
        Err(code) => code != Code::Unimplemented && code != Code::DeadlineExceeded && !is_of_the_transport(code),
    };
    if is_there {
        newer.push("RPC AuthenticateSandbox".to_owned());
    }
    newer
}

async fn call<Ask, Answer>(channel: Channel, path: &'static str, ask: Ask) -> Result<Answer, Status>
where
    Ask: prost::Message + 'static,
    Answer: prost::Message + Default + 'static,
{
    let mut grpc = Grpc::new(channel);
    let calling = async {
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let codec = ProstCodec::<Ask, Answer>::default();
        grpc.unary(Request::new(ask), PathAndQuery::from_static(path), codec).await
    };
    match tokio::time::timeout(DEADLINE, calling).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("no answer")),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use rstest::rstest;
    use sandproof_protocol::v1::GetCapabilitiesResponse;

    use super::*;

    #[rstest]
    #[case(Err(Code::Unimplemented), &[])]
    #[case(Err(Code::Unavailable), &[])]
    #[case(Err(Code::InvalidArgument), &["RPC AuthenticateSandbox"])]
    #[case(Ok(()), &["RPC AuthenticateSandbox"])]
    fn an_rpc_is_there_when_somebody_answers(#[case] answer: Result<(), Code>, #[case] expected: &[&str]) {
        assert_eq!(newer(&LaterCapabilities::default(), answer), expected);
    }

    #[test]
    fn later_capabilities_are_read_and_the_pinned_ones_skip_what_they_do_not_know() {
        let later = LaterCapabilities {
            driver_name: "kubernetes".to_owned(),
            driver_version: "9.9.9".to_owned(),
            supports_sandbox_authentication: Some(true),
            driver_reports_runtime_readiness: Some(false),
        };
        let bytes = later.encode_to_vec();
        let pinned = GetCapabilitiesResponse::decode(bytes.as_slice()).unwrap();
        assert_eq!((pinned.driver_name.as_str(), pinned.driver_version.as_str()), ("kubernetes", "9.9.9"));
        let read = LaterCapabilities::decode(bytes.as_slice()).unwrap();
        assert_eq!(
            newer(&read, Err(Code::Unimplemented)),
            [
                "capabilities field supports_sandbox_authentication=true",
                "capabilities field driver_reports_runtime_readiness=false",
            ]
        );
        let pinned = LaterCapabilities::decode(pinned.encode_to_vec().as_slice()).unwrap();
        assert_eq!(newer(&pinned, Err(Code::Unimplemented)), Vec::<String>::new());
    }
}
