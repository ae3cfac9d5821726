//! The end of a program without which nothing on a cluster can be judged.

use std::sync::Arc;

use sandproof_clusters::provider::ComponentDeath;
use tokio::sync::watch;

use crate::{events::Event, scene::Stage};

/// The registry, as a reader knows it.
const REGISTRY: &str = "the test registry";

/// Declares the cluster broken when one of its programs ends.
pub(super) fn of_cluster(stage: &Arc<Stage>, deaths: watch::Receiver<Option<ComponentDeath>>) {
    mourn(stage, deaths, |death| {
        let reason = format!("{} ended ({}): {}", death.component, death.status, death.log_tail.join("\n"));
        (death.component, death.log_tail, reason)
    });
}

/// Declares the cluster broken when the run's registry ends: the nodes can pull nothing any more.
pub(super) fn of_registry(stage: &Arc<Stage>, deaths: watch::Receiver<Option<String>>) {
    mourn(stage, deaths, |found| {
        let log = found.lines().map(str::to_owned).collect();
        (REGISTRY.to_owned(), log, format!("{REGISTRY} ended: {found}"))
    });
}

/// Waits for a death, which `told` describes: what ended, its last lines, and the reason that results get.
fn mourn<Death: Clone + Send + Sync + 'static>(
    stage: &Arc<Stage>,
    mut deaths: watch::Receiver<Option<Death>>,
    told: impl FnOnce(Death) -> (String, Vec<String>, String) + Send + 'static,
) {
    let stage = Arc::downgrade(stage);
    tokio::spawn(async move {
        let Ok(death) = deaths.wait_for(Option::is_some).await.map(|death| death.clone()) else { return };
        let (Some(stage), Some(death)) = (stage.upgrade(), death) else { return };
        let (component, log, reason) = told(death);
        stage.events.emit(Event::ComponentDied { cell: stage.cell.clone(), component, log });
        stage.declare_broken(reason);
    });
}
