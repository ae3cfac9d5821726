//! Why the driver does not start with what it was told.

/// Why the driver does not start with what it was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The side-load method is none of the two.
    #[error("unknown supervisor sideload method '{0}'; expected 'image-volume' or 'init-container'")]
    SideloadMethod(String),
    /// A pull policy is none of Kubernetes' three.
    #[error(
        "unknown {field} '{found}'; expected 'Always', 'IfNotPresent' or 'Never', or nothing to leave it to Kubernetes"
    )]
    PullPolicy {
        /// The setting's key.
        field: &'static str,
        /// What it was set to.
        found: String,
    },
    /// A setting is not one of the names it can be.
    #[error("unknown {field} '{found}'; expected {expected}")]
    Name {
        /// The setting's key.
        field: &'static str,
        /// What it was set to.
        found: String,
        /// The names it can be.
        expected: &'static str,
    },
    /// A setting's value breaks a rule.
    #[error("invalid {field} '{found}': {problem}")]
    Value {
        /// The setting's key.
        field: &'static str,
        /// What it was set to.
        found: String,
        /// The rule.
        problem: &'static str,
    },
    /// A setting breaks a rule in a way that must not be repeated, or that has no one value.
    #[error("invalid {field}: {problem}")]
    Setting {
        /// The setting's key.
        field: &'static str,
        /// The rule.
        problem: &'static str,
    },
    /// A fault is not in the catalogue.
    #[error("unknown fault '{0}'; --list-faults shows those there are")]
    Fault(String),
}

impl ConfigError {
    /// The key of the setting that is wrong, as the configuration file has it.
    pub fn key(&self) -> &'static str {
        match self {
            Self::SideloadMethod(_) => "supervisor_sideload_method",
            Self::PullPolicy { field, .. }
            | Self::Name { field, .. }
            | Self::Value { field, .. }
            | Self::Setting { field, .. } => field,
            Self::Fault(_) => "faults",
        }
    }
}
