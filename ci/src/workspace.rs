//! The repository: where it is, which files belong to it, which crates it has.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};
use sandproof_clusters::process::Process;
use serde::Deserialize;

/// The repository.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: Utf8PathBuf,
}

/// One crate of the workspace.
#[derive(Debug)]
pub(crate) struct Crate {
    pub(crate) name: String,
    /// The directory, relative to the root.
    pub(crate) directory: Utf8PathBuf,
    pub(crate) license: Option<String>,
    /// The crates of this workspace that it depends on, for building or for testing.
    pub(crate) dependencies: Vec<String>,
}

/// A text file of the repository.
#[derive(Debug)]
pub(crate) struct TextFile {
    /// Relative to the root.
    pub(crate) path: Utf8PathBuf,
    pub(crate) text: String,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: Utf8PathBuf,
    license: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    path: Option<Utf8PathBuf>,
}

impl Workspace {
    /// The one that the working directory is in.
    pub(crate) fn find() -> Result<Self> {
        let start = Utf8PathBuf::try_from(std::env::current_dir()?)?;
        let root = start
            .ancestors()
            .find(|directory| directory.join("clusters/components").is_dir() && directory.join("Cargo.lock").is_file())
            .with_context(|| format!("{start} is not inside of the repository"))?;
        Ok(Self { root: root.to_owned() })
    }

    /// An absolute path for one relative to the root.
    pub(crate) fn path(&self, relative: impl AsRef<Utf8Path>) -> Utf8PathBuf {
        self.root.join(relative)
    }

    /// Every text file that is tracked, or would be once it is added.
    pub(crate) async fn text_files(&self) -> Result<Vec<TextFile>> {
        let listed = Process::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&self.root)
            .run()
            .await
            .context("listing the files of the repository")?;
        let mut files: BTreeMap<Utf8PathBuf, String> = BTreeMap::new();
        for path in listed.stdout.split('\0').filter(|path| !path.is_empty()) {
            // A file that was deleted but not yet removed from the index is none.
            let Ok(bytes) = fs_err::read(self.path(path)) else { continue };
            if let Ok(text) = String::from_utf8(bytes) {
                files.insert(path.into(), text);
            }
        }
        Ok(files.into_iter().map(|(path, text)| TextFile { path, text }).collect())
    }

    /// Every crate of the workspace.
    pub(crate) async fn crates(&self) -> Result<Vec<Crate>> {
        let printed = Process::new("cargo")
            .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
            .current_dir(&self.root)
            .deadline(Duration::from_mins(2))
            .run()
            .await
            .context("reading the workspace")?;
        let metadata: Metadata =
            serde_json::from_str(&printed.stdout).context("reading what cargo metadata printed")?;
        metadata.packages.into_iter().map(|package| self.member(package)).collect()
    }

    fn member(&self, package: Package) -> Result<Crate> {
        let directory = package.manifest_path.parent().context("a manifest without a directory")?;
        Ok(Crate {
            directory: directory.strip_prefix(&self.root)?.to_owned(),
            name: package.name,
            license: package.license,
            dependencies: package
                .dependencies
                .into_iter()
                .filter(|dependency| dependency.path.is_some())
                .map(|dependency| dependency.name)
                .collect(),
        })
    }
}
