//! The container engine: Docker or podman, reached over its Docker-compatible interface.

mod discovery;
mod error;
mod front;
mod images;
mod objects;
mod podman;
mod trial;

use std::{collections::BTreeMap, time::Duration};

use bollard::Docker;
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use self::podman::Service;
pub use self::{
    discovery::{Candidate, candidates},
    error::EngineError,
};
pub(crate) use self::{front::Front, objects::Thing};
use super::holdings::EngineHold;
use crate::{
    host::{CgroupLayout, Host},
    ledger::ProcessIdentity,
    native::{Adaptation, adjustments, named_adjustments},
    process::Process,
};

/// How long one answer of the engine may take; loading a node image has a deadline of its own.
const ANSWER: Duration = Duration::from_mins(1);

/// Which engine it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flavor {
    /// Docker, or what calls itself that.
    Docker,
    /// Podman.
    Podman,
}

impl Flavor {
    /// What its command-line program and kind call it.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }

    /// The oldest version that this works with: the first with private control-group namespaces (Docker), and
    /// the first with netavark and a usable Docker-compatible interface (podman).
    pub const fn oldest(self) -> (u64, u64) {
        match self {
            Self::Docker => (20, 10),
            Self::Podman => (4, 0),
        }
    }
}

/// What an engine may need to be told on a limited host.
#[derive(Debug, Clone)]
pub struct OciPrograms {
    /// The pinned runc, which takes any layout of control groups.
    pub runc: Utf8PathBuf,
    /// `sandproof-oci-runtime`, in front of it.
    pub wrapper: Utf8PathBuf,
}

/// A container engine that answers.
#[derive(Debug)]
pub struct Engine {
    flavor: Flavor,
    version: String,
    address: String,
    docker: Docker,
    program: Utf8PathBuf,
    environment: BTreeMap<String, String>,
    adaptations: Vec<Adaptation>,
    service: Option<Service>,
}

impl Engine {
    /// Finds the engine and checks that it can be used.
    ///
    /// `directory` gets its private configuration, where this host needs one; it must outlive every container that
    /// was started with it. `oci` is what that configuration names.
    pub async fn open(host: &Host, directory: &Utf8Path, oci: &OciPrograms) -> Result<Self, EngineError> {
        Self::open_with(host, directory, oci, &|name| std::env::var(name).ok()).await
    }

    pub(super) async fn open_with(
        host: &Host,
        directory: &Utf8Path,
        oci: &OciPrograms,
        variable: &(dyn Fn(&str) -> Option<String> + Sync),
    ) -> Result<Self, EngineError> {
        let found = discovery::choose(variable)?;
        let mut environment = BTreeMap::new();
        let mut adaptations = Vec::new();
        let mut service = None;
        let socket = match &found {
            Candidate::Socket { flavor: Some(Flavor::Podman), .. } | Candidate::Program { .. }
                if podman::needs_configuration(host) =>
            {
                let file = podman::configure(host, directory, oci)?;
                environment.insert(podman::CONFIGURATION.to_owned(), file.to_string());
                adaptations = podman_adaptations(host);
                None
            }
            Candidate::Socket { path, .. } => Some(path.clone()),
            Candidate::Program { .. } => None,
        };
        let socket = if let Some(socket) = socket {
            socket
        } else {
            let started = Service::start(directory, &environment).await?;
            let socket = started.socket().to_owned();
            service = Some(started);
            socket
        };
        let (docker, flavor, version) = discovery::connect(&socket).await?;
        let program = which::which(flavor.program())
            .ok()
            .and_then(|path| Utf8PathBuf::from_path_buf(path).ok())
            .ok_or(EngineError::Program { flavor })?;
        if flavor == Flavor::Docker {
            // The program must talk to the engine that was found, whatever its own context says.
            environment.insert("DOCKER_HOST".to_owned(), format!("unix://{socket}"));
        }
        let engine =
            Self { flavor, version, address: socket.to_string(), docker, program, environment, adaptations, service };
        engine.check().await?;
        Ok(engine)
    }

    /// Reaches an engine that has a cluster again, whatever became of the process that found it.
    pub(super) async fn of(hold: &EngineHold, directory: &Utf8Path) -> Result<Self, EngineError> {
        let mut environment = hold.environment.clone();
        // A private configuration that is gone helps nobody; another one knows how to end what was started with it.
        if environment.get(podman::CONFIGURATION).is_some_and(|path| !Utf8Path::new(path).exists()) {
            environment.remove(podman::CONFIGURATION);
            environment.extend(podman::configure_removal(directory)?);
        }
        Self::reach(hold.socket.clone(), environment, directory).await
    }

    /// The engine of this host as it is, for a look at what is in it.
    pub(super) async fn any(directory: &Utf8Path) -> Result<Self, EngineError> {
        let podman = which::which(Flavor::Podman.program()).is_ok();
        match discovery::choose(&|name| std::env::var(name).ok())? {
            // A service that others started does not know the OCI runtime of our containers.
            Candidate::Socket { flavor: Some(Flavor::Podman), .. } | Candidate::Program { .. } if podman => {
                let environment = podman::configure_removal(directory)?.into_iter().collect();
                Self::reach(None, environment, directory).await
            }
            Candidate::Socket { path, .. } => Self::reach(Some(path), BTreeMap::new(), directory).await,
            Candidate::Program { .. } => Self::reach(None, BTreeMap::new(), directory).await,
        }
    }

    async fn reach(
        socket: Option<Utf8PathBuf>,
        environment: BTreeMap<String, String>,
        directory: &Utf8Path,
    ) -> Result<Self, EngineError> {
        let service = match socket {
            Some(_) => None,
            None => Some(Service::start(directory, &environment).await?),
        };
        let address = match (&socket, &service) {
            (Some(socket), _) => socket.clone(),
            (None, Some(service)) => service.socket().to_owned(),
            (None, None) => Utf8PathBuf::new(),
        };
        let (docker, flavor, version) = discovery::connect(&address).await?;
        let program = Utf8PathBuf::from(flavor.program());
        let adaptations = Vec::new();
        Ok(Self { flavor, version, address: address.to_string(), docker, program, environment, adaptations, service })
    }

    /// How another process reaches it.
    pub(super) fn hold(&self) -> EngineHold {
        EngineHold {
            flavor: self.flavor,
            program: self.program.clone(),
            environment: self.environment.clone(),
            socket: self.service.is_none().then(|| self.address.clone().into()),
        }
    }

    /// Ends its service, where it is our own.
    pub(super) async fn close(mut self) {
        if let Some(service) = self.service.take() {
            service.end().await;
        }
    }

    /// Which engine it is.
    pub fn flavor(&self) -> Flavor {
        self.flavor
    }

    /// Its version, as it says.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The socket that it was reached through.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// In a few words: `podman 4.3.1`.
    pub fn title(&self) -> String {
        format!("{} {}", self.flavor.program(), self.version)
    }

    /// How its containers differ from what they would be on an ordinary host.
    pub fn adaptations(&self) -> &[Adaptation] {
        &self.adaptations
    }

    /// Whether it serves as long as this process only.
    pub fn is_own_service(&self) -> bool {
        self.service.is_some()
    }

    /// The process that serves as long as this one only, where there is one.
    pub(super) fn own_service(&self) -> Option<ProcessIdentity> {
        self.service.as_ref().and_then(Service::process)
    }

    /// Its command-line program with the environment that leads to this engine.
    pub fn command(&self) -> Process {
        self.environment.iter().fold(Process::new(&self.program), |process, (name, value)| process.env(name, value))
    }

    pub(super) fn program(&self) -> &Utf8Path {
        &self.program
    }

    pub(super) fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    pub(super) fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Whether it is new enough, and runs as root: the nodes of a rootless engine cannot reach this host's addresses.
    async fn check(&self) -> Result<(), EngineError> {
        let oldest = self.flavor.oldest();
        if discovery::numbers(&self.version) < oldest {
            return Err(EngineError::TooOld { found: self.title(), needed: format!("{}.{}", oldest.0, oldest.1) });
        }
        let info = self.docker.info().await.map_err(EngineError::request("ask the engine about itself"))?;
        let options = info.security_options.unwrap_or_default();
        if options.iter().any(|option| option.contains("rootless")) {
            return Err(EngineError::Rootless { engine: self.title() });
        }
        Ok(())
    }
}

/// The adaptations that a private configuration of podman makes.
fn podman_adaptations(host: &Host) -> Vec<Adaptation> {
    let mut named = named_adjustments(adjustments(host));
    for adaptation in &mut named {
        adaptation.name = format!("engine-{}", adaptation.name);
    }
    if host.cgroup == CgroupLayout::V1Hybrid {
        named.push(Adaptation {
            name: "engine-runc".to_owned(),
            reason: "podman's default OCI runtime refuses a v2 hierarchy beside v1 control groups".to_owned(),
        });
    }
    named
}

#[cfg(test)]
mod tests;
