//! A client as simple as a runtime's: one request a connection, plain or TLS.

use std::{net::SocketAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use sandproof_clusters::images::MANIFEST_MEDIA_TYPE;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// What a request got.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Where requests go.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) authorization: Option<String>,
    tls: Option<TlsConnector>,
}

impl Client {
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self { address, authorization: None, tls: None }
    }

    /// Trusts the authority in `pem` and nothing else.
    pub(crate) fn tls(address: SocketAddr, pem: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { tls: Some(TlsConnector::from(Arc::new(config))), ..Self::plain(address) }
    }

    pub(crate) fn user(&self, name: &str, password: &str) -> Self {
        let encoded = STANDARD.encode(format!("{name}:{password}"));
        Self { authorization: Some(format!("Basic {encoded}")), ..self.clone() }
    }

    pub(crate) fn token(&self, token: &str) -> Self {
        Self { authorization: Some(format!("Bearer {token}")), ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "").await.unwrap()
    }

    pub(crate) async fn head(&self, path: &str) -> Answer {
        self.send("HEAD", path, "").await.unwrap()
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: &str) -> Result<Answer, String> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| error.to_string())?;
        match &self.tls {
            None => self.exchange(stream, method, path, body).await,
            Some(connector) => {
                let name = ServerName::IpAddress(self.address.ip().into());
                let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
                self.exchange(stream, method, path, body).await
            }
        }
    }

    async fn exchange<S>(&self, stream: S, method: &str, path: &str, body: &str) -> Result<Answer, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let told = |error: hyper::Error| format!("{error}: {:?}", std::error::Error::source(&error));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(told)?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string())
            .header("accept", MANIFEST_MEDIA_TYPE);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        let (head, body) = sender.send_request(request).await.map_err(told)?.into_parts();
        let body = body.collect().await.map_err(told)?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn challenge(&self) -> &str {
        self.headers.get("www-authenticate").map_or("", |value| value.to_str().unwrap())
    }
}
