//! The programs that clusters are made of.
//!
//! Each is pinned in `pins.yaml`. A [`Store`] looks for it, in order, in the local
//! cache, at the mirror the user names, at the official download, and builds it from
//! the pinned Go module where none of them has it.

mod archive;
mod axes;
mod build;
mod cache;
mod derived;
mod error;
mod hold;
mod http;
mod lock;
mod official;
mod pins;
mod store;
mod template;

use std::{collections::BTreeMap, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;

pub(crate) use self::derived::Recipe;
pub use self::{
    axes::{
        Axes, Defaults, GateError, GateStage, KubernetesAxis, Support, Variant, nearest, runtime_component, series,
    },
    error::{Attempt, ComponentError, LockError},
    http::Deadlines,
    pins::{BuildPin, CSource, Checksum, ComponentPin, Download, Format, PinnedPackage, Pins, PinsError},
    store::{Listed, Store, StoreOptions, Verified},
};

/// Where progress goes. A receiver that has gone away is not an error.
pub type ProgressSender = UnboundedSender<ComponentProgress>;

/// One step of obtaining a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentProgress {
    /// The component's name, such as `kubernetes`.
    pub component: String,
    /// Its version, such as `1.36.4`.
    pub version: String,
    /// What is being done.
    pub step: Step,
    /// Time since the component was asked for.
    #[serde(skip)]
    pub elapsed: Duration,
    /// What exactly, for a person: a URL, a package count; may be empty.
    pub detail: String,
}

/// What is being done to obtain a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// It was found in the cache.
    Cached,
    /// Another run is obtaining it; this one waits for that.
    Wait,
    /// It is fetched from the user's mirror.
    Mirror,
    /// It is fetched from the official download.
    Download,
    /// The Go modules of its build are fetched.
    Modules,
    /// It is compiled.
    Compile,
    /// Its files are checked against their checksums.
    Verify,
    /// It is ready.
    Done,
}

/// Where a component's files came from when they entered the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The user's mirror.
    Mirror,
    /// The official download.
    Download,
    /// A build from the pinned Go module.
    Build,
}

/// A component that is ready to use.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// Its name, such as `kubernetes`.
    pub name: String,
    /// Its version, such as `1.36.4`.
    pub version: String,
    /// Its directory in the cache. Nothing may be written there.
    pub directory: Utf8PathBuf,
    /// Its programs by name, such as `kube-apiserver`.
    pub files: BTreeMap<String, Utf8PathBuf>,
    /// Where its files came from.
    pub source: Source,
    /// That source in detail: the URLs, or the Go version of the build.
    pub origin: String,
    /// Whether it was in the cache already.
    pub cached: bool,
    /// How long obtaining it took, in seconds.
    pub seconds: f64,
}

impl Component {
    /// The path of one of its programs.
    pub fn file(&self, program: &str) -> Result<&Utf8Path, ComponentError> {
        self.files.get(program).map(Utf8PathBuf::as_path).ok_or_else(|| ComponentError::UnknownProgram {
            component: self.name.clone(),
            program: program.to_owned(),
            known: self.files.keys().cloned().collect(),
        })
    }
}

/// The cache root: `$SANDPROOF_CACHE`, else `$XDG_CACHE_HOME/sandproof`, else `~/.cache/sandproof`.
pub fn default_cache() -> Utf8PathBuf {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty()).map(Utf8PathBuf::from);
    set("SANDPROOF_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("sandproof")))
        .unwrap_or_else(|| set("HOME").unwrap_or_else(|| "/root".into()).join(".cache/sandproof"))
}

#[cfg(test)]
mod tests;
