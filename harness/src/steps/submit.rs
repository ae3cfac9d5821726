//! The steps that call the driver.

use std::collections::BTreeMap;

use sandproof_protocol::v1::DriverResourceRequirements;
use sandproof_scenarios::{DeleteStep, GetStep, SandboxRequest, Submission, SubmitStep};
use serde_json::{Map, Value};

use super::{
    StepError,
    rpc::{Driver, SandboxMessage},
    watching::Watching,
};
use crate::scene::{Scene, SceneImage};

/// Which of the two calls is made.
#[derive(Debug, Clone, Copy)]
enum Verb {
    Validate,
    Create,
}

/// The driver of the scene.
pub(super) fn driver(scene: &mut Scene) -> Result<&mut Driver, StepError> {
    scene.driver.as_mut().ok_or_else(|| StepError::Subject("the driver does not run, so it cannot be asked".to_owned()))
}

/// `ValidateSandboxCreate`, once or once a case.
pub(super) async fn validate(scene: &mut Scene, step: &SubmitStep) -> Result<Value, StepError> {
    submit(scene, step, Verb::Validate).await
}

/// `CreateSandbox`, once or once a case.
pub(super) async fn create(scene: &mut Scene, step: &SubmitStep) -> Result<Value, StepError> {
    submit(scene, step, Verb::Create).await
}

/// `GetSandbox`.
pub(super) async fn get(scene: &mut Scene, step: &GetStep) -> Result<Value, StepError> {
    let (id, name) = target(scene, step.sandbox.as_deref(), step.id.as_deref(), step.name.as_deref());
    Ok(driver(scene)?.get(&id, &name).await)
}

/// `DeleteSandbox`.
pub(super) async fn delete(scene: &mut Scene, step: &DeleteStep) -> Result<Value, StepError> {
    let (id, name) = target(scene, step.sandbox.as_deref(), step.id.as_deref(), step.name.as_deref());
    let answer = driver(scene)?.delete(&id, &name).await;
    if answer["code"] == "OK" {
        scene.created.remove(&name);
    }
    Ok(answer)
}

/// Opens a watch that stays open until the scene ends.
pub(super) async fn watch(scene: &mut Scene, name: &str) -> Result<(), StepError> {
    let opened = Watching::open(driver(scene)?).await;
    let watching = opened
        .map_err(|status| StepError::Subject(format!("the driver refused WatchSandboxes: {}", status.message())))?;
    scene.watches.insert(name.to_owned(), watching);
    Ok(())
}

async fn submit(scene: &mut Scene, step: &SubmitStep, verb: Verb) -> Result<Value, StepError> {
    match step.submission() {
        Submission::One(request) => one(scene, request, verb).await,
        Submission::Cases(cases) => {
            let mut answers = Map::new();
            for (name, request) in cases {
                answers.insert(name.clone(), one(scene, request, verb).await?);
            }
            Ok(Value::Object(answers))
        }
    }
}

async fn one(scene: &mut Scene, request: &SandboxRequest, verb: Verb) -> Result<Value, StepError> {
    let message = message(scene, request)?;
    let driver = driver(scene)?;
    Ok(match verb {
        Verb::Validate => driver.validate(&message).await,
        Verb::Create => {
            let answer = driver.create(&message).await;
            if answer["code"] == "OK" {
                scene.refused.remove(&message.name);
                scene.created.insert(message.name);
            } else if answer["code"] == "AlreadyExists" {
                // A request whose answer was an error may have been carried out nevertheless.
                scene.refused.remove(&message.name);
            } else {
                scene.refused.insert(message.name);
            }
            answer
        }
    })
}

fn message(scene: &mut Scene, request: &SandboxRequest) -> Result<SandboxMessage, StepError> {
    let sandbox = scene.sandbox(&request.name, request.id.as_deref());
    let image = match (&request.image, &request.image_reference) {
        (_, Some(reference)) => reference.clone(),
        (Some(name), None) => scene
            .images
            .get(name)
            .map(|image| image.reference.clone())
            .ok_or_else(|| StepError::environment("name an image", format!("no image `{name}` was pushed")))?,
        (None, None) => String::new(),
    };
    Ok(SandboxMessage {
        omit: request.omit,
        id: sandbox.id,
        name: sandbox.name,
        workspace: scene.workspace(request.workspace()),
        image,
        environment: request.environment.clone().into_iter().collect(),
        labels: request.labels.clone().into_iter().collect(),
        command: request.command.clone(),
        resources: request.resources.clone().map(|resources| DriverResourceRequirements {
            cpu_request: resources.cpu_request,
            cpu_limit: resources.cpu_limit,
            memory_request: resources.memory_request,
            memory_limit: resources.memory_limit,
        }),
        gpus: request.gpus,
        platform_config: config(request.platform_config.as_ref(), &scene.images)?,
        driver_config: config(request.driver_config.as_ref(), &scene.images)?,
    })
}

/// A configuration with `${image.NAME}` replaced. The wire format has objects only.
fn config(
    value: Option<&Value>,
    images: &BTreeMap<String, SceneImage>,
) -> Result<Option<Map<String, Value>>, StepError> {
    match value {
        None => Ok(None),
        Some(value) => match replaced(value, images) {
            Value::Object(object) => Ok(Some(object)),
            other => Err(StepError::environment("send a configuration", format!("{other} is not an object"))),
        },
    }
}

fn replaced(value: &Value, images: &BTreeMap<String, SceneImage>) -> Value {
    match value {
        Value::String(text) => {
            Value::String(images.iter().fold(text.clone(), |text, (name, image)| {
                text.replace(&format!("${{image.{name}}}"), &image.reference)
            }))
        }
        Value::Array(values) => values.iter().map(|value| replaced(value, images)).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.clone(), replaced(value, images))).collect())
        }
        other => other.clone(),
    }
}

/// What is sent: a sandbox of the scene, or the raw words of the step.
pub(super) fn target(
    scene: &mut Scene,
    sandbox: Option<&str>,
    id: Option<&str>,
    name: Option<&str>,
) -> (String, String) {
    match sandbox {
        Some(sandbox) => {
            let sandbox = scene.sandbox(sandbox, None);
            (sandbox.id, sandbox.name)
        }
        None => (id.unwrap_or_default().to_owned(), name.unwrap_or_default().to_owned()),
    }
}
