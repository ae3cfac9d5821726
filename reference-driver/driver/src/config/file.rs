//! The configuration file: TOML, as the gateway's.
//!
//! The driver's own keys are in `[openshell.drivers.kubernetes]`. Some of them may also be in `[openshell.gateway]`, from where
//! they are inherited; the other keys there are the gateway's business, as are the tables of other drivers.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::{ConfigError, Settings};

const DRIVER_TABLE: [&str; 3] = ["openshell", "drivers", "kubernetes"];
const GATEWAY_TABLE: [&str; 2] = ["openshell", "gateway"];

/// A configuration file that was read.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    text: String,
    settings: Settings,
}

/// Why a configuration file is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It cannot be read.
    #[error("could not read the configuration file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("{problem}\n{place}")]
    Invalid {
        /// What is wrong.
        problem: String,
        /// The place, the line and a caret.
        place: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Root {
    openshell: OpenShell,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenShell {
    #[serde(default)]
    gateway: Inherited,
    drivers: Drivers,
}

// Tables of other drivers may be there, so unknown names are not refused; without this driver's own the file is.
#[derive(Deserialize)]
struct Drivers {
    kubernetes: Settings,
}

/// What the driver inherits from the gateway's table (upstream's list).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Inherited {
    sandbox_namespace: Option<String>,
    default_image: Option<String>,
    supervisor_image: Option<String>,
    client_tls_secret_name: Option<String>,
    service_account_name: Option<String>,
    host_gateway_ip: Option<String>,
    enable_user_namespaces: Option<bool>,
    sa_token_ttl_secs: Option<u32>,
}

impl ConfigFile {
    /// Reads and parses a file.
    pub(crate) fn read(path: &Path) -> Result<Self, FileError> {
        let text = std::fs::read_to_string(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
        Self::parse(path, text)
    }

    /// Parses what is in a file.
    pub(crate) fn parse(path: &Path, text: String) -> Result<Self, FileError> {
        let settings = match toml::from_str::<Root>(&text) {
            Ok(root) => root.openshell.drivers.kubernetes.over(root.openshell.gateway.into_settings()),
            Err(error) => {
                let span = error.span().unwrap_or_default();
                return Err(FileError::Invalid {
                    problem: format!("invalid configuration file: {}", error.message()),
                    place: place(path, &text, span),
                });
            }
        };
        Ok(Self { path: path.to_owned(), text, settings })
    }

    /// What it tells.
    pub(crate) fn settings(&self) -> Settings {
        self.settings.clone()
    }

    /// An error about a setting, shown where this file has it.
    pub(crate) fn locate(&self, error: &ConfigError) -> Option<FileError> {
        let span = self.span_of(error.key())?;
        Some(FileError::Invalid { problem: error.to_string(), place: place(&self.path, &self.text, span) })
    }

    fn span_of(&self, key: &str) -> Option<Range<usize>> {
        let document = DeTable::parse(&self.text).ok()?;
        let inherited = if key == "namespace" { "sandbox_namespace" } else { key };
        table(document.get_ref(), &DRIVER_TABLE)
            .and_then(|driver| span_in(driver, key))
            .or_else(|| span_in(table(document.get_ref(), &GATEWAY_TABLE)?, inherited))
    }
}

impl Inherited {
    fn into_settings(self) -> Settings {
        Settings {
            namespace: self.sandbox_namespace,
            default_image: self.default_image,
            supervisor_image: self.supervisor_image,
            client_tls_secret_name: self.client_tls_secret_name,
            service_account_name: self.service_account_name,
            host_gateway_ip: self.host_gateway_ip,
            enable_user_namespaces: self.enable_user_namespaces,
            sa_token_ttl_secs: self.sa_token_ttl_secs,
            ..Settings::default()
        }
    }
}

fn table<'a, 'text>(root: &'a DeTable<'text>, path: &[&str]) -> Option<&'a DeTable<'text>> {
    path.iter().try_fold(root, |table, name| {
        let (_, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
        match value.get_ref() {
            DeValue::Table(inner) => Some(inner),
            _ => None,
        }
    })
}

/// Where a table, or a table in it, has a key with its value.
fn span_in(table: &DeTable<'_>, wanted: &str) -> Option<Range<usize>> {
    table.iter().find_map(|(key, value)| match value.get_ref() {
        _ if key.get_ref() == wanted => Some(key.span().start..value.span().end),
        DeValue::Table(inner) => span_in(inner, wanted),
        _ => None,
    })
}

/// File, line and column, the line itself, and carets below the span.
fn place(path: &Path, text: &str, span: Range<usize>) -> String {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let number = before.matches('\n').count() + 1;
    let line = text.get(line_start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let column = before.get(line_start..).unwrap_or_default().chars().count();
    let end = text.floor_char_boundary(span.end.min(line_start + line.len()));
    let width = text.get(start..end).map_or(1, |marked| marked.chars().count().max(1));
    let margin = " ".repeat(number.to_string().len());
    format!(
        "{margin}--> {}:{number}:{}\n{margin} |\n{number} | {}\n{margin} | {}{}",
        path.display(),
        column + 1,
        masked(line),
        " ".repeat(column),
        "^".repeat(width),
    )
}

/// A line without the credentials of an address, which keep their width so that carets fit.
fn masked(line: &str) -> String {
    let Some((scheme, rest)) = line.split_once("://") else {
        return line.to_owned();
    };
    let authority = rest.split(['/', '"', '\'']).next().unwrap_or_default();
    match authority.rsplit_once('@') {
        None => line.to_owned(),
        Some((credentials, _)) => {
            let stars = "*".repeat(credentials.chars().count());
            let after = rest.get(credentials.len()..).unwrap_or_default();
            format!("{scheme}://{stars}{after}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConfigFile, FileError> {
        ConfigFile::parse(Path::new("driver.toml"), text.to_owned())
    }

    #[test]
    fn the_drivers_table_goes_before_what_it_inherits() {
        let file = parse(
            r#"
            [openshell.gateway]
            sandbox_namespace = "boxes"
            default_image = "r.example/inherited:1"
            listen_address = "0.0.0.0:1"
            [openshell.drivers.docker]
            anything = true
            [openshell.drivers.kubernetes]
            default_image = "r.example/own:1"
            image_pull_secrets = ["a", "b"]
            managed_ssh_ingress = { enabled = true, gateway_namespace = "gate", gateway_pod_selector = { app = "gateway" } }
            sidecar.proxy_uid = 1500
            "#,
        )
        .unwrap();
        let settings = file.settings();
        assert_eq!(settings.namespace.as_deref(), Some("boxes"));
        assert_eq!(settings.default_image.as_deref(), Some("r.example/own:1"));
        assert_eq!(settings.image_pull_secrets.unwrap(), ["a", "b"]);
        assert_eq!(settings.sidecar.proxy_uid, Some(1500));
        assert_eq!(settings.managed_ssh_ingress.gateway_pod_selector.unwrap().0["app"], "gateway");
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place() {
        let error = parse("[openshell.drivers.kubernetes]\ngateway_id = \"g\"\n  sidelode = 1\n").unwrap_err();
        insta::assert_snapshot!(error.to_string().split(", expected one of").next().unwrap(), @"invalid configuration file: unknown field `sidelode`");
        insta::assert_snapshot!(error.to_string().lines().skip(1).collect::<Vec<_>>().join("\n"), @r"
         --> driver.toml:3:3
          |
        3 |   sidelode = 1
          |   ^^^^^^^^
        ");
    }

    #[test]
    fn unknown_keys_are_refused_at_every_level() {
        for text in [
            "[openshell.drivers.kubernetes.sidecar]\nuid = 1",
            "[openshell.drivers.kubernetes.managed_ssh_ingress]\nport = 1",
            "[openshell.driver.kubernetes]\n[openshell.drivers.kubernetes]",
            "[openshel]\n[openshell.drivers.kubernetes]",
        ] {
            assert!(parse(text).unwrap_err().to_string().contains("unknown field"), "{text}");
        }
        assert!(parse("[openshell.drivers.kubernets]").unwrap_err().to_string().contains("missing field `kubernetes`"));
    }

    #[test]
    fn a_wrong_value_is_shown_where_it_is() {
        let file = parse("[openshell.drivers.kubernetes]\nsupervisor_sideload_method = \"tarball\"\n").unwrap();
        let error = ConfigError::SideloadMethod("tarball".to_owned());
        insta::assert_snapshot!(file.locate(&error).unwrap(), @r#"
        unknown supervisor sideload method 'tarball'; expected 'image-volume' or 'init-container'
         --> driver.toml:2:1
          |
        2 | supervisor_sideload_method = "tarball"
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        "#);
        assert!(file.locate(&ConfigError::Fault("x".to_owned())).is_none());
    }

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        let file = parse("[openshell.drivers.kubernetes]\nhttps_proxy = \"http://me:hunter2@proxy:1\"\n").unwrap();
        let shown = file.locate(&ConfigError::Setting { field: "https_proxy", problem: "p" }).unwrap().to_string();
        assert!(!shown.contains("hunter2") && shown.contains("@proxy:1"), "{shown}");
    }
}
