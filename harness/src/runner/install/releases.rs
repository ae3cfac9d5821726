//! The pinned releases of Agent Sandbox: their manifests, and which one serves what.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use sandproof_clusters::{components::Component, registry::Registry};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Definition;
use crate::{cli::SourceArguments, events::Events, failure::Failure, paths::Paths, provision, runner::guests::Guests};

/// The component, as the pins call it.
const COMPONENT: &str = "agent-sandbox";

/// The repository of the controller's images in the harness's registry.
const REPOSITORY: &str = "agent-sandbox-controller";

/// The Sandbox CRD among a release's manifests; every driver needs it, and no driver the others.
const DEFINITION: &str = "crds/agents.x-k8s.io_sandboxes.yaml";

/// The manifests of the controller, the same files in every release.
const CONTROLLER: [&str; 2] = ["controller.yaml", "rbac.generated.yaml"];

/// A release: its manifests, and where its controller's image is.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    /// The directory of its manifests.
    manifests: Utf8PathBuf,
    /// The image's full reference.
    image: String,
}

/// The release that a cell has, and the way to every other one that is pinned.
#[derive(Debug, Clone)]
pub(crate) struct Releases {
    /// The cell's own.
    pub(crate) own: Release,
    /// Its version.
    pub(crate) own_version: String,
    /// Where components are.
    pub(crate) paths: Paths,
    /// Where they come from.
    pub(crate) sources: SourceArguments,
    /// The images of the cell, one of which is its controller's.
    pub(crate) guests: Guests,
    /// The cell's registry, which has the image of each release that is used.
    pub(crate) registry: Arc<Registry>,
    /// Its address, as nodes see it.
    pub(crate) address: String,
    /// Where the progress of a download or a build goes.
    pub(crate) events: Events,
    /// Set when the run is to end.
    pub(crate) cancelled: CancellationToken,
}

impl Release {
    /// The release in a component, whose image is in the registry at `address` under `tag`.
    pub(crate) fn new(component: &Component, address: &str, tag: &str) -> Self {
        Self { manifests: component.directory.join("k8s"), image: format!("{address}/{REPOSITORY}:{tag}") }
    }

    /// The Sandbox CRD.
    pub(crate) fn definition(&self) -> Result<Value, Failure> {
        let path = self.manifests.join(DEFINITION);
        manifests(&path)?
            .into_iter()
            .find(|object| object["kind"] == "CustomResourceDefinition")
            .ok_or_else(|| Failure::environment("read the Sandbox CRD", format!("there is none in {path}")))
    }

    /// The objects that make up the controller.
    pub(crate) fn controller(&self) -> Result<Vec<Value>, Failure> {
        let mut objects = Vec::new();
        for file in CONTROLLER {
            objects.extend(manifests(&self.manifests.join(file))?);
        }
        for object in &mut objects {
            if object["kind"] == "Deployment" {
                adapt_deployment(object, &self.image);
            }
        }
        Ok(objects)
    }
}

impl Releases {
    /// The cell's own release if it serves exactly these API versions, else the newest pinned one that does.
    pub(crate) async fn serving(&self, versions: &[&str]) -> Result<Release, Failure> {
        let serves =
            |release: &Release| Ok::<_, Failure>(Definition::of_manifest(&release.definition()?)?.serves(versions));
        if serves(&self.own)? {
            return Ok(self.own.clone());
        }
        let store = provision::store(&self.paths, &self.sources)?;
        let pinned = store.pins().axes.agent_sandbox.iter().rev().filter(|version| **version != self.own_version);
        for version in pinned {
            let wanted = [(COMPONENT, Some(version.as_str()))];
            let obtained = provision::obtain(&store, &wanted, &self.events, &self.cancelled).await?;
            let Some(component) = obtained.first() else { continue };
            let release = Release::new(component, &self.address, version);
            if serves(&release)? {
                self.push(component, version).await?;
                return Ok(release);
            }
        }
        Err(Failure::environment(
            "find another release of Agent Sandbox",
            format!("no pinned one serves exactly {}", versions.join(" and ")),
        ))
    }

    async fn push(&self, component: &Component, version: &str) -> Result<(), Failure> {
        let tried = format!("push the controller of Agent Sandbox {version}");
        let program = component.file(REPOSITORY).map_err(|error| Failure::environment(&tried, error))?;
        let image = self.guests.with_controller(program)?.controller;
        self.registry
            .push(&image, REPOSITORY, version)
            .await
            .map(drop)
            .map_err(|error| Failure::environment(&tried, error))
    }
}

/// The image, and no leader election: one replica on one node waits for nobody.
fn adapt_deployment(deployment: &mut Value, image: &str) {
    if let Some(container) = deployment.pointer_mut("/spec/template/spec/containers/0") {
        container["image"] = json!(image);
        container["args"] = json!(["--leader-elect=false"]);
    }
}

/// The documents of a manifest file.
fn manifests(path: &Utf8Path) -> Result<Vec<Value>, Failure> {
    let tried = || format!("read the manifests in {path}");
    let text = fs_err::read_to_string(path).map_err(|error| Failure::environment(tried(), error))?;
    let documents: Vec<Value> = text
        .split("\n---")
        .map(|document| sandproof_scenarios::yaml::from_str::<Value>(document.trim_start_matches('-')))
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::environment(tried(), error))?;
    Ok(documents.into_iter().filter(Value::is_object).collect())
}
