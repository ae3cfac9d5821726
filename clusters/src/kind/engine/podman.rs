//! Podman without a service of its own, and on hosts where its defaults do not work.

use std::{
    collections::BTreeMap,
    fs::Permissions,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt, net::UnixListener},
    },
    process::Stdio,
};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

use super::{EngineError, OciPrograms};
use crate::{
    host::{CgroupLayout, Host},
    ledger::ProcessIdentity,
    native::adjustments,
    oci_runtime::{CONFIGURATION as OCI_CONFIGURATION, Configuration, PROGRAM},
    process::{BoundChild, Process, SpawnStdio},
};

/// The variable that names a configuration in place of the user's.
pub(super) const CONFIGURATION: &str = "CONTAINERS_CONF";

/// The name that containers remember their OCI runtime by. Every private configuration has it, so that a later one
/// can remove what an earlier one made.
const RUNTIME: &str = "sandproof";

/// Hands the socket on as systemd would, so that it can be connected to before podman is up.
const ACTIVATE: &str = r#"LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@" 3<&0 </dev/null"#;

/// `podman system service`, which ends with this process.
pub(super) struct Service {
    socket: Utf8PathBuf,
    child: BoundChild,
}

impl Service {
    /// Starts it, with its socket in `directory`.
    pub(super) async fn start(
        directory: &Utf8Path,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, EngineError> {
        let failed = |error: &dyn std::fmt::Display| EngineError::Service { reason: error.to_string() };
        private_directory(directory)?;
        let socket = directory.join("podman.sock");
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).map_err(|error| failed(&error))?;
        let log = fs::File::create(directory.join("podman.log")).map_err(|error| failed(&error))?;
        let podman = which::which("podman").map_err(|error| failed(&error))?;
        let process = environment
            .iter()
            .fold(Process::new("sh"), |process, (name, value)| process.env(name, value))
            .args(["-c", ACTIVATE])
            .arg(podman)
            .args(["system", "service", "--time=0"]);
        let stdio = SpawnStdio {
            stdin: OwnedFd::from(listener).into(),
            stdout: Stdio::null(),
            stderr: log.into_parts().0.into(),
        };
        let child = process.spawn_bound(stdio).await.map_err(|error| failed(&error))?;
        Ok(Self { socket, child })
    }

    pub(super) fn socket(&self) -> &Utf8Path {
        &self.socket
    }

    /// Its process; none once it has ended.
    pub(super) fn process(&self) -> Option<ProcessIdentity> {
        ProcessIdentity::of_child(self.child.id())
    }

    /// Ends it and waits for that.
    pub(super) async fn end(mut self) {
        // It may have ended by itself.
        let _ = self.child.kill().await;
        let _ = fs::remove_file(&self.socket);
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Service").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// Whether podman's containers do not start with its defaults: the capability for its resource limits is missing, or
/// its OCI runtime does not take this layout of control groups.
pub(super) fn needs_configuration(host: &Host) -> bool {
    adjustments(host).clamp_resource_limits || host.cgroup == CgroupLayout::V1Hybrid
}

/// Writes a private configuration and returns its path. The user's own is left alone.
pub(super) fn configure(host: &Host, directory: &Utf8Path, oci: &OciPrograms) -> Result<Utf8PathBuf, EngineError> {
    private_directory(directory)?;
    let program = directory.join(PROGRAM);
    let _ = fs::remove_file(&program);
    fs::os::unix::fs::symlink(&oci.wrapper, &program)
        .map_err(|source| EngineError::Io { path: program.clone(), source })?;
    let configuration = Configuration { runtime: oci.runc.clone().into_std_path_buf(), adjustments: adjustments(host) };
    let text = serde_json::to_string(&configuration).unwrap_or_default();
    write(&directory.join(OCI_CONFIGURATION), &text)?;
    let path = directory.join("containers.conf");
    write(&path, &containers_conf(&program))?;
    Ok(path)
}

/// Writes a private configuration that is good for ending and removing containers alone: it knows their OCI runtime by
/// name, whatever became of the program that they were started with. Returns the variable that names it; none where
/// this host has no runc.
pub(super) fn configure_removal(directory: &Utf8Path) -> Result<Option<(String, String)>, EngineError> {
    let Some(runc) = any_runc() else { return Ok(None) };
    private_directory(directory)?;
    let path = directory.join("containers.conf");
    write(&path, &format!("[engine.runtimes]\n{RUNTIME} = [\"{runc}\"]\n"))?;
    Ok(Some((CONFIGURATION.to_owned(), path.into_string())))
}

/// The pinned runc from the component cache, else the host's own.
fn any_runc() -> Option<Utf8PathBuf> {
    let cached = crate::components::default_cache().join("components/runc");
    let entries = cached.read_dir_utf8().into_iter().flatten().flatten();
    let mut cached: Vec<Utf8PathBuf> =
        entries.map(|entry| entry.path().join("runc")).filter(|runc| runc.is_file()).collect();
    cached.sort();
    cached.pop().or_else(|| Utf8PathBuf::from_path_buf(which::which("runc").ok()?).ok())
}

fn containers_conf(program: &Utf8Path) -> String {
    format!("[engine]\nruntime = \"{RUNTIME}\"\n\n[engine.runtimes]\n{RUNTIME} = [\"{program}\"]\n")
}

fn private_directory(directory: &Utf8Path) -> Result<(), EngineError> {
    let failed = |source| EngineError::Io { path: directory.to_owned(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    fs::set_permissions(directory, Permissions::from_mode(0o700)).map_err(failed)
}

fn write(path: &Utf8Path, text: &str) -> Result<(), EngineError> {
    fs::write(path, text).map_err(|source| EngineError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_private_configuration_names_the_runtime_in_front_of_runc() {
        insta::assert_snapshot!(containers_conf("/state/engine/sandproof-oci-runtime".into()), @r#"
        [engine]
        runtime = "sandproof"

        [engine.runtimes]
        sandproof = ["/state/engine/sandproof-oci-runtime"]
        "#);
    }
}
