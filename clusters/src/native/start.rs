//! Turning a request and the node's settings into files and a start plan.

use std::{collections::BTreeMap, time::Duration};

use camino::Utf8Path;

use super::{
    API_PORT, ClusterRequest, Holdings, NodeSettings, POD_RANGE, ProviderError, control_plane, dns,
    files::{Files, inside},
    kubeconfig, network, node,
    pki::{Credential, Pki},
    plan::{ApiAccess, ComponentPlan, START_PLAN, StartCondition, StartPlan},
    runtime,
};
use crate::{ledger::Entry, provider::RegistryAccess};

/// Writes everything that the components read, and the plan to start them.
pub(crate) fn write(
    request: &ClusterRequest,
    entry: &Entry<Holdings>,
    settings: &NodeSettings,
    deadline: Duration,
) -> Result<(), ProviderError> {
    let files = Files::new(&request.directory);
    let name = &request.name;
    let pki = Pki::generate(name, entry.holdings.node_address(), entry.holdings.host_address())?;
    write_certificates(&files, &pki)?;
    let administrator = &pki.administrator;
    let outside = format!("https://{}:{API_PORT}", entry.holdings.node_address());
    files.write("kubeconfig", kubeconfig::render(&outside, name, "kubernetes-admin", &pki.authority, administrator))?;
    let loopback = format!("https://127.0.0.1:{API_PORT}");
    let users = [
        ("controller-manager", &pki.controller_manager),
        ("scheduler", &pki.scheduler),
        ("kubelet", &pki.node),
        ("proxy", &pki.proxy),
        ("coredns", &pki.dns),
    ];
    for (user, credential) in users {
        let text = kubeconfig::render(&loopback, name, user, &pki.authority, credential);
        files.write(&format!("kubeconfigs/{user}"), text)?;
    }
    let (programs, gates, address) = (&request.programs, &request.feature_gates, entry.holdings.node_address());
    // The kubelet's own gates win over everybody's.
    let mut kubelet_gates = gates.clone();
    kubelet_gates.extend(request.kubelet_gates.clone());
    let registries = RegistryAccess::configured(&settings.registries);
    let plan = StartPlan {
        node_name: name.clone(),
        node_address: address,
        host_address: entry.holdings.host_address(),
        prefix: network::PREFIX,
        pod_range: POD_RANGE.to_owned(),
        // At further addresses a kept cluster may find a registry later.
        registries: [registries.plain, registries.secure].into_iter().flatten().collect(),
        components: vec![
            control_plane::etcd(programs),
            control_plane::apiserver(programs, address, gates),
            runtime::component(&files, request, settings)?,
            control_plane::controller_manager(programs, gates),
            control_plane::scheduler(programs, gates),
            node::kubelet(&files, programs, name, address, &kubelet_gates)?,
            node::proxy(&files, programs, name)?,
            dns::server(&files, programs, &inside("kubeconfigs/coredns"), address)?,
        ],
        objects: [dns::objects(address), node::objects()].concat(),
        api: ApiAccess {
            port: API_PORT,
            authority: inside("pki/ca.crt").into(),
            certificate: inside("pki/admin.crt").into(),
            key: inside("pki/admin.key").into(),
        },
        deadline_seconds: deadline.as_secs(),
    };
    files.write_json(START_PLAN, &plan)?;
    Ok(())
}

fn write_certificates(files: &Files, pki: &Pki) -> Result<(), ProviderError> {
    files.write("pki/ca.crt", &pki.authority)?;
    files.write("pki/service-accounts.pub", &pki.service_accounts.certificate)?;
    files.write("pki/service-accounts.key", &pki.service_accounts.key)?;
    let pairs: [(&str, &Credential); 4] = [
        ("apiserver", &pki.apiserver),
        ("kubelet", &pki.kubelet),
        ("apiserver-kubelet-client", &pki.kubelet_client),
        ("admin", &pki.administrator),
    ];
    for (name, credential) in pairs {
        files.write(&format!("pki/{name}.crt"), &credential.certificate)?;
        files.write(&format!("pki/{name}.key"), &credential.key)?;
    }
    Ok(())
}

/// A component with the environment that all share: nothing of the caller's, whose proxies and
/// registry credentials would change what is tested.
pub(crate) fn component(
    name: &str,
    program: &Utf8Path,
    arguments: impl IntoIterator<Item = String>,
    start: StartCondition,
) -> ComponentPlan {
    ComponentPlan {
        name: name.to_owned(),
        program: program.to_owned(),
        arguments: arguments.into_iter().collect(),
        environment: BTreeMap::from([
            // A cluster that lives for a minute is short of processors, not of memory: Go may collect half as often.
            ("GOGC".to_owned(), "200".to_owned()),
            ("HOME".to_owned(), inside("home")),
            ("PATH".to_owned(), search_path()),
            ("TMPDIR".to_owned(), inside("temporary")),
        ]),
        start,
    }
}

/// The caller's search path with the directories of system programs, which hold `nft` and `ip`.
fn search_path() -> String {
    let own = std::env::var("PATH").unwrap_or_default();
    format!("{own}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}
