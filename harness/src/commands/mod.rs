//! The commands: each takes its arguments and gives an exit code.

mod cluster;
mod components;
mod doctor;
mod engine;
mod expectations;
mod explain;
mod independence;
pub(crate) mod list;
mod report;
mod repro;
mod review;
pub(crate) mod run;
mod selftest;
pub(crate) mod suite;
mod sweep;

use clap::CommandFactory;
use sandproof_reports::ExitCode;

use crate::{
    bench,
    cli::{Cli, Command, ExpectationsCommand},
    failure::Failure,
    terminal,
};

/// Runs the command that was asked for.
pub(crate) async fn dispatch(arguments: Cli) -> Result<u8, Failure> {
    let global = arguments.global;
    let code = match arguments.command {
        Command::Run(arguments) => run::run(&global, *arguments).await?,
        Command::Plan(arguments) => list::plan(&arguments).await?,
        Command::List(arguments) => list::list(&global, &arguments)?,
        Command::Explain(arguments) => explain::explain(&arguments)?,
        Command::Repro(arguments) => repro::repro(&global, &arguments).await?,
        Command::Cluster(command) => cluster::cluster(&global, command).await?,
        Command::Report(command) => report::report(command)?,
        Command::Doctor(arguments) => doctor::doctor(&arguments).await?,
        Command::Components(command) => components::components(&global, command).await?,
        Command::Sweep(arguments) => sweep::sweep(&arguments).await?,
        Command::Lint(arguments) => suite::lint(&arguments)?,
        Command::Expectations(ExpectationsCommand::Update(arguments)) => expectations::update(&arguments)?,
        Command::Selftest(command) => selftest::selftest(&global, command).await?,
        Command::Bench(arguments) => bench::bench(&global, &arguments).await?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "sandproof", &mut script);
            terminal::result(&String::from_utf8_lossy(&script));
            ExitCode::CONFORMANT
        }
    };
    Ok(code.code())
}
