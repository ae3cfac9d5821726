//! The store: it finds a component, or makes it.

use std::{
    collections::BTreeMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use tokio::sync::Mutex;

use super::{
    Attempt, Component, ComponentError, ComponentProgress, Deadlines, Pins, ProgressSender, Source, Step, build,
    cache::{self, Depth, Manifest},
    hold::Hold,
    http::Client,
    lock, official,
    pins::ComponentPin,
    template::Template,
};

/// Prefix of a directory that is being filled.
const PARTIAL: &str = ".partial-";

/// Where a store finds things.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The repository's `clusters` directory, which has `pins.yaml` and `components/`.
    pub home: Utf8PathBuf,
    /// The cache root; components are kept in its `components` directory.
    pub cache: Utf8PathBuf,
    /// A mirror of the official downloads: `https://dl.k8s.io/x` is `<mirror>/dl.k8s.io/x`.
    pub mirror: Option<String>,
    /// Whether the official downloads are left out (a mirror and a build are not).
    pub offline: bool,
}

/// A pinned version and whether it is in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// The component's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether it is what one gets without asking for a version.
    pub default: bool,
    /// Whether it is in the cache.
    pub cached: bool,
    /// The bytes that it takes there.
    pub size: Option<u64>,
    /// Where its files came from.
    pub source: Option<Source>,
    /// That source in detail.
    pub origin: Option<String>,
    /// Its directory in the cache, whether it is there or not.
    pub directory: Utf8PathBuf,
}

/// What a check of one cached component found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// The component's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The number of files that were hashed.
    pub files: usize,
    /// What is wrong; empty when every file is what was put there.
    pub problems: Vec<String>,
}

/// Finds components in the cache, and fetches or builds what is not there.
#[derive(Debug)]
pub struct Store {
    options: StoreOptions,
    pins: Pins,
    client: Client,
    /// One build at a time: each takes every core, and two take twice the memory.
    building: Arc<Mutex<()>>,
}

/// One version of one component, and where its things are.
struct Wanted<'a> {
    name: &'a str,
    version: String,
    pin: &'a ComponentPin,
    template: Template,
    module: Utf8PathBuf,
    key: String,
    family: Utf8PathBuf,
    entry: Utf8PathBuf,
    started: Instant,
    progress: Option<&'a ProgressSender>,
}

impl StoreOptions {
    /// Options from the environment: the cache of [`super::default_cache`], `SANDPROOF_MIRROR` and
    /// `SANDPROOF_OFFLINE` (any value but `0`, `false` and none).
    pub fn from_environment(home: impl Into<Utf8PathBuf>) -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            home: home.into(),
            cache: super::default_cache(),
            mirror: set("SANDPROOF_MIRROR"),
            offline: set("SANDPROOF_OFFLINE").is_some_and(|value| value != "0" && value != "false"),
        }
    }
}

impl Store {
    /// Opens a store: reads the pins. The cache is made when something is put in it.
    pub fn open(options: StoreOptions) -> Result<Self, ComponentError> {
        Self::open_with(options, Deadlines::default())
    }

    /// Opens a store whose downloads wait as long as `deadlines` says.
    pub fn open_with(options: StoreOptions, deadlines: Deadlines) -> Result<Self, ComponentError> {
        let pins = Pins::load(options.home.join("pins.yaml"))?;
        let client = Client::new(deadlines).map_err(|error| ComponentError::Cache {
            action: "prepare TLS for",
            path: options.cache.clone(),
            source: io::Error::other(error),
        })?;
        Ok(Self { options, pins, client, building: Arc::default() })
    }

    /// The pins that it read.
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Finds a component in the cache, or fetches or builds it; `version` none is the pinned default.
    pub async fn obtain(
        &self,
        name: &str,
        version: Option<&str>,
        progress: &ProgressSender,
    ) -> Result<Component, ComponentError> {
        let wanted = self.wanted(name, version, Some(progress))?;
        if let Some(component) = wanted.cached().await {
            wanted.tell(Step::Cached, String::new());
            return Ok(component);
        }
        fs_err::create_dir_all(&wanted.family).map_err(in_cache("create", &wanted.family))?;
        let waiting = || wanted.tell(Step::Wait, "another run is obtaining it".to_owned());
        let _hold = Hold::take(name, &wanted.family.join(".lock"), waiting).await?;
        if let Some(component) = wanted.cached().await {
            wanted.tell(Step::Cached, "another run obtained it".to_owned());
            return Ok(component);
        }
        clear_away(&wanted.family, &wanted.entry);
        self.make(&wanted).await
    }

    /// Every pinned version of every component, without looking into files.
    pub fn list(&self) -> Result<Vec<Listed>, ComponentError> {
        let mut listed = Vec::new();
        for (name, pin) in &self.pins.components {
            for version in &pin.versions {
                let wanted = self.wanted(name, Some(version), None)?;
                let manifest = Manifest::read(&wanted.entry, &wanted.key);
                listed.push(Listed {
                    name: name.clone(),
                    version: version.clone(),
                    default: *version == pin.default,
                    cached: manifest.is_some(),
                    size: manifest.as_ref().map(|manifest| manifest.size(&wanted.entry)),
                    source: manifest.as_ref().map(|manifest| manifest.source),
                    origin: manifest.map(|manifest| manifest.origin),
                    directory: wanted.entry,
                });
            }
        }
        Ok(listed)
    }

    /// Hashes every file of every cached component, or of the one called `name`.
    pub async fn verify(&self, name: Option<&str>) -> Result<Vec<Verified>, ComponentError> {
        if let Some(name) = name {
            self.wanted(name, None, None)?;
        }
        let mut verified = Vec::new();
        for (component, pin) in &self.pins.components {
            if name.is_some_and(|name| name != component) {
                continue;
            }
            for version in &pin.versions {
                let wanted = self.wanted(component, Some(version), None)?;
                let Some(manifest) = Manifest::read(&wanted.entry, &wanted.key) else { continue };
                let files = manifest.files.len();
                let problems = wanted.problems(manifest, Depth::Full).await;
                verified.push(Verified { name: component.clone(), version: version.clone(), files, problems });
            }
        }
        Ok(verified)
    }

    /// Writes `go.mod` and `go.sum` of a component's version anew, from its own modules.
    /// The version need not be pinned yet; its directory is made. Returns the directory.
    pub async fn lock(&self, name: &str, version: &str) -> Result<Utf8PathBuf, ComponentError> {
        let pin = self.pin(name)?;
        let directory = self.module(name, version);
        lock::lock(pin, &self.options.home.join("components").join(name), name, version, &directory).await.map_err(
            |source| ComponentError::Lock { component: name.to_owned(), version: version.to_owned(), source },
        )?;
        Ok(directory)
    }

    /// Where a component's own Go module is unpacked, in the module cache; nothing may be written there.
    pub async fn sources(&self, name: &str, version: Option<&str>) -> Result<Utf8PathBuf, ComponentError> {
        let wanted = self.wanted(name, version, None)?;
        build::unpacked(&wanted.module, wanted.pin).await.map_err(|error| ComponentError::Unobtainable {
            component: name.to_owned(),
            version: wanted.version.clone(),
            attempts: vec![Attempt { source: Source::Build, failure: error.to_string() }],
        })
    }

    /// Where the entries of a name are.
    pub(super) fn family_of(&self, name: &str) -> Utf8PathBuf {
        self.options.cache.join("components").join(name)
    }

    fn module(&self, name: &str, version: &str) -> Utf8PathBuf {
        self.options.home.join("components").join(name).join(version)
    }

    fn pin(&self, name: &str) -> Result<&ComponentPin, ComponentError> {
        self.pins.component(name).ok_or_else(|| ComponentError::UnknownComponent {
            name: name.to_owned(),
            known: self.pins.components.keys().cloned().collect(),
        })
    }

    fn wanted<'a>(
        &'a self,
        name: &'a str,
        version: Option<&str>,
        progress: Option<&'a ProgressSender>,
    ) -> Result<Wanted<'a>, ComponentError> {
        let pin = self.pin(name)?;
        let version = version.unwrap_or(&pin.default);
        let version = version.strip_prefix('v').unwrap_or(version);
        let unknown = || ComponentError::UnknownVersion {
            component: name.to_owned(),
            version: version.to_owned(),
            known: pin.versions.clone(),
        };
        if !pin.versions.iter().any(|known| known == version) {
            return Err(unknown());
        }
        let module = self.module(name, version);
        let key = cache::key(pin, version, &module).map_err(in_cache("read", &module))?;
        let family = self.family_of(name);
        Ok(Wanted {
            name,
            version: version.to_owned(),
            pin,
            template: Template::new(version).map_err(|_| unknown())?,
            module,
            entry: family.join(cache::entry_name(version, &key)),
            key,
            family,
            started: Instant::now(),
            progress,
        })
    }

    /// Tries each source in turn until one gives the component.
    async fn make(&self, wanted: &Wanted<'_>) -> Result<Component, ComponentError> {
        let mut attempts = Vec::new();
        let downloads = [
            (Source::Mirror, Step::Mirror, self.options.mirror.as_deref(), self.options.mirror.is_some()),
            (Source::Download, Step::Download, None, !self.options.offline),
        ];
        for (source, step, mirror, enabled) in downloads {
            if !enabled || wanted.pin.official.is_empty() {
                continue;
            }
            let partial = wanted.partial()?;
            let tell = |detail| wanted.tell(step, detail);
            match official::fetch(&self.client, mirror, wanted.pin, &wanted.template, partial.path(), tell).await {
                Ok(urls) => return wanted.publish(partial, source, urls.join(" ")).await,
                Err(error) => attempts.push(Attempt { source, failure: error.to_string() }),
            }
        }
        let partial = wanted.partial()?;
        let failure = {
            let _turn = self.building.lock().await;
            let tell = |step, detail| wanted.tell(step, detail);
            match build::build(&wanted.module, wanted.pin, &wanted.template, partial.path(), tell).await {
                Ok(origin) => return wanted.publish(partial, Source::Build, origin).await,
                Err(error) => error.to_string(),
            }
        };
        attempts.push(Attempt { source: Source::Build, failure });
        Err(ComponentError::Unobtainable {
            component: wanted.name.to_owned(),
            version: wanted.version.clone(),
            attempts,
        })
    }
}

impl Wanted<'_> {
    fn tell(&self, step: Step, detail: String) {
        if let Some(progress) = self.progress {
            let _ = progress.send(ComponentProgress {
                component: self.name.to_owned(),
                version: self.version.clone(),
                step,
                elapsed: self.started.elapsed(),
                detail,
            });
        }
    }

    /// The cached component, when it is there and undamaged.
    async fn cached(&self) -> Option<Component> {
        let manifest = Manifest::read(&self.entry, &self.key)?;
        let problems = self.problems(manifest.clone(), Depth::Changed).await;
        if problems.is_empty() {
            return Some(self.component(&manifest, true));
        }
        let damage = problems.join("; ");
        tracing::warn!(component = self.name, version = self.version, damage, "the cached copy is damaged");
        self.tell(Step::Verify, format!("the cached copy is damaged: {damage}"));
        None
    }

    /// Hashes on a thread where hashing does not hold up the runtime.
    async fn problems(&self, manifest: Manifest, depth: Depth) -> Vec<String> {
        let directory = self.entry.clone();
        tokio::task::spawn_blocking(move || manifest.problems(&directory, depth))
            .await
            .unwrap_or_else(|error| vec![format!("the check did not end: {error}")])
    }

    fn partial(&self) -> Result<Partial, ComponentError> {
        Partial::make(&self.family, &self.version)
    }

    /// Hashes what a source gave, checks that it has every program, and renames it into place.
    async fn publish(&self, mut partial: Partial, source: Source, origin: String) -> Result<Component, ComponentError> {
        self.tell(Step::Verify, String::new());
        for program in &self.pin.programs {
            let path = partial.path().join(program);
            fs_err::metadata(&path).map_err(in_cache("find", &path))?;
        }
        let (directory, name) = (partial.path().to_owned(), self.name.to_owned());
        let (version, key) = (self.version.clone(), self.key.clone());
        let seal = move || Manifest::seal(&directory, &name, &version, &key, source, origin);
        let manifest = tokio::task::spawn_blocking(seal)
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(in_cache("write", partial.path()))?;
        fs_err::rename(partial.path(), &self.entry).map_err(in_cache("rename into", &self.entry))?;
        partial.release();
        self.tell(Step::Done, manifest.origin.clone());
        Ok(self.component(&manifest, false))
    }

    fn component(&self, manifest: &Manifest, cached: bool) -> Component {
        let files: BTreeMap<String, Utf8PathBuf> =
            self.pin.programs.iter().map(|program| (program.clone(), self.entry.join(program))).collect();
        let seconds = self.started.elapsed().max(Duration::from_micros(1)).as_secs_f64();
        Component {
            name: self.name.to_owned(),
            version: self.version.clone(),
            directory: self.entry.clone(),
            files,
            source: manifest.source,
            origin: manifest.origin.clone(),
            cached,
            seconds,
        }
    }
}

/// A directory that is being filled; it goes when it does not become an entry.
pub(super) struct Partial {
    path: Option<Utf8PathBuf>,
}

impl Partial {
    pub(super) fn make(family: &Utf8Path, version: &str) -> Result<Self, ComponentError> {
        let path = family.join(format!("{PARTIAL}{}-{version}", std::process::id()));
        // A source that failed before this one may have left files.
        let _ = fs_err::remove_dir_all(&path);
        fs_err::create_dir_all(&path).map_err(in_cache("create", &path))?;
        Ok(Self { path: Some(path) })
    }

    pub(super) fn path(&self) -> &Utf8Path {
        self.path.as_deref().unwrap_or(Utf8Path::new(""))
    }

    /// It has become an entry.
    pub(super) fn release(&mut self) {
        self.path = None;
    }
}

/// Removes what dead runs left, and a damaged entry. The lock is held, so nobody is at work here.
pub(super) fn clear_away(family: &Utf8Path, damaged: &Utf8Path) {
    let Ok(entries) = fs_err::read_dir(family) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let partial = entry.file_name().to_string_lossy().starts_with(PARTIAL);
        if (partial || path == damaged.as_std_path())
            && let Err(error) = fs_err::remove_dir_all(&path)
        {
            tracing::warn!(%error, "cannot remove what an earlier run left in the cache");
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs_err::remove_dir_all(path);
        }
    }
}

fn in_cache(action: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> ComponentError {
    let path = path.to_owned();
    move |source| ComponentError::Cache { action, path, source }
}
