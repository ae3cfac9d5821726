//! The second step: what the node reads, kind itself, and whether what it says is true.

use std::{process::Stdio, time::Duration};

use camino::Utf8Path;
use serde_json::json;

use super::{
    ClusterRequest, Engine, KindError, PreparedCluster,
    configuration::{self, INSIDE, Mount, Wanted},
    engine::Front,
    node_image::CGROUPFS_CONFIGURATION,
};
use crate::{
    host::{CgroupLayout, Host},
    ledger::{Ledger, ProcessIdentity},
    native::{Adaptation, Files, Milestone, adjustments, named_adaptations, pull_secret_objects, registry_host},
    oci_runtime::{CONFIGURATION, Configuration},
    process::{Process, ProcessError, SpawnStdio},
    provider::{NodeSettings, RegistryAccess},
};

/// How long kind may take. It has no deadline of its own for most of what it does.
const CREATE: Duration = Duration::from_mins(4);

/// How long the node may take to be ready after kind has ended.
const READY: Duration = Duration::from_mins(2);

/// How long one short command in the node may take.
const COMMAND: Duration = Duration::from_secs(30);

/// Where containerd looks for what it is told of a registry.
const REGISTRIES: &str = "/etc/containerd/certs.d";

/// What changes how a node's systemd starts containerd.
const CONTAINERD_SERVICE: &str = "/etc/systemd/system/containerd.service.d/10-sandproof.conf";

/// The administrator's kubeconfig in the node.
const ADMINISTRATOR: &str = "--kubeconfig=/etc/kubernetes/admin.conf";

/// Lines of kind's output that an error repeats.
const LINES: usize = 12;

/// What differs from an ordinary cluster because of the host.
pub(super) fn adaptations(engine: &Engine, host: &Host) -> Vec<Adaptation> {
    let mut adaptations = named_adaptations(host);
    adaptations.extend(engine.adaptations().iter().cloned());
    if !Utf8Path::new("/lib/modules").is_dir() {
        adaptations.push(Adaptation {
            name: "no-kernel-modules".to_owned(),
            reason: "the host has no /lib/modules for the node to mount".to_owned(),
        });
    }
    adaptations
}

/// Makes the node and waits until it is ready.
pub(super) async fn node(prepared: &mut PreparedCluster, settings: &NodeSettings) -> Result<(), KindError> {
    let directory = prepared.request.directory.clone();
    let files = Files::new(&directory);
    let mounts = write(&files, &prepared.request, settings)?;
    let name = prepared.entry.holdings.network.clone();
    let request = &prepared.request;
    let wanted = Wanted {
        name: &name,
        image: &request.means.image.reference,
        minor: minor(&request.kubernetes_version),
        assembled: request.means.image.assembled.as_ref(),
        feature_gates: &request.feature_gates,
        kubelet_gates: &request.kubelet_gates,
        cgroup_v1: is_v1(&request.means.host),
        mounts: &mounts,
        host_address: prepared.host_address,
    };
    files.write_json("kind.json", &configuration::cluster(&wanted)).map_err(from_files)?;
    let front = Front::write(&prepared.engine, &prepared.ownership, &directory)?;
    create(prepared, &front, &name).await?;
    prepared.milestones.insert(Milestone::ApiReady, prepared.began.elapsed());
    know_node(prepared).await?;
    check(prepared, settings).await?;
    prepared.milestones.insert(Milestone::NodeReady, prepared.began.elapsed());
    Ok(())
}

/// Writes what is mounted into the node.
fn write(files: &Files, request: &ClusterRequest, settings: &NodeSettings) -> Result<Vec<Mount>, KindError> {
    let mut mounts = vec![Mount::new(files.outside("node"), INSIDE), Mount::new(files.outside("certs.d"), REGISTRIES)];
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": pull_secret_objects()});
    files.write_json("node/objects.json", &objects).map_err(from_files)?;
    for registry in &settings.registries {
        if let Some(authority) = &registry.ca_pem {
            files.write(&format!("certs.d/{}/ca.crt", registry.address), authority).map_err(from_files)?;
        }
        let text = registry_host(registry, &format!("{REGISTRIES}/{}", registry.address));
        files.write(&format!("certs.d/{}/hosts.toml", registry.address), text).map_err(from_files)?;
    }
    if is_v1(&request.means.host) && request.means.image.assembled.is_some() {
        let service =
            format!("[Service]\nExecStart=\nExecStart=/usr/local/bin/containerd --config {CGROUPFS_CONFIGURATION}\n");
        files.write("containerd.conf", service).map_err(from_files)?;
        mounts.push(Mount::new(files.outside("containerd.conf"), CONTAINERD_SERVICE));
    }
    let adjustments = adjustments(&request.means.host);
    if adjustments.any() {
        let runc = files.outside("node/runc");
        std::fs::copy(&request.means.oci.runc, &runc).map_err(KindError::io("copy", &runc))?;
        let configuration = Configuration { runtime: format!("{INSIDE}/runc").into(), adjustments };
        files.write_json(CONFIGURATION, &configuration).map_err(from_files)?;
        mounts.push(Mount::new(files.outside(CONFIGURATION), format!("/usr/local/sbin/{CONFIGURATION}")));
        mounts.push(Mount::new(&request.means.oci.wrapper, "/usr/local/sbin/runc"));
    }
    Ok(mounts)
}

/// Runs kind, which leaves everything as it is when it fails: evidence comes before clean-up.
async fn create(prepared: &PreparedCluster, front: &Front, name: &str) -> Result<(), KindError> {
    let directory = &prepared.request.directory;
    let flavor = prepared.engine.flavor().program();
    let network = format!("KIND_EXPERIMENTAL_{}_NETWORK", flavor.to_uppercase());
    let kubeconfig = prepared.entry.kubeconfig();
    let process = prepared
        .engine
        .environment()
        .iter()
        .fold(Process::new(&prepared.request.means.kind), |process, (name, value)| process.env(name, value))
        .args(["create", "cluster", "--name", name, "--retain", "--wait", "0s"])
        .args(["--config", directory.join("kind.json").as_str(), "--kubeconfig", kubeconfig.as_str()])
        .env("KIND_EXPERIMENTAL_PROVIDER", flavor)
        .env(network, &prepared.entry.holdings.network)
        .env("KUBECONFIG", &kubeconfig)
        .env("PATH", front.search_path())
        .env("NO_COLOR", "1");
    let command = process.pasteable();
    let stdio = SpawnStdio { stdin: Stdio::null(), stdout: Stdio::null(), stderr: Stdio::piped() };
    // What kind still makes after this process was killed, nobody would wait for.
    let (child, _parent) = process.spawn_from_lasting_thread("kind-parent", stdio).await?;
    let ended = tokio::time::timeout(CREATE, child.wait_with_output()).await;
    let output = match ended {
        Ok(Ok(output)) => output,
        Ok(Err(source)) => return Err(ProcessError::Io { command, source }.into()),
        Err(_) => return Err(ProcessError::Deadline { command, seconds: CREATE.as_secs() }.into()),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let _ = std::fs::write(directory.join("logs/kind.log"), said.as_bytes());
    if output.status.success() { Ok(()) } else { Err(refusal(&said)) }
}

/// What kind said, and what it usually means.
fn refusal(said: &str) -> KindError {
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim)
        // The stack of kind itself explains nothing.
        .take_while(|line| !line.starts_with("Stack Trace"))
        .filter(|line| !line.is_empty())
        .collect();
    let error = lines.iter().position(|line| line.starts_with("ERROR:"));
    let hint = HINTS.iter().find(|(words, _)| said.contains(words)).map(|(_, hint)| (*hint).to_owned());
    let tail = match error {
        Some(position) => lines[position..].iter().take(LINES).copied().collect::<Vec<_>>(),
        None => lines[lines.len().saturating_sub(LINES)..].to_vec(),
    };
    KindError::Create { reason: tail.join("\n    "), hint }
}

/// Words of a failure, and what to do about it.
const HINTS: &[(&str, &str)] = &[
    ("already exist for a cluster", "a cluster of that name is there: `sandproof sweep` removes what dead runs left"),
    ("rlimit", "the engine asks for limits above the host's: run it with CAP_SYS_RESOURCE, or use podman"),
    ("privileged", "the engine refuses privileged containers, and every node of kind is one"),
    ("too many open files", "raise fs.inotify.max_user_instances and fs.inotify.max_user_watches"),
    (
        "could not find a log line",
        "the node's systemd did not start: on a cgroup v1 host, only an image with an older systemd does",
    ),
    ("no space left", "free disk space where the engine keeps its volumes"),
    ("Cannot connect to the Docker daemon", "the container engine ended"),
];

/// Notes where the node is, now that it runs.
async fn know_node(prepared: &mut PreparedCluster) -> Result<(), KindError> {
    let state = prepared.engine.node(&prepared.entry.holdings.node).await?;
    prepared.entry.holdings.address = state.address;
    prepared.entry.holdings.first_process = state.pid.and_then(ProcessIdentity::of);
    Ledger::open(&prepared.request.state)?.write(&prepared.entry.recorded())?;
    Ok(())
}

/// Whether the node is what was asked for, is ready, and reaches the registry; and what every cluster gets.
async fn check(prepared: &PreparedCluster, settings: &NodeSettings) -> Result<(), KindError> {
    let reaches = async {
        // At further addresses a kept cluster may find a registry later.
        let registries = RegistryAccess::configured(&settings.registries);
        for address in [registries.plain, registries.secure].iter().flatten() {
            reaches(prepared, address).await?;
        }
        Ok::<_, KindError>(())
    };
    let objects = async {
        let words = ["kubectl", ADMINISTRATOR, "create", "-f", "/sandproof/objects.json"];
        exec(prepared, &words, COMMAND).await.map(drop)
    };
    futures::try_join!(ready(prepared), reaches, objects, version(prepared)).map(drop)
}

/// kind's own wait says that all is well when its time is over; this one does not.
async fn ready(prepared: &PreparedCluster) -> Result<(), KindError> {
    let timeout = format!("--timeout={}s", READY.as_secs());
    let words = ["kubectl", ADMINISTRATOR, "wait", "--for=condition=Ready", "nodes", "--all", &timeout];
    match exec(prepared, &words, READY + COMMAND).await {
        Ok(_) => Ok(()),
        Err(error) => Err(KindError::NotReady { what: "ready", seconds: READY.as_secs(), found: error.to_string() }),
    }
}

/// Connects from the node to this host's registry.
async fn reaches(prepared: &PreparedCluster, address: &str) -> Result<(), KindError> {
    let unreachable = |found: String| KindError::Unreachable { address: address.to_owned(), found };
    let (host, port) = address.rsplit_once(':').ok_or_else(|| unreachable("it has no port".to_owned()))?;
    let words = ["timeout", "5", "bash", "-c", r#"exec 3<>"/dev/tcp/$0/$1""#, host, port];
    exec(prepared, &words, COMMAND).await.map(drop).map_err(|error| unreachable(error.to_string()))
}

/// Reads which Kubernetes the image has.
async fn version(prepared: &PreparedCluster) -> Result<(), KindError> {
    let found = exec(prepared, &["cat", "/kind/version"], COMMAND).await?;
    let (found, wanted) = (found.trim().trim_start_matches('v'), &prepared.request.kubernetes_version);
    if found == wanted {
        return Ok(());
    }
    Err(KindError::OtherVersion {
        reference: prepared.request.means.image.reference.clone(),
        found: found.to_owned(),
        wanted: wanted.clone(),
    })
}

/// Runs a command in the node; its standard output.
async fn exec(prepared: &PreparedCluster, words: &[&str], deadline: Duration) -> Result<String, KindError> {
    let node = &prepared.entry.holdings.node;
    let captured = prepared.engine.command().args(["exec", node]).args(words).deadline(deadline).run().await?;
    Ok(captured.stdout)
}

fn minor(version: &str) -> u64 {
    semver::Version::parse(version).map_or(0, |version| version.minor)
}

fn is_v1(host: &Host) -> bool {
    !matches!(host.cgroup, CgroupLayout::V2)
}

fn from_files(error: crate::native::ProviderError) -> KindError {
    KindError::assembly("write what the node reads", error)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        "Creating cluster \"x\" ...\nERROR: failed to create cluster: node(s) already exist for a cluster with the name \"x\"\n",
        true
    )]
    #[case(
        "ERROR: failed to create cluster: could not find a log line that matches \"Reached target\"\nStack Trace: \nmain\n",
        true
    )]
    #[case("something else\n", false)]
    fn a_refusal_has_the_error_and_what_it_means(#[case] said: &str, #[case] hinted: bool) {
        let KindError::Create { reason, hint } = refusal(said) else { unreachable!() };
        assert!(!reason.contains("Stack Trace") && !reason.is_empty(), "{reason}");
        assert_eq!(hint.is_some(), hinted, "{hint:?}");
    }
}
