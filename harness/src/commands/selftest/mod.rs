//! `selftest`: the harness tested on itself.

mod kills;
mod mutations;
mod soak;

use camino::Utf8PathBuf;
use sandproof_reports::ExitCode;

use self::mutations::Breadth;
use crate::{
    cli::{GlobalArguments, SelftestCommand},
    commands::run::OUT,
    failure::Failure,
    paths::Paths,
    runner::run::RunSettings,
    subject::choice::Choice,
};

/// Runs a selftest.
pub(crate) async fn selftest(global: &GlobalArguments, command: SelftestCommand) -> Result<ExitCode, Failure> {
    match command {
        SelftestCommand::Mutations { faults, cell, claimed, quick, json } => {
            let breadth = match (quick, claimed) {
                (true, _) => Breadth::One,
                (false, true) => Breadth::Claimed,
                (false, false) => Breadth::Everything,
            };
            mutations::mutations(global, faults, cell, breadth, json).await
        }
        SelftestCommand::Kills { provider, quick, json } => kills::kills(global, provider, quick, json).await,
        SelftestCommand::Soak(arguments) => soak::soak(global, &arguments).await,
    }
}

/// The settings of a selftest on one cell, whose evidence stays where runs leave theirs.
fn settings_of(global: &GlobalArguments, paths: Paths, test: &str, subject: Choice) -> Result<RunSettings, Failure> {
    let settings = RunSettings::of_one_cell(paths, global.sources.clone(), Utf8PathBuf::new(), subject);
    let out = Utf8PathBuf::from(OUT).join(format!("{test}-{}", settings.run_id));
    fs_err::create_dir_all(&out).map_err(|error| Failure::environment("make a directory for the evidence", error))?;
    Ok(RunSettings { out, ..settings })
}
