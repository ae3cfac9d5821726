//! `components`.

use sandproof_clusters::{
    components::{Component, ComponentPin, Store, nearest},
    kind::NODE_IMAGE,
};
use sandproof_reports::ExitCode;

use super::list;
use crate::{
    cli::{ComponentsCommand, GlobalArguments},
    failure::Failure,
    interrupt::with_events,
    node_image,
    paths::Paths,
    provision,
    sinks::Progress,
    terminal,
};

/// Runs a components command.
pub(crate) async fn components(global: &GlobalArguments, command: ComponentsCommand) -> Result<ExitCode, Failure> {
    let paths = Paths::find()?;
    match command {
        ComponentsCommand::List { json } => list::components(&paths, global, json)?,
        ComponentsCommand::Build { names, every } => build(&paths, global, names, every).await?,
        ComponentsCommand::Verify => return verify(&paths, global).await,
        ComponentsCommand::Lock { name } => {
            let store = provision::store(&paths, &global.sources)?;
            let (name, version) = match name.split_once('@') {
                Some((name, version)) => (name, version.trim_start_matches('v').to_owned()),
                None => (name.as_str(), pin(&store, &name)?.default.clone()),
            };
            let directory = store
                .lock(name, &version)
                .await
                .map_err(|error| Failure::environment(format!("lock {name} {version}"), error))?;
            terminal::result(directory.as_str());
        }
        ComponentsCommand::Path { name, program } => {
            let (name, version) = pinned(&provision::store(&paths, &global.sources)?, &name)?;
            let component = obtain(&paths, global, &[(&name, Some(&version))]).await?.remove(0);
            let path = component.file(&program).map_err(|error| {
                Failure::usage(error.to_string(), "`sandproof components list` names the components")
            })?;
            terminal::result(path.as_str());
        }
    }
    Ok(ExitCode::CONFORMANT)
}

async fn build(paths: &Paths, global: &GlobalArguments, names: Vec<String>, every: bool) -> Result<(), Failure> {
    let store = provision::store(paths, &global.sources)?;
    let (images, names): (Vec<String>, Vec<String>) =
        names.into_iter().partition(|name| name.split('@').next() == Some(NODE_IMAGE));
    for image in &images {
        node_image(paths, global, &store, image).await?;
    }
    if names.is_empty() && !images.is_empty() {
        return Ok(());
    }
    let wanted: Vec<(String, String)> = match (every, names.is_empty()) {
        (true, _) => {
            let versions = |(name, pin): (&String, &ComponentPin)| -> Vec<(String, String)> {
                pin.versions.iter().map(|version| (name.clone(), version.clone())).collect()
            };
            store.pins().components.iter().flat_map(versions).collect()
        }
        (false, true) => {
            store.pins().components.iter().map(|(name, pin)| (name.clone(), pin.default.clone())).collect()
        }
        (false, false) => names.iter().map(|name| pinned(&store, name)).collect::<Result<_, _>>()?,
    };
    let wanted: Vec<(&str, Option<&str>)> =
        wanted.iter().map(|(name, version)| (name.as_str(), Some(version.as_str()))).collect();
    for component in obtain(paths, global, &wanted).await? {
        terminal::result(&format!("{} {} {}", component.name, component.version, component.directory));
    }
    Ok(())
}

/// Assembles a node image for kind clusters.
async fn node_image(paths: &Paths, global: &GlobalArguments, store: &Store, wanted: &str) -> Result<(), Failure> {
    let (kubernetes, containerd) = node_image::versions(&store.pins().axes, wanted)?;
    let image = with_events(vec![Box::new(Progress::new(global.verbose))], async |events, cancelled| {
        node_image::assembled(store, paths, (&kubernetes, &containerd), events, cancelled).await
    })
    .await?;
    terminal::result(&format!("{NODE_IMAGE} {kubernetes} {}", image.reference));
    Ok(())
}

async fn obtain(
    paths: &Paths,
    global: &GlobalArguments,
    wanted: &[(&str, Option<&str>)],
) -> Result<Vec<Component>, Failure> {
    let store = provision::store(paths, &global.sources)?;
    with_events(vec![Box::new(Progress::new(global.verbose))], async |events, cancelled| {
        provision::obtain(&store, wanted, events, cancelled).await
    })
    .await
}

async fn verify(paths: &Paths, global: &GlobalArguments) -> Result<ExitCode, Failure> {
    let store = provision::store(paths, &global.sources)?;
    let verified =
        store.verify(None).await.map_err(|error| Failure::environment("verify the cached components", error))?;
    let mut sound = true;
    for component in &verified {
        let state = if component.problems.is_empty() {
            format!("{} files match their checksums", component.files)
        } else {
            sound = false;
            component.problems.join("; ")
        };
        terminal::result(&format!("{} {}: {state}", component.name, component.version));
    }
    if verified.is_empty() {
        terminal::result("the cache has no components");
    }
    Ok(if sound { ExitCode::CONFORMANT } else { ExitCode::ENVIRONMENT })
}

/// The component and the version that `NAME` or `NAME@VERSION` means.
/// A version that is not pinned is never replaced by another one in silence; the nearest is offered.
fn pinned(store: &Store, wanted: &str) -> Result<(String, String), Failure> {
    let (name, version) = match wanted.split_once('@') {
        Some((name, version)) => (name, Some(version.trim_start_matches('v'))),
        None => (wanted, None),
    };
    let pin = pin(store, name)?;
    let version = version.unwrap_or(&pin.default);
    if pin.versions.iter().any(|known| known == version) {
        return Ok((name.to_owned(), version.to_owned()));
    }
    let offer = match nearest(version, pin.versions.iter().map(String::as_str)) {
        Some(nearest) => {
            format!("the nearest that is pinned: {name}@{nearest}; all of them: {}", pin.versions.join(", "))
        }
        None => "nothing of it is pinned".to_owned(),
    };
    Err(Failure::usage(format!("{name} {version} is not pinned in clusters/pins.yaml"), offer))
}

fn pin<'a>(store: &'a Store, name: &str) -> Result<&'a ComponentPin, Failure> {
    let pins = store.pins();
    pins.component(name).ok_or_else(|| {
        let names: Vec<&str> = pins.components.keys().map(String::as_str).collect();
        Failure::usage(format!("there is no component `{name}`"), format!("the components are: {}", names.join(", ")))
    })
}
