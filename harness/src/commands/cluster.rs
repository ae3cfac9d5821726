//! `cluster`: clusters to work with by hand.

use std::process::Stdio;

use camino::{Utf8Path, Utf8PathBuf};
use sandproof_clusters::{
    ledger::{self, Entry, EntryState},
    process::{Process, SpawnStdio},
    provider,
};
use sandproof_reports::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::suite;
use crate::{
    cli::{ClusterCommand, GlobalArguments, Keep, Profile, SelectionArguments, SubjectArguments},
    events::Events,
    failure::Failure,
    interrupt::with_events,
    paths::Paths,
    plan::{self, Plan},
    runner::{one_cell::with_cell, run::RunSettings},
    sinks::Progress,
    subject::choice::Choice,
    terminal,
};

/// Runs a cluster command.
pub(crate) async fn cluster(global: &GlobalArguments, command: ClusterCommand) -> Result<ExitCode, Failure> {
    let paths = Paths::find()?;
    match command {
        ClusterCommand::Up { name, cell, no_install } => up(global, paths, &name, cell, !no_install).await,
        ClusterCommand::Down { name } => down(&paths, &name).await,
        ClusterCommand::List { json } => list(&paths, json).await,
        ClusterCommand::Kubeconfig { name, raw } => {
            let kubeconfig = find(&paths, &name).await?.kubeconfig();
            if raw {
                let text = fs_err::read_to_string(&kubeconfig)
                    .map_err(|error| Failure::environment("read the kubeconfig", error))?;
                terminal::result(&text);
            } else {
                terminal::result(kubeconfig.as_str());
            }
            Ok(ExitCode::CONFORMANT)
        }
        ClusterCommand::Shell { name, command } => shell(global, &paths, &name, command).await,
        ClusterCommand::Logs { name, component, tail } => logs(&paths, &name, component.as_deref(), tail).await,
    }
}

async fn up(
    global: &GlobalArguments,
    paths: Paths,
    name: &str,
    cell: Option<String>,
    install: bool,
) -> Result<ExitCode, Failure> {
    let suite = suite::load(&paths, None)?;
    let selection = SelectionArguments { profile: Profile::Smoke, cell, ..SelectionArguments::default() };
    let plan = Plan::make(&selection, &plan::load_pins(&paths)?, &suite)?;
    let planned = plan
        .cells
        .into_iter()
        .next()
        .ok_or_else(|| Failure::NothingSelected { message: "no cell is selected".to_owned(), hint: None })?;
    let subject = Choice::make(&paths, &SubjectArguments::default())?;
    let expectations = suite::expectations(&paths, &suite, None)?;
    let out = paths.state.join("runs");
    let made = RunSettings::of_one_cell(paths, global.sources.clone(), out, subject);
    let settings = RunSettings { keep: Keep::Always, install, ..made };
    let kubeconfig = with_events(vec![Box::new(Progress::new(global.verbose))], async |events, cancelled| {
        with_cell(&settings, &planned, name, expectations, (events, cancelled), async |_, equipped| {
            Ok(equipped.cluster.entry().kubeconfig())
        })
        .await
    })
    .await?;
    terminal::result(&format!(
        "cluster {name} is up\n  kubeconfig: {kubeconfig}\n  shell:      ./sandproof cluster shell {name}\n  remove:     ./sandproof cluster down {name}"
    ));
    Ok(ExitCode::CONFORMANT)
}

async fn down(paths: &Paths, name: &str) -> Result<ExitCode, Failure> {
    find(paths, name).await?;
    let swept = ledger::down(&paths.state, name)
        .await
        .map_err(|error| Failure::environment(format!("remove the cluster {name}"), error))?;
    if swept.leftovers.is_nothing() {
        terminal::result(&format!("removed {name}"));
        return Ok(ExitCode::CONFORMANT);
    }
    terminal::result(&format!("removed {name}, but not: {}", swept.leftovers));
    Ok(ExitCode::LEFT_BEHIND)
}

async fn list(paths: &Paths, json: bool) -> Result<ExitCode, Failure> {
    let entries = entries(paths).await?;
    if json {
        terminal::json(&entries)?;
        return Ok(ExitCode::CONFORMANT);
    }
    if entries.is_empty() {
        terminal::result("no clusters");
        return Ok(ExitCode::CONFORMANT);
    }
    let mut rows = super::list::table(["CLUSTER", "PROVIDER", "KUBERNETES", "STATE", "NODE", "CREATED", "RUN"]);
    for entry in entries {
        rows.add_row([
            entry.name.clone(),
            entry.provider().to_string(),
            entry.kubernetes.clone(),
            state(entry.state()).to_owned(),
            entry.node(),
            entry.created.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
            entry.run.clone(),
        ]);
    }
    terminal::result(&rows.to_string());
    Ok(ExitCode::CONFORMANT)
}

/// A shell on the node, where it can be entered, with kubectl on its path.
async fn shell(global: &GlobalArguments, paths: &Paths, name: &str, command: Vec<String>) -> Result<ExitCode, Failure> {
    let entry = find(paths, name).await?;
    let store = crate::provision::store(paths, &global.sources)?;
    let (events, pump) = Events::start(vec![Box::new(Progress::new(false))]);
    let wanted = [("kubernetes", Some(entry.kubernetes.as_str()))];
    let kubernetes = crate::provision::obtain(&store, &wanted, &events, &CancellationToken::new()).await;
    drop(events);
    pump.drain().await;
    let programs = kubernetes?
        .first()
        .and_then(|component| component.file("kubectl").ok().and_then(Utf8Path::parent).map(Utf8Path::to_owned))
        .unwrap_or_else(|| Utf8PathBuf::from("/usr/bin"));
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
    let words = if command.is_empty() { vec!["/bin/sh".to_owned()] } else { command };
    let tried = format!("open a shell in {name}");
    let on_the_node = provider::node_shell(&entry, &words).map_err(|found| {
        let hint = format!("remove what is left with `./sandproof cluster down {name}`");
        Failure::environment_with_hint(&tried, found, hint)
    })?;
    // What the keyboard sends ends what runs in the shell, and not this program before it.
    let _deaf = signal(SignalKind::interrupt()).map_err(|error| Failure::environment(&tried, error))?;
    // Where no node can be entered, it is a shell of this host.
    let mut child = on_the_node
        .unwrap_or_else(|| Process::new(&words[0]).args(&words[1..]))
        .env("PATH", format!("{programs}:{path}"))
        .env("KUBECONFIG", entry.kubeconfig())
        .env("PS1", format!("{name}# "))
        .spawn(SpawnStdio { stdin: Stdio::inherit(), stdout: Stdio::inherit(), stderr: Stdio::inherit() })
        .map_err(|error| Failure::environment(&tried, error))?;
    let status = child.wait().await.map_err(|error| Failure::environment(&tried, error))?;
    match status.code() {
        Some(0) => Ok(ExitCode::CONFORMANT),
        code => Err(Failure::environment(
            "run the command in the cluster",
            code.map_or_else(|| "it was ended by a signal".to_owned(), |code| format!("it ended with {code}")),
        )),
    }
}

async fn logs(paths: &Paths, name: &str, component: Option<&str>, tail: usize) -> Result<ExitCode, Failure> {
    let entry = find(paths, name).await?;
    let tried = format!("get the logs of {name}");
    let directory = provider::logs(&entry).await.map_err(|error| Failure::environment(tried, error))?;
    let mut files: Vec<Utf8PathBuf> = directory
        .read_dir_utf8()
        .map_err(|error| Failure::environment(format!("read the logs in {directory}"), error))?
        .filter_map(|entry| Some(entry.ok()?.into_path()))
        .filter(|path| path.extension() == Some("log"))
        .filter(|path| component.is_none_or(|component| path.file_stem() == Some(component)))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(Failure::usage(
            format!("cluster {name} has no log of {}", component.unwrap_or("any program")),
            format!("the logs are in {directory}"),
        ));
    }
    let single = files.len() == 1;
    for file in files {
        let bytes = fs_err::read(&file).map_err(|error| Failure::environment("read a log", error))?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let from = if tail == 0 { 0 } else { lines.len().saturating_sub(tail) };
        if !single {
            terminal::result(&format!("==> {} <==", file.file_stem().unwrap_or_default()));
        }
        terminal::result(&lines[from..].join("\n"));
    }
    Ok(ExitCode::CONFORMANT)
}

async fn entries(paths: &Paths) -> Result<Vec<Entry>, Failure> {
    ledger::list(&paths.state).await.map_err(|error| Failure::environment("read the ledger", error))
}

async fn find(paths: &Paths, name: &str) -> Result<Entry, Failure> {
    let entries = entries(paths).await?;
    let names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
    entries.into_iter().find(|entry| entry.name == name).ok_or_else(|| {
        let hint = if names.is_empty() {
            "there are no clusters".to_owned()
        } else {
            format!("the clusters are: {}", names.join(", "))
        };
        Failure::usage(format!("there is no cluster `{name}`"), hint)
    })
}

fn state(state: EntryState) -> &'static str {
    match state {
        EntryState::Owned => "running",
        EntryState::Kept => "kept",
        EntryState::Dead => "dead",
    }
}
