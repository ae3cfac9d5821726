//! Process 1 of a sandbox: runs the main process, reaps every child, ends at the first SIGTERM.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::ExitCode;

use rustix::process::{Pid, WaitOptions, WaitStatus, geteuid, wait};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::main_process::{Identity, MainProcess, VARIABLE};

/// The exit status for a main process that could not be started, as shells have it.
const NOT_STARTED: u8 = 127;
/// What a shell adds to the signal's number when a signal ended a process.
const SIGNALLED: i32 = 128;

/// Runs until the main process ends, or until SIGTERM if there is none.
pub(crate) fn supervise(work_directory: Option<&Path>) -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| format!("could not start the runtime: {error}"))?;
    runtime.block_on(run(work_directory))
}

async fn run(work_directory: Option<&Path>) -> Result<ExitCode, String> {
    // Before anything is started: process 1 has no default action for a signal, and an early child's end must be seen.
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut children = listen(SignalKind::child())?;

    let identity = identity();
    if let Some(directory) = work_directory {
        enter(directory, identity)?;
    }
    let specification = std::env::var(VARIABLE).unwrap_or_default();
    let main = match MainProcess::parse(&specification)?.map(|process| process.start(identity)) {
        None => None,
        Some(Ok(child)) => Some(child),
        Some(Err(problem)) => {
            crate::complain(&problem);
            return Ok(ExitCode::from(NOT_STARTED));
        }
    };
    let main_id = main.as_ref().and_then(|child| Pid::from_raw(child.id().try_into().ok()?));

    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
            _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
            _ = children.recv() => {
                if let Some(code) = reap(main_id) {
                    return Ok(code);
                }
            }
        }
    }
}

/// Awaits a signal from now on.
pub(crate) fn listen(kind: SignalKind) -> Result<Signal, String> {
    signal(kind).map_err(|error| format!("could not await signals: {error}"))
}

/// Collects every child that has ended; the main process's end decides this program's.
fn reap(main: Option<Pid>) -> Option<ExitCode> {
    let mut code = None;
    // One signal may stand for many children.
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if Some(pid) == main {
            code = Some(exit_code(status));
        }
    }
    code
}

fn exit_code(status: WaitStatus) -> ExitCode {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| SIGNALLED + signal));
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The main process's user and group; only root can become someone else.
fn identity() -> Option<Identity> {
    let number = |name: &str| std::env::var(name).ok()?.parse().ok();
    if !geteuid().is_root() {
        return None;
    }
    Some(Identity { user: number("OPENSHELL_SANDBOX_UID")?, group: number("OPENSHELL_SANDBOX_GID")? })
}

fn enter(directory: &Path, identity: Option<Identity>) -> Result<(), String> {
    let problem = |error: std::io::Error| format!("could not enter {}: {error}", directory.display());
    if !directory.is_dir() {
        fs::create_dir_all(directory).map_err(problem)?;
        if let Some(identity) = identity {
            chown(directory, Some(identity.user), Some(identity.group)).map_err(problem)?;
        }
    }
    std::env::set_current_dir(directory).map_err(problem)
}
