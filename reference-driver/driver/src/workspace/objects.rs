//! What is in the namespace of a workspace beside sandboxes and copied secrets: the service account, and the way in for SSH.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::FIELD_MANAGER;
use super::namespace::Owner;
use super::secrets::Purpose;
use crate::config::{Config, ManagedSsh};
use crate::error::DriverError;
use crate::kubernetes::{call, code_of};
use crate::names;

/// The name of the NetworkPolicy (upstream's).
const SSH_POLICY: &str = "openshell-sandbox-ssh";
/// The port that the supervisor takes SSH on (upstream's).
const SSH_PORT: u16 = 2222;
/// The label with a namespace's name that every namespace has since Kubernetes 1.22.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// What is made in a workspace's namespace.
pub(super) struct WorkspaceObjects {
    client: Client,
    gateway_id: String,
    service_account: String,
    ssh: Option<ManagedSsh>,
    pull_secrets: Vec<String>,
    tls_secret: Option<String>,
}

impl WorkspaceObjects {
    pub(super) fn new(client: Client, config: &Config) -> Self {
        Self {
            client,
            gateway_id: config.gateway_id.clone(),
            service_account: config.sandbox.service_account.clone(),
            ssh: config.managed_ssh.clone(),
            pull_secrets: config.sandbox.image_pull_secrets.clone(),
            tls_secret: config.sandbox.pod.client_tls_secret.clone(),
        }
    }

    /// The secrets that are copied into a workspace's namespace.
    pub(super) fn secrets(&self, pull_secrets: bool) -> Vec<(Purpose, String)> {
        let pull = self.pull_secrets.iter().filter(|_| pull_secrets).map(|name| (Purpose::ImagePull, name.clone()));
        let tls = self.tls_secret.iter().map(|name| (Purpose::ClientTls, name.clone()));
        pull.chain(tls).collect()
    }

    /// Makes what is missing.
    pub(super) async fn ensure(&self, namespace: &str, owner: &Owner) -> Result<(), DriverError> {
        tokio::try_join!(self.ensure_service_account(namespace, owner), self.ensure_ssh(namespace, owner)).map(drop)
    }

    /// Without its service account no pod is admitted; Kubernetes makes `default` too, but later.
    async fn ensure_service_account(&self, namespace: &str, owner: &Owner) -> Result<(), DriverError> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let mut account = ServiceAccount::default();
        account.metadata.name = Some(self.service_account.clone());
        account.metadata.labels = Some(owner.labels());
        match call("create the workspace's service account", api.create(&PostParams::default(), &account)).await {
            Err(error) if code_of(&error) != Some(409) => Err(error),
            _ => Ok(()),
        }
    }

    async fn ensure_ssh(&self, namespace: &str, owner: &Owner) -> Result<(), DriverError> {
        let Some(ssh) = &self.ssh else {
            return Ok(());
        };
        let api: Api<NetworkPolicy> = Api::namespaced(self.client.clone(), namespace);
        let policy = policy(namespace, &self.gateway_id, ssh, owner);
        let parameters = PatchParams::apply(FIELD_MANAGER);
        let applied =
            call("apply the workspace's NetworkPolicy", api.patch(SSH_POLICY, &parameters, &Patch::Apply(&policy)))
                .await;
        match applied {
            Ok(_) => Ok(()),
            Err(error) if code_of(&error) == Some(409) => Err(DriverError::OwnedByAnother {
                what: format!("NetworkPolicy {SSH_POLICY}"),
                namespace: namespace.to_owned(),
            }),
            Err(error) => Err(error),
        }
    }
}

/// Lets the gateway's pods reach the SSH port of sandboxes, and nobody else reach anything of them.
fn policy(namespace: &str, gateway_id: &str, ssh: &ManagedSsh, owner: &Owner) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "name": SSH_POLICY, "namespace": namespace, "labels": owner.labels() },
        "spec": {
            // These labels are on the pods themselves, not only on their Sandboxes.
            "podSelector": { "matchLabels": {
                (names::MANAGED_BY_LABEL): names::MANAGED_BY,
                (names::GATEWAY_ID_LABEL): gateway_id,
            } },
            "policyTypes": ["Ingress"],
            "ingress": [{
                "from": [{
                    "namespaceSelector": { "matchLabels": { (NAMESPACE_NAME_LABEL): ssh.gateway_namespace } },
                    "podSelector": { "matchLabels": ssh.gateway_pod_selector },
                }],
                "ports": [{ "protocol": "TCP", "port": SSH_PORT }],
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_selects_sandboxes_and_lets_the_gateway_in() {
        let ssh = ManagedSsh {
            gateway_namespace: "gate".to_owned(),
            gateway_pod_selector: [("app".to_owned(), "gateway".to_owned())].into(),
        };
        let owner = Owner { gateway_id: "g".to_owned(), workspace: "team".to_owned(), omits_gateway: false };
        insta::assert_json_snapshot!(policy("openshell-g-team", "g", &ssh, &owner)["spec"], @r#"
        {
          "ingress": [
            {
              "from": [
                {
                  "namespaceSelector": {
                    "matchLabels": {
                      "kubernetes.io/metadata.name": "gate"
                    }
                  },
                  "podSelector": {
                    "matchLabels": {
                      "app": "gateway"
                    }
                  }
                }
              ],
              "ports": [
                {
                  "port": 2222,
                  "protocol": "TCP"
                }
              ]
            }
          ],
          "podSelector": {
            "matchLabels": {
              "openshell.ai/gateway-id": "g",
              "openshell.ai/managed-by": "openshell"
            }
          },
          "policyTypes": [
            "Ingress"
          ]
        }
        "#);
    }
}
