//! The process of the registry behind the gate: the `distribution` project's own program.

use std::{collections::VecDeque, io, process::Stdio, sync::mpsc, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use thiserror::Error;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStderr},
    sync::{oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::secret::random_word;
use crate::process::{Process, ProcessError, SpawnStdio};

/// From the start of the process to its socket being ready.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// From the kill to the process being gone.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// Lines of its log that a death report repeats.
const TAIL_LINES: usize = 20;

/// The socket's name inside the private directory.
const SOCKET: &str = "registry.sock";

/// The directory of the images inside the private directory.
const STORAGE: &str = "storage";

/// Mounts a file system in memory on `$0` and becomes the program that the arguments name. One
/// process becomes the next, so that the kernel's order to kill it stays in force.
const MOUNT_THEN_RUN: &str = r#"mount -t tmpfs -o mode=0700 sandproof "$0" && exec "$@""#;

/// Why the registry process could not be started.
#[derive(Debug, Error)]
pub enum DistributionError {
    /// Its directory or configuration could not be written.
    #[error("cannot prepare the registry's directory {directory}: {source}")]
    Directory {
        /// The directory.
        directory: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The program could not be started.
    #[error("cannot start the registry: {0}")]
    Start(#[from] ProcessError),
    /// It ended, or was not ready in time.
    #[error("the registry {program} did not become ready: {found}; its last words: {log}")]
    NotReady {
        /// The program.
        program: Utf8PathBuf,
        /// What was seen instead.
        found: String,
        /// The last lines of its log.
        log: String,
    },
}

/// A running registry process and its supervisor.
pub(super) struct Distribution {
    directory: Utf8PathBuf,
    death: watch::Receiver<Option<String>>,
    stop: CancellationToken,
    supervisor: JoinHandle<()>,
    /// The thread that started the process lives until this is dropped.
    _parent: mpsc::Sender<()>,
}

impl Distribution {
    /// Starts `program` with its configuration, log and socket in `directory`.
    ///
    /// The process dies with this one: it is killed when the handle is dropped, and the kernel
    /// kills it when this process ends, whatever ended it.
    pub(super) async fn start(program: &Utf8Path, directory: &Utf8Path) -> Result<Self, DistributionError> {
        let failed = |source| DistributionError::Directory { directory: directory.to_owned(), source };
        write_configuration(directory).await.map_err(failed)?;
        // The program runs inside of it, so a relative path would not find it again.
        let directory = &directory.canonicalize_utf8().map_err(failed)?;
        let log = fs_err::tokio::File::create(directory.join("registry.log")).await.map_err(failed)?;
        let program = program.canonicalize_utf8().map_err(failed)?;
        let mut words = storage_words(directory).await;
        words.extend([program.as_str(), "serve", "config.yml"].map(str::to_owned));
        let process = Process::new(&words[0])
            .args(&words[1..])
            .env("REGISTRY_HTTP_SECRET", random_word())
            // Otherwise it looks for a collector of traces and complains for ever.
            .env("OTEL_TRACES_EXPORTER", "none")
            .current_dir(directory);
        let stdio = SpawnStdio { stdin: Stdio::null(), stdout: Stdio::null(), stderr: Stdio::piped() };
        let (mut child, parent) = process.spawn_from_lasting_thread("registry-parent", stdio).await?;
        let stop = CancellationToken::new();
        let (report, death) = watch::channel(None);
        let (ready, is_ready) = oneshot::channel();
        let stderr = child.stderr.take();
        let supervisor = tokio::spawn(supervise(child, stderr, log, ready, report, stop.clone()));
        let mut distribution = Self { directory: directory.to_owned(), death, stop, supervisor, _parent: parent };
        let found = match tokio::time::timeout(START_DEADLINE, is_ready).await {
            Ok(Ok(())) => return Ok(distribution),
            Ok(Err(_)) => "it ended".to_owned(),
            Err(_) => format!("its socket was not ready after {} s", START_DEADLINE.as_secs()),
        };
        distribution.stop().await;
        let log = distribution.death.borrow().clone().unwrap_or_default();
        Err(DistributionError::NotReady { program, found, log })
    }

    /// The socket it listens on.
    pub(super) fn socket(&self) -> Utf8PathBuf {
        self.directory.join(SOCKET)
    }

    /// Turns to a description when the process ends before it was told to.
    pub(super) fn death(&self) -> watch::Receiver<Option<String>> {
        self.death.clone()
    }

    /// Ends the process and removes its socket and its images; the log stays.
    pub(super) async fn stop(&mut self) {
        self.stop.cancel();
        if tokio::time::timeout(STOP_DEADLINE, &mut self.supervisor).await.is_err() {
            self.supervisor.abort();
        }
        // Gone already when the process never came that far.
        let _ = fs_err::tokio::remove_file(self.socket()).await;
        let _ = fs_err::tokio::remove_dir_all(self.directory.join(STORAGE)).await;
    }
}

impl Drop for Distribution {
    fn drop(&mut self) {
        // The supervisor owns the child, which is killed when dropped.
        self.supervisor.abort();
    }
}

async fn write_configuration(directory: &Utf8Path) -> io::Result<()> {
    fs_err::tokio::create_dir_all(directory.join(STORAGE)).await?;
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs_err::tokio::set_permissions(directory, private).await?;
    // JSON is YAML. The program's own storage in memory copies a blob again for each piece that
    // arrives, which takes 40 s for 75 MB.
    let configuration = json!({
        "version": "0.1",
        "log": {"level": "info", "formatter": "json", "accesslog": {"disabled": true}},
        "storage": {
            "filesystem": {"rootdirectory": STORAGE},
            "cache": {"blobdescriptor": "inmemory"},
            "maintenance": {"uploadpurging": {"enabled": false}},
        },
        "http": {"net": "unix", "addr": SOCKET, "relativeurls": true},
    });
    fs_err::tokio::write(directory.join("config.yml"), configuration.to_string()).await
}

/// The words that give the program a storage in memory where this host allows it.
///
/// A file system in memory, mounted where only the program sees it, vanishes with the program.
/// On a disk each push of a small image waits 40 ms for the disk instead of 5 ms.
async fn storage_words(directory: &Utf8Path) -> Vec<String> {
    let storage = directory.join(STORAGE);
    let words = ["unshare", "--mount", "sh", "-c", MOUNT_THEN_RUN, storage.as_str()];
    let tried = Process::new(words[0]).args(&words[1..]).arg("true").deadline(START_DEADLINE).run().await;
    if let Err(error) = tried {
        tracing::info!(%error, "the registry keeps its images on disk");
        return Vec::new();
    }
    words.into_iter().map(str::to_owned).collect()
}

async fn supervise(
    mut child: Child,
    stderr: Option<ChildStderr>,
    log: fs_err::tokio::File,
    ready: oneshot::Sender<()>,
    report: watch::Sender<Option<String>>,
    stop: CancellationToken,
) {
    let mut tail = VecDeque::new();
    let ended = {
        let reading = read_log(stderr, log, ready, &mut tail);
        let ending = async { tokio::join!(child.wait(), reading).0 };
        tokio::select! {
            status = ending => Some(status),
            () = stop.cancelled() => None,
        }
    };
    let how = match ended {
        Some(Ok(status)) => format!("the registry ended by itself ({status})"),
        Some(Err(error)) => format!("lost contact with the registry: {error}"),
        None => {
            // It may have ended just now.
            let _ = child.kill().await;
            "stopped".to_owned()
        }
    };
    let words = Vec::from(tail).join("\n");
    report.send_replace(Some(format!("{how}\n{words}")));
}

/// Copies the log to its file, keeps its last lines, and tells when the socket is ready.
async fn read_log(
    stderr: Option<ChildStderr>,
    mut log: fs_err::tokio::File,
    ready: oneshot::Sender<()>,
    tail: &mut VecDeque<String>,
) {
    let Some(stderr) = stderr else { return };
    let mut ready = Some(ready);
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(mut line)) = lines.next_line().await {
        if line.contains("listening on")
            && let Some(ready) = ready.take()
        {
            // Nobody waits any more after the deadline.
            let _ = ready.send(());
        }
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line.clone());
        line.push('\n');
        // A full disk must not end the registry.
        let _ = log.write_all(line.as_bytes()).await;
    }
    let _ = log.flush().await;
}
