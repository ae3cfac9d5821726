//! The closed sets of values that fields of steps can have.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, value::SeqAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What an image holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImageContent {
    /// The probe binary and a shell: what a sandbox's agent container runs.
    Agent,
    /// The supervisor binary at `/openshell-sandbox`.
    Supervisor,
    /// A file that is no program, as of a supervisor image from which the binary was left out.
    Hollow,
}

/// Which listener of the test registry an image or a secret belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RegistryKind {
    /// Plain HTTP with Basic authentication (the default).
    #[default]
    Plain,
    /// TLS with a private authority and Bearer tokens.
    Secure,
}

/// Who may pull an image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ImageAccess {
    /// Everybody, without credentials (the default).
    #[default]
    Public,
    /// These users of the registry and nobody else.
    Users(Vec<String>),
}

/// Which password a secret carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SecretPassword {
    /// The one the registry knows (the default).
    #[default]
    Right,
    /// Another one.
    Wrong,
}

/// Which registry host a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SecretHost {
    /// The host the images come from (the default).
    #[default]
    Right,
    /// A host that no image comes from.
    Other,
}

/// The Kubernetes type of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretType {
    /// `kubernetes.io/dockerconfigjson` (the default).
    #[default]
    DockerConfigJson,
    /// The legacy `kubernetes.io/dockercfg`.
    DockerCfg,
    /// `Opaque` with a `.dockerconfigjson` key: the kubelet does not take it for credentials.
    Opaque,
}

/// How the configured pull secrets are given to the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PullSecretsAs {
    /// The chart value `server.sandboxImagePullSecrets` as a list of `{name}` (the default).
    #[default]
    Objects,
    /// The same value as a list of strings.
    Strings,
    /// The environment variable `OPENSHELL_SANDBOX_IMAGE_PULL_SECRETS`, separated by commas.
    Environment,
}

/// What becomes of a driver that is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DriverExpectation {
    /// It runs and answers (the default); the steps after it need it.
    #[default]
    Running,
    /// It refuses its configuration and exits; no step after it may call it.
    Refused,
}

/// What ends an `await` step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AwaitUntil {
    /// The agent container (or the named one) runs.
    Running,
    /// A container waits with `ErrImagePull` or `ImagePullBackOff`; the first one ends the wait.
    PullRefused,
    /// The pod's phase is Failed.
    Failed,
    /// A container cannot be created or started, or a volume of the pod cannot be mounted; the first one ends the wait.
    CannotStart,
    /// Neither the Sandbox nor a pod of it is there any more.
    Gone,
}

/// What the schema of the Sandbox is made to lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SchemaLack {
    /// Image volumes, as releases of Agent Sandbox before v0.3.10 do.
    ImageVolumes,
}

/// What ends an `events` step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventGoal {
    /// A deleted event of this sandbox.
    Deleted(String),
    /// An event of the state of this sandbox.
    Sandbox {
        /// The sandbox.
        sandbox: String,
        /// A regular expression on `TYPE=STATUS reason: message` of one of its conditions; without it any state fits.
        matches: Option<String>,
        /// What that condition names besides.
        named: Named,
    },
    /// An event of this sandbox with the condition Ready=True.
    Ready(String),
    /// A platform event of this sandbox.
    Platform {
        /// The sandbox.
        sandbox: String,
        /// A regular expression on `reason: message` of the event.
        matches: Option<String>,
        /// What that event names besides, in its text or in its metadata.
        named: Named,
    },
}

/// What one event or condition has to name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// The sandbox's pod.
    pub pod: bool,
    /// The repository of this `image` step.
    pub image: Option<String>,
}

impl EventGoal {
    /// The sandbox it is about.
    pub fn sandbox(&self) -> &str {
        match self {
            Self::Deleted(sandbox)
            | Self::Sandbox { sandbox, .. }
            | Self::Ready(sandbox)
            | Self::Platform { sandbox, .. } => sandbox,
        }
    }

    /// The kind of event, as files spell it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Deleted(_) => "deleted",
            Self::Sandbox { .. } => "sandbox",
            Self::Ready(_) => "ready",
            Self::Platform { .. } => "platform",
        }
    }

    /// What the event has to match and to name; nothing where only its kind counts.
    pub fn wanted(&self) -> Option<(Option<&str>, &Named)> {
        match self {
            Self::Deleted(_) | Self::Ready(_) => None,
            Self::Sandbox { matches, named, .. } | Self::Platform { matches, named, .. } => {
                Some((matches.as_deref(), named))
            }
        }
    }
}

/// What ends an `events` step: exactly one of the first four, the others only beside `platform` and `sandbox`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "EventGoal")]
struct EventGoalFields {
    /// A sandbox whose deleted event ends the wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted: Option<String>,
    /// A sandbox a state of which ends the wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sandbox: Option<String>,
    /// A sandbox whose condition Ready=True ends the wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ready: Option<String>,
    /// A sandbox a platform event of which ends the wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    /// With `platform`: a regular expression on `reason: message` of the event.
    /// With `sandbox`: one on `TYPE=STATUS reason: message` of a condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    matches: Option<String>,
    /// With `platform` or `sandbox`: whether the same event, or the same condition, has to name the sandbox's pod.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    names_pod: bool,
    /// With `platform` or `sandbox`: an image that the same event, or the same condition, has to name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    names_image: Option<String>,
}

impl<'de> Deserialize<'de> for EventGoal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = EventGoalFields::deserialize(deserializer)?;
        let named = Named { pod: fields.names_pod, image: fields.names_image };
        let bare = fields.matches.is_none() && named == Named::default();
        let matches = fields.matches;
        match (fields.deleted, fields.sandbox, fields.ready, fields.platform) {
            (Some(sandbox), None, None, None) if bare => Ok(Self::Deleted(sandbox)),
            (None, Some(sandbox), None, None) => Ok(Self::Sandbox { sandbox, matches, named }),
            (None, None, Some(sandbox), None) if bare => Ok(Self::Ready(sandbox)),
            (None, None, None, Some(sandbox)) => Ok(Self::Platform { sandbox, matches, named }),
            _ => Err(de::Error::custom(
                "`until` takes exactly one of `deleted`, `sandbox`, `ready` and `platform`; `matches`, `namesPod` and `namesImage` only beside `platform` and `sandbox`",
            )),
        }
    }
}

impl Serialize for EventGoal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sandbox = Some(self.sandbox().to_owned());
        let wanted = self.wanted().map_or_else(EventGoalFields::default, |(matches, named)| EventGoalFields {
            matches: matches.map(str::to_owned),
            names_pod: named.pod,
            names_image: named.image.clone(),
            ..EventGoalFields::default()
        });
        let fields = match self {
            Self::Deleted(_) => EventGoalFields { deleted: sandbox, ..wanted },
            Self::Sandbox { .. } => EventGoalFields { sandbox, ..wanted },
            Self::Ready(_) => EventGoalFields { ready: sandbox, ..wanted },
            Self::Platform { .. } => EventGoalFields { platform: sandbox, ..wanted },
        };
        fields.serialize(serializer)
    }
}

impl JsonSchema for EventGoal {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EventGoal".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        EventGoalFields::json_schema(generator)
    }
}

impl<'de> Deserialize<'de> for ImageAccess {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PublicOrUsers;

        impl<'de> de::Visitor<'de> for PublicOrUsers {
            type Value = ImageAccess;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("`public` or a list of the registry's users")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ImageAccess, E> {
                if text == "public" {
                    Ok(ImageAccess::Public)
                } else {
                    Err(E::invalid_value(de::Unexpected::Str(text), &self))
                }
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, users: A) -> Result<ImageAccess, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(users)).map(ImageAccess::Users)
            }
        }

        deserializer.deserialize_any(PublicOrUsers)
    }
}

impl Serialize for ImageAccess {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Public => serializer.serialize_str("public"),
            Self::Users(users) => users.serialize(serializer),
        }
    }
}

impl JsonSchema for ImageAccess {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ImageAccess".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "`public`, or the users of the registry who may pull it.",
            "anyOf": [{"const": "public"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
        })
    }
}
