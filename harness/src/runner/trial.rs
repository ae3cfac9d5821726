//! A trial start of a subject that is not this repository's own: one that does not start at all is told once, and not
//! as the failure of every scenario.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use sandproof_scenarios::{DriverExpectation, DriverStep};
use serde_json::json;

use super::leftovers::remove_release;
use crate::{
    failure::Failure,
    scene::{Scene, Stage},
    steps::driver_settings,
    subject::{Site, Started},
};

/// What the namespace of the trial is called; no scenario's name begins like it.
const NAME: &str = "subject-trial";

/// Starts the subject with nothing but what every scenario tells it, and ends it again.
pub(super) async fn start(stage: &Arc<Stage>, subject: &str) -> Result<(), Failure> {
    let trying = async {
        tokio::select! {
            outcome = once(stage, subject) => outcome,
            () = stage.halt.cancelled() => Err(match stage.broken() {
                Some(reason) => Failure::environment(format!("start the subject {subject}"), reason),
                None => Failure::Interrupted { during: "starting the subject".to_owned() },
            }),
        }
    };
    if stage.subject.namespace().is_some() {
        return trying.await;
    }
    let name = stage.place.namespace(NAME);
    let tried = format!("create the namespace {name}");
    let mut namespace = json!({ "metadata": { "name": name } });
    stage.place.label(&mut namespace);
    let namespace: Namespace =
        serde_json::from_value(namespace).map_err(|error| Failure::environment(&tried, error))?;
    let api: Api<Namespace> = Api::all(stage.client.clone());
    api.create(&PostParams::default(), &namespace).await.map_err(|error| Failure::environment(&tried, error))?;
    let outcome = trying.await;
    // In a cluster of the run's own, what is left of it goes with the cluster.
    let _ = api.delete(&name, &DeleteParams::background()).await;
    let _ = remove_release(&stage.client, &name).await;
    outcome
}

async fn once(stage: &Arc<Stage>, subject: &str) -> Result<(), Failure> {
    let scene = Scene::new(Arc::clone(stage), NAME, stage.place.namespace(NAME));
    let tried = format!("start the subject {subject}");
    let settings =
        driver_settings(&scene, &DriverStep::default()).map_err(|error| Failure::environment(&tried, error))?;
    let site = Site::of(stage);
    let started = stage.subject.start(&site, &settings, DriverExpectation::Running).await;
    match started.map_err(|error| Failure::environment(&tried, error))? {
        Started::Running { deployed, .. } => {
            deployed.end().await;
            Ok(())
        }
        Started::NotRefused | Started::OnSocket { .. } => Ok(()),
        Started::Ended { exit_code, log, deployed } => {
            if let Some(deployed) = deployed {
                deployed.end().await;
            }
            // A driver cannot start where the API server is gone.
            if let Some(reason) = stage.lost().await {
                return Err(Failure::environment(tried, reason));
            }
            let how =
                exit_code.map_or_else(|| "it does not answer".to_owned(), |code| format!("it ended with code {code}"));
            Err(Failure::usage(
                format!("the subject {subject} does not start: {how}; its last lines:\n{}", log.join("\n")),
                "try it alone: `./sandproof cluster up`, then start it with the kubeconfig that `./sandproof cluster kubeconfig` prints",
            ))
        }
    }
}
