//! When a new cluster takes pods.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::{Api, Client, runtime::wait::await_condition};

use crate::{failure::Failure, scene::Stage};

/// How long a node may take to take pods.
const NODE_DEADLINE: Duration = Duration::from_secs(90);

/// Waits until the node takes pods.
pub(super) async fn schedulable(client: &Client, stage: &Stage) -> Result<(), Failure> {
    let name = node_name(client).await?;
    let ready = |node: Option<&Node>| {
        node.is_some_and(|node| {
            let tainted = node
                .spec
                .as_ref()
                .and_then(|spec| spec.taints.as_ref())
                .is_some_and(|taints| taints.iter().any(|taint| taint.effect != "PreferNoSchedule"));
            let ready = node.status.as_ref().and_then(|status| status.conditions.as_ref()).is_some_and(|conditions| {
                conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
            });
            ready && !tainted
        })
    };
    let api: Api<Node> = Api::all(client.clone());
    let waiting = tokio::time::timeout(NODE_DEADLINE, await_condition(api.clone(), &name, ready));
    let outcome = tokio::select! {
        outcome = waiting => outcome,
        () = stage.halt.cancelled() => {
            return Err(Failure::environment("wait for the node", stage.broken().unwrap_or_else(|| "the run ends".to_owned())));
        }
    };
    match outcome {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::environment("watch the node", error)),
        Err(_) => {
            let node = api.get_opt(&name).await.ok().flatten();
            let conditions = node.and_then(|node| node.status).and_then(|status| status.conditions).unwrap_or_default();
            let said: Vec<String> = conditions
                .iter()
                .filter(|condition| condition.type_ == "Ready")
                .map(|condition| condition.message.clone().unwrap_or_default())
                .collect();
            Err(Failure::environment(
                "get a node that takes pods",
                format!("node {name} was not ready within {} s: {}", NODE_DEADLINE.as_secs(), said.join("; ")),
            ))
        }
    }
}

/// Pods need the account that the controller manager makes for each namespace.
pub(super) async fn default_account(client: &Client, namespace: &str) -> Result<(), Failure> {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let exists = |account: Option<&ServiceAccount>| account.is_some();
    match tokio::time::timeout(NODE_DEADLINE, await_condition(api, "default", exists)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::environment("watch for the default service account", error)),
        Err(_) => Err(Failure::environment("start pods", "the controller manager made no default service account")),
    }
}

/// The node registers under a name that the provider chose.
pub(super) async fn node_name(client: &Client) -> Result<String, Failure> {
    use kube::runtime::{WatchStreamExt, watcher};
    let tried = "wait for the node to register";
    let nodes =
        watcher(Api::<Node>::all(client.clone()), watcher::Config::default()).default_backoff().applied_objects();
    let mut nodes = std::pin::pin!(nodes);
    let first = async {
        loop {
            match nodes.next().await {
                Some(Ok(node)) => return node.metadata.name.unwrap_or_default(),
                // The watcher backs off and lists again by itself.
                Some(Err(_)) => {}
                None => return String::new(),
            }
        }
    };
    match tokio::time::timeout(NODE_DEADLINE, first).await {
        Ok(name) if !name.is_empty() => Ok(name),
        _ => Err(Failure::environment(tried, format!("no node within {} s", NODE_DEADLINE.as_secs()))),
    }
}
