//! What a scenario wants of its driver, whatever way the driver is told.

use std::net::SocketAddr;

use sandproof_scenarios::{DriverSettings, Feature, WorkspaceMode};
use thiserror::Error;

use super::chart::ImageValue;

/// A driver whose API server is a relay is told so.
pub(super) const RELAY: &str = "the address of its API server";

/// How the names of the pull secrets are handed to the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecretsForm {
    /// A chart value `[{name: a}]`.
    Objects,
    /// A chart value `[a]`.
    Strings,
    /// An environment variable of the driver.
    Environment,
}

/// What a driver is to be told.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The namespace of its sandboxes; it is the scenario's own.
    pub(crate) namespace: String,
    /// The name of this driver among those of the scenario; a chart's release is called so.
    pub(crate) release: String,
    /// The gateway whose sandboxes it owns: nobody else's in the cluster.
    pub(crate) gateway: String,
    /// The supervisor's image.
    pub(crate) supervisor: ImageValue,
    /// Whether the scenario is about that image.
    pub(crate) supervisor_matters: bool,
    /// The side-load method; empty leaves the choice to the driver or its chart.
    pub(crate) sideload: String,
    /// Whether the scenario is about that method.
    pub(crate) sideload_matters: bool,
    /// The image of a sandbox that names none.
    pub(crate) sandbox_image: String,
    /// The pull secrets of sandboxes that bring none, in order.
    pub(crate) pull_secrets: Vec<String>,
    /// How they are handed over.
    pub(crate) form: SecretsForm,
    /// How it maps workspaces to namespaces.
    pub(crate) workspaces: Workspaces,
    /// Whether the chart itself looks for the Sandbox API.
    pub(crate) preflight: bool,
    /// What it is told beyond that.
    pub(crate) told: DriverSettings,
    /// Whether it listens on a Unix socket in its own pod, where a chart would have it listen on TCP.
    pub(crate) socket: bool,
    /// Where it finds a relay in place of the API server; none where it goes to the API server itself.
    pub(crate) relay: Option<SocketAddr>,
    /// Faults of the reference driver.
    pub(crate) faults: Vec<String>,
    /// The reference driver's image, for a chart whose profile asks for it.
    pub(crate) reference_image: ImageValue,
}

#[cfg(test)]
impl Settings {
    /// What a scenario with two pull secrets wants.
    pub(super) fn example() -> Self {
        let image = |name: &str| ImageValue { repository: format!("registry/{name}"), tag: "v1".to_owned() };
        Self {
            namespace: "ps-02-0".to_owned(),
            release: super::chart::RELEASE.to_owned(),
            gateway: "ps-02-0".to_owned(),
            supervisor: image("supervisor"),
            supervisor_matters: false,
            sideload: String::new(),
            sideload_matters: false,
            sandbox_image: "registry/agent:v1".to_owned(),
            pull_secrets: vec!["a".to_owned(), "b".to_owned()],
            form: SecretsForm::Objects,
            workspaces: Workspaces::default(),
            preflight: true,
            told: DriverSettings::new(),
            socket: false,
            relay: None,
            faults: Vec::new(),
            reference_image: image("driver"),
        }
    }
}

/// How a driver maps workspaces to namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Workspaces {
    /// The mode.
    pub(crate) mode: WorkspaceMode,
    /// The label of the namespaces that may be workspaces.
    pub(crate) allowed_label: Option<String>,
    /// The namespaces that may be workspaces, where a list says so.
    pub(crate) allowed: Option<Vec<String>>,
}

impl Workspaces {
    /// What a subject must be able to do for it; nothing where it is as every driver has it.
    pub(crate) fn feature(&self) -> Option<Feature> {
        match self.mode {
            WorkspaceMode::Shared => None,
            WorkspaceMode::Managed => Some(Feature::ManagedWorkspaces),
            WorkspaceMode::Operator => Some(Feature::OperatorWorkspaces),
        }
    }
}

/// A setting that a scenario needs and that its subject cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the subject cannot be told {what}: its profile {profile} names no {by} for it; name one, or declare `{feature}` absent"
)]
pub(crate) struct Unappliable {
    /// What it should be told.
    pub(crate) what: &'static str,
    /// What would tell it: a chart value, a flag.
    pub(crate) by: &'static str,
    /// The profile.
    pub(crate) profile: String,
    /// The feature to declare absent.
    pub(crate) feature: Feature,
}
