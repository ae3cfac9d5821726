//! The volumes of a sandbox's pod, and where the agent sees them.

use serde_json::{Value, json};

use super::{
    SUPERVISOR_DIRECTORY, SUPERVISOR_VOLUME, Template, WORK_DIRECTORY, WORKSPACE_VOLUME, insert, set_policy,
    settings::{DEFAULT_TOKEN_SECONDS, ProxyCredentials},
    sidecar,
};
use crate::config::SideloadMethod;
use crate::request::SandboxRequest;

/// The volume with the token a sandbox shows to the gateway.
pub(super) const TOKEN: &str = "openshell-sa-token";
pub(super) const TOKEN_DIRECTORY: &str = "/var/run/secrets/openshell";
/// The token's file in its volume.
pub(super) const TOKEN_FILE: &str = "token";
/// Who the token is for; the gateway asks for this one.
const TOKEN_AUDIENCE: &str = "openshell-gateway";
/// The volume with the certificate a sandbox shows to the gateway.
pub(super) const CLIENT_TLS: &str = "openshell-client-tls";
pub(super) const CLIENT_TLS_DIRECTORY: &str = "/etc/openshell-tls/client";
/// The volume with the credentials for the upstream proxy.
pub(super) const PROXY_AUTH: &str = "openshell-upstream-proxy-auth";
pub(super) const PROXY_AUTH_DIRECTORY: &str = "/etc/openshell-upstream-proxy";
/// The volume with the socket of the SPIFFE workload API.
pub(super) const SPIFFE: &str = "spiffe-workload-api";
const SPIFFE_DRIVER: &str = "csi.spiffe.io";

/// The directory a file is in; none for one in the root directory.
pub(super) fn directory_of(path: &str) -> Option<String> {
    let (directory, _) = path.rsplit_once('/')?;
    Some(directory.to_owned()).filter(|directory| !directory.is_empty())
}

impl Template<'_> {
    pub(super) fn volumes(&self, request: &SandboxRequest) -> Vec<Value> {
        let mut volumes = vec![self.supervisor_volume(request)];
        volumes.extend(self.gateway_volumes());
        if self.is_sidecar() {
            volumes.extend([sidecar::STATE_VOLUME, sidecar::TLS_VOLUME].map(empty));
        }
        volumes.extend(request.driver.volumes.iter().map(|volume| {
            let claim = json!({ "claimName": volume.claim_name, "readOnly": volume.read_only });
            json!({ "name": volume.name, "persistentVolumeClaim": claim })
        }));
        volumes
    }

    /// What the user asked for, and the workspace.
    pub(super) fn user_mounts(&self, request: &SandboxRequest) -> Vec<Value> {
        let mut mounts = Vec::new();
        if self.workspace_claim(request).is_some() {
            mounts.push(json!({ "name": WORKSPACE_VOLUME, "mountPath": WORK_DIRECTORY }));
        }
        mounts.extend(request.driver.mounts.iter().map(|mount| {
            let read_only =
                (mount.read_only && !self.faults.mounts_claims_writable()) || self.faults.mounts_claims_read_only();
            let mut rendered = json!({ "name": mount.name, "mountPath": mount.mount_path, "readOnly": read_only });
            if let Some(path) = &mount.sub_path {
                insert(&mut rendered, "subPath", json!(path));
            }
            rendered
        }));
        mounts
    }

    /// What a container needs that speaks to the gateway or to the proxy.
    pub(super) fn gateway_mounts(&self) -> Vec<Value> {
        let mut mounts = Vec::new();
        let mut mount = |name: &str, path: &str| {
            mounts.push(json!({ "name": name, "mountPath": path, "readOnly": true }));
        };
        if self.defaults.grpc_endpoint.is_some() {
            mount(TOKEN, TOKEN_DIRECTORY);
        }
        if self.defaults.pod.client_tls_secret.is_some() {
            mount(CLIENT_TLS, CLIENT_TLS_DIRECTORY);
        }
        if self.proxy_credentials().is_some() {
            mount(PROXY_AUTH, PROXY_AUTH_DIRECTORY);
        }
        if let Some(directory) = self.defaults.pod.spiffe_socket.as_deref().and_then(directory_of) {
            mount(SPIFFE, &directory);
        }
        mounts
    }

    fn proxy_credentials(&self) -> Option<&ProxyCredentials> {
        self.defaults.pod.proxy.as_ref()?.credentials.as_ref()
    }

    fn supervisor_volume(&self, request: &SandboxRequest) -> Value {
        match self.sideload(request) {
            SideloadMethod::ImageVolume => {
                let mut image = json!({ "reference": self.supervisor_image(request) });
                set_policy(&mut image, "pullPolicy", self.supervisor_policy(request));
                json!({ "name": SUPERVISOR_VOLUME, "image": image })
            }
            SideloadMethod::InitContainer => empty(SUPERVISOR_VOLUME),
        }
    }

    fn gateway_volumes(&self) -> Vec<Value> {
        // What only its owner may read is root's; in topology sidecar the reader need not be root.
        let mode = if self.is_sidecar() { 0o440 } else { 0o400 };
        let secret =
            |name: &str, secret: &str| json!({ "name": name, "secret": { "secretName": secret, "defaultMode": mode } });
        let mut volumes = Vec::new();
        // Without a gateway to show it to, a pod gets no token.
        if self.defaults.grpc_endpoint.is_some() {
            let seconds = if self.faults.ignores_token_lifetime() {
                DEFAULT_TOKEN_SECONDS
            } else {
                self.defaults.pod.token_seconds
            };
            let mut token = json!({ "expirationSeconds": seconds, "path": TOKEN_FILE });
            if !self.faults.ignores_token_audience() {
                insert(&mut token, "audience", json!(TOKEN_AUDIENCE));
            }
            let mode = if self.faults.gives_token_to_everybody() { 0o444 } else { mode };
            let projected = json!({ "defaultMode": mode, "sources": [{ "serviceAccountToken": token }] });
            volumes.push(json!({ "name": TOKEN, "projected": projected }));
        }
        if let Some(name) = &self.defaults.pod.client_tls_secret {
            volumes.push(secret(CLIENT_TLS, name));
        }
        if let Some(credentials) = self.proxy_credentials() {
            volumes.push(secret(PROXY_AUTH, &credentials.secret));
        }
        if self.defaults.pod.spiffe_socket.is_some() {
            volumes.push(json!({ "name": SPIFFE, "csi": { "driver": SPIFFE_DRIVER, "readOnly": true } }));
        }
        volumes
    }
}

/// The mount of the supervisor's directory that runs it.
pub(super) fn supervisor_mount(read_only: bool) -> Value {
    json!({ "name": SUPERVISOR_VOLUME, "mountPath": SUPERVISOR_DIRECTORY, "readOnly": read_only })
}

fn empty(name: &str) -> Value {
    json!({ "name": name, "emptyDir": {} })
}
