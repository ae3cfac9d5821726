//! `selftest`: the harness tested on itself.

mod kills;
mod mutations;
mod soak;

use sandproof_reports::ExitCode;

use self::mutations::Breadth;
use crate::{
    cli::{GlobalArguments, SelftestCommand},
    failure::Failure,
};

/// Runs a selftest.
pub(crate) async fn selftest(global: &GlobalArguments, command: SelftestCommand) -> Result<ExitCode, Failure> {
    match command {
        SelftestCommand::Mutations { faults, claimed, quick, json } => {
            let breadth = match (quick, claimed) {
                (true, _) => Breadth::One,
                (false, true) => Breadth::Claimed,
                (false, false) => Breadth::Everything,
            };
            mutations::mutations(global, faults, breadth, json).await
        }
        SelftestCommand::Kills { provider, quick, json } => kills::kills(global, provider, quick, json).await,
        SelftestCommand::Soak(arguments) => soak::soak(global, &arguments).await,
    }
}
