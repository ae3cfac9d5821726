//! Starting processes as PID 1, and reaping every process that ends.
//!
//! PID 1 inherits the orphans of the whole namespace, so it waits for any process and not for
//! handles; this is why the crate's process wrapper does not serve here.

use std::{
    ffi::OsStr,
    fs::OpenOptions,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use camino::Utf8Path;
use rustix::process::{WaitId, WaitIdOptions, WaitOptions, WaitStatus, wait, waitid};
use tokio::sync::mpsc::UnboundedSender;

use crate::native::plan::{ComponentPlan, log_path};

/// A process that ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Its number in the namespace.
    pub(super) pid: i32,
    /// How it ended.
    pub(super) status: String,
}

/// Starts components and reaps.
#[derive(Debug, Clone, Default)]
pub(super) struct Reaper {
    /// Held while a process is started: the standard library waits for a child that it could not
    /// turn into its program, and must find it.
    starting: Arc<Mutex<()>>,
}

/// A command of the standard library.
#[expect(
    clippy::disallowed_methods,
    reason = "the first process of a namespace reaps every process itself, and has no runtime before it is isolated"
)]
pub(super) fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

impl Reaper {
    /// Starts `component` with its log beneath `directory`; returns its process number.
    pub(super) fn start(&self, component: &ComponentPlan, directory: &Utf8Path) -> Result<i32, String> {
        let log = log_path(directory, &component.name);
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(|error| format!("cannot open the log {log}: {error}"))?;
        let errors = output.try_clone().map_err(|error| format!("cannot open the log {log} twice: {error}"))?;
        let _starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command(&component.program)
            .args(&component.arguments)
            .env_clear()
            .envs(&component.environment)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("cannot start {} ({}): {error}", component.name, component.program))?;
        i32::try_from(child.id()).map_err(|error| error.to_string())
    }

    /// Reaps in a thread of its own and tells `ended` about each process. Call it once there is
    /// a child: without one, waiting ends at once.
    pub(super) fn run(&self, ended: UnboundedSender<Ended>) {
        let starting = Arc::clone(&self.starting);
        thread::spawn(move || {
            while wait_for_any() {
                let _starting = starting.lock().unwrap_or_else(PoisonError::into_inner);
                while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
                    let ended_process = Ended { pid: pid.as_raw_nonzero().get(), status: describe(status) };
                    if ended.send(ended_process).is_err() {
                        return;
                    }
                }
            }
        });
    }
}

/// Waits until some child has ended, and leaves it to be reaped; false when there is no child.
fn wait_for_any() -> bool {
    loop {
        match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

fn describe(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown status".to_owned(),
    }
}
