//! The command line and the environment of the driver.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, ValueEnum};

use crate::config::{Config, ConfigError, ConfigFile, FileError, Listen, Settings, parse_gateway_id};
use crate::faults::Faults;

/// A compute driver for Kubernetes that speaks openshell.compute.v1 over gRPC.
///
/// A flag goes before its environment variable, that before the configuration file, and that before the default.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Unix socket to serve gRPC on, for processes of the same user; its directory must be nobody else's
    #[arg(long, env = "OPENSHELL_COMPUTE_DRIVER_SOCKET", value_name = "PATH")]
    bind_socket: Option<PathBuf>,

    /// Address to serve gRPC on where there is no socket, in plaintext and without authentication
    #[arg(long, env = "OPENSHELL_COMPUTE_DRIVER_BIND", value_name = "ADDRESS", default_value = sandproof_protocol::DEFAULT_BIND_ADDRESS)]
    bind_address: SocketAddr,

    /// Configuration file with the table [openshell.drivers.kubernetes]
    #[arg(long, env = "OPENSHELL_COMPUTE_DRIVER_CONFIG", value_name = "PATH")]
    config: Option<PathBuf>,

    /// What to log: a level, or a filter such as `info,sandproof_reference_driver=debug`
    #[arg(long, env = "OPENSHELL_LOG_LEVEL", value_name = "FILTER", default_value = "info")]
    pub(crate) log_level: String,

    /// How to log
    #[arg(long, env = "OPENSHELL_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,

    /// Looks whether the driver could serve, with its configuration, its cluster and its rights there, and ends
    #[arg(long)]
    pub(crate) check: bool,

    /// Everything that the configuration file can tell too.
    #[command(flatten)]
    settings: Settings,

    /// Switches a fault on; repeat it or separate names by commas
    #[cfg(feature = "faults")]
    #[arg(long = "fault", env = "OPENSHELL_FAULT", value_delimiter = ',', value_name = "NAME")]
    faults: Vec<String>,

    /// Lists the faults there are and ends
    #[cfg(feature = "faults")]
    #[arg(long)]
    pub(crate) list_faults: bool,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What was told, and by what.
#[derive(Debug)]
pub(crate) struct Told {
    /// The arguments themselves.
    pub(crate) arguments: Arguments,
    matches: ArgMatches,
}

/// Why the driver does not start with what it was told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The configuration file, or a setting in it, is wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// A setting of the command line or of the environment is wrong.
    #[error("{error}{origin}")]
    Setting {
        /// What is wrong.
        error: ConfigError,
        /// Where it was told.
        origin: Origin,
    },
}

/// Where a setting was told, as it is put behind an error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// By this flag.
    Flag(String),
    /// By this environment variable.
    Environment(String),
    /// Nowhere in particular.
    Nowhere,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(formatter, " (from --{name})"),
            Self::Environment(name) => write!(formatter, " (from the environment variable {name})"),
            Self::Nowhere => Ok(()),
        }
    }
}

impl Told {
    /// Parses a command line and the environment.
    pub(crate) fn parse_from<T: Into<OsString> + Clone>(
        words: impl IntoIterator<Item = T>,
    ) -> Result<Self, clap::Error> {
        let matches = Arguments::command().try_get_matches_from(words)?;
        let arguments = Arguments::from_arg_matches(&matches)?;
        Ok(Self { arguments, matches })
    }

    /// Reads the configuration file, if one is named, and resolves and validates everything.
    pub(crate) fn resolve(self) -> Result<Config, Refusal> {
        let named = self.arguments.config.as_deref().filter(|path| !path.as_os_str().is_empty());
        let file = named.map(ConfigFile::read).transpose()?;
        let (arguments, matches) = (self.arguments, self.matches);
        combine(arguments, file.as_ref().map(ConfigFile::settings)).map_err(|error| {
            let origin = origin(&matches, error.key());
            let in_file = file.as_ref().filter(|_| origin == Origin::Nowhere).and_then(|file| file.locate(&error));
            in_file.map_or(Refusal::Setting { error, origin }, Refusal::File)
        })
    }
}

fn combine(arguments: Arguments, file: Option<Settings>) -> Result<Config, ConfigError> {
    let settings = arguments.settings.over(file.unwrap_or_default());
    let workspaces = settings.workspaces()?;
    let managed_ssh = settings.managed_ssh()?;
    #[cfg(feature = "faults")]
    let faults = Faults::named(arguments.faults.iter().map(|name| name.trim()).filter(|name| !name.is_empty()))
        .map_err(ConfigError::Fault)?;
    #[cfg(not(feature = "faults"))]
    let faults = Faults::none();
    let sandbox = settings.sandbox(&faults)?;
    let gateway_id = parse_gateway_id(settings.gateway_id, &workspaces)?;
    let socket = arguments.bind_socket.filter(|path| !path.as_os_str().is_empty());
    let listen = socket.map_or(Listen::Tcp(arguments.bind_address), Listen::Socket);
    Ok(Config { listen, gateway_id, workspaces, managed_ssh, sandbox, faults })
}

/// By which flag or variable a setting was told; an argument has the identifier of its key.
fn origin(matches: &ArgMatches, key: &str) -> Origin {
    let command = Arguments::command();
    let Some(argument) = command.get_arguments().find(|argument| argument.get_id() == key) else {
        return Origin::Nowhere;
    };
    match matches.value_source(key) {
        Some(ValueSource::CommandLine) => Origin::Flag(argument.get_long().unwrap_or(key).to_owned()),
        Some(ValueSource::EnvVariable) => {
            let name = argument.get_env().map(|name| name.to_string_lossy().into_owned());
            Origin::Environment(name.unwrap_or_default())
        }
        _ => Origin::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::config::{DEFAULT_SANDBOX_IMAGE, SideloadMethod, WorkspaceMode};

    fn resolve(arguments: &[&str]) -> Result<Config, Refusal> {
        Told::parse_from([&["driver"], arguments].concat()).unwrap().resolve()
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn the_defaults_are_upstreams() {
        let config = resolve(&[]).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:50061");
        assert_eq!(config.gateway_id, "openshell");
        assert_eq!(config.workspaces, WorkspaceMode::Shared);
        assert_eq!(config.sandbox.namespace, "default");
        assert_eq!(config.sandbox.sideload, SideloadMethod::ImageVolume);
        assert_eq!(config.sandbox.image, DEFAULT_SANDBOX_IMAGE);
        assert!(config.sandbox.image_pull_secrets.is_empty());
    }

    #[test]
    fn a_socket_goes_before_an_address() {
        let config = resolve(&["--bind-socket", "/run/d.sock", "--bind-address", "127.0.0.1:1"]).unwrap();
        assert_eq!(config.listen, Listen::Socket("/run/d.sock".into()));
    }

    #[test]
    fn an_unknown_sideload_method_is_an_error_with_both_names_and_its_flag() {
        let error = resolve(&["--supervisor-sideload-method", "tarball"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown supervisor sideload method 'tarball'; expected 'image-volume' or 'init-container' (from --supervisor-sideload-method)"
        );
    }

    #[test]
    fn a_flag_goes_before_the_file() {
        let file = file("[openshell.drivers.kubernetes]\ngateway_id = \"file\"\nnamespace = \"file\"\n");
        let config = resolve(&["--config", file.path().to_str().unwrap(), "--gateway-id", "flag"]).unwrap();
        assert_eq!((config.gateway_id.as_str(), config.sandbox.namespace.as_str()), ("flag", "file"));
    }

    #[test]
    fn a_wrong_value_is_shown_where_it_was_told() {
        let file = file("[openshell.drivers.kubernetes]\ngateway_id = \"\"\n");
        let path = file.path().to_str().unwrap();
        let error = resolve(&["--config", path]).unwrap_err().to_string();
        assert!(error.contains(&format!("{path}:2:1")), "{error}");
        let error = resolve(&["--config", path, "--gateway-id", "a b"]).unwrap_err().to_string();
        assert!(error.ends_with("(from --gateway-id)"), "{error}");
    }

    #[test]
    fn a_switch_needs_no_value_and_takes_one() {
        assert!(resolve(&["--enable-user-namespaces"]).unwrap().sandbox.pod.user_namespaces);
        assert!(!resolve(&["--enable-user-namespaces=false"]).unwrap().sandbox.pod.user_namespaces);
    }

    /// Upstream's flags and variables, in the order of its own help.
    #[test]
    fn upstreams_flags_and_variables_are_there() {
        let command = Arguments::command();
        let has = |flag: &str, variable: &str| {
            command.get_arguments().any(|argument| {
                let names = argument.get_long_and_visible_aliases().unwrap_or_default();
                let hidden = argument.get_all_aliases().unwrap_or_default();
                (names.contains(&flag) || hidden.contains(&flag))
                    && argument.get_env().is_some_and(|name| name == variable)
            })
        };
        for (flag, variable) in [
            ("bind-socket", "OPENSHELL_COMPUTE_DRIVER_SOCKET"),
            ("bind-address", "OPENSHELL_COMPUTE_DRIVER_BIND"),
            ("log-level", "OPENSHELL_LOG_LEVEL"),
            ("workspace-mode", "OPENSHELL_WORKSPACE_MODE"),
            ("gateway-id", "OPENSHELL_GATEWAY_ID"),
            ("sandbox-namespace", "OPENSHELL_SANDBOX_NAMESPACE"),
            ("operator-namespace-label", "OPENSHELL_OPERATOR_NAMESPACE_LABEL"),
            ("operator-namespace-file", "OPENSHELL_OPERATOR_NAMESPACE_FILE"),
            ("sandbox-service-account", "OPENSHELL_K8S_SANDBOX_SERVICE_ACCOUNT"),
            ("sandbox-image", "OPENSHELL_SANDBOX_IMAGE"),
            ("sandbox-image-pull-policy", "OPENSHELL_SANDBOX_IMAGE_PULL_POLICY"),
            ("sandbox-image-pull-secrets", "OPENSHELL_SANDBOX_IMAGE_PULL_SECRETS"),
            ("managed-ssh-ingress-enabled", "OPENSHELL_MANAGED_SSH_INGRESS_ENABLED"),
            ("managed-ssh-gateway-namespace", "OPENSHELL_MANAGED_SSH_GATEWAY_NAMESPACE"),
            ("managed-ssh-gateway-pod-selector", "OPENSHELL_MANAGED_SSH_GATEWAY_POD_SELECTOR"),
            ("grpc-endpoint", "OPENSHELL_GRPC_ENDPOINT"),
            ("sandbox-ssh-socket-path", "OPENSHELL_SANDBOX_SSH_SOCKET_PATH"),
            ("client-tls-secret-name", "OPENSHELL_CLIENT_TLS_SECRET_NAME"),
            ("host-gateway-ip", "OPENSHELL_HOST_GATEWAY_IP"),
            ("supervisor-image", "OPENSHELL_SUPERVISOR_IMAGE"),
            ("supervisor-image-pull-policy", "OPENSHELL_SUPERVISOR_IMAGE_PULL_POLICY"),
            ("supervisor-sideload-method", "OPENSHELL_SUPERVISOR_SIDELOAD_METHOD"),
            ("topology", "OPENSHELL_K8S_TOPOLOGY"),
            ("sidecar-proxy-uid", "OPENSHELL_K8S_SIDECAR_PROXY_UID"),
            ("proxy-uid", "OPENSHELL_K8S_SIDECAR_PROXY_UID"),
            (
                "sidecar-process-binary-aware-network-policy",
                "OPENSHELL_K8S_SIDECAR_PROCESS_BINARY_AWARE_NETWORK_POLICY",
            ),
            ("https-proxy", "OPENSHELL_UPSTREAM_PROXY"),
            ("no-proxy", "OPENSHELL_UPSTREAM_NO_PROXY"),
            ("proxy-auth-secret-name", "OPENSHELL_UPSTREAM_PROXY_AUTH_SECRET_NAME"),
            ("proxy-auth-secret-key", "OPENSHELL_UPSTREAM_PROXY_AUTH_SECRET_KEY"),
            ("proxy-auth-allow-insecure", "OPENSHELL_UPSTREAM_PROXY_AUTH_ALLOW_INSECURE"),
            ("proxy-connect-by-hostname", "OPENSHELL_UPSTREAM_PROXY_CONNECT_BY_HOSTNAME"),
            ("enable-user-namespaces", "OPENSHELL_ENABLE_USER_NAMESPACES"),
            ("app-armor-profile", "OPENSHELL_K8S_APP_ARMOR_PROFILE"),
            ("sa-token-ttl-secs", "OPENSHELL_K8S_SA_TOKEN_TTL_SECS"),
            ("provider-spiffe-workload-api-socket-path", "OPENSHELL_PROVIDER_SPIFFE_WORKLOAD_API_SOCKET"),
            ("sandbox-uid", "OPENSHELL_K8S_SANDBOX_UID"),
            ("sandbox-gid", "OPENSHELL_K8S_SANDBOX_GID"),
            ("workspace-default-storage-size", "OPENSHELL_K8S_WORKSPACE_DEFAULT_STORAGE_SIZE"),
            ("workspace-storage-class", "OPENSHELL_K8S_WORKSPACE_STORAGE_CLASS"),
            ("default-runtime-class-name", "OPENSHELL_K8S_DEFAULT_RUNTIME_CLASS_NAME"),
        ] {
            assert!(has(flag, variable), "--{flag} {variable}");
        }
    }
}
