//! `image` and `secret`: what a scenario brings along.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::PostParams};
use sandproof_clusters::registry::{Access, random_word};
use sandproof_scenarios::{
    ImageAccess, ImageContent, ImageStep, RegistryKind, SecretHost, SecretPassword, SecretStep, SecretType,
};
use serde_json::{Value, json};

use super::StepError;
use crate::scene::{Scene, SceneImage};

/// The tag of every scenario's image; the repository and the digest are what differ.
const TAG: &str = "v1";

/// A registry host that no image comes from.
const OTHER_HOST: &str = "registry.example.test:5000";

/// Pushes a fresh-digest image under a repository of its own.
pub(super) async fn image(scene: &mut Scene, step: &ImageStep) -> Result<Value, StepError> {
    let base = match step.content {
        ImageContent::Agent => &scene.stage.guests.agent,
        ImageContent::Supervisor => &scene.stage.guests.supervisor,
        ImageContent::Hollow => &scene.stage.guests.hollow,
    };
    let repository = format!("{}/{}", scene.identity, step.name.to_ascii_lowercase());
    // The label makes the digest new, so that no node can have the image; the layers are shared.
    let image = base
        .with_label("dev.sandproof.image", &repository)
        .map_err(|error| StepError::environment(format!("make the image {}", step.name), error))?;
    let access = match &step.access {
        ImageAccess::Public => Access::Public,
        ImageAccess::Users(users) => Access::Users(users.iter().map(|user| scene.user(user).login).collect()),
    };
    let stage = &scene.stage;
    stage.registry.grant(&repository, access);
    let digest = if step.pushed {
        let pushing = stage.registry.push(&image, &repository, TAG).await;
        let pushed = pushing.map_err(|error| StepError::environment(format!("push the image {}", step.name), error))?;
        Some(pushed.digest)
    } else {
        None
    };
    let host = address(scene, step.registry);
    let image = SceneImage {
        reference: format!("{host}/{repository}:{TAG}"),
        address: format!("{host}/{repository}"),
        tag: TAG.to_owned(),
        repository: repository.clone(),
    };
    let observed = json!({
        "reference": image.reference,
        "repository": repository,
        "digest": digest,
    });
    scene.images.insert(step.name.clone(), image);
    Ok(observed)
}

/// Creates a pull secret in the scenario's namespace.
pub(super) async fn secret(scene: &mut Scene, step: &SecretStep) -> Result<Value, StepError> {
    let user = scene.user(&step.user);
    let password = match step.password {
        SecretPassword::Right => user.password,
        SecretPassword::Wrong => random_word(),
    };
    let host = match step.host {
        SecretHost::Right => address(scene, step.registry).to_owned(),
        SecretHost::Other => OTHER_HOST.to_owned(),
    };
    let auth = STANDARD.encode(format!("{}:{password}", user.login));
    let entry = json!({ host: { "username": user.login, "password": password, "auth": auth } });
    let (kind, key, content) = match step.secret_type {
        SecretType::DockerConfigJson => {
            ("kubernetes.io/dockerconfigjson", ".dockerconfigjson", json!({ "auths": entry }))
        }
        SecretType::DockerCfg => ("kubernetes.io/dockercfg", ".dockercfg", entry),
        SecretType::Opaque => ("Opaque", ".dockerconfigjson", json!({ "auths": entry })),
    };
    let tried = format!("create the secret {}", step.name);
    let secret: Secret = serde_json::from_value(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": step.name },
        "type": kind,
        "stringData": { key: content.to_string() },
    }))
    .map_err(|error| StepError::environment(&tried, error))?;
    let api: Api<Secret> = Api::namespaced(scene.stage.client.clone(), &scene.namespace);
    let written = if scene.secrets.contains_key(&step.name) {
        api.replace(&step.name, &PostParams::default(), &secret).await
    } else {
        api.create(&PostParams::default(), &secret).await
    };
    written.map_err(|error| StepError::environment(&tried, error))?;
    scene.secrets.insert(step.name.clone(), Timestamp::now());
    Ok(json!({ "name": step.name }))
}

fn address(scene: &Scene, registry: RegistryKind) -> &str {
    match registry {
        RegistryKind::Plain => &scene.stage.plain,
        RegistryKind::Secure => &scene.stage.secure,
    }
}
