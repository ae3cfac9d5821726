//! The API server, as far as this driver needs it.

mod image_volume;
mod nodes;
mod sandboxes;

use std::time::Duration;

use kube::{Client, Config};
use tokio::time::timeout;

pub(crate) use image_volume::{Dropper, ImageVolumeProbe};
pub(crate) use nodes::Gpus;
pub(crate) use sandboxes::Sandboxes;

use crate::error::DriverError;

/// How long one call to the API server may take (upstream's value).
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// Neither the pod's service account nor a kubeconfig says where the API server is.
    #[error("found no cluster: not in a cluster ({in_cluster}), and no usable kubeconfig ({kubeconfig})")]
    NoConfig {
        /// Why the service account does not do.
        in_cluster: kube::config::InClusterError,
        /// Why no kubeconfig does.
        kubeconfig: Box<kube::config::InferConfigError>,
    },
    /// The configuration was found but no client can be built from it.
    #[error("could not build a Kubernetes client: {0}")]
    Client(Box<kube::Error>),
}

/// A client from the pod's service account, or else from the kubeconfig in the environment.
pub(crate) async fn connect() -> Result<Client, ConnectError> {
    let config = match Config::incluster() {
        Ok(config) => config,
        Err(in_cluster) => Config::infer()
            .await
            .map_err(|kubeconfig| ConnectError::NoConfig { in_cluster, kubeconfig: Box::new(kubeconfig) })?,
    };
    Client::try_from(config).map_err(|error| ConnectError::Client(Box::new(error)))
}

/// One call with the deadline every call has.
pub(crate) async fn call<T>(
    action: &'static str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, DriverError> {
    match timeout(DEADLINE, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(DriverError::Kubernetes { action, source: Box::new(source) }),
        Err(_) => Err(DriverError::Timeout { action }),
    }
}

/// The HTTP status of an API error, if it is one.
pub(crate) fn code_of(error: &DriverError) -> Option<u16> {
    match error {
        DriverError::Kubernetes { source, .. } => match source.as_ref() {
            kube::Error::Api(status) => Some(status.code),
            _ => None,
        },
        _ => None,
    }
}

/// Whether the API itself is missing, rather than one object of it.
pub(crate) fn is_missing_api(error: &kube::Error) -> bool {
    match error {
        // A missing object is named in the details; a missing API is answered with a bare page.
        kube::Error::Api(status) => {
            status.code == 404 && status.details.as_ref().is_none_or(|details| details.name.is_empty())
        }
        _ => false,
    }
}
