//! A small supervisor with the contract of OpenShell's: it copies itself into a pod, and then runs as its first process.
//!
//! `openshell-sandbox copy-self DEST` copies the program; `openshell-sandbox --workdir DIR` runs as process 1, starts the main
//! process of `OPENSHELL_MAIN_PROCESS_SPEC` and reaps what is orphaned.

mod copy;
mod main_process;
mod supervise;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// The exit status for a wrong command line.
const USAGE: u8 = 2;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    CopySelf { destination: PathBuf },
    Version,
    Supervise { work_directory: Option<PathBuf> },
}

fn main() -> ExitCode {
    let outcome = match parse(std::env::args_os().skip(1)) {
        Err(problem) => {
            complain(&problem);
            return ExitCode::from(USAGE);
        }
        Ok(Command::CopySelf { destination }) => copy::copy_self(&destination).map(|()| ExitCode::SUCCESS),
        Ok(Command::Version) => writeln!(std::io::stdout(), "openshell-sandbox {}", env!("CARGO_PKG_VERSION"))
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| format!("could not print the version: {error}")),
        Ok(Command::Supervise { work_directory }) => supervise::supervise(work_directory.as_deref()),
    };
    outcome.unwrap_or_else(|problem| {
        complain(&problem);
        ExitCode::FAILURE
    })
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut arguments = arguments.into_iter();
    let first = arguments.next();
    if first.as_deref() == Some("copy-self".as_ref()) {
        return match (arguments.next().filter(|path| !path.is_empty()), arguments.next()) {
            (Some(destination), None) => Ok(Command::CopySelf { destination: destination.into() }),
            _ => Err("copy-self takes one destination: a file or a directory".to_owned()),
        };
    }
    let mut work_directory = None;
    let mut next = first;
    while let Some(argument) = next {
        match argument.to_str() {
            Some("--version" | "-V") => return Ok(Command::Version),
            Some("--workdir") => {
                let directory = arguments.next().ok_or("--workdir takes a directory")?;
                work_directory = Some(directory.into());
            }
            _ => return Err(format!("unknown argument {}", argument.display())),
        }
        next = arguments.next();
    }
    Ok(Command::Supervise { work_directory })
}

fn complain(problem: &str) {
    // With standard error closed, the exit status still tells.
    let _ = writeln!(std::io::stderr(), "openshell-sandbox: {problem}");
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
    #[case::bare(&[], Command::Supervise { work_directory: None })]
    fn understood(#[case] arguments: &[&str], #[case] command: Command) {
        assert_eq!(parsed(arguments), Ok(command));
    }

    #[rstest]
    #[case::no_destination(&["copy-self"])]
    #[case::empty_destination(&["copy-self", ""])]
    #[case::two_destinations(&["copy-self", "a", "b"])]
    #[case::no_directory(&["--workdir"])]
    #[case::unknown(&["--mode=network"])]
    fn refused(#[case] arguments: &[&str]) {
        assert!(parsed(arguments).is_err());
    }
}
