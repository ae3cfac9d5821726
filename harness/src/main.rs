//! `sandproof` proves, on real clusters, that a Kubernetes sandbox driver does what it promises.

mod bench;
mod causes;
mod cli;
mod cluster_state;
mod commands;
mod events;
mod existing;
mod failure;
mod interrupt;
mod node_image;
mod paths;
mod place;
mod plan;
mod provider_choice;
mod provision;
mod relay;
mod runner;
mod scene;
mod sinks;
mod steps;
mod subject;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

/// Bytes of a worker's stack: as many as the main thread's. A cell is one future with all of its scenarios in it, and a
/// debug build has every state of it on the stack.
const WORKER_STACK: usize = 8 << 20;

fn main() -> ExitCode {
    let arguments = match cli::Cli::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return terminal::usage(&error),
    };
    terminal::prepare(arguments.global.color);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(WORKER_STACK)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return terminal::failure(&failure::Failure::environment("start the runtime", error)),
    };
    let outcome = runtime.block_on(commands::dispatch(arguments));
    // A task that still waits (a port-forward, say) must not hold up the end of the program.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => terminal::failure(&error),
    }
}
