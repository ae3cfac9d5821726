//! What the text of a tracked file must not have.

use anyhow::Result;
use regex::Regex;

use crate::tally::Tally;
use crate::workspace::TextFile;

/// Hosts that the repository may name; a subdomain of one is fine too.
///
/// A host that is missing here is most likely somebody's mirror or intranet.
const PUBLIC_HOSTS: [&str; 24] = [
    "agents.x-k8s.io",
    "apache.org",
    "crates.io",
    "docs.rs",
    "editorconfig.org",
    "example.com",
    "example.org",
    "ghcr.io",
    "github.com",
    "githubusercontent.com",
    "go.dev",
    "golang.org",
    "google.com",
    "googleapis.com",
    "helm.sh",
    "json-schema.org",
    "k8s.io",
    "keepachangelog.com",
    "kubernetes.io",
    "opencontainers.org",
    "rust-lang.org",
    "rustup.rs",
    "semver.org",
    "w3.org",
];

/// Endings of names that are no hosts on the internet (RFC 2606, RFC 6762, cluster DNS).
const PRIVATE_ENDINGS: [&str; 9] =
    ["example", "home.arpa", "internal", "invalid", "local", "localhost", "loopback", "svc", "test"];

pub(super) fn check(files: &[TextFile], tally: &mut Tally) {
    tally.add("no path of somebody's home directory", findings(files, home_paths));
    tally.add("only public hosts are named", findings(files, unknown_hosts));
    tally.add("versions of Kubernetes live in clusters/pins.yaml only", findings(files, version_literals));
    tally.add("an ignored test or an allowed lint has a reason", findings(files, silent_exceptions));
}

fn findings(files: &[TextFile], rule: impl Fn(&TextFile) -> Result<Vec<(usize, String)>>) -> Vec<String> {
    let mut all = Vec::new();
    // This file has an example of each mistake.
    for file in files.iter().filter(|file| file.path != "ci/src/tidy/text.rs") {
        match rule(file) {
            Ok(found) => all.extend(found.into_iter().map(|(line, text)| format!("{}:{line}: {text}", file.path))),
            Err(error) => all.push(format!("{}: {error:#}", file.path)),
        }
    }
    all
}

/// The matches of `pattern` with their line numbers, counted from 1.
fn matches<'t>(text: &'t str, pattern: &str) -> Result<Vec<(usize, regex::Captures<'t>)>> {
    let pattern = Regex::new(pattern)?;
    let lines = text.lines().enumerate();
    Ok(lines
        .flat_map(|(index, line)| pattern.captures_iter(line).map(move |found| (index + 1, found)).collect::<Vec<_>>())
        .collect())
}

fn home_paths(file: &TextFile) -> Result<Vec<(usize, String)>> {
    // `/root` alone is a plausible directory in an image; below it is somebody's home.
    let found = matches(&file.text, r"(^|[^\w./-])(/(?:home|Users)/\w[\w.-]*|/root/\w[\w.-]*)")?;
    Ok(found
        .into_iter()
        .map(|(line, found)| (line, format!("`{}` is a path of somebody's home directory", &found[2])))
        .collect())
}

fn unknown_hosts(file: &TextFile) -> Result<Vec<(usize, String)>> {
    if file.path == "Cargo.lock" || file.path == "LICENSE" || is_module_file(file) {
        return Ok(Vec::new());
    }
    Ok(matches(&file.text, r"https?://([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)")?
        .into_iter()
        .map(|(line, found)| (line, found[1].to_lowercase()))
        .filter(|(_, host)| !is_public(host))
        .map(|(line, host)| (line, format!("`{host}` is not a public host that the repository names")))
        .collect())
}

fn is_public(host: &str) -> bool {
    let numeric = host.chars().all(|character| character.is_ascii_digit() || character == '.');
    let below = |domain: &str| host == domain || host.ends_with(&format!(".{domain}"));
    numeric || PUBLIC_HOSTS.iter().any(|domain| below(domain)) || PRIVATE_ENDINGS.iter().any(|ending| below(ending))
}

/// A full version of Kubernetes outside of the pins, of what is generated from them and of tests.
fn version_literals(file: &TextFile) -> Result<Vec<(usize, String)>> {
    let path = file.path.as_str();
    let generated = ["README.md", "CHANGELOG.md", "Cargo.lock", "docs/scenarios.md"].contains(&path);
    let example = ["tests", "fixture", "/schema/"].iter().any(|part| path.contains(part));
    let other_versions = matches!(file.path.extension(), Some("snap" | "toml"));
    if path == "clusters/pins.yaml" || is_module_file(file) || generated || example || other_versions {
        return Ok(Vec::new());
    }
    // Tests and documentation show what a version looks like; they do not choose one.
    let code = file.text.split("#[cfg(test)]").next().unwrap_or_default();
    Ok(matches(code, r"\b(1\.3\d\.\d+)\b")?
        .into_iter()
        .filter(|(line, _)| !code.lines().nth(line - 1).is_some_and(|text| text.trim_start().starts_with("//")))
        .map(|(line, found)| (line, format!("version {}: it belongs into clusters/pins.yaml", &found[1])))
        .collect())
}

fn silent_exceptions(file: &TextFile) -> Result<Vec<(usize, String)>> {
    if file.path.extension() != Some("rs") {
        return Ok(Vec::new());
    }
    let mut found: Vec<_> = matches(&file.text, r"^\s*#\[ignore\]")?
        .into_iter()
        .map(|(line, _)| (line, "`#[ignore]` without a reason".to_owned()))
        .collect();
    for attribute in matches_across_lines(&file.text, r"#!?\[(?:allow|expect)\([^\]]*\)\]")? {
        if !attribute.1.contains("reason") {
            found.push((attribute.0, format!("`{}` without a reason", attribute.1)));
        }
    }
    Ok(found)
}

fn matches_across_lines(text: &str, pattern: &str) -> Result<Vec<(usize, String)>> {
    Ok(Regex::new(pattern)?
        .find_iter(text)
        .map(|found| (text[..found.start()].lines().count().max(1), found.as_str().to_owned()))
        .collect())
}

/// The files of the pinned Go modules, whose versions are the pins themselves.
fn is_module_file(file: &TextFile) -> bool {
    file.path.starts_with("clusters/components")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::home("a.rs", "let a = \"/home/ann/x\";", "home directory")]
    #[case::root("a.sh", "cd /root/x", "home directory")]
    #[case::host("a.md", "see https://mirror.corp.net/x", "mirror.corp.net")]
    #[case::version("a.rs", "let v = \"1.36.4\";", "1.36.4")]
    #[case::version_in_a_manifest("a.yaml", "kubernetes: 1.35.8", "1.35.8")]
    #[case::lint("a.rs", "#[allow(dead_code)]", "without a reason")]
    #[case::ignore("a.rs", "    #[ignore]", "without a reason")]
    fn what_must_not_be_is_found(#[case] path: &str, #[case] text: &str, #[case] finding: &str) {
        let found = check_one(path, text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(finding) && found[0].starts_with(&format!("{path}:1")), "{found:?}");
    }

    #[rstest]
    #[case::container_path("a.rs", "/var/root/x /opt/home/y /root")]
    #[case::public("a.md", "https://github.com/x http://127.0.0.1:5000 http://registry.example https://sub.docs.rs/x")]
    #[case::variable("a.rs", "https://{host}/v2 https://localhost:6443")]
    #[case::pin("clusters/pins.yaml", "1.36.4")]
    #[case::module("clusters/components/kubernetes/1.36.4/go.mod", "k8s.io/kubernetes v1.36.4")]
    #[case::unit_test("a.rs", "#[cfg(test)]\nmod tests { \"1.36.4\" }")]
    #[case::comment("a.rs", "/// Such as `1.36.4`.")]
    #[case::reason("a.rs", "#[expect(\n    dead_code,\n    reason = \"x\"\n)]")]
    fn what_may_be_is_left_alone(#[case] path: &str, #[case] text: &str) {
        assert_eq!(check_one(path, text), Vec::<String>::new());
    }

    fn check_one(path: &str, text: &str) -> Vec<String> {
        let mut tally = Tally::default();
        check(&[TextFile { path: path.into(), text: text.to_owned() }], &mut tally);
        tally.findings().into_iter().map(str::to_owned).collect()
    }
}
