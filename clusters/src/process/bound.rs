//! Processes that die with this one, whatever ends it.

use std::{io, process::ExitStatus, sync::mpsc, time::Duration};

use rustix::process::{Signal, kill_process};
use tokio::process::{Child, ChildStderr};

use super::{Process, ProcessError, SpawnStdio, identifier};

/// A long-running process that the kernel kills when this process ends, and that is killed when this is dropped.
#[derive(Debug)]
pub struct BoundChild {
    child: Child,
    /// The thread that started the process lives until this is dropped.
    _parent: mpsc::Sender<()>,
}

impl Process {
    /// Starts a long-running process that dies with this one.
    ///
    /// An interrupt typed at the terminal does not reach it: it is needed until everything is cleaned up.
    pub async fn spawn_bound(mut self, stdio: SpawnStdio) -> Result<BoundChild, ProcessError> {
        self.own_group = true;
        let (child, parent) = self.spawn_from_lasting_thread("process-parent", stdio).await?;
        Ok(BoundChild { child, _parent: parent })
    }
}

impl BoundChild {
    /// Waits until it has ended.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Its identifier; none once it has ended and was waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its standard error, where it was started with a pipe; once.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Kills it and waits until it is gone.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Asks it to end (SIGTERM), and kills it where it has not after `deadline`.
    pub async fn end(&mut self, deadline: Duration) {
        if let Some(id) = identifier(self.child.id()) {
            // It may have ended just now.
            let _ = kill_process(id, Signal::TERM);
            if tokio::time::timeout(deadline, self.child.wait()).await.is_err() {
                let _ = self.child.kill().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use rustix::process::Pid;

    use super::*;

    fn quiet() -> SpawnStdio {
        SpawnStdio { stdin: Stdio::null(), stdout: Stdio::null(), stderr: Stdio::null() }
    }

    #[tokio::test]
    async fn it_is_asked_to_end_and_then_killed() {
        let mut polite = Process::new("sleep").arg("60").spawn_bound(quiet()).await.unwrap();
        polite.end(Duration::from_secs(20)).await;
        assert!(polite.id().is_none());
        let deaf = Process::new("sh").args(["-c", "trap '' TERM; while :; do sleep 1; done"]);
        let mut deaf = deaf.spawn_bound(quiet()).await.unwrap();
        deaf.end(Duration::from_millis(200)).await;
        assert!(deaf.id().is_none());
    }

    #[tokio::test]
    async fn an_interrupt_of_the_terminal_does_not_reach_it() {
        let mut child = Process::new("sleep").arg("60").spawn_bound(quiet()).await.unwrap();
        let id = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
        assert_eq!(rustix::process::getpgid(Some(id)).unwrap(), id);
        child.kill().await.unwrap();
    }

    #[tokio::test]
    async fn how_it_ended_is_told() {
        let mut child = Process::new("sh").args(["-c", "exit 7"]).spawn_bound(quiet()).await.unwrap();
        assert_eq!(child.wait().await.unwrap().code(), Some(7));
    }
}
