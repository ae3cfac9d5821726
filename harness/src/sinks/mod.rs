//! Consumers of the event stream.

mod activity;
mod json_lines;
mod progress;

pub(crate) use json_lines::JsonLines;
pub(crate) use progress::Progress;
