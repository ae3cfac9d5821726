//! Consumers of the event stream.

mod activity;
mod json_lines;
mod progress;
mod timings;

use camino::Utf8Path;

pub(crate) use json_lines::JsonLines;
pub(crate) use progress::Progress;
pub(crate) use timings::{Timing, Timings};

use crate::{events::Sink, failure::Failure};

/// What a run with evidence has: progress on the terminal, and every event in the file `events.jsonl` of its directory.
pub(crate) fn of_a_run(out: &Utf8Path, verbose: bool) -> Result<Vec<Box<dyn Sink>>, Failure> {
    Ok(vec![Box::new(JsonLines::create(&out.join("events.jsonl"))?), Box::new(Progress::new(verbose))])
}
