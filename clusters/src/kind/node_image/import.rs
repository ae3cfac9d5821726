//! Importing the control plane's images into the node's own containerd, while the image is assembled.
//!
//! A node that finds them in its store does not spend seven of its first twenty seconds on them.

use std::{fs::File, process::Stdio, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{net::UnixDatagram, process::Child};

use super::{super::KindError, NodeParts, control_plane::Named};
use crate::process::{Process, SpawnStdio};

/// How long containerd may take to be ready, or to end.
const CONTAINERD: Duration = Duration::from_secs(20);

/// How long one image may take.
const IMPORT: Duration = Duration::from_mins(2);

/// The namespace in which the kubelet's images are.
const NAMESPACE: &str = "k8s.io";

/// Imports `images` into the containerd store of the node whose files are in `staging`.
pub(super) async fn images(
    parts: &NodeParts,
    images: &[Named],
    scratch: &Utf8Path,
    staging: &Utf8Path,
) -> Result<(), KindError> {
    let store = staging.join("var/lib/containerd");
    // Paths of sockets must be short, and the cache's need not be.
    let private = tempfile::tempdir().map_err(KindError::io("create", "a temporary directory"))?;
    let private = Utf8Path::from_path(private.path())
        .ok_or_else(|| KindError::assembly("import images", "the temporary directory's path is not UTF-8"))?;
    let containerd = Containerd::start(parts, private, &store).await?;
    for Named { reference, image } in images {
        let archive = scratch.join("image.tar");
        let (image, path, name) = (image.clone(), archive.clone(), reference.clone());
        tokio::task::spawn_blocking(move || image.archive(&path, &name))
            .await
            .map_err(|error| KindError::assembly("write an image", error))?
            .map_err(|error| KindError::assembly("write an image", error))?;
        containerd.import(&archive, reference).await?;
        fs::remove_file(&archive).map_err(KindError::io("remove", &archive))?;
    }
    containerd.stop().await?;
    // What only a running containerd needs.
    for directory in ["io.containerd.grpc.v1.cri", "io.containerd.runtime.v2.task", "tmpmounts"] {
        let _ = fs::remove_dir_all(store.join(directory));
    }
    Ok(())
}

/// A containerd with a store of its own, in a mount namespace of its own.
struct Containerd {
    child: Child,
    ctr: Utf8PathBuf,
    socket: Utf8PathBuf,
}

impl Containerd {
    async fn start(parts: &NodeParts, private: &Utf8Path, store: &Utf8Path) -> Result<Self, KindError> {
        let tried = "start containerd for the images of a node";
        let failed = |error: &dyn std::fmt::Display| KindError::assembly(tried, error);
        let socket = private.join("containerd.sock");
        let configuration = private.join("config.toml");
        let text = format!(
            "version = 2\nroot = \"{store}\"\nstate = \"{private}/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.cri.v1.images\", \"io.containerd.cri.v1.runtime\", \"io.containerd.nri.v1.nri\", \"io.containerd.internal.v1.opt\"]\n[grpc]\naddress = \"{socket}\"\n"
        );
        fs::write(&configuration, text).map_err(KindError::io("write", &configuration))?;
        let notify = private.join("notify");
        let ready = UnixDatagram::bind(&notify).map_err(|error| failed(&error))?;
        let log_path = private.join("containerd.log");
        let log = File::create(&log_path).map_err(KindError::io("create", &log_path))?;
        let child = Process::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .arg(parts.containerd.file("containerd")?)
            .args(["--config", configuration.as_str()])
            .env("NOTIFY_SOCKET", notify)
            .spawn(SpawnStdio { stdin: Stdio::null(), stdout: Stdio::null(), stderr: log.into() })
            .map_err(|error| failed(&error))?;
        let mut message = [0; 256];
        let waiting = async {
            loop {
                let length = ready.recv(&mut message).await?;
                if message[..length].windows(7).any(|word| word == b"READY=1") {
                    return Ok::<_, std::io::Error>(());
                }
            }
        };
        let told = tokio::time::timeout(CONTAINERD, waiting).await;
        if !matches!(told, Ok(Ok(()))) {
            let log = fs::read_to_string(&log_path).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(5).collect();
            let last = lines.into_iter().rev().collect::<Vec<_>>().join("\n");
            return Err(failed(&format!("it was not ready after {} s: {last}", CONTAINERD.as_secs())));
        }
        Ok(Self { child, ctr: parts.containerd.file("ctr")?.to_owned(), socket })
    }

    fn ctr(&self) -> Process {
        Process::new(&self.ctr).args(["--address", self.socket.as_str(), "--namespace", NAMESPACE])
    }

    async fn import(&self, archive: &Utf8Path, reference: &str) -> Result<(), KindError> {
        self.ctr()
            .args(["images", "import"])
            // The layers are unpacked: a node would only copy them into its own volume.
            .args(["--local", "--discard-unpacked-layers", "--label", "io.cri-containerd.image=managed"])
            .args(["--snapshotter", "overlayfs", archive.as_str()])
            .deadline(IMPORT)
            .run()
            .await
            .map(drop)
            .map_err(|error| KindError::assembly(format!("import the image {reference}"), error))
    }

    /// Removes the layers' archives, which are unpacked, and ends it.
    async fn stop(mut self) -> Result<(), KindError> {
        let pruned = self.ctr().args(["content", "prune", "references"]).deadline(IMPORT).run().await;
        pruned.map_err(|error| KindError::assembly("remove unpacked layers", error))?;
        if let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            let _ = kill_process(pid, Signal::TERM);
        }
        match tokio::time::timeout(CONTAINERD, self.child.wait()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(KindError::assembly("end containerd", error)),
            Err(_) => Err(KindError::assembly("end containerd", "it did not end in time")),
        }
    }
}
