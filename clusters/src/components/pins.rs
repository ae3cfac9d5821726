//! `pins.yaml`: the one place that versions live in.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{axes::Axes, template::Template};

/// The schema that this reads.
const SCHEMA: &str = "sandproof.pins/v1";

/// Everything that `pins.yaml` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pins {
    /// `sandproof.pins/v1`.
    pub schema: String,
    /// The axes of compatibility: which versions are run with which.
    pub axes: Axes,
    /// Each component by its name.
    pub components: BTreeMap<String, ComponentPin>,
    /// Node images of the kind project.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_images: Vec<NodeImagePin>,
    /// Debian packages that the host needs.
    pub packages: Vec<PinnedPackage>,
}

/// A node image of the kind project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeImagePin {
    /// The Kubernetes release in it.
    pub kubernetes: String,
    /// The release of kind that it was made for.
    pub kind: String,
    /// The containerd release in it.
    pub containerd: String,
    /// Its name with its digest.
    pub image: String,
}

/// A Debian package that the host needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PinnedPackage {
    /// Its name.
    pub name: String,
    /// What for.
    pub why: String,
}

/// One component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ComponentPin {
    /// Its own name for itself.
    pub title: String,
    /// The version that is taken where none is asked for.
    pub default: String,
    /// Every pinned version; each has a directory under `components/<name>/`.
    pub versions: Vec<String>,
    /// The programs that it has, wherever it came from.
    pub programs: Vec<String>,
    /// Modules that a build takes at another version than the component asks for: by the component's version, the module's
    /// path and its version. For modules that the mirror or the checksum database does not have; `components lock` writes them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replacements: BTreeMap<String, BTreeMap<String, String>>,
    /// The official downloads; empty where the project publishes no programs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub official: Vec<Download>,
    /// How it is built.
    pub build: BuildPin,
}

/// An official download. One whose URL has `{program}` is fetched once for each program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Download {
    /// Where it is (template).
    pub url: String,
    /// The checksum that the project publishes for it.
    pub checksum: Checksum,
    /// What it is.
    pub format: Format,
    /// For an archive: the path inside it (template) of each program.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub members: BTreeMap<String, String>,
    /// SHA-256 sums that are known, by expanded URL; they win over the published checksum.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sha256: BTreeMap<String, String>,
}

/// What a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// The program itself.
    #[serde(rename = "file")]
    File,
    /// A gzip-compressed tar archive.
    #[serde(rename = "tar.gz")]
    TarGz,
}

/// A published SHA-256 checksum: a bare sum, or the lines that `sha256sum` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checksum {
    /// Where it is (template).
    pub url: String,
}

/// How a component is built from the module in `components/<name>/<version>/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BuildPin {
    /// The component's own Go module.
    pub module: String,
    /// For Kubernetes: the version (template) of its staging modules, which are published apart from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staging: Option<String>,
    /// Go build tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whether it has C parts; they are linked statically.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cgo: bool,
    /// Each program's package; `.` is the `main.go` beside `go.mod`.
    pub programs: BTreeMap<String, String>,
    /// Further names of a program that acts by the name it is called by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, Vec<String>>,
    /// Programs in C inside the Go module.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub c: BTreeMap<String, CSource>,
    /// Go string variables that are set at link time (value: template).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// Directories of the Go module that come with the programs: the name here, the path there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub directories: BTreeMap<String, Utf8PathBuf>,
    /// Debian packages that the build needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
}

/// A program in C.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CSource {
    /// Where its sources are in the Go module.
    pub directory: Utf8PathBuf,
    /// The compiler's flags.
    pub flags: Vec<String>,
}

/// Why the pins could not be used.
#[derive(Debug, Error)]
pub enum PinsError {
    /// The file could not be read.
    #[error("cannot read the pins: {0}")]
    Read(#[from] std::io::Error),
    /// The file is not what this expects.
    #[error("{path} is not valid: {message}")]
    Syntax {
        /// The file.
        path: Utf8PathBuf,
        /// Where and what.
        message: String,
    },
    /// The file contradicts itself.
    #[error("{path} contradicts itself: {contradiction}")]
    Contradiction {
        /// The file.
        path: Utf8PathBuf,
        /// What does not fit.
        contradiction: String,
    },
}

impl Pins {
    /// Reads and checks a file.
    pub fn load(path: impl AsRef<Utf8Path>) -> Result<Self, PinsError> {
        let path = path.as_ref();
        Self::parse(&fs_err::read_to_string(path)?, path)
    }

    /// The component called `name`.
    pub fn component(&self, name: &str) -> Option<&ComponentPin> {
        self.components.get(name)
    }

    pub(super) fn parse(text: &str, path: &Utf8Path) -> Result<Self, PinsError> {
        let options = serde_saphyr::options! { legacy_octal_numbers: true };
        let pins: Self = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| PinsError::Syntax { path: path.to_owned(), message: error.to_string() })?;
        match pins.contradiction() {
            None => Ok(pins),
            Some(contradiction) => Err(PinsError::Contradiction { path: path.to_owned(), contradiction }),
        }
    }

    fn contradiction(&self) -> Option<String> {
        if self.schema != SCHEMA {
            return Some(format!("its schema is `{}`, and this reads `{SCHEMA}`", self.schema));
        }
        let pinned = |component: &str, version: &str| {
            self.component(component).is_some_and(|pin| pin.versions.iter().any(|known| known == version))
        };
        if let Some(contradiction) = self.axes.contradiction(pinned) {
            return Some(contradiction);
        }
        if let Some(contradiction) = self.node_images.iter().find_map(NodeImagePin::contradiction) {
            return Some(contradiction);
        }
        self.components
            .iter()
            .find_map(|(name, pin)| pin.contradiction().map(|contradiction| format!("{name}: {contradiction}")))
    }
}

impl NodeImagePin {
    /// A tag can be moved; a digest cannot.
    fn contradiction(&self) -> Option<String> {
        let (name, digest) = self.image.split_once("@sha256:").unwrap_or((&self.image, ""));
        if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Some(format!("the node image {} has no SHA-256 digest", self.image));
        }
        let tag = format!(":v{}", self.kubernetes);
        (!name.ends_with(&tag))
            .then(|| format!("the node image {} is not one of Kubernetes {}", self.image, self.kubernetes))
    }
}

impl ComponentPin {
    fn contradiction(&self) -> Option<String> {
        if !self.versions.contains(&self.default) {
            return Some(format!("its default {} is not among its versions", self.default));
        }
        if let Some(version) = self.replacements.keys().find(|version| !self.versions.contains(version)) {
            return Some(format!("it has replacements for {version}, which is not among its versions"));
        }
        let built = self.build.names();
        if let Some(program) = self.programs.iter().find(|program| !built.contains(&program.as_str())) {
            return Some(format!("its build does not make `{program}`"));
        }
        for download in &self.official {
            let archive = download.format == Format::TarGz;
            if archive == download.members.is_empty() {
                return Some(format!("{}: an archive has members, a file has none", download.url));
            }
            if !archive && !download.url.contains("{program}") && self.programs.len() != 1 {
                return Some(format!("{}: which of its programs is it?", download.url));
            }
        }
        for version in &self.versions {
            let Ok(template) = Template::new(version) else {
                return Some(format!("`{version}` is not a version of three numbers"));
            };
            let template = template.program("program");
            let unknown = self.templates().find_map(|text| template.expand(text).err());
            if let Some(unknown) = unknown {
                return Some(unknown.to_string());
            }
        }
        None
    }

    fn templates(&self) -> impl Iterator<Item = &str> {
        let downloads = self
            .official
            .iter()
            .flat_map(|download| [&download.url, &download.checksum.url].into_iter().chain(download.members.values()));
        downloads.chain(self.build.variables.values()).chain(&self.build.staging).map(String::as_str)
    }
}

impl BuildPin {
    /// The names of everything that the build makes.
    pub(super) fn names(&self) -> Vec<&str> {
        self.programs.keys().chain(self.c.keys()).chain(self.links.values().flatten()).map(String::as_str).collect()
    }
}
