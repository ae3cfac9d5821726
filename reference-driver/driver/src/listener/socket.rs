//! Connections over a Unix socket: only processes of the same user get any further than to connect.

use std::io;

use futures::{Stream, StreamExt};
use rustix::process::geteuid;
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::wrappers::UnixListenerStream;

use crate::faults::Faults;

/// A connection of a process of the same user.
pub(crate) type Connection = UnixStream;

/// The connections of processes of this process' user; all others are closed before a byte is read.
pub(super) fn of_the_same_user(
    listener: UnixListener,
    faults: Faults,
) -> impl Stream<Item = io::Result<Connection>> + Send {
    let own = geteuid().as_raw();
    UnixListenerStream::new(listener).filter_map(move |accepted| {
        let admitted = match accepted {
            Ok(stream) if faults.opens_socket() => Some(stream),
            Ok(stream) => admit(stream, own),
            // One failed accept, such as of a peer that is gone again, does not end the service.
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                None
            }
        };
        std::future::ready(admitted.map(Ok))
    })
}

fn admit(stream: UnixStream, own: u32) -> Option<Connection> {
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == own => Some(stream),
        Ok(peer) => {
            tracing::warn!(uid = peer.uid(), pid = peer.pid(), "refused a connection of another user");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "refused a connection of an unknown user");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn another_user_is_refused() {
        let (here, _there) = UnixStream::pair().unwrap();
        let own = geteuid().as_raw();
        assert!(admit(here, own.wrapping_add(1)).is_none());
        let (here, _there) = UnixStream::pair().unwrap();
        assert!(admit(here, own).is_some());
    }
}
