//! The command line and the environment of the driver.

use std::net::SocketAddr;

use clap::Parser;

use crate::config::{
    self, Config, ConfigError, DEFAULT_SANDBOX_ID, DEFAULT_SANDBOX_IMAGE, DEFAULT_SSH_SOCKET_PATH,
    DEFAULT_SUPERVISOR_REPOSITORY, DEFAULT_TERMINATION_GRACE_SECONDS, PullPolicy, SandboxDefaults,
};
use crate::faults::Faults;
use crate::names;

/// A compute driver for Kubernetes that speaks openshell.compute.v1 over gRPC.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Arguments {
    /// Address to serve gRPC on, in plaintext and without authentication.
    #[arg(long, env = "OPENSHELL_COMPUTE_DRIVER_BIND", default_value = sandproof_protocol::DEFAULT_BIND_ADDRESS)]
    bind_address: SocketAddr,

    /// What to log: a level, or a filter such as `info,sandproof_reference_driver=debug`.
    #[arg(long, env = "OPENSHELL_LOG_LEVEL", default_value = "info")]
    pub(crate) log_level: String,

    /// How workspaces map to namespaces; only `shared` is available.
    #[arg(long, env = "OPENSHELL_WORKSPACE_MODE", default_value = "shared")]
    workspace_mode: String,

    /// The gateway whose sandboxes this driver owns.
    #[arg(long, env = "OPENSHELL_GATEWAY_ID", default_value = "openshell")]
    gateway_id: String,

    /// Namespace of all sandboxes.
    #[arg(long, env = "OPENSHELL_SANDBOX_NAMESPACE", default_value = "default")]
    sandbox_namespace: String,

    /// Service account of the sandboxes' pods.
    #[arg(long, env = "OPENSHELL_K8S_SANDBOX_SERVICE_ACCOUNT", default_value = "default")]
    sandbox_service_account: String,

    /// Image of a sandbox that names none.
    #[arg(long, env = "OPENSHELL_SANDBOX_IMAGE", default_value = DEFAULT_SANDBOX_IMAGE)]
    sandbox_image: String,

    /// Pull policy of the agent container: `Always`, `IfNotPresent` or `Never`; empty leaves it to Kubernetes.
    #[arg(long, env = "OPENSHELL_SANDBOX_IMAGE_PULL_POLICY", default_value = "")]
    sandbox_image_pull_policy: String,

    /// Comma-separated names of the pull secrets of a sandbox without an override.
    #[arg(long, env = "OPENSHELL_SANDBOX_IMAGE_PULL_SECRETS", default_value = "")]
    sandbox_image_pull_secrets: String,

    /// Image the supervisor comes from.
    #[arg(long, env = "OPENSHELL_SUPERVISOR_IMAGE", default_value_t = format!("{DEFAULT_SUPERVISOR_REPOSITORY}:{}", env!("CARGO_PKG_VERSION")))]
    supervisor_image: String,

    /// Pull policy of the supervisor image: `Always`, `IfNotPresent` or `Never`; empty leaves it to Kubernetes.
    #[arg(long, env = "OPENSHELL_SUPERVISOR_IMAGE_PULL_POLICY", default_value = "")]
    supervisor_image_pull_policy: String,

    /// How the supervisor gets into a pod: image-volume or init-container.
    #[arg(long, env = "OPENSHELL_SUPERVISOR_SIDELOAD_METHOD", default_value = "image-volume")]
    supervisor_sideload_method: String,

    /// Callback address of the gateway, put into the pods.
    #[arg(long, env = "OPENSHELL_GRPC_ENDPOINT", default_value = "")]
    grpc_endpoint: String,

    /// Path of a sandbox's SSH socket.
    #[arg(long, env = "OPENSHELL_SANDBOX_SSH_SOCKET_PATH", default_value = DEFAULT_SSH_SOCKET_PATH)]
    sandbox_ssh_socket_path: String,

    /// User of a sandbox's main process.
    #[arg(long, env = "OPENSHELL_K8S_SANDBOX_UID", default_value_t = DEFAULT_SANDBOX_ID)]
    sandbox_uid: u32,

    /// Group of a sandbox's main process.
    #[arg(long, env = "OPENSHELL_K8S_SANDBOX_GID", default_value_t = DEFAULT_SANDBOX_ID)]
    sandbox_gid: u32,

    /// Runtime class of a sandbox that names none.
    #[arg(long, env = "OPENSHELL_K8S_DEFAULT_RUNTIME_CLASS_NAME", default_value = "")]
    default_runtime_class_name: String,

    /// Seconds a sandbox's pod may take to end.
    #[arg(long, env = "OPENSHELL_K8S_TERMINATION_GRACE_SECONDS", default_value_t = DEFAULT_TERMINATION_GRACE_SECONDS)]
    termination_grace_seconds: u32,

    /// Switches a fault on; repeat it or separate names by commas.
    #[cfg(feature = "faults")]
    #[arg(long = "fault", env = "OPENSHELL_FAULT", value_delimiter = ',', value_name = "NAME")]
    faults: Vec<String>,

    /// Lists the faults there are and ends.
    #[cfg(feature = "faults")]
    #[arg(long)]
    pub(crate) list_faults: bool,
}

impl Arguments {
    /// Resolves and validates what was told.
    pub(crate) fn resolve(self) -> Result<Config, ConfigError> {
        if self.workspace_mode != "shared" {
            return Err(ConfigError::WorkspaceMode(self.workspace_mode));
        }
        if self.gateway_id.is_empty() {
            return Err(ConfigError::Value { field: "gateway id", found: String::new(), problem: "must not be empty" });
        }
        config::check("gateway id", &self.gateway_id, names::label_value_problem)?;
        let sandbox = SandboxDefaults {
            sideload: self.supervisor_sideload_method.parse()?,
            image_pull_secrets: config::parse_pull_secrets(&self.sandbox_image_pull_secrets)?,
            image_pull_policy: PullPolicy::parse("sandbox image pull policy", &self.sandbox_image_pull_policy)?,
            supervisor_image_pull_policy: PullPolicy::parse(
                "supervisor image pull policy",
                &self.supervisor_image_pull_policy,
            )?,
            namespace: self.sandbox_namespace,
            service_account: self.sandbox_service_account,
            image: self.sandbox_image,
            supervisor_image: self.supervisor_image,
            grpc_endpoint: Some(self.grpc_endpoint).filter(|endpoint| !endpoint.is_empty()),
            ssh_socket_path: self.sandbox_ssh_socket_path,
            user_id: self.sandbox_uid,
            group_id: self.sandbox_gid,
            runtime_class_name: Some(self.default_runtime_class_name).filter(|class| !class.is_empty()),
            termination_grace_seconds: self.termination_grace_seconds,
        };
        sandbox.validate()?;
        #[cfg(feature = "faults")]
        let faults = Faults::named(self.faults.iter().map(|name| name.trim()).filter(|name| !name.is_empty()))
            .map_err(ConfigError::Fault)?;
        #[cfg(not(feature = "faults"))]
        let faults = Faults::none();
        Ok(Config { bind_address: self.bind_address, gateway_id: self.gateway_id, sandbox, faults })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SideloadMethod;

    fn resolve(arguments: &[&str]) -> Result<Config, ConfigError> {
        Arguments::try_parse_from([&["driver"], arguments].concat()).unwrap().resolve()
    }

    #[test]
    fn the_defaults_are_upstreams() {
        let config = resolve(&[]).unwrap();
        assert_eq!(config.bind_address.to_string(), "127.0.0.1:50061");
        assert_eq!(config.gateway_id, "openshell");
        assert_eq!(config.sandbox.namespace, "default");
        assert_eq!(config.sandbox.sideload, SideloadMethod::ImageVolume);
        assert_eq!(config.sandbox.image, DEFAULT_SANDBOX_IMAGE);
        assert!(config.sandbox.image_pull_secrets.is_empty());
    }

    #[test]
    fn an_unknown_sideload_method_is_an_error_with_both_names() {
        let error = resolve(&["--supervisor-sideload-method", "tarball"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown supervisor sideload method 'tarball'; expected 'image-volume' or 'init-container'"
        );
    }

    #[test]
    fn other_workspace_modes_are_refused() {
        assert!(matches!(resolve(&["--workspace-mode", "managed"]), Err(ConfigError::WorkspaceMode(_))));
    }
}
