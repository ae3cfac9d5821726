//! What `doctor` says of clusters of kind: the engine, whether it does what nodes need, and where their image comes from.

use camino::Utf8PathBuf;
use sandproof_clusters::{
    components::Store,
    host::{Host, Purpose},
    kind::{Engine, OciPrograms},
};

use crate::{node_image::NodeImageSource, paths::Paths};

/// Instances of inotify that a node of kind takes, with its systemd, containerd and pods.
const INSTANCES: u64 = 64;

/// The setting that runs out first where several nodes run.
const INOTIFY: &str = "fs.inotify.max_user_instances";

/// What there is for clusters of kind.
#[derive(Debug)]
pub(super) struct KindFound {
    /// The lines, for a person.
    pub(super) lines: Vec<String>,
    /// Whether they can be made.
    pub(super) able: bool,
}

/// Looks for what clusters of kind need. A trial starts one small privileged container and removes it again.
pub(super) async fn describe(host: &Host, paths: &Paths, store: Option<&Store>) -> KindFound {
    let engine = engine(host, paths, store).await;
    let mut able = engine.is_ok();
    let mut lines = vec![format!("kind      {}", engine.unwrap_or_else(|reason| format!("no: {reason}")))];
    lines.push(match NodeImageSource::chosen() {
        NodeImageSource::Assembled => {
            "          node images are assembled here; SANDPROOF_NODE_IMAGE=official pulls them instead".to_owned()
        }
        NodeImageSource::Official => {
            "          node images are pulled by their digest; SANDPROOF_NODE_IMAGE=assembled (as root) makes them here"
                .to_owned()
        }
    });
    if let Some(instances) = host.settings.get(INOTIFY).and_then(|value| value.parse::<u64>().ok()) {
        let clusters = instances / INSTANCES;
        let remedy = if clusters < 4 { format!("; for more: sysctl {INOTIFY}=512") } else { String::new() };
        lines.push(format!("          inotify: {instances} instances are enough for about {clusters} nodes{remedy}"));
    }
    let lacking = host.missing.iter().filter(|missing| match missing.purpose {
        Purpose::KindCluster => true,
        Purpose::NodeImage => NodeImageSource::chosen() == NodeImageSource::Assembled,
        _ => false,
    });
    let lacking: Vec<_> = lacking.collect();
    able &= lacking.is_empty();
    lines.extend(
        lacking
            .into_iter()
            .map(|missing| format!("          missing: {} ({}); {}", missing.what, missing.why, missing.remedy)),
    );
    KindFound { lines, able }
}

/// The engine in a line.
async fn engine(host: &Host, paths: &Paths, store: Option<&Store>) -> Result<String, String> {
    let found = async {
        let oci = programs(host, paths, store)?;
        let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
        let private = Utf8PathBuf::from(scratch.path().to_string_lossy().into_owned());
        let engine = Engine::open(host, &private, &oci).await.map_err(|error| error.to_string())?;
        let probe = paths.program("sandproof-probe").map_err(|error| error.to_string())?;
        engine.try_privileged(&probe, &paths.state).await.map_err(|error| error.to_string())?;
        let way = if engine.is_own_service() { "through a service of our own" } else { engine.address() };
        let adaptations: Vec<&str> = engine.adaptations().iter().map(|adaptation| adaptation.name.as_str()).collect();
        let adapted =
            if adaptations.is_empty() { String::new() } else { format!(", adapted: {}", adaptations.join(", ")) };
        Ok::<_, String>(format!("{} ({way}) starts privileged containers{adapted}", engine.title()))
    };
    found.await
}

/// What a limited host's engine needs; the pinned runc, or the host's where that is not in the cache.
fn programs(host: &Host, paths: &Paths, store: Option<&Store>) -> Result<OciPrograms, String> {
    let cached = store.and_then(|store| store.list().ok()).and_then(|listed| {
        let runc = listed.into_iter().find(|listed| listed.name == "runc" && listed.cached)?;
        Some(runc.directory.join("runc"))
    });
    let wrapper = paths.program("sandproof-oci-runtime").map_err(|error| error.to_string())?;
    let runc = cached.or_else(|| host.tool("runc").map(camino::Utf8Path::to_owned));
    // Where the host needs no adaptation, it is never run.
    Ok(OciPrograms { runc: runc.unwrap_or_else(|| "/usr/sbin/runc".into()), wrapper })
}
