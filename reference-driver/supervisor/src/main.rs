//! The supervisor.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandproof_supervisor::main()
}
