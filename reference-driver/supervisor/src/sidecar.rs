//! The two parts of a supervisor whose network is guarded by a container of its own.
//!
//! They know of each other over a named pipe in a directory that both mount: the agent's part holds its writing end open as
//! long as it lives, so that the other part ends with it, however it ended, and the pod can end.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;
use std::process::ExitCode;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::io::Errno;
use tokio::signal::unix::SignalKind;

use crate::supervise::listen;

/// Where both parts mount their shared directory.
pub(crate) const STATE_DIRECTORY: &str = "/run/openshell-sidecar";
/// Where the network's part has its certificates.
pub(crate) const TLS_DIRECTORY: &str = "/etc/openshell-tls/supervisor";
/// The named pipe.
const LIFE_LINE: &str = "agent";

/// The user and group that the network's part runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

/// Makes the named pipe, and gives the certificates' directory to the network's part alone.
pub(crate) fn prepare(owner: Owner, state_directory: &Path, tls_directory: &Path) -> Result<ExitCode, String> {
    let pipe = state_directory.join(LIFE_LINE);
    match mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o660), 0) {
        // A pod whose init containers run a second time finds it there.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(format!("could not make the pipe {}: {error}", pipe.display())),
    }
    // The directory's group is the pod's, which both parts belong to; the mask of this process must not take its rights away.
    set_mode(&pipe, 0o660)?;
    chown(tls_directory, Some(owner.user), Some(owner.group))
        .map_err(|error| format!("could not give {} to user {}: {error}", tls_directory.display(), owner.user))?;
    set_mode(tls_directory, 0o700)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs until the agent's part has ended, or until SIGTERM.
pub(crate) fn accompany(state_directory: &Path) -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| format!("could not start the runtime: {error}"))?;
    let outcome = runtime.block_on(async {
        let mut terminate = listen(SignalKind::terminate())?;
        let mut interrupt = listen(SignalKind::interrupt())?;
        let pipe = state_directory.join(LIFE_LINE);
        let agent = tokio::task::spawn_blocking(move || until_closed(&pipe));
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
            ended = agent => ended.map_err(|error| format!("could not await the agent: {error}"))?,
        }
    });
    // The thread may still be waiting for an agent that never came.
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}

/// Says that the agent's part is there, until the returned file is closed.
pub(crate) fn announce(state_directory: &Path) -> Result<File, String> {
    let pipe = state_directory.join(LIFE_LINE);
    // With both ends open it does not wait for the other part, which may start later.
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(&pipe)
        .map_err(|error| format!("could not open the pipe {}: {error}", pipe.display()))
}

/// Waits until a writing end was opened, and then until none is open any more.
fn until_closed(pipe: &Path) -> Result<(), String> {
    let problem = |error: std::io::Error| format!("could not read the pipe {}: {error}", pipe.display());
    until_end(File::open(pipe).map_err(problem)?).map_err(problem)
}

fn until_end(mut line: File) -> std::io::Result<()> {
    std::io::copy(&mut line, &mut std::io::sink()).map(drop)
}

fn set_mode(path: &Path, mode: u32) -> Result<(), String> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|error| format!("could not set the mode of {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn prepared() -> (tempfile::TempDir, tempfile::TempDir) {
        let (state, tls) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let own = fs::metadata(tls.path()).unwrap();
        let owner = Owner { user: own.uid(), group: own.gid() };
        prepare(owner, state.path(), tls.path()).unwrap();
        (state, tls)
    }

    #[test]
    fn the_directory_of_certificates_is_private_and_the_pipe_is_shared() {
        let (state, tls) = prepared();
        assert_eq!(fs::metadata(tls.path()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(state.path().join(LIFE_LINE)).unwrap().mode() & 0o777, 0o660);
    }

    #[test]
    fn preparing_twice_is_fine() {
        let (state, tls) = prepared();
        let own = fs::metadata(tls.path()).unwrap();
        prepare(Owner { user: own.uid(), group: own.gid() }, state.path(), tls.path()).unwrap();
    }

    #[test]
    fn the_network_part_ends_with_the_agents_part() {
        let (state, _tls) = prepared();
        let pipe = state.path().join(LIFE_LINE);
        let agent = announce(state.path()).unwrap();
        let (opened, is_open) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn(move || {
            let line = File::open(&pipe).unwrap();
            opened.send(()).unwrap();
            until_end(line)
        });
        is_open.recv().unwrap();
        assert!(!waiting.is_finished());
        drop(agent);
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn without_a_pipe_it_says_so() {
        let state = tempfile::tempdir().unwrap();
        assert!(announce(state.path()).unwrap_err().contains("pipe"));
        assert!(until_closed(&state.path().join(LIFE_LINE)).unwrap_err().contains("pipe"));
    }
}
