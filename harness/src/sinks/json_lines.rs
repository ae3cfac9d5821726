//! `events.jsonl`: every event, one JSON object a line.

use std::io::{BufWriter, Write};

use camino::Utf8Path;
use fs_err::File;

use crate::{
    events::{Sink, Stamped},
    failure::Failure,
};

/// Writes events to a file as they come, so that a killed run leaves them too.
#[derive(Debug)]
pub(crate) struct JsonLines(BufWriter<File>);

impl JsonLines {
    /// Creates the file.
    pub(crate) fn create(path: &Utf8Path) -> Result<Self, Failure> {
        File::create(path)
            .map(|file| Self(BufWriter::new(file)))
            .map_err(|error| Failure::environment("create the event log", error))
    }
}

impl Sink for JsonLines {
    fn take(&mut self, event: &Stamped) {
        if serde_json::to_writer(&mut self.0, event).is_ok() {
            let _ = self.0.write_all(b"\n");
            let _ = self.0.flush();
        }
    }
}
