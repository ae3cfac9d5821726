//! A client of the cluster's own API server, small enough for the first process.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use camino::Utf8Path;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::native::plan::{ApiAccess, ApiObject};

/// How long one request, or one attempt to connect, may take.
const REQUEST: Duration = Duration::from_secs(10);

/// A way to the API server.
pub(super) struct Api {
    connector: TlsConnector,
    port: u16,
}

/// An open connection.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
}

/// A watch: one JSON object a line.
pub(super) struct Watch {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Api {
    /// Reads the certificates.
    pub(super) fn new(access: &ApiAccess) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots
            .add(pem(&access.authority, CertificateDer::from_pem_slice)?)
            .map_err(|error| format!("cannot use {}: {error}", access.authority))?;
        let certificate = pem(&access.certificate, CertificateDer::from_pem_slice)?;
        let key = pem(&access.key, PrivateKeyDer::from_pem_slice)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let configuration = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_root_certificates(roots).with_client_auth_cert(vec![certificate], key))
            .map_err(|error| format!("cannot set up TLS: {error}"))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(configuration)), port: access.port })
    }

    /// Opens a connection.
    pub(super) async fn connect(&self) -> Result<Connection, String> {
        let attempt = async {
            let stream = TcpStream::connect(("127.0.0.1", self.port)).await.map_err(|error| error.to_string())?;
            let name = ServerName::try_from("localhost").map_err(|error| error.to_string())?;
            let stream = self.connector.connect(name, stream).await.map_err(|error| error.to_string())?;
            let (sender, connection) =
                http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            Ok(Connection { sender })
        };
        within("connecting", attempt).await
    }
}

impl Connection {
    /// `GET`s a path; the status and the whole body.
    pub(super) async fn get(&mut self, path: &str) -> Result<(StatusCode, String), String> {
        self.exchange(Method::GET, path, Bytes::new()).await
    }

    /// Creates an object; one that exists already is as good.
    pub(super) async fn create(&mut self, object: &ApiObject) -> Result<(), String> {
        let path = &object.collection;
        let (status, body) = self.exchange(Method::POST, path, Bytes::from(object.body.to_string())).await?;
        if status.is_success() || status == StatusCode::CONFLICT {
            return Ok(());
        }
        Err(format!("POST {path} answered {status}: {body}"))
    }

    /// Opens a watch.
    pub(super) async fn watch(&mut self, path: &str) -> Result<Watch, String> {
        let response = within("opening a watch", self.send(Method::GET, path, Bytes::new())).await?;
        if !response.status().is_success() {
            return Err(format!("GET {path} answered {}", response.status()));
        }
        Ok(Watch { body: response.into_body(), buffer: Vec::new() })
    }

    async fn exchange(&mut self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, String), String> {
        let work = async {
            let response = self.send(method, path, body).await?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
            Ok((status, String::from_utf8_lossy(&body).into_owned()))
        };
        within(path, work).await
    }

    async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<http::Response<Incoming>, String> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        self.sender.ready().await.map_err(|error| error.to_string())?;
        self.sender.send_request(request).await.map_err(|error| error.to_string())
    }
}

impl Watch {
    /// The next event; none when the server ended the watch.
    pub(super) async fn next(&mut self) -> Result<Option<serde_json::Value>, String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return serde_json::from_slice(&line).map(Some).map_err(|error| error.to_string());
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    let frame = frame.map_err(|error| error.to_string())?;
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
            }
        }
    }
}

fn pem<T, E: std::fmt::Display>(path: &Utf8Path, parse: impl Fn(&[u8]) -> Result<T, E>) -> Result<T, String> {
    let text = std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    parse(&text).map_err(|error| format!("cannot parse {path}: {error}"))
}

async fn within<T>(what: &str, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(REQUEST, work)
        .await
        .unwrap_or_else(|_| Err(format!("{what} took longer than {} s", REQUEST.as_secs())))
}
