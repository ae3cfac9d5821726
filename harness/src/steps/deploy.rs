//! `driver`: starts the subject for the scenario.

use std::sync::Arc;

use sandproof_protocol::v1::compute_driver_client::ComputeDriverClient;
use sandproof_scenarios::{DriverStep, PullSecretsAs};
use serde_json::{Value, json};

use super::{StepError, rpc::Driver};
use crate::{
    scene::Scene,
    subject::{SecretsForm, Settings, Site, StartError, Started, Workspaces, chart::ImageValue},
};

/// Starts the driver and waits until it answers, or until it has ended.
pub(super) async fn driver(scene: &mut Scene, step: &DriverStep) -> Result<Value, StepError> {
    scene.workspace_mode = step.workspaces;
    let settings = settings(scene, step)?;
    let stage = Arc::clone(&scene.stage);
    let site = Site::of(&stage);
    let started = stage.subject.start(&site, &settings, step.expect).await.map_err(failed)?;
    scene.settings = Some(settings);
    Ok(seen(scene, started))
}

/// Ends the driver and starts it anew; whether it answers again.
pub(super) async fn restart(scene: &mut Scene) -> Result<Value, StepError> {
    let missing = || StepError::Subject("the driver does not run, so it cannot be started anew".to_owned());
    let settings = scene.settings.clone().ok_or_else(missing)?;
    let deployed = scene.deployed.take().ok_or_else(missing)?;
    let stage = Arc::clone(&scene.stage);
    // What was open to the old one ends with it.
    scene.driver = None;
    scene.watches.clear();
    let started = stage.subject.restart(&Site::of(&stage), &settings, deployed).await.map_err(failed)?;
    let seen = seen(scene, started);
    Ok(json!({ "removed": true, "back": seen["running"] }))
}

fn failed(error: StartError) -> StepError {
    match error {
        StartError::Environment { tried, found } => StepError::Environment { tried, found },
        error @ StartError::Unappliable(_) => StepError::Subject(error.to_string()),
    }
}

fn seen(scene: &mut Scene, started: Started) -> Value {
    match started {
        Started::Running { channel, deployed } => {
            let seen = json!({ "running": true, "exitCode": null, "log": [], "pod": deployed.pod() });
            scene.driver = Some(Driver::new(ComputeDriverClient::new(channel)));
            scene.deployed = Some(deployed);
            seen
        }
        Started::NotRefused => json!({ "running": true, "exitCode": null, "log": [], "pod": null }),
        Started::Ended { exit_code, log, deployed } => {
            let pod = deployed.as_ref().and_then(|deployed| deployed.pod().map(str::to_owned));
            scene.deployed = deployed;
            json!({ "running": false, "exitCode": exit_code, "log": log, "pod": pod })
        }
    }
}

/// The driver's log, for the evidence.
pub(crate) async fn driver_log(scene: &Scene) -> Option<String> {
    scene.deployed.as_ref()?.log().await
}

/// What the step wants of a driver in the scenario's namespace.
pub(crate) fn settings(scene: &Scene, step: &DriverStep) -> Result<Settings, StepError> {
    let stage = &scene.stage;
    let supervisor = match &step.supervisor_image {
        None => stage.supervisor_image.clone(),
        Some(name) => {
            let image = scene
                .images
                .get(name)
                .ok_or_else(|| StepError::environment("deploy the driver", format!("no image `{name}` was pushed")))?;
            ImageValue { repository: image.address.clone(), tag: image.tag.clone() }
        }
    };
    Ok(Settings {
        namespace: scene.namespace.clone(),
        supervisor,
        supervisor_matters: step.supervisor_image.is_some(),
        sideload: step.sideload.clone().unwrap_or_else(|| stage.usual_sideload()),
        sideload_matters: step.sideload.is_some(),
        sandbox_image: stage.sandbox_image.clone(),
        pull_secrets: step.pull_secrets.clone(),
        form: match step.pull_secrets_as {
            PullSecretsAs::Objects => SecretsForm::Objects,
            PullSecretsAs::Strings => SecretsForm::Strings,
            PullSecretsAs::Environment => SecretsForm::Environment,
        },
        workspaces: Workspaces {
            mode: step.workspaces,
            allowed_label: step.allowed_label.clone(),
            allowed: step
                .allowed
                .as_ref()
                .map(|names| names.iter().map(|name| scene.workspace_namespace(name)).collect()),
        },
        preflight: !step.skip_preflight,
        faults: stage.subject.faults.clone(),
        reference_image: stage.driver_image.clone(),
    })
}
