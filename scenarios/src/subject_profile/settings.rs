//! How a subject is told what a scenario needs: values of its chart, flags and environment of its process.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

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
        }
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
