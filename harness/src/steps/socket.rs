//! `socket`: the Unix socket that a driver listens on, as its own machine shows it.

use std::{
    fs::Metadata,
    io::{ErrorKind, Read},
    os::unix::{
        fs::{FileTypeExt, MetadataExt},
        net::UnixStream,
    },
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use sandproof_clusters::provider::{NodeAccess, NodeProcesses};
use sandproof_scenarios::time_limits;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::StepError;
use crate::{
    scene::Scene,
    subject::{Deployed, chart::SOCKET},
};

/// How long a driver may take from its start to its socket.
const DEADLINE: Duration = time_limits::SOCKET;

/// Between two looks: nothing announces a socket of another file system.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a stranger may be left without an answer.
const ANSWER: Duration = Duration::from_secs(2);

/// The permissions of a mode.
const PERMISSIONS: u32 = 0o777;

/// Looks at the socket once somebody listens there, and knocks at it.
pub(super) async fn look(scene: &Scene) -> Result<Value, StepError> {
    let end = Instant::now() + DEADLINE;
    let mut path = place(scene)?;
    while !path.as_deref().is_some_and(listens) && Instant::now() < end {
        tokio::time::sleep(PAUSE).await;
        path = place(scene)?;
    }
    let looking = tokio::task::spawn_blocking(move || {
        let socket = path.as_ref().and_then(|path| path.symlink_metadata().ok());
        let directory = path.as_deref().and_then(Utf8Path::parent).and_then(|parent| parent.symlink_metadata().ok());
        let knocked = path.as_deref().filter(|_| socket.is_some()).and_then(|path| knock(path, socket.as_ref()));
        json!({
            "listens": path.as_deref().is_some_and(listens),
            "exists": socket.as_ref().is_some_and(|found| found.file_type().is_socket()),
            "directoryMode": directory.map(|found| mode(&found)),
            "socketMode": socket.as_ref().map(mode),
            "owner": socket.as_ref().map(MetadataExt::uid),
            "otherUser": knocked,
        })
    });
    looking.await.map_err(|error| StepError::environment("look at the driver's socket", error))
}

/// Where the socket is, as a path of this host; none while there is no process.
fn place(scene: &Scene) -> Result<Option<Utf8PathBuf>, StepError> {
    let missing = || StepError::Subject("the driver does not run, so it has no socket".to_owned());
    let deployed = scene.deployed.as_ref().ok_or_else(missing)?;
    if let Some(socket) = deployed.socket() {
        return Ok(Some(socket.to_owned()));
    }
    let uid = Deployed::pod_uid(deployed).ok_or_else(missing)?;
    let NodeAccess::Runtime { processes, .. } = &scene.stage.node_access else {
        return Err(StepError::environment("look at the driver's socket", "its node is not on this host"));
    };
    Ok(processes.of_pod(uid).first().map(|process| NodeProcesses::path(*process, Utf8Path::new(SOCKET))))
}

fn listens(path: &Utf8Path) -> bool {
    UnixStream::connect(path).is_ok()
}

/// Whether this process, which is another user than the socket's, is let in; none where it is the same user.
fn knock(path: &Utf8Path, socket: Option<&Metadata>) -> Option<&'static str> {
    let own = std::fs::metadata("/proc/self").ok()?.uid();
    if socket?.uid() == own {
        return None;
    }
    let Ok(mut stream) = UnixStream::connect(path) else { return Some("refused") };
    stream.set_read_timeout(Some(ANSWER)).ok()?;
    // Whoever is let in gets the server's first frame, or is waited for; whoever is not sees the end.
    let mut byte = [0];
    match stream.read(&mut byte) {
        Ok(0) => Some("refused"),
        Ok(_) => Some("admitted"),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Some("admitted"),
        Err(_) => Some("refused"),
    }
}

fn mode(found: &Metadata) -> String {
    format!("{:04o}", found.mode() & PERMISSIONS)
}
