//! The registry from outside: what clients see, and what the log says about them.
//!
//! Every test runs against a small stub behind the gate, and against the real program too when
//! `SANDPROOF_TEST_REGISTRY` names it.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod client;
mod stub;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use client::{Answer, Client};
use http::StatusCode;
use sandproof_clusters::{
    images::{Image, ImageBuilder},
    registry::{
        Access, Failure, ListenerKind, Pushed, Registry, RegistryError, RegistryOptions, RequestKind, random_word,
    },
};
use sha2::{Digest, Sha256};

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A registry with three images: `public/app` for all, `private/app` for alice, `none/app` for nobody.
struct Scene {
    registry: Registry,
    image: Image,
    password: String,
    directory: tempfile::TempDir,
}

impl Scene {
    /// One scene on the stub, and one on the real program when there is one.
    async fn all() -> Vec<Self> {
        let mut scenes = vec![Self::new(None).await];
        if let Some(program) = std::env::var_os("SANDPROOF_TEST_REGISTRY") {
            scenes.push(Self::new(Some(Utf8PathBuf::try_from(std::path::PathBuf::from(program)).unwrap())).await);
        }
        scenes
    }

    async fn new(program: Option<Utf8PathBuf>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path()).unwrap();
        let registry = if let Some(distribution) = program {
            let directory = path.join("registry");
            Registry::start(RegistryOptions { distribution, directory, authority: None }).await.unwrap()
        } else {
            let socket = path.join("stub.sock");
            stub::serve(&socket);
            Registry::in_front_of(&socket).unwrap()
        };
        let image = ImageBuilder::static_binary("/agent", vec![7; 300_000]).label("run", "1").build().unwrap();
        let password = random_word();
        registry.add_user("alice", &password);
        registry.add_user("bob", &password);
        registry.grant("public/app", Access::Public);
        registry.grant("private/app", Access::Users(vec!["alice".to_owned()]));
        for repository in ["public/app", "private/app", "none/app"] {
            registry.push(&image, repository, "v1").await.unwrap();
        }
        Self { registry, image, password, directory }
    }

    fn client(&self, kind: ListenerKind) -> Client {
        let address = self.registry.listen(LOOPBACK, kind).unwrap();
        if kind.is_tls() { Client::tls(address, self.registry.ca_pem()) } else { Client::plain(address) }
    }

    /// Fetches manifest, configuration and layer and compares all digests.
    async fn pull(&self, client: &Client, repository: &str) {
        let manifest = client.get(&format!("/v2/{repository}/manifests/v1")).await;
        assert_eq!(manifest.status, StatusCode::OK, "{manifest:?}");
        assert_eq!(digest_of(&manifest.body), self.image.digest());
        let layer = self.image.layers()[0].digest();
        for digest in [self.image.config_digest(), layer] {
            let blob = client.get(&format!("/v2/{repository}/blobs/{digest}")).await;
            assert_eq!(blob.status, StatusCode::OK, "{:?}", blob.headers);
            assert_eq!(digest_of(&blob.body), digest);
        }
    }
}

fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

fn assert_error(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    assert_eq!(answer.json()["errors"][0]["code"], code, "{answer:?}");
}

#[tokio::test]
async fn basic_listeners_ask_for_a_password_where_one_is_needed() {
    for scene in Scene::all().await {
        let anonymous = scene.client(ListenerKind::PlainBasic);
        let ping = anonymous.get("/v2/").await;
        assert_error(&ping, 401, "UNAUTHORIZED");
        assert_eq!(ping.challenge(), "Basic realm=\"sandproof\"");
        scene.pull(&anonymous, "public/app").await;
        // What CRI-O's client sends without credentials.
        scene.pull(&anonymous.user("", ""), "public/app").await;

        let manifest = "/v2/private/app/manifests/v1";
        let refused = anonymous.get(manifest).await;
        assert_error(&refused, 401, "UNAUTHORIZED");
        assert_eq!(refused.challenge(), "Basic realm=\"sandproof\"");
        assert_error(&anonymous.user("alice", "wrong").get(manifest).await, 401, "UNAUTHORIZED");
        let denied = anonymous.user("bob", &scene.password).get(manifest).await;
        assert_error(&denied, 403, "DENIED");
        let detail = &denied.json()["errors"][0]["detail"][0];
        assert_eq!((&detail["Name"], &detail["Action"]), (&"private/app".into(), &"pull".into()));
        let alice = anonymous.user("alice", &scene.password);
        assert_eq!(alice.get("/v2/").await.status, StatusCode::OK);
        scene.pull(&alice, "private/app").await;
        assert_error(&alice.get("/v2/none/app/manifests/v1").await, 403, "DENIED");
        let head = alice.head(manifest).await;
        assert_eq!(head.headers["content-length"], scene.image.manifest().len().to_string());
        assert_eq!(head.headers["docker-content-digest"], scene.image.digest());
        assert_eq!(anonymous.get("/token").await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn bearer_listeners_give_tokens_for_what_a_user_may_pull() {
    for scene in Scene::all().await {
        let anonymous = scene.client(ListenerKind::PlainBearer);
        let address = anonymous.address;
        let ping = anonymous.get("/v2/").await;
        assert_error(&ping, 401, "UNAUTHORIZED");
        assert_eq!(ping.challenge(), format!("Bearer realm=\"http://{address}/token\",service=\"sandproof\""));
        let challenged = anonymous.get("/v2/private/app/manifests/v1").await;
        assert_eq!(
            challenged.challenge(),
            format!(
                "Bearer realm=\"http://{address}/token\",service=\"sandproof\",scope=\"repository:private/app:pull\""
            )
        );

        let scopes = "/token?service=sandproof&scope=repository:private/app:pull&scope=repository:public/app:pull";
        let answer = anonymous.get(scopes).await.json();
        assert_eq!(answer["scope"], "repository:public/app:pull");
        assert_eq!(answer["expires_in"], 300);
        let token = anonymous.token(answer["token"].as_str().unwrap());
        scene.pull(&token, "public/app").await;
        let short = token.get("/v2/private/app/manifests/v1").await;
        assert_error(&short, 401, "UNAUTHORIZED");
        assert!(short.challenge().ends_with(",error=\"insufficient_scope\""), "{}", short.challenge());

        assert_error(&anonymous.user("alice", "wrong").get(scopes).await, 401, "UNAUTHORIZED");
        let answer = anonymous.user("alice", &scene.password).get(scopes).await.json();
        scene.pull(&anonymous.token(answer["access_token"].as_str().unwrap()), "private/app").await;

        let form = format!(
            "grant_type=password&service=sandproof&client_id=test&username=alice&password={}&scope=repository%3Aprivate%2Fapp%3Apull",
            scene.password
        );
        let answer = anonymous.send("POST", "/token", &form).await.unwrap().json();
        scene.pull(&anonymous.token(answer["token"].as_str().unwrap()), "private/app").await;
        let refresh = anonymous.send("POST", "/token", "grant_type=refresh_token&refresh_token=x").await.unwrap();
        assert_error(&refresh, 401, "UNAUTHORIZED");

        let stale = anonymous.token("made-up").get("/v2/public/app/manifests/v1").await;
        assert!(stale.challenge().ends_with(",error=\"invalid_token\""), "{}", stale.challenge());
    }
}

#[tokio::test]
async fn tls_listeners_are_trusted_through_the_private_authority_only() {
    for scene in Scene::all().await {
        let basic = scene.client(ListenerKind::TlsBasic);
        scene.pull(&basic, "public/app").await;
        let bearer = scene.client(ListenerKind::TlsBearer);
        let challenge = bearer.get("/v2/").await.challenge().to_owned();
        assert!(challenge.contains(&format!("realm=\"https://{}/token\"", bearer.address)), "{challenge}");
        let answer = bearer.user("alice", &scene.password).get("/token?scope=repository:private/app:pull").await;
        scene.pull(&bearer.token(answer.json()["token"].as_str().unwrap()), "private/app").await;

        let other = Registry::in_front_of(&Utf8Path::from_path(scene.directory.path()).unwrap().join("none.sock"));
        let stranger = Client::tls(basic.address, other.unwrap().ca_pem());
        let error = stranger.send("GET", "/v2/", "").await.unwrap_err();
        assert!(error.contains("certificate"), "{error}");
    }
}

#[tokio::test]
async fn nobody_but_the_harness_writes() {
    for scene in Scene::all().await {
        let alice = scene.client(ListenerKind::PlainBasic).user("alice", &scene.password);
        for (method, path) in [
            ("POST", "/v2/private/app/blobs/uploads/"),
            ("PUT", "/v2/private/app/manifests/v1"),
            ("DELETE", "/v2/private/app/manifests/v1"),
        ] {
            assert_error(&alice.send(method, path, "").await.unwrap(), 403, "DENIED");
        }
        for path in ["/v2/private%2Fapp/manifests/v1", "/v2/public/app/../../private/app/manifests/v1"] {
            assert_error(&alice.get(path).await, 400, "NAME_INVALID");
        }
    }
}

#[tokio::test]
async fn the_log_says_who_asked_for_what_and_got_what() {
    for scene in Scene::all().await {
        let mut live = scene.registry.subscribe();
        let anonymous = scene.client(ListenerKind::PlainBasic);
        let manifest = "/v2/private/app/manifests/v1";
        anonymous.head(manifest).await;
        anonymous.user("alice", "wrong").get(manifest).await;
        anonymous.user("alice", &scene.password).get(manifest).await;
        let layer = scene.image.layers()[0].digest();
        anonymous.user("alice", &scene.password).get(&format!("/v2/private/app/blobs/{layer}")).await;
        let bearer = scene.client(ListenerKind::PlainBearer);
        bearer.user("bob", &scene.password).get("/token?scope=repository:private/app:pull").await;
        bearer.user("carol", "wrong").get("/token?scope=repository:private/app:pull").await;

        let records = scene.registry.requests("private/app");
        let lines: Vec<String> = records
            .iter()
            .map(|record| {
                let reference = record.reference.as_deref().unwrap_or("-").replace(layer, "LAYER");
                format!(
                    "{} {:?} {reference} user={} tried={} {} {}",
                    record.method,
                    record.kind,
                    record.user.as_deref().unwrap_or("-"),
                    record.credentials_presented.as_deref().unwrap_or("-"),
                    record.status.unwrap_or(0),
                    record.reason.as_deref().unwrap_or("-"),
                )
            })
            .collect();
        insta::allow_duplicates! {
            insta::assert_snapshot!(lines.join("\n"), @r#"
            HEAD Manifest v1 user=- tried=- 401 no credentials for a private repository
            GET Manifest v1 user=- tried=alice 401 wrong user name or password for "alice"
            GET Manifest v1 user=alice tried=alice 200 -
            GET Blob LAYER user=alice tried=alice 200 -
            GET Token - user=bob tried=bob 200 not every scope was granted
            GET Token - user=- tried=carol 401 wrong user name or password for "carol"
            "#);
        }
        for record in &records {
            assert_eq!(live.recv().await.unwrap(), *record);
        }
        assert!(records.windows(2).all(|pair| pair[0].at <= pair[1].at));
        let json = serde_json::to_string(&scene.registry.all_requests()).unwrap();
        assert!(!json.contains(&scene.password), "a password is in the log");
        assert!(json.contains("sandproof (harness)") && json.contains("\"credentialsPresented\":\"alice\""));
    }
}

#[tokio::test]
async fn failures_are_switched_on_and_off() {
    for scene in Scene::all().await {
        let client = scene.client(ListenerKind::PlainBasic);
        let path = "/v2/public/app/manifests/v1";
        let layer = scene.image.layers()[0].digest();

        scene.registry.fail("public/app", Some(Failure::Status(503)));
        assert_error(&client.get(path).await, 503, "UNAVAILABLE");
        scene.registry.fail("public/app", Some(Failure::Status(429)));
        assert_error(&client.get(path).await, 429, "TOOMANYREQUESTS");
        scene.registry.push(&scene.image, "public/app", "v2").await.unwrap();

        scene.registry.fail("public/app", Some(Failure::Reset));
        let error = client.send("GET", path, "").await.unwrap_err();
        assert!(error.contains("ConnectionReset"), "{error}");

        scene.registry.fail("public/app", Some(Failure::Hang));
        let hung = tokio::time::timeout(Duration::from_millis(200), client.send("GET", path, "")).await;
        assert!(hung.is_err(), "{hung:?}");

        scene.registry.fail("public/app", Some(Failure::WrongDigest));
        assert_eq!(digest_of(&client.get(path).await.body), scene.image.digest());
        let blob = client.get(&format!("/v2/public/app/blobs/{layer}")).await;
        assert_eq!(blob.body.len() as u64, scene.image.layers()[0].size());
        assert_ne!(digest_of(&blob.body), layer);

        scene.registry.fail("public/app", None);
        scene.pull(&client, "public/app").await;
        let statuses: Vec<_> = scene.registry.requests("public/app").iter().map(|record| record.status).collect();
        assert_eq!(statuses[..4], [Some(503), Some(429), None, None]);
    }
}

#[tokio::test]
async fn a_layer_is_uploaded_once_however_many_push_it() {
    for scene in Scene::all().await {
        let registry = Arc::new(scene.registry);
        let base = ImageBuilder::static_binary("/other", vec![9; 200_000]).build().unwrap();
        let before = registry.all_requests().len();
        let pushes = (0..8).map(|index| {
            let registry = Arc::clone(&registry);
            let image = base.with_label("index", &index.to_string()).unwrap();
            tokio::spawn(async move {
                let pushed = registry.push(&image, &format!("many/app{index}"), "v1").await.unwrap();
                assert_eq!(pushed.digest, image.digest());
                pushed
            })
        });
        let answers: Vec<Pushed> = futures::future::join_all(pushes).await.into_iter().map(Result::unwrap).collect();
        let mut digests: Vec<&str> = answers.iter().map(|pushed| pushed.digest.as_str()).collect();
        digests.dedup();
        assert_eq!(digests.len(), 8);
        assert_eq!(answers[3].reference("10.0.0.1:5000"), "10.0.0.1:5000/many/app3:v1");
        let records = registry.all_requests().split_off(before);
        let uploads = records.iter().filter(|record| record.kind == RequestKind::Blob && record.method == "PUT");
        assert_eq!(uploads.count(), 9, "the layer once, and eight configurations");
        registry.grant("many/app7", Access::Public);
        let client = Client::plain(registry.listen(LOOPBACK, ListenerKind::PlainBasic).unwrap());
        let layer = base.layers()[0].digest();
        let blob = client.get(&format!("/v2/many/app7/blobs/{layer}")).await;
        assert_eq!(digest_of(&blob.body), layer, "the layer was mounted");
        let error = registry.push(&base, "Many/App", "v1").await.unwrap_err().to_string();
        assert!(error.contains("Many/App:v1"), "{error}");
    }
}

#[tokio::test]
async fn a_closed_listener_and_a_shut_down_registry_refuse_connections() {
    for scene in Scene::all().await {
        let one = scene.client(ListenerKind::PlainBasic);
        let other = scene.client(ListenerKind::PlainBasic);
        scene.registry.close(one.address);
        // The listener's task ends at its next turn.
        let refused = async {
            while one.send("GET", "/v2/", "").await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), refused).await.unwrap();
        assert_eq!(other.get("/v2/").await.status, StatusCode::UNAUTHORIZED);
        let death = scene.registry.death();
        scene.registry.shutdown().await;
        assert!(other.send("GET", "/v2/", "").await.is_err());
        if let Some(death) = death {
            assert!(death.borrow().as_deref().unwrap_or_default().starts_with("stopped"));
        }
    }
}

#[tokio::test]
async fn a_registry_behind_the_gate_that_is_gone_is_a_502() {
    let directory = tempfile::tempdir().unwrap();
    let socket = Utf8Path::from_path(directory.path()).unwrap().join("none.sock");
    let registry = Registry::in_front_of(&socket).unwrap();
    registry.grant("a", Access::Public);
    let client = Client::plain(registry.listen(LOOPBACK, ListenerKind::PlainBasic).unwrap());
    assert_error(&client.get("/v2/a/manifests/v1").await, 502, "UNAVAILABLE");
    let record = registry.requests("a").remove(0);
    assert!(record.reason.unwrap().contains("cannot connect"));
}

/// Starts a shell script in the place of the registry program.
async fn start_script(script: &str) -> Result<Registry, RegistryError> {
    let directory = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(directory.path()).unwrap().to_owned();
    // The program is called as `registry serve config.yml`, which makes a shell read the file `serve`.
    fs_err::write(path.join("serve"), script).unwrap();
    Registry::start(RegistryOptions { distribution: "/bin/sh".into(), directory: path, authority: None }).await
}

#[tokio::test]
async fn a_registry_process_that_ends_by_itself_is_reported() {
    let registry = start_script("echo listening on a socket >&2; echo out of luck >&2; exit 3").await.unwrap();
    let mut death = registry.death().unwrap();
    let report = tokio::time::timeout(Duration::from_secs(20), death.wait_for(Option::is_some)).await.unwrap();
    let report = report.unwrap().clone().unwrap();
    assert!(report.contains("ended by itself (exit status: 3)") && report.contains("out of luck"), "{report}");
}

#[tokio::test]
async fn a_program_that_is_no_registry_is_an_error_with_its_last_words() {
    let error = start_script("echo wrong program >&2; exit 3").await.unwrap_err().to_string();
    assert!(error.contains("it ended") && error.contains("wrong program"), "{error}");
}
