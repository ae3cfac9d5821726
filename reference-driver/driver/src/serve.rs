//! The process: start, serve, stop.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use sandproof_protocol::ComputeDriverServer;
use tokio::net::TcpSocket;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tracing_subscriber::EnvFilter;

use crate::arguments::Arguments;
use crate::config::Config;
use crate::error::DriverError;
use crate::kubernetes::{self, ConnectError, DEADLINE, Sandboxes};
use crate::service::Driver;
use crate::watch::{Feed, follow};

/// How often the API server is tried at start; right after its own start the way to it may not be there yet.
const START_RETRY: Duration = Duration::from_millis(200);
/// How long RPCs in flight may take to end after SIGTERM.
const DRAIN: Duration = Duration::from_secs(2);
/// How many connections may wait to be accepted.
const BACKLOG: u32 = 128;
/// The Kubernetes client logs each failed request as an error, which this driver reports itself or tries again.
const QUIET: &str = "kube_client=off,kube_runtime=off";
/// The exit status for a wrong setting, as clap has it.
const USAGE: u8 = 2;

/// Why the process ends with an error.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("could not listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
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
    let arguments = Arguments::parse();
    #[cfg(feature = "faults")]
    if arguments.list_faults {
        return list_faults();
    }
    let filter = match EnvFilter::try_new(format!("{QUIET},{}", arguments.log_level)) {
        Ok(filter) => filter,
        Err(error) => return refuse(&format!("invalid log level {:?}: {error}", arguments.log_level)),
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let config = match arguments.resolve() {
        Ok(config) => config,
        Err(error) => return refuse(&error.to_string()),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("could not start the runtime: {error}")),
    };
    match runtime.block_on(serve(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: Config) -> Result<(), ServeError> {
    let stop = CancellationToken::new();
    stop_at_signal(&stop)?;
    #[cfg(feature = "faults")]
    for fault in config.faults.names() {
        tracing::warn!(fault, "a fault is switched on");
    }
    let address = config.bind_address;
    // Bound at once, so that a taken port is told first; listening only when there is a cluster, so that nobody waits in vain.
    let socket = bind(address).map_err(|source| ServeError::Listen { address, source })?;

    let sandboxes = tokio::select! {
        sandboxes = connect(&config) => sandboxes?,
        () = stop.cancelled() => return Ok(()),
    };
    let listener = socket.listen(BACKLOG).map_err(|source| ServeError::Listen { address, source })?;
    let feed = Arc::new(Feed::new());
    let following = tokio::spawn(follow(Arc::clone(&feed), Arc::clone(&sandboxes), stop.clone()));
    tracing::info!(
        %address,
        version = env!("CARGO_PKG_VERSION"),
        namespace = config.sandbox.namespace,
        sideload = %config.sandbox.sideload,
        pull_secrets = ?config.sandbox.image_pull_secrets,
        "serving openshell.compute.v1.ComputeDriver",
    );

    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<ComputeDriverServer<Driver>>().await;
    let driver = Driver::new(config, sandboxes, feed, stop.clone());
    let serving = Server::builder()
        .add_service(health_service)
        .add_service(ComputeDriverServer::new(driver))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), stop.cancelled());
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        outcome = &mut serving => outcome?,
        () = stop.cancelled() => {
            tracing::info!("stopping");
            if let Ok(outcome) = timeout(DRAIN, serving).await {
                outcome?;
            } else {
                tracing::warn!("stopped with RPCs in flight");
            }
        }
    }
    following.abort();
    Ok(())
}

fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A port whose last connections are still timing out can be taken again.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Finds the cluster and the served API version, within the deadline every call has.
async fn connect(config: &Config) -> Result<Arc<Sandboxes>, ServeError> {
    let client = kubernetes::connect().await?;
    let sandboxes = Sandboxes::new(client, &config.sandbox.namespace, &config.gateway_id, config.faults.clone());
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
    for fault in sandproof_protocol::faults::FAULTS {
        if writeln!(out, "{}: {}", fault.name, fault.description).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
