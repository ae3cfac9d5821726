//! What a subject may lack: the closed list of features that scenarios need and profiles declare absent.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DriverExpectation, DriverStep, PullSecretsAs, Step, WorkspaceMode};

/// Something that a subject can do, or that it can be told. A scenario needs some of them; a subject profile declares
/// those that its subject does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// It has a Helm chart that can be rendered and installed.
    Chart,
    /// Its chart itself looks for the Sandbox API.
    Preflight,
    /// It is started afresh for each scenario, and seen to end where it must refuse to start.
    Start,
    /// It can be told the pull secrets of sandboxes that bring none.
    ConfiguredPullSecrets,
    /// It takes them from an environment variable.
    ConfiguredByEnvironment,
    /// It can be told how the supervisor comes into sandboxes.
    ConfiguredSideload,
    /// It can be told the supervisor's image.
    ConfiguredSupervisorImage,
    /// It can load the supervisor by image volume.
    ImageVolume,
    /// It can load the supervisor by an init container.
    InitContainer,
    /// A sandbox can bring its own pull secrets, which replace the configured ones.
    PullSecretOverride,
    /// A sandbox can choose its own side-load method, supervisor image and pull policy.
    SideloadOverride,
    /// It notices that a cluster drops image volumes, before it creates a sandbox that needs one.
    ImageVolumeDetection,
    /// Its watch delivers what happens to a sandbox's pod as platform events.
    PlatformEvents,
    /// It finds out again which API version of the Sandbox is served, without a restart.
    ApiRediscovery,
    /// It can stop a sandbox and start it again with its data.
    StopStart,
    /// It makes a namespace of its own for each workspace.
    ManagedWorkspaces,
    /// It takes namespaces that the platform has made for workspaces.
    OperatorWorkspaces,
    /// It takes the block `driver_config` of a request.
    DriverConfig,
    /// It can be told what its sandboxes' pods have.
    ConfiguredPods,
    /// It can give each sandbox a volume to work in.
    WorkspaceVolumes,
    /// It gives sandboxes a token for their gateway.
    GatewayTokens,
    /// It can guard a sandbox's network by a container of its own.
    SidecarTopology,
    /// It can listen on a Unix socket.
    UnixSocket,
    /// It can be told where its API server is.
    ApiServerAddress,
    /// It takes a sandbox's user and group from OpenShift's annotations.
    NamespaceIdentity,
}

impl Feature {
    /// Every feature, in the order in which they are listed.
    pub const ALL: [Self; 25] = [
        Self::Chart,
        Self::Preflight,
        Self::Start,
        Self::ConfiguredPullSecrets,
        Self::ConfiguredByEnvironment,
        Self::ConfiguredSideload,
        Self::ConfiguredSupervisorImage,
        Self::ImageVolume,
        Self::InitContainer,
        Self::PullSecretOverride,
        Self::SideloadOverride,
        Self::ImageVolumeDetection,
        Self::PlatformEvents,
        Self::ApiRediscovery,
        Self::StopStart,
        Self::ManagedWorkspaces,
        Self::OperatorWorkspaces,
        Self::DriverConfig,
        Self::ConfiguredPods,
        Self::WorkspaceVolumes,
        Self::GatewayTokens,
        Self::SidecarTopology,
        Self::UnixSocket,
        Self::ApiServerAddress,
        Self::NamespaceIdentity,
    ];

    /// Its name, as files and expressions spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chart => "chart",
            Self::Preflight => "preflight",
            Self::Start => "start",
            Self::ConfiguredPullSecrets => "configured-pull-secrets",
            Self::ConfiguredByEnvironment => "configured-by-environment",
            Self::ConfiguredSideload => "configured-sideload",
            Self::ConfiguredSupervisorImage => "configured-supervisor-image",
            Self::ImageVolume => "image-volume",
            Self::InitContainer => "init-container",
            Self::PullSecretOverride => "pull-secret-override",
            Self::SideloadOverride => "sideload-override",
            Self::ImageVolumeDetection => "image-volume-detection",
            Self::PlatformEvents => "platform-events",
            Self::ApiRediscovery => "api-rediscovery",
            Self::StopStart => "stop-start",
            Self::ManagedWorkspaces => "managed-workspaces",
            Self::OperatorWorkspaces => "operator-workspaces",
            Self::DriverConfig => "driver-config",
            Self::ConfiguredPods => "configured-pods",
            Self::WorkspaceVolumes => "workspace-volumes",
            Self::GatewayTokens => "gateway-tokens",
            Self::SidecarTopology => "sidecar-topology",
            Self::UnixSocket => "unix-socket",
            Self::ApiServerAddress => "api-server-address",
            Self::NamespaceIdentity => "namespace-identity",
        }
    }

    /// What a subject that has it can do, as a clause.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Chart => "it has a Helm chart that can be rendered and installed",
            Self::Preflight => "its chart itself looks for the Sandbox API",
            Self::Start => "it is started afresh for each scenario, and seen to end where it must refuse to start",
            Self::ConfiguredPullSecrets => "it can be told the pull secrets of sandboxes that bring none",
            Self::ConfiguredByEnvironment => "it takes the pull secrets from an environment variable",
            Self::ConfiguredSideload => "it can be told how the supervisor comes into sandboxes",
            Self::ConfiguredSupervisorImage => "it can be told the supervisor's image",
            Self::ImageVolume => "it can load the supervisor by image volume",
            Self::InitContainer => "it can load the supervisor by an init container",
            Self::PullSecretOverride => "a sandbox can bring its own pull secrets, which replace the configured ones",
            Self::SideloadOverride => "a sandbox can choose its own side-load method, supervisor image and pull policy",
            Self::ImageVolumeDetection => {
                "it notices that a cluster drops image volumes, before it creates a sandbox that needs one"
            }
            Self::PlatformEvents => "its watch delivers what happens to a sandbox's pod as platform events",
            Self::ApiRediscovery => "it finds out again which API version of the Sandbox is served, without a restart",
            Self::StopStart => "it can stop a sandbox and start it again with its data",
            Self::ManagedWorkspaces => "it makes a namespace of its own for each workspace",
            Self::OperatorWorkspaces => "it takes namespaces that the platform has made for workspaces",
            Self::DriverConfig => "it takes the block `driver_config` of a request",
            Self::ConfiguredPods => {
                "it can be told the service account, the pull policy, the AppArmor profile and the user of its sandboxes"
            }
            Self::WorkspaceVolumes => "it can claim a volume for each sandbox to work in",
            Self::GatewayTokens => "it gives sandboxes a token to show to their gateway",
            Self::SidecarTopology => "it can have a container of its own guard a sandbox's network",
            Self::UnixSocket => "it can listen on a Unix socket",
            Self::ApiServerAddress => "it can be told where its API server is",
            Self::NamespaceIdentity => {
                "it takes a sandbox's user and group from OpenShift's annotations of the namespace where it was told none"
            }
        }
    }

    /// What steps need whatever the scenario says: they tell the driver something, or render its chart.
    pub(crate) fn of_steps(steps: &[Step]) -> BTreeSet<Self> {
        let mut needed = BTreeSet::new();
        for step in steps {
            match step {
                Step::Driver(driver) => of_driver(driver, &mut needed),
                Step::Upgrade(driver) => {
                    needed.insert(Self::Start);
                    of_driver(driver, &mut needed);
                }
                Step::Render(_) | Step::Rights(_) => drop(needed.insert(Self::Chart)),
                Step::Stop(_) | Step::Start(_) => drop(needed.insert(Self::StopStart)),
                Step::Remove(remove) if remove.driver || remove.process => drop(needed.insert(Self::Start)),
                _ => {}
            }
        }
        needed
    }
}

fn of_driver(driver: &DriverStep, needed: &mut BTreeSet<Feature>) {
    if !driver.pull_secrets.is_empty() {
        needed.insert(Feature::ConfiguredPullSecrets);
        match driver.pull_secrets_as {
            PullSecretsAs::Objects => {}
            // Two spellings of one value exist in a chart only.
            PullSecretsAs::Strings => drop(needed.insert(Feature::Chart)),
            PullSecretsAs::Environment => drop(needed.insert(Feature::ConfiguredByEnvironment)),
        }
    }
    match driver.sideload.as_deref() {
        None => {}
        // The choice is the chart's.
        Some("") => drop(needed.insert(Feature::Chart)),
        Some(method) => {
            needed.insert(Feature::ConfiguredSideload);
            match method {
                "image-volume" => drop(needed.insert(Feature::ImageVolume)),
                "init-container" => drop(needed.insert(Feature::InitContainer)),
                _ => {}
            }
        }
    }
    if driver.supervisor_image.is_some() || driver.supervisor_reference.is_some() {
        needed.insert(Feature::ConfiguredSupervisorImage);
    }
    needed.extend(driver.settings.keys().map(|setting| setting.feature()));
    if driver.socket {
        needed.insert(Feature::UnixSocket);
    }
    if driver.through_relay {
        needed.insert(Feature::ApiServerAddress);
    }
    match driver.workspaces {
        WorkspaceMode::Shared => {}
        WorkspaceMode::Managed => drop(needed.insert(Feature::ManagedWorkspaces)),
        WorkspaceMode::Operator => drop(needed.insert(Feature::OperatorWorkspaces)),
    }
    if driver.expect == DriverExpectation::Refused {
        needed.insert(Feature::Start);
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn every_feature_is_listed_once_under_the_name_that_files_spell() {
        let names: BTreeSet<&str> = Feature::ALL.iter().map(|feature| feature.name()).collect();
        assert_eq!(names.len(), Feature::ALL.len());
        for feature in Feature::ALL {
            assert_eq!(serde_json::to_value(feature).unwrap(), feature.name());
        }
    }

    #[rstest]
    #[case("{}", &[])]
    #[case("{pullSecrets: [a]}", &[Feature::ConfiguredPullSecrets])]
    #[case("{pullSecrets: [a], pullSecretsAs: strings}", &[Feature::Chart, Feature::ConfiguredPullSecrets])]
    #[case(
        "{pullSecrets: [a], pullSecretsAs: environment}",
        &[Feature::ConfiguredPullSecrets, Feature::ConfiguredByEnvironment]
    )]
    #[case("{sideload: ''}", &[Feature::Chart])]
    #[case("{sideload: image-volume}", &[Feature::ConfiguredSideload, Feature::ImageVolume])]
    #[case("{sideload: tarball, expect: refused}", &[Feature::Start, Feature::ConfiguredSideload])]
    #[case("{workspaces: managed}", &[Feature::ManagedWorkspaces])]
    #[case("{workspaces: operator, allowed: [team]}", &[Feature::OperatorWorkspaces])]
    #[case("{supervisorImage: other}", &[Feature::ConfiguredSupervisorImage])]
    #[case("{settings: {topology: sidecar, tokenSeconds: 600}}", &[Feature::GatewayTokens, Feature::SidecarTopology])]
    #[case("{socket: true}", &[Feature::UnixSocket])]
    #[case("{throughRelay: true}", &[Feature::ApiServerAddress])]
    fn what_a_driver_is_told_it_must_be_able_to_be_told(#[case] step: &str, #[case] needed: &[Feature]) {
        let driver: DriverStep = crate::yaml::from_str(step).unwrap();
        assert_eq!(Feature::of_steps(&[Step::Driver(driver)]), needed.iter().copied().collect());
    }
}
