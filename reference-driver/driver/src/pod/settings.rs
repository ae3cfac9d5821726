//! What the driver was told about every pod beyond its images, its pull secrets and how the supervisor gets into it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::config::{ConfigError, check};
use crate::names;
use crate::quantity::{self, Quantity};

/// The size of a sandbox's workspace volume: no volume.
///
/// Upstream's default is 2Gi. A cluster that cannot provide volumes by itself would never run a sandbox with it.
pub const DEFAULT_WORKSPACE_SIZE: &str = "0";
/// The user and group of the network container in the sidecar topology (upstream's default).
pub const DEFAULT_PROXY_ID: u32 = 1337;
/// The smallest user of the network container (upstream's rule).
const PROXY_ID_MINIMUM: u32 = 1000;
/// How long the gateway token is valid, in seconds (upstream's default).
pub const DEFAULT_TOKEN_SECONDS: u32 = 3600;
/// The shortest and the longest validity of the gateway token, in seconds (upstream's bounds; Kubernetes' own minimum is 600).
const TOKEN_SECONDS: (u32, u32) = (600, 86_400);

/// What every pod is built from, unless its request says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSettings {
    /// The volume a sandbox works in; none means the container's own file system.
    pub workspace: Option<WorkspaceVolume>,
    /// Which containers a sandbox consists of.
    pub topology: Topology,
    /// The network container of the sidecar topology.
    pub sidecar: Sidecar,
    /// Whether pods get a user namespace of their own.
    pub user_namespaces: bool,
    /// The `AppArmor` profile of the agent container; none leaves it to Kubernetes.
    pub app_armor: Option<AppArmorProfile>,
    /// How long the gateway token is valid, in seconds.
    pub token_seconds: u32,
    /// The Secret with the TLS client's certificate and key.
    pub client_tls_secret: Option<String>,
    /// The address that `host.docker.internal` and `host.openshell.internal` have in a sandbox.
    pub host_gateway: Option<IpAddr>,
    /// The proxy through which a sandbox's traffic leaves.
    pub proxy: Option<UpstreamProxy>,
    /// The socket of the SPIFFE Workload API; its directory comes from the CSI driver `csi.spiffe.io`.
    pub spiffe_socket: Option<String>,
}

/// The volume a sandbox works in, claimed anew for each sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceVolume {
    /// How much storage is claimed, as a Kubernetes quantity.
    pub size: String,
    /// The storage class; none leaves it to the cluster's default.
    pub storage_class: Option<String>,
}

/// Which containers a sandbox consists of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Topology {
    /// One container, in which the supervisor builds everything.
    #[default]
    Combined,
    /// A container with the network's rights beside an agent without any.
    Sidecar,
}

/// The network container of the sidecar topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sidecar {
    /// Its user and group, at least 1000.
    pub proxy_id: u32,
    /// Whether its rules look at the program behind a connection; it needs root and two capabilities for that.
    pub process_binary_aware: bool,
}

/// An `AppArmor` profile as Kubernetes knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppArmorProfile {
    /// The runtime's own.
    RuntimeDefault,
    /// None.
    Unconfined,
    /// One that is loaded on the node.
    Localhost(String),
}

/// The proxy through which a sandbox's traffic leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamProxy {
    /// Its address.
    pub url: String,
    /// Hosts that are reached without it, separated by commas.
    pub no_proxy: Option<String>,
    /// The Secret with its credentials and the key in it.
    pub credentials: Option<ProxyCredentials>,
    /// Whether credentials may be sent in the clear.
    pub allow_insecure: bool,
    /// Whether the proxy resolves names.
    pub connect_by_hostname: bool,
}

/// Where a proxy's credentials are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyCredentials {
    /// The Secret's name.
    pub secret: String,
    /// The key in it.
    pub key: String,
}

impl Default for PodSettings {
    fn default() -> Self {
        Self {
            workspace: None,
            topology: Topology::default(),
            sidecar: Sidecar::default(),
            user_namespaces: false,
            app_armor: None,
            token_seconds: DEFAULT_TOKEN_SECONDS,
            client_tls_secret: None,
            host_gateway: None,
            proxy: None,
            spiffe_socket: None,
        }
    }
}

impl Default for Sidecar {
    fn default() -> Self {
        Self { proxy_id: DEFAULT_PROXY_ID, process_binary_aware: true }
    }
}

impl PodSettings {
    /// Refuses values that would only fail at the first sandbox; `user_id` is the one of a sandbox's main process.
    pub fn validate(&self, user_id: u32) -> Result<(), ConfigError> {
        if let Some(workspace) = &self.workspace {
            check("workspace_default_storage_size", &workspace.size, size_problem)?;
            if let Some(class) = &workspace.storage_class {
                check("workspace_storage_class", class, names::subdomain_problem)?;
            }
        }
        if self.sidecar.proxy_id < PROXY_ID_MINIMUM {
            return Err(refused("proxy_uid", self.sidecar.proxy_id, "must be at least 1000"));
        }
        if self.topology == Topology::Sidecar && user_id == 0 {
            return Err(refused("sandbox_uid", user_id, "must not be 0 in topology sidecar, whose agent is not root"));
        }
        if let Some(AppArmorProfile::Localhost(profile)) = &self.app_armor {
            check("app_armor_profile", profile, profile_problem)?;
        }
        if let Some(secret) = &self.client_tls_secret {
            check("client_tls_secret_name", secret, names::subdomain_problem)?;
        }
        if let Some(proxy) = &self.proxy {
            proxy.validate()?;
        }
        if let Some(socket) = &self.spiffe_socket {
            check("provider_spiffe_workload_api_socket_path", socket, socket_problem)?;
        }
        Ok(())
    }
}

impl UpstreamProxy {
    fn validate(&self) -> Result<(), ConfigError> {
        check("https_proxy", &self.url, |url| {
            let host = ["http://", "https://"].iter().find_map(|scheme| url.strip_prefix(scheme));
            match host {
                Some(host) if !host.is_empty() && !host.contains(char::is_whitespace) => None,
                _ => Some("must be http://HOST[:PORT] or https://HOST[:PORT]"),
            }
        })?;
        if let Some(credentials) = &self.credentials {
            check("proxy_auth_secret_name", &credentials.secret, names::subdomain_problem)?;
            check("proxy_auth_secret_key", &credentials.key, names::secret_key_problem)?;
            if self.url.starts_with("http://") && !self.allow_insecure {
                return Err(refused(
                    "https_proxy",
                    &self.url,
                    "must be https://, or proxy_auth_allow_insecure must be set, because it gets credentials",
                ));
            }
        }
        Ok(())
    }
}

/// The validity of the gateway token within upstream's bounds.
pub fn clamped_token_seconds(seconds: u32) -> u32 {
    seconds.clamp(TOKEN_SECONDS.0, TOKEN_SECONDS.1)
}

impl FromStr for Topology {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        match text {
            "combined" => Ok(Self::Combined),
            "sidecar" => Ok(Self::Sidecar),
            other => Err(refused("topology", other, "must be 'combined' or 'sidecar'")),
        }
    }
}

impl FromStr for AppArmorProfile {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        match text {
            "RuntimeDefault" => Ok(Self::RuntimeDefault),
            "Unconfined" => Ok(Self::Unconfined),
            other => match other.strip_prefix("Localhost/") {
                Some(profile) => Ok(Self::Localhost(profile.to_owned())),
                None => Err(refused(
                    "app_armor_profile",
                    other,
                    "must be 'RuntimeDefault', 'Unconfined' or 'Localhost/' and a profile's name",
                )),
            },
        }
    }
}

fn refused(field: &'static str, found: impl fmt::Display, problem: &'static str) -> ConfigError {
    ConfigError::Value { field, found: found.to_string(), problem }
}

fn size_problem(size: &str) -> Option<&'static str> {
    quantity::problem(size).or_else(|| {
        let is_zero = size.parse::<Quantity>().is_ok_and(Quantity::is_zero);
        is_zero.then_some("must be more than 0")
    })
}

/// Kubernetes 1.30: not blank, no blanks around it, at most 4095 bytes.
fn profile_problem(profile: &str) -> Option<&'static str> {
    let is_good = !profile.is_empty() && profile.trim() == profile && profile.len() <= 4095;
    (!is_good).then_some("must be the name of a profile, without blanks around it")
}

fn socket_problem(path: &str) -> Option<&'static str> {
    let is_good = path.starts_with('/')
        && !path.ends_with('/')
        && path.matches('/').count() > 1
        && !path.contains(':')
        && path.split('/').all(|part| part != "..");
    (!is_good).then_some("must be an absolute path of a socket in a directory, without '..' and ':'")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(PodSettings::default().validate(1000), Ok(()));
    }

    #[rstest]
    #[case::size(PodSettings { workspace: Some(WorkspaceVolume { size: "lots".to_owned(), storage_class: None }), ..PodSettings::default() }, "storage_size 'lots'")]
    #[case::no_size(PodSettings { workspace: Some(WorkspaceVolume { size: "0Gi".to_owned(), storage_class: None }), ..PodSettings::default() }, "more than 0")]
    #[case::class(PodSettings { workspace: Some(WorkspaceVolume { size: "1Gi".to_owned(), storage_class: Some("A_b".to_owned()) }), ..PodSettings::default() }, "storage_class 'A_b'")]
    #[case::proxy_id(PodSettings { sidecar: Sidecar { proxy_id: 999, process_binary_aware: true }, ..PodSettings::default() }, "at least 1000")]
    #[case::profile(PodSettings { app_armor: Some(AppArmorProfile::Localhost(String::new())), ..PodSettings::default() }, "name of a profile")]
    #[case::tls(PodSettings { client_tls_secret: Some("-".to_owned()), ..PodSettings::default() }, "client_tls_secret_name '-'")]
    #[case::socket(PodSettings { spiffe_socket: Some("/socket".to_owned()), ..PodSettings::default() }, "socket in a directory")]
    #[case::proxy(PodSettings { proxy: Some(UpstreamProxy { url: "proxy:3128".to_owned(), ..UpstreamProxy::default() }), ..PodSettings::default() }, "http://HOST")]
    fn what_would_fail_later_is_refused_at_start(#[case] settings: PodSettings, #[case] expected: &str) {
        let error = settings.validate(1000).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn an_agent_without_rights_is_not_root() {
        let settings = PodSettings { topology: Topology::Sidecar, ..PodSettings::default() };
        assert!(settings.validate(0).is_err());
        assert_eq!(settings.validate(1000), Ok(()));
    }

    #[test]
    fn credentials_are_not_sent_in_the_clear_unless_told_so() {
        let credentials = Some(ProxyCredentials { secret: "proxy".to_owned(), key: "password".to_owned() });
        let proxy = |url: &str, allow_insecure| UpstreamProxy {
            url: url.to_owned(),
            credentials: credentials.clone(),
            allow_insecure,
            ..UpstreamProxy::default()
        };
        let outcome = |proxy| PodSettings { proxy: Some(proxy), ..PodSettings::default() }.validate(1000);
        assert!(outcome(proxy("http://proxy:3128", false)).is_err());
        assert_eq!(outcome(proxy("http://proxy:3128", true)), Ok(()));
        assert_eq!(outcome(proxy("https://proxy:3128", false)), Ok(()));
    }

    #[rstest]
    #[case("RuntimeDefault", Some(AppArmorProfile::RuntimeDefault))]
    #[case("Unconfined", Some(AppArmorProfile::Unconfined))]
    #[case("Localhost/a/b", Some(AppArmorProfile::Localhost("a/b".to_owned())))]
    #[case("runtime/default", None)]
    #[case("", None)]
    fn profiles(#[case] text: &str, #[case] expected: Option<AppArmorProfile>) {
        assert_eq!(text.parse().ok(), expected);
    }

    #[rstest]
    #[case(0, 600)]
    #[case(3600, 3600)]
    #[case(u32::MAX, 86_400)]
    fn the_tokens_validity_is_clamped(#[case] asked: u32, #[case] expected: u32) {
        assert_eq!(clamped_token_seconds(asked), expected);
    }
}
