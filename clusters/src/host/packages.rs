//! Installing Debian packages: the only part of the probe's room that changes the host.

use std::time::Duration;

use thiserror::Error;

use crate::process::{Process, ProcessError};

/// The deadline of one `apt-get` run.
const DEADLINE: Duration = Duration::from_mins(10);

/// Why packages were not installed.
#[derive(Debug, Error)]
pub enum InstallError {
    /// The host has no `apt-get`.
    #[error("cannot install {}: this host has no apt-get; install the equivalents with its own package manager", .packages.join(" "))]
    NoApt {
        /// The packages that were asked for.
        packages: Vec<String>,
    },
    /// `apt-get` failed.
    #[error("installing {} failed: {source}", .packages.join(" "))]
    Apt {
        /// The packages that were asked for.
        packages: Vec<String>,
        /// What it said.
        source: ProcessError,
    },
}

/// Installs Debian packages with `apt-get`, without asking questions and without recommended extras.
/// The package lists are refreshed first; a refresh that fails is not an error when the installation succeeds.
pub async fn install_packages(packages: &[String]) -> Result<(), InstallError> {
    if packages.is_empty() {
        return Ok(());
    }
    if which::which("apt-get").is_err() {
        return Err(InstallError::NoApt { packages: packages.to_vec() });
    }
    let refreshed = apt(&["update"]).run().await;
    let installed = apt(&["install", "--no-install-recommends"]).args(packages).run().await;
    match (refreshed, installed) {
        (_, Ok(_)) => Ok(()),
        (Err(source), Err(_)) | (Ok(_), Err(source)) => Err(InstallError::Apt { packages: packages.to_vec(), source }),
    }
}

fn apt(arguments: &[&str]) -> Process {
    Process::new("apt-get")
        .args(["--quiet", "--assume-yes"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .deadline(DEADLINE)
}
