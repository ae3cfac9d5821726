//! Removing what a cluster holds outside of its namespaces, and saying what could not be removed.
//!
//! The processes are gone before: the kernel ends all of a PID namespace with its first process.

use std::{
    fs, io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};

use super::Holdings;
use crate::{
    ledger::{ProcessIdentity, end_of},
    process::Process,
};

/// How long the processes of a killed cluster may take to end.
const DEATH: Duration = Duration::from_secs(10);

/// How long control groups may stay busy after their processes ended.
const GROUPS: Duration = Duration::from_secs(5);

/// First pause before a busy control group is tried again; v1 groups offer nothing to watch.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// Ends a cluster and removes everything that it holds, with its directory. Returns what is left.
pub(crate) async fn remove(directory: &Utf8Path, holdings: &Holdings) -> Vec<String> {
    let mut leftovers = end_processes(holdings).await;
    leftovers.extend(remove_groups(&holdings.groups, GROUPS).await);
    leftovers.extend(remove_link(&holdings.link).await);
    leftovers.extend(remove_directory(directory).await);
    leftovers
}

/// Kills the first process and waits until it and the process that watches over it are gone.
async fn end_processes(holdings: &Holdings) -> Vec<String> {
    let deadline = tokio::time::Instant::now() + DEATH;
    let mut leftovers = Vec::new();
    let first = holdings.first_process.and_then(ProcessIdentity::kill);
    if let Some(process) = holdings.supervisor {
        // It ends by itself once the first process has; without one it has nothing to wait for.
        let handle = if first.is_some() { process.watch() } else { process.kill() };
        if !ended(handle, deadline).await {
            leftovers.push(format!("process {} (sandproof-cluster-init)", process.pid));
        }
    }
    if !ended(first, deadline).await {
        leftovers
            .push(format!("process {} and its namespace", holdings.first_process.map_or(0, |process| process.pid)));
    }
    leftovers
}

/// Waits until the process of a handle has ended.
pub(crate) async fn ended(handle: Option<OwnedFd>, deadline: tokio::time::Instant) -> bool {
    let Some(handle) = handle else { return true };
    matches!(tokio::time::timeout_at(deadline, end_of(handle)).await, Ok(Ok(())))
}

/// Removes control-group subtrees, leaves first.
pub(crate) async fn remove_groups(groups: &[Utf8PathBuf], within: Duration) -> Vec<String> {
    let deadline = Instant::now() + within;
    let mut leftovers = Vec::new();
    for group in groups {
        let mut pause = FIRST_PAUSE;
        while let Err(error) = remove_group(group) {
            if Instant::now() >= deadline {
                leftovers.push(format!("control group {group}: {error}"));
                break;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }
    leftovers
}

fn remove_group(group: &Utf8Path) -> io::Result<()> {
    let children = match fs::read_dir(group) {
        Ok(children) => children,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for child in children.flatten() {
        let path = child.path();
        if child.file_type().is_ok_and(|kind| kind.is_dir())
            && let Ok(path) = Utf8PathBuf::from_path_buf(path)
        {
            remove_group(&path)?;
        }
    }
    match fs::remove_dir(group) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes the host's end of the veth pair. The kernel does it too, some time after the network
/// namespace has gone; doing it here makes it certain.
pub(crate) async fn remove_link(link: &str) -> Vec<String> {
    let present = || Utf8Path::new("/sys/class/net").join(link).exists();
    if !present() {
        return Vec::new();
    }
    let result = Process::new("ip").args(["link", "delete", link]).run().await;
    match result {
        Err(error) if present() => vec![format!("network link {link}: {error}")],
        _ => Vec::new(),
    }
}

/// Removes a directory and all in it.
pub(crate) async fn remove_directory(directory: &Utf8Path) -> Vec<String> {
    let path = directory.to_owned();
    let removed = tokio::task::spawn_blocking(move || fs::remove_dir_all(path)).await;
    match removed {
        Ok(Err(error)) if error.kind() != io::ErrorKind::NotFound => vec![format!("directory {directory}: {error}")],
        Err(error) => vec![format!("directory {directory}: {error}")],
        Ok(_) => Vec::new(),
    }
}
