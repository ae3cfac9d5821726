//! The verbs of the scenario language.
//!
//! A step observes and never decides: what it saw goes into the observations under [`Step::observation`], and the judge
//! evaluates the scenario's checks on them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Period;
use super::agent_sandbox::{ChangeStep, InstallationStep, ReadStep, SandboxVersion, StoreStep};
use super::cluster_objects::{RightsStep, ServiceAccountStep, VolumeStep};
use super::container_run::RunStep;
use super::request::{CaseRequests, SandboxRequest, Submission};
use super::setting::DriverSettings;
use super::step_fields::{
    AwaitUntil, DriverExpectation, EventGoal, ImageAccess, ImageContent, PullSecretsAs, RegistryKind, SchemaLack,
    SecretHost, SecretPassword, SecretType,
};
use super::subject_steps::{ApiServerStep, SocketStep, UseStep};
use super::taint::TaintStep;
use super::workspace::{
    LifeCycleStep, LookAtStep, NamespaceStep, RemoveStep, RotateStep, WorkspaceMode, WorkspaceStep,
};

/// One step: a map with one key, the verb.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// Pushes an image that no node has ever seen, under a repository path of its own.
    Image(ImageStep),
    /// Creates a pull secret in the scenario's namespace.
    Secret(SecretStep),
    /// Installs the driver under test in the scenario's namespace; a second one is another driver beside the first.
    Driver(DriverStep),
    /// Gives the driver other settings, as an upgrade of its chart does.
    Upgrade(DriverStep),
    /// Speaks to another driver of the scenario from here on.
    Use(UseStep),
    /// Looks at the Unix socket that the driver listens on.
    Socket(SocketStep),
    /// Calls `GetCapabilities`.
    Capabilities(CapabilitiesStep),
    /// Calls `ValidateSandboxCreate`.
    Validate(SubmitStep),
    /// Calls `CreateSandbox`.
    Create(SubmitStep),
    /// Waits for a state of a sandbox's pod; a wait that ran out is an observation too.
    Await(AwaitStep),
    /// Reads a sandbox's objects and events from the API server.
    Inspect(InspectStep),
    /// Runs the probe inside a sandbox's agent container.
    Probe(ProbeStep),
    /// Reads what the registry has been asked for an image.
    Requests(RequestsStep),
    /// Calls `GetSandbox`.
    Get(GetStep),
    /// Calls `ListSandboxes`.
    List(ListStep),
    /// Calls `DeleteSandbox`.
    Delete(DeleteStep),
    /// Opens a `WatchSandboxes` stream that stays open until the scenario ends.
    Watch(WatchStep),
    /// Waits for an event of an open watch, and reads all it has delivered so far.
    Events(EventsStep),
    /// Lets a stated time pass before an absence is observed.
    Quiet(QuietStep),
    /// Reads what is installed of Agent Sandbox.
    Installation(InstallationStep),
    /// Changes what is installed of Agent Sandbox until the scenario ends; for scenarios that run `alone`.
    Change(ChangeStep),
    /// Writes a Sandbox in one API version, past the driver.
    Store(StoreStep),
    /// Reads a Sandbox in one API version, past the driver.
    Read(ReadStep),
    /// Renders the driver's chart for API servers of other versions, without a cluster.
    Render(RenderStep),
    /// Puts an image on the node past the kubelet, as a person with the runtime's own tool does.
    Preload(PreloadStep),
    /// Changes the schema of the Sandbox until the scenario ends; for scenarios that run `alone`.
    Schema(SchemaStep),
    /// Makes a volume on the node, and a claim for it.
    Volume(VolumeStep),
    /// Asks what the driver's service account may do.
    Rights(RightsStep),
    /// Gives the service account of the sandboxes pull secrets of its own.
    ServiceAccount(ServiceAccountStep),
    /// Calls `StopSandbox`.
    Stop(LifeCycleStep),
    /// Calls `StartSandbox`.
    Start(LifeCycleStep),
    /// Calls `EnsureWorkspace`.
    EnsureWorkspace(WorkspaceStep),
    /// Calls `DeleteWorkspace`.
    DeleteWorkspace(WorkspaceStep),
    /// Makes the namespace of a workspace past the driver.
    Namespace(NamespaceStep),
    /// Reads the namespace of a workspace from the API server.
    LookAt(LookAtStep),
    /// Deletes something behind the driver's back, or the driver itself.
    Remove(RemoveStep),
    /// Gives a user of the registry another password.
    Rotate(RotateStep),
    /// Runs an image's own program in pods past the driver.
    Run(RunStep),
    /// Lets the API server of a driver behind a relay fall silent, or answer again.
    ApiServer(ApiServerStep),
    /// Taints the nodes until the scenario ends; for scenarios that run `alone`.
    Taint(TaintStep),
}

/// Fields of `image`. Observes `{reference, repository, digest}`, by default under the image's name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// The name that other steps use for the image.
    pub name: String,
    /// What is in it.
    pub content: ImageContent,
    /// Who may pull it.
    #[serde(default)]
    pub access: ImageAccess,
    /// The listener of the registry that its reference names.
    #[serde(default)]
    pub registry: RegistryKind,
    /// Whether the registry has it; without it the reference leads to nothing.
    #[serde(default = "ImageStep::default_pushed", skip_serializing_if = "is_true")]
    pub pushed: bool,
}

/// Fields of `secret`; one that is there is replaced. Observes `{name}`, by default under the secret's name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// The secret's name in the scenario's namespace, exactly as given.
    pub name: String,
    /// The user of the registry whose credentials it holds.
    pub user: String,
    /// Whether the password is right.
    #[serde(default)]
    pub password: SecretPassword,
    /// Whether the credentials are for the registry's host.
    #[serde(default)]
    pub host: SecretHost,
    /// The secret's Kubernetes type.
    #[serde(rename = "type", default)]
    pub secret_type: SecretType,
    /// The listener of the registry that the credentials are for.
    #[serde(default)]
    pub registry: RegistryKind,
}

/// Fields of `driver` and `upgrade`. Observes `{running, exitCode, log: [lines], pod}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DriverStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// The configured pull secrets, in order. A name need not exist (yet) as a secret.
    #[serde(default)]
    pub pull_secrets: Vec<String>,
    /// How they are given to the driver.
    #[serde(default)]
    pub pull_secrets_as: PullSecretsAs,
    /// The chart's `supervisor.sideloadMethod`; with `""` the chart chooses by the API server's version.
    /// Without it the chart chooses too, except on a cluster on which image volumes do not work: that gets `init-container`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sideload: Option<String>,
    /// The name of an `image` step with content `supervisor`; without it a public supervisor image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervisor_image: Option<String>,
    /// The supervisor's image as a reference `REPOSITORY:TAG` that is given as it is, instead of `supervisorImage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervisor_reference: Option<String>,
    /// What it is told beyond that.
    #[serde(default, skip_serializing_if = "DriverSettings::is_empty")]
    pub settings: DriverSettings,
    /// Whether it listens on a Unix socket that others on its machine must not use, and not on TCP; then no step may call it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub socket: bool,
    /// Whether a relay of the run stands between it and its API server, which `apiServer` steps can silence for it alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub through_relay: bool,
    /// How it maps workspaces to namespaces.
    #[serde(default, skip_serializing_if = "WorkspaceMode::is_usual")]
    pub workspaces: WorkspaceMode,
    /// In mode `operator`: the label that a namespace must have, `KEY` or `KEY=VALUE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_label: Option<String>,
    /// In mode `operator`: the workspaces that the file of allowed namespaces names; without it there is no such file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Vec<String>>,
    /// Whether the chart is told not to look for the Sandbox API itself, so that the driver has to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_preflight: bool,
    /// Whether the driver is waited for until it answers or until it has exited.
    #[serde(default)]
    pub expect: DriverExpectation,
}

/// Fields of `capabilities`. Observes `{code, message, driverName, driverVersion, defaultImage}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CapabilitiesStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
}

/// Fields of `validate` and `create`: either `sandbox` or `cases`.
/// Observes `{code, message}`, or one such answer by the name of each case.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubmitStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// The one sandbox that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxRequest>,
    /// Several requests, each with its own answer.
    #[serde(default, skip_serializing_if = "CaseRequests::is_empty")]
    pub cases: CaseRequests,
}

/// Fields of `await`.
/// Observes `{reached, seconds, phase, reason, message, container, pod, events: [{reason, message, type, object}]}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AwaitStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// The sandbox.
    pub sandbox: String,
    /// What ends the wait.
    pub until: AwaitUntil,
    /// Look at this container only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// How long to wait; 60 seconds unless given.
    #[serde(default = "AwaitStep::default_within")]
    pub within: Period,
}

/// Fields of `inspect`. Observes `{sandbox, pod, events, sandboxes, pods}`; the last two count the namespace's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InspectStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// The sandbox; without it only the counts are observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
}

/// Fields of `probe`. Observes the probe's report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProbeStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// The sandbox.
    pub sandbox: String,
}

/// Fields of `requests`. Observes `{all, manifests, users, refused, accepted, denied}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestsStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// The name of an `image` step.
    pub image: String,
}

/// Fields of `get`: `sandbox`, or `id` and `name` as they are sent.
/// Observes `{code, message, sandbox: {id, name, namespace, workspace, conditions, deleting} or null}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// A sandbox of this scenario.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
    /// The `sandbox_id` to send as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The `sandbox_name` to send as it is, beside `id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Fields of `list`. Observes `{code, ids, names}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
}

/// Fields of `delete`: `sandbox`, or `id` and `name` as they are sent. Observes `{code, message, deleted}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// A sandbox of this scenario.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
    /// The `sandbox_id` to send as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The `sandbox_name` to send as it is, beside `id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Fields of `watch`. What it delivers is observed by `events` steps, which name it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WatchStep {
    /// The name of the watch.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
}

/// Fields of `events`.
/// Observes `{until, reached, events: [{kind, id, name, reason, message, metadata, conditions}], deletedCount}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventsStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// The name of the `watch` step; `watch` unless given.
    #[serde(default = "EventsStep::default_watch")]
    pub watch: String,
    /// What ends the wait; without it what has been delivered so far is read at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<EventGoal>,
    /// How long to wait; 20 seconds unless given.
    #[serde(default = "EventsStep::default_within")]
    pub within: Period,
}

/// Fields of `quiet`. Observes `{seconds}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuietStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// How long.
    #[serde(rename = "for")]
    pub period: Period,
}

/// Fields of `render`. Observes `{ok, sideload, message}` by the name of each case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenderStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// What is rendered, by name.
    pub cases: BTreeMap<String, RenderCase>,
}

/// One rendering of the driver's chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenderCase {
    /// The version that the API server is taken to have, for example `v1.34.6+k3s1`.
    pub kube_version: String,
    /// The chart's `supervisor.sideloadMethod`; without it (or with `""`) the chart chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sideload: Option<String>,
}

/// Fields of `preload`. Observes `{image}`, the runtime's name for what it pulled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PreloadStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// The name of an `image` step.
    pub image: String,
    /// The user of the registry whose credentials are used; without it none are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// Fields of `schema`: exactly one of `without` and `with`.
/// Observes `{pruned, served}`: whether the API server prunes the part by now, and the versions that it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SchemaStep {
    /// The name of the observation.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub observe_as: Option<String>,
    /// What the schema is to lack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without: Option<SchemaLack>,
    /// API versions that are to be served; one that there is not becomes a copy of the one that is stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<SandboxVersion>,
}

impl Step {
    /// The verb as it is written.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Image(_) => "image",
            Self::Secret(_) => "secret",
            Self::Driver(_) => "driver",
            Self::Upgrade(_) => "upgrade",
            Self::Use(_) => "use",
            Self::Socket(_) => "socket",
            Self::Capabilities(_) => "capabilities",
            Self::Validate(_) => "validate",
            Self::Create(_) => "create",
            Self::Await(_) => "await",
            Self::Inspect(_) => "inspect",
            Self::Probe(_) => "probe",
            Self::Requests(_) => "requests",
            Self::Get(_) => "get",
            Self::List(_) => "list",
            Self::Delete(_) => "delete",
            Self::Watch(_) => "watch",
            Self::Events(_) => "events",
            Self::Quiet(_) => "quiet",
            Self::Installation(_) => "installation",
            Self::Change(_) => "change",
            Self::Store(_) => "store",
            Self::Read(_) => "read",
            Self::Render(_) => "render",
            Self::Preload(_) => "preload",
            Self::Schema(_) => "schema",
            Self::Volume(_) => "volume",
            Self::Rights(_) => "rights",
            Self::ServiceAccount(_) => "serviceAccount",
            Self::Stop(_) => "stop",
            Self::Start(_) => "start",
            Self::EnsureWorkspace(_) => "ensureWorkspace",
            Self::DeleteWorkspace(_) => "deleteWorkspace",
            Self::Namespace(_) => "namespace",
            Self::LookAt(_) => "lookAt",
            Self::Remove(_) => "remove",
            Self::Rotate(_) => "rotate",
            Self::Run(_) => "run",
            Self::ApiServer(_) => "apiServer",
            Self::Taint(_) => "taint",
        }
    }

    /// The name under which its observation is kept: `as`; without it the own name of an image, a
    /// secret or a volume, else the verb.
    pub fn observation(&self) -> &str {
        let (given, default) = match self {
            Self::Image(step) => (&step.observe_as, step.name.as_str()),
            Self::Secret(step) => (&step.observe_as, step.name.as_str()),
            Self::Driver(step) | Self::Upgrade(step) => (&step.observe_as, self.verb()),
            Self::Use(step) => (&step.observe_as, self.verb()),
            Self::Socket(step) => (&step.observe_as, self.verb()),
            Self::Capabilities(step) => (&step.observe_as, self.verb()),
            Self::Validate(step) | Self::Create(step) => (&step.observe_as, self.verb()),
            Self::Await(step) => (&step.observe_as, self.verb()),
            Self::Inspect(step) => (&step.observe_as, self.verb()),
            Self::Probe(step) => (&step.observe_as, self.verb()),
            Self::Requests(step) => (&step.observe_as, self.verb()),
            Self::Get(step) => (&step.observe_as, self.verb()),
            Self::List(step) => (&step.observe_as, self.verb()),
            Self::Delete(step) => (&step.observe_as, self.verb()),
            Self::Watch(step) => (&step.observe_as, self.verb()),
            Self::Events(step) => (&step.observe_as, self.verb()),
            Self::Quiet(step) => (&step.observe_as, self.verb()),
            Self::Installation(step) => (&step.observe_as, self.verb()),
            Self::Change(step) => (&step.observe_as, self.verb()),
            Self::Store(step) => (&step.observe_as, self.verb()),
            Self::Read(step) => (&step.observe_as, self.verb()),
            Self::Render(step) => (&step.observe_as, self.verb()),
            Self::Preload(step) => (&step.observe_as, self.verb()),
            Self::Schema(step) => (&step.observe_as, self.verb()),
            Self::Volume(step) => (&step.observe_as, step.name.as_str()),
            Self::Rights(step) => (&step.observe_as, self.verb()),
            Self::ServiceAccount(step) => (&step.observe_as, self.verb()),
            Self::Stop(step) | Self::Start(step) => (&step.observe_as, self.verb()),
            Self::EnsureWorkspace(step) | Self::DeleteWorkspace(step) => (&step.observe_as, self.verb()),
            Self::Namespace(step) => (&step.observe_as, self.verb()),
            Self::LookAt(step) => (&step.observe_as, self.verb()),
            Self::Remove(step) => (&step.observe_as, self.verb()),
            Self::Rotate(step) => (&step.observe_as, self.verb()),
            Self::Run(step) => (&step.observe_as, self.verb()),
            Self::ApiServer(step) => (&step.observe_as, self.verb()),
            Self::Taint(step) => (&step.observe_as, self.verb()),
        };
        given.as_deref().unwrap_or(default)
    }
}

impl SubmitStep {
    /// What is sent. A step with neither `sandbox` nor `cases` is refused when the suite is loaded.
    pub fn submission(&self) -> Submission<'_> {
        match &self.sandbox {
            Some(request) => Submission::One(request),
            None => Submission::Cases(&self.cases),
        }
    }
}

impl ImageStep {
    fn default_pushed() -> bool {
        true
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_true(value: &bool) -> bool {
    *value
}

impl AwaitStep {
    fn default_within() -> Period {
        Period::seconds(60)
    }
}

impl EventsStep {
    fn default_watch() -> String {
        "watch".to_owned()
    }

    fn default_within() -> Period {
        Period::seconds(20)
    }
}
