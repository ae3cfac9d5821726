//! The suite of scenarios, and whether it agrees with the list of faults.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};
use sandproof_protocol::faults::{FAULTS, Fault};
use sandproof_scenarios::{NotRun, Scenario, Suite};

use crate::tally::Tally;
use crate::workspace::Workspace;

/// Reads the suite. A scenario that claims a fault which does not exist is a mistake in it.
pub(crate) fn load(workspace: &Workspace) -> Result<Suite> {
    let faults: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
    Suite::load(&workspace.path("scenarios/suite"), &faults)
        .map_err(|errors| anyhow!("the suite has mistakes, `./sandproof lint` shows them all: {errors}"))
}

/// Reads which clauses no scenario runs.
pub(crate) fn not_run(workspace: &Workspace, suite: &Suite) -> Result<Vec<NotRun>> {
    NotRun::load(&workspace.path("scenarios/not-run.yaml"), suite)
        .map_err(|errors| anyhow!("scenarios/not-run.yaml has mistakes, `./sandproof lint` shows them all: {errors}"))
}

/// The scenarios that claim to catch a fault.
pub(crate) fn claims<'s>(scenarios: &'s [Scenario], fault: &str) -> BTreeSet<&'s str> {
    let claiming = scenarios.iter().filter(|scenario| scenario.faults.iter().any(|claimed| claimed == fault));
    claiming.map(|scenario| scenario.id.as_str()).collect()
}

pub(crate) fn check(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let suite = load(workspace)?;
    let disagreement = |fault: &Fault| {
        let claimed = claims(&suite.scenarios, fault.name);
        let listed: BTreeSet<&str> = fault.caught_by.iter().copied().collect();
        (claimed != listed)
            .then(|| format!("{}: faults.rs says {listed:?}, scenarios that claim it are {claimed:?}", fault.name))
    };
    tally.add("faults and scenarios agree on who catches whom", FAULTS.iter().filter_map(disagreement).collect());
    Ok(())
}
