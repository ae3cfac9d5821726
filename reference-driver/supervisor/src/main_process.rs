//! The main process a sandbox was created for.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

/// The variable with the main process, as JSON.
pub(crate) const VARIABLE: &str = "OPENSHELL_MAIN_PROCESS_SPEC";
/// The version of its form this program understands.
const VERSION: u64 = 1;

/// The main process as the driver wrote it.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct MainProcess {
    #[serde(default)]
    version: u64,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    tty: bool,
}

/// The user and group a sandbox's main process runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

impl MainProcess {
    /// Reads the specification; nothing to run is none.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let process: Self =
            serde_json::from_str(text).map_err(|error| format!("could not read {VARIABLE}: {error}"))?;
        if process.version != VERSION {
            return Err(format!("{VARIABLE} has version {}; this program understands {VERSION}", process.version));
        }
        Ok(Some(process).filter(|process| !process.command.is_empty()))
    }

    /// Starts it, as the given user if there is one.
    pub(crate) fn start(&self, identity: Option<Identity>) -> Result<Child, String> {
        let (program, arguments) = self.command.split_first().ok_or("the main process has no command")?;
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the process the sandbox exists for; nothing captures it"
        )]
        let mut command = Command::new(program);
        command.args(arguments);
        // A shell that was promised a terminal must not meet an end of input before someone attaches.
        command.stdin(if self.tty { Stdio::piped() } else { Stdio::null() });
        if let Some(identity) = identity {
            command.gid(identity.group).uid(identity.user);
        }
        command.spawn().map_err(|error| format!("could not start {program:?}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::unset("")]
    #[case::no_command(r#"{"version":1,"command":[],"tty":false}"#)]
    fn nothing_to_run(#[case] text: &str) {
        assert_eq!(MainProcess::parse(text), Ok(None));
    }

    #[test]
    fn a_command_is_read() {
        let process = MainProcess::parse(r#"{"version":1,"command":["/bin/bash","-l"],"tty":true}"#).unwrap().unwrap();
        assert_eq!(process.command, ["/bin/bash", "-l"]);
        assert!(process.tty);
    }

    #[rstest]
    #[case::not_json("bash")]
    #[case::another_version(r#"{"version":2,"command":["a"]}"#)]
    fn refused(#[case] text: &str) {
        assert!(MainProcess::parse(text).is_err());
    }
}
