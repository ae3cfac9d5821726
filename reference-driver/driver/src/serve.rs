//! The process: start, serve, stop.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use sandproof_protocol::ComputeDriverServer;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::arguments::Told;
use crate::config::Config;
use crate::error::DriverError;
use crate::kubernetes::{self, ConnectError, DEADLINE, Sandboxes};
use crate::listener::{self, Incoming, ListenError};
use crate::log;
use crate::placement::Layout;
use crate::service::Driver;
use crate::watch::{Feed, follow};

/// How often the API server is tried at start; right after its own start the way to it may not be there yet.
const START_RETRY: Duration = Duration::from_millis(200);
/// How long RPCs in flight may take to end after SIGTERM.
const DRAIN: Duration = Duration::from_secs(2);
/// The exit status for a wrong setting, as clap has it.
const USAGE: u8 = 2;

/// Why the process ends with an error.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("could not await signals: {0}")]
    Signals(std::io::Error),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("could not start: {0}")]
    Start(#[from] DriverError),
    #[error("could not serve: {0}")]
    Serve(#[from] tonic::transport::Error),
}

/// Runs the driver until SIGTERM or an interrupt.
pub fn main() -> ExitCode {
    let told = match Told::parse_from(std::env::args_os()) {
        Ok(told) => told,
        Err(answer) => {
            // Help and version come this way too; with the stream closed, the exit status still tells.
            let _ = answer.print();
            return ExitCode::from(if answer.use_stderr() { USAGE } else { 0 });
        }
    };
    #[cfg(feature = "faults")]
    if told.arguments.list_faults {
        return list_faults();
    }
    let filter = &told.arguments.log_level;
    if let Err(error) = log::start(filter, told.arguments.log_format) {
        return refuse(&format!("invalid log level {filter:?}: {error}"));
    }
    let check = told.arguments.check;
    let config = match told.resolve() {
        Ok(config) => config,
        Err(refusal) => return refuse(&refusal.to_string()),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("could not start the runtime: {error}")),
    };
    let outcome = if check { runtime.block_on(rehearse(config)) } else { runtime.block_on(serve(config)) };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// All of a start but serving: the cluster is found, and what the driver has to see of it is listed once.
async fn rehearse(config: Config) -> Result<(), ServeError> {
    let sandboxes = connect(&config).await?;
    let feed = Arc::new(Feed::new(config.faults.clone()).in_mode(&config.workspaces));
    let stop = CancellationToken::new();
    let following = tokio::spawn(follow(Arc::clone(&feed), sandboxes, stop));
    let listed = feed.subscribe(DEADLINE).await;
    following.abort();
    if listed.is_none() {
        return Err(DriverError::Timeout { action: "list the sandboxes and their pods" }.into());
    }
    tracing::info!(workspaces = config.workspaces.as_str(), "could serve {}", sandproof_protocol::SERVICE);
    Ok(())
}

async fn serve(config: Config) -> Result<(), ServeError> {
    let stop = CancellationToken::new();
    stop_at_signal(&stop)?;
    #[cfg(feature = "faults")]
    for fault in config.faults.names() {
        tracing::warn!(fault, "a fault is switched on");
    }
    // Looked at now, so that a taken place is told first; listening only when there is a cluster, so that nobody waits in vain.
    let reserved = listener::reserve(&config.listen, &config.faults)?;

    let sandboxes = tokio::select! {
        sandboxes = connect(&config) => sandboxes?,
        () = stop.cancelled() => return Ok(()),
    };
    let incoming = reserved.listen()?;
    let feed = Arc::new(Feed::new(config.faults.clone()).in_mode(&config.workspaces));
    let following = tokio::spawn(follow(Arc::clone(&feed), Arc::clone(&sandboxes), stop.clone()));
    tracing::info!(
        address = %config.listen,
        version = env!("CARGO_PKG_VERSION"),
        protocol = sandproof_protocol::PROTOCOL,
        protocol_revision = sandproof_protocol::PROTOCOL_REVISION,
        workspaces = config.workspaces.as_str(),
        gateway = config.gateway_id,
        namespace = config.sandbox.namespace,
        sideload = %config.sandbox.sideload,
        pull_secrets = ?config.sandbox.image_pull_secrets,
        "serving {}",
        sandproof_protocol::SERVICE,
    );
    let driver = Driver::new(config, sandboxes, feed, stop.clone());
    answer(driver, incoming, &stop).await?;
    following.abort();
    Ok(())
}

/// Answers RPCs until `stop`, and for a little while those in flight.
async fn answer(driver: Driver, incoming: Incoming, stop: &CancellationToken) -> Result<(), ServeError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<ComputeDriverServer<Driver>>().await;
    let router = Server::builder().add_service(health_service).add_service(ComputeDriverServer::new(driver));
    let (serving, _socket) = match incoming {
        Incoming::Tcp(connections) => {
            (router.serve_with_incoming_shutdown(connections, stop.cancelled()).boxed(), None)
        }
        Incoming::Socket(connections, socket) => {
            (router.serve_with_incoming_shutdown(connections, stop.cancelled()).boxed(), Some(socket))
        }
    };
    let mut serving = serving;
    tokio::select! {
        outcome = &mut serving => outcome?,
        () = stop.cancelled() => {
            tracing::info!("stopping");
            health.set_not_serving::<ComputeDriverServer<Driver>>().await;
            if let Ok(outcome) = timeout(DRAIN, serving).await {
                outcome?;
            } else {
                tracing::warn!("stopped with RPCs in flight");
            }
        }
    }
    Ok(())
}

/// Finds the cluster and the served API version, within the deadline every call has.
async fn connect(config: &Config) -> Result<Arc<Sandboxes>, ServeError> {
    let client = kubernetes::connect().await?;
    let layout = Layout::new(&config.workspaces, &config.gateway_id, &config.sandbox.namespace);
    let trial_namespace = &config.sandbox.namespace;
    let sandboxes = Sandboxes::new(client, layout, trial_namespace, &config.gateway_id, config.faults.clone());
    let sandboxes = Arc::new(sandboxes);
    let deadline = Instant::now() + DEADLINE;
    // Nothing announces that the API server can be reached, so it is tried until it can.
    let mut tries = interval(START_RETRY);
    tries.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = false;
    loop {
        tries.tick().await;
        match sandboxes.resource().await {
            Ok(_) => return Ok(sandboxes),
            Err(DriverError::NoApiVersion) => return Err(DriverError::NoApiVersion.into()),
            Err(error) if Instant::now() >= deadline => return Err(error.into()),
            Err(error) if !told => {
                tracing::info!(%error, "the API server cannot be reached yet");
                told = true;
            }
            Err(error) => tracing::debug!(%error, "the API server cannot be reached yet"),
        }
    }
}

fn stop_at_signal(stop: &CancellationToken) -> Result<(), ServeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}

/// Says why the process does not start; on standard error, where no log filter can hide it.
fn refuse(problem: &str) -> ExitCode {
    // With standard error closed, the exit status still tells.
    let _ = writeln!(std::io::stderr(), "error: {problem}");
    ExitCode::from(USAGE)
}

#[cfg(feature = "faults")]
fn list_faults() -> ExitCode {
    let mut out = std::io::stdout().lock();
    let own = |fault: &&sandproof_protocol::faults::Fault| fault.part == sandproof_protocol::faults::Part::Driver;
    for fault in sandproof_protocol::faults::FAULTS.iter().filter(own) {
        if writeln!(out, "{}: {}", fault.name, fault.description).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests;
