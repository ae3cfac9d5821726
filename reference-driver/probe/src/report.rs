//! `report`: the supervisor, its mount, whether it can be changed, and process 1.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::execution::{self, Execution};
use crate::mounts::{self, Mount};
use crate::process::{self, Own, Process};

/// The file whose creation is tried beside the supervisor.
const TRIAL_FILE: &str = ".sandproof-write-trial";

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    supervisor: Supervisor,
    mount: Option<Mount>,
    write: Write,
    process: Process,
    own: Own,
    /// The `OPENSHELL_*` variables only.
    environment: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct Supervisor {
    path: PathBuf,
    exists: bool,
    sha256: Option<String>,
    size: Option<u64>,
    /// Octal, four digits.
    mode: Option<String>,
    executed: Execution,
}

#[derive(Debug, Serialize)]
struct Write {
    path: PathBuf,
    ok: bool,
    errno: Option<String>,
}

/// Looks at everything around the supervisor.
pub(crate) async fn report(supervisor: &str) -> Report {
    let path = Path::new(supervisor);
    let directory = path.parent().unwrap_or(Path::new("/"));
    Report {
        supervisor: look(path).await,
        mount: mounts::holding(directory),
        write: try_to_write(directory),
        process: process::first(),
        own: process::own(),
        environment: std::env::vars().filter(|(name, _)| name.starts_with("OPENSHELL_")).collect(),
    }
}

async fn look(path: &Path) -> Supervisor {
    let metadata = fs::metadata(path).ok();
    let digest = fs::read(path).ok().map(|bytes| hexadecimal(&Sha256::digest(&bytes)));
    Supervisor {
        path: path.to_path_buf(),
        exists: metadata.is_some(),
        sha256: digest,
        size: metadata.as_ref().map(fs::Metadata::len),
        mode: metadata.map(|metadata| format!("{:04o}", metadata.permissions().mode() & 0o7777)),
        executed: execution::of(path).await,
    }
}

fn try_to_write(directory: &Path) -> Write {
    let path = directory.join(TRIAL_FILE);
    let created = OpenOptions::new().write(true).create_new(true).open(&path);
    let errno = created.as_ref().err().map(errno_name);
    if created.is_ok() {
        // The finding is that it could be created; a trial file that stays changes nothing of it.
        let _ = fs::remove_file(&path);
    }
    Write { path, ok: errno.is_none(), errno }
}

fn errno_name(error: &io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::ROFS) => "EROFS".to_owned(),
        Some(Errno::ACCESS) => "EACCES".to_owned(),
        Some(Errno::PERM) => "EPERM".to_owned(),
        Some(Errno::NOENT) => "ENOENT".to_owned(),
        Some(Errno::NOSPC) => "ENOSPC".to_owned(),
        Some(Errno::EXIST) => "EEXIST".to_owned(),
        _ => error.to_string(),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_is_hashed_and_run() {
        let report = report("/bin/cat").await;
        assert!(report.supervisor.exists);
        assert!(report.supervisor.executed_ok());
        assert_eq!(report.supervisor.sha256.as_ref().map(String::len), Some(64));
    }

    #[tokio::test]
    async fn a_missing_program_is_reported_as_such() {
        let report = report("/nowhere/at/all").await;
        assert!(!report.supervisor.exists);
        assert_eq!(report.write.errno.as_deref(), Some("ENOENT"));
        assert!(report.supervisor.sha256.is_none());
    }

    #[test]
    fn a_writable_directory_is_reported_and_left_clean() {
        let directory = tempfile::tempdir().unwrap();
        let write = try_to_write(directory.path());
        assert!(write.ok);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    impl Supervisor {
        fn executed_ok(&self) -> bool {
            serde_json::to_value(&self.executed).unwrap()["ok"] == true
        }
    }
}
