//! The lock that keeps two runs from obtaining one component at the same time.

use std::{io, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use tokio::sync::oneshot;

use super::ComponentError;

/// How long one run waits for another: a cold build of Kubernetes takes ten minutes on two cores.
const DEADLINE: Duration = Duration::from_hours(1);

/// An exclusive lock on a file. The kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Hold {
    _file: fs::File,
}

impl Hold {
    /// Takes the lock at `path`; `waiting` is called when another run has it.
    pub(super) async fn take(component: &str, path: &Utf8Path, waiting: impl FnOnce()) -> Result<Self, ComponentError> {
        let failed = |source| ComponentError::Cache { action: "lock", path: path.to_owned(), source };
        let file = open(path).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Self { _file: file }),
            Err(Errno::WOULDBLOCK) => waiting(),
            Err(errno) => return Err(failed(errno.into())),
        }
        // A thread of its own rather than the runtime's: the runtime waits for its threads at the end,
        // and this one may wait for as long as the other run takes.
        let (sender, receiver) = oneshot::channel();
        std::thread::spawn(move || {
            let locked = loop {
                match flock(&file, FlockOperation::LockExclusive) {
                    Err(Errno::INTR) => {}
                    Err(errno) => break Err(io::Error::from(errno)),
                    Ok(()) => break Ok(Self { _file: file }),
                }
            };
            // Where nobody waits any more, the lock goes with the message.
            let _ = sender.send(locked);
        });
        match tokio::time::timeout(DEADLINE, receiver).await {
            Ok(Ok(locked)) => locked.map_err(failed),
            Ok(Err(_)) | Err(_) => Err(ComponentError::Held {
                component: component.to_owned(),
                minutes: DEADLINE.as_secs() / 60,
                lock: Utf8PathBuf::from(path),
            }),
        }
    }
}

fn open(path: &Utf8Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)
}
