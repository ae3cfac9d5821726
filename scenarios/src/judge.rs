//! The one judge: a pure function of what was observed, what was probed and what is expected.

use std::fmt;

use sandproof_reports::Verdict;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Facts;
use crate::expectations::{Expectation, Expectations, when_expression};
use crate::language::{Check, ScenarioInstance};
use crate::matching;
use crate::path::Path;

/// What the steps of one attempt observed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observations {
    /// What each step observed, by the name of its observation.
    pub steps: Map<String, Value>,
    /// The environment failed, so that nothing can be said about the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_error: Option<String>,
    /// A step that could not be carried out for a reason that lies with the subject; no later step was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_error: Option<StepError>,
}

/// A step that could not be carried out for a reason that lies with the subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepError {
    /// The name of the step's observation.
    pub step: String,
    /// What was tried and what was found.
    pub message: String,
}

/// The judgement on one instance of a scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Whether it is what should be seen here: a pass, the documented refusal, or what a valid expectation says.
    pub expected: bool,
    /// One sentence.
    pub summary: String,
    /// The checks that do not hold; for `unsupported-silent` those of the refusal.
    pub failed: Vec<FailedCheck>,
    /// The expectation that fits this instance, if there is one.
    pub expectation: Option<AppliedExpectation>,
}

/// A check that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedCheck {
    /// Where.
    pub at: String,
    /// What should have been there, in words.
    pub expected: String,
    /// What was there, in words.
    pub found: String,
    /// Why it matters.
    pub because: Option<String>,
}

/// The row of the expectations that fits an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppliedExpectation {
    /// The verdict that it expects.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// Where it is tracked.
    pub issue: Option<String>,
    /// Its last day, as `YYYY-MM-DD`.
    pub expires: Option<String>,
    /// Whether its last day is over.
    pub expired: bool,
}

/// Judges one instance of a scenario after `attempts` attempts, the last of which made the observations.
pub fn judge(
    instance: &ScenarioInstance,
    observations: &Observations,
    facts: &Facts,
    expectations: &Expectations,
    attempts: u32,
) -> Judgement {
    let found = judge_observations(instance, observations, facts, attempts);
    match expectations.find(instance, facts) {
        Some(row) if row.verdict != Verdict::Pass => apply(found, row, expectations),
        _ => found,
    }
}

/// The judgement on an instance that is not to be run here: because the subject's profile declares absent what it needs,
/// because of its own `applies`, or because of an expectation.
pub fn judge_beforehand(instance: &ScenarioInstance, facts: &Facts, expectations: &Expectations) -> Option<Judgement> {
    if let Some((feature, reason)) = facts.absent(instance) {
        let summary = format!("the subject's profile declares `{feature}` absent: {reason}");
        return Some(Judgement { expected: true, ..Judgement::new(Verdict::Skipped, summary) });
    }
    match &instance.applies {
        Some(condition) if !applies(&condition.when, instance, facts) => {
            let summary = format!("{} (it applies where {})", condition.reason, condition.when);
            Some(Judgement { expected: true, ..Judgement::new(Verdict::Skipped, summary) })
        }
        _ => expectations.skip(instance, facts).map(|row| {
            let mut judgement = Judgement::skipped(row);
            if let Some(applied) = &mut judgement.expectation {
                applied.expired = expectations.is_expired(row);
            }
            judgement
        }),
    }
}

/// What becomes of a verdict when something of the result is still in the cluster after its clean-up; `leftovers` name it.
/// None where the verdict stays: nothing was left, the promise was not kept anyway, or nothing can be said.
/// No expectation excuses a leftover.
pub fn judge_leftovers(verdict: Verdict, leftovers: &[String]) -> Option<Judgement> {
    let stays = match verdict {
        Verdict::Fail | Verdict::Error | Verdict::NotRun | Verdict::Skipped => true,
        Verdict::Pass
        | Verdict::Unsupported
        | Verdict::KnownGap
        | Verdict::Flaky
        | Verdict::UnexpectedPass
        | Verdict::UnsupportedSilent => false,
    };
    (!stays && !leftovers.is_empty())
        .then(|| Judgement::new(Verdict::Fail, format!("left behind: {}", leftovers.join(", "))))
}

/// The judgement without any expectation.
fn judge_observations(
    instance: &ScenarioInstance,
    observations: &Observations,
    facts: &Facts,
    attempts: u32,
) -> Judgement {
    if let Some(error) = &observations.environment_error {
        return Judgement::new(Verdict::Error, error.clone());
    }
    let seen = Value::Object(observations.steps.clone());
    let expected: Vec<&Check> = instance.expect.iter().filter(|check| check_applies(check, instance, facts)).collect();
    let failed = failed_checks(&expected, &seen, observations);
    let holds = failed.is_empty() && observations.step_error.is_none();
    if let Some(cannot) = instance.unsupported.iter().find(|block| applies(&block.when, instance, facts)) {
        let refusal: Vec<&Check> =
            cannot.refusal.iter().filter(|check| check_applies(check, instance, facts)).collect();
        let missing = unmet(&refusal, &seen);
        if missing.is_empty() && !refusal.is_empty() {
            if attempts > 1 {
                let summary = format!("refused as documented, but only at attempt {attempts}");
                return Judgement::new(Verdict::Flaky, summary);
            }
            return Judgement::new(Verdict::Unsupported, format!("refused as documented, because {}", cannot.when));
        }
        if !holds {
            let summary = format!("not supported here ({}), and nothing said so: {}", cannot.when, sentence(&missing));
            return Judgement { failed: missing, ..Judgement::new(Verdict::UnsupportedSilent, summary) };
        }
    }
    if let Some(error) = &observations.step_error {
        let summary = format!("step `{}`: {}", error.step, error.message);
        return Judgement { failed, ..Judgement::new(Verdict::Fail, summary) };
    }
    if !holds {
        let summary = sentence(&failed);
        return Judgement { failed, ..Judgement::new(Verdict::Fail, summary) };
    }
    let checks = match expected.len() {
        0 => return Judgement::new(Verdict::Fail, "no check applies here, so nothing is proven".to_owned()),
        1 => "1 check holds".to_owned(),
        number => format!("{number} checks hold"),
    };
    if attempts > 1 {
        return Judgement::new(Verdict::Flaky, format!("{checks}, but only at attempt {attempts}"));
    }
    Judgement::new(Verdict::Pass, checks)
}

fn check_applies(check: &Check, instance: &ScenarioInstance, facts: &Facts) -> bool {
    check.when.as_deref().is_none_or(|when| applies(when, instance, facts))
}

fn applies(when: &str, instance: &ScenarioInstance, facts: &Facts) -> bool {
    // The suite's loader has refused what cannot be parsed.
    when_expression(when, None).is_ok_and(|expression| facts.hold(&expression, instance))
}

/// What becomes of a judgement when a row does not expect a pass.
fn apply(found: Judgement, row: &Expectation, expectations: &Expectations) -> Judgement {
    let applied = AppliedExpectation {
        verdict: row.verdict,
        reason: row.reason.clone(),
        issue: row.issue.clone(),
        expires: row.expires.map(|date| date.to_string()),
        expired: expectations.is_expired(row),
    };
    let expectation = Some(applied);
    // A row that is over excuses nothing, but that it is out of date shows where it never was needed either.
    if expectations.is_over(row) && found.verdict != Verdict::Pass {
        let summary = match (found.expected, row.expires) {
            (false, Some(date)) => format!("{} (the expectation that excused it ended on {date})", found.summary),
            _ => found.summary,
        };
        return Judgement { summary, expectation, ..found };
    }
    let (verdict, expected) = match (found.verdict, row.verdict) {
        (Verdict::Fail, Verdict::Fail | Verdict::KnownGap) => (Verdict::KnownGap, true),
        (Verdict::UnsupportedSilent, Verdict::UnsupportedSilent | Verdict::KnownGap | Verdict::Fail) => {
            (Verdict::UnsupportedSilent, true)
        }
        (Verdict::Flaky, _) => {
            (Verdict::Flaky, matches!(row.verdict, Verdict::Flaky | Verdict::KnownGap | Verdict::Fail))
        }
        (Verdict::Pass, Verdict::Flaky) => (Verdict::Pass, true),
        (Verdict::Pass, Verdict::Fail | Verdict::KnownGap | Verdict::Unsupported | Verdict::UnsupportedSilent) => {
            (Verdict::UnexpectedPass, false)
        }
        (verdict, row) => (verdict, found.expected || verdict == row),
    };
    let summary = match verdict {
        Verdict::KnownGap => format!("{} (expected: {})", found.summary, row.reason),
        Verdict::UnexpectedPass => format!("{}, although it was expected not to: {}", found.summary, row.reason),
        _ => found.summary,
    };
    Judgement { verdict, expected, summary, failed: found.failed, expectation }
}

/// What of a refusal was not seen. What nobody observed was not refused, whatever kept it from being observed.
fn unmet(refusal: &[&Check], seen: &Value) -> Vec<FailedCheck> {
    failed_checks(refusal, seen, &Observations::default())
}

/// The checks that do not hold. Where a step could not be carried out, what the steps after it would have observed is
/// not missing but unknown.
fn failed_checks(checks: &[&Check], seen: &Value, observations: &Observations) -> Vec<FailedCheck> {
    checks.iter().filter_map(|check| failed_check(check, seen, observations)).collect()
}

fn failed_check(check: &Check, seen: &Value, observations: &Observations) -> Option<FailedCheck> {
    let failed = |at: String, found: String| FailedCheck {
        at,
        expected: check.matcher.to_string(),
        found,
        because: check.because.clone(),
    };
    let path: Path = match check.at.parse() {
        Ok(path) => path,
        Err(error) => return Some(failed(check.at.clone(), error.to_string())),
    };
    if seen.get(path.observation()).is_none() {
        return match observations.step_error {
            Some(_) => None,
            None => Some(failed(path.to_string(), format!("no observation `{}`", path.observation()))),
        };
    }
    matching::check(&check.matcher, &path, seen).err().map(|mismatch| failed(mismatch.at, mismatch.found))
}

fn sentence(failed: &[FailedCheck]) -> String {
    let Some((first, rest)) = failed.split_first() else { return "no check was reached".to_owned() };
    let because = first.because.as_ref().map(|because| format!(" ({because})")).unwrap_or_default();
    match rest.len() {
        0 => format!("{first}{because}"),
        1 => format!("{first}{because}; 1 more check does not hold"),
        more => format!("{first}{because}; {more} more checks do not hold"),
    }
}

impl Judgement {
    fn new(verdict: Verdict, summary: String) -> Self {
        Self {
            verdict,
            expected: matches!(verdict, Verdict::Pass | Verdict::Unsupported),
            summary,
            failed: Vec::new(),
            expectation: None,
        }
    }

    /// The judgement on an instance that a row keeps from being run.
    pub fn skipped(row: &Expectation) -> Self {
        Self {
            expected: true,
            expectation: Some(AppliedExpectation {
                verdict: row.verdict,
                reason: row.reason.clone(),
                issue: row.issue.clone(),
                expires: row.expires.map(|date| date.to_string()),
                expired: false,
            }),
            ..Self::new(Verdict::Skipped, row.reason.clone())
        }
    }
}

impl fmt::Display for FailedCheck {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "at {}: expected {}, found {}", self.at, self.expected, self.found)
    }
}
