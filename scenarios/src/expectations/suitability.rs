//! Whether each row of the expectations can be used with a suite, and whether it is clear which one is.

use sandproof_reports::Verdict;

use super::{Expectations, Row, fits};
use crate::expression::Expression;
use crate::nearest::{did_you_mean, or_list};
use crate::source::{Document, Step};
use crate::suite::Suite;
use crate::suite_error::SuiteError;

/// Every row that no scenario is meant by, and every pair of rows that could both be meant.
pub(super) fn faults(expectations: &Expectations, suite: &Suite, document: &Document) -> Vec<SuiteError> {
    let mut faults = Vec::new();
    for (position, row) in expectations.rows.iter().enumerate() {
        if let Some(fault) = dead(row, position, suite, document) {
            faults.push(fault);
            continue;
        }
        let earlier = expectations.rows[..position].iter().enumerate();
        faults.extend(earlier.filter_map(|(first, other)| rivals((first, other), (position, row), suite, document)));
    }
    faults
}

/// A row that names nothing in the suite.
fn dead(row: &Row, position: usize, suite: &Suite, document: &Document) -> Option<SuiteError> {
    let expectation = &row.expectation;
    let mut named = suite.scenarios.iter().filter(|scenario| fits(&expectation.scenario, &scenario.id)).peekable();
    if named.peek().is_none() {
        let ids = || suite.scenarios.iter().map(|scenario| scenario.id.as_str());
        let fault =
            document.error(format!("no scenario is called `{}`", expectation.scenario), &at(position, "scenario"));
        let help = did_you_mean(&expectation.scenario, ids()).unwrap_or_else(|| "remove the row".to_owned());
        return Some(fault.with_help(help));
    }
    if !suite.instances().any(|instance| expectation.names(instance)) {
        let keys: Vec<&str> =
            named.flat_map(|scenario| &scenario.instances).map(|instance| instance.key.as_str()).collect();
        let fault = document.error("no result has these parameters", &at(position, "params"));
        return Some(fault.with_help(format!("there is {}", or_list(keys))));
    }
    if !Expression::overlap(row.when.as_ref(), None) {
        let fault = document.error("this can hold on no cluster", &at(position, "when"));
        return Some(fault.with_help("two of its conditions exclude each other"));
    }
    None
}

/// Two rows that could both fit one result. The first would win, and the second might be the one that was meant.
/// A row that expects a pass is no rival: as the first it exempts from what follows, as the second it changes nothing.
fn rivals(first: (usize, &Row), second: (usize, &Row), suite: &Suite, document: &Document) -> Option<SuiteError> {
    let ((first_position, first), (second_position, second)) = (first, second);
    if [first, second].iter().any(|row| row.expectation.verdict == Verdict::Pass) {
        return None;
    }
    let both =
        suite.instances().find(|instance| first.expectation.names(instance) && second.expectation.names(instance))?;
    if !Expression::overlap(first.when.as_ref(), second.when.as_ref()) {
        return None;
    }
    let error = document
        .error(format!("this row and an earlier one can both fit {}", both.key), &at(second_position, "scenario"));
    Some(
        error
            .with_help("let their conditions exclude each other; the first that fits would win")
            .with_related(document.error("the earlier row", &at(first_position, "scenario"))),
    )
}

fn at(position: usize, field: &str) -> [Step; 3] {
    ["expectations".into(), position.into(), field.into()]
}
