//! The namespace of a workspace in mode `managed`: made by this driver, known by its labels, and deleted by it alone.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Client};

use crate::error::DriverError;
use crate::kubernetes::{call, code_of};
use crate::names::{GATEWAY_ID_LABEL, MANAGED_BY, MANAGED_BY_LABEL, SANDBOX_WORKSPACE_LABEL};

/// To whom a namespace belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    /// The gateway.
    pub(super) gateway_id: String,
    /// Its workspace.
    pub(super) workspace: String,
    /// Whether nothing says which gateway it is; a fault.
    pub(super) omits_gateway: bool,
}

impl Owner {
    /// The labels that say so; all of them must be there.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let labels = [
            (MANAGED_BY_LABEL, MANAGED_BY),
            (GATEWAY_ID_LABEL, &self.gateway_id),
            (SANDBOX_WORKSPACE_LABEL, &self.workspace),
        ];
        let said = labels.into_iter().filter(|(key, _)| !self.omits_gateway || *key != GATEWAY_ID_LABEL);
        said.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// Why a namespace is not this owner's, or nothing if it is.
    fn objection(&self, namespace: &Namespace) -> Option<String> {
        let found = namespace.metadata.labels.clone().unwrap_or_default();
        let (key, wanted) = self.labels().into_iter().find(|(key, value)| found.get(key) != Some(value))?;
        Some(match found.get(&key) {
            None => format!("it has no label {key}={wanted}"),
            Some(other) => format!("its label {key} is {other:?} and not {wanted:?}"),
        })
    }
}

/// Makes the namespace; one that is there is used only if it is this owner's.
pub(super) async fn ensure(client: &Client, name: &str, owner: &Owner, adopts: bool) -> Result<(), DriverError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let Some(found) = get(&api, name).await? else {
        let namespace = object(name, owner);
        return match call("create the workspace's namespace", api.create(&PostParams::default(), &namespace)).await {
            Ok(_) => {
                tracing::info!(namespace = name, workspace = owner.workspace, "made the workspace's namespace");
                Ok(())
            }
            // Somebody was faster; another call of this driver, or not.
            Err(error) if code_of(&error) == Some(409) => match get(&api, name).await? {
                Some(found) => usable(&found, name, owner, adopts),
                None => Err(error),
            },
            Err(error) => Err(error),
        };
    };
    usable(&found, name, owner, adopts)
}

/// Deletes the namespace with everything in it, if it is this owner's; what is gone or going already is as good as deleted.
pub(super) async fn delete(client: &Client, name: &str, owner: &Owner, adopts: bool) -> Result<(), DriverError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let Some(found) = get(&api, name).await? else {
        return Ok(());
    };
    if let Some(why) = owner.objection(&found).filter(|_| !adopts) {
        return Err(DriverError::ForeignNamespace { namespace: name.to_owned(), why });
    }
    if found.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    // A namespace made anew under the same name in the meantime may be somebody else's.
    let parameters = DeleteParams {
        preconditions: Some(Preconditions { uid: found.metadata.uid, resource_version: None }),
        ..DeleteParams::default()
    };
    match call("delete the workspace's namespace", api.delete(name, &parameters)).await {
        Ok(_) => {
            tracing::info!(namespace = name, workspace = owner.workspace, "deleted the workspace's namespace");
            Ok(())
        }
        Err(error) if code_of(&error) == Some(404) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn get(api: &Api<Namespace>, name: &str) -> Result<Option<Namespace>, DriverError> {
    call("get the workspace's namespace", api.get_opt(name)).await
}

fn usable(found: &Namespace, name: &str, owner: &Owner, adopts: bool) -> Result<(), DriverError> {
    let namespace = name.to_owned();
    if let Some(why) = owner.objection(found).filter(|_| !adopts) {
        return Err(DriverError::ForeignNamespace { namespace, why });
    }
    if found.metadata.deletion_timestamp.is_some() {
        return Err(DriverError::NamespaceGone { namespace, message: "it is being deleted".to_owned() });
    }
    Ok(())
}

fn object(name: &str, owner: &Owner) -> Namespace {
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(name.to_owned());
    namespace.metadata.labels = Some(owner.labels());
    namespace
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn owner() -> Owner {
        Owner { gateway_id: "gate".to_owned(), workspace: "team".to_owned(), omits_gateway: false }
    }

    fn labelled(pairs: &[(&str, &str)]) -> Namespace {
        let mut namespace = object("n", &owner());
        namespace.metadata.labels =
            Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect());
        namespace
    }

    #[test]
    fn what_this_driver_makes_is_its_own() {
        assert_eq!(owner().objection(&object("n", &owner())), None);
    }

    #[rstest]
    #[case::nobodys(&[], "no label")]
    #[case::another_gateways(
        &[("openshell.ai/managed-by", "openshell"), ("openshell.ai/gateway-id", "other"), ("openshell.ai/sandbox-workspace", "team")],
        "gateway-id is \"other\""
    )]
    #[case::another_workspaces(
        &[("openshell.ai/managed-by", "openshell"), ("openshell.ai/gateway-id", "gate"), ("openshell.ai/sandbox-workspace", "other")],
        "sandbox-workspace is \"other\""
    )]
    fn what_lacks_a_label_is_foreign(#[case] labels: &[(&str, &str)], #[case] why: &str) {
        let objection = owner().objection(&labelled(labels)).unwrap();
        assert!(objection.contains(why), "{objection}");
    }
}
