//! `selftest`: the harness tested on itself.

mod kills;
mod mutations;
mod soak;

use sandproof_reports::ExitCode;

use crate::{
    cli::{GlobalArguments, SelftestCommand},
    failure::Failure,
};

/// Runs a selftest.
pub(crate) async fn selftest(global: &GlobalArguments, command: SelftestCommand) -> Result<ExitCode, Failure> {
    match command {
        SelftestCommand::Mutations { faults, quick, json } => mutations::mutations(global, faults, quick, json).await,
        SelftestCommand::Kills { provider, quick, json } => kills::kills(global, provider, quick, json).await,
        SelftestCommand::Soak(arguments) => soak::soak(global, &arguments).await,
    }
}
