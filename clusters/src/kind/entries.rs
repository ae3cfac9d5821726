//! What can be done with a cluster of which only its ledger entry or its labels are known.

use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};

use super::{Engine, Flavor, Holdings, KindError, engine::Thing, logs as node_logs};
use crate::{
    ledger::{Entry, Ledger, is_cluster_name},
    native::remove_directory,
    process::Process,
    provider::{Deletion, LeftBehind},
};

/// Removes a cluster through the engine that it has, then its entry.
pub(super) async fn delete(state: &Utf8Path, entry: &Entry<Holdings>, engine: Engine) -> Deletion {
    let began = Instant::now();
    let left = match from_engine(engine, &entry.directory, &entry.id).await {
        // The engine may have gone and be back, and a service of our own is started again.
        LeftBehind::Unknown(_) => remove(&entry.directory, &entry.id, &entry.holdings).await,
        left => left,
    };
    finish(state, &entry.id, left, began)
}

/// Removes a cluster through its engine, reached anew.
pub(super) async fn delete_anew(state: &Utf8Path, entry: &Entry<Holdings>) -> Deletion {
    let began = Instant::now();
    let left = remove(&entry.directory, &entry.id, &entry.holdings).await;
    finish(state, &entry.id, left, began)
}

fn finish(state: &Utf8Path, id: &str, left: LeftBehind, began: Instant) -> Deletion {
    let left = match left {
        LeftBehind::Nothing => match Ledger::open(state).and_then(|ledger| ledger.remove(id)) {
            Ok(()) => LeftBehind::Nothing,
            Err(error) => LeftBehind::These(vec![error.to_string()]),
        },
        left => left,
    };
    Deletion { seconds: began.elapsed().as_secs_f64(), left }
}

/// Removes everything that an entry names, except the entry.
pub(crate) async fn remove(directory: &Utf8Path, id: &str, holdings: &Holdings) -> LeftBehind {
    let Some(hold) = &holdings.engine else {
        // Nothing was made before the engine was known.
        return remove_directory(directory).await.into();
    };
    // Without its private configuration podman cannot end what was started with it.
    if let Some(process) = holdings.first_process.filter(|_| hold.flavor == Flavor::Podman) {
        let _ = process.kill();
    }
    match Engine::of(hold, &directory.join("engine")).await {
        Ok(engine) => from_engine(engine, directory, id).await,
        Err(error) => LeftBehind::Unknown(format!("{}: {error}", holdings.node)),
    }
}

async fn from_engine(engine: Engine, directory: &Utf8Path, id: &str) -> LeftBehind {
    let removed = engine.remove_all(id).await;
    // Its service writes into the directory until it has ended.
    engine.close().await;
    match removed {
        Ok(left) if left.is_empty() => remove_directory(directory).await.into(),
        // The directory has what the next attempt needs.
        Ok(left) => left.into(),
        Err(error) => LeftBehind::Unknown(error.to_string()),
    }
}

/// Looks for what there still is of a cluster.
pub(crate) async fn remains(directory: &Utf8Path, id: &str, holdings: &Holdings) -> LeftBehind {
    let mut lines = Vec::new();
    if directory.exists() {
        lines.push(format!("directory {directory}"));
    }
    let Some(hold) = &holdings.engine else { return lines.into() };
    let scratch = match tempfile::tempdir() {
        Ok(scratch) => scratch,
        Err(error) => return LeftBehind::Unknown(error.to_string()),
    };
    let private = Utf8PathBuf::from(scratch.path().to_string_lossy().into_owned());
    let found = async {
        let engine = Engine::of(hold, &private).await?;
        let things = engine.things().await;
        engine.close().await;
        things
    };
    match found.await {
        Ok(things) => {
            lines.extend(things.iter().filter(|thing| thing.ownership.id == id).map(Thing::describe));
            lines.into()
        }
        Err(error) => LeftBehind::Unknown(error.to_string()),
    }
}

/// Removes what has labels of the state directory `state` and no entry in its ledger; returns the clusters' names,
/// runs, and what is left of each. An engine that does not answer has nothing to sweep.
pub(crate) async fn sweep_labels(state: &Utf8Path) -> Vec<(String, String, LeftBehind)> {
    let mut swept = Vec::new();
    let Ok(scratch) = tempfile::tempdir() else { return swept };
    let private = Utf8PathBuf::from(scratch.path().to_string_lossy().into_owned());
    let Ok(engine) = Engine::any(&private).await else { return swept };
    let orphans = async {
        let things = engine.things().await?;
        // Read after the engine was asked: an entry is written before anything is made for it.
        let entries = Ledger::open(state).and_then(|ledger| ledger.entries()).unwrap_or_default();
        let mut orphans: Vec<_> = things
            .into_iter()
            .map(|thing| thing.ownership)
            .filter(|ownership| ownership.is_of(state) && !entries.iter().any(|entry| entry.id == ownership.id))
            .collect();
        orphans.sort();
        orphans.dedup();
        let taken: Vec<String> = entries.into_iter().map(|entry| entry.name).collect();
        Ok::<_, super::EngineError>((orphans, taken))
    };
    let (orphans, taken) = orphans.await.unwrap_or_default();
    for orphan in orphans {
        let left = match engine.remove_all(&orphan.id).await {
            // By custom its directory has its name; one with an entry belongs to another cluster of that name.
            // A label that is no name would lead elsewhere: whoever may talk to the engine can write labels.
            Ok(left) if left.is_empty() && is_cluster_name(&orphan.cluster) && !taken.contains(&orphan.cluster) => {
                remove_directory(&state.join("clusters").join(&orphan.cluster)).await.into()
            }
            Ok(left) => left.into(),
            Err(error) => LeftBehind::Unknown(error.to_string()),
        };
        swept.push((orphan.cluster, orphan.run, left));
    }
    engine.close().await;
    swept
}

/// A process that runs `words` in the node, for a person.
pub(crate) fn node_shell(holdings: &Holdings, words: &[String]) -> Result<Process, String> {
    let hold = holdings.engine.as_ref().ok_or_else(|| "it never had a node".to_owned())?;
    if !holdings.may_run() {
        return Err("its node has ended".to_owned());
    }
    Ok(hold
        .environment
        .iter()
        .fold(Process::new(&hold.program), |process, (name, value)| process.env(name, value))
        .args(["exec", "--interactive"])
        .args(std::io::IsTerminal::is_terminal(&std::io::stdin()).then_some("--tty"))
        .args(["--env", "KUBECONFIG=/etc/kubernetes/admin.conf", &holdings.node])
        .args(words))
}

/// The directory with the logs of the node's programs, fetched now.
pub(crate) async fn logs(directory: &Utf8Path, holdings: &Holdings) -> Result<Utf8PathBuf, KindError> {
    let to = directory.join("logs");
    if let Some(hold) = &holdings.engine
        && holdings.may_run()
    {
        let command = || {
            hold.environment.iter().fold(Process::new(&hold.program), |process, (name, value)| process.env(name, value))
        };
        node_logs::programs(&command, &holdings.node, &to).await?;
    }
    Ok(to)
}
