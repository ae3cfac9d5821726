//! Writing what a cluster reads.

use std::{
    fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
};

use camino::{Utf8Path, Utf8PathBuf};

use super::{ProviderError, plan::INSIDE};

/// The private directory of a cluster, seen from the host.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    directory: Utf8PathBuf,
}

impl Files {
    pub(crate) fn new(directory: &Utf8Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Where a file of the directory is, on the host.
    pub(crate) fn outside(&self, path: &str) -> Utf8PathBuf {
        self.directory.join(path)
    }

    /// Writes a file that only root reads, with its directories; returns its path inside the
    /// cluster's mount namespace.
    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) -> Result<String, ProviderError> {
        let file = self.outside(path);
        if let Some(parent) = file.parent() {
            make_directory(parent)?;
        }
        fs::File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&file)
            .and_then(|mut opened| opened.write_all(text.as_ref()))
            .map_err(ProviderError::io("write", &file))?;
        Ok(inside(path))
    }

    /// Writes a value as JSON.
    pub(crate) fn write_json(&self, path: &str, value: &impl serde::Serialize) -> Result<String, ProviderError> {
        let text = serde_json::to_vec_pretty(value)
            .map_err(|error| ProviderError::io("write", self.outside(path))(error.into()))?;
        self.write(path, text)
    }

    /// Makes a symbolic link; returns its path inside.
    pub(crate) fn link(&self, path: &str, target: &Utf8Path) -> Result<String, ProviderError> {
        let link = self.outside(path);
        if let Some(parent) = link.parent() {
            make_directory(parent)?;
        }
        std::os::unix::fs::symlink(target, &link).map_err(ProviderError::io("link", &link))?;
        Ok(inside(path))
    }
}

fn make_directory(directory: &Utf8Path) -> Result<(), ProviderError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(ProviderError::io("create", directory))
}

/// The path of a file of the directory inside the cluster's mount namespace.
pub(crate) fn inside(path: &str) -> String {
    format!("{INSIDE}/{path}")
}
