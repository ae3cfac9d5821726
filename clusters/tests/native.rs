//! Native clusters on this host. They need root; without it the tests pass by saying so.
//!
//! Most use stand-ins for the components: what is tested is what holds them. Real clusters come up
//! too when `SANDPROOF_TEST_COMPONENTS` names a directory with a directory for each component; a
//! runtime that has none there is skipped.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends at the first surprise, and says what it skips"
)]

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use rstest::rstest;
use sandproof_clusters::{
    components::Pins,
    host::Host,
    ledger::{self, Entry, Holdings, SweepReport},
    native::{
        self, ClusterRequest, Milestone, NodeSettings, PreparedCluster, Programs, ProviderError, RuntimePrograms,
    },
};

/// How long something that happens by itself may take.
const SOON: Duration = Duration::from_secs(10);

/// A state directory of its own, and stand-ins for the components.
struct Scene {
    _directory: tempfile::TempDir,
    path: Utf8PathBuf,
}

impl Scene {
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: native clusters need root");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
        for program in ["bridge", "host-local", "loopback", "portmap"] {
            stand_in(&path.join("cni").join(program), "exit 0");
        }
        Some(Self { _directory: directory, path })
    }

    fn state(&self) -> Utf8PathBuf {
        self.path.join("state")
    }

    /// A request in which every component sleeps, except that etcd does what `etcd` says.
    fn request(&self, name: &str, etcd: &str) -> ClusterRequest {
        let program = |program: &str, script: &str| {
            let path = self.path.join(name).join(program);
            stand_in(&path, script);
            path
        };
        let sleeper = |name| program(name, "exec sleep 1000");
        self.request_with(
            name,
            Programs {
                etcd: program("etcd", etcd),
                kube_apiserver: sleeper("kube-apiserver"),
                kube_controller_manager: sleeper("kube-controller-manager"),
                kube_scheduler: sleeper("kube-scheduler"),
                kubelet: sleeper("kubelet"),
                kube_proxy: sleeper("kube-proxy"),
                runtime: RuntimePrograms::CriO {
                    crio: sleeper("crio"),
                    pinns: sleeper("pinns"),
                    conmon: sleeper("conmon"),
                },
                runc: sleeper("runc"),
                cni_plugins: self.path.join("cni"),
                coredns: sleeper("coredns"),
                cluster_init: env!("CARGO_BIN_EXE_sandproof-cluster-init").into(),
                oci_runtime: env!("CARGO_BIN_EXE_sandproof-oci-runtime").into(),
            },
        )
    }

    fn request_with(&self, name: &str, programs: Programs) -> ClusterRequest {
        ClusterRequest {
            name: name.to_owned(),
            run_id: "test".to_owned(),
            kubernetes_version: "1.36.4".to_owned(),
            feature_gates: BTreeMap::new(),
            kubelet_gates: BTreeMap::new(),
            programs,
            host: Host::probe(),
            state: self.state(),
            directory: self.state().join("clusters").join(name),
        }
    }

    async fn prepared(&self, name: &str) -> PreparedCluster {
        native::prepare(self.request(name, "exec sleep 1000")).await.unwrap()
    }

    async fn entry(&self, name: &str) -> Entry<native::Holdings> {
        let entries = ledger::list(&self.state()).await.unwrap();
        let entry = entries.into_iter().find(|entry| entry.name == name).unwrap();
        let Entry { id, name, run, created, kubernetes, owner, directory, kept, holdings } = entry;
        let Holdings::Native(holdings) = holdings else { unreachable!("{name} is native") };
        Entry { id, name, run, created, kubernetes, owner, directory, kept, holdings }
    }
}

fn stand_in(path: &Utf8Path, script: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// The version of a component that is taken where none is asked for.
fn pinned(component: &str) -> String {
    let pins = Pins::load(concat!(env!("CARGO_MANIFEST_DIR"), "/pins.yaml")).unwrap();
    pins.components[component].default.clone()
}

fn settings() -> NodeSettings {
    NodeSettings { registries: Vec::new(), pause_image: "198.18.0.1:5000/pause:1".to_owned() }
}

/// What of an entry still exists.
fn remains(entry: &Entry<native::Holdings>) -> Vec<String> {
    let mut remains: Vec<String> =
        entry.holdings.groups.iter().filter(|group| group.exists()).map(ToString::to_string).collect();
    if entry.directory.exists() {
        remains.push(entry.directory.to_string());
    }
    if Utf8Path::new("/sys/class/net").join(&entry.holdings.link).exists() {
        remains.push(entry.holdings.link.clone());
    }
    let processes = [entry.holdings.first_process, entry.holdings.supervisor];
    remains.extend(processes.into_iter().flatten().filter(|process| process.is_alive()).map(|it| it.pid.to_string()));
    remains
}

/// Waits until nothing of an entry is left; the kernel tells nobody when that is.
async fn gone(entry: &Entry<native::Holdings>) {
    let emptied = async {
        while !remains(entry).is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, emptied).await.is_ok(), "left: {:?}", remains(entry));
}

#[tokio::test]
async fn a_deleted_cluster_leaves_nothing() {
    let Some(scene) = Scene::new() else { return };
    let prepared = scene.prepared("one").await;
    let entry = scene.entry("one").await;
    assert_eq!(prepared.host_address.to_string(), entry.holdings.host_address().to_string());
    assert!(Utf8Path::new("/sys/class/net").join(&entry.holdings.link).exists());
    assert!(entry.holdings.groups.iter().all(|group| group.exists()));
    let found = ledger::inventory(&scene.state());
    assert!(found.links.contains(&entry.holdings.link));
    assert!(
        found
            .processes
            .iter()
            .any(|process| process.starts_with(&entry.holdings.first_process.unwrap().pid.to_string()))
    );

    let deletion = prepared.delete().await;
    assert!(deletion.left.is_nothing(), "{}", deletion.left);
    assert!(remains(&entry).is_empty(), "{:?}", remains(&entry));
    assert!(ledger::list(&scene.state()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_dropped_cluster_removes_itself() {
    let Some(scene) = Scene::new() else { return };
    let prepared = scene.prepared("one").await;
    let entry = scene.entry("one").await;
    drop(prepared);
    gone(&entry).await;
    assert!(ledger::list(&scene.state()).await.unwrap().is_empty());
}

#[tokio::test]
async fn clusters_live_side_by_side() {
    let Some(scene) = Scene::new() else { return };
    let (one, two) = tokio::join!(scene.prepared("one"), scene.prepared("two"));
    assert_ne!(one.host_address, two.host_address);
    let (one, two) = tokio::join!(one.delete(), two.delete());
    assert!(one.left.is_nothing() && two.left.is_nothing());
}

#[tokio::test]
async fn a_directory_has_one_cluster() {
    let Some(scene) = Scene::new() else { return };
    let first = scene.prepared("one").await;
    let error = native::prepare(scene.request("one", "exec sleep 1000")).await.unwrap_err();
    assert!(matches!(error.reason, ProviderError::NameTaken { .. }), "{error}");
    first.delete().await;
}

#[tokio::test]
async fn a_component_that_dies_is_named_with_its_last_words() {
    let Some(scene) = Scene::new() else { return };
    let prepared = native::prepare(scene.request("one", "echo starting; echo 'panic: no disk'; exit 3")).await.unwrap();
    let entry = scene.entry("one").await;
    let error = prepared.start(settings()).await.unwrap_err().to_string();
    assert!(error.starts_with("etcd ended (exit status 3): panic: no disk"), "{error}");
    assert!(error.contains("starting"), "{error}");
    assert!(remains(&entry).is_empty(), "{:?}", remains(&entry));
}

#[tokio::test]
async fn a_component_has_nothing_of_the_callers_environment() {
    let Some(scene) = Scene::new() else { return };
    let script = "echo \"from the caller: <$CARGO_MANIFEST_DIR>, its own: <${TMPDIR##*/}>\"; exit 3";
    let prepared = native::prepare(scene.request("one", script)).await.unwrap();
    let error = prepared.start(settings()).await.unwrap_err().to_string();
    assert!(error.contains("from the caller: <>, its own: <temporary>"), "{error}");
}

#[tokio::test]
async fn an_api_server_that_does_not_come_up_has_a_deadline() {
    let Some(scene) = Scene::new() else { return };
    let prepared = scene.prepared("one").await.with_deadline(Duration::from_secs(1));
    let entry = scene.entry("one").await;
    let error = prepared.start(settings()).await.unwrap_err().to_string();
    assert!(error.contains("not ready within 1 s; its last answer: Connection refused"), "{error}");
    assert!(remains(&entry).is_empty(), "{:?}", remains(&entry));
}

#[tokio::test]
async fn a_sweep_spares_what_a_living_run_holds() {
    let Some(scene) = Scene::new() else { return };
    let prepared = scene.prepared("one").await;
    let report = ledger::sweep(&scene.state()).await.unwrap();
    assert_eq!(report, SweepReport { owned: vec!["one".to_owned()], ..SweepReport::default() });
    assert!(!remains(&scene.entry("one").await).is_empty());
    prepared.delete().await;
}

#[tokio::test]
async fn a_cluster_whose_watcher_was_killed_can_still_be_deleted() {
    let Some(scene) = Scene::new() else { return };
    let prepared = scene.prepared("one").await;
    let entry = scene.entry("one").await;
    entry.holdings.supervisor.unwrap().kill().unwrap();
    let deletion = prepared.delete().await;
    assert!(deletion.left.is_nothing(), "{}", deletion.left);
    assert!(remains(&entry).is_empty(), "{:?}", remains(&entry));
}

#[tokio::test]
async fn down_removes_by_name() {
    let Some(scene) = Scene::new() else { return };
    let prepared = scene.prepared("one").await;
    let entry = scene.entry("one").await;
    let swept = ledger::down(&scene.state(), "one").await.unwrap();
    assert!(swept.leftovers.is_nothing(), "{}", swept.leftovers);
    assert!(remains(&entry).is_empty(), "{:?}", remains(&entry));
    drop(prepared);
}

#[tokio::test]
async fn a_missing_program_is_named_before_anything_is_made() {
    let Some(scene) = Scene::new() else { return };
    let mut request = scene.request("one", "exit 0");
    request.programs.runtime = RuntimePrograms::Containerd {
        version: String::new(),
        containerd: request.programs.runc.clone(),
        shim: "/nonexistent/shim".into(),
    };
    let error = native::prepare(request).await.unwrap_err().to_string();
    assert!(error.starts_with("containerd-shim-runc-v2 is missing: /nonexistent/shim"), "{error}");
    assert!(!scene.state().exists());
}

#[rstest]
#[case("cri-o")]
#[case("containerd")]
#[case("containerd-1")]
#[tokio::test]
async fn a_real_cluster_comes_up_and_goes(#[case] runtime: &str) {
    let Some(scene) = Scene::new() else { return };
    let Ok(components) = std::env::var("SANDPROOF_TEST_COMPONENTS") else {
        println!("skipped: SANDPROOF_TEST_COMPONENTS is not set");
        return;
    };
    let component = |path: &str| Utf8PathBuf::from(&components).join(path);
    if !component(runtime).exists() {
        println!("skipped: {components} has no {runtime}");
        return;
    }
    let mut request = scene.request("real", "");
    request.programs = Programs {
        etcd: component("etcd/etcd"),
        kube_apiserver: component("kubernetes/kube-apiserver"),
        kube_controller_manager: component("kubernetes/kube-controller-manager"),
        kube_scheduler: component("kubernetes/kube-scheduler"),
        kubelet: component("kubernetes/kubelet"),
        kube_proxy: component("kubernetes/kube-proxy"),
        runtime: match runtime {
            "cri-o" => RuntimePrograms::CriO {
                crio: component("cri-o/crio"),
                pinns: component("cri-o/pinns"),
                conmon: Utf8PathBuf::try_from(which::which("conmon").unwrap()).unwrap(),
            },
            containerd => RuntimePrograms::Containerd {
                version: pinned(containerd),
                containerd: component(containerd).join("containerd"),
                shim: component(containerd).join("containerd-shim-runc-v2"),
            },
        },
        runc: component("runc/runc"),
        cni_plugins: component("cni-plugins"),
        coredns: component("coredns/coredns"),
        ..request.programs
    };
    let cluster = native::prepare(request).await.unwrap().start(settings()).await.unwrap();
    cluster.reached(Milestone::Schedulable, Duration::from_mins(1)).await.unwrap();
    for (milestone, after) in cluster.milestones().iter() {
        println!("{:>8.3} s  {}", after.as_secs_f64(), milestone.name());
    }
    assert!(cluster.component_death().borrow().is_none());
    let mode = std::fs::metadata(&cluster.kubeconfig).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let logs = scene.path.join("logs");
    cluster.collect_logs(&logs).await.unwrap();
    let name = if runtime == "cri-o" { "crio" } else { "containerd" };
    assert!(logs.join("components/kubelet.log").exists());
    assert!(logs.join("components").join(name).with_extension("log").exists());
    let entry = cluster.entry().clone();
    let deletion = cluster.delete().await;
    println!("deleted in {:.3} s", deletion.seconds);
    assert!(deletion.left.is_nothing(), "{}", deletion.left);
    assert!(remains(&entry).is_empty(), "{:?}", remains(&entry));
}
