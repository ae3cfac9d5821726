//! Checks that can never hold: paths that lead nowhere, patterns that are none.

use std::collections::BTreeMap;

use regex::Regex;

use super::axes;
use crate::expectations::when_expression;
use crate::language::{Axis, Check, Matcher, Parameters, ScenarioInstance, Step};
use crate::nearest::{did_you_mean, or_list};
use crate::path::{Path, Segment};
use crate::source::{Document, Step as At};
use crate::suite_error::SuiteError;

/// Reports what can never hold in `applies`, in `expect` and in the refusals of `unsupported`.
pub(super) fn expect(
    instance: &ScenarioInstance,
    observed: &BTreeMap<&str, &Step>,
    document: &Document,
    errors: &mut Vec<SuiteError>,
) {
    let axes = instance.axes();
    let mut lint = Checks { observed, document, parameters: &instance.parameters, axes: &axes, errors };
    if let Some(applies) = &instance.applies {
        lint.when(&applies.when, &["applies".into(), "when".into()]);
        if applies.reason.trim().is_empty() {
            let at = ["applies".into(), "reason".into()];
            lint.errors.push(document.error("say why it makes no sense elsewhere", &at));
        }
    }
    lint.checks(&instance.expect, &["expect".into()]);
    for (position, block) in instance.unsupported.iter().enumerate() {
        let at = |name: &str| vec!["unsupported".into(), position.into(), name.into()];
        lint.when(&block.when, &at("when"));
        if block.refusal.is_empty() {
            let error = document.error("a refusal without checks cannot be told from silence", &at("refusal"));
            lint.errors.push(error.with_help("write what the driver is documented to answer"));
        }
        lint.checks(&block.refusal, &at("refusal"));
    }
}

struct Checks<'a, 'e> {
    observed: &'a BTreeMap<&'a str, &'a Step>,
    document: &'a Document,
    parameters: &'a Parameters,
    axes: &'a [Axis],
    errors: &'e mut Vec<SuiteError>,
}

impl Checks<'_, '_> {
    fn checks(&mut self, checks: &[Check], at: &[At]) {
        for (position, check) in checks.iter().enumerate() {
            let field = |name: &str| [at, &[position.into(), name.into()]].concat();
            self.path(&check.at, &field("at"));
            match &check.matcher {
                Matcher::SameAs(other) => self.path(other, &field("sameAs")),
                Matcher::Mentions(other) => self.path(other, &field("mentions")),
                Matcher::Matches(pattern) => {
                    if let Err(error) = Regex::new(pattern) {
                        self.errors.push(pattern_error(self.document, &error, &field("matches")));
                    }
                }
                _ => {}
            }
            if let Some(when) = &check.when {
                self.when(when, &field("when"));
            }
        }
    }

    fn when(&mut self, text: &str, at: &[At]) {
        match when_expression(text, Some(self.parameters)) {
            Err(error) => self.errors.push(self.document.expression_error(&error, at)),
            Ok(expression) => {
                if let Some((message, help)) = axes::left_out(&expression, self.axes) {
                    self.errors.push(self.document.error(message, at).with_help(help));
                }
            }
        }
    }

    fn path(&mut self, text: &str, at: &[At]) {
        let path = match text.parse::<Path>() {
            Ok(path) => path,
            Err(error) => {
                self.errors.push(self.document.error(error.to_string(), at));
                return;
            }
        };
        let name = path.observation();
        let Some(step) = self.observed.get(name) else {
            let names = || self.observed.keys().copied();
            let help =
                did_you_mean(name, names()).unwrap_or_else(|| format!("the observations are {}", or_list(names())));
            self.errors.push(self.document.error(format!("unknown observation `{name}`"), at).with_help(help));
            return;
        };
        let rest = match step {
            Step::Validate(submit) | Step::Create(submit) if submit.sandbox.is_none() => {
                let cases: Vec<&str> = submit.cases.keys().map(String::as_str).collect();
                self.key(path.segments().get(1), "case", &cases, at);
                2
            }
            Step::Render(render) => {
                let cases: Vec<&str> = render.cases.keys().map(String::as_str).collect();
                self.key(path.segments().get(1), "case", &cases, at);
                2
            }
            Step::Run(run) => {
                let cases: Vec<&str> = run.cases.keys().map(String::as_str).collect();
                self.key(path.segments().get(1), "case", &cases, at);
                2
            }
            _ => 1,
        };
        self.key(path.segments().get(rest), "field", observed_fields(step), at);
    }

    fn key(&mut self, segment: Option<&Segment>, kind: &str, known: &[&str], at: &[At]) {
        if let Some(Segment::Key(key)) = segment
            && !known.contains(&key.as_str())
        {
            let known = known.iter().copied();
            let help = did_you_mean(key, known.clone()).unwrap_or_else(|| format!("observed here: {}", or_list(known)));
            self.errors.push(self.document.error(format!("unknown {kind} `{key}`"), at).with_help(help));
        }
    }
}

/// The fields of a step's observation.
fn observed_fields(step: &Step) -> &'static [&'static str] {
    match step {
        Step::Image(_) => &["reference", "repository", "digest"],
        Step::Secret(_) | Step::ServiceAccount(_) | Step::Namespace(_) => &["name"],
        Step::Driver(_) | Step::Upgrade(_) => &["running", "exitCode", "log", "pod"],
        Step::Use(_) => &["driver"],
        Step::Socket(_) => &["exists", "listens", "directoryMode", "socketMode", "owner", "otherUser"],
        Step::Run(_) => &["exitCode", "message", "file"],
        Step::ApiServer(_) => &["state"],
        Step::Taint(_) => &["nodes"],
        Step::Capabilities(_) => &["code", "message", "driverName", "driverVersion", "defaultImage"],
        Step::Validate(_) | Step::Create(_) | Step::EnsureWorkspace(_) | Step::DeleteWorkspace(_) => {
            &["code", "message"]
        }
        Step::Await(_) => &["reached", "seconds", "phase", "reason", "message", "container", "pod", "events"],
        Step::Inspect(_) => &["sandbox", "pod", "events", "sandboxes", "pods"],
        Step::Probe(_) => &["supervisor", "mount", "write", "process", "own", "environment"],
        Step::Requests(_) => &["all", "manifests", "users", "refused", "accepted", "denied"],
        Step::Get(_) => &["code", "message", "sandbox"],
        Step::List(_) => &["code", "message", "ids", "names"],
        Step::Delete(_) => &["code", "message", "deleted"],
        Step::Watch(_) => &[],
        Step::Events(_) => &["until", "reached", "events", "deletedCount"],
        Step::Quiet(_) => &["seconds"],
        Step::Installation(_) | Step::Change(_) => {
            &["established", "served", "storage", "storedVersions", "conversion", "caBundle", "controllerAvailable"]
        }
        Step::Store(_) | Step::Read(_) => &["ok", "status", "message", "object", "writtenIn"],
        Step::Render(_) => &["ok", "sideload", "message"],
        Step::Preload(_) => &["image"],
        Step::Schema(_) => &["pruned", "served"],
        Step::Volume(_) => &["name", "storageClass", "claim"],
        Step::Rights(_) => &["sandboxes", "elsewhere", "cluster", "secrets"],
        Step::Stop(_) | Step::Start(_) => &["code", "message", "seconds"],
        Step::LookAt(_) => &["name", "exists", "labels", "secrets", "serviceAccounts", "networkPolicies", "sandboxes"],
        Step::Remove(_) => &["removed", "back"],
        Step::Rotate(_) => &["user"],
    }
}

pub(super) fn pattern_error(document: &Document, error: &regex::Error, at: &[At]) -> SuiteError {
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    document.error(format!("this is not a regular expression: {reason}"), at)
}
