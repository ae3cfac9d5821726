//! The first process of a native cluster; see `sandproof_clusters::init`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandproof_clusters::init::run(std::env::args().skip(1))
}
