//! Where an engine is looked for, and what answers there.

use bollard::Docker;
use camino::{Utf8Path, Utf8PathBuf};

use super::{ANSWER, EngineError, Flavor};

/// The variable that names an engine, as Docker's own program reads it.
const VARIABLE: &str = "DOCKER_HOST";

/// Docker's socket.
const DOCKER: &str = "/var/run/docker.sock";

/// The socket of podman's system service.
const PODMAN: &str = "/run/podman/podman.sock";

/// A way to an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Candidate {
    /// A socket that exists.
    Socket {
        /// Its path.
        path: Utf8PathBuf,
        /// What should be behind it; none where only asking tells.
        flavor: Option<Flavor>,
    },
    /// The podman program, whose service is started for the time of a run.
    Program {
        /// Its path.
        path: Utf8PathBuf,
    },
}

/// Every way to an engine on this host, best first.
pub fn candidates() -> Result<Vec<Candidate>, EngineError> {
    ways(&|name| std::env::var(name).ok()).map(|(candidates, _)| candidates)
}

/// The best way to an engine.
pub(super) fn choose(variable: &dyn Fn(&str) -> Option<String>) -> Result<Candidate, EngineError> {
    let (candidates, tried) = ways(variable)?;
    candidates.into_iter().next().ok_or(EngineError::Missing { tried })
}

/// The ways that there are, and all that were tried.
fn ways(variable: &dyn Fn(&str) -> Option<String>) -> Result<(Vec<Candidate>, Vec<String>), EngineError> {
    let mut found = Vec::new();
    let mut tried = Vec::new();
    if let Some(address) = variable(VARIABLE).filter(|address| !address.is_empty()) {
        let Some(path) = address.strip_prefix("unix://") else { return Err(EngineError::Remote { address }) };
        // What the user names is what is used; that it does not answer is told when it is asked.
        return Ok((vec![Candidate::Socket { path: path.into(), flavor: None }], vec![address]));
    }
    tried.push(format!("{VARIABLE} is not set"));
    let runtime_directory = variable("XDG_RUNTIME_DIR").filter(|path| !path.is_empty());
    let user = runtime_directory.map(|path| Utf8PathBuf::from(path).join("podman/podman.sock"));
    let sockets =
        [(Some(DOCKER.into()), None), (Some(PODMAN.into()), Some(Flavor::Podman)), (user, Some(Flavor::Podman))];
    for (path, flavor) in sockets {
        let Some(path) = path else { continue };
        if path.exists() {
            found.push(Candidate::Socket { path, flavor });
        } else {
            tried.push(format!("{path} does not exist"));
        }
    }
    match variable("PATH").and_then(|path| program_on(&path, Flavor::Podman.program())) {
        Some(path) => found.push(Candidate::Program { path }),
        None => tried.push("podman is not on PATH".to_owned()),
    }
    Ok((found, tried))
}

/// Connects and asks who answers.
pub(super) async fn connect(socket: &Utf8Path) -> Result<(Docker, Flavor, String), EngineError> {
    let silent = |reason: String| EngineError::Silent { socket: socket.to_owned(), reason };
    let docker = Docker::connect_with_unix(socket.as_str(), ANSWER.as_secs(), bollard::API_DEFAULT_VERSION)
        .map_err(|error| silent(error.to_string()))?;
    let docker = docker.negotiate_version().await.map_err(|error| silent(super::error::chain(&error)))?;
    let version = docker.version().await.map_err(|error| silent(super::error::chain(&error)))?;
    let podman = version.components.iter().flatten().any(|component| component.name == "Podman Engine");
    let flavor = if podman { Flavor::Podman } else { Flavor::Docker };
    Ok((docker, flavor, version.version.unwrap_or_default()))
}

/// The first two numbers of a version; zero where there are none.
pub(super) fn numbers(version: &str) -> (u64, u64) {
    let mut numbers = version.trim_start_matches('v').split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn program_on(path: &str, program: &str) -> Option<Utf8PathBuf> {
    let found = which::which_in(program, Some(path), "/").ok()?;
    Utf8PathBuf::from_path_buf(found).ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("28.2.2", (28, 2))]
    #[case("4.3.1", (4, 3))]
    #[case("v5.0-dev", (5, 0))]
    #[case("", (0, 0))]
    fn a_version_has_two_numbers(#[case] version: &str, #[case] expected: (u64, u64)) {
        assert_eq!(numbers(version), expected);
    }

    #[test]
    fn an_engine_on_another_machine_is_refused() {
        let error = choose(&|name| (name == VARIABLE).then(|| "tcp://10.0.0.1:2375".to_owned())).unwrap_err();
        assert!(matches!(error, EngineError::Remote { .. }), "{error}");
    }

    #[test]
    fn the_engine_that_the_user_names_wins() {
        let chosen = choose(&|name| (name == VARIABLE).then(|| "unix:///x.sock".to_owned())).unwrap();
        assert_eq!(chosen, Candidate::Socket { path: "/x.sock".into(), flavor: None });
    }

    #[test]
    fn without_an_engine_it_is_told_where_one_was_looked_for() {
        if Utf8Path::new(DOCKER).exists() || Utf8Path::new(PODMAN).exists() {
            return;
        }
        let error = choose(&|name| (name == "PATH").then(|| "/nonexistent".to_owned())).unwrap_err().to_string();
        insta::assert_snapshot!(error);
    }
}
