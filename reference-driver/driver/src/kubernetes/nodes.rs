//! Whether any node has a GPU to give.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::call;
use crate::error::DriverError;

const GPU: &str = "nvidia.com/gpu";
/// How long it holds that a node has one. That none has is asked again each time, because one may just have joined.
const VALIDITY: Duration = Duration::from_secs(10);

/// Finds out for all concurrent callers whether a node has a GPU.
#[derive(Debug, Default)]
pub(crate) struct Gpus {
    // Held while the cluster is asked, so that concurrent callers wait for one answer.
    seen: Mutex<Option<Instant>>,
}

impl Gpus {
    /// Refuses unless some node has an allocatable GPU.
    pub(crate) async fn require(&self, client: &Client) -> Result<(), DriverError> {
        let mut seen = self.seen.lock().await;
        if seen.is_some_and(|seen| seen.elapsed() < VALIDITY) {
            return Ok(());
        }
        let nodes: Api<Node> = Api::all(client.clone());
        let listed = call("list nodes", nodes.list(&ListParams::default())).await?;
        if listed.items.iter().any(has_gpu) {
            *seen = Some(Instant::now());
            Ok(())
        } else {
            Err(DriverError::NoGpu)
        }
    }
}

fn has_gpu(node: &Node) -> bool {
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    allocatable.and_then(|resources| resources.get(GPU)).is_some_and(|quantity| quantity.0 != "0")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[rstest]
    #[case::some(json!({ "allocatable": { "nvidia.com/gpu": "1" } }), true)]
    #[case::none_left(json!({ "allocatable": { "nvidia.com/gpu": "0" } }), false)]
    #[case::not_yet_allocatable(json!({ "capacity": { "nvidia.com/gpu": "1" } }), false)]
    #[case::no_status(Value::Null, false)]
    fn what_is_allocatable_counts(#[case] status: Value, #[case] expected: bool) {
        let node: Node = serde_json::from_value(json!({ "metadata": { "name": "n" }, "status": status })).unwrap();
        assert_eq!(has_gpu(&node), expected);
    }
}
