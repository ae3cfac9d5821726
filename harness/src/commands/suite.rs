//! The suite and its expectations: loading, and `lint`.

use camino::{Utf8Path, Utf8PathBuf};
use sandproof_protocol::faults::FAULTS;
use sandproof_reports::ExitCode;
use sandproof_scenarios::{EXPECTATIONS, Expectations, NotRun, Suite};

use crate::{cli::LintArguments, failure::Failure, paths::Paths, terminal};

/// Loads a suite directory; the project's own when none is named.
pub(crate) fn load(paths: &Paths, directory: Option<&Utf8Path>) -> Result<Suite, Failure> {
    let own = paths.suite();
    let directory = directory.unwrap_or(&own);
    if !directory.is_dir() {
        return Err(Failure::usage(
            format!("there is no suite directory {directory}"),
            "name a directory of scenario files with --suite",
        ));
    }
    let faults: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
    Suite::load(directory, &faults).map_err(Failure::source)
}

/// Loads what is known to differ: for a suite of one's own what is in its directory, if anything.
pub(crate) fn expectations(
    paths: &Paths,
    suite: &Suite,
    directory: Option<&Utf8Path>,
) -> Result<Expectations, Failure> {
    let file = expectations_file(paths, directory);
    if directory.is_some() && !file.exists() {
        return Ok(Expectations::none());
    }
    Expectations::load(&file, suite).map_err(Failure::source)
}

/// The file that says what is known to differ.
pub(super) fn expectations_file(paths: &Paths, directory: Option<&Utf8Path>) -> Utf8PathBuf {
    directory.map_or_else(|| paths.expectations(), |directory| directory.join(EXPECTATIONS))
}

/// `lint`.
pub(crate) fn lint(arguments: &LintArguments) -> Result<ExitCode, Failure> {
    let paths = Paths::find()?;
    let directory = arguments.suite.as_deref();
    let suite = load(&paths, directory)?;
    expectations(&paths, &suite, directory)?;
    if directory.is_none() {
        NotRun::load(&paths.not_run(), &suite).map_err(Failure::source)?;
    }
    let instances = suite.instances().count();
    terminal::result(&format!("{} scenarios, {instances} results: no mistake found", suite.scenarios.len()));
    Ok(ExitCode::CONFORMANT)
}

/// The project's own suite, for tests.
#[cfg(test)]
pub(crate) fn shipped() -> Suite {
    let directory = Utf8PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios/suite");
    let faults: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
    Suite::load(&directory, &faults).unwrap()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_fault_is_claimed_by_the_same_scenarios_in_the_catalogue_and_in_the_suite() {
        let suite = shipped();
        for fault in FAULTS {
            let claimed: BTreeSet<&str> = suite
                .scenarios
                .iter()
                .filter(|scenario| scenario.faults.iter().any(|name| name == fault.name))
                .map(|scenario| scenario.id.as_str())
                .collect();
            let listed: BTreeSet<&str> = fault.caught_by.iter().copied().collect();
            assert_eq!(claimed, listed, "{}", fault.name);
        }
    }
}
