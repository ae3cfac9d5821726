//! Whether each row of the expectations can be used with a suite, and whether it is clear which one is.

use sandproof_reports::Verdict;
use serde_json::{Value, json};

use super::{Expectations, Row, fits, when_expression};
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
        faults.extend(expectations.rows[..position].iter().filter_map(|other| rivals(other, row, suite)));
    }
    faults
}

/// Every pair of a row of a subject's profile and one of the suite's that could both be meant for a result of that subject.
pub(super) fn rivals_of_profile(
    profile: &Expectations,
    expectations: &Expectations,
    suite: &Suite,
    subject: &str,
) -> Vec<SuiteError> {
    let mut faults = Vec::new();
    for row in &expectations.rows {
        let of_subject = Row { when: with_subject(row, subject), ..row.clone() };
        for first in &profile.rows {
            if let Some(key) = common_result(first, &of_subject, suite) {
                let error = first.place.0.saying(format!("this row and one of the suite's can both fit {key}"));
                faults.push(
                    error
                        .with_help("let their conditions exclude each other; the profile's row would win")
                        .with_related(row.place.0.saying("the suite's row")),
                );
            }
        }
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
    if row.when.as_ref().is_some_and(|when| !when.can_hold_with(&Value::Null)) {
        let fault = document.error("this can hold on no cluster", &at(position, "when"));
        return Some(fault.with_help("two of its conditions exclude each other"));
    }
    None
}

/// Two rows that could both fit one result. The first would win, and the second might be the one that was meant.
fn rivals(first: &Row, second: &Row, suite: &Suite) -> Option<SuiteError> {
    let key = common_result(first, second, suite)?;
    let error = second.place.0.saying(format!("this row and an earlier one can both fit {key}"));
    Some(
        error
            .with_help("let their conditions exclude each other; the first that fits would win")
            .with_related(first.place.0.saying("the earlier row")),
    )
}

/// A result that both rows could fit.
/// A row that expects a pass is no rival: as the first it exempts from what follows, as the second it changes nothing.
fn common_result<'s>(first: &Row, second: &Row, suite: &'s Suite) -> Option<&'s str> {
    if [first, second].iter().any(|row| row.expectation.verdict == Verdict::Pass) {
        return None;
    }
    let both = suite.instances().find(|instance| {
        let known = json!({ "param": instance.parameters });
        first.expectation.names(instance)
            && second.expectation.names(instance)
            && Expression::overlap(first.when.as_ref(), second.when.as_ref(), &known)
    })?;
    Some(both.key.as_str())
}

/// The condition of a row of the suite's that is left for this subject.
fn with_subject(row: &Row, subject: &str) -> Option<Expression> {
    let name = Value::from(subject);
    let text = match &row.when {
        Some(when) => format!("({}) && subject.name == {name}", when.text()),
        None => format!("subject.name == {name}"),
    };
    // Its own condition was parsed before; should the two together not be read, it is compared as it is.
    when_expression(&text, None).ok().or_else(|| row.when.clone())
}

fn at(position: usize, field: &str) -> [Step; 3] {
    ["expectations".into(), position.into(), field.into()]
}
