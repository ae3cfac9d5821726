//! The settings as they can be told: each has a flag, an environment variable and a key of the configuration file.
//!
//! Names are upstream's, and so is the place of the keys: the table `[openshell.drivers.kubernetes]`.

use std::collections::BTreeMap;
use std::str::FromStr;

use clap::Args;
use serde::Deserialize;

/// Everything that can be told about Kubernetes and sandboxes; what is not told is none.
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// How workspaces map to namespaces: shared, managed or operator [default: shared]
    #[arg(long, env = "OPENSHELL_WORKSPACE_MODE", value_name = "MODE")]
    pub(crate) workspace_mode: Option<String>,

    /// The gateway whose sandboxes this driver owns [default: openshell]
    #[arg(long, env = "OPENSHELL_GATEWAY_ID", value_name = "ID")]
    pub(crate) gateway_id: Option<String>,

    /// Namespace of all sandboxes in mode shared; where secrets are copied from in the other modes [default: default]
    #[arg(long = "sandbox-namespace", env = "OPENSHELL_SANDBOX_NAMESPACE", value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,

    /// Mode operator: the label that a namespace must have, KEY or KEY=VALUE
    #[arg(long, env = "OPENSHELL_OPERATOR_NAMESPACE_LABEL", value_name = "LABEL")]
    pub(crate) operator_namespace_label: Option<String>,

    /// Mode operator: the file with the names of the namespaces that may be used, one a line
    #[arg(long, env = "OPENSHELL_OPERATOR_NAMESPACE_FILE", value_name = "PATH")]
    pub(crate) operator_namespace_file: Option<String>,

    /// Service account of the sandboxes' pods [default: default]
    #[arg(long = "sandbox-service-account", env = "OPENSHELL_K8S_SANDBOX_SERVICE_ACCOUNT", value_name = "NAME")]
    pub(crate) service_account_name: Option<String>,

    /// Image of a sandbox that names none
    #[arg(long = "sandbox-image", env = "OPENSHELL_SANDBOX_IMAGE", value_name = "IMAGE")]
    pub(crate) default_image: Option<String>,

    /// Pull policy of the agent container: `Always`, `IfNotPresent` or `Never`; empty leaves it to Kubernetes
    #[arg(long = "sandbox-image-pull-policy", env = "OPENSHELL_SANDBOX_IMAGE_PULL_POLICY", value_name = "POLICY")]
    pub(crate) image_pull_policy: Option<String>,

    /// Comma-separated names of the pull secrets of a sandbox without an override
    #[arg(
        long = "sandbox-image-pull-secrets",
        env = "OPENSHELL_SANDBOX_IMAGE_PULL_SECRETS",
        value_name = "NAMES",
        value_delimiter = ','
    )]
    pub(crate) image_pull_secrets: Option<Vec<String>>,

    /// The way of a gateway to the SSH port of sandboxes in namespaces that this driver made.
    #[command(flatten)]
    pub(crate) managed_ssh_ingress: ManagedSshSettings,

    /// Callback address of the gateway, put into the pods
    #[arg(long, env = "OPENSHELL_GRPC_ENDPOINT", value_name = "URL")]
    pub(crate) grpc_endpoint: Option<String>,

    /// Path of a sandbox's SSH socket [default: /run/openshell/ssh.sock]
    #[arg(long = "sandbox-ssh-socket-path", env = "OPENSHELL_SANDBOX_SSH_SOCKET_PATH", value_name = "PATH")]
    pub(crate) ssh_socket_path: Option<String>,

    /// Secret with the certificate that sandboxes show to the gateway
    #[arg(long, env = "OPENSHELL_CLIENT_TLS_SECRET_NAME", value_name = "NAME")]
    pub(crate) client_tls_secret_name: Option<String>,

    /// Address that sandboxes reach the gateway's host by
    #[arg(long, env = "OPENSHELL_HOST_GATEWAY_IP", value_name = "ADDRESS")]
    pub(crate) host_gateway_ip: Option<String>,

    /// Image the supervisor comes from
    #[arg(long, env = "OPENSHELL_SUPERVISOR_IMAGE", value_name = "IMAGE")]
    pub(crate) supervisor_image: Option<String>,

    /// Pull policy of the supervisor image: `Always`, `IfNotPresent` or `Never`; empty leaves it to Kubernetes
    #[arg(long, env = "OPENSHELL_SUPERVISOR_IMAGE_PULL_POLICY", value_name = "POLICY")]
    pub(crate) supervisor_image_pull_policy: Option<String>,

    /// How the supervisor gets into a pod: image-volume or init-container [default: image-volume]
    #[arg(long, env = "OPENSHELL_SUPERVISOR_SIDELOAD_METHOD", value_name = "METHOD")]
    pub(crate) supervisor_sideload_method: Option<String>,

    /// Where the supervisor's parts run: combined or sidecar [default: combined]
    #[arg(long, env = "OPENSHELL_K8S_TOPOLOGY", value_name = "TOPOLOGY")]
    pub(crate) topology: Option<String>,

    /// The sidecar of topology `sidecar`.
    #[command(flatten)]
    pub(crate) sidecar: SidecarSettings,

    /// Proxy that the supervisor reaches the outside by
    #[arg(long, env = "OPENSHELL_UPSTREAM_PROXY", value_name = "URL", hide_env_values = true)]
    pub(crate) https_proxy: Option<String>,

    /// What is reached without the proxy
    #[arg(long, env = "OPENSHELL_UPSTREAM_NO_PROXY", value_name = "HOSTS")]
    pub(crate) no_proxy: Option<String>,

    /// Secret with the proxy's credentials
    #[arg(long, env = "OPENSHELL_UPSTREAM_PROXY_AUTH_SECRET_NAME", value_name = "NAME")]
    pub(crate) proxy_auth_secret_name: Option<String>,

    /// Key of that Secret
    #[arg(long, env = "OPENSHELL_UPSTREAM_PROXY_AUTH_SECRET_KEY", value_name = "KEY")]
    pub(crate) proxy_auth_secret_key: Option<String>,

    /// Whether the credentials may be sent over an unencrypted connection [default: false]
    #[arg(long, env = "OPENSHELL_UPSTREAM_PROXY_AUTH_ALLOW_INSECURE", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) proxy_auth_allow_insecure: Option<bool>,

    /// Whether the proxy resolves names [default: false]
    #[arg(long, env = "OPENSHELL_UPSTREAM_PROXY_CONNECT_BY_HOSTNAME", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) proxy_connect_by_hostname: Option<bool>,

    /// Whether pods get a user namespace of their own [default: false]
    #[arg(long, env = "OPENSHELL_ENABLE_USER_NAMESPACES", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) enable_user_namespaces: Option<bool>,

    /// `AppArmor` profile of the agent: `RuntimeDefault`, `Unconfined` or `Localhost/PROFILE`
    #[arg(long, env = "OPENSHELL_K8S_APP_ARMOR_PROFILE", value_name = "PROFILE")]
    pub(crate) app_armor_profile: Option<String>,

    /// Seconds a sandbox's gateway token is valid, kept within 600 and 86400 [default: 3600]
    #[arg(long, env = "OPENSHELL_K8S_SA_TOKEN_TTL_SECS", value_name = "SECONDS")]
    pub(crate) sa_token_ttl_secs: Option<u32>,

    /// Socket of the SPIFFE workload API
    #[arg(long, env = "OPENSHELL_PROVIDER_SPIFFE_WORKLOAD_API_SOCKET", value_name = "PATH")]
    pub(crate) provider_spiffe_workload_api_socket_path: Option<String>,

    /// User of a sandbox's main process [default: 1000]
    #[arg(long, env = "OPENSHELL_K8S_SANDBOX_UID", value_name = "UID")]
    pub(crate) sandbox_uid: Option<u32>,

    /// Group of a sandbox's main process [default: 1000]
    #[arg(long, env = "OPENSHELL_K8S_SANDBOX_GID", value_name = "GID")]
    pub(crate) sandbox_gid: Option<u32>,

    /// Size of the claim for a sandbox's workspace; 0 means none, and then it works in its container [default: 0]
    #[arg(long, env = "OPENSHELL_K8S_WORKSPACE_DEFAULT_STORAGE_SIZE", value_name = "QUANTITY")]
    pub(crate) workspace_default_storage_size: Option<String>,

    /// Storage class of that claim; empty leaves it to the cluster
    #[arg(long, env = "OPENSHELL_K8S_WORKSPACE_STORAGE_CLASS", value_name = "NAME")]
    pub(crate) workspace_storage_class: Option<String>,

    /// Runtime class of a sandbox that names none
    #[arg(long, env = "OPENSHELL_K8S_DEFAULT_RUNTIME_CLASS_NAME", value_name = "NAME")]
    pub(crate) default_runtime_class_name: Option<String>,

    /// Seconds a sandbox's pod may take to end [default: 5]
    #[arg(long, env = "OPENSHELL_K8S_TERMINATION_GRACE_SECONDS", value_name = "SECONDS")]
    pub(crate) termination_grace_seconds: Option<u32>,
}

/// The way of a gateway to the SSH port of sandboxes in namespaces that this driver made.
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ManagedSshSettings {
    /// Mode managed: whether a NetworkPolicy lets the gateway reach the SSH port of sandboxes [default: false]
    #[arg(long = "managed-ssh-ingress-enabled", env = "OPENSHELL_MANAGED_SSH_INGRESS_ENABLED", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) enabled: Option<bool>,

    /// Namespace of the gateway
    #[arg(
        long = "managed-ssh-gateway-namespace",
        env = "OPENSHELL_MANAGED_SSH_GATEWAY_NAMESPACE",
        value_name = "NAMESPACE"
    )]
    pub(crate) gateway_namespace: Option<String>,

    /// Labels of the gateway's pods, KEY=VALUE,…
    #[arg(
        long = "managed-ssh-gateway-pod-selector",
        env = "OPENSHELL_MANAGED_SSH_GATEWAY_POD_SELECTOR",
        value_name = "LABELS"
    )]
    pub(crate) gateway_pod_selector: Option<Labels>,
}

/// The sidecar of topology `sidecar`.
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SidecarSettings {
    /// User of the network sidecar, at least 1000 [default: 1337]
    #[arg(
        long = "sidecar-proxy-uid",
        alias = "proxy-uid",
        env = "OPENSHELL_K8S_SIDECAR_PROXY_UID",
        value_name = "UID"
    )]
    pub(crate) proxy_uid: Option<u32>,

    /// Whether the network policy knows which program asks [default: true]
    #[arg(long = "sidecar-process-binary-aware-network-policy", env = "OPENSHELL_K8S_SIDECAR_PROCESS_BINARY_AWARE_NETWORK_POLICY", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) process_binary_aware_network_policy: Option<bool>,
}

/// Labels: a table in the file, `KEY=VALUE,…` on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Labels(pub(crate) BTreeMap<String, String>);

impl FromStr for Labels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut labels = BTreeMap::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| format!("{pair:?} is not KEY=VALUE; separate pairs by commas"))?;
            labels.insert(key.trim().to_owned(), value.trim().to_owned());
        }
        Ok(Self(labels))
    }
}

/// Takes every field from the first of the two that has it.
macro_rules! first_told {
    ($over:expr, $under:expr, $type:ident { $($field:ident),* ; $($nested:ident),* }) => {{
        let (over, under) = ($over, $under);
        $type {
            $($field: over.$field.or(under.$field),)*
            $($nested: over.$nested.over(under.$nested),)*
        }
    }};
}

impl Settings {
    /// These settings, and those of `under` where nothing is told here.
    pub(crate) fn over(self, under: Self) -> Self {
        first_told!(self, under, Settings {
            workspace_mode, gateway_id, namespace, operator_namespace_label, operator_namespace_file,
            service_account_name, default_image, image_pull_policy, image_pull_secrets, grpc_endpoint, ssh_socket_path,
            client_tls_secret_name, host_gateway_ip, supervisor_image, supervisor_image_pull_policy,
            supervisor_sideload_method, topology, https_proxy, no_proxy, proxy_auth_secret_name, proxy_auth_secret_key,
            proxy_auth_allow_insecure, proxy_connect_by_hostname, enable_user_namespaces, app_armor_profile,
            sa_token_ttl_secs, provider_spiffe_workload_api_socket_path, sandbox_uid, sandbox_gid,
            workspace_default_storage_size, workspace_storage_class, default_runtime_class_name,
            termination_grace_seconds;
            managed_ssh_ingress, sidecar
        })
    }
}

impl ManagedSshSettings {
    fn over(self, under: Self) -> Self {
        first_told!(self, under, ManagedSshSettings { enabled, gateway_namespace, gateway_pod_selector; })
    }
}

impl SidecarSettings {
    fn over(self, under: Self) -> Self {
        first_told!(self, under, SidecarSettings { proxy_uid, process_binary_aware_network_policy; })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_pairs() {
        let labels: Labels = "app=gateway, tier = edge,".parse().unwrap();
        assert_eq!(
            labels.0.into_iter().collect::<Vec<_>>(),
            [("app".to_owned(), "gateway".to_owned()), ("tier".to_owned(), "edge".to_owned())]
        );
        assert!("app".parse::<Labels>().unwrap_err().contains("KEY=VALUE"));
    }

    #[test]
    fn what_is_told_first_wins_even_when_it_is_empty() {
        let flags = Settings {
            image_pull_secrets: Some(Vec::new()),
            sidecar: SidecarSettings { proxy_uid: Some(2000), ..SidecarSettings::default() },
            ..Settings::default()
        };
        let file = Settings {
            image_pull_secrets: Some(vec!["a".to_owned()]),
            gateway_id: Some("g".to_owned()),
            sidecar: SidecarSettings { proxy_uid: Some(1500), process_binary_aware_network_policy: Some(false) },
            ..Settings::default()
        };
        let told = flags.over(file);
        assert_eq!(told.image_pull_secrets, Some(Vec::new()));
        assert_eq!(told.gateway_id.as_deref(), Some("g"));
        assert_eq!(told.sidecar.proxy_uid, Some(2000));
        assert_eq!(told.sidecar.process_binary_aware_network_policy, Some(false));
    }
}
