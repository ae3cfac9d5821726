//! The kubelet and the Service proxy.

use std::{collections::BTreeMap, net::Ipv4Addr};

use serde_json::{Value, json};

use super::{
    DNS_SERVICE, POD_RANGE, Programs, ProviderError, RuntimePrograms,
    files::{Files, inside},
    plan::{ApiObject, ComponentPlan, StartCondition},
    runtime,
    start::component,
};

/// The kubelet.
pub(crate) fn kubelet(
    files: &Files,
    programs: &Programs,
    node: &str,
    node_address: Ipv4Addr,
    gates: &BTreeMap<String, bool>,
) -> Result<ComponentPlan, ProviderError> {
    let configuration =
        files.write_json("configuration/kubelet.json", &kubelet_configuration(gates, &programs.runtime))?;
    let arguments = [
        format!("--config={configuration}"),
        format!("--kubeconfig={}", inside("kubeconfigs/kubelet")),
        "--root-dir=/var/lib/kubelet".to_owned(),
        "--cert-dir=/var/lib/kubelet/pki".to_owned(),
        format!("--hostname-override={node}"),
        format!("--node-ip={node_address}"),
    ];
    Ok(component("kubelet", &programs.kubelet, arguments, StartCondition::ApiServing))
}

/// What the credential check of pulls does is left at its defaults: it is under test.
fn kubelet_configuration(gates: &BTreeMap<String, bool>, runtime: &RuntimePrograms) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": inside("pki/ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": "/",
        "cgroupsPerQOS": true,
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        // Reading a secret when it is needed: with a watch, the kubelet gives up after one second and pulls without
        // the secret (`FailedToRetrieveImagePullSecret`, seen with 1.36 on a busy host).
        "configMapAndSecretChangeDetectionStrategy": "Get",
        "containerRuntimeEndpoint": format!("unix://{}", runtime::socket(runtime)),
        "enforceNodeAllocatable": ["pods"],
        "eventBurst": 2000,
        "eventRecordQPS": 1000,
        "evictionHard": {
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
            "memory.available": "1Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
        },
        "failCgroupV1": false,
        "failSwapOn": false,
        "featureGates": gates,
        "imageGCHighThresholdPercent": 100,
        "kubeAPIBurst": 400,
        "kubeAPIQPS": 200,
        "localStorageCapacityIsolation": true,
        "makeIPTablesUtilChains": false,
        "oomScoreAdj": 0,
        "podLogsDir": "/var/log/pods",
        "readOnlyPort": 0,
        // Unlimited: a refused pull must be the registry's doing.
        "registryPullQPS": 0,
        "resolvConf": "",
        "serializeImagePulls": false,
        "tlsCertFile": inside("pki/kubelet.crt"),
        "tlsPrivateKeyFile": inside("pki/kubelet.key"),
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
    })
}

/// The Service proxy. Masquerading everything makes a pod reach another pod of its bridge through
/// a Service without the host's bridge netfilter module.
pub(crate) fn proxy(files: &Files, programs: &Programs, node: &str) -> Result<ComponentPlan, ProviderError> {
    let configuration = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": inside("kubeconfigs/proxy")},
        "clusterCIDR": POD_RANGE,
        // Zero leaves the host's connection tracking alone.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpCloseWaitTimeout": "0s", "tcpEstablishedTimeout": "0s"},
        "hostnameOverride": node,
        "mode": "nftables",
        "nftables": {"masqueradeAll": true, "minSyncPeriod": "100ms"},
    });
    let configuration = files.write_json("configuration/kube-proxy.json", &configuration)?;
    let arguments = [format!("--config={configuration}")];
    Ok(component("kube-proxy", &programs.kube_proxy, arguments, StartCondition::ApiReady))
}

/// What the kubelet may read beyond what the Node authorizer lets it.
///
/// The authorizer learns of a pod's secrets a moment after the kubelet learns of the pod. A read in between is refused, and the
/// kubelet pulls without the secret: a scenario would then fail because of the cluster. With this role no read is refused.
pub(crate) fn objects() -> Vec<ApiObject> {
    const NAME: &str = "sandproof:kubelet-pull-secrets";
    vec![
        ApiObject::new(
            "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": {"name": NAME},
                "rules": [{"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["get", "list", "watch"]}],
            }),
        ),
        ApiObject::new(
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": NAME},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes"}],
            }),
        ),
    ]
}

/// The same as plain objects, for a cluster whose API server others create them on.
pub(crate) fn pull_secret_objects() -> Vec<Value> {
    objects().into_iter().map(|object| object.body).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubelet_gets_the_gates_and_leaves_the_credential_check_alone() {
        let gates = BTreeMap::from([("ImageVolume".to_owned(), true)]);
        let programs =
            RuntimePrograms::Containerd { version: "2.3.5".to_owned(), containerd: "/c".into(), shim: "/s".into() };
        let with_containerd = kubelet_configuration(&gates, &programs);
        let programs = RuntimePrograms::CriO { crio: "/c".into(), pinns: "/p".into(), conmon: "/m".into() };
        let configuration = kubelet_configuration(&gates, &programs);
        assert_eq!(with_containerd["containerRuntimeEndpoint"], "unix:///run/containerd/containerd.sock");
        assert!(configuration.get("imagePullCredentialsVerificationPolicy").is_none());
        insta::assert_json_snapshot!(configuration);
    }
}
