//! The scenario language: what a scenario file can say.
//!
//! YAML declares, Rust executes: a scenario is a list of typed [`Step`]s that observe and a list of [`Check`]s that
//! the judge evaluates.
//! There is no other control flow, and a field that is not listed here is an error with its line and caret.

mod agent_sandbox;
mod axis;
mod check;
mod cluster_objects;
mod container_run;
mod feature;
mod period;
mod request;
mod scenario;
mod setting;
mod step;
mod step_fields;
mod subject_steps;
mod taint;
mod workspace;

pub use agent_sandbox::{ChangeStep, ControllerState, InstallationStep, ReadStep, SandboxVersion, StoreStep};
pub use axis::{Axis, Variation};
pub(crate) use check::Plain;
pub use check::{Check, Matcher};
pub use cluster_objects::{RightsStep, ServiceAccountStep, VolumeStep};
pub use container_run::{RunCase, RunStep};
pub use feature::Feature;
pub use period::{ParsePeriodError, Period};
pub use request::{CaseRequests, SandboxRequest, Submission, TypedResources};
pub use scenario::{Applies, Parameters, Scenario, ScenarioFile, ScenarioInstance, Unsupported};
pub use setting::{DriverSettings, Setting};
pub use step::{
    AwaitStep, CapabilitiesStep, DeleteStep, DriverStep, EventsStep, GetStep, ImageStep, InspectStep, ListStep,
    PreloadStep, ProbeStep, QuietStep, RenderCase, RenderStep, RequestsStep, SchemaStep, SecretStep, Step, SubmitStep,
    WatchStep,
};
pub use step_fields::{
    AwaitUntil, DriverExpectation, EventGoal, ImageAccess, ImageContent, Named, PullSecretsAs, RegistryKind,
    SchemaLack, SecretHost, SecretPassword, SecretType,
};
pub use subject_steps::{ApiServerState, ApiServerStep, SocketStep, UseStep};
pub use taint::{TaintEffect, TaintStep};
pub use workspace::{LifeCycleStep, LookAtStep, NamespaceStep, RemoveStep, RotateStep, WorkspaceMode, WorkspaceStep};
