//! The one process wrapper.
//!
//! Every external program is started here, so that each has a deadline, captured
//! output and a form that a person can paste into a shell. Secrets travel by
//! environment or standard input, never by argument: arguments are printed.

mod bound;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    process::{ExitStatus, Stdio},
    sync::mpsc,
    time::Duration,
};

pub use bound::BoundChild;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal, kill_process_group};
use thiserror::Error;
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
    sync::oneshot,
};

/// The deadline of a process that names none.
pub const DEFAULT_DEADLINE: Duration = Duration::from_mins(1);

/// Lines of standard error that an error message repeats.
const STDERR_LINES: usize = 12;

/// A program to run: arguments, environment, working directory, deadline.
#[derive(Debug, Clone)]
pub struct Process {
    program: OsString,
    arguments: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    clear_environment: bool,
    directory: Option<Utf8PathBuf>,
    deadline: Duration,
    stdin: Option<Vec<u8>>,
    own_group: bool,
}

/// What a finished process left.
#[derive(Debug, Clone)]
pub struct Captured {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output, invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, invalid UTF-8 replaced.
    pub stderr: String,
}

/// Why a process gave no usable result.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// The program could not be started.
    #[error("cannot start `{command}`: {source}")]
    Start {
        /// The command as one can paste it.
        command: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ran past its deadline and was ended.
    #[error("`{command}` did not finish within {seconds} s and was ended")]
    Deadline {
        /// The command as one can paste it.
        command: String,
        /// The deadline in seconds.
        seconds: u64,
    },
    /// It ended with a failure.
    #[error("`{command}` failed ({status}): {stderr}")]
    Failed {
        /// The command as one can paste it.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its standard error.
        stderr: String,
    },
    /// Reading its output or feeding its input failed.
    #[error("lost contact with `{command}`: {source}")]
    Io {
        /// The command as one can paste it.
        command: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Where the three standard streams of a long-running process go.
#[derive(Debug)]
pub struct SpawnStdio {
    /// Standard input.
    pub stdin: Stdio,
    /// Standard output.
    pub stdout: Stdio,
    /// Standard error.
    pub stderr: Stdio,
}

impl Process {
    /// A process that runs `program`, found on `PATH` unless it has a slash.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            clear_environment: false,
            directory: None,
            deadline: DEFAULT_DEADLINE,
            stdin: None,
            own_group: false,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I, S>(mut self, arguments: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Starts from an empty environment instead of the caller's.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.clear_environment = true;
        self
    }

    /// Runs in `directory`.
    ///
    /// This costs a fork: a static program has no `posix_spawn` that changes the directory, and a fork copies the page
    /// tables of a large process and makes it fault on everything that it writes next.
    #[must_use]
    pub fn current_dir(mut self, directory: impl AsRef<Utf8Path>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// Ends the process after `deadline` ([`DEFAULT_DEADLINE`] when not called).
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Feeds `bytes` to standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// The command in a form that a person can paste into a shell.
    pub fn pasteable(&self) -> String {
        let mut words = Vec::new();
        if let Some(directory) = &self.directory {
            words.push(format!("cd {} &&", quoted(directory.as_str())));
        }
        words.push(quoted(&self.program.to_string_lossy()));
        words.extend(self.arguments.iter().map(|argument| quoted(&argument.to_string_lossy())));
        words.join(" ")
    }

    /// Runs to the end; a failure status is an error that carries the last lines of standard error.
    pub async fn run(self) -> Result<Captured, ProcessError> {
        let command = self.pasteable();
        let captured = self.output().await?;
        if captured.status.success() {
            return Ok(captured);
        }
        let lines: Vec<&str> = captured.stderr.lines().collect();
        let tail = lines[lines.len().saturating_sub(STDERR_LINES)..].join("\n");
        Err(ProcessError::Failed {
            command,
            status: captured.status,
            stderr: if tail.is_empty() { "it printed no error".to_owned() } else { tail },
        })
    }

    /// Runs to the end and returns what it left, whatever its status.
    ///
    /// An interrupt typed at the terminal does not reach it: whoever waits for it decides what an interrupt means.
    /// A process that is not waited for to its end is killed with all that it has started.
    pub async fn output(mut self) -> Result<Captured, ProcessError> {
        let command = self.pasteable();
        let deadline = self.deadline;
        let input = self.stdin.take();
        self.own_group = true;
        let mut child = self.spawn(SpawnStdio {
            stdin: if input.is_some() { Stdio::piped() } else { Stdio::null() },
            stdout: Stdio::piped(),
            stderr: Stdio::piped(),
        })?;
        let group = Group::of(&child);
        let pipe = child.stdin.take();
        let feed = async {
            if let (Some(mut pipe), Some(input)) = (pipe, input) {
                // A program that ends before it has read everything is judged by its status.
                let _ = pipe.write_all(&input).await;
            }
        };
        let work = async {
            let output = tokio::join!(child.wait_with_output(), feed).0;
            group.ended();
            output
        };
        match tokio::time::timeout(deadline, work).await {
            Err(_) => Err(ProcessError::Deadline { command, seconds: deadline.as_secs() }),
            Ok(Err(source)) => Err(ProcessError::Io { command, source }),
            Ok(Ok(output)) => Ok(Captured {
                status: output.status,
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            }),
        }
    }

    /// Starts a long-running process; it is killed when the handle is dropped.
    pub fn spawn(&self, stdio: SpawnStdio) -> Result<Child, ProcessError> {
        let mut command = self.command();
        command.stdin(stdio.stdin).stdout(stdio.stdout).stderr(stdio.stderr).kill_on_drop(true);
        command.spawn().map_err(|source| ProcessError::Start { command: self.pasteable(), source })
    }

    /// Starts a long-running process that the kernel kills with this one (by `setpriv` of util-linux), from a thread that
    /// lives until the returned sender is dropped: the kernel's order belongs to the thread that started the process,
    /// and a thread of the runtime may end before the runtime does.
    pub(crate) async fn spawn_from_lasting_thread(
        mut self,
        thread: &str,
        stdio: SpawnStdio,
    ) -> Result<(Child, mpsc::Sender<()>), ProcessError> {
        let (keeper, kept) = mpsc::channel();
        let (answer, spawned) = oneshot::channel();
        let program = std::mem::replace(&mut self.program, "setpriv".into());
        self.arguments.splice(0..0, ["--pdeathsig".into(), "KILL".into(), "--".into(), program]);
        let command = self.pasteable();
        let failed = |source| ProcessError::Start { command, source };
        let runtime = tokio::runtime::Handle::current();
        let parent = move || {
            let entered = runtime.enter();
            // A start that nobody waits for any more drops the child, which kills it.
            let _ = answer.send(self.spawn(stdio));
            drop(entered);
            // An error here is the end: the sender was dropped.
            let _ = kept.recv();
        };
        if let Err(error) = std::thread::Builder::new().name(thread.to_owned()).spawn(parent) {
            return Err(failed(error));
        }
        let child = spawned.await.map_err(|error| failed(io::Error::other(error)))??;
        Ok((child, keeper))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the wrapper that the ban points to")]
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if self.clear_environment {
            command.env_clear();
        }
        command.args(&self.arguments).envs(&self.environment);
        if self.own_group {
            command.process_group(0);
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }
}

/// The process group of a child that leads one; killed when dropped, unless the child ended by itself.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(identifier(child.id()))
    }

    /// What a program leaves behind when it ends by itself is meant to stay, as a daemon is.
    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // It may have ended just now.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// The identifier of a child that has not been waited for to its end.
fn identifier(id: Option<u32>) -> Option<Pid> {
    Pid::from_raw(id?.try_into().ok()?)
}

/// Quotes a word for a POSIX shell when it needs quoting.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:=,@%+".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_carries_the_command_and_its_standard_error() {
        let error = Process::new("sh").args(["-c", "echo broken >&2; exit 3"]).run().await.unwrap_err().to_string();
        assert!(error.contains("sh -c 'echo broken >&2; exit 3'"), "{error}");
        assert!(error.contains("broken"), "{error}");
    }

    #[tokio::test]
    async fn a_deadline_ends_the_process() {
        let error = Process::new("sleep").arg("60").deadline(Duration::from_millis(50)).run().await.unwrap_err();
        assert!(matches!(error, ProcessError::Deadline { .. }));
    }

    #[tokio::test]
    async fn a_deadline_ends_what_the_process_has_started_too() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("alive");
        let fifo = fifo.to_str().unwrap();
        Process::new("mkfifo").arg(fifo).run().await.unwrap();
        // The grandchild holds the writing end open for as long as it lives.
        let script = format!("sh -c 'exec sleep 60' > {fifo} & wait");
        let reading = tokio::spawn(Process::new("cat").arg(fifo).output());
        let ended = Process::new("sh").args(["-c", &script]).deadline(Duration::from_millis(500)).run().await;
        assert!(matches!(ended.unwrap_err(), ProcessError::Deadline { .. }));
        let read = tokio::time::timeout(Duration::from_secs(20), reading).await;
        assert!(read.unwrap().unwrap().unwrap().status.success());
    }

    #[tokio::test]
    async fn input_reaches_the_process() {
        let captured = Process::new("cat").stdin("words").run().await.unwrap();
        assert_eq!(captured.stdout, "words");
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        let process = Process::new("echo").args(["a b", "it's", "", "--flag=x"]);
        assert_eq!(process.pasteable(), r"echo 'a b' 'it'\''s' '' --flag=x");
    }
}
