//! The registry that witnesses pulls.
//!
//! A real registry (the `distribution` project's program) runs behind a gate of ours. The
//! gate authenticates (Basic or Bearer tokens, plain or under a private certificate
//! authority), authorises per repository, records every request with the user who made it,
//! and can be told to fail. The registry itself is reachable through a unix socket in a
//! private directory only, so no request can pass unrecorded.

use std::{
    collections::HashMap,
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;
use tokio::sync::{broadcast, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

mod access;
mod answer;
mod authority;
mod distribution;
mod gate;
mod listener;
mod push;
mod record;
mod secret;
mod target;
mod token;
mod upstream;

pub use self::{
    access::Access,
    authority::CertificateError,
    distribution::DistributionError,
    listener::ListenerKind,
    push::{PushError, Pushed},
    record::{RequestKind, RequestRecord},
    secret::random_word,
};
use self::{authority::Authority, distribution::Distribution, gate::Gate, upstream::Upstream};
use crate::images::Image;

/// How long open connections may take to end at a shutdown.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(5);

/// What a registry is started from.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// The `distribution` project's `registry` program.
    pub distribution: Utf8PathBuf,
    /// A private directory for its configuration, log and socket; created when missing.
    pub directory: Utf8PathBuf,
    /// The directory of an authority to keep for later runs; a fresh one for this run alone where there is none.
    pub authority: Option<Utf8PathBuf>,
}

/// Why the registry could not be started or could not listen.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The registry process did not start.
    #[error(transparent)]
    Distribution(#[from] DistributionError),
    /// The directory of its socket could not be opened.
    #[error("cannot open the directory of the registry's socket {socket}: {source}")]
    Socket {
        /// The socket.
        socket: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// An address could not be listened on.
    #[error(
        "the registry cannot listen on {wanted}: {source}; the address must exist on this host, and the port be free"
    )]
    Listen {
        /// The address.
        wanted: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A failure of one repository that can be switched on; the harness's own pushes are exempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Every request is answered with this HTTP status.
    Status(u16),
    /// No request is answered; connections stay open until the client gives up or the shutdown.
    Hang,
    /// Every request ends in a connection reset.
    Reset,
    /// Blobs are served with a wrong first byte.
    WrongDigest,
}

/// A running registry.
pub struct Registry {
    gate: Arc<Gate>,
    authority: Authority,
    uploads: push::Uploads,
    listeners: Mutex<HashMap<SocketAddr, CancellationToken>>,
    tasks: TaskTracker,
    distribution: Option<Distribution>,
}

impl Registry {
    /// Starts the registry process and the gate; nobody can reach them before [`Self::listen`].
    /// The process dies with this one, whatever ends it.
    pub async fn start(options: RegistryOptions) -> Result<Self, RegistryError> {
        let distribution = Distribution::start(&options.distribution, &options.directory).await?;
        let mut registry = Self::in_front_of(&distribution.socket())?;
        if let Some(directory) = &options.authority {
            registry.authority = Authority::kept(directory)?;
        }
        registry.distribution = Some(distribution);
        Ok(registry)
    }

    /// Puts the gate in front of a registry that somebody else runs on the unix socket `socket`.
    pub fn in_front_of(socket: &Utf8Path) -> Result<Self, RegistryError> {
        let upstream =
            Upstream::new(socket).map_err(|source| RegistryError::Socket { socket: socket.to_owned(), source })?;
        Ok(Self {
            gate: Arc::new(Gate::new(upstream)),
            authority: Authority::new()?,
            uploads: push::Uploads::default(),
            listeners: Mutex::default(),
            tasks: TaskTracker::new(),
            distribution: None,
        })
    }

    /// Opens a listener and returns its address; port 0 stands for any free one. Call it on a runtime, which serves it.
    pub fn listen(&self, wanted: SocketAddr, kind: ListenerKind) -> Result<SocketAddr, RegistryError> {
        let tls = if kind.is_tls() { Some(self.authority.server(wanted.ip())?) } else { None };
        let stop = self.gate.stop.child_token();
        let address = listener::open(Arc::clone(&self.gate), wanted, kind, tls, stop.clone(), &self.tasks)
            .map_err(|source| RegistryError::Listen { wanted, source })?;
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).insert(address, stop);
        Ok(address)
    }

    /// Closes a listener and its connections; unknown addresses are ignored.
    pub fn close(&self, address: SocketAddr) {
        let stop = self.listeners.lock().unwrap_or_else(PoisonError::into_inner).remove(&address);
        if let Some(stop) = stop {
            stop.cancel();
        }
    }

    /// The certificate of the authority that is kept in a directory, PEM; it is made when there is none.
    pub fn kept_authority(directory: &Utf8Path) -> Result<String, RegistryError> {
        Ok(Authority::kept(directory)?.pem().to_owned())
    }

    /// The private authority's certificate, PEM, for clients of the TLS listeners.
    pub fn ca_pem(&self) -> &str {
        self.authority.pem()
    }

    /// Adds a user, or changes the password of one. Users can pull where they are granted to,
    /// and never push. Take the password from [`random_word`].
    pub fn add_user(&self, name: &str, password: &str) {
        self.gate.accounts.write().unwrap_or_else(PoisonError::into_inner).add_user(name, password);
    }

    /// Sets who may pull from `repository`; without a grant nobody may.
    pub fn grant(&self, repository: &str, access: Access) {
        self.gate.accounts.write().unwrap_or_else(PoisonError::into_inner).grant(repository, access);
    }

    /// Switches a failure of `repository` on, or off with `None`.
    pub fn fail(&self, repository: &str, failure: Option<Failure>) {
        let mut failures = self.gate.failures.write().unwrap_or_else(PoisonError::into_inner);
        match failure {
            Some(failure) => failures.insert(repository.to_owned(), failure),
            None => failures.remove(repository),
        };
    }

    /// Pushes `image` through the registry API as the harness's own user and tags it.
    ///
    /// A layer travels once a run: into further repositories it is mounted.
    pub async fn push(&self, image: &Image, repository: &str, tag: &str) -> Result<Pushed, PushError> {
        push::push(&self.gate, &self.uploads, image, repository, tag).await
    }

    /// The requests that clients made about `repository`, oldest first; the harness's own are
    /// left out.
    pub fn requests(&self, repository: &str) -> Vec<RequestRecord> {
        self.gate.log.select(|record| !record.by_harness() && record.repository.as_deref() == Some(repository))
    }

    /// Every request of the run, the harness's own too, oldest first.
    pub fn all_requests(&self) -> Vec<RequestRecord> {
        self.gate.log.select(|_| true)
    }

    /// Records from now on, as they are written. A receiver that lags misses some and reads
    /// [`Self::requests`] instead.
    pub fn subscribe(&self) -> broadcast::Receiver<RequestRecord> {
        self.gate.log.subscribe()
    }

    /// Turns to a description, with the last lines of its log, when the registry process ends.
    /// `None` for a registry that somebody else runs.
    pub fn death(&self) -> Option<watch::Receiver<Option<String>>> {
        self.distribution.as_ref().map(Distribution::death)
    }

    /// Closes all listeners and ends the registry process. The images are gone; the log of the
    /// process stays in its directory.
    pub async fn shutdown(mut self) {
        self.gate.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(SHUTDOWN_DEADLINE, self.tasks.wait()).await.is_err() {
            tracing::warn!("connections of the registry did not end in time");
        }
        if let Some(mut distribution) = self.distribution.take() {
            distribution.stop().await;
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.gate.stop.cancel();
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        formatter.debug_struct("Registry").field("listeners", &listeners.keys()).finish_non_exhaustive()
    }
}
