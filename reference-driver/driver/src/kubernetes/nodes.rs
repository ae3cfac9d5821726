//! Whether any node has a GPU to give.

use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client};

use super::call;
use crate::error::DriverError;

const GPU: &str = "nvidia.com/gpu";

/// Refuses unless some node has an allocatable GPU.
pub(crate) async fn require_gpu(client: &Client) -> Result<(), DriverError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let listed = call("list nodes", nodes.list(&ListParams::default())).await?;
    let has_gpu = |node: &Node| {
        let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
        allocatable.and_then(|resources| resources.get(GPU)).is_some_and(|quantity| quantity.0 != "0")
    };
    if listed.items.iter().any(has_gpu) { Ok(()) } else { Err(DriverError::NoGpu) }
}
