//! The program that a native cluster's processes descend from (`sandproof-cluster-init`).
//!
//! It runs twice. Outside, as the harness's child, it makes the PID namespace, waits, and removes
//! what the cluster held on the host. Inside, as PID 1 of that namespace, it isolates itself, starts
//! the components and reports. When PID 1 ends, for whatever reason, the kernel ends the rest.

mod api;
mod cgroups;
mod first_process;
mod log_tail;
mod mounts;
mod network;
mod orchestration;
mod outside;
mod processes;
mod report;

use std::process::ExitCode;

use camino::Utf8PathBuf;

pub(crate) use self::{log_tail::read as read_log_tail, network::LINK};

/// The argument that tells the inner run from the outer one.
const FIRST_PROCESS: &str = "--first-process";

/// Runs the program with its arguments (without its name).
pub fn run(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let arguments: Vec<String> = arguments.into_iter().collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [FIRST_PROCESS, plan] => first_process::run(&Utf8PathBuf::from(plan)),
        [plan] if !plan.starts_with('-') => outside::run(&Utf8PathBuf::from(plan)),
        _ => Err("usage: sandproof-cluster-init PLAN (a file that sandproof writes)".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            report::send(&crate::native::plan::Event::Failed { reason });
            ExitCode::FAILURE
        }
    }
}
