//! How a subject is told what a scenario needs: values of its chart, flags and environment of its process.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::language::Setting;

/// The upstream driver's environment variable for the pull secrets of sandboxes that bring none.
const PULL_SECRETS_VARIABLE: &str = "OPENSHELL_SANDBOX_IMAGE_PULL_SECRETS";

/// How a chart is told what scenarios need, and where its driver is to be found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ChartSettings {
    /// Where the driver's own image comes from.
    pub image: ImageOrigin,
    /// The container of the driver in its pod. The pod is found by the label `app.kubernetes.io/instance`, the release.
    pub container: String,
    /// The port on the pod's loopback address on which the driver serves gRPC.
    pub port: u16,
    /// The environment variable of the driver that takes the pull secrets, separated by commas.
    pub pull_secrets_variable: Option<String>,
    /// The names of the chart's values.
    pub values: ChartValues,
    /// What tells the driver the settings of a `driver` step: the dotted path of a value, or an environment variable of the
    /// driver (`NAME`); `null` says that nothing does. What is not listed is told as the upstream chart tells it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<Setting, Option<String>>,
}

/// Where the driver's own image comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImageOrigin {
    /// The chart and the files given with `--values` name it.
    #[default]
    Own,
    /// The reference driver's image, from the run's own registry.
    Reference,
}

/// The names of a chart's values, as dotted paths; `null` says that the chart has no such value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ChartValues {
    /// Registry and repository of the driver's own image.
    pub image_repository: Option<String>,
    /// Its tag.
    pub image_tag: Option<String>,
    /// Its pull policy.
    pub image_pull_policy: Option<String>,
    /// Registry and repository of the supervisor's image.
    pub supervisor_repository: Option<String>,
    /// Its tag.
    pub supervisor_tag: Option<String>,
    /// Its pull policy.
    pub supervisor_pull_policy: Option<String>,
    /// The side-load method; empty leaves the choice to the chart.
    pub sideload: Option<String>,
    /// The image of a sandbox that names none.
    pub sandbox_image: Option<String>,
    /// The pull secrets of sandboxes that bring none: a list of `{name}` or of strings.
    pub pull_secrets: Option<String>,
    /// Whether the chart looks for the Sandbox API.
    pub preflight: Option<String>,
    /// The identifier of the gateway that owns the sandboxes.
    pub gateway_id: Option<String>,
    /// How workspaces map to namespaces.
    pub workspace_mode: Option<String>,
    /// The label of the namespaces that may be workspaces.
    pub operator_label: Option<String>,
    /// The names of the namespaces that may be workspaces: a list.
    pub operator_namespaces: Option<String>,
    /// Further environment of the driver's container: a list of `{name, value}`.
    pub environment: Option<String>,
    /// Further volumes of the driver's pod.
    pub volumes: Option<String>,
    /// Where its container sees them.
    pub volume_mounts: Option<String>,
}

/// How a process is told what scenarios need: by which flag or environment variable; `null` says that there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ProcessSettings {
    /// The path of the Unix socket to serve gRPC on. It cannot be `null`: there is no other way to reach the process.
    pub socket: Told,
    /// The namespace of the sandboxes.
    pub namespace: Option<Told>,
    /// The identifier of the gateway that owns the sandboxes.
    pub gateway_id: Option<Told>,
    /// The supervisor's image.
    pub supervisor_image: Option<Told>,
    /// The side-load method.
    pub sideload: Option<Told>,
    /// The image of a sandbox that names none.
    pub sandbox_image: Option<Told>,
    /// The pull secrets of sandboxes that bring none, separated by commas.
    pub pull_secrets: Option<Told>,
    /// The environment variable that takes them as well.
    pub pull_secrets_variable: Option<String>,
    /// How workspaces map to namespaces.
    pub workspace_mode: Option<Told>,
    /// The label of the namespaces that may be workspaces.
    pub operator_label: Option<Told>,
    /// The file with the names of the namespaces that may be workspaces, one a line.
    pub operator_file: Option<Told>,
    /// What tells the process the settings of a `driver` step; `null` says that nothing does.
    /// What is not listed is told as the upstream binary is told it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<Setting, Option<Told>>,
}

/// A flag or an environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A flag with its dashes; the value is the argument after it.
    Flag(String),
    /// An environment variable.
    Environment(String),
}

impl Default for ChartSettings {
    fn default() -> Self {
        Self {
            image: ImageOrigin::Own,
            container: "driver".to_owned(),
            // Upstream's default port.
            port: 50061,
            pull_secrets_variable: Some(PULL_SECRETS_VARIABLE.to_owned()),
            values: ChartValues::default(),
            settings: BTreeMap::new(),
        }
    }
}

/// The upstream chart's names.
impl Default for ChartValues {
    fn default() -> Self {
        let value = |path: &str| Some(path.to_owned());
        Self {
            image_repository: value("image.repository"),
            image_tag: value("image.tag"),
            image_pull_policy: value("image.pullPolicy"),
            supervisor_repository: value("supervisor.image.repository"),
            supervisor_tag: value("supervisor.image.tag"),
            supervisor_pull_policy: value("supervisor.image.pullPolicy"),
            sideload: value("supervisor.sideloadMethod"),
            sandbox_image: value("server.sandboxImage"),
            pull_secrets: value("server.sandboxImagePullSecrets"),
            preflight: value("agentSandbox.preflight.enabled"),
            gateway_id: value("server.gatewayId"),
            workspace_mode: value("server.drivers.kubernetes.workspaceMode"),
            operator_label: value("server.drivers.kubernetes.operatorNamespaceLabel"),
            operator_namespaces: value("server.drivers.kubernetes.operatorNamespaces"),
            environment: value("extraEnv"),
            volumes: value("extraVolumes"),
            volume_mounts: value("extraVolumeMounts"),
        }
    }
}

/// The flags of the upstream driver's own binary.
impl Default for ProcessSettings {
    fn default() -> Self {
        let flag = |name: &str| Some(Told::Flag(name.to_owned()));
        Self {
            socket: Told::Flag("--bind-socket".to_owned()),
            namespace: flag("--sandbox-namespace"),
            gateway_id: flag("--gateway-id"),
            supervisor_image: flag("--supervisor-image"),
            sideload: flag("--supervisor-sideload-method"),
            sandbox_image: flag("--sandbox-image"),
            pull_secrets: flag("--sandbox-image-pull-secrets"),
            pull_secrets_variable: Some(PULL_SECRETS_VARIABLE.to_owned()),
            workspace_mode: flag("--workspace-mode"),
            operator_label: flag("--operator-namespace-label"),
            operator_file: flag("--operator-namespace-file"),
            settings: BTreeMap::new(),
        }
    }
}

impl ChartSettings {
    /// What tells the driver a setting; none where nothing does.
    pub fn setting(&self, setting: Setting) -> Option<String> {
        self.settings.get(&setting).cloned().unwrap_or_else(|| Some(setting.chart_value().to_owned()))
    }

    /// The value for further volumes of the driver's pod, as Kubernetes has them.
    pub fn volumes_value(&self) -> Option<&str> {
        self.values.volumes.as_deref()
    }

    /// The value for what the driver's container sees of them.
    pub fn volume_mounts_value(&self) -> Option<&str> {
        self.values.volume_mounts.as_deref()
    }

    /// Whether what tells a setting is an environment variable of the driver, and no value of the chart.
    pub fn is_variable(told: &str) -> bool {
        told.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_')
    }
}

impl ProcessSettings {
    /// What tells the process a setting; none where nothing does.
    pub fn setting(&self, setting: Setting) -> Option<Told> {
        self.settings.get(&setting).cloned().unwrap_or_else(|| setting.process_word().and_then(Told::parse))
    }
}

impl Told {
    fn parse(text: &str) -> Option<Self> {
        let flag = text.strip_prefix("--").is_some_and(|name| {
            !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
        });
        let variable = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        match (flag, variable) {
            (true, _) => Some(Self::Flag(text.to_owned())),
            (_, true) => Some(Self::Environment(text.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Environment(name) => formatter.write_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for Told {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            de::Error::custom(format!("`{text}` is neither a flag (`--name`) nor an environment variable (`NAME`)"))
        })
    }
}

impl Serialize for Told {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Told {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Told".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A flag with its dashes, or the name of an environment variable.",
            "type": "string",
            "pattern": "^(--[A-Za-z0-9._-]+|[A-Za-z_][A-Za-z0-9_]*)$",
        })
    }
}
