//! The agent container's environment.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::TOKEN_DIRECTORY;
use crate::config::SandboxDefaults;
use crate::request::SandboxRequest;

/// The token's file in its volume.
pub(super) const TOKEN_FILE: &str = "token";

/// The user's variables first, then those the supervisor relies on, which replace the user's of the same name.
pub(super) fn of(defaults: &SandboxDefaults, request: &SandboxRequest) -> Vec<Value> {
    let required = required(defaults, request);
    let user = request.environment.iter().filter(|(name, _)| !required.iter().any(|(known, _)| known == name));
    user.map(|(name, value)| json!({ "name": name, "value": value }))
        .chain(required.iter().map(|(name, value)| json!({ "name": name, "value": value })))
        .collect()
}

fn required(defaults: &SandboxDefaults, request: &SandboxRequest) -> Vec<(&'static str, String)> {
    let user: &BTreeMap<String, String> = &request.environment;
    let main_process = json!({ "version": 1, "command": request.command, "tty": request.tty });
    let mut required = vec![
        ("OPENSHELL_SANDBOX", request.name.clone()),
        ("OPENSHELL_SANDBOX_ID", request.id.clone()),
        ("OPENSHELL_SANDBOX_UID", defaults.user_id.to_string()),
        ("OPENSHELL_SANDBOX_GID", defaults.group_id.to_string()),
        ("OPENSHELL_SSH_SOCKET_PATH", defaults.ssh_socket_path.clone()),
        ("OPENSHELL_USER_ENVIRONMENT", json!(user).to_string()),
        ("OPENSHELL_MAIN_PROCESS_SPEC", main_process.to_string()),
        ("OPENSHELL_NETWORK_RUNTIME_CAPABILITIES", String::new()),
        ("OPENSHELL_OCI_IMAGE_USER", String::new()),
    ];
    if let Some(level) = &request.log_level {
        required.push(("OPENSHELL_LOG_LEVEL", level.clone()));
    }
    if let Some(endpoint) = &defaults.grpc_endpoint {
        required.push(("OPENSHELL_ENDPOINT", endpoint.clone()));
        required.push(("OPENSHELL_K8S_SA_TOKEN_FILE", format!("{TOKEN_DIRECTORY}/{TOKEN_FILE}")));
    }
    required
}
