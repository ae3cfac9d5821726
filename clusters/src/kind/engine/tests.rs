//! The engine for real, where there is one that may start containers; elsewhere the tests pass by saying so.

use super::*;
use crate::kind::labels::Ownership;

/// A directory of its own, and an engine whose things have it as their state directory.
struct Scene {
    directory: tempfile::TempDir,
    engine: Engine,
}

impl Scene {
    async fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let host = Host::probe();
        let runc = which::which("runc").ok().and_then(|path| Utf8PathBuf::from_path_buf(path).ok());
        let Some(runc) = runc.filter(|_| host.root) else {
            skipped("a container engine that runs as root, and runc in front of which ours can stand, are needed");
            return None;
        };
        // Nothing is started here that its adjustments would change.
        let oci = OciPrograms { wrapper: runc.clone(), runc };
        let private = Utf8PathBuf::from_path_buf(directory.path().join("engine")).unwrap();
        match Engine::open(&host, &private, &oci).await {
            Ok(engine) => Some(Self { directory, engine }),
            Err(error) => {
                skipped(&error.to_string());
                None
            }
        }
    }

    fn ownership(&self, id: &str) -> Ownership {
        Ownership {
            run: "run".to_owned(),
            cluster: "one".to_owned(),
            id: id.to_owned(),
            state: Utf8PathBuf::from_path_buf(self.directory.path().to_owned()).unwrap(),
        }
    }
}

fn skipped(why: &str) {
    println!("skipped: {why}");
}

fn id() -> String {
    crate::registry::random_word().to_ascii_lowercase()
}

#[tokio::test]
async fn what_is_made_has_labels_and_goes_by_them() {
    let Some(scene) = Scene::new().await else { return };
    let (one, other) = (id(), id());
    for id in [&one, &other] {
        let gateway = scene.engine.create_network(&format!("sandproof-{id}"), &scene.ownership(id)).await.unwrap();
        assert!(gateway.is_private(), "{gateway}");
    }
    assert_eq!(scene.engine.remove_all(&one).await.unwrap(), Vec::<String>::new());
    let left: Vec<String> = scene.engine.things().await.unwrap().into_iter().map(|thing| thing.ownership.id).collect();
    assert!(!left.contains(&one) && left.contains(&other), "{left:?}");
    assert_eq!(scene.engine.remove_all(&other).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn an_engine_is_reached_again_by_what_the_ledger_keeps() {
    let Some(scene) = Scene::new().await else { return };
    let id = id();
    scene.engine.create_network(&format!("sandproof-{id}"), &scene.ownership(&id)).await.unwrap();
    let hold = scene.engine.hold();
    scene.engine.close().await;
    let private = Utf8PathBuf::from_path_buf(scene.directory.path().join("again")).unwrap();
    let again = Engine::of(&hold, &private).await.unwrap();
    assert_eq!(again.remove_all(&id).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn an_image_that_is_not_there_is_not_found() {
    let Some(scene) = Scene::new().await else { return };
    assert!(!scene.engine.has_image("localhost/sandproof/nothing:1").await.unwrap());
    let error = scene.engine.node("sandproof-nothing").await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
}

#[tokio::test]
async fn a_socket_where_nobody_answers_is_named() {
    let error = discovery::connect("/nonexistent/engine.sock".into()).await.unwrap_err().to_string();
    assert!(error.contains("/nonexistent/engine.sock"), "{error}");
}
