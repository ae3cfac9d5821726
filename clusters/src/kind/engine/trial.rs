//! Whether the engine starts a privileged container: found by starting one.

use bollard::{
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{CreateContainerOptions, RemoveContainerOptions, RemoveImageOptions, StartContainerOptions},
};
use camino::Utf8Path;

use super::{Engine, EngineError};
use crate::{images::ImageBuilder, kind::labels::Ownership, registry::random_word};

impl Engine {
    /// Starts a privileged container from an image made of one static program, and removes both again.
    /// `program` is run with the argument `idle`; nothing of what it does matters.
    pub async fn try_privileged(&self, program: &Utf8Path, state: &Utf8Path) -> Result<(), EngineError> {
        // In hexadecimal digits: a tag does not begin with a hyphen.
        let word: String = random_word().bytes().map(|byte| format!("{byte:02x}")).take(8).collect();
        let reference = format!("localhost/sandproof/trial:{word}");
        let failed = |reason: String| EngineError::Privileged { engine: self.title(), reason };
        let image = ImageBuilder::static_binary("/trial", program)
            .cmd(["idle"])
            .build()
            .map_err(|error| failed(error.to_string()))?;
        self.load(&image, &reference).await?;
        let ownership = Ownership {
            run: "trial".to_owned(),
            cluster: "trial".to_owned(),
            id: format!("trial-{word}"),
            state: state.to_owned(),
        };
        let name = format!("sandproof-trial-{word}");
        let options = CreateContainerOptions { name: Some(name.clone()), ..Default::default() };
        let body = ContainerCreateBody {
            image: Some(reference.clone()),
            labels: Some(ownership.map()),
            host_config: Some(HostConfig {
                privileged: Some(true),
                cgroupns_mode: Some(bollard::models::HostConfigCgroupnsModeEnum::PRIVATE),
                network_mode: Some("none".to_owned()),
                ..Default::default()
            }),
            ..Default::default()
        };
        let started = async {
            self.docker().create_container(Some(options), body).await?;
            self.docker().start_container(&name, None::<StartContainerOptions>).await
        };
        let outcome = started.await.map_err(EngineError::request("start it"));
        let removal = RemoveContainerOptions { v: true, force: true, link: false };
        let _ = self.docker().remove_container(&name, Some(removal)).await;
        let _ = self.docker().remove_image(&reference, None::<RemoveImageOptions>, None).await;
        outcome.map_err(|error| failed(error.to_string()))
    }
}
