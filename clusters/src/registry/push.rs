//! Pushing an image through the gate, with the registry API's own requests.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION},
};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde::Serialize;
use thiserror::Error;

use super::{
    gate::{Gate, Origin},
    target::{is_repository_name, is_tag},
    upstream::{Body, whole},
};
use crate::images::{Image, Layer, MANIFEST_MEDIA_TYPE};

/// Bytes of an error answer that a message repeats.
const LONGEST_ANSWER: usize = 500;

/// What was pushed where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pushed {
    /// The manifest's digest, `sha256:…`.
    pub digest: String,
    /// The repository, without the registry's address.
    pub repository: String,
    /// The tag.
    pub tag: String,
}

/// Why an image could not be pushed.
#[derive(Debug, Error)]
pub enum PushError {
    /// The repository's name or the tag breaks the distribution specification's grammar.
    #[error(
        "\"{repository}:{tag}\" cannot be pushed to: use lower-case path components and a tag of letters, digits, `_`, `.` and `-`"
    )]
    Name {
        /// The repository.
        repository: String,
        /// The tag.
        tag: String,
    },
    /// The registry gave another answer than the one that means success.
    #[error("pushing to \"{repository}\": {request} was answered {status}: {answer}")]
    Answer {
        /// The repository.
        repository: String,
        /// Method and path.
        request: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of the answer's body.
        answer: String,
    },
    /// The exchange broke off.
    #[error("pushing to \"{repository}\": {request} broke off: {reason}")]
    Broken {
        /// The repository.
        repository: String,
        /// Method and path.
        request: String,
        /// Why.
        reason: String,
    },
}

/// Which repository already holds a layer, by digest. Each entry's lock is held during that
/// layer's first upload, so that pushes of the same layer at the same time wait and then mount.
#[derive(Default)]
pub(super) struct Uploads {
    layers: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<String>>>>>,
}

impl Pushed {
    /// The reference by tag, as seen through the listener at `registry` (`host:port`).
    pub fn reference(&self, registry: impl std::fmt::Display) -> String {
        format!("{registry}/{}:{}", self.repository, self.tag)
    }

    /// The reference by digest, as seen through the listener at `registry` (`host:port`).
    pub fn reference_by_digest(&self, registry: impl std::fmt::Display) -> String {
        format!("{registry}/{}@{}", self.repository, self.digest)
    }
}

pub(super) async fn push(
    gate: &Gate,
    uploads: &Uploads,
    image: &Image,
    repository: &str,
    tag: &str,
) -> Result<Pushed, PushError> {
    if !is_repository_name(repository) || !is_tag(tag) {
        return Err(PushError::Name { repository: repository.to_owned(), tag: tag.to_owned() });
    }
    let pusher = Pusher { gate, repository };
    for layer in image.layers() {
        pusher.layer(uploads, layer).await?;
    }
    let config = image.config();
    pusher.upload(image.config_digest(), config.len() as u64, whole(config.clone())).await?;
    let manifest = Request::builder()
        .method(Method::PUT)
        .uri(format!("/v2/{repository}/manifests/{tag}"))
        .header(CONTENT_TYPE, MANIFEST_MEDIA_TYPE)
        .header(CONTENT_LENGTH, image.manifest().len())
        .body(whole(image.manifest().clone()));
    pusher.send(manifest, &[StatusCode::CREATED]).await?;
    Ok(Pushed { digest: image.digest().to_owned(), repository: repository.to_owned(), tag: tag.to_owned() })
}

/// One image's way into one repository.
struct Pusher<'a> {
    gate: &'a Gate,
    repository: &'a str,
}

impl Pusher<'_> {
    /// Brings a layer into the repository: not at all, by mount, or by upload.
    async fn layer(&self, uploads: &Uploads, layer: &Arc<Layer>) -> Result<(), PushError> {
        let entry = {
            let mut layers = uploads.layers.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(layers.entry(layer.digest().to_owned()).or_default())
        };
        let mut holder = entry.lock().await;
        match holder.as_deref() {
            Some(name) if name == self.repository => Ok(()),
            Some(name) => {
                let from = name.to_owned();
                drop(holder);
                self.mount(layer, &from).await
            }
            None => {
                self.upload(layer.digest(), layer.size(), layer_body(Arc::clone(layer))).await?;
                *holder = Some(self.repository.to_owned());
                Ok(())
            }
        }
    }

    async fn mount(&self, layer: &Arc<Layer>, from: &str) -> Result<(), PushError> {
        let uri = format!("/v2/{}/blobs/uploads/?mount={}&from={from}", self.repository, layer.digest());
        let request = Request::builder().method(Method::POST).uri(uri).header(CONTENT_LENGTH, 0).body(whole(""));
        let answer = self.send(request, &[StatusCode::CREATED, StatusCode::ACCEPTED]).await?;
        if answer.status() == StatusCode::CREATED {
            return Ok(());
        }
        // The registry may decline and open an upload instead.
        self.put(&answer, layer.digest(), layer.size(), layer_body(Arc::clone(layer))).await
    }

    /// Uploads a blob. Nobody asks first whether it is there: a configuration is as good as
    /// always new, and of layers the harness knows it.
    async fn upload(&self, digest: &str, size: u64, body: Body) -> Result<(), PushError> {
        let begin = Request::builder()
            .method(Method::POST)
            .uri(format!("/v2/{}/blobs/uploads/", self.repository))
            .header(CONTENT_LENGTH, 0)
            .body(whole(""));
        let answer = self.send(begin, &[StatusCode::ACCEPTED]).await?;
        self.put(&answer, digest, size, body).await
    }

    /// Sends a blob in one piece to the place that `opened` names.
    async fn put(&self, opened: &Response<()>, digest: &str, size: u64, body: Body) -> Result<(), PushError> {
        let location = opened.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let separator = if location.contains('?') { '&' } else { '?' };
        let request = Request::builder()
            .method(Method::PUT)
            .uri(format!("{location}{separator}digest={digest}"))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
            .header(CONTENT_LENGTH, size)
            .body(body);
        self.send(request, &[StatusCode::CREATED]).await.map(drop)
    }

    /// Sends a request through the gate; another status than the `wanted` ones is an error.
    async fn send(
        &self,
        request: Result<Request<Body>, http::Error>,
        wanted: &[StatusCode],
    ) -> Result<Response<()>, PushError> {
        let broken = |request: &str, reason: &dyn std::fmt::Display| PushError::Broken {
            repository: self.repository.to_owned(),
            request: request.to_owned(),
            reason: reason.to_string(),
        };
        let request = request.map_err(|error| broken("a request", &error))?;
        let name = format!("{} {}", request.method(), request.uri().path());
        let response = self.gate.answer(Origin::Harness, request).await.map_err(|error| broken(&name, &error))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| broken(&name, &error))?.to_bytes();
        if wanted.contains(&head.status) {
            return Ok(Response::from_parts(head, ()));
        }
        let answer = String::from_utf8_lossy(&body[..body.len().min(LONGEST_ANSWER)]).into_owned();
        Err(PushError::Answer {
            repository: self.repository.to_owned(),
            request: name,
            status: head.status.as_u16(),
            answer,
        })
    }
}

fn layer_body(layer: Arc<Layer>) -> Body {
    let frames = futures::stream::try_unfold(layer.reader(), |mut reader| async move {
        let chunk: Option<Bytes> = reader.next_chunk().await.map_err(io::Error::other)?;
        Ok(chunk.map(|chunk| (Frame::data(chunk), reader)))
    });
    StreamBody::new(frames).boxed_unsync()
}
