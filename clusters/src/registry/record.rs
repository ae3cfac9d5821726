//! The request log: what makes the registry a witness.

use std::{
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::broadcast;

/// Live records a slow subscriber may fall behind by before it misses some.
const LIVE_RECORDS: usize = 4096;

/// One request that reached the registry. Never holds a password or a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestRecord {
    /// When it arrived.
    pub at: Timestamp,
    /// Its HTTP method.
    pub method: String,
    /// The repository; `None` for the version check and for a token without scope.
    pub repository: Option<String>,
    /// What it asked for.
    pub kind: RequestKind,
    /// The tag or digest; `None` where the request names none.
    pub reference: Option<String>,
    /// The user that was authenticated; `None` is anonymous.
    pub user: Option<String>,
    /// The user name that was tried, whether its password was right or wrong.
    pub credentials_presented: Option<String>,
    /// The HTTP status that was answered; `None` when a switched failure sent no answer.
    pub status: Option<u16>,
    /// Why the request was refused or made to fail.
    pub reason: Option<String>,
    /// The listener it came through; `None` for the harness's own requests.
    pub listener: Option<SocketAddr>,
}

/// What a request asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RequestKind {
    /// A manifest, by tag or digest.
    Manifest,
    /// A blob or a blob upload.
    Blob,
    /// A token.
    Token,
    /// The version check, `/v2/`.
    Ping,
    /// Tags, referrers, or a path the gate does not know.
    Other,
}

/// All records of a run, and the live ones for subscribers.
pub(super) struct RequestLog {
    records: Mutex<Vec<RequestRecord>>,
    live: broadcast::Sender<RequestRecord>,
}

impl RequestRecord {
    /// Whether the harness itself made the request, to push an image.
    pub fn by_harness(&self) -> bool {
        self.listener.is_none()
    }
}

impl RequestLog {
    pub(super) fn new() -> Self {
        Self { records: Mutex::default(), live: broadcast::Sender::new(LIVE_RECORDS) }
    }

    pub(super) fn write(&self, record: RequestRecord) {
        self.records().push(record.clone());
        // Without a subscriber there is nobody to tell.
        let _ = self.live.send(record);
    }

    pub(super) fn select(&self, wanted: impl Fn(&RequestRecord) -> bool) -> Vec<RequestRecord> {
        self.records().iter().filter(|record| wanted(record)).cloned().collect()
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<RequestRecord> {
        self.live.subscribe()
    }

    fn records(&self) -> MutexGuard<'_, Vec<RequestRecord>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
