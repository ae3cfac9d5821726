//! `components`.

use sandproof_reports::ExitCode;
use tokio_util::sync::CancellationToken;

use super::list;
use crate::{
    cli::{ComponentsCommand, GlobalArguments},
    events::Events,
    failure::Failure,
    interrupt,
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
        ComponentsCommand::Build { names } => build(&paths, global, names).await?,
        ComponentsCommand::Verify => return verify(&paths, global).await,
        ComponentsCommand::Lock { name, version } => {
            let store = provision::store(&paths, &global.sources)?;
            let version = match version {
                Some(version) => version,
                None => pinned(&store, &name)?,
            };
            let directory = store
                .lock(&name, &version)
                .await
                .map_err(|error| Failure::environment(format!("lock {name} {version}"), error))?;
            terminal::result(directory.as_str());
        }
        ComponentsCommand::Path { name, program } => {
            pinned(&provision::store(&paths, &global.sources)?, &name)?;
            let component = obtain(&paths, global, &[(name.as_str(), None)]).await?.remove(0);
            let path = component.file(&program).map_err(|error| {
                Failure::usage(error.to_string(), "`sandproof components list` names the components")
            })?;
            terminal::result(path.as_str());
        }
    }
    Ok(ExitCode::CONFORMANT)
}

async fn build(paths: &Paths, global: &GlobalArguments, names: Vec<String>) -> Result<(), Failure> {
    let store = provision::store(paths, &global.sources)?;
    let names = if names.is_empty() { store.pins().components.keys().cloned().collect() } else { names };
    for name in &names {
        pinned(&store, name)?;
    }
    let wanted: Vec<(&str, Option<&str>)> = names.iter().map(|name| (name.as_str(), None)).collect();
    for component in obtain(paths, global, &wanted).await? {
        terminal::result(&format!("{} {} {}", component.name, component.version, component.directory));
    }
    Ok(())
}

async fn obtain(
    paths: &Paths,
    global: &GlobalArguments,
    wanted: &[(&str, Option<&str>)],
) -> Result<Vec<sandproof_clusters::components::Component>, Failure> {
    let store = provision::store(paths, &global.sources)?;
    let (events, pump) = Events::start(vec![Box::new(Progress::new(global.verbose))]);
    let cancelled = CancellationToken::new();
    let listening = interrupt::listen(cancelled.clone(), events.clone())?;
    let outcome = provision::obtain(&store, wanted, &events, &cancelled).await;
    listening.abort();
    drop(events);
    pump.drain().await;
    outcome
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

fn pinned(store: &sandproof_clusters::components::Store, name: &str) -> Result<String, Failure> {
    let pins = store.pins();
    pins.component(name).map(|pin| pin.default.clone()).ok_or_else(|| {
        let names: Vec<&str> = pins.components.keys().map(String::as_str).collect();
        Failure::usage(format!("there is no component `{name}`"), format!("the components are: {}", names.join(", ")))
    })
}
