//! Keeps the sandbox token and environment values out of every log line that prints a message.

use std::collections::HashMap;
use std::fmt;

use crate::v1::{DriverSandboxSpec, DriverSandboxTemplate};

impl fmt::Debug for DriverSandboxSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = if self.sandbox_token.is_empty() { "" } else { "(set)" };
        formatter
            .debug_struct("DriverSandboxSpec")
            .field("log_level", &self.log_level)
            .field("environment", &names(&self.environment))
            .field("template", &self.template)
            .field("resource_requirements", &self.resource_requirements)
            .field("sandbox_token", &token)
            .field("command", &self.command)
            .field("tty", &self.tty)
            .finish()
    }
}

impl fmt::Debug for DriverSandboxTemplate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DriverSandboxTemplate")
            .field("image", &self.image)
            .field("agent_socket_path", &self.agent_socket_path)
            .field("labels", &self.labels)
            .field("environment", &names(&self.environment))
            .field("resources", &self.resources)
            .field("platform_config", &self.platform_config)
            .field("driver_config", &self.driver_config)
            .finish()
    }
}

/// The names of an environment in order; its values may be credentials.
fn names(environment: &HashMap<String, String>) -> Vec<&String> {
    let mut names: Vec<&String> = environment.keys().collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use crate::v1::{DriverSandboxSpec, DriverSandboxTemplate};

    #[test]
    fn the_token_and_the_environment_values_are_not_printed() {
        let spec = DriverSandboxSpec {
            sandbox_token: "t0k3n".to_owned(),
            environment: [("API_KEY".to_owned(), "hunter2".to_owned())].into(),
            template: Some(DriverSandboxTemplate {
                environment: [("DB_KEY".to_owned(), "hunter3".to_owned())].into(),
                ..DriverSandboxTemplate::default()
            }),
            ..DriverSandboxSpec::default()
        };
        let printed = format!("{spec:?}");
        assert!(!printed.contains("t0k3n") && !printed.contains("hunter"), "{printed}");
        assert!(printed.contains("API_KEY") && printed.contains("DB_KEY"), "{printed}");
    }
}
