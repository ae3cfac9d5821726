//! CoreDNS as a process of the node, behind the Service that pods have as their resolver.

use std::net::Ipv4Addr;

use serde_json::json;

use super::{
    DNS_SERVICE, Programs, ProviderError,
    files::{Files, inside},
    plan::{ApiObject, ComponentPlan, StartCondition},
    start::component,
};

/// The user that CoreDNS is to the API server.
pub(crate) const USER: &str = "system:coredns";

/// Port of the metrics and readiness page, beside the kubelet's and the proxy's.
const READY_PORT: u16 = 8181;

/// CoreDNS, reading `kubeconfig` (a path inside).
pub(crate) fn server(
    files: &Files,
    programs: &Programs,
    kubeconfig: &str,
    node_address: Ipv4Addr,
) -> Result<ComponentPlan, ProviderError> {
    // Names outside of the cluster are refused at once: the cluster has no way out.
    let corefile = format!(
        ".:53 {{
    bind {node_address}
    errors
    ready {node_address}:{READY_PORT}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 5
    }}
    cache 5
}}
"
    );
    files.write("configuration/Corefile", corefile)?;
    let arguments = ["-conf".to_owned(), inside("configuration/Corefile")];
    Ok(component("coredns", &programs.coredns, arguments, StartCondition::ObjectsCreated))
}

/// The Service, its endpoint, and what CoreDNS may read.
pub(crate) fn objects(node_address: Ipv4Addr) -> Vec<ApiObject> {
    let labels = json!({"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"});
    vec![
        ApiObject::new(
            "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": {"name": USER},
                "rules": [
                    {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
                    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
                ],
            }),
        ),
        ApiObject::new(
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": USER},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": USER},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}],
            }),
        ),
        ApiObject::new(
            "/api/v1/namespaces/kube-system/services",
            json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": labels},
                "spec": {
                    "clusterIP": DNS_SERVICE,
                    "ports": [
                        {"name": "dns", "port": 53, "protocol": "UDP"},
                        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
                    ],
                },
            }),
        ),
        ApiObject::new(
            "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices",
            json!({
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": "kube-dns-node",
                    "namespace": "kube-system",
                    "labels": {"kubernetes.io/service-name": "kube-dns"},
                },
                "addressType": "IPv4",
                "endpoints": [{"addresses": [node_address], "conditions": {"ready": true}}],
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP"},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
                ],
            }),
        ),
    ]
}
