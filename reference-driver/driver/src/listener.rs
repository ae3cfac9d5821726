//! Where gRPC is served: a TCP address, or a Unix socket for processes of the same user.

mod socket;
mod socket_path;

use std::net::SocketAddr;
use std::path::PathBuf;

use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::net::TcpSocket;
use tonic::transport::server::TcpIncoming;

use crate::config::Listen;
use crate::faults::Faults;
use socket::Connection;
use socket_path::OwnedSocket;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 128;

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// The address cannot be taken.
    #[error("could not listen on {address}: {source}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The socket's file system did not do its part.
    #[error("could not {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The path is not safe to serve on.
    #[error("refused to serve on {}: {problem}", path.display())]
    Unsafe {
        /// The path at fault.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
}

/// A place to serve on that was found free, before anything listens there.
pub(crate) enum Reserved {
    /// A bound address.
    Tcp(SocketAddr, TcpSocket),
    /// A path that nobody else serves on.
    Socket(PathBuf, Faults),
}

/// What arrives: connections over TCP, or over a Unix socket that is removed when this ends.
pub(crate) enum Incoming {
    /// Connections over TCP.
    Tcp(TcpIncoming),
    /// Connections of processes of the same user, and the socket they come by.
    Socket(BoxStream<'static, std::io::Result<Connection>>, OwnedSocket),
}

/// Looks whether the place is free; a taken one is told at once, although nobody is served before there is a cluster.
pub(crate) fn reserve(listen: &Listen, faults: &Faults) -> Result<Reserved, ListenError> {
    match listen {
        Listen::Tcp(address) => {
            if !address.ip().is_loopback() {
                tracing::warn!(%address, "gRPC has no authentication, and this address is not loopback");
            }
            let socket = bind(*address).map_err(|source| ListenError::Address { address: *address, source })?;
            Ok(Reserved::Tcp(*address, socket))
        }
        Listen::Socket(path) => {
            socket_path::prepare(path)?;
            Ok(Reserved::Socket(path.clone(), faults.clone()))
        }
    }
}

impl Reserved {
    /// Begins to listen.
    pub(crate) fn listen(self) -> Result<Incoming, ListenError> {
        match self {
            Self::Tcp(address, socket) => {
                let listener = socket.listen(BACKLOG).map_err(|source| ListenError::Address { address, source })?;
                Ok(Incoming::Tcp(TcpIncoming::from(listener).with_nodelay(Some(true))))
            }
            Self::Socket(path, faults) => {
                let (listener, owned) = socket_path::bind(&path, &faults)?;
                Ok(Incoming::Socket(socket::of_the_same_user(listener, faults).boxed(), owned))
            }
        }
    }
}

fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A port whose last connections are still timing out can be taken again.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
