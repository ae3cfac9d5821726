//! Adapts a bundle to what the host can do, then becomes runc; see `sandproof_clusters::oci_runtime`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandproof_clusters::oci_runtime::run(&std::env::args_os().collect::<Vec<_>>())
}
