//! `driver`: starts the subject for the scenario.

use std::sync::Arc;

use sandproof_protocol::v1::compute_driver_client::ComputeDriverClient;
use sandproof_scenarios::{DriverStep, PullSecretsAs};
use serde_json::{Value, json};

use super::{StepError, rpc::Driver};
use crate::{
    scene::Scene,
    subject::{SecretsForm, Settings, Site, StartError, Started, chart::ImageValue},
};

/// Starts the driver and waits until it answers, or until it has ended.
pub(super) async fn driver(scene: &mut Scene, step: &DriverStep) -> Result<Value, StepError> {
    let settings = settings(scene, step)?;
    let stage = Arc::clone(&scene.stage);
    let site = Site::of(&stage);
    let started = stage.subject.start(&site, &settings, step.expect).await.map_err(|error| match error {
        StartError::Environment { tried, found } => StepError::Environment { tried, found },
        error @ StartError::Unappliable(_) => StepError::Subject(error.to_string()),
    })?;
    Ok(match started {
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
    })
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
        preflight: !step.skip_preflight,
        faults: stage.subject.faults.clone(),
        reference_image: stage.driver_image.clone(),
    })
}
