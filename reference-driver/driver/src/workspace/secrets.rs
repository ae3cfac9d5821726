//! Copies of secrets: from the configured namespace into that of a workspace, with type and data as they are.

use std::fmt;

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::FIELD_MANAGER;
use crate::error::DriverError;
use crate::faults::Faults;
use crate::kubernetes::{call, code_of};
use crate::names;

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To pull images.
    ImagePull,
    /// To show to the gateway.
    ClientTls,
}

impl fmt::Display for Purpose {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ImagePull => "image-pull",
            Self::ClientTls => "client-TLS",
        })
    }
}

/// Copies secrets out of one namespace.
pub(super) struct Copies {
    client: Client,
    source: String,
    gateway_id: String,
    faults: Faults,
}

impl Copies {
    pub(super) fn new(client: Client, source: &str, gateway_id: &str, faults: Faults) -> Self {
        Self { client, source: source.to_owned(), gateway_id: gateway_id.to_owned(), faults }
    }

    /// Refuses if one of them does not exist; nothing is copied.
    pub(super) async fn require(&self, wanted: &[(Purpose, String)]) -> Result<(), DriverError> {
        try_join_all(wanted.iter().map(|(purpose, name)| self.read(*purpose, name))).await.map(drop)
    }

    /// Copies them; a copy that is there already becomes like the original again.
    pub(super) async fn copy(&self, wanted: &[(Purpose, String)], namespace: &str) -> Result<(), DriverError> {
        // The originals are there already.
        if namespace == self.source {
            return Ok(());
        }
        try_join_all(wanted.iter().map(|(purpose, name)| self.copy_one(*purpose, name, namespace))).await.map(drop)
    }

    async fn copy_one(&self, purpose: Purpose, name: &str, namespace: &str) -> Result<(), DriverError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        if self.faults.keeps_secret_copies() && call("get a secret", api.get_opt(name)).await?.is_some() {
            return Ok(());
        }
        let original = self.read(purpose, name).await?;
        let copy = copy_of(&original, name, namespace, &self.gateway_id, self.faults.copies_as_opaque());
        // Not forced: a secret of that name that somebody else made is not taken over.
        let applied =
            call("copy a secret", api.patch(name, &PatchParams::apply(FIELD_MANAGER), &Patch::Apply(&copy))).await;
        match applied {
            Ok(_) => Ok(()),
            Err(error) if code_of(&error) == Some(409) => {
                Err(DriverError::OwnedByAnother { what: format!("Secret {name}"), namespace: namespace.to_owned() })
            }
            // The type of a secret cannot change.
            Err(error) if code_of(&error) == Some(422) => {
                Err(DriverError::StaleCopy { secret: name.to_owned(), namespace: namespace.to_owned() })
            }
            Err(DriverError::Kubernetes { source, .. }) if matches!(&*source, kube::Error::Api(status) if status.code == 404) => {
                Err(DriverError::NamespaceGone {
                    namespace: namespace.to_owned(),
                    message: "a secret could not be copied into it".to_owned(),
                })
            }
            Err(error) => Err(error),
        }
    }

    async fn read(&self, purpose: Purpose, name: &str) -> Result<Secret, DriverError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.source);
        call("read a secret to copy", api.get_opt(name)).await?.ok_or_else(|| DriverError::MissingSecret {
            purpose,
            secret: name.to_owned(),
            namespace: self.source.clone(),
        })
    }
}

/// The copy as it is applied: type and data of the original, and labels that say whose it is.
fn copy_of(original: &Secret, name: &str, namespace: &str, gateway_id: &str, opaque: bool) -> Value {
    let kind = original.type_.as_deref().filter(|_| !opaque).unwrap_or("Opaque");
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": { (names::MANAGED_BY_LABEL): names::MANAGED_BY, (names::GATEWAY_ID_LABEL): gateway_id },
        },
        "type": kind,
        "data": original.data.clone().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_and_data_are_kept() {
        let original: Secret = serde_json::from_value(json!({
            "metadata": { "name": "a", "namespace": "source", "annotations": { "private": "yes" } },
            "type": "kubernetes.io/dockerconfigjson",
            "data": { ".dockerconfigjson": "e30=" },
        }))
        .unwrap();
        let copy = copy_of(&original, "a", "openshell-g-team", "g", false);
        assert_eq!(copy["type"], "kubernetes.io/dockerconfigjson");
        assert_eq!(copy["data"], json!({ ".dockerconfigjson": "e30=" }));
        assert_eq!(copy["metadata"]["labels"]["openshell.ai/managed-by"], "openshell");
        assert!(copy["metadata"].get("annotations").is_none());
    }
}
