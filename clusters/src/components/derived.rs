//! Entries of the cache that are made of components rather than fetched: keyed by all that goes into them.

use std::{io, time::Instant};

use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest, Sha256};

use super::{
    Component, ComponentError, ComponentProgress, ProgressSender, Source, Step, Store,
    cache::{self, Depth, Manifest},
    hold::Hold,
};
use crate::host::architecture;

/// What is made, and of what.
#[derive(Debug, Clone)]
pub(crate) struct Recipe<'a> {
    /// Its name, beside the components' names.
    pub(crate) name: &'a str,
    /// Its version; with the key it makes the name of the entry.
    pub(crate) version: &'a str,
    /// All that decides what is in it.
    pub(crate) inputs: Vec<String>,
}

/// Says how far the making is.
pub(crate) struct Telling<'a> {
    recipe: &'a Recipe<'a>,
    started: Instant,
    progress: &'a ProgressSender,
}

impl Recipe<'_> {
    /// The hash of all inputs.
    pub(crate) fn key(&self) -> String {
        let mut digest = Sha256::new();
        for input in [self.name, self.version, architecture()].into_iter().chain(self.inputs.iter().map(String::as_str))
        {
            digest.update((input.len() as u64).to_le_bytes());
            digest.update(input);
        }
        cache::hexadecimal(&digest.finalize())
    }

    /// What a component contributes to the inputs: its entry's name has its version and the hash of its own inputs.
    pub(crate) fn input(component: &Component) -> String {
        let entry = component.directory.file_name().unwrap_or_default();
        // The same version from another source has other bytes.
        format!("{} {entry} {:?}", component.name, component.source)
    }
}

impl Telling<'_> {
    /// Says what is done now.
    pub(crate) fn say(&self, step: Step, detail: impl Into<String>) {
        let _ = self.progress.send(ComponentProgress {
            component: self.recipe.name.to_owned(),
            version: self.recipe.version.to_owned(),
            step,
            elapsed: self.started.elapsed(),
            detail: detail.into(),
        });
    }
}

impl Store {
    /// The entry of a recipe, when it is there and undamaged.
    pub(crate) async fn derived(&self, recipe: &Recipe<'_>) -> Option<Utf8PathBuf> {
        let key = recipe.key();
        let entry = self.family_of(recipe.name).join(cache::entry_name(recipe.version, &key));
        let manifest = Manifest::read(&entry, &key)?;
        let directory = entry.clone();
        let problems = tokio::task::spawn_blocking(move || manifest.problems(&directory, Depth::Changed)).await.ok()?;
        problems.is_empty().then_some(entry)
    }

    /// Finds the entry of a recipe, or makes it: `make` fills the directory that it is given.
    /// One run makes it at a time; it appears whole or not at all.
    pub(crate) async fn derive<E: From<ComponentError>>(
        &self,
        recipe: &Recipe<'_>,
        progress: &ProgressSender,
        make: impl AsyncFnOnce(&Utf8Path, &Telling<'_>) -> Result<String, E>,
    ) -> Result<Utf8PathBuf, E> {
        let telling = Telling { recipe, started: Instant::now(), progress };
        if let Some(entry) = self.derived(recipe).await {
            telling.say(Step::Cached, "");
            return Ok(entry);
        }
        let family = self.family_of(recipe.name);
        fs_err::create_dir_all(&family).map_err(failed("create", &family))?;
        let _hold =
            Hold::take(recipe.name, &family.join(".lock"), || telling.say(Step::Wait, "another run is making it"))
                .await?;
        if let Some(entry) = self.derived(recipe).await {
            telling.say(Step::Cached, "another run made it");
            return Ok(entry);
        }
        let key = recipe.key();
        let entry = family.join(cache::entry_name(recipe.version, &key));
        // The lock is held: whatever lies here is damaged, or a dead run's.
        super::store::clear_away(&family, &entry);
        let mut partial = super::store::Partial::make(&family, recipe.version)?;
        let origin = make(partial.path(), &telling).await?;
        telling.say(Step::Verify, "");
        let (directory, name, version) = (partial.path().to_owned(), recipe.name.to_owned(), recipe.version.to_owned());
        let sealing = tokio::task::spawn_blocking(move || {
            Manifest::seal(&directory, &name, &version, &key, Source::Build, origin)
        });
        let sealed = sealing.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        let manifest = sealed.map_err(failed("write", partial.path()))?;
        fs_err::rename(partial.path(), &entry).map_err(failed("rename into", &entry))?;
        partial.release();
        telling.say(Step::Done, manifest.origin);
        Ok(entry)
    }
}

fn failed(action: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> ComponentError {
    let path = path.to_owned();
    move |source| ComponentError::Cache { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_changes_the_key() {
        let recipe = |inputs: &[&str]| Recipe {
            name: "node-image",
            version: "1.0.0",
            inputs: inputs.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(recipe(&["a", "b"]).key(), recipe(&["a", "b"]).key());
        assert_ne!(recipe(&["a", "b"]).key(), recipe(&["ab"]).key());
        assert_ne!(recipe(&["a", "b"]).key(), recipe(&["b", "a"]).key());
    }
}
