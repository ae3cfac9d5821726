//! What the containers are told by their environment.

use serde_json::{Value, json};

use super::settings::Topology;
use super::volumes::{CLIENT_TLS_DIRECTORY, TOKEN_DIRECTORY, TOKEN_FILE};
use crate::config::SandboxDefaults;
use crate::request::SandboxRequest;

type Variables = Vec<(&'static str, String)>;

/// The user's variables first, then those the supervisor relies on, which replace the user's of the same name.
pub(super) fn of_agent(defaults: &SandboxDefaults, request: &SandboxRequest) -> Vec<Value> {
    let mut required = identity(request);
    let main_process = json!({ "version": 1, "command": request.command, "tty": request.tty });
    required.extend([
        ("OPENSHELL_SANDBOX_UID", defaults.user_id.to_string()),
        ("OPENSHELL_SANDBOX_GID", defaults.group_id.to_string()),
        ("OPENSHELL_SSH_SOCKET_PATH", defaults.ssh_socket_path.clone()),
        ("OPENSHELL_USER_ENVIRONMENT", json!(request.environment).to_string()),
        ("OPENSHELL_MAIN_PROCESS_SPEC", main_process.to_string()),
        ("OPENSHELL_NETWORK_RUNTIME_CAPABILITIES", String::new()),
        ("OPENSHELL_OCI_IMAGE_USER", String::new()),
    ]);
    // In topology sidecar it is the network container that speaks to the gateway, and nobody else can.
    if defaults.pod.topology == Topology::Combined {
        required.extend(gateway(defaults));
    }
    let user = request.environment.iter().filter(|(name, _)| !required.iter().any(|(known, _)| known == name));
    user.map(|(name, value)| variable(name, value))
        .chain(required.iter().map(|(name, value)| variable(name, value)))
        .collect()
}

/// What the network container of topology `sidecar` relies on.
pub(super) fn of_network(defaults: &SandboxDefaults, request: &SandboxRequest) -> Vec<Value> {
    let mut required = identity(request);
    required.extend(gateway(defaults));
    required.iter().map(|(name, value)| variable(name, value)).collect()
}

fn identity(request: &SandboxRequest) -> Variables {
    let mut variables = vec![
        ("OPENSHELL_SANDBOX", request.name.clone()),
        ("OPENSHELL_SANDBOX_ID", request.id.clone()),
        // A sandbox of this driver never reports to anybody but its gateway.
        ("OPENSHELL_TELEMETRY_ENABLED", "false".to_owned()),
    ];
    if let Some(level) = &request.log_level {
        variables.push(("OPENSHELL_LOG_LEVEL", level.clone()));
    }
    variables
}

fn gateway(defaults: &SandboxDefaults) -> Variables {
    let mut variables = Vec::new();
    if let Some(endpoint) = &defaults.grpc_endpoint {
        variables.push(("OPENSHELL_ENDPOINT", endpoint.clone()));
        variables.push(("OPENSHELL_K8S_SA_TOKEN_FILE", format!("{TOKEN_DIRECTORY}/{TOKEN_FILE}")));
    }
    if defaults.pod.client_tls_secret.is_some() {
        let files =
            [("OPENSHELL_TLS_CA", "ca.crt"), ("OPENSHELL_TLS_CERT", "tls.crt"), ("OPENSHELL_TLS_KEY", "tls.key")];
        variables.extend(files.map(|(name, file)| (name, format!("{CLIENT_TLS_DIRECTORY}/{file}"))));
    }
    if let Some(socket) = &defaults.pod.spiffe_socket {
        variables.push(("OPENSHELL_PROVIDER_SPIFFE_WORKLOAD_API_SOCKET", socket.clone()));
    }
    variables
}

fn variable(name: &str, value: &str) -> Value {
    json!({ "name": name, "value": value })
}
