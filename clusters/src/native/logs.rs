//! A cluster's logs: the components' and the containers'.

use std::{fs, io};

use camino::{Utf8Path, Utf8PathBuf};

use super::ProviderError;

/// Where logs lie in the private directory, and the name each gets in a collection.
const SOURCES: [(&str, &str); 2] = [("logs", "components"), ("root/var/log/pods", "pods")];

/// Lines of each log in the message of a start that failed.
const LINES: usize = 6;

/// Copies the logs of the cluster in `directory` to `to`.
pub(crate) async fn collect(directory: &Utf8Path, to: &Utf8Path) -> Result<(), ProviderError> {
    let (directory, to) = (directory.to_owned(), to.to_owned());
    let target = to.clone();
    let copied = tokio::task::spawn_blocking(move || {
        for (source, name) in SOURCES {
            copy(&directory.join(source), &to.join(name))?;
        }
        Ok(())
    });
    copied.await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(ProviderError::io("copy logs to", target))
}

/// Copies regular files; what vanishes meanwhile was rotated or removed.
fn copy(from: &Utf8Path, to: &Utf8Path) -> io::Result<()> {
    let entries = match fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    fs::create_dir_all(to)?;
    for entry in entries.flatten() {
        let Ok(path) = Utf8PathBuf::from_path_buf(entry.path()) else { continue };
        let target = to.join(path.file_name().unwrap_or_default());
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            copy(&path, &target)?;
        } else if kind.is_file()
            && let Err(error) = fs::copy(&path, &target)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
    }
    Ok(())
}

/// The ends of all component logs, for a message.
pub(crate) fn tails(directory: &Utf8Path) -> Vec<String> {
    let mut tails = Vec::new();
    let Ok(entries) = fs::read_dir(directory.join("logs")) else {
        return tails;
    };
    let mut logs: Vec<Utf8PathBuf> =
        entries.flatten().filter_map(|entry| Utf8PathBuf::from_path_buf(entry.path()).ok()).collect();
    logs.sort();
    for log in logs {
        let (_, lines) = crate::init::read_log_tail(&log);
        let name = log.file_stem().unwrap_or_default();
        tails.extend(lines[lines.len().saturating_sub(LINES)..].iter().map(|line| format!("{name}: {line}")));
    }
    tails
}
