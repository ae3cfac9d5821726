//! One cell for a purpose of its own: laid, equipped, worked on, and removed whatever came of that.

use std::sync::Arc;

use sandproof_clusters::ledger;
use sandproof_scenarios::Expectations;
use tokio_util::sync::CancellationToken;

use super::{
    cell::CellContext,
    equip::{Equipped, equip},
    foundation::{context, lay},
    run::RunSettings,
};
use crate::{
    cli::Keep,
    events::{Event, Events},
    failure::Failure,
    plan::PlannedCell,
};

/// Makes the cell with a cluster of that name, lets `work` have it, and removes it. Where the settings say that it is
/// always kept, it stays if the work succeeded.
pub(crate) async fn with_cell<T>(
    settings: &RunSettings,
    planned: &PlannedCell,
    name: &str,
    expectations: Expectations,
    (events, cancelled): (&Events, &CancellationToken),
    work: impl AsyncFnOnce(&CellContext, &mut Equipped) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let foundation = lay(settings, planned, events, cancelled).await?;
    let outcome = match context(settings, &foundation, Arc::new(expectations), events, cancelled) {
        Ok(context) => on_a_cluster(&context, planned, name, work).await,
        Err(failure) => Err(failure),
    };
    foundation.remove().await;
    outcome
}

async fn on_a_cluster<T>(
    context: &CellContext,
    planned: &PlannedCell,
    name: &str,
    work: impl AsyncFnOnce(&CellContext, &mut Equipped) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut equipped = match equip(context, planned, name, &mut Vec::new()).await {
        Ok(equipped) => equipped,
        Err(failure) => {
            // Whatever there is of it by now.
            let _ = ledger::down(&context.paths.state, name).await;
            return Err(failure);
        }
    };
    let outcome = work(context, &mut equipped).await;
    let outcome = match (outcome, context.keep) {
        (Ok(done), Keep::Always) => match equipped.cluster.keep() {
            Ok(()) => return Ok(done),
            Err(error) => Err(Failure::environment("keep the cluster", error)),
        },
        (outcome, _) => outcome,
    };
    for address in &equipped.listeners {
        context.registry.close(*address);
    }
    for leftover in equipped.cluster.delete().await.left.lines() {
        context.events.emit(Event::Warning { text: format!("{}: left behind: {leftover}", planned.id) });
    }
    outcome
}
