//! Where things are: the project's data, the cache, the state, a run's output.

use camino::{Utf8Path, Utf8PathBuf};

use crate::failure::Failure;

/// The directories that a command works with.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// The repository's root: pins, component modules, suite, chart.
    pub(crate) home: Utf8PathBuf,
    /// Components and images, shared by all runs.
    pub(crate) cache: Utf8PathBuf,
    /// The ledger and the clusters' private directories.
    pub(crate) state: Utf8PathBuf,
    /// The directory of this program and its sibling programs.
    pub(crate) programs: Utf8PathBuf,
}

impl Paths {
    /// Finds them from the environment.
    pub(crate) fn find() -> Result<Self, Failure> {
        let executable = std::env::current_exe()
            .ok()
            .and_then(|path| Utf8PathBuf::from_path_buf(path).ok())
            .ok_or_else(|| Failure::environment("find this program's own path", "it has none"))?;
        let programs = executable.parent().unwrap_or(Utf8Path::new("/")).to_owned();
        let home = match variable("SANDPROOF_HOME") {
            Some(home) => home,
            None => programs
                .ancestors()
                .find(|directory| directory.join("clusters/pins.yaml").exists())
                .map(Utf8Path::to_owned)
                .ok_or_else(|| {
                    Failure::environment_with_hint(
                        "find the project's data",
                        format!("no directory above {programs} has clusters/pins.yaml"),
                        "start it through ./sandproof in a clone, or set SANDPROOF_HOME to one",
                    )
                })?,
        };
        Ok(Self {
            home,
            cache: base("SANDPROOF_CACHE", "XDG_CACHE_HOME", ".cache"),
            state: base("SANDPROOF_STATE", "XDG_STATE_HOME", ".local/state"),
            programs,
        })
    }

    /// A sibling program, for example `sandproof-cluster-init`.
    pub(crate) fn program(&self, name: &str) -> Result<Utf8PathBuf, Failure> {
        let path = self.programs.join(name);
        if path.exists() {
            return Ok(path);
        }
        Err(Failure::environment_with_hint(
            format!("find the program {name}"),
            format!("{path} does not exist"),
            "build all of them: ./sandproof does, plain `cargo build` needs `--workspace`",
        ))
    }

    /// The scenario suite that ships with the project.
    pub(crate) fn suite(&self) -> Utf8PathBuf {
        self.home.join("scenarios/suite")
    }

    /// What no scenario runs, with reasons.
    pub(crate) fn not_run(&self) -> Utf8PathBuf {
        self.home.join("scenarios/not-run.yaml")
    }

    /// What is known to differ, with reasons.
    pub(crate) fn expectations(&self) -> Utf8PathBuf {
        self.home.join("scenarios/expectations.yaml")
    }

    /// The subject profiles that ship with the project.
    pub(crate) fn subjects(&self) -> Utf8PathBuf {
        self.home.join("scenarios/subjects")
    }

    /// The reference driver's chart.
    pub(crate) fn chart(&self) -> Utf8PathBuf {
        self.home.join("reference-driver/chart")
    }
}

/// `$own`, else `$xdg/sandproof`, else `~/<fallback>/sandproof`.
fn base(own: &str, xdg: &str, fallback: &str) -> Utf8PathBuf {
    variable(own).or_else(|| variable(xdg).map(|path| path.join("sandproof"))).unwrap_or_else(|| {
        variable("HOME").unwrap_or_else(|| Utf8PathBuf::from("/root")).join(fallback).join("sandproof")
    })
}

fn variable(name: &str) -> Option<Utf8PathBuf> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).map(Utf8PathBuf::from)
}
