//! The path of a Unix socket: a directory that is nobody else's, and no living socket, link or file in the way.

use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;
use tokio::net::UnixListener;

use super::ListenError;
use crate::faults::Faults;

/// Nobody but the user may look into the directory.
const DIRECTORY_MODE: u32 = 0o700;
/// Nobody but the user may connect.
const SOCKET_MODE: u32 = 0o600;
const PERMISSIONS: u32 = 0o777;

/// A socket that this process made; it is removed with it, unless another one is in its place by then.
#[derive(Debug)]
pub(crate) struct OwnedSocket {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Drop for OwnedSocket {
    fn drop(&mut self) {
        let own = std::fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity);
        if own && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "could not remove the socket");
        }
    }
}

/// Makes the directory if there is none, and refuses a path that is not safe or not free.
pub(super) fn prepare(path: &Path) -> Result<(), ListenError> {
    let directory = directory_of(path)?;
    make_directory(directory)?;
    check_directory(directory)?;
    check_free(path).map(drop)
}

/// Binds the socket and begins to listen; a stale one is replaced.
pub(super) fn bind(path: &Path, faults: &Faults) -> Result<(UnixListener, OwnedSocket), ListenError> {
    let directory = directory_of(path)?;
    check_directory(directory)?;
    // Two drivers that start at once must not both find the same stale socket, and one remove the other's new one.
    let locked = File::open(directory).map_err(failed("open", directory))?;
    flock(&locked, FlockOperation::LockExclusive).map_err(|error| failed("lock", directory)(error.into()))?;
    if check_free(path)? == Found::Stale && !faults.keeps_stale_socket() {
        std::fs::remove_file(path).map_err(failed("remove the stale socket", path))?;
    }
    let listener = UnixListener::bind(path).map_err(failed("bind", path))?;
    let permissions = if faults.opens_socket() { 0o666 } else { SOCKET_MODE };
    std::fs::set_permissions(path, Permissions::from_mode(permissions)).map_err(failed("set the mode of", path))?;
    let made = std::fs::symlink_metadata(path).map_err(failed("look at", path))?;
    Ok((listener, OwnedSocket { path: path.to_owned(), identity: identity(&made) }))
}

/// What is at the path of the socket, if it may be served on.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// A socket nobody listens on.
    Stale,
}

fn check_free(path: &Path) -> Result<Found, ListenError> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(failed("look at", path)(error)),
    };
    let kind = found.file_type();
    if kind.is_symlink() {
        return Err(refused(path, "it is a symbolic link; remove it or name the path it leads to"));
    }
    if !kind.is_socket() {
        return Err(refused(path, "it is there and is not a socket; remove it or name another path"));
    }
    if found.uid() != geteuid().as_raw() {
        return Err(refused(path, format!("it is a socket of user {}", found.uid())));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(refused(path, "another process serves there; end it first or name another path")),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(Found::Stale),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Found::Nothing),
        // A full backlog is somebody's too.
        Err(error) => Err(refused(path, format!("it is not clear whether another process serves there: {error}"))),
    }
}

fn directory_of(path: &Path) -> Result<&Path, ListenError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty() && path.file_name().is_some());
    directory.ok_or_else(|| refused(path, "name a file in a directory of its own, such as /run/driver/driver.sock"))
}

fn make_directory(directory: &Path) -> Result<(), ListenError> {
    match DirBuilder::new().recursive(false).mode(DIRECTORY_MODE).create(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        // Those above belong to somebody else's plan, but they must exist.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let above = directory.parent().ok_or_else(|| refused(directory, "it has no parent"))?;
            std::fs::create_dir_all(above).map_err(failed("create", above))?;
            make_directory(directory)
        }
        Err(error) => Err(failed("create", directory)(error)),
    }
}

/// Whoever can write into the directory can put another socket into the place of this one.
fn check_directory(directory: &Path) -> Result<(), ListenError> {
    let found = std::fs::symlink_metadata(directory).map_err(failed("look at", directory))?;
    if found.file_type().is_symlink() {
        return Err(refused(directory, "it is a symbolic link; name the directory it leads to"));
    }
    if !found.is_dir() {
        return Err(refused(directory, "it is not a directory"));
    }
    if found.uid() != geteuid().as_raw() {
        return Err(refused(directory, format!("it belongs to user {}; name a directory of your own", found.uid())));
    }
    let mode = found.mode() & PERMISSIONS;
    if mode & !DIRECTORY_MODE != 0 {
        let remedy = format!("others may use it (mode {mode:04o}); chmod 0700 it, or name one that need not exist");
        return Err(refused(directory, remedy));
    }
    Ok(())
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

fn refused(path: &Path, problem: impl Into<String>) -> ListenError {
    ListenError::Unsafe { path: path.to_owned(), problem: problem.into() }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ListenError {
    let path = path.to_owned();
    move |source| ListenError::File { action, path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Place {
        // Removes everything at the end.
        root: tempfile::TempDir,
        path: PathBuf,
    }

    fn place() -> Place {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("driver/driver.sock");
        Place { root, path }
    }

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().mode() & PERMISSIONS
    }

    #[tokio::test]
    async fn directory_and_socket_are_the_users_alone() {
        let place = place();
        prepare(&place.path).unwrap();
        let (_listener, owned) = bind(&place.path, &Faults::none()).unwrap();
        assert_eq!(mode(place.path.parent().unwrap()), 0o700);
        assert_eq!(mode(&place.path), 0o600);
        drop(owned);
        assert!(!place.path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let place = place();
        prepare(&place.path).unwrap();
        let (listener, owned) = bind(&place.path, &Faults::none()).unwrap();
        let error = prepare(&place.path).unwrap_err().to_string();
        assert!(error.contains("another process serves there"), "{error}");
        assert!(bind(&place.path, &Faults::none()).is_err());
        // As after a crash: the listener is gone, the file is not.
        std::mem::forget(owned);
        drop(listener);
        prepare(&place.path).unwrap();
        let (_listener, _owned) = bind(&place.path, &Faults::none()).unwrap();
        assert!(UnixStream::connect(&place.path).is_ok());
    }

    #[tokio::test]
    async fn a_socket_in_its_place_is_not_removed() {
        let place = place();
        prepare(&place.path).unwrap();
        let (listener, owned) = bind(&place.path, &Faults::none()).unwrap();
        drop(listener);
        std::fs::rename(&place.path, place.root.path().join("old")).unwrap();
        let (_other, _other_owned) = bind(&place.path, &Faults::none()).unwrap();
        drop(owned);
        assert!(place.path.exists());
    }

    #[test]
    fn links_are_refused() {
        let place = place();
        let real = place.root.path().join("real");
        DirBuilder::new().mode(0o700).create(&real).unwrap();
        symlink(&real, place.path.parent().unwrap()).unwrap();
        let error = prepare(&place.path).unwrap_err().to_string();
        assert!(error.contains("symbolic link"), "{error}");

        let path = real.join("driver.sock");
        symlink(real.join("elsewhere"), &path).unwrap();
        let error = prepare(&path).unwrap_err().to_string();
        assert!(error.contains("symbolic link"), "{error}");
    }

    #[test]
    fn a_directory_that_others_may_use_is_refused() {
        let place = place();
        let directory = place.path.parent().unwrap();
        DirBuilder::new().create(directory).unwrap();
        std::fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
        let error = prepare(&place.path).unwrap_err().to_string();
        assert!(error.contains("mode 0755"), "{error}");
    }

    #[test]
    fn a_file_in_the_way_is_refused() {
        let place = place();
        prepare(&place.path).unwrap();
        std::fs::write(&place.path, "precious").unwrap();
        assert!(prepare(&place.path).unwrap_err().to_string().contains("not a socket"));
        assert_eq!(std::fs::read_to_string(&place.path).unwrap(), "precious");
    }

    #[test]
    fn a_bare_name_is_refused() {
        assert!(prepare(Path::new("driver.sock")).is_err());
        assert!(prepare(Path::new("/")).is_err());
    }
}
