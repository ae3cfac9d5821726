//! Consumers of the event stream.

mod activity;
mod json_lines;
mod progress;
mod timings;

pub(crate) use json_lines::JsonLines;
pub(crate) use progress::Progress;
pub(crate) use timings::{Timing, Timings};
