//! A relay between a driver and its API server: it can fall silent for that driver, while everybody else is answered.
//!
//! Silent, it does what a stopped API server does: it takes connections and answers none, and what is sent meanwhile is
//! carried out afterwards. It hands on bytes and ends no TLS: the API server's certificate is valid for its address.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

/// Bytes that are read at once.
const CHUNK: usize = 16 * 1024;

/// Before the next connection is taken where one could not be: this host has no more sockets for the moment.
const PAUSE: Duration = Duration::from_millis(100);

/// Where a relay can stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RelayPlace {
    /// The address of this host that pods reach.
    pub(crate) address: IpAddr,
    /// Host and port of the API server.
    pub(crate) api_server: String,
}

/// A relay; it ends when it is dropped, and its connections with it.
#[derive(Debug)]
pub(crate) struct Relay {
    address: SocketAddr,
    silent: watch::Sender<bool>,
    _serving: AbortOnDropHandle<()>,
}

impl RelayPlace {
    /// Opens a relay on a free port.
    pub(crate) async fn open(&self) -> std::io::Result<Relay> {
        let listener = TcpListener::bind((self.address, 0)).await?;
        let address = listener.local_addr()?;
        let (silent, heard) = watch::channel(false);
        let serving = tokio::spawn(serve(listener, self.api_server.clone(), heard));
        Ok(Relay { address, silent, _serving: AbortOnDropHandle::new(serving) })
    }
}

impl Relay {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Falls silent, or answers again.
    pub(crate) fn silence(&self, silent: bool) {
        self.silent.send_replace(silent);
    }
}

async fn serve(listener: TcpListener, api_server: String, silent: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(carry(stream, api_server.clone(), silent.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "a driver's connection was not taken");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(driver: TcpStream, api_server: String, silent: watch::Receiver<bool>) {
    // A driver whose API server cannot be reached finds its connection closed.
    let Ok(server) = TcpStream::connect(&api_server).await else { return };
    let _ = (driver.set_nodelay(true), server.set_nodelay(true));
    let (from_driver, to_driver) = driver.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(hand_on(from_driver, to_server, silent.clone()), hand_on(from_server, to_driver, silent));
}

async fn hand_on(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut silent: watch::Receiver<bool>) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        if silent.wait_for(|silent| !silent).await.is_err() || to.write_all(&chunk[..read]).await.is_err() {
            break;
        }
    }
    // An end is news as well.
    if silent.wait_for(|silent| !silent).await.is_ok() {
        let _ = to.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// Something that says everything back.
    async fn echo() -> (String, JoinSet<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        (address, serving)
    }

    async fn answer(stream: &mut TcpStream) -> [u8; 4] {
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_silent_relay_takes_connections_and_answers_them_later() {
        let (api_server, _serving) = echo().await;
        let relay = RelayPlace { address: Ipv4Addr::LOCALHOST.into(), api_server }.open().await.unwrap();
        let mut before = TcpStream::connect(relay.address()).await.unwrap();
        before.write_all(b"ping").await.unwrap();
        assert_eq!(&answer(&mut before).await, b"ping");

        relay.silence(true);
        let mut meanwhile = TcpStream::connect(relay.address()).await.unwrap();
        before.write_all(b"held").await.unwrap();
        meanwhile.write_all(b"late").await.unwrap();
        let quiet = Duration::from_millis(100);
        assert!(tokio::time::timeout(quiet, answer(&mut before)).await.is_err());
        assert!(tokio::time::timeout(quiet, answer(&mut meanwhile)).await.is_err());

        relay.silence(false);
        assert_eq!(&answer(&mut before).await, b"held");
        assert_eq!(&answer(&mut meanwhile).await, b"late");
    }

    #[tokio::test]
    async fn connections_end_with_their_relay_and_with_the_server() {
        let (api_server, serving) = echo().await;
        let place = RelayPlace { address: Ipv4Addr::LOCALHOST.into(), api_server };
        let relay = place.open().await.unwrap();
        let mut stream = TcpStream::connect(relay.address()).await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        assert_eq!(&answer(&mut stream).await, b"ping");
        drop(relay);
        assert!(matches!(stream.read(&mut [0; 4]).await, Ok(0) | Err(_)));

        drop(serving);
        let relay = place.open().await.unwrap();
        let mut stream = TcpStream::connect(relay.address()).await.unwrap();
        assert!(matches!(stream.read(&mut [0; 4]).await, Ok(0) | Err(_)));
    }
}
