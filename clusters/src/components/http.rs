//! A small HTTP client for downloads. It never hangs: connecting and every wait for
//! bytes have a deadline, and a host that could not be reached is not tried again.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use camino::Utf8Path;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// Redirects that are followed.
const REDIRECTS: usize = 5;

/// The largest text (a checksum file) that is read, in bytes.
const TEXT_LIMIT: usize = 1 << 20;

/// The largest file that is fetched, in bytes.
const FILE_LIMIT: u64 = 2 << 30;

/// How often a connection is tried that breaks or does not open.
const ATTEMPTS: usize = 2;

/// How long an address is tried before the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);

/// Where a proxy for downloads would be named.
const PROXIES: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];

/// Hosts that this process could not reach, with the reason. Every store of the process shares it:
/// whoever waited once has waited for all.
static UNREACHABLE: LazyLock<Mutex<HashMap<String, String>>> = LazyLock::new(Mutex::default);

/// How long the client waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For a name to resolve and a connection to open, TLS included. Default 5 s; it is tried twice.
    pub connect: Duration,
    /// For the next bytes once connected. Default 30 s.
    pub idle: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), idle: Duration::from_secs(30) }
    }
}

/// Why a URL gave nothing usable.
#[derive(Debug, Error)]
pub(super) enum HttpError {
    #[error("`{0}` is not an http or https URL")]
    Url(String),
    #[error("cannot reach {host}: {reason}")]
    Unreachable { host: String, reason: String },
    #[error("{url} answered {status}")]
    Status { url: String, status: StatusCode },
    #[error("{url} sent nothing for {seconds} s after {received} bytes")]
    Idle { url: String, seconds: f64, received: u64 },
    #[error("{url} ended after {received} bytes ({reason})")]
    Truncated { url: String, received: u64, reason: String },
    #[error("{url}: {reason}")]
    Protocol { url: String, reason: String },
    #[error("{0} redirects in circles")]
    Redirects(String),
    #[error("{url} is larger than {limit} bytes")]
    TooLarge { url: String, limit: u64 },
    #[error(transparent)]
    File(#[from] io::Error),
}

/// What a fetched file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) size: u64,
    pub(super) sha256: String,
}

/// The client.
#[derive(Debug, Clone)]
pub(super) struct Client {
    deadlines: Deadlines,
    tls: Arc<ClientConfig>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Client {
    pub(super) fn new(deadlines: Deadlines) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        // The usual way to name a private authority, such as that of a company's proxy or mirror.
        if let Some(own) = std::env::var_os("SSL_CERT_FILE") {
            use rustls::pki_types::{CertificateDer, pem::PemObject};
            let certificates = CertificateDer::pem_file_iter(own).into_iter().flatten().flatten();
            roots.add_parsable_certificates(certificates);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { deadlines, tls: Arc::new(tls) })
    }

    /// Fetches a small text.
    pub(super) async fn text(&self, url: &str) -> Result<String, HttpError> {
        let mut collected = Vec::new();
        let mut body = self.get(url).await?;
        while let Some(chunk) = self.chunk(&mut body, url, collected.len() as u64).await? {
            if collected.len() + chunk.len() > TEXT_LIMIT {
                return Err(HttpError::TooLarge { url: url.to_owned(), limit: TEXT_LIMIT as u64 });
            }
            collected.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8_lossy(&collected).into_owned())
    }

    /// Fetches a file to `path`, which is overwritten, telling `progress` the bytes that have come and
    /// the bytes that are expected.
    pub(super) async fn file(
        &self,
        url: &str,
        path: &Utf8Path,
        mut progress: impl FnMut(u64, Option<u64>),
    ) -> Result<Fetched, HttpError> {
        let mut body = self.get(url).await?;
        let expected = hyper::body::Body::size_hint(&body).exact();
        let mut file = fs_err::tokio::File::create(path).await?;
        let (mut size, mut digest) = (0, Sha256::new());
        while let Some(chunk) = self.chunk(&mut body, url, size).await? {
            size += chunk.len() as u64;
            if size > FILE_LIMIT {
                return Err(HttpError::TooLarge { url: url.to_owned(), limit: FILE_LIMIT });
            }
            digest.update(&chunk);
            file.write_all(&chunk).await?;
            progress(size, expected);
        }
        file.flush().await?;
        Ok(Fetched { size, sha256: super::cache::hexadecimal(&digest.finalize()) })
    }

    async fn chunk(&self, body: &mut Incoming, url: &str, received: u64) -> Result<Option<Bytes>, HttpError> {
        loop {
            let frame = timeout(self.deadlines.idle, body.frame()).await.map_err(|_| HttpError::Idle {
                url: url.to_owned(),
                seconds: self.deadlines.idle.as_secs_f64(),
                received,
            })?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => {
                    return Err(HttpError::Truncated { url: url.to_owned(), received, reason: error.to_string() });
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The body of a 200 answer, redirects followed.
    async fn get(&self, url: &str) -> Result<Incoming, HttpError> {
        let mut at = url.to_owned();
        for _ in 0..=REDIRECTS {
            let uri: Uri = at.parse().map_err(|_| HttpError::Url(at.clone()))?;
            let response = self.request(&uri).await?;
            let status = response.status();
            if status == StatusCode::OK {
                return Ok(response.into_body());
            }
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            at = match location {
                Some(location) if status.is_redirection() => absolute(&uri, location)?,
                _ => return Err(HttpError::Status { url: at, status }),
            };
        }
        Err(HttpError::Redirects(url.to_owned()))
    }

    async fn request(&self, uri: &Uri) -> Result<Response<Incoming>, HttpError> {
        let protocol = |error: String| HttpError::Protocol { url: uri.to_string(), reason: error };
        let stream = self.connect(uri).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| protocol(error.to_string()))?;
        // It ends when the sender and the body are dropped.
        tokio::spawn(connection);
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
            .header(header::HOST, authority)
            .header(header::USER_AGENT, concat!("sandproof/", env!("CARGO_PKG_VERSION")))
            .body(Empty::<Bytes>::new())
            .map_err(|error| protocol(error.to_string()))?;
        match timeout(self.deadlines.idle, sender.send_request(request)).await {
            Ok(answer) => answer.map_err(|error| protocol(error.to_string())),
            Err(_) => {
                Err(HttpError::Idle { url: uri.to_string(), seconds: self.deadlines.idle.as_secs_f64(), received: 0 })
            }
        }
    }

    async fn connect(&self, uri: &Uri) -> Result<Box<dyn Stream>, HttpError> {
        let invalid = || HttpError::Url(uri.to_string());
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(invalid()),
        };
        let name = uri.host().ok_or_else(invalid)?.trim_matches(['[', ']']);
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let host = format!("{name}:{port}");
        if let Some(reason) = unreachable().get(&host) {
            return Err(HttpError::Unreachable { host, reason: format!("{reason} (tried before)") });
        }
        let opening = || async {
            let tcp = first_of(tokio::net::lookup_host((name, port)).await?.collect()).await?;
            if !secure {
                return Ok(Box::new(tcp) as Box<dyn Stream>);
            }
            let server = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
            let tls = TlsConnector::from(self.tls.clone()).connect(server, tcp).await?;
            Ok::<_, io::Error>(Box::new(tls) as Box<dyn Stream>)
        };
        let mut reason = String::new();
        // One lost packet is no reason to compile for ten minutes.
        for _ in 0..ATTEMPTS {
            reason = match timeout(self.deadlines.connect, opening()).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) if !is_passing(error.kind()) => {
                    reason = error.to_string();
                    break;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no connection within {} s", self.deadlines.connect.as_secs_f64()),
            };
        }
        if PROXIES.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
            reason.push_str("; a proxy is set, which downloads do not use: name a mirror with --mirror");
        }
        unreachable().insert(host.clone(), reason.clone());
        Err(HttpError::Unreachable { host, reason })
    }
}

/// Connects to the address that answers first: each gets a little time before the next one is tried beside it, those of
/// the two families in turn.
async fn first_of(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let (six, four): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv6);
    let turns = (0..six.len().max(four.len())).flat_map(|turn| [six.get(turn), four.get(turn)]).flatten().copied();
    let attempts: Vec<_> = turns
        .zip(0_u32..)
        .map(|(address, turn)| {
            Box::pin(async move {
                tokio::time::sleep(HEAD_START * turn).await;
                TcpStream::connect(address).await
            })
        })
        .collect();
    if attempts.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "its name has no address"));
    }
    futures::future::select_ok(attempts).await.map(|(stream, _)| stream)
}

/// Whether another attempt may go better.
fn is_passing(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, TimedOut, UnexpectedEof};
    matches!(kind, ConnectionAborted | ConnectionReset | Interrupted | TimedOut | UnexpectedEof)
}

fn unreachable() -> std::sync::MutexGuard<'static, HashMap<String, String>> {
    UNREACHABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a redirect leads. One from https to http is refused.
fn absolute(from: &Uri, location: &str) -> Result<String, HttpError> {
    let invalid = || HttpError::Url(location.to_owned());
    let to: Uri = location.parse().map_err(|_| invalid())?;
    let mut parts = to.into_parts();
    if parts.scheme.is_none() {
        parts.scheme = from.scheme().cloned();
        parts.authority = from.authority().cloned();
    }
    let to = Uri::from_parts(parts).map_err(|_| invalid())?;
    if from.scheme_str() == Some("https") && to.scheme_str() != Some("https") {
        return Err(invalid());
    }
    Ok(to.to_string())
}
