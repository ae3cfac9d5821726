//! The command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::sidecar::{Owner, STATE_DIRECTORY, TLS_DIRECTORY};

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Copies this program.
    CopySelf { destination: PathBuf },
    /// Prints the version.
    Version,
    /// Runs as the first process of a sandbox that consists of one container.
    Supervise { work_directory: Option<PathBuf> },
    /// Prepares what the two containers of a sandbox share.
    NetworkInit { owner: Owner, state_directory: PathBuf, tls_directory: PathBuf },
    /// Runs beside the agent as long as it lives.
    Network { state_directory: PathBuf },
    /// Runs the main process in a container without rights.
    Process { work_directory: Option<PathBuf>, state_directory: PathBuf },
}

/// The options as they were given; the last one of a name counts.
#[derive(Debug, Default)]
struct Options {
    mode: Option<String>,
    work_directory: Option<PathBuf>,
    proxy_user: Option<u32>,
    proxy_group: Option<u32>,
    state_directory: Option<PathBuf>,
    tls_directory: Option<PathBuf>,
}

/// Reads the arguments behind the program's name.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut arguments = arguments.into_iter().peekable();
    if arguments.peek().is_some_and(|first| first == "copy-self") {
        arguments.next();
        return match (arguments.next().filter(|path| !path.is_empty()), arguments.next()) {
            (Some(destination), None) => Ok(Command::CopySelf { destination: destination.into() }),
            _ => Err("copy-self takes one destination: a file or a directory".to_owned()),
        };
    }
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        let (name, inline) = split(&argument);
        let mut value = || inline.clone().or_else(|| arguments.next()).ok_or_else(|| format!("{name} takes a value"));
        match name.as_str() {
            "--version" | "-V" => return Ok(Command::Version),
            "--mode" => options.mode = Some(text(&name, value()?)?),
            "--workdir" => options.work_directory = Some(directory(&name, value()?)?),
            "--sidecar-state-dir" => options.state_directory = Some(directory(&name, value()?)?),
            "--sidecar-tls-dir" => options.tls_directory = Some(directory(&name, value()?)?),
            "--proxy-uid" => options.proxy_user = Some(number(&name, value()?)?),
            "--proxy-gid" => options.proxy_group = Some(number(&name, value()?)?),
            // This supervisor filters no traffic, so it has no use for the way out; a driver may tell it all the same.
            "--upstream-proxy" | "--upstream-no-proxy" | "--upstream-proxy-auth-file" => drop(value()?),
            "--upstream-proxy-auth-allow-insecure" | "--upstream-proxy-connect-by-hostname" => {}
            _ => return Err(format!("unknown argument {name}")),
        }
    }
    options.command()
}

impl Options {
    fn command(self) -> Result<Command, String> {
        let state_directory = self.state_directory.unwrap_or_else(|| STATE_DIRECTORY.into());
        let work_directory = self.work_directory;
        match self.mode.as_deref() {
            None => Ok(Command::Supervise { work_directory }),
            Some("network-init") => {
                let user = self.proxy_user.ok_or("--mode=network-init needs --proxy-uid")?;
                let owner = Owner { user, group: self.proxy_group.unwrap_or(user) };
                let tls_directory = self.tls_directory.unwrap_or_else(|| TLS_DIRECTORY.into());
                Ok(Command::NetworkInit { owner, state_directory, tls_directory })
            }
            Some("network") => Ok(Command::Network { state_directory }),
            Some("process") => Ok(Command::Process { work_directory, state_directory }),
            Some(other) => Err(format!("unknown mode {other:?}; there are network-init, network and process")),
        }
    }
}

/// `--name=value` into its two parts.
fn split(argument: &OsStr) -> (String, Option<OsString>) {
    let bytes = argument.as_bytes();
    match bytes.iter().position(|byte| *byte == b'=').filter(|_| bytes.starts_with(b"--")) {
        Some(at) => {
            (OsStr::from_bytes(&bytes[..at]).display().to_string(), Some(OsString::from_vec(bytes[at + 1..].to_vec())))
        }
        None => (argument.display().to_string(), None),
    }
}

fn text(name: &str, value: OsString) -> Result<String, String> {
    value.into_string().map_err(|value| format!("{name} {} is not UTF-8", value.display()))
}

fn directory(name: &str, value: OsString) -> Result<PathBuf, String> {
    if value.is_empty() { Err(format!("{name} takes a directory")) } else { Ok(value.into()) }
}

fn number(name: &str, value: OsString) -> Result<u32, String> {
    let value = text(name, value)?;
    value.parse().map_err(|_| format!("{name} {value:?} is not a number"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Command, String> {
        parse(arguments.iter().map(OsString::from))
    }

    #[rstest]
    #[case::copy(&["copy-self", "/dest/file"], Command::CopySelf { destination: "/dest/file".into() })]
    #[case::version(&["--version"], Command::Version)]
    #[case::workdir(&["--workdir", "/sandbox"], Command::Supervise { work_directory: Some("/sandbox".into()) })]
    #[case::workdir_inline(&["--workdir=/sand=box"], Command::Supervise { work_directory: Some("/sand=box".into()) })]
    #[case::bare(&[], Command::Supervise { work_directory: None })]
    #[case::proxy(&["--upstream-proxy", "http://p:1", "--upstream-proxy-connect-by-hostname"], Command::Supervise { work_directory: None })]
    #[case::network_init(
        &["--mode=network-init", "--proxy-uid", "1337", "--proxy-gid", "1338", "--sidecar-state-dir", "/s", "--sidecar-tls-dir", "/t"],
        Command::NetworkInit { owner: Owner { user: 1337, group: 1338 }, state_directory: "/s".into(), tls_directory: "/t".into() }
    )]
    #[case::network(&["--mode=network"], Command::Network { state_directory: STATE_DIRECTORY.into() })]
    #[case::process(
        &["--mode", "process", "--workdir", "/w"],
        Command::Process { work_directory: Some("/w".into()), state_directory: STATE_DIRECTORY.into() }
    )]
    fn understood(#[case] arguments: &[&str], #[case] command: Command) {
        assert_eq!(parsed(arguments), Ok(command));
    }

    #[rstest]
    #[case::no_destination(&["copy-self"])]
    #[case::empty_destination(&["copy-self", ""])]
    #[case::two_destinations(&["copy-self", "a", "b"])]
    #[case::no_directory(&["--workdir"])]
    #[case::empty_directory(&["--workdir="])]
    #[case::unknown(&["--network"])]
    #[case::unknown_mode(&["--mode=combined"])]
    #[case::no_user(&["--mode=network-init"])]
    #[case::no_number(&["--mode=network-init", "--proxy-uid", "proxy"])]
    #[case::no_proxy(&["--upstream-proxy"])]
    fn refused(#[case] arguments: &[&str]) {
        assert!(parsed(arguments).is_err());
    }
}
