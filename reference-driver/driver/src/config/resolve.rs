//! From what was told to what it means: defaults filled in, rules held.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use super::settings::ManagedSshSettings;
use super::{
    AllowList, ConfigError, DEFAULT_GATEWAY_ID, ManagedSsh, NamespaceLabel, PullPolicy, SandboxDefaults, Settings,
    WorkspaceMode,
};
use crate::faults::Faults;
use crate::image_reference::reference_problem;
use crate::names;
use crate::pod::settings::{
    DEFAULT_TOKEN_SECONDS, DEFAULT_WORKSPACE_SIZE, PodSettings, ProxyCredentials, Sidecar, UpstreamProxy,
    WorkspaceVolume, clamped_token_seconds,
};
use crate::quantity::Quantity;

/// The gateway's identifier, a label's value.
pub(crate) fn parse_gateway_id(told: Option<String>, mode: &WorkspaceMode) -> Result<String, ConfigError> {
    const FIELD: &str = "gateway_id";
    let gateway_id = told.unwrap_or_else(|| DEFAULT_GATEWAY_ID.to_owned());
    if gateway_id.is_empty() {
        return Err(ConfigError::Value { field: FIELD, found: gateway_id, problem: "must not be empty" });
    }
    check(FIELD, &gateway_id, names::label_value_problem)?;
    // It becomes a part of the names of namespaces.
    if *mode == WorkspaceMode::Managed {
        check(FIELD, &gateway_id, names::label_problem)?;
    }
    Ok(gateway_id)
}

impl Settings {
    /// How workspaces map to namespaces.
    pub(crate) fn workspaces(&self) -> Result<WorkspaceMode, ConfigError> {
        let mode = self.workspace_mode.as_deref().unwrap_or("shared");
        let label = told(self.operator_namespace_label.as_ref());
        let file = told(self.operator_namespace_file.as_ref());
        if mode != "operator" {
            for (field, value) in [("operator_namespace_label", &label), ("operator_namespace_file", &file)] {
                if value.is_some() {
                    return Err(ConfigError::Setting { field, problem: "is for workspace mode operator only" });
                }
            }
        }
        match mode {
            "shared" => Ok(WorkspaceMode::Shared),
            "managed" => Ok(WorkspaceMode::Managed),
            "operator" => {
                let label = label.as_deref().map(namespace_label).transpose()?;
                let file = file.map(PathBuf::from);
                if label.is_none() && file.is_none() {
                    return Err(ConfigError::Setting {
                        field: "workspace_mode",
                        problem: "operator needs operator_namespace_label or operator_namespace_file: without either no namespace could be used",
                    });
                }
                Ok(WorkspaceMode::Operator(AllowList { label, file }))
            }
            other => Err(ConfigError::Name {
                field: "workspace_mode",
                found: other.to_owned(),
                expected: "'shared', 'managed' or 'operator'",
            }),
        }
    }

    /// Who may reach the SSH port of sandboxes.
    pub(crate) fn managed_ssh(&self) -> Result<Option<ManagedSsh>, ConfigError> {
        let ManagedSshSettings { enabled, gateway_namespace, gateway_pod_selector } = &self.managed_ssh_ingress;
        if !enabled.unwrap_or(false) {
            return Ok(None);
        }
        let namespace = told(gateway_namespace.as_ref()).ok_or(ConfigError::Setting {
            field: "gateway_namespace",
            problem: "is required with managed_ssh_ingress",
        })?;
        check("gateway_namespace", &namespace, names::label_problem)?;
        let selector = gateway_pod_selector.clone().unwrap_or_default().0;
        // An empty selector would let every pod of that namespace in.
        if selector.is_empty() {
            return Err(ConfigError::Setting {
                field: "gateway_pod_selector",
                problem: "is required with managed_ssh_ingress, and must not be empty",
            });
        }
        for (key, value) in &selector {
            check("gateway_pod_selector", key, names::label_key_problem)?;
            check("gateway_pod_selector", value, names::label_value_problem)?;
        }
        Ok(Some(ManagedSsh { gateway_namespace: namespace, gateway_pod_selector: selector }))
    }

    /// What every sandbox's pod is built from.
    pub(crate) fn sandbox(&self, faults: &Faults) -> Result<SandboxDefaults, ConfigError> {
        let otherwise = SandboxDefaults::default();
        let text = |told: &Option<String>, otherwise: String| told.clone().unwrap_or(otherwise);
        let defaults = SandboxDefaults {
            namespace: text(&self.namespace, otherwise.namespace),
            service_account: text(&self.service_account_name, otherwise.service_account),
            image: text(&self.default_image, otherwise.image),
            image_pull_policy: PullPolicy::parse("image_pull_policy", self.image_pull_policy.as_deref().unwrap_or(""))?,
            image_pull_secrets: pull_secrets(self.image_pull_secrets.as_deref().unwrap_or_default(), faults)?,
            supervisor_image: text(&self.supervisor_image, otherwise.supervisor_image),
            supervisor_image_pull_policy: PullPolicy::parse(
                "supervisor_image_pull_policy",
                self.supervisor_image_pull_policy.as_deref().unwrap_or(""),
            )?,
            sideload: match named(self.supervisor_sideload_method.as_ref(), otherwise.sideload) {
                Err(_) if faults.accepts_unknown_sideload() => otherwise.sideload,
                method => method?,
            },
            grpc_endpoint: told(self.grpc_endpoint.as_ref()),
            ssh_socket_path: text(&self.ssh_socket_path, otherwise.ssh_socket_path),
            user_id: self.sandbox_uid.unwrap_or(otherwise.user_id),
            group_id: self.sandbox_gid.unwrap_or(otherwise.group_id),
            user_is_told: self.sandbox_uid.is_some(),
            group_is_told: self.sandbox_gid.is_some(),
            namespace_annotations: otherwise.namespace_annotations,
            runtime_class_name: told(self.default_runtime_class_name.as_ref()),
            termination_grace_seconds: self.termination_grace_seconds.unwrap_or(otherwise.termination_grace_seconds),
            pod: self.pod()?,
        };
        hold_rules(&defaults, faults)?;
        Ok(defaults)
    }

    fn pod(&self) -> Result<PodSettings, ConfigError> {
        let sidecar = Sidecar::default();
        let host_gateway = told(self.host_gateway_ip.as_ref()).map(|text| {
            IpAddr::from_str(&text).map_err(|_| ConfigError::Value {
                field: "host_gateway_ip",
                found: text,
                problem: "must be an IP address",
            })
        });
        Ok(PodSettings {
            workspace: self.workspace(),
            topology: named(self.topology.as_ref(), PodSettings::default().topology)?,
            sidecar: Sidecar {
                proxy_id: self.sidecar.proxy_uid.unwrap_or(sidecar.proxy_id),
                process_binary_aware: self
                    .sidecar
                    .process_binary_aware_network_policy
                    .unwrap_or(sidecar.process_binary_aware),
            },
            user_namespaces: self.enable_user_namespaces.unwrap_or(false),
            app_armor: told(self.app_armor_profile.as_ref()).map(|text| text.parse()).transpose()?,
            token_seconds: clamped_token_seconds(self.sa_token_ttl_secs.unwrap_or(DEFAULT_TOKEN_SECONDS)),
            client_tls_secret: told(self.client_tls_secret_name.as_ref()),
            host_gateway: host_gateway.transpose()?,
            proxy: self.proxy()?,
            spiffe_socket: told(self.provider_spiffe_workload_api_socket_path.as_ref()),
        })
    }

    /// An empty size, or none at all, means no volume.
    fn workspace(&self) -> Option<WorkspaceVolume> {
        let size = self.workspace_default_storage_size.as_deref().unwrap_or(DEFAULT_WORKSPACE_SIZE);
        if size.is_empty() || size.parse().is_ok_and(Quantity::is_zero) {
            return None;
        }
        Some(WorkspaceVolume { size: size.to_owned(), storage_class: told(self.workspace_storage_class.as_ref()) })
    }

    fn proxy(&self) -> Result<Option<UpstreamProxy>, ConfigError> {
        let credentials = match (told(self.proxy_auth_secret_name.as_ref()), told(self.proxy_auth_secret_key.as_ref()))
        {
            (None, None) => None,
            (Some(secret), Some(key)) => Some(ProxyCredentials { secret, key }),
            (Some(_), None) => {
                return Err(ConfigError::Setting {
                    field: "proxy_auth_secret_key",
                    problem: "is required with proxy_auth_secret_name",
                });
            }
            (None, Some(_)) => {
                return Err(ConfigError::Setting {
                    field: "proxy_auth_secret_name",
                    problem: "is required with proxy_auth_secret_key",
                });
            }
        };
        let Some(url) = told(self.https_proxy.as_ref()) else {
            return match credentials {
                None => Ok(None),
                Some(_) => Err(ConfigError::Setting {
                    field: "https_proxy",
                    problem: "is required with proxy_auth_secret_name",
                }),
            };
        };
        let authority = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            // The value is not repeated: it has a password in it.
            return Err(ConfigError::Setting {
                field: "https_proxy",
                problem: "must not contain credentials; put them into a Secret and name it with proxy_auth_secret_name",
            });
        }
        Ok(Some(UpstreamProxy {
            url,
            no_proxy: told(self.no_proxy.as_ref()),
            credentials,
            allow_insecure: self.proxy_auth_allow_insecure.unwrap_or(false),
            connect_by_hostname: self.proxy_connect_by_hostname.unwrap_or(false),
        }))
    }
}

/// Refuses values that would only fail at the first sandbox.
fn hold_rules(defaults: &SandboxDefaults, faults: &Faults) -> Result<(), ConfigError> {
    check("namespace", &defaults.namespace, names::label_problem)?;
    check("service_account_name", &defaults.service_account, names::subdomain_problem)?;
    check("default_image", &defaults.image, reference_problem)?;
    if !faults.accepts_bad_reference() {
        check("supervisor_image", &defaults.supervisor_image, reference_problem)?;
    }
    check("ssh_socket_path", &defaults.ssh_socket_path, absolute_problem)?;
    if let Some(class) = &defaults.runtime_class_name {
        check("default_runtime_class_name", class, names::subdomain_problem)?;
    }
    defaults.pod.validate(defaults.user_id)
}

/// Names in order: trimmed, blanks dropped, a repeated name kept once.
///
/// Repetitions go because the Sandbox's schema keys the list by name and would refuse it.
fn pull_secrets(told: &[String], faults: &Faults) -> Result<Vec<String>, ConfigError> {
    let mut kept: Vec<String> = Vec::new();
    if faults.trims_in_pods_only() {
        kept.extend(told.iter().filter(|name| !name.trim().is_empty()).cloned());
        return Ok(kept);
    }
    for name in told.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        check("image_pull_secrets", name, names::subdomain_problem)?;
        if !kept.iter().any(|known| known == name) {
            kept.push(name.to_owned());
        }
    }
    Ok(kept)
}

fn namespace_label(text: &str) -> Result<NamespaceLabel, ConfigError> {
    const FIELD: &str = "operator_namespace_label";
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (text, None),
    };
    check(FIELD, key, names::label_key_problem)?;
    if let Some(value) = value {
        check(FIELD, value, names::label_value_problem)?;
    }
    Ok(NamespaceLabel { key: key.to_owned(), value: value.map(str::to_owned) })
}

fn named<T: FromStr<Err = ConfigError>>(told: Option<&String>, otherwise: T) -> Result<T, ConfigError> {
    told.map_or(Ok(otherwise), |text| text.parse())
}

/// What was told, unless it is empty: an empty environment variable means nothing.
fn told(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}

fn absolute_problem(path: &str) -> Option<&'static str> {
    (!path.starts_with('/')).then_some("must be an absolute path")
}

/// Refuses a setting that breaks its rule.
pub(crate) fn check(
    field: &'static str,
    value: &str,
    rule: impl Fn(&str) -> Option<&'static str>,
) -> Result<(), ConfigError> {
    match rule(value) {
        None => Ok(()),
        Some(problem) => Err(ConfigError::Value { field, found: value.to_owned(), problem }),
    }
}

#[cfg(test)]
mod tests;
