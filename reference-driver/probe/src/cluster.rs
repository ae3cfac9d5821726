//! `cluster`: what every pod of a usable cluster can do.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::execution::{self, Execution};
use crate::{mounts, process};

/// The port of the Kubernetes service.
const SERVICE_PORT: u16 = 443;
/// How long name resolution and a connection may each take.
const DEADLINE: Duration = Duration::from_secs(8);

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    dns: Resolution,
    service: Connection,
    seccomp: Option<u8>,
    image_volume: ImageVolume,
}

#[derive(Debug, Serialize)]
struct Resolution {
    ok: bool,
    addresses: Vec<String>,
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Connection {
    ok: bool,
    error: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ImageVolume {
    exists: bool,
    executed: Execution,
    read_only: bool,
}

/// Looks at name resolution, a service and a program on an image volume.
pub(crate) async fn report(service_host: &str, program: &str) -> Report {
    let path = Path::new(program);
    let directory = path.parent().unwrap_or(Path::new("/"));
    let ((dns, service), executed) = tokio::join!(reach(service_host), execution::of(path));
    Report {
        dns,
        service,
        seccomp: process::seccomp("self"),
        image_volume: ImageVolume {
            exists: path.exists(),
            executed,
            read_only: mounts::holding(directory).is_some_and(|mount| mount.read_only),
        },
    }
}

async fn reach(host: &str) -> (Resolution, Connection) {
    let addresses = match timeout(DEADLINE, lookup_host((host, SERVICE_PORT))).await {
        Ok(Ok(addresses)) => addresses.collect::<Vec<_>>(),
        Ok(Err(error)) => return unresolved(error.to_string()),
        Err(_) => return unresolved(format!("no answer within {} s", DEADLINE.as_secs())),
    };
    let error = match timeout(DEADLINE, TcpStream::connect(addresses.as_slice())).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no connection within {} s", DEADLINE.as_secs())),
    };
    let mut shown: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    shown.dedup();
    (Resolution { ok: !shown.is_empty(), addresses: shown, error: None }, Connection { ok: error.is_none(), error })
}

fn unresolved(error: String) -> (Resolution, Connection) {
    let resolution = Resolution { ok: false, addresses: Vec::new(), error: Some(error) };
    (resolution, Connection { ok: false, error: Some("the name was not resolved".to_owned()) })
}
