//! Where a registry has to listen so that nodes reach it, found by trying.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
    runtime::wait::await_condition,
};
use serde_json::json;

use super::{ExistingError, PLAIN_PORT, SECURE_PORT, Survey};
use crate::provider::{NodeRegistry, RegistryAccess, RegistryPlace};

/// How long one pull of the trial may take. A runtime gives up on an address that nobody answers for after 30 s.
const TRIAL: Duration = Duration::from_secs(45);

/// Nodes on which pulls are tried; a cluster's nodes are configured alike.
const NODES: usize = 4;

/// Where registries can listen, most promising first: the addresses from which this host reaches the nodes.
pub(super) fn places(survey: &Survey, wanted: Option<IpAddr>) -> Result<Vec<RegistryPlace>, ExistingError> {
    let addresses = wanted.map_or_else(|| sources(survey), |wanted| vec![wanted]);
    if addresses.is_empty() {
        return Err(ExistingError::NoAddress { context: survey.context.name.clone() });
    }
    let place = |address| RegistryPlace { address, plain_port: PLAIN_PORT, secure_port: SECURE_PORT };
    Ok(addresses.into_iter().map(place).collect())
}

/// The addresses of this host from which it reaches the nodes, the one for most of them first.
fn sources(survey: &Survey) -> Vec<IpAddr> {
    let nodes = survey.nodes.iter().filter_map(|node| node.address).chain(survey.hosts.iter().copied());
    // Where nothing is known of the nodes, the API server is the best guess.
    let unknown = survey.nodes.is_empty() && survey.hosts.is_empty();
    let server = unknown.then(|| host(&survey.context.server)).flatten();
    let mut counted: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for source in nodes.chain(server).filter_map(source_towards).filter(|source| !source.is_loopback()) {
        *counted.entry(source).or_default() += 1;
    }
    let mut sources: Vec<(IpAddr, usize)> = counted.into_iter().collect();
    sources.sort_by_key(|(_, nodes)| std::cmp::Reverse(*nodes));
    sources.into_iter().map(|(address, _)| address).collect()
}

/// The address of this host that packets to `target` would come from. Nothing is sent.
fn source_towards(target: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if target.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // The port does not matter: connecting a datagram socket chooses a route and no more.
    socket.connect(SocketAddr::new(target, 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// The address in an API server's URL, where it is one.
fn host(server: &str) -> Option<IpAddr> {
    let authority = server.split("://").nth(1)?.split('/').next()?;
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host.trim_matches(['[', ']']).parse().ok()
}

/// What became of one pull.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pulled {
    Yes,
    No(String),
}

/// Lets nodes pull `image` (a repository with a tag) from each registry; says which of them they can use.
pub(super) async fn try_pulls(
    client: &Client,
    namespace: &str,
    nodes: &[String],
    registries: &[NodeRegistry],
    image: &str,
) -> RegistryAccess {
    let trials = registries.iter().enumerate().map(|(position, registry)| async move {
        let targets: Vec<Option<&String>> =
            if nodes.is_empty() { vec![None] } else { nodes.iter().take(NODES).map(Some).collect() };
        let pulls = targets.into_iter().enumerate().map(|(number, node)| async move {
            let name = format!("registry-trial-{position}-{number}");
            let reference = format!("{}/{image}", registry.address);
            let pulled = pull(client, namespace, &name, node, &reference).await;
            (node, pulled)
        });
        let refusal = join_all(pulls).await.into_iter().find_map(|(node, pulled)| match pulled {
            Pulled::Yes => None,
            Pulled::No(why) => Some(node.map_or_else(|| why.clone(), |node| format!("on node {node}: {why}"))),
        });
        (registry, refusal)
    });
    let tried = join_all(trials).await;
    let of = |secure: bool| {
        let kind = || tried.iter().filter(move |(registry, _)| registry.ca_pem.is_some() == secure);
        if let Some((registry, _)) = kind().find(|(_, refusal)| refusal.is_none()) {
            return Ok(registry.address.clone());
        }
        let refusals =
            kind().filter_map(|(registry, refusal)| Some(format!("{}: {}", registry.address, refusal.as_ref()?)));
        Err(refusals.collect::<Vec<_>>().join("; "))
    };
    RegistryAccess { plain: of(false), secure: of(true) }
}

/// One pod that needs an image; it is gone afterwards.
async fn pull(client: &Client, namespace: &str, name: &str, node: Option<&String>, image: &str) -> Pulled {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut pod = json!({
        "metadata": { "name": name },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "containers": [{ "name": "trial", "image": image, "imagePullPolicy": "Always" }],
        },
    });
    if let Some(node) = node {
        // A selector and not a name, so that the scheduler still looks whether the node takes it.
        pod["spec"]["affinity"] = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [node] }] }],
        }}});
    }
    let created = match serde_json::from_value(pod) {
        Ok(pod) => api.create(&PostParams::default(), &pod).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(why) = created {
        return Pulled::No(format!("the pod of the trial was refused: {why}"));
    }
    let decided = |pod: Option<&Pod>| pod.and_then(outcome).is_some();
    let waited = tokio::time::timeout(TRIAL, await_condition(api.clone(), name, decided)).await;
    let pulled = match waited {
        Ok(Ok(pod)) => match pod.as_ref().and_then(outcome) {
            Some(Pulled::No(why)) => Pulled::No(in_full(client, namespace, name, why).await),
            Some(Pulled::Yes) => Pulled::Yes,
            None => Pulled::No("the pod of the trial was deleted by somebody".to_owned()),
        },
        Ok(Err(error)) => Pulled::No(format!("cannot watch the pod of the trial: {error}")),
        Err(_) => Pulled::No(in_full(client, namespace, name, format!("no answer within {} s", TRIAL.as_secs())).await),
    };
    let _ = api.delete(name, &DeleteParams::default().grace_period(0)).await;
    pulled
}

/// Whether the image came, as far as the pod's status decides it.
fn outcome(pod: &Pod) -> Option<Pulled> {
    let status = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    let state = status.state.as_ref()?;
    if state.running.is_some() || state.terminated.is_some() {
        return Some(Pulled::Yes);
    }
    let waiting = state.waiting.as_ref()?;
    let reason = waiting.reason.clone().unwrap_or_default();
    let message = waiting.message.clone().unwrap_or_default();
    match reason.as_str() {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "RegistryUnavailable" => {
            Some(Pulled::No(format!("{reason}: {message}")))
        }
        // The image came, and the runtime stumbles over something else.
        "CreateContainerError" | "RunContainerError" | "CrashLoopBackOff" => Some(Pulled::Yes),
        _ => None,
    }
}

/// The refusal with what events say of it: a status that only backs off has lost the runtime's words.
async fn in_full(client: &Client, namespace: &str, name: &str, why: String) -> String {
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let Ok(listed) = events.list(&ListParams::default()).await else { return why };
    let said = listed.items.into_iter().filter(|event| event.involved_object.name.as_deref() == Some(name));
    let said = said.filter_map(|event| {
        let reason = event.reason.clone().unwrap_or_default();
        let message = event.message.clone()?;
        let telling = matches!(reason.as_str(), "Failed" | "FailedScheduling" | "FailedCreatePodSandBox");
        (telling && message.len() > "Error: ImagePullBackOff".len()).then_some((event.name_any(), message))
    });
    match said.max_by_key(|(_, message)| message.len()) {
        Some((_, message)) if !why.contains(&message) => message,
        _ => why,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::Value;

    use super::*;

    #[rstest]
    #[case("https://192.0.2.1:6443", Some("192.0.2.1"))]
    #[case("https://[2001:db8::1]:6443/path", Some("2001:db8::1"))]
    #[case("https://192.0.2.1", Some("192.0.2.1"))]
    #[case("https://api.example.com:6443", None)]
    fn the_host_of_a_server_is_an_address_or_not(#[case] server: &str, #[case] expected: Option<&str>) {
        assert_eq!(host(server), expected.map(|address| address.parse().unwrap()));
    }

    #[test]
    fn a_route_has_a_source() {
        assert_eq!(source_towards("127.0.0.1".parse().unwrap()), Some("127.0.0.1".parse().unwrap()));
    }

    #[rstest]
    #[case(json!({"running": {}}), Some(Pulled::Yes))]
    #[case(json!({"terminated": {"exitCode": 1}}), Some(Pulled::Yes))]
    #[case(json!({"waiting": {"reason": "ContainerCreating"}}), None)]
    #[case(json!({"waiting": {"reason": "CreateContainerError", "message": "x"}}), Some(Pulled::Yes))]
    #[case(
        json!({"waiting": {"reason": "ErrImagePull", "message": "x509: unknown authority"}}),
        Some(Pulled::No("ErrImagePull: x509: unknown authority".to_owned()))
    )]
    fn a_status_decides_about_a_pull(#[case] state: Value, #[case] expected: Option<Pulled>) {
        let pod = json!({
            "metadata": {"name": "trial"},
            "status": {"containerStatuses": [{
                "name": "trial", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state,
            }]},
        });
        assert_eq!(outcome(&serde_json::from_value(pod).unwrap()), expected);
    }
}
