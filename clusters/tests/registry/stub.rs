//! A small registry in memory, on a unix socket: enough of the API to stand behind the gate.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use camino::Utf8Path;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use tokio::net::UnixListener;

#[derive(Default)]
struct Contents {
    blobs: BTreeMap<String, Bytes>,
    links: BTreeSet<(String, String)>,
    manifests: BTreeMap<(String, String), Bytes>,
    uploads: usize,
}

/// Serves on `socket` until the test's runtime ends.
pub(crate) fn serve(socket: &Utf8Path) {
    let listener = UnixListener::bind(socket).unwrap();
    let contents = Arc::new(Mutex::new(Contents::default()));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let contents = Arc::clone(&contents);
            let service = service_fn(move |request| answer(Arc::clone(&contents), request));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
}

async fn answer(
    contents: Arc<Mutex<Contents>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    assert!(!head.headers.contains_key("authorization"), "credentials must end at the gate");
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let query: BTreeMap<&str, &str> =
        head.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')).collect();
    let path: Vec<&str> = head.uri.path().trim_start_matches("/v2/").split('/').collect();
    let mut contents = contents.lock().unwrap();
    let response = match (&head.method, path.as_slice()) {
        (&Method::GET, [""]) => respond(StatusCode::OK, None, Bytes::from_static(b"{}")),
        (&Method::POST, [name @ .., "blobs", "uploads", ""]) => {
            let name = name.join("/");
            let from = query.get("from").zip(query.get("mount"));
            match from {
                Some((from, digest)) if contents.links.contains(&((*from).to_owned(), (*digest).to_owned())) => {
                    contents.links.insert((name, (*digest).to_owned()));
                    respond(StatusCode::CREATED, None, Bytes::new())
                }
                _ => {
                    contents.uploads += 1;
                    let location = format!("/v2/{name}/blobs/uploads/{}?state=open", contents.uploads);
                    respond(StatusCode::ACCEPTED, Some(("location", &location)), Bytes::new())
                }
            }
        }
        (&Method::PUT, [name @ .., "blobs", "uploads", _]) => {
            let digest = digest_of(&body);
            if query.get("digest") == Some(&digest.as_str()) {
                contents.links.insert((name.join("/"), digest.clone()));
                contents.blobs.insert(digest, body);
                respond(StatusCode::CREATED, None, Bytes::new())
            } else {
                respond(StatusCode::BAD_REQUEST, None, Bytes::from_static(b"{\"errors\":[]}"))
            }
        }
        (&Method::PUT, [name @ .., "manifests", reference]) => {
            let name = name.join("/");
            contents.manifests.insert((name.clone(), digest_of(&body)), body.clone());
            contents.manifests.insert((name, (*reference).to_owned()), body);
            respond(StatusCode::CREATED, None, Bytes::new())
        }
        (&Method::GET | &Method::HEAD, [name @ .., "manifests", reference]) => {
            let found = contents.manifests.get(&(name.join("/"), (*reference).to_owned()));
            found_or_not(&head.method, found)
        }
        (&Method::GET | &Method::HEAD, [name @ .., "blobs", digest]) => {
            let linked = contents.links.contains(&(name.join("/"), (*digest).to_owned()));
            found_or_not(&head.method, contents.blobs.get(*digest).filter(|_| linked))
        }
        _ => respond(StatusCode::NOT_FOUND, None, Bytes::new()),
    };
    Ok(response)
}

fn found_or_not(method: &Method, found: Option<&Bytes>) -> Response<Full<Bytes>> {
    match found {
        None => respond(StatusCode::NOT_FOUND, None, Bytes::new()),
        Some(bytes) => {
            let digest = digest_of(bytes);
            let mut response = respond(StatusCode::OK, Some(("docker-content-digest", &digest)), bytes.clone());
            if method == Method::HEAD {
                response.headers_mut().insert("content-length", bytes.len().into());
                *response.body_mut() = Full::default();
            }
            response
        }
    }
}

fn respond(status: StatusCode, header: Option<(&'static str, &str)>, body: Bytes) -> Response<Full<Bytes>> {
    let mut builder = Response::builder().status(status);
    if let Some((name, value)) = header {
        builder = builder.header(name, value);
    }
    builder.body(Full::new(body)).unwrap()
}

fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |name, byte| format!("{name}{byte:02x}"))
}
