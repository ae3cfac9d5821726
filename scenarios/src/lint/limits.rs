//! Time limits that make no sense: waits that cannot end well, waits that hang, and checks of a time that cannot be.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::language::{Check, Matcher, Period, ScenarioInstance, Step};
use crate::path::{Path, Segment};
use crate::source::{Document, Step as At};
use crate::suite_error::SuiteError;
use crate::time_limits::{CALL, QUIET, WAIT};

/// Reports limits of steps that are outside of what a limit may be, and checks of `seconds` that no limit allows.
pub(super) fn limits(
    instance: &ScenarioInstance,
    observed: &BTreeMap<&str, &Step>,
    document: &Document,
    errors: &mut Vec<SuiteError>,
) {
    for (position, step) in instance.steps.iter().enumerate() {
        let at = |field: &str| ["steps".into(), position.into(), step.verb().into(), field.into()];
        let fault = match step {
            Step::Await(step) => bounds(step.within, WAIT, "a wait").map(|fault| (fault, at("within"))),
            Step::Events(step) => bounds(step.within, WAIT, "a wait").map(|fault| (fault, at("within"))),
            Step::Quiet(step) => bounds(step.period, QUIET, "a quiet time").map(|fault| (fault, at("for"))),
            _ => None,
        };
        if let Some(((message, help), at)) = fault {
            errors.push(document.error(message, &at).with_help(help));
        }
    }
    let refusals = instance.unsupported.iter().enumerate().map(|(position, block)| {
        (vec!["unsupported".into(), position.into(), "refusal".into()], block.refusal.as_slice())
    });
    let all = std::iter::once((vec!["expect".into()], instance.expect.as_slice())).chain(refusals);
    for (list, checks) in all {
        for (position, check) in checks.iter().enumerate() {
            if let Some((message, field)) = impossible(check, observed) {
                let at: Vec<At> = [list.as_slice(), &[position.into(), field.into()]].concat();
                errors.push(document.error(message, &at));
            }
        }
    }
}

/// What is wrong with a limit, and what it may be.
fn bounds(limit: Period, (least, most): (Period, Period), what: &str) -> Option<(String, String)> {
    let help = format!("write something from {least} to {most}");
    if limit < least {
        Some((format!("{limit} is too short for {what}: nothing can have happened by then"), help))
    } else if limit > most {
        Some((format!("{limit} is too long for {what}: a scenario that waits so long hangs"), help))
    } else {
        None
    }
}

/// A check of how long a step took that its limit makes impossible, and the field that says so.
fn impossible(check: &Check, observed: &BTreeMap<&str, &Step>) -> Option<(String, &'static str)> {
    let path: Path = check.at.parse().ok()?;
    let [_, Segment::Key(field)] = path.segments() else { return None };
    if field != "seconds" {
        return None;
    }
    let name = path.observation();
    let (least, most) = taken(observed.get(name)?)?;
    match check.matcher {
        Matcher::AtLeast(seconds) if seconds > most.as_secs_f64() => {
            let message = format!("`{name}` takes {} at most, so this can never hold", Period(most));
            Some((message, "atLeast"))
        }
        Matcher::AtMost(seconds) if seconds < least.as_secs_f64() => {
            let message = format!("`{name}` takes {} at least, so this can never hold", Period(least));
            Some((message, "atMost"))
        }
        _ => None,
    }
}

/// The shortest and the longest time that a step whose time is observed can take.
fn taken(step: &Step) -> Option<(Duration, Duration)> {
    match step {
        Step::Await(step) => Some((Duration::ZERO, step.within.0)),
        // It is what it says.
        Step::Quiet(step) => Some((step.period.0, step.period.0)),
        Step::Stop(_) | Step::Start(_) => Some((Duration::ZERO, CALL)),
        _ => None,
    }
}
