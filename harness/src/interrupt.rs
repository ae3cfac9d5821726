//! Signals: the first asks for an orderly end, so that the record is written and everything is removed.

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    events::{Event, Events},
    failure::Failure,
};

/// Cancels `token` (and says so to `events`) at the first SIGINT, SIGTERM or SIGHUP. Later ones change nothing:
/// the way out is already bounded by deadlines, and cutting it short would leave things behind.
pub(crate) fn listen(token: CancellationToken, events: Events) -> Result<JoinHandle<()>, Failure> {
    let failed = |error| Failure::environment("listen for signals", error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    Ok(tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
                _ = hangup.recv() => "SIGHUP",
            };
            if !token.is_cancelled() {
                events.emit(Event::Interrupted { signal: name.to_owned() });
                token.cancel();
            }
        }
    }))
}
