//! Makes one native cluster by hand: `native NAME COMPONENTS PAUSE_IMAGE_PORT [keep]`.
//!
//! COMPONENTS is a directory with one directory for each component. A plain registry that has the
//! image `pause:1` listens on PAUSE_IMAGE_PORT of every address. The cluster lives until standard
//! input ends, or, with `keep`, until it is taken down.

#![expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]

use std::{collections::BTreeMap, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use sandproof_clusters::{
    host::Host,
    native::{self, ClusterRequest, Milestone, NodeRegistry, NodeSettings, Programs},
};

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let state = native::default_state();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => println!("{:#?}", native::list(&state).await?),
        ["down", name] => println!("{:#?}", native::down(&state, name).await?),
        ["sweep"] => println!("{:#?}", native::sweep(&state).await?),
        ["inventory"] => println!("{:#?}", native::inventory(&state)),
        [name, components, port] => up(name, components.into(), port, false).await?,
        [name, components, port, "keep"] => up(name, components.into(), port, true).await?,
        _ => return Err("usage: native NAME COMPONENTS PORT [keep] | list | down NAME | sweep | inventory".into()),
    }
    Ok(())
}

async fn up(name: &str, components: &Utf8Path, port: &str, keep: bool) -> Result<(), Failure> {
    let state = native::default_state();
    let prepared = native::prepare(ClusterRequest {
        name: name.to_owned(),
        run_id: "example".to_owned(),
        kubernetes_version: "1.36.4".to_owned(),
        feature_gates: BTreeMap::new(),
        programs: programs(components)?,
        host: Host::probe(),
        directory: state.join("clusters").join(name),
        state,
    })
    .await?;
    let registry = format!("{}:{port}", prepared.host_address);
    println!("prepared; the registry is {registry}");
    let settings = NodeSettings {
        pause_image: format!("{registry}/pause:1"),
        registries: vec![NodeRegistry { address: registry, ca_pem: None }],
    };
    let mut cluster = prepared.start(settings).await?;
    println!("export KUBECONFIG={}", cluster.kubeconfig);
    cluster.reached(Milestone::Schedulable, Duration::from_secs(60)).await?;
    for (milestone, after) in cluster.milestones().iter() {
        println!("{:>8.3} s  {}", after.as_secs_f64(), milestone.name());
    }
    if keep {
        cluster.keep()?;
        return Ok(());
    }
    let mut death = cluster.component_death();
    tokio::select! {
        _ = tokio::task::spawn_blocking(|| std::io::stdin().lines().count()) => {}
        Ok(death) = death.wait_for(Option::is_some) => println!("{:#?}", *death),
    }
    println!("{:?}", cluster.delete().await);
    Ok(())
}

fn programs(components: &Utf8Path) -> Result<Programs, Failure> {
    let own = Utf8PathBuf::try_from(std::env::current_exe()?)?;
    let binaries = own.ancestors().nth(2).unwrap_or(&own).to_owned();
    let kubernetes = components.join("kubernetes");
    Ok(Programs {
        etcd: components.join("etcd/etcd"),
        kube_apiserver: kubernetes.join("kube-apiserver"),
        kube_controller_manager: kubernetes.join("kube-controller-manager"),
        kube_scheduler: kubernetes.join("kube-scheduler"),
        kubelet: kubernetes.join("kubelet"),
        kube_proxy: kubernetes.join("kube-proxy"),
        crio: components.join("cri-o/crio"),
        pinns: components.join("cri-o/pinns"),
        runc: components.join("runc/runc"),
        conmon: Utf8PathBuf::try_from(which::which("conmon")?)?,
        cni_plugins: components.join("cni-plugins"),
        coredns: components.join("coredns/coredns"),
        cluster_init: binaries.join("sandproof-cluster-init"),
        oci_runtime: binaries.join("sandproof-oci-runtime"),
    })
}
