//! Signals: the first asks for an orderly end, so that the record is written and everything is removed.

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    events::{Event, Events, Sink},
    failure::Failure,
};

/// Does work that emits events and that the user can end: the sinks get every event, and have all of them in the end.
pub(crate) async fn with_events<T>(
    sinks: Vec<Box<dyn Sink>>,
    work: impl AsyncFnOnce(&Events, &CancellationToken) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let (events, pump) = Events::start(sinks);
    let cancelled = CancellationToken::new();
    let outcome = match listen(cancelled.clone(), events.clone()) {
        Ok(listening) => {
            let outcome = work(&events, &cancelled).await;
            listening.abort();
            outcome
        }
        Err(failure) => Err(failure),
    };
    drop(events);
    pump.drain().await;
    outcome
}

/// Cancels `token` (and says so to `events`) at the first SIGINT, SIGTERM or SIGHUP. Later ones change nothing:
/// the way out is already bounded by deadlines, and cutting it short would leave things behind.
fn listen(token: CancellationToken, events: Events) -> Result<JoinHandle<()>, Failure> {
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
