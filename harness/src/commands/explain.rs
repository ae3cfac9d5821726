//! `explain`: a scenario in words, as its page in the documentation has it.

use sandproof_protocol::faults;
use sandproof_reports::ExitCode;
use sandproof_scenarios::{Explanation, Form};

use super::suite;
use crate::{cli::ExplainArguments, failure::Failure, paths::Paths, terminal};

/// Prints it.
pub(super) fn explain(arguments: &ExplainArguments) -> Result<ExitCode, Failure> {
    let paths = Paths::find()?;
    let suite = suite::load(&paths, arguments.suite.as_deref())?;
    // A report names results, and what is known of one is known of its scenario.
    let id = arguments.id.split('[').next().unwrap_or_default();
    let Some(scenario) = suite.scenario(id) else {
        let ids: Vec<&str> = suite.scenarios.iter().map(|scenario| scenario.id.as_str()).collect();
        return Err(Failure::usage(
            format!("there is no scenario `{}`", arguments.id),
            format!("the scenarios are: {}", ids.join(", ")),
        ));
    };
    let fault = |name: &str| faults::find(name).map(|fault| fault.description.to_owned());
    let form = Form::Terminal { width: terminal::width() };
    terminal::result(&Explanation::of(scenario).page(form, &fault));
    Ok(ExitCode::CONFORMANT)
}
