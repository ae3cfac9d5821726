//! A small supervisor with the contract of OpenShell's: it copies itself into a pod, and then runs as its first process.
//!
//! `openshell-sandbox copy-self DEST` copies the program; `openshell-sandbox --workdir DIR` runs as process 1, starts the main
//! process of `OPENSHELL_MAIN_PROCESS_SPEC` and reaps what is orphaned. With `--mode` it is one of the parts of a supervisor
//! whose network is guarded by a container of its own.

mod arguments;
mod copy;
mod faults;
mod main_process;
mod sidecar;
mod supervise;

use std::io::Write;
use std::process::ExitCode;

use arguments::Command;

/// The exit status for a wrong command line.
const USAGE: u8 = 2;

/// Does what the command line says.
pub fn main() -> ExitCode {
    let outcome = match arguments::parse(std::env::args_os().skip(1)) {
        Err(problem) => {
            complain(&problem);
            return ExitCode::from(USAGE);
        }
        Ok(Command::CopySelf { destination }) => copy::copy_self(&destination).map(|()| ExitCode::SUCCESS),
        Ok(Command::Version) => writeln!(std::io::stdout(), "openshell-sandbox {}", env!("CARGO_PKG_VERSION"))
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| format!("could not print the version: {error}")),
        Ok(Command::Supervise { work_directory }) => supervise::supervise(work_directory.as_deref()),
        Ok(Command::NetworkInit { owner, state_directory, tls_directory }) => {
            sidecar::prepare(owner, &state_directory, &tls_directory)
        }
        Ok(Command::Network { state_directory }) => sidecar::accompany(&state_directory),
        Ok(Command::Process { work_directory, state_directory }) => sidecar::announce(&state_directory)
            // It stays open until this process has ended.
            .and_then(|_line| supervise::supervise(work_directory.as_deref())),
    };
    outcome.unwrap_or_else(|problem| {
        complain(&problem);
        ExitCode::FAILURE
    })
}

fn complain(problem: &str) {
    // With standard error closed, the exit status still tells.
    let _ = writeln!(std::io::stderr(), "openshell-sandbox: {problem}");
}
