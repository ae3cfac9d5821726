//! `copy-self`: puts the running program where the agent container finds it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::faults;

/// Readable and executable for everyone, writable for its owner.
const MODE: u32 = 0o755;
/// What it must not be.
const PRIVATE_MODE: u32 = 0o700;

/// Copies this program to a file, or into a directory under its own name, and creates missing parents.
pub(crate) fn copy_self(destination: &Path) -> Result<(), String> {
    let source = std::env::current_exe().map_err(|error| format!("could not find this program: {error}"))?;
    match copy(&source, destination) {
        Err(_) if faults::is_on("copy-fails-quietly") => Ok(()),
        outcome => outcome,
    }
}

fn copy(source: &Path, destination: &Path) -> Result<(), String> {
    let target = target_of(source, destination)?;
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| format!("could not create {}: {error}", parent.display()))?;
    // Copied beside the target and then renamed, so that nobody ever runs half a program.
    let mut partial = target.clone().into_os_string();
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = PathBuf::from(partial);
    let mode = if faults::is_on("copy-privately") { PRIVATE_MODE } else { MODE };
    let copied = fs::copy(source, &partial)
        .and_then(|_| fs::set_permissions(&partial, fs::Permissions::from_mode(mode)))
        .and_then(|()| fs::rename(&partial, &target));
    copied.map_err(|error| {
        // There may be nothing to remove, and the copy's own error is the one to tell.
        let _ = fs::remove_file(&partial);
        format!("could not copy {} to {}: {error}", source.display(), target.display())
    })
}

fn target_of(source: &Path, destination: &Path) -> Result<PathBuf, String> {
    let names_directory = destination.as_os_str().as_bytes().ends_with(b"/") || destination.is_dir();
    if faults::is_on("copy-over-directory") {
        let bytes = destination.as_os_str().as_bytes();
        return Ok(OsStr::from_bytes(bytes.strip_suffix(b"/").unwrap_or(bytes)).into());
    }
    if !names_directory {
        return Ok(destination.to_path_buf());
    }
    let name = source.file_name().ok_or_else(|| format!("{} has no file name", source.display()))?;
    Ok(destination.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Room {
        directory: tempfile::TempDir,
        source: PathBuf,
    }

    fn room() -> Room {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("openshell-sandbox");
        fs::write(&source, b"program").unwrap();
        fs::set_permissions(&source, fs::Permissions::from_mode(0o555)).unwrap();
        Room { directory, source }
    }

    fn assert_copied(path: &Path) {
        assert_eq!(fs::read(path).unwrap(), b"program");
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o755);
    }

    #[test]
    fn a_file_is_created_with_its_parents() {
        let room = room();
        let target = room.directory.path().join("a/b/c");
        copy(&room.source, &target).unwrap();
        assert_copied(&target);
    }

    #[test]
    fn a_directory_keeps_the_name() {
        let room = room();
        let directory = room.directory.path().join("there");
        fs::create_dir(&directory).unwrap();
        copy(&room.source, &directory).unwrap();
        assert_copied(&directory.join("openshell-sandbox"));
    }

    #[test]
    fn a_trailing_slash_means_a_directory_even_if_it_is_missing() {
        let room = room();
        let mut directory = room.directory.path().join("missing").into_os_string();
        directory.push("/");
        copy(&room.source, Path::new(&directory)).unwrap();
        assert_copied(&room.directory.path().join("missing/openshell-sandbox"));
    }

    #[test]
    fn an_existing_file_is_replaced() {
        let room = room();
        let target = room.directory.path().join("target");
        fs::write(&target, b"old").unwrap();
        copy(&room.source, &target).unwrap();
        assert_copied(&target);
    }

    #[test]
    fn a_file_in_the_way_of_a_parent_is_an_error_and_leaves_nothing() {
        let room = room();
        let blocker = room.directory.path().join("blocker");
        fs::write(&blocker, b"").unwrap();
        let error = copy(&room.source, &blocker.join("target")).unwrap_err();
        assert!(error.contains("blocker"), "{error}");
        assert_eq!(fs::read_dir(room.directory.path()).unwrap().count(), 2);
    }
}
