//! A thin program in front of runc (`sandproof-oci-runtime`): on `create`, `run` and `exec` it
//! adjusts what the host cannot do, then becomes runc.
//!
//! Which adjustments are made is read from [`CONFIGURATION`] beside the name it was called by;
//! a host that needs none uses runc directly.

mod adjustments;
mod arguments;

use std::{
    ffi::OsString,
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use serde::{Deserialize, Serialize};

pub use self::adjustments::Adjustments;
use self::arguments::Target;

/// Name of the configuration file.
pub const CONFIGURATION: &str = "oci-runtime.json";

/// Name of the program, and of the link to it that runtimes are configured with.
pub const PROGRAM: &str = "sandproof-oci-runtime";

/// What the program is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Configuration {
    /// The runtime to become.
    pub runtime: PathBuf,
    /// What to adjust.
    pub adjustments: Adjustments,
}

/// Runs the program with all its arguments, its own name first. Returns only on failure.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let reason = match prepare(arguments) {
        Ok(configuration) => become_runtime(&configuration.runtime, arguments),
        Err(reason) => reason,
    };
    complain(&reason);
    ExitCode::FAILURE
}

fn prepare(arguments: &[OsString]) -> Result<Configuration, String> {
    let path = beside(arguments.first().map(PathBuf::from).unwrap_or_default()).join(CONFIGURATION);
    let text = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let configuration: Configuration =
        serde_json::from_slice(&text).map_err(|error| format!("cannot parse {}: {error}", path.display()))?;
    match arguments::target(arguments.get(1..).unwrap_or_default()) {
        Some(Target::Bundle(directory)) => {
            rewrite(&directory.join("config.json"), |bundle| configuration.adjustments.adjust_bundle(bundle))?;
        }
        Some(Target::Process(file)) => {
            rewrite(&file, |process| configuration.adjustments.adjust_process(process))?;
        }
        None => {}
    }
    Ok(configuration)
}

/// The directory of the name that the program was called by. A bare name was found on the search path, and there the
/// program is itself rather than a link to it.
fn beside(name: PathBuf) -> PathBuf {
    let full = if name.components().count() > 1 { name } else { std::env::current_exe().unwrap_or(name) };
    full.parent().map(Path::to_owned).unwrap_or_default()
}

/// Changes a JSON file in place when `change` says that it did.
fn rewrite(path: &Path, change: impl FnOnce(&mut serde_json::Value) -> bool) -> Result<(), String> {
    let failed = |action: &str, error: &dyn std::fmt::Display| format!("cannot {action} {}: {error}", path.display());
    let text = fs::read(path).map_err(|error| failed("read", &error))?;
    let mut value = serde_json::from_slice(&text).map_err(|error| failed("parse", &error))?;
    if change(&mut value) {
        fs::write(path, value.to_string()).map_err(|error| failed("write", &error))?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "this process is replaced; there is nothing to wait for")]
fn become_runtime(runtime: &Path, arguments: &[OsString]) -> String {
    let error = Command::new(runtime).args(arguments.get(1..).unwrap_or_default()).exec();
    format!("cannot run {}: {error}", runtime.display())
}

#[expect(clippy::print_stderr, reason = "a container runtime reports to its caller on standard error")]
fn complain(reason: &str) {
    eprintln!("{PROGRAM}: {reason}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_looked_for_where_the_program_is() {
        assert_eq!(beside("/run/one/runc".into()), Path::new("/run/one"));
        let own = std::env::current_exe().unwrap();
        assert_eq!(Some(beside("runc".into()).as_path()), own.parent());
    }
}
