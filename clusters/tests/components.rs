//! The store against a server that has the layout of official downloads, and against
//! servers that do not keep their promises.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "components/server.rs"]
mod server;

use std::{
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use sandproof_clusters::components::{
    Component, ComponentError, ComponentProgress, Deadlines, Source, Step, Store, StoreOptions,
};
use server::{Answer, Server, archive, sha256};
use tempfile::TempDir;
use tokio::sync::mpsc::unbounded_channel;

const TOOL: &[u8] = b"#!/bin/sh\necho tool\n";
const PATH: &str = "/v1.2.3/tool-1.2.3.tar.gz";

/// A repository's `clusters` directory and a cache, both temporary.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new(pins: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let place = Self { directory };
        fs_err::create_dir_all(place.home().join("components/tool/1.2.3")).unwrap();
        fs_err::write(place.home().join("pins.yaml"), pins).unwrap();
        place
    }

    fn root(&self) -> &Utf8Path {
        Utf8Path::from_path(self.directory.path()).unwrap()
    }

    fn home(&self) -> Utf8PathBuf {
        self.root().join("clusters")
    }

    fn options(&self) -> StoreOptions {
        StoreOptions { home: self.home(), cache: self.root().join("cache"), mirror: None, offline: false }
    }

    fn store(&self) -> Store {
        open(self.options())
    }
}

fn open(options: StoreOptions) -> Store {
    let deadlines = Deadlines { connect: Duration::from_secs(2), idle: Duration::from_millis(300) };
    Store::open_with(options, deadlines).unwrap()
}

/// Pins with one component `tool`, which is an archive at `base`.
fn pins(base: &str) -> String {
    pins_with(&format!(
        r#"
    official:
      - url: {base}/v{{version}}/tool-{{version}}.tar.gz
        checksum: {{url: "{base}/v{{version}}/SHA256SUMS"}}
        format: tar.gz
        members: {{tool: "tool-{{version}}/tool"}}
    build: {{module: example.test/tool, programs: {{tool: .}}}}
"#
    ))
}

fn pins_with(tool: &str) -> String {
    format!(
        r#"
schema: sandproof.pins/v1
axes:
  kubernetes: [{{minor: "1.36", kubernetes: 1.36.4}}]
  agentSandbox: [1.0.3]
  defaults: {{kubernetes: "1.36", runtime: cri-o, agentSandbox: 1.0.3}}
components:
  kubernetes: {{title: k, default: 1.36.4, versions: [1.36.4], programs: [k], build: {{module: m, programs: {{k: .}}}}}}
  agent-sandbox: {{title: a, default: 1.0.3, versions: [1.0.3], programs: [a], build: {{module: m, programs: {{a: .}}}}}}
  tool:
    title: Tool
    default: 1.2.3
    versions: [1.2.3]
    programs: [tool]
{tool}
packages: []
"#
    )
}

/// A server with the archive and its checksum in the official layout.
async fn official() -> Server {
    let server = Server::start().await;
    let archive = archive(&[("tool-1.2.3/README", b"words"), ("./tool-1.2.3/tool", TOOL)]);
    server.answer("/v1.2.3/SHA256SUMS", checksums(&archive));
    server.answer(PATH, Answer::Body(archive));
    server
}

fn checksums(archive: &[u8]) -> Answer {
    let other = "0".repeat(64);
    Answer::Body(format!("{other}  other.tar.gz\n{}  tool-1.2.3.tar.gz\n", sha256(archive)).into_bytes())
}

async fn obtain(store: &Store) -> (Result<Component, ComponentError>, Vec<ComponentProgress>) {
    let (sender, mut receiver) = unbounded_channel();
    let result = store.obtain("tool", None, &sender).await;
    let mut progress = Vec::new();
    while let Ok(event) = receiver.try_recv() {
        progress.push(event);
    }
    (result, progress)
}

fn cached_directories(place: &Place) -> Vec<String> {
    let family = place.root().join("cache/components/tool");
    fs_err::read_dir(family)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".lock")
        .collect()
}

#[tokio::test]
async fn a_good_download_is_cached_listed_and_verified() {
    let server = official().await;
    let place = Place::new(&pins(&server.base()));
    let store = place.store();

    let (component, progress) = obtain(&store).await;
    let component = component.unwrap();
    let program = component.file("tool").unwrap();
    assert_eq!(fs_err::read(program).unwrap(), TOOL);
    assert_eq!(fs_err::metadata(program).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(component.source, Source::Download);
    assert!(!component.cached);
    let steps: Vec<Step> = progress.iter().map(|event| event.step).collect();
    assert_eq!(steps, [Step::Download, Step::Verify, Step::Done]);

    let requests = server.requests().len();
    let (again, progress) = obtain(&store).await;
    assert!(again.unwrap().cached);
    assert_eq!(progress[0].step, Step::Cached);
    assert_eq!(server.requests().len(), requests, "a cached component needs no request");

    let listed = store.list().unwrap();
    let tool = listed.iter().find(|listed| listed.name == "tool").unwrap();
    assert!(tool.cached && tool.default);
    assert_eq!(tool.size, Some(TOOL.len() as u64));
    let verified = store.verify(None).await.unwrap();
    assert_eq!(verified.len(), 1);
    assert!(verified[0].problems.is_empty());
}

#[tokio::test]
async fn a_redirect_is_followed() {
    let server = official().await;
    server.answer("/elsewhere", server.answer_at(PATH));
    server.answer(PATH, Answer::Redirect("/elsewhere".to_owned()));
    let place = Place::new(&pins(&server.base()));
    assert!(obtain(&place.store()).await.0.is_ok());
}

#[tokio::test]
async fn a_wrong_checksum_is_refused_and_leaves_nothing() {
    let server = official().await;
    server.answer("/v1.2.3/SHA256SUMS", checksums(b"something else"));
    let place = Place::new(&pins(&server.base()));
    let error = obtain(&place.store()).await.0.unwrap_err().to_string();
    assert!(error.contains("it was thrown away"), "{error}");
    assert!(error.contains(&sha256(b"something else")), "{error}");
    assert!(error.contains("build:"), "the build was tried next: {error}");
    assert_eq!(cached_directories(&place), [""; 0]);
}

#[tokio::test]
async fn a_truncated_file_is_refused() {
    let server = official().await;
    let Answer::Body(archive) = server.answer_at(PATH) else { panic!() };
    server.answer(PATH, Answer::Truncated { announced: archive.len(), sent: archive[..50].to_vec() });
    let place = Place::new(&pins(&server.base()));
    let error = obtain(&place.store()).await.0.unwrap_err().to_string();
    assert!(error.contains("ended after 50 bytes"), "{error}");
    assert_eq!(cached_directories(&place), [""; 0]);
}

#[tokio::test]
async fn an_archive_without_the_program_is_refused() {
    let server = official().await;
    let archive = archive(&[("tool-1.2.3/README", b"words")]);
    server.answer("/v1.2.3/SHA256SUMS", checksums(&archive));
    server.answer(PATH, Answer::Body(archive));
    let place = Place::new(&pins(&server.base()));
    let error = obtain(&place.store()).await.0.unwrap_err().to_string();
    assert!(error.contains("has no file tool-1.2.3/tool"), "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_is_left_after_the_idle_deadline() {
    let server = official().await;
    server.answer(PATH, Answer::Hang);
    let place = Place::new(&pins(&server.base()));
    let started = Instant::now();
    let error = obtain(&place.store()).await.0.unwrap_err().to_string();
    assert!(error.contains("sent nothing for 0.3 s"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn an_unreachable_host_is_tried_once() {
    let closed = Server::closed().await;
    let place = Place::new(&pins(&closed));
    let store = place.store();
    let first = obtain(&store).await.0.unwrap_err().to_string();
    assert!(first.contains("cannot reach 127.0.0.1:"), "{first}");
    assert!(!first.contains("tried before"), "{first}");
    let second = obtain(&store).await.0.unwrap_err().to_string();
    assert!(second.contains("tried before"), "{second}");
}

#[tokio::test]
async fn two_runs_download_once() {
    let server = official().await;
    let Answer::Body(archive) = server.answer_at(PATH) else { panic!() };
    server.answer(PATH, Answer::Slow { body: archive, delay: Duration::from_millis(150) });
    let place = Place::new(&pins(&server.base()));
    let (one, other) = (place.store(), place.store());
    let ((first, _), (second, progress)) = tokio::join!(obtain(&one), obtain(&other));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.directory, second.directory);
    assert_eq!([first.cached, second.cached].iter().filter(|cached| **cached).count(), 1);
    assert!(progress.iter().any(|event| matches!(event.step, Step::Wait | Step::Download)));
    let fetched = server.requests().iter().filter(|path| *path == PATH).count();
    assert_eq!(fetched, 1, "{:?}", server.requests());
}

#[tokio::test]
async fn a_mirror_has_the_official_layout_under_the_host() {
    let server = Server::start().await;
    let archive = archive(&[("tool-1.2.3/tool", TOOL)]);
    server.answer("/files/downloads.example/v1.2.3/SHA256SUMS", checksums(&archive));
    server.answer(&format!("/files/downloads.example{PATH}"), Answer::Body(archive));
    let place = Place::new(&pins("https://downloads.example"));
    let mirror = Some(format!("{}/files/", server.base()));
    let store = open(StoreOptions { mirror, offline: true, ..place.options() });
    let component = obtain(&store).await.0.unwrap();
    assert_eq!(component.source, Source::Mirror);
}

#[tokio::test]
async fn offline_asks_no_server() {
    let server = official().await;
    let place = Place::new(&pins(&server.base()));
    let store = open(StoreOptions { offline: true, ..place.options() });
    let error = obtain(&store).await.0.unwrap_err().to_string();
    assert_eq!(server.requests(), [""; 0]);
    assert!(error.starts_with("cannot obtain tool 1.2.3: build: "), "{error}");
}

#[tokio::test]
async fn a_damaged_copy_is_found_and_fetched_again() {
    let server = official().await;
    let place = Place::new(&pins(&server.base()));
    let store = place.store();
    let component = obtain(&store).await.0.unwrap();
    let program = component.file("tool").unwrap();
    fs_err::write(program, TOOL.to_ascii_uppercase()).unwrap();

    let verified = store.verify(Some("tool")).await.unwrap();
    assert!(verified[0].problems[0].contains("is not what was put there"), "{verified:?}");
    let (again, progress) = obtain(&store).await;
    assert!(!again.unwrap().cached);
    assert!(progress[0].detail.contains("damaged"), "{progress:?}");
    assert_eq!(fs_err::read(program).unwrap(), TOOL);
}

#[tokio::test]
async fn what_a_dead_run_left_is_cleared_away() {
    let server = official().await;
    let place = Place::new(&pins(&server.base()));
    let left = place.root().join("cache/components/tool/.partial-1-1.2.3");
    fs_err::create_dir_all(&left).unwrap();
    obtain(&place.store()).await.0.unwrap();
    assert!(!left.exists());
}

#[tokio::test]
async fn names_and_versions_that_are_not_pinned_are_named() {
    let place = Place::new(&pins("http://127.0.0.1:1"));
    let store = place.store();
    let (sender, _receiver) = unbounded_channel();
    let error = store.obtain("tol", None, &sender).await.unwrap_err().to_string();
    assert_eq!(error, "no component is called `tol`; there are agent-sandbox, kubernetes, tool");
    let error = store.obtain("tool", Some("9.9.9"), &sender).await.unwrap_err().to_string();
    assert_eq!(error, "tool is not pinned at `9.9.9`; pins.yaml has 1.2.3");
}

#[tokio::test]
async fn a_module_is_built_where_there_is_no_download() {
    if which::which("go").is_err() {
        return;
    }
    let place = Place::new(&pins_with(
        "    build: {module: m, programs: {tool: .}, links: {tool: [twin]}, variables: {main.version: 'v{version}'}}",
    ));
    let module = place.home().join("components/tool/1.2.3");
    fs_err::write(module.join("go.mod"), "module sandproof.test/components/tool\n\ngo 1.24\n").unwrap();
    let main = "package main\n\nvar version string\n\nfunc main() { print(version) }\n";
    fs_err::write(module.join("main.go"), main).unwrap();
    let store = place.store();
    let (component, progress) = obtain(&store).await;
    let component = component.unwrap();
    assert_eq!(component.source, Source::Build);
    assert!(component.origin.starts_with("m with go1."), "{}", component.origin);
    assert!(progress.iter().any(|event| event.step == Step::Modules));
    assert!(progress.iter().any(|event| event.step == Step::Compile));
    assert!(component.directory.join("twin").exists());
    let program = component.file("tool").unwrap();
    let said = sandproof_clusters::process::Process::new(program).output().await.unwrap().stderr;
    assert_eq!(said, "v1.2.3");

    fs_err::write(module.join("main.go"), "package main\n\nfunc main() { broken }\n").unwrap();
    let error = obtain(&store).await.0.unwrap_err().to_string();
    assert!(error.contains("compiling tool failed"), "a change of the module is another entry: {error}");
    assert!(error.contains("undefined: broken"), "{error}");
}
