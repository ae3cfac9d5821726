//! The reference driver as users run it.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandproof_reference_driver::main()
}
