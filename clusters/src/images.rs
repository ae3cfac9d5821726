//! Reproducible OCI images, built without a container engine.
//!
//! A layer is an uncompressed tar archive whose entries have time 0, owner 0 and a fixed
//! order, and every JSON document has a fixed form; so the same contents give the same digest
//! anywhere. A label gives an image a fresh digest while its layers stay shared.

use std::{collections::BTreeMap, io, sync::Arc};

use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

mod archive;
mod layer;

use self::layer::{Entry, Tree};
pub use self::layer::{Layer, LayerReader};

/// The media type of an image manifest.
pub const MANIFEST_MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// The media type of an image configuration.
pub const CONFIG_MEDIA_TYPE: &str = "application/vnd.oci.image.config.v1+json";

/// The media type of an uncompressed layer.
pub const LAYER_MEDIA_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";

/// Why an image could not be built or written.
#[derive(Debug, Error)]
pub enum ImageError {
    /// A file that belongs into the image could not be read.
    #[error("cannot read {path} for an image: {source}")]
    Read {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A path inside the image has no place in a tar archive.
    #[error("\"{path}\" cannot be a path in an image: {reason}")]
    Path {
        /// The path.
        path: String,
        /// Why.
        reason: String,
    },
    /// Two entries of one layer have the same path.
    #[error("\"{path}\" is put into the same layer twice")]
    Twice {
        /// The path.
        path: String,
    },
    /// A document of the image could not be written as JSON.
    #[error("cannot write an image's configuration: {0}")]
    Json(#[from] serde_json::Error),
    /// An archive could not be written.
    #[error("cannot write the image archive {path}: {source}")]
    Archive {
        /// The archive.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Where a file's contents come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file of this host; it must not change until the image was pushed.
    Path(Utf8PathBuf),
    /// Bytes in memory.
    Bytes(Bytes),
}

/// Collects what an image is made of.
#[derive(Debug, Clone, Default)]
pub struct ImageBuilder {
    layers: Vec<Part>,
    settings: Settings,
}

/// What becomes one layer.
#[derive(Debug, Clone)]
enum Part {
    /// Entries that were added one by one.
    Tree(Tree),
    /// A tar archive as it is.
    Archive(Utf8PathBuf),
}

/// An image: its layers, its configuration and its manifest. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Image {
    settings: Settings,
    layers: Vec<Arc<Layer>>,
    config: Bytes,
    config_digest: String,
    manifest: Bytes,
    digest: String,
}

/// The part of an image's configuration that a container starts from.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entrypoint: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cmd: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    working_dir: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    stop_signal: String,
}

/// An image configuration; structs rather than maps, because the order of fields is part of a digest.
#[derive(Serialize)]
struct Configuration<'a> {
    architecture: &'a str,
    os: &'a str,
    created: &'a str,
    config: &'a Settings,
    rootfs: RootFilesystem<'a>,
}

#[derive(Serialize)]
struct RootFilesystem<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    diff_ids: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u8,
    media_type: &'a str,
    config: Descriptor<'a>,
    layers: Vec<Descriptor<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'a str,
    digest: &'a str,
    size: u64,
}

impl From<&Utf8Path> for Source {
    fn from(path: &Utf8Path) -> Self {
        Self::Path(path.to_owned())
    }
}

impl From<Utf8PathBuf> for Source {
    fn from(path: Utf8PathBuf) -> Self {
        Self::Path(path)
    }
}

impl From<&Utf8PathBuf> for Source {
    fn from(path: &Utf8PathBuf) -> Self {
        Self::Path(path.clone())
    }
}

impl From<Bytes> for Source {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Source {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl ImageBuilder {
    /// An image with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// An image that runs one statically linked program, put at `path_in_image`.
    pub fn static_binary(path_in_image: &str, source: impl Into<Source>) -> Self {
        Self::new().file(path_in_image, source, 0o755).entrypoint([path_in_image])
    }

    /// Adds a file with permission bits `mode`; missing parent directories get mode 0755.
    #[must_use]
    pub fn file(self, path_in_image: &str, source: impl Into<Source>, mode: u32) -> Self {
        self.entry(path_in_image, Entry::File { source: source.into(), mode })
    }

    /// Adds a symbolic link at `path_in_image` that points to `target`.
    #[must_use]
    pub fn symlink(self, path_in_image: &str, target: &str) -> Self {
        self.entry(path_in_image, Entry::Symlink { target: target.to_owned() })
    }

    /// Adds a directory with permission bits `mode`.
    #[must_use]
    pub fn directory(self, path_in_image: &str, mode: u32) -> Self {
        self.entry(path_in_image, Entry::Directory { mode })
    }

    /// What is added from here on goes into a further layer.
    #[must_use]
    pub fn layer(mut self) -> Self {
        self.layers.push(Part::Tree(Tree::default()));
        self
    }

    /// Adds an uncompressed tar archive as a layer of its own; it must not change while the image is in use.
    #[must_use]
    pub fn archive_layer(mut self, archive: impl Into<Utf8PathBuf>) -> Self {
        self.layers.push(Part::Archive(archive.into()));
        self
    }

    /// Sets the program and its fixed arguments.
    #[must_use]
    pub fn entrypoint<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.settings.entrypoint = words.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the default arguments.
    #[must_use]
    pub fn cmd<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.settings.cmd = words.into_iter().map(Into::into).collect();
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.settings.env.push(format!("{name}={value}"));
        self
    }

    /// Adds a label, or replaces the one of that name.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.settings.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets the user, as `uid` or `uid:gid` (root when not called).
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.settings.user);
        self
    }

    /// Sets the working directory (`/` when not called).
    #[must_use]
    pub fn working_directory(mut self, directory: &str) -> Self {
        directory.clone_into(&mut self.settings.working_dir);
        self
    }

    /// Sets the signal that asks the program to end (`SIGTERM` when not called).
    #[must_use]
    pub fn stop_signal(mut self, signal: &str) -> Self {
        signal.clone_into(&mut self.settings.stop_signal);
        self
    }

    /// Reads every file once, to compute the digests. Blocks; 10 MB take about 10 ms.
    pub fn build(self) -> Result<Image, ImageError> {
        let layers = self
            .layers
            .into_iter()
            .filter_map(|part| match part {
                Part::Tree(tree) if tree.is_empty() => None,
                Part::Tree(tree) => Some(Layer::new(tree)),
                Part::Archive(archive) => Some(Layer::of_archive(archive)),
            })
            .map(|layer| layer.map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        Image::assemble(self.settings, layers)
    }

    fn entry(mut self, path: &str, entry: Entry) -> Self {
        match self.layers.last_mut() {
            Some(Part::Tree(tree)) => tree.add(path, entry),
            Some(Part::Archive(_)) | None => {
                let mut tree = Tree::default();
                tree.add(path, entry);
                self.layers.push(Part::Tree(tree));
            }
        }
        self
    }
}

impl Image {
    /// The same image with a label added or replaced: a fresh digest over the same layers.
    pub fn with_label(&self, name: &str, value: &str) -> Result<Self, ImageError> {
        let mut settings = self.settings.clone();
        settings.labels.insert(name.to_owned(), value.to_owned());
        Self::assemble(settings, self.layers.clone())
    }

    /// Writes the image into one tar archive that is both an OCI layout and a docker archive,
    /// for `ctr import`, `podman load`, `kind load image-archive` and the like. Blocks.
    pub fn archive(&self, path: &Utf8Path, reference: &str) -> Result<(), ImageError> {
        archive::write_file(self, path, reference)
            .map_err(|source| ImageError::Archive { path: path.to_owned(), source })
    }

    /// Writes the same archive to `out`. Blocks.
    pub(crate) fn write_archive(&self, reference: &str, out: &mut dyn io::Write) -> io::Result<()> {
        archive::write(self, reference, out)
    }

    /// The manifest's digest, `sha256:…`; it names the image.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The manifest, JSON.
    pub fn manifest(&self) -> &Bytes {
        &self.manifest
    }

    /// The configuration, JSON.
    pub fn config(&self) -> &Bytes {
        &self.config
    }

    /// The configuration's digest, `sha256:…`; runtimes call it the image ID.
    pub fn config_digest(&self) -> &str {
        &self.config_digest
    }

    /// The layers, lowest first.
    pub fn layers(&self) -> &[Arc<Layer>] {
        &self.layers
    }

    /// The sum of all layers in bytes.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size()).sum()
    }

    fn assemble(settings: Settings, layers: Vec<Arc<Layer>>) -> Result<Self, ImageError> {
        // Layers are not compressed, so a layer's digest is its diff ID too.
        let diff_ids = layers.iter().map(|layer| layer.digest()).collect();
        let config = Bytes::from(serde_json::to_vec(&Configuration {
            architecture: architecture(),
            os: "linux",
            created: "1970-01-01T00:00:00Z",
            config: &settings,
            rootfs: RootFilesystem { kind: "layers", diff_ids },
        })?);
        let config_digest = digest_of(&config);
        let manifest = Bytes::from(serde_json::to_vec(&Manifest {
            schema_version: 2,
            media_type: MANIFEST_MEDIA_TYPE,
            config: Descriptor { media_type: CONFIG_MEDIA_TYPE, digest: &config_digest, size: config.len() as u64 },
            layers: layers
                .iter()
                .map(|layer| Descriptor { media_type: LAYER_MEDIA_TYPE, digest: layer.digest(), size: layer.size() })
                .collect(),
        })?);
        let digest = digest_of(&manifest);
        Ok(Self { settings, layers, config, config_digest, manifest, digest })
    }
}

/// This host's architecture in the OCI (Go) spelling.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

pub(crate) fn digest_of(bytes: &[u8]) -> String {
    layer::sha256_name(Sha256::new_with_prefix(bytes))
}

#[cfg(test)]
mod tests;
