//! The objects of a cluster that no namespace takes with it, and the namespaces themselves.

use std::time::Duration;

use futures::future::try_join_all;
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, ObjectMeta},
};
use serde_json::Value;

use super::Leftover;

/// Kinds of which any could be made by a driver, its chart or a step; what a cluster does not serve is not looked at.
const KINDS: &[Kind] = &[
    Kind::new("", "v1", "Namespace", "namespaces"),
    Kind::new("", "v1", "PersistentVolume", "persistentvolumes"),
    Kind::new("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles").without_content(),
    Kind::new("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings"),
    Kind::new("storage.k8s.io", "v1", "StorageClass", "storageclasses"),
    Kind::new("storage.k8s.io", "v1", "CSIDriver", "csidrivers"),
    Kind::new("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses"),
    Kind::new("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses"),
    Kind::new("networking.k8s.io", "v1", "IngressClass", "ingressclasses"),
    Kind::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions").without_content(),
    Kind::new("apiregistration.k8s.io", "v1", "APIService", "apiservices").without_content(),
    Kind::new("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
    Kind::new(
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
    ),
    Kind::new("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies"),
];

/// Annotations that Helm puts on what it installs, and one by which a chart keeps something from being removed.
const RELEASE_NAME: &str = "meta.helm.sh/release-name";
const RELEASE_NAMESPACE: &str = "meta.helm.sh/release-namespace";
const POLICY: &str = "helm.sh/resource-policy";

/// A kind of object that is in no namespace.
#[derive(Debug, Clone, Copy)]
struct Kind {
    group: &'static str,
    version: &'static str,
    name: &'static str,
    plural: &'static str,
    /// Whether more than the metadata is read: some kinds have much that names nobody.
    content: bool,
}

/// An object that is in no namespace.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    kind: Kind,
    pub(super) metadata: ObjectMeta,
    /// What it says beside its metadata.
    pub(super) content: Value,
    text: String,
}

impl Kind {
    const fn new(group: &'static str, version: &'static str, name: &'static str, plural: &'static str) -> Self {
        Self { group, version, name, plural, content: true }
    }

    const fn without_content(self) -> Self {
        Self { content: false, ..self }
    }

    fn api(self, client: &Client) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk(self.group, self.version, self.name);
        Api::all_with(client.clone(), &ApiResource::from_gvk_with_plural(&kind, self.plural))
    }

    /// Its objects; none where the cluster has no such kind, or the account may not list it.
    async fn list(self, client: &Client) -> Result<Vec<Found>, kube::Error> {
        let api = self.api(client);
        let parameters = ListParams::default();
        let listed = if self.content {
            api.list(&parameters).await.map(|list| list.items.into_iter().map(|o| (o.metadata, o.data)).collect())
        } else {
            let listed = api.list_metadata(&parameters).await;
            listed.map(|list| list.items.into_iter().map(|object| (object.metadata, Value::Null)).collect())
        };
        let objects: Vec<(ObjectMeta, Value)> = match listed {
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => Vec::new(),
            listed => listed?,
        };
        Ok(objects.into_iter().map(|(metadata, content)| Found::new(self, metadata, content)).collect())
    }
}

impl Found {
    fn new(kind: Kind, mut metadata: ObjectMeta, content: Value) -> Self {
        // It says who wrote which field, and nothing about the object.
        metadata.managed_fields = None;
        let text = format!("{} {content}", serde_json::to_string(&metadata).unwrap_or_default());
        Self { kind, metadata, content, text }
    }

    /// `KIND NAME`.
    pub(super) fn object(&self) -> String {
        format!("{} {}", self.kind.name, self.metadata.name.as_deref().unwrap_or_default())
    }

    /// Whether it is being deleted.
    pub(super) fn is_going(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Whether nobody is about to delete it: neither is it being deleted nor will it go with its claim.
    pub(super) fn stays(&self) -> bool {
        let policy = self.content.pointer("/spec/persistentVolumeReclaimPolicy").and_then(Value::as_str);
        let goes_with_claim = policy == Some("Delete") && self.content.pointer("/spec/claimRef").is_some();
        !self.is_going() && !goes_with_claim
    }

    /// Whether the identity is somewhere in it as a whole.
    pub(super) fn mentions(&self, identity: &str) -> bool {
        mentions(&self.text, identity)
    }

    /// It as something that is still there after so long.
    pub(super) fn leftover(&self, waited: Duration) -> Leftover {
        let seconds = waited.as_secs();
        let made = self.metadata.creation_timestamp.as_ref().map(|time| format!("made at {}", time.0));
        let state = match (self.is_going(), self.reason_to_stay()) {
            (true, Some(reason)) => format!("it is still being deleted after {seconds} s: {reason}"),
            (true, None) => format!("it is still being deleted after {seconds} s"),
            (false, _) => "nothing deletes it".to_owned(),
        };
        Leftover::new(self.object(), [Some(state), made].into_iter().flatten().collect::<Vec<_>>().join(", "))
    }

    /// What a namespace that does not go says of why.
    fn reason_to_stay(&self) -> Option<String> {
        let conditions = self.content.pointer("/status/conditions")?.as_array()?.iter();
        let remaining = conditions.filter(|condition| condition["status"] == "True");
        let messages: Vec<&str> = remaining.filter_map(|condition| condition["message"].as_str()).collect();
        (!messages.is_empty()).then(|| messages.join("; "))
    }

    /// Whether it belongs to a driver's release in a namespace, and Helm would remove it; a scenario may have several drivers.
    fn is_of_release(&self, namespace: &str) -> bool {
        let annotation = |name: &str| self.metadata.annotations.as_ref()?.get(name).map(String::as_str);
        annotation(RELEASE_NAME).is_some()
            && annotation(RELEASE_NAMESPACE) == Some(namespace)
            && annotation(POLICY) != Some("keep")
    }
}

/// Everything that is in no namespace.
pub(super) async fn all(client: &Client) -> Result<Vec<Found>, kube::Error> {
    Ok(try_join_all(KINDS.iter().map(|kind| kind.list(client))).await?.concat())
}

/// Removes what the driver's chart installed beside its namespace, as `helm uninstall` would; what it may not, stays.
/// Returns everything that is in no namespace and was not removed.
pub(crate) async fn remove_release(client: &Client, namespace: &str) -> Result<Vec<Found>, kube::Error> {
    let (own, mut others): (Vec<_>, Vec<_>) =
        all(client).await?.into_iter().partition(|found| found.is_of_release(namespace));
    let removed = own.into_iter().map(|found| async move {
        let name = found.metadata.name.clone().unwrap_or_default();
        match found.kind.api(client).delete(&name, &DeleteParams::background()).await {
            Ok(_) => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(Some(found)),
            Err(error) => Err(error),
        }
    });
    others.extend(try_join_all(removed).await?.into_iter().flatten());
    Ok(others)
}

/// Whether `identity` is in the text and not a part of a longer word: `ps-01-1` is not in `ps-01-10`.
fn mentions(text: &str, identity: &str) -> bool {
    text.match_indices(identity).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let behind = text[start + identity.len()..].chars().next();
        ![before, behind].into_iter().flatten().any(|neighbour| neighbour.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn found(object: &Value) -> Found {
        let metadata = serde_json::from_value(object["metadata"].clone()).unwrap();
        let mut content = object.clone();
        content.as_object_mut().unwrap().remove("metadata");
        let kind = KINDS.iter().find(|kind| kind.name == object["kind"]).unwrap();
        Found::new(*kind, metadata, content)
    }

    #[rstest]
    #[case("ps-01-1", true)]
    #[case("openshell-ps-01-1-team", true)]
    #[case("{\"namespace\":\"ps-01-1\"}", true)]
    #[case("ps-01-10", false)]
    #[case("ops-01-1", false)]
    #[case("ps-01-10 and ps-01-1", true)]
    fn an_identity_is_found_as_a_whole(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(mentions(text, "ps-01-1"), expected);
    }

    #[test]
    fn what_a_binding_gives_rights_to_is_part_of_it() {
        let binding = found(&json!({
            "kind": "ClusterRoleBinding",
            "metadata": { "name": "innocent" },
            "subjects": [{ "kind": "ServiceAccount", "name": "driver", "namespace": "ps-01-1" }],
        }));
        assert!(binding.mentions("ps-01-1") && binding.stays());
        assert_eq!(
            binding.leftover(Duration::from_secs(10)),
            Leftover::new("ClusterRoleBinding innocent", "nothing deletes it")
        );
    }

    #[test]
    fn a_namespace_says_why_it_does_not_go() {
        let namespace = found(&json!({
            "kind": "Namespace",
            "metadata": { "name": "ps-01-1", "deletionTimestamp": "2026-01-02T03:04:05Z" },
            "status": { "conditions": [
                { "type": "NamespaceContentRemaining", "status": "True", "message": "sandboxes has 1 resource instances" },
                { "type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "all discovered" },
            ]},
        }));
        assert!(!namespace.stays());
        assert_eq!(
            namespace.leftover(Duration::from_mins(1)).text,
            "it is still being deleted after 60 s: sandboxes has 1 resource instances"
        );
    }

    #[rstest]
    #[case::own(json!({ RELEASE_NAME: "driver", RELEASE_NAMESPACE: "ps-01-1" }), true)]
    #[case::of_another_scenario(json!({ RELEASE_NAME: "driver", RELEASE_NAMESPACE: "ps-01-10" }), false)]
    #[case::of_a_second_driver(json!({ RELEASE_NAME: "two", RELEASE_NAMESPACE: "ps-01-1" }), true)]
    #[case::kept(json!({ RELEASE_NAME: "driver", RELEASE_NAMESPACE: "ps-01-1", POLICY: "keep" }), false)]
    #[case::by_hand(json!({}), false)]
    fn what_helm_would_remove_is_removed(#[case] annotations: Value, #[case] expected: bool) {
        let role = found(&json!({ "kind": "ClusterRole", "metadata": { "name": "a", "annotations": annotations } }));
        assert_eq!(role.is_of_release("ps-01-1"), expected);
    }

    #[test]
    fn a_volume_that_goes_with_its_claim_does_not_stay() {
        let volume = |policy: &str| {
            found(&json!({
                "kind": "PersistentVolume",
                "metadata": { "name": "a" },
                "spec": { "persistentVolumeReclaimPolicy": policy, "claimRef": { "namespace": "ps-01-1" } },
            }))
        };
        assert!(!volume("Delete").stays());
        assert!(volume("Retain").stays());
    }
}
