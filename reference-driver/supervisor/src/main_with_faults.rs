//! The supervisor with its switchable faults compiled in, for testing a test suite.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandproof_supervisor::main()
}
