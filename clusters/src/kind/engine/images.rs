//! The engine's own store of images.

use std::{io, time::Duration};

use bollard::{
    errors::Error,
    query_parameters::{CreateImageOptions, ImportImageOptions},
};
use bytes::Bytes;
use futures::TryStreamExt;
use tokio::sync::mpsc::Sender;

use super::{Engine, EngineError};
use crate::{images::Image, kind::KindError};

/// How long the engine may take to store an image: a node image has 600 MB.
const LOAD: Duration = Duration::from_mins(5);

/// How long a pull may take: an official node image has 400 MB.
const PULL: Duration = Duration::from_mins(10);

/// Bytes that travel to the engine at once.
const PIECE: usize = 1 << 20;

impl Engine {
    /// Whether it has an image of this name.
    pub(crate) async fn has_image(&self, reference: &str) -> Result<bool, EngineError> {
        match self.docker().inspect_image(reference).await {
            Ok(_) => Ok(true),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
            Err(error) => Err(EngineError::request(format!("look for the image {reference}"))(error)),
        }
    }

    /// Puts an image into the engine's store.
    pub(crate) async fn load(&self, image: &Image, reference: &str) -> Result<(), EngineError> {
        let action = format!("load the image {reference}");
        let (image, name) = (image.clone(), reference.to_owned());
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        let writing = tokio::task::spawn_blocking(move || {
            image.write_archive(&name, &mut Pieces { sender, held: Vec::with_capacity(PIECE) })
        });
        let body = futures::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|piece| (Ok::<_, io::Error>(piece), receiver))
        });
        let docker = self.docker().clone().with_timeout(LOAD);
        let answers: Result<Vec<_>, _> =
            docker.import_image_stream(ImportImageOptions::default(), body, None).try_collect().await;
        let written = writing.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        answers.map_err(EngineError::request(action.clone()))?;
        written.map_err(|error| EngineError::Request { action, reason: error.to_string(), status: None })
    }

    /// Pulls an image.
    pub(crate) async fn pull(&self, reference: &str) -> Result<(), KindError> {
        let options = CreateImageOptions { from_image: Some(reference.to_owned()), ..Default::default() };
        let pulling = self.docker().create_image(Some(options), None, None).try_collect::<Vec<_>>();
        let refused = |reason: String| KindError::Pull { reference: reference.to_owned(), reason };
        match tokio::time::timeout(PULL, pulling).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(refused(match EngineError::request("pull")(error) {
                EngineError::Request { reason, .. } => reason,
                other => other.to_string(),
            })),
            Err(_) => Err(refused(format!("it took more than {} min", PULL.as_secs() / 60))),
        }
    }
}

/// A writer whose pieces somebody else sends on.
struct Pieces {
    sender: Sender<Bytes>,
    held: Vec<u8>,
}

impl Pieces {
    fn pass_on(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.held, Vec::with_capacity(PIECE));
        self.sender.blocking_send(piece.into()).map_err(|_| io::Error::other("the engine stopped listening"))
    }
}

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        if self.held.len() >= PIECE {
            self.pass_on()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_on()
    }
}
