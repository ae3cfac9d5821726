//! The reference driver with its switchable faults compiled in, for testing a test suite.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandproof_reference_driver::main()
}
