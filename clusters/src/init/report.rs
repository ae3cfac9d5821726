//! Events on standard output.

use std::io::Write;

use crate::native::plan::Event;

/// Writes one line; a reader that has gone is not an error, because a kept cluster outlives it.
pub(super) fn send(event: &Event) {
    let Ok(mut line) = serde_json::to_vec(event) else {
        return;
    };
    line.push(b'\n');
    let mut output = std::io::stdout().lock();
    let _ = output.write_all(&line);
    let _ = output.flush();
}
