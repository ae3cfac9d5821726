//! `driver`: starts the subject for the scenario.

use std::sync::Arc;

use sandproof_protocol::v1::compute_driver_client::ComputeDriverClient;
use sandproof_scenarios::{ApiServerState, ApiServerStep, DriverSettings, DriverStep, PullSecretsAs, UseStep};
use serde_json::{Value, json};

use super::{StepError, logs::keep_log, rpc::Driver, volumes};
use crate::{
    relay::Relay,
    scene::{Scene, SceneDriver},
    subject::{
        SecretsForm, Settings, Site, StartError, Started, Workspaces,
        chart::{ImageValue, RELEASE},
        faulty::FaultyParts,
    },
};

/// Starts the driver and waits until it answers, or until it has ended. One that is there already stays beside it.
pub(super) async fn driver(scene: &mut Scene, step: &DriverStep, name: &str) -> Result<Value, StepError> {
    if let Some(current) = scene.driver_name.replace(name.to_owned()) {
        scene.park_driver(current);
    }
    scene.workspace_mode = step.workspaces;
    relay(scene, step).await?;
    let mut settings = settings(scene, step)?;
    if !scene.parked.is_empty() {
        // Its objects and its sandboxes are told from the others' by these.
        name.clone_into(&mut settings.release);
        settings.gateway = format!("{}-{name}", scene.namespace);
    }
    let stage = Arc::clone(&scene.stage);
    let site = Site::of(&stage);
    let started = stage.subject.start(&site, &settings, step.expect).await.map_err(failed)?;
    scene.settings = Some(settings);
    Ok(seen(scene, started))
}

/// Gives the driver other settings.
pub(super) async fn upgrade(scene: &mut Scene, step: &DriverStep) -> Result<Value, StepError> {
    let missing = || StepError::Subject("the driver does not run, so it cannot be upgraded".to_owned());
    let before = scene.settings.clone().ok_or_else(missing)?;
    relay(scene, step).await?;
    let deployed = scene.deployed.take().ok_or_else(missing)?;
    let settings = Settings { release: before.release, gateway: before.gateway, ..settings(scene, step)? };
    let stage = Arc::clone(&scene.stage);
    keep_log(scene, &deployed).await;
    scene.retire_driver();
    let started = stage.subject.upgrade(&Site::of(&stage), &settings, deployed, step.expect).await.map_err(failed)?;
    scene.settings = Some(settings);
    Ok(seen(scene, started))
}

/// Lets the API server fall silent for the drivers behind the scenario's relay, or answer them again.
pub(super) fn api_server(scene: &Scene, step: &ApiServerStep) -> Result<Value, StepError> {
    let missing = || StepError::Subject("no driver has its API server behind a relay".to_owned());
    scene.relay.as_ref().ok_or_else(missing)?.silence(step.state == ApiServerState::Silent);
    Ok(json!({ "state": step.state }))
}

/// Opens the scenario's relay for a driver that is to have one.
async fn relay(scene: &mut Scene, step: &DriverStep) -> Result<(), StepError> {
    if step.through_relay && scene.relay.is_none() {
        let failed = |found: &dyn std::fmt::Display| StepError::environment("open a relay to the API server", found);
        let place = scene.stage.relay.as_ref().map_err(|why| failed(why))?;
        scene.relay = Some(place.open().await.map_err(|error| failed(&error))?);
    }
    Ok(())
}

/// Speaks to another driver of the scenario from now on.
pub(super) fn switch(scene: &mut Scene, step: &UseStep) -> Result<Value, StepError> {
    let missing = || StepError::Subject(format!("there is no driver `{}`", step.driver));
    if scene.driver_name.as_deref() != Some(&step.driver) {
        let SceneDriver { driver, deployed, settings } = scene.parked.remove(&step.driver).ok_or_else(missing)?;
        if let Some(current) = scene.driver_name.replace(step.driver.clone()) {
            scene.park_driver(current);
        }
        (scene.driver, scene.deployed, scene.settings) = (driver, deployed, settings);
    }
    Ok(json!({ "driver": step.driver }))
}

/// Kills the driver's process; whether it runs again.
pub(super) async fn kill(scene: &mut Scene) -> Result<Value, StepError> {
    let missing = || StepError::Subject("the driver does not run, so it cannot be killed".to_owned());
    let settings = scene.settings.clone().ok_or_else(missing)?;
    let deployed = scene.deployed.take().ok_or_else(missing)?;
    let stage = Arc::clone(&scene.stage);
    scene.watches.clear();
    let (back, deployed) = stage.subject.kill(&Site::of(&stage), &settings, deployed).await.map_err(failed)?;
    scene.deployed = deployed;
    Ok(json!({ "removed": true, "back": back }))
}

/// Ends the driver and starts it anew; whether it answers again.
pub(super) async fn restart(scene: &mut Scene) -> Result<Value, StepError> {
    let missing = || StepError::Subject("the driver does not run, so it cannot be started anew".to_owned());
    let settings = scene.settings.clone().ok_or_else(missing)?;
    let deployed = scene.deployed.take().ok_or_else(missing)?;
    let stage = Arc::clone(&scene.stage);
    keep_log(scene, &deployed).await;
    scene.retire_driver();
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
        Started::OnSocket { deployed } => {
            let seen = json!({ "running": true, "exitCode": null, "log": [], "pod": deployed.pod() });
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

/// What the step wants of a driver in the scenario's namespace.
pub(crate) fn settings(scene: &Scene, step: &DriverStep) -> Result<Settings, StepError> {
    let stage = &scene.stage;
    let supervisor = match (&step.supervisor_image, &step.supervisor_reference) {
        (None, None) => stage.supervisor_image.clone(),
        (None, Some(reference)) => {
            let (repository, tag) = reference.rsplit_once(':').unwrap_or((reference, ""));
            ImageValue { repository: repository.to_owned(), tag: tag.to_owned() }
        }
        (Some(name), _) => {
            let image = scene
                .images
                .get(name)
                .ok_or_else(|| StepError::environment("deploy the driver", format!("no image `{name}` was pushed")))?;
            ImageValue { repository: image.address.clone(), tag: image.tag.clone() }
        }
    };
    Ok(Settings {
        namespace: scene.namespace.clone(),
        release: RELEASE.to_owned(),
        gateway: scene.namespace.clone(),
        supervisor,
        supervisor_matters: step.supervisor_image.is_some() || step.supervisor_reference.is_some(),
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
        told: told(scene, &step.settings),
        socket: step.socket,
        relay: scene.relay.as_ref().filter(|_| step.through_relay).map(Relay::address),
        faults: FaultyParts::of(&stage.subject.faults).driver,
        reference_image: stage.driver_image.clone(),
    })
}

/// The settings with `${volume.NAME}` replaced.
fn told(scene: &Scene, settings: &DriverSettings) -> DriverSettings {
    let replaced = |value: &Value| match value {
        Value::String(text) => {
            let name = text.strip_prefix("${volume.").and_then(|rest| rest.strip_suffix('}'));
            json!(name.map_or_else(|| text.clone(), |name| volumes::storage_class(scene, name)))
        }
        other => other.clone(),
    };
    settings.iter().map(|(setting, value)| (*setting, replaced(value))).collect()
}
