//! The containers of a sandbox's pod.

use serde_json::{Map, Value, json};

use super::{
    AGENT_CONTAINER, CAPABILITIES, INSTALL_CONTAINER, SUPERVISOR_DIRECTORY, SUPERVISOR_IN_IMAGE, SUPERVISOR_PATH,
    SUPERVISOR_VOLUME, Template, USER_NAMESPACE_CAPABILITIES, WORK_DIRECTORY, environment, insert, set_policy,
    settings::AppArmorProfile,
    sidecar,
    volumes::{PROXY_AUTH_DIRECTORY, supervisor_mount},
};
use crate::config::{PullPolicy, SideloadMethod};
use crate::request::SandboxRequest;

impl Template<'_> {
    /// In the order in which they run (upstream's).
    pub(super) fn init_containers(&self, request: &SandboxRequest) -> Vec<Value> {
        let mut containers = Vec::new();
        if self.sideload(request) == SideloadMethod::InitContainer {
            containers.push(self.install_container(request));
        }
        if self.is_sidecar() {
            containers.push(self.network_init_container(request));
        }
        containers.extend(self.workspace_container(request));
        containers
    }

    pub(super) fn containers(&self, request: &SandboxRequest) -> Vec<Value> {
        let mut containers = vec![self.agent_container(request)];
        if self.is_sidecar() {
            containers.push(self.network_container(request));
        }
        containers
    }

    /// A container of the supervisor image.
    pub(super) fn of_supervisor_image(&self, request: &SandboxRequest, mut container: Value) -> Value {
        insert(&mut container, "image", json!(self.supervisor_image(request)));
        set_policy(&mut container, "imagePullPolicy", self.supervisor_policy(request));
        container
    }

    /// A container of the agent image.
    pub(super) fn of_agent_image(&self, request: &SandboxRequest, mut container: Value) -> Value {
        insert(&mut container, "image", json!(request.image.as_deref().unwrap_or(&self.defaults.image)));
        let mut policy = self.defaults.image_pull_policy.filter(|_| !self.faults.ignores_pull_policy());
        if self.faults.always_pulls() {
            policy = Some(PullPolicy::Always);
        }
        set_policy(&mut container, "imagePullPolicy", policy);
        container
    }

    /// How the supervisor is told about the proxy.
    pub(super) fn proxy_arguments(&self) -> Vec<String> {
        let Some(proxy) = &self.defaults.pod.proxy else {
            return Vec::new();
        };
        let mut arguments = vec!["--upstream-proxy".to_owned(), proxy.url.clone()];
        if let Some(hosts) = &proxy.no_proxy {
            arguments.extend(["--upstream-no-proxy".to_owned(), hosts.clone()]);
        }
        if let Some(credentials) = &proxy.credentials {
            let file = format!("{PROXY_AUTH_DIRECTORY}/{}", credentials.key);
            arguments.extend(["--upstream-proxy-auth-file".to_owned(), file]);
        }
        if proxy.allow_insecure {
            arguments.push("--upstream-proxy-auth-allow-insecure".to_owned());
        }
        if proxy.connect_by_hostname {
            arguments.push("--upstream-proxy-connect-by-hostname".to_owned());
        }
        arguments
    }

    fn install_container(&self, request: &SandboxRequest) -> Value {
        let container = json!({
            "name": INSTALL_CONTAINER,
            "command": [SUPERVISOR_IN_IMAGE, "copy-self", SUPERVISOR_PATH],
            "securityContext": { "runAsUser": 0 },
            "volumeMounts": [{ "name": SUPERVISOR_VOLUME, "mountPath": SUPERVISOR_DIRECTORY }],
        });
        self.of_supervisor_image(request, container)
    }

    fn agent_container(&self, request: &SandboxRequest) -> Value {
        let mut command = vec![SUPERVISOR_PATH.to_owned()];
        let mut mounts = vec![supervisor_mount(!self.faults.mounts_writable())];
        if self.faults.mounts_elsewhere() {
            command[0] = SUPERVISOR_PATH.replace("/bin/", "/elsewhere/");
            mounts[0]["mountPath"] = json!(SUPERVISOR_DIRECTORY.replace("/bin", "/elsewhere"));
        }
        if self.is_sidecar() {
            command.push("--mode=process".to_owned());
            mounts.push(json!({ "name": sidecar::STATE_VOLUME, "mountPath": sidecar::STATE_DIRECTORY }));
        } else {
            mounts.extend(self.gateway_mounts());
        }
        command.extend(["--workdir".to_owned(), WORK_DIRECTORY.to_owned()]);
        if !self.is_sidecar() {
            command.extend(self.proxy_arguments());
        }
        mounts.extend(self.user_mounts(request));
        let mut container = json!({
            "name": AGENT_CONTAINER,
            "command": command,
            "env": environment::of_agent(self.defaults, request),
            "securityContext": self.agent_security(request),
            "volumeMounts": mounts,
        });
        let resources = request.agent_resources();
        if !resources.is_empty() && !self.faults.ignores_resources() {
            let mut rendered = Map::new();
            for (key, quantities) in [("requests", &resources.requests), ("limits", &resources.limits)] {
                if !quantities.is_empty() {
                    rendered.insert(key.to_owned(), json!(quantities));
                }
            }
            insert(&mut container, "resources", Value::Object(rendered));
        }
        self.of_agent_image(request, container)
    }

    fn agent_security(&self, request: &SandboxRequest) -> Value {
        let mut security = if self.is_sidecar() && !self.faults.runs_agent_as_root() {
            json!({
                "runAsUser": self.defaults.user_id,
                "runAsGroup": self.defaults.group_id,
                "runAsNonRoot": true,
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
            })
        } else {
            let mut capabilities = CAPABILITIES.to_vec();
            if self.faults.drops_capability() {
                capabilities.pop();
            }
            if self.has_user_namespace(request) {
                capabilities.extend(USER_NAMESPACE_CAPABILITIES);
            }
            json!({ "runAsUser": 0, "capabilities": { "add": capabilities } })
        };
        if let Some(profile) = self.defaults.pod.app_armor.as_ref().filter(|_| !self.faults.ignores_app_armor()) {
            let profile = match profile {
                AppArmorProfile::RuntimeDefault => json!({ "type": "RuntimeDefault" }),
                AppArmorProfile::Unconfined => json!({ "type": "Unconfined" }),
                AppArmorProfile::Localhost(name) => json!({ "type": "Localhost", "localhostProfile": name }),
            };
            insert(&mut security, "appArmorProfile", profile);
        }
        security
    }
}
