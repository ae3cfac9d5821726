//! Taking programs out of a gzip-compressed tar archive.

use std::{collections::BTreeMap, io};

use camino::{Utf8Path, Utf8PathBuf};
use flate2::read::GzDecoder;
use fs_err::os::unix::fs::OpenOptionsExt;
use thiserror::Error;

/// The mode of a program.
pub(super) const PROGRAM_MODE: u32 = 0o755;

/// Why an archive did not give its programs.
#[derive(Debug, Error)]
pub(super) enum ArchiveError {
    #[error("the archive has no file {}", .0.join(", "))]
    Missing(Vec<String>),
    #[error("the archive is damaged: {0}")]
    Damaged(io::Error),
    #[error(transparent)]
    Write(io::Error),
}

/// Extracts `members` (program name → path in the archive) to `directory/<program name>`.
/// Nothing else is read, so a path in the archive cannot lead outside.
pub(super) fn extract(
    archive: &Utf8Path,
    members: &BTreeMap<String, String>,
    directory: &Utf8Path,
) -> Result<(), ArchiveError> {
    let mut wanted: BTreeMap<Utf8PathBuf, &str> =
        members.iter().map(|(program, path)| (normal(path), program.as_str())).collect();
    let file = fs_err::File::open(archive).map_err(ArchiveError::Damaged)?;
    let mut reader = tar::Archive::new(GzDecoder::new(io::BufReader::new(file)));
    for entry in reader.entries().map_err(ArchiveError::Damaged)? {
        let mut entry = entry.map_err(ArchiveError::Damaged)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some(program) = wanted.remove(&normal(&path)) else { continue };
        let mut out = fs_err::OpenOptions::new();
        out.write(true).create_new(true).mode(PROGRAM_MODE);
        let mut out = out.open(directory.join(program)).map_err(ArchiveError::Write)?;
        copy(&mut entry, &mut out)?;
        if wanted.is_empty() {
            return Ok(());
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    Err(ArchiveError::Missing(wanted.into_keys().map(Utf8PathBuf::into_string).collect()))
}

/// Copies and tells a damaged archive from a full disk.
fn copy(from: &mut impl io::Read, to: &mut impl io::Write) -> Result<(), ArchiveError> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer).map_err(ArchiveError::Damaged)? {
            0 => return Ok(()),
            count => to.write_all(&buffer[..count]).map_err(ArchiveError::Write)?,
        }
    }
}

/// A member's path without a leading `./`, which archivers write or leave out.
fn normal(path: &str) -> Utf8PathBuf {
    Utf8Path::new(path).components().filter(|component| !matches!(component, camino::Utf8Component::CurDir)).collect()
}
