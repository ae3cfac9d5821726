//! The way from the gate to the registry behind it: a unix socket in a private directory.
//!
//! A socket file rather than a loopback port: nothing else on the host can reach it without
//! passing the directory's permissions, and no port can be taken in between.

use std::{io, os::fd::AsRawFd, os::fd::OwnedFd, time::Duration};

use bytes::Bytes;
use camino::Utf8Path;
use http::{Request, Response};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustix::fs::{Mode, OFlags};
use thiserror::Error;
use tokio::net::UnixStream;

/// A streaming body, in either direction.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// From the end of a request's head to the head of its answer; an upload's body lies in between.
const ANSWER_DEADLINE: Duration = Duration::from_mins(5);

/// The registry behind the gate.
pub(super) struct Upstream {
    directory: OwnedFd,
    socket: String,
}

/// Why the registry behind the gate gave no answer.
#[derive(Debug, Error)]
pub(super) enum UpstreamError {
    #[error("cannot connect to the registry behind the gate: {0}")]
    Connect(io::Error),
    #[error("the registry behind the gate broke off: {0}")]
    Http(#[from] hyper::Error),
    #[error("the registry behind the gate did not answer within {} s", ANSWER_DEADLINE.as_secs())]
    Deadline,
}

impl Upstream {
    /// A registry that listens, or will listen, on the unix socket at `socket`.
    pub(super) fn new(socket: &Utf8Path) -> io::Result<Self> {
        let directory = socket.parent().unwrap_or(Utf8Path::new("."));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            directory: rustix::fs::open(directory.as_std_path(), flags, Mode::empty())?,
            socket: socket.file_name().unwrap_or_default().to_owned(),
        })
    }

    /// Sends a request and returns the answer as soon as its head is there.
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, UpstreamError> {
        tokio::time::timeout(ANSWER_DEADLINE, self.exchange(request)).await.unwrap_or(Err(UpstreamError::Deadline))
    }

    async fn exchange(&self, request: Request<Body>) -> Result<Response<Incoming>, UpstreamError> {
        // Through the open directory: a socket's own path may not be longer than 107 bytes.
        let path = format!("/proc/self/fd/{}/{}", self.directory.as_raw_fd(), self.socket);
        let stream = UnixStream::connect(path).await.map_err(UpstreamError::Connect)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Ends with its only exchange: when the answer is read, or when nobody reads it any more.
        tokio::spawn(connection);
        Ok(sender.send_request(request).await?)
    }
}

/// A body that is all there.
pub(super) fn whole(bytes: impl Into<Bytes>) -> Body {
    http_body_util::Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that arrives from a peer.
pub(super) fn arriving(body: Incoming) -> Body {
    body.map_err(io::Error::other).boxed_unsync()
}
