//! What every sandbox's pod is built from, unless its request says otherwise.

use std::collections::BTreeMap;

use super::{PullPolicy, SideloadMethod};
use crate::pod::settings::PodSettings;

/// The image of a sandbox that names none (upstream's default).
pub const DEFAULT_SANDBOX_IMAGE: &str = "ghcr.io/nvidia/openshell-community/sandboxes/base:latest";
/// The repository of the supervisor image (upstream's default); the tag is the driver's version.
pub const DEFAULT_SUPERVISOR_REPOSITORY: &str = "ghcr.io/nvidia/openshell/supervisor";
/// Where a sandbox's SSH socket is (upstream's default).
pub const DEFAULT_SSH_SOCKET_PATH: &str = "/run/openshell/ssh.sock";
/// The user and group of a sandbox's main process (upstream's default).
pub const DEFAULT_SANDBOX_ID: u32 = 1000;
/// How long a sandbox's pod may take to end after it was told to, in seconds.
///
/// Kubernetes' default is 30; the supervisor ends at the first SIGTERM, so a longer grace only delays a stuck pod.
pub const DEFAULT_TERMINATION_GRACE_SECONDS: u32 = 5;

/// What every sandbox's pod is built from, unless its request says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxDefaults {
    /// The namespace of all sandboxes in mode `shared`; in the others, where secrets are copied from.
    pub namespace: String,
    /// The pods' service account.
    pub service_account: String,
    /// The image of a sandbox that names none.
    pub image: String,
    /// The pull policy of the agent container; none leaves it to Kubernetes.
    pub image_pull_policy: Option<PullPolicy>,
    /// The names of the pull secrets of a sandbox without an override, in order, without duplicates.
    pub image_pull_secrets: Vec<String>,
    /// The image the supervisor comes from.
    pub supervisor_image: String,
    /// The pull policy of the supervisor image; none leaves it to Kubernetes.
    pub supervisor_image_pull_policy: Option<PullPolicy>,
    /// How the supervisor gets into a pod.
    pub sideload: SideloadMethod,
    /// The gateway's callback address; without it a pod gets no gateway token either.
    pub grpc_endpoint: Option<String>,
    /// The path of a sandbox's SSH socket.
    pub ssh_socket_path: String,
    /// The user of a sandbox's main process.
    pub user_id: u32,
    /// The group of a sandbox's main process.
    pub group_id: u32,
    /// Whether the user was told; otherwise the namespace may have one for it.
    pub user_is_told: bool,
    /// Whether the group was told.
    pub group_is_told: bool,
    /// What the namespace of a sandbox says of its users; its object has a copy. Never configured.
    pub namespace_annotations: BTreeMap<String, String>,
    /// The runtime class of a sandbox that names none.
    pub runtime_class_name: Option<String>,
    /// How long a pod may take to end, in seconds.
    pub termination_grace_seconds: u32,
    /// What it is built from beyond that.
    pub pod: PodSettings,
}

impl Default for SandboxDefaults {
    fn default() -> Self {
        Self {
            namespace: super::DEFAULT_NAMESPACE.to_owned(),
            service_account: "default".to_owned(),
            image: DEFAULT_SANDBOX_IMAGE.to_owned(),
            image_pull_policy: None,
            image_pull_secrets: Vec::new(),
            supervisor_image: format!("{DEFAULT_SUPERVISOR_REPOSITORY}:{}", env!("CARGO_PKG_VERSION")),
            supervisor_image_pull_policy: None,
            sideload: SideloadMethod::ImageVolume,
            grpc_endpoint: None,
            ssh_socket_path: DEFAULT_SSH_SOCKET_PATH.to_owned(),
            user_id: DEFAULT_SANDBOX_ID,
            group_id: DEFAULT_SANDBOX_ID,
            user_is_told: false,
            group_is_told: false,
            namespace_annotations: BTreeMap::new(),
            runtime_class_name: None,
            termination_grace_seconds: DEFAULT_TERMINATION_GRACE_SECONDS,
            pod: PodSettings::default(),
        }
    }
}
