//! The conditions a client sees: those of the object, and what its pod and its being stopped add to them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sandproof_protocol::v1;

use super::problems::Problem;

/// Whether a sandbox is ready to be used.
const READY: &str = "Ready";
/// Whether a sandbox is stopped; the gateway takes `True` for the phase STOPPED.
const SUSPENDED: &str = "Suspended";
/// The reason of both of a stopped sandbox (Agent Sandbox's word, v0.5).
const SANDBOX_SUSPENDED: &str = "SandboxSuspended";
const POD_NOT_ENDED: &str = "PodNotEnded";

/// When something that is not in the object began, by condition and reason.
#[derive(Debug, Clone, Default)]
pub(super) struct Since(BTreeMap<(&'static str, String), String>);

impl Since {
    /// These, of which those that were known before keep their time.
    pub(super) fn of(problems: &[Problem], before: Option<&Self>) -> Self {
        let time =
            |key: &(&'static str, String)| before.and_then(|before| before.0.get(key)).cloned().unwrap_or_else(now);
        let keys = problems.iter().map(|problem| (problem.condition, problem.reason.clone()));
        Self(keys.map(|key| (key.clone(), time(&key))).collect())
    }

    fn get(&self, problem: &Problem) -> String {
        self.0.get(&(problem.condition, problem.reason.clone())).cloned().unwrap_or_default()
    }
}

/// What a pod adds to its sandbox.
pub(super) struct OfPod<'a> {
    /// What keeps it from running.
    pub(super) problems: &'a [Problem],
    /// Since when.
    pub(super) since: &'a Since,
}

/// Whether a sandbox is told to have no pod, and since when it has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Running {
    /// It is to run.
    #[default]
    Wanted,
    /// It is to have no pod, but still has one.
    Ending,
    /// It has no pod since then.
    Stopped(String),
}

/// The sandbox as a client sees it.
pub(super) fn overlay(mut sandbox: v1::DriverSandbox, running: &Running, pod: Option<OfPod<'_>>) -> v1::DriverSandbox {
    let Some(status) = sandbox.status.as_mut() else {
        return sandbox;
    };
    let conditions = &mut status.conditions;
    match (running, pod) {
        (Running::Stopped(since), _) => stopped(conditions, since),
        // What a pod says while it is being ended is not the sandbox's trouble.
        (Running::Ending, _) => ending(conditions),
        (Running::Wanted, None) => {}
        (Running::Wanted, Some(pod)) => {
            for problem in pod.problems {
                set(
                    conditions,
                    condition(problem.condition, "False", &problem.reason, &problem.message, &pod.since.get(problem)),
                );
            }
            if let Some(problem) = pod.problems.iter().find(|problem| problem.decides) {
                set(
                    conditions,
                    condition(READY, "False", problem.ready_reason(), &problem.message, &pod.since.get(problem)),
                );
            }
        }
    }
    sandbox
}

/// Releases of Agent Sandbox differ: v0.4.6 says that a stopped sandbox is ready, and not that it is stopped.
fn stopped(conditions: &mut Vec<v1::DriverCondition>, since: &str) {
    const MESSAGE: &str = "the sandbox is stopped; its data is kept";
    if !conditions.iter().any(|known| known.r#type == SUSPENDED && known.status == "True") {
        set(conditions, condition(SUSPENDED, "True", SANDBOX_SUSPENDED, MESSAGE, since));
    }
    not_ready(conditions, MESSAGE, since);
}

fn ending(conditions: &mut Vec<v1::DriverCondition>) {
    const MESSAGE: &str = "the sandbox is told to stop, and its pod has not ended yet";
    if let Some(known) = conditions.iter_mut().find(|known| known.r#type == SUSPENDED && known.status == "True") {
        *known = condition(SUSPENDED, "False", POD_NOT_ENDED, MESSAGE, &known.last_transition_time.clone());
    }
    not_ready(conditions, MESSAGE, "");
}

fn not_ready(conditions: &mut Vec<v1::DriverCondition>, message: &str, since: &str) {
    if !conditions.iter().any(|known| known.r#type == READY && known.status == "False") {
        set(conditions, condition(READY, "False", SANDBOX_SUSPENDED, message, since));
    }
}

fn condition(kind: &str, status: &str, reason: &str, message: &str, since: &str) -> v1::DriverCondition {
    v1::DriverCondition {
        r#type: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: since.to_owned(),
    }
}

fn set(conditions: &mut Vec<v1::DriverCondition>, condition: v1::DriverCondition) {
    match conditions.iter_mut().find(|known| known.r#type == condition.r#type) {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

/// The time as conditions have it: whole seconds.
pub(super) fn now() -> String {
    let seconds = Timestamp::now().as_second();
    Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(conditions: &[(&str, &str)]) -> v1::DriverSandbox {
        let conditions = conditions.iter().map(|(kind, status)| condition(kind, status, "R", "", "t")).collect();
        let status = v1::DriverSandboxStatus { conditions, ..v1::DriverSandboxStatus::default() };
        v1::DriverSandbox { status: Some(status), ..v1::DriverSandbox::default() }
    }

    fn shown(sandbox: &v1::DriverSandbox) -> Vec<String> {
        let conditions = &sandbox.status.as_ref().unwrap().conditions;
        conditions.iter().map(|known| format!("{}={}/{}", known.r#type, known.status, known.reason)).collect()
    }

    #[test]
    fn a_stopped_sandbox_says_so_whatever_the_release() {
        let stopped = Running::Stopped("t".to_owned());
        let old = overlay(sandbox(&[("Ready", "True")]), &stopped, None);
        assert_eq!(shown(&old), ["Ready=False/SandboxSuspended", "Suspended=True/SandboxSuspended"]);
        let new = overlay(sandbox(&[("Ready", "False"), ("Suspended", "True")]), &stopped, None);
        assert_eq!(shown(&new), ["Ready=False/R", "Suspended=True/R"]);
    }

    #[test]
    fn a_sandbox_is_not_stopped_before_its_pod_has_ended() {
        let early = overlay(sandbox(&[("Ready", "True"), ("Suspended", "True")]), &Running::Ending, None);
        assert_eq!(shown(&early), ["Ready=False/SandboxSuspended", "Suspended=False/PodNotEnded"]);
    }

    #[test]
    fn a_running_sandbox_is_left_as_it_is() {
        let as_it_is = overlay(sandbox(&[("Ready", "True")]), &Running::Wanted, None);
        assert_eq!(shown(&as_it_is), ["Ready=True/R"]);
    }
}
