//! What a driver can be told about the pods of its sandboxes, beyond what every scenario tells it.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Feature;

/// Values by what they set; a list is a list of names.
pub type DriverSettings = BTreeMap<Setting, Value>;

/// Something that a driver can be told. How it is told is in its profile; these are upstream's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Setting {
    /// The pull policy of the sandboxes' images: `Always`, `IfNotPresent` or `Never`.
    SandboxPullPolicy,
    /// The pull secrets of the driver's own pod, which are not for sandboxes: a list of names.
    OwnPullSecrets,
    /// Which containers a sandbox consists of: `combined` or `sidecar`.
    Topology,
    /// The service account of the sandboxes' pods.
    ServiceAccount,
    /// The size of the volume that each sandbox works in.
    WorkspaceSize,
    /// The storage class of that volume; `${volume.NAME}` is the one of a `volume` step.
    WorkspaceStorageClass,
    /// The address of the gateway that sandboxes call back.
    GatewayEndpoint,
    /// How many seconds a sandbox's token for the gateway is valid.
    TokenSeconds,
    /// The `AppArmor` profile of the agent container.
    AppArmorProfile,
    /// The user of a sandbox's main process.
    SandboxUser,
    /// The group of a sandbox's main process.
    SandboxGroup,
}

impl Setting {
    /// Every setting, in the order in which they are listed.
    pub const ALL: [Self; 11] = [
        Self::SandboxPullPolicy,
        Self::OwnPullSecrets,
        Self::Topology,
        Self::ServiceAccount,
        Self::WorkspaceSize,
        Self::WorkspaceStorageClass,
        Self::GatewayEndpoint,
        Self::TokenSeconds,
        Self::AppArmorProfile,
        Self::SandboxUser,
        Self::SandboxGroup,
    ];

    /// Its name, as files spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SandboxPullPolicy => "sandboxPullPolicy",
            Self::OwnPullSecrets => "ownPullSecrets",
            Self::Topology => "topology",
            Self::ServiceAccount => "serviceAccount",
            Self::WorkspaceSize => "workspaceSize",
            Self::WorkspaceStorageClass => "workspaceStorageClass",
            Self::GatewayEndpoint => "gatewayEndpoint",
            Self::TokenSeconds => "tokenSeconds",
            Self::AppArmorProfile => "appArmorProfile",
            Self::SandboxUser => "sandboxUser",
            Self::SandboxGroup => "sandboxGroup",
        }
    }

    /// What a subject that cannot be told it lacks.
    pub fn feature(self) -> Feature {
        match self {
            Self::OwnPullSecrets => Feature::Chart,
            Self::Topology => Feature::SidecarTopology,
            Self::WorkspaceSize | Self::WorkspaceStorageClass => Feature::WorkspaceVolumes,
            Self::GatewayEndpoint | Self::TokenSeconds => Feature::GatewayTokens,
            Self::SandboxPullPolicy
            | Self::ServiceAccount
            | Self::AppArmorProfile
            | Self::SandboxUser
            | Self::SandboxGroup => Feature::ConfiguredPods,
        }
    }

    /// The upstream chart's value, as a dotted path; an environment variable of the driver where its chart has none.
    pub fn chart_value(self) -> &'static str {
        match self {
            Self::SandboxPullPolicy => "server.sandboxImagePullPolicy",
            Self::OwnPullSecrets => "imagePullSecrets",
            Self::Topology => "supervisor.topology",
            Self::ServiceAccount => "sandboxServiceAccount.name",
            Self::WorkspaceSize => "server.workspaceDefaultStorageSize",
            Self::WorkspaceStorageClass => "server.workspaceStorageClass",
            Self::GatewayEndpoint => "server.grpcEndpoint",
            Self::TokenSeconds => "server.sandboxJwt.k8sSaTokenTtlSecs",
            Self::AppArmorProfile => "server.appArmorProfile",
            Self::SandboxUser => "OPENSHELL_K8S_SANDBOX_UID",
            Self::SandboxGroup => "OPENSHELL_K8S_SANDBOX_GID",
        }
    }

    /// The flag of the upstream driver's own binary, or its environment variable where there is no flag.
    pub fn process_word(self) -> Option<&'static str> {
        match self {
            Self::SandboxPullPolicy => Some("--sandbox-image-pull-policy"),
            // A process has no pod of its own.
            Self::OwnPullSecrets => None,
            Self::Topology => Some("--topology"),
            Self::ServiceAccount => Some("--sandbox-service-account"),
            Self::WorkspaceSize => Some("OPENSHELL_K8S_WORKSPACE_DEFAULT_STORAGE_SIZE"),
            Self::WorkspaceStorageClass => Some("OPENSHELL_K8S_WORKSPACE_STORAGE_CLASS"),
            Self::GatewayEndpoint => Some("--grpc-endpoint"),
            Self::TokenSeconds => Some("--sa-token-ttl-secs"),
            Self::AppArmorProfile => Some("--app-armor-profile"),
            Self::SandboxUser => Some("--sandbox-uid"),
            Self::SandboxGroup => Some("--sandbox-gid"),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_listed_under_the_name_that_files_spell() {
        for setting in Setting::ALL {
            assert_eq!(serde_json::to_value(setting).unwrap(), setting.name());
        }
    }
}
