//! The gate's listeners: plain or TLS, HTTP/1.1.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    access::Scheme,
    gate::{Gate, Origin, ResetConnection},
    upstream::arriving,
};

/// How long a client may take for a TLS handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(15);

/// How long a connection may stay without the head of a next request.
const IDLE_DEADLINE: Duration = Duration::from_mins(2);

/// The wait before the next accept after one failed, as when all file descriptors are in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// How a listener speaks and asks for credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListenerKind {
    /// Plain HTTP, user name and password with each request.
    PlainBasic,
    /// Plain HTTP, tokens.
    PlainBearer,
    /// TLS under the private authority, user name and password with each request.
    TlsBasic,
    /// TLS under the private authority, tokens.
    TlsBearer,
}

impl ListenerKind {
    /// Whether clients need the private authority's certificate.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::TlsBasic | Self::TlsBearer)
    }

    pub(super) fn scheme(self) -> Scheme {
        match self {
            Self::PlainBasic | Self::TlsBasic => Scheme::Basic,
            Self::PlainBearer | Self::TlsBearer => Scheme::Bearer,
        }
    }

    pub(super) fn url(self, address: SocketAddr) -> String {
        let scheme = if self.is_tls() { "https" } else { "http" };
        format!("{scheme}://{address}")
    }
}

/// Opens a listener and serves it until `stop`, on the runtime that the caller is on.
pub(super) fn open(
    gate: Arc<Gate>,
    wanted: SocketAddr,
    kind: ListenerKind,
    tls: Option<Arc<ServerConfig>>,
    stop: CancellationToken,
    tasks: &TaskTracker,
) -> io::Result<SocketAddr> {
    let listener = bind(wanted)?;
    let address = listener.local_addr()?;
    let origin = Origin::Listener { address, kind };
    let acceptor = tls.map(TlsAcceptor::from);
    let connections = tasks.clone();
    tasks.spawn(async move {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let connection = serve(Arc::clone(&gate), origin, stream, acceptor.clone());
                    let stop = stop.clone();
                    connections.spawn(async move {
                        tokio::select! {
                            () = stop.cancelled() => {}
                            () = connection => {}
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%address, %error, "the registry cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
    Ok(address)
}

/// Listens on an address that may come into being later only: podman makes a network's bridge with the first container
/// on it.
fn bind(wanted: SocketAddr) -> io::Result<TcpListener> {
    let socket = if wanted.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if wanted.is_ipv4() {
        rustix::net::sockopt::set_ip_freebind(&socket, true)?;
    } else {
        rustix::net::sockopt::set_ipv6_freebind(&socket, true)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(wanted)?;
    socket.listen(BACKLOG)
}

async fn serve(gate: Arc<Gate>, origin: Origin, stream: TcpStream, acceptor: Option<TlsAcceptor>) {
    // Small answers must not wait for more to send.
    let _ = stream.set_nodelay(true);
    // A second handle on the socket, so that a reset can be ordered while hyper owns the stream.
    let socket = stream.as_fd().try_clone_to_owned().ok();
    match acceptor {
        None => serve_http(gate, origin, stream, socket.as_ref()).await,
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => serve_http(gate, origin, stream, socket.as_ref()).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake with the registry failed"),
            Err(_) => tracing::debug!("TLS handshake with the registry took too long"),
        },
    }
}

async fn serve_http<S>(gate: Arc<Gate>, origin: Origin, stream: S, socket: Option<&OwnedFd>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| {
        let gate = Arc::clone(&gate);
        async move {
            let answer = gate.answer(origin, request.map(arriving)).await;
            if let (Err(ResetConnection), Some(socket)) = (&answer, socket) {
                // Closing then drops everything and sends RST; a plain close is the fallback.
                let _ = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO));
            }
            answer
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_DEADLINE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the registry ended early");
    }
}
