//! Runs inside a sandbox and reports what it finds there as one JSON object.
//!
//! `sandproof-probe report --supervisor PATH` looks at the supervisor, its mount and process 1;
//! `sandproof-probe cluster --service-host HOST --image-volume PATH` looks at name resolution, a service and an image volume;
//! `sandproof-probe idle` waits for SIGTERM.

mod cluster;
mod execution;
mod mounts;
mod process;
mod report;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

/// The exit status for a wrong command line.
const USAGE: u8 = 2;
const HELP: &str = "usage: sandproof-probe report --supervisor PATH
       sandproof-probe cluster --service-host HOST --image-volume PATH
       sandproof-probe idle
       sandproof-probe --version";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("could not start the runtime: {error}"), 1),
    };
    let outcome = runtime.block_on(run(&arguments));
    // A name still being looked up must not hold the report back.
    runtime.shutdown_background();
    match outcome {
        Ok(output) => match writeln!(std::io::stdout(), "{output}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("could not print the report: {error}"), 1),
        },
        Err(problem) => fail(&problem, USAGE),
    }
}

async fn run(arguments: &[String]) -> Result<String, String> {
    let (verb, rest) = arguments.split_first().ok_or(HELP)?;
    let options = options(rest)?;
    let option = |name: &str| options.get(name).copied().ok_or_else(|| format!("{verb} needs {name}\n{HELP}"));
    match verb.as_str() {
        "report" => json(&report::report(option("--supervisor")?).await),
        "cluster" => json(&cluster::report(option("--service-host")?, option("--image-volume")?).await),
        "idle" => idle().await,
        "--version" => Ok(format!("sandproof-probe {}", env!("CARGO_PKG_VERSION"))),
        _ => Err(HELP.to_owned()),
    }
}

fn options(arguments: &[String]) -> Result<BTreeMap<&str, &str>, String> {
    arguments
        .chunks(2)
        .map(|pair| match pair {
            [name, value] if name.starts_with("--") => Ok((name.as_str(), value.as_str())),
            _ => Err(format!("unexpected argument {:?}\n{HELP}", pair.first().map_or("", String::as_str))),
        })
        .collect()
}

fn json(report: &impl serde::Serialize) -> Result<String, String> {
    serde_json::to_string(report).map_err(|error| format!("could not write the report: {error}"))
}

async fn idle() -> Result<String, String> {
    let problem = |error| format!("could not await signals: {error}");
    let mut terminate = signal(SignalKind::terminate()).map_err(problem)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(problem)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(String::new())
}

fn fail(problem: &str, status: u8) -> ExitCode {
    // With standard error closed, the exit status still tells.
    let _ = writeln!(std::io::stderr(), "sandproof-probe: {problem}");
    ExitCode::from(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(arguments: &[&str]) -> Vec<String> {
        arguments.iter().map(|argument| (*argument).to_owned()).collect()
    }

    #[test]
    fn options_come_in_pairs() {
        let arguments = texts(&["--supervisor", "/a", "--image-volume", "/b"]);
        assert_eq!(options(&arguments).unwrap()["--image-volume"], "/b");
        assert!(options(&texts(&["--supervisor"])).is_err());
        assert!(options(&texts(&["a", "b"])).is_err());
    }
}
