//! What `--subject` takes.

use std::fmt;

use camino::Utf8PathBuf;

/// The driver under test, as it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubjectReference {
    /// The reference driver of this repository, with its chart.
    Reference,
    /// A chart: a directory or an archive.
    Chart(Utf8PathBuf),
    /// A chart in an OCI registry.
    OciChart {
        /// Its address without a version, `oci://` included.
        address: String,
        /// Its version; the newest where none is named.
        version: Option<String>,
    },
    /// A driver's own binary on the host.
    Process(Utf8PathBuf),
    /// A driver that runs already.
    Grpc(Address),
}

/// Where a driver that runs already listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// A Unix socket.
    Socket(Utf8PathBuf),
    /// `http://HOST:PORT`.
    Http(String),
}

/// What there is to name.
const FORMS: &str =
    "`reference`, `chart:PATH`, `chart:oci://REGISTRY/CHART[:VERSION]`, `process:PATH` or `grpc:ADDRESS`";

impl SubjectReference {
    /// Reads a reference.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "reference" {
            return Ok(Self::Reference);
        }
        match text.split_once(':') {
            Some(("chart" | "process", "")) => Err(format!("nothing follows the colon; a subject is {FORMS}")),
            Some(("chart", rest)) if rest.starts_with("oci://") => oci(rest),
            Some(("chart", path)) => Ok(Self::Chart(path.into())),
            Some(("process", path)) => Ok(Self::Process(path.into())),
            Some(("grpc", address)) => Address::parse(address).map(Self::Grpc),
            _ => Err(format!("a subject is {FORMS}")),
        }
    }
}

impl Address {
    fn parse(text: &str) -> Result<Self, String> {
        match (text.strip_prefix("unix:"), text.strip_prefix("http://")) {
            (Some(path), _) if !path.is_empty() => Ok(Self::Socket(path.into())),
            (_, Some(rest)) => {
                let port = rest.trim_end_matches('/').rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
                match port {
                    Some((host, Ok(_))) if !host.is_empty() && !host.contains('/') => Ok(Self::Http(text.to_owned())),
                    _ => Err("an address by http is `grpc:http://HOST:PORT`".to_owned()),
                }
            }
            _ => Err("an address is `grpc:unix:PATH` or `grpc:http://HOST:PORT`".to_owned()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(formatter, "unix:{path}"),
            Self::Http(address) => formatter.write_str(address),
        }
    }
}

fn oci(text: &str) -> Result<SubjectReference, String> {
    let path = text.trim_start_matches("oci://");
    let (path, version) = match path.rsplit_once(':') {
        // A colon before the last slash belongs to the registry's port.
        Some((before, version)) if !version.contains('/') => (before, Some(version)),
        _ => (path, None),
    };
    let (registry, chart) = path.split_once('/').unwrap_or((path, ""));
    if registry.is_empty() || chart.is_empty() || chart.ends_with('/') || version == Some("") {
        return Err("an OCI chart is `chart:oci://REGISTRY/CHART` or `chart:oci://REGISTRY/CHART:VERSION`".to_owned());
    }
    Ok(SubjectReference::OciChart { address: format!("oci://{path}"), version: version.map(str::to_owned) })
}

/// In the form that [`SubjectReference::parse`] reads.
impl fmt::Display for SubjectReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference => formatter.write_str("reference"),
            Self::Chart(path) => write!(formatter, "chart:{path}"),
            Self::OciChart { address, version: None } => write!(formatter, "chart:{address}"),
            Self::OciChart { address, version: Some(version) } => write!(formatter, "chart:{address}:{version}"),
            Self::Process(path) => write!(formatter, "process:{path}"),
            Self::Grpc(address) => write!(formatter, "grpc:{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("reference", SubjectReference::Reference)]
    #[case("chart:deploy/helm", SubjectReference::Chart("deploy/helm".into()))]
    #[case("process:/usr/bin/driver", SubjectReference::Process("/usr/bin/driver".into()))]
    #[case("grpc:unix:/run/driver.sock", SubjectReference::Grpc(Address::Socket("/run/driver.sock".into())))]
    #[case("grpc:http://127.0.0.1:50061", SubjectReference::Grpc(Address::Http("http://127.0.0.1:50061".to_owned())))]
    #[case("chart:oci://r.example:5000/charts/driver:1.2.3", SubjectReference::OciChart {
        address: "oci://r.example:5000/charts/driver".to_owned(), version: Some("1.2.3".to_owned())
    })]
    #[case("chart:oci://r.example:5000/driver", SubjectReference::OciChart {
        address: "oci://r.example:5000/driver".to_owned(), version: None
    })]
    fn a_reference_reads_back_as_it_is_written(#[case] text: &str, #[case] expected: SubjectReference) {
        assert_eq!(SubjectReference::parse(text), Ok(expected.clone()));
        assert_eq!(expected.to_string(), text);
    }

    #[rstest]
    #[case("refrence")]
    #[case("chart:")]
    #[case("process:")]
    #[case("chart:oci://")]
    #[case("chart:oci://registry")]
    #[case("chart:oci://registry/chart:")]
    #[case("image:x")]
    #[case("grpc:")]
    #[case("grpc:unix:")]
    #[case("grpc:127.0.0.1:50061")]
    #[case("grpc:http://127.0.0.1")]
    #[case("grpc:http://:1")]
    #[case("grpc:https://host:1")]
    #[case("")]
    fn anything_else_is_refused(#[case] text: &str) {
        assert!(SubjectReference::parse(text).is_err());
    }
}
