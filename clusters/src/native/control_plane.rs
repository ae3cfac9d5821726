//! etcd, the API server, the controller manager and the scheduler.

use std::{collections::BTreeMap, net::Ipv4Addr};

use super::{
    API_PORT, Programs, SERVICE_RANGE,
    files::inside,
    plan::{ComponentPlan, StartCondition},
    start::component,
};

/// etcd on loopback. It need not survive a power cut, and a lone member need not wait for others.
pub(crate) fn etcd(programs: &Programs) -> ComponentPlan {
    let arguments = [
        "--name=node",
        "--data-dir=/run/sandproof/etcd",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--initial-advertise-peer-urls=http://127.0.0.1:2380",
        "--initial-cluster=node=http://127.0.0.1:2380",
        "--heartbeat-interval=20",
        "--election-timeout=100",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ];
    component("etcd", &programs.etcd, arguments.map(str::to_owned), StartCondition::AtOnce)
}

/// The API server.
pub(crate) fn apiserver(programs: &Programs, node_address: Ipv4Addr, gates: &BTreeMap<String, bool>) -> ComponentPlan {
    let mut arguments = vec![
        "--etcd-servers=http://127.0.0.1:2379".to_owned(),
        format!("--secure-port={API_PORT}"),
        format!("--advertise-address={node_address}"),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        format!("--service-account-signing-key-file={}", inside("pki/service-accounts.key")),
        format!("--service-account-key-file={}", inside("pki/service-accounts.pub")),
        format!("--client-ca-file={}", inside("pki/ca.crt")),
        format!("--tls-cert-file={}", inside("pki/apiserver.crt")),
        format!("--tls-private-key-file={}", inside("pki/apiserver.key")),
        format!("--kubelet-client-certificate={}", inside("pki/apiserver-kubelet-client.crt")),
        format!("--kubelet-client-key={}", inside("pki/apiserver-kubelet-client.key")),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--enable-aggregator-routing=true".to_owned(),
        "--profiling=false".to_owned(),
    ];
    arguments.extend(gates_flag(gates));
    component("kube-apiserver", &programs.kube_apiserver, arguments, StartCondition::AtOnce)
}

/// The controller manager, with every controller that a cluster has by default. It looks for a
/// healthy API server once a second, so starting it earlier makes it no earlier to work, and takes
/// the processor from the API server.
pub(crate) fn controller_manager(programs: &Programs, gates: &BTreeMap<String, bool>) -> ComponentPlan {
    let mut arguments = vec![
        format!("--kubeconfig={}", inside("kubeconfigs/controller-manager")),
        format!("--root-ca-file={}", inside("pki/ca.crt")),
        format!("--service-account-private-key-file={}", inside("pki/service-accounts.key")),
        "--use-service-account-credentials=true".to_owned(),
        "--leader-elect=false".to_owned(),
        // Nobody asks for its metrics, and a serving certificate would cost half a second to make.
        "--secure-port=0".to_owned(),
        "--profiling=false".to_owned(),
        // The default is a directory of the host, which would be made.
        "--flex-volume-plugin-dir=/var/lib/kubelet/volume-plugins".to_owned(),
        // The taint of a fresh node goes at the first look after the node is ready: look often.
        "--node-monitor-period=250ms".to_owned(),
        // Each of some thirty controllers asks for a token before it starts.
        "--kube-api-qps=400".to_owned(),
        "--kube-api-burst=800".to_owned(),
    ];
    arguments.extend(gates_flag(gates));
    component("kube-controller-manager", &programs.kube_controller_manager, arguments, StartCondition::ApiReady)
}

/// The scheduler; started early, it would only be refused what its role does not have yet.
pub(crate) fn scheduler(programs: &Programs, gates: &BTreeMap<String, bool>) -> ComponentPlan {
    let mut arguments = vec![
        format!("--kubeconfig={}", inside("kubeconfigs/scheduler")),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
        "--profiling=false".to_owned(),
    ];
    arguments.extend(gates_flag(gates));
    component("kube-scheduler", &programs.kube_scheduler, arguments, StartCondition::ApiReady)
}

fn gates_flag(gates: &BTreeMap<String, bool>) -> Option<String> {
    let gates: Vec<String> = gates.iter().map(|(gate, on)| format!("{gate}={on}")).collect();
    (!gates.is_empty()).then(|| format!("--feature-gates={}", gates.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_one_flag() {
        let gates = BTreeMap::from([("ImageVolume".to_owned(), true), ("Other".to_owned(), false)]);
        assert_eq!(gates_flag(&gates).unwrap(), "--feature-gates=ImageVolume=true,Other=false");
        assert_eq!(gates_flag(&BTreeMap::new()), None);
    }
}
