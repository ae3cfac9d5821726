//! `await` and `events`: waits that end at the first decisive observation, or at their deadline.

use std::{sync::Arc, time::Duration};

use regex::Regex;
use sandproof_scenarios::{AwaitStep, AwaitUntil, EventGoal, EventsStep};
use serde_json::{Value, json};

use super::{
    StepError,
    pods::{self, ContainerState, ContainerStatus},
};
use crate::{cluster_state::SeenEvent, scene::Scene};

/// Waits for a state of a sandbox's pod.
pub(super) async fn sandbox(scene: &mut Scene, step: &AwaitStep) -> Value {
    let name = scene.sandbox(&step.sandbox, None).name;
    let stage = Arc::clone(&scene.stage);
    // What was refused never comes: waiting for it would only cost the time limit.
    let within = if scene.refused.contains(&name) { Duration::ZERO } else { step.within.0 };
    let waited = stage
        .state
        .wait(within, |state| {
            if step.until == AwaitUntil::Gone {
                return scene.is_gone(state, &name).then_some((true, None));
            }
            let pod = scene.sandbox_pod(state, &name)?;
            decisive(&pod, &scene.events(state), step, &stage.subject.profile.agent_container)
        })
        .await;
    let pod = scene.sandbox_pod(&stage.state, &name);
    let (reached, status) = match waited.found {
        Some((reached, status)) => (reached, status),
        None => (false, pod.as_deref().and_then(|pod| most_telling(pod, step.container.as_deref()))),
    };
    if reached && step.until == AwaitUntil::Running {
        stage.sandbox_runs();
    }
    let all = scene.events(&stage.state);
    let unmounted = pod.as_deref().and_then(|pod| pods::unmountable(pod, &all));
    let unscheduled = pod.as_deref().and_then(pods::unschedulable).unwrap_or_default().to_owned();
    let (container, reason, message) = match (status, unmounted) {
        (Some(status), _) => (Some(status.name), status.reason, status.message),
        (None, Some(unmounted)) => (None, pods::FAILED_MOUNT.to_owned(), unmounted),
        (None, None) => (None, String::new(), unscheduled),
    };
    let object =
        pod.as_deref().and_then(|pod| pod.pointer("/metadata/name")?.as_str().map(|name| format!("Pod/{name}")));
    let events: Vec<_> = all.into_iter().filter(|event| object.as_ref() == Some(&event.object)).collect();
    json!({
        "reached": reached,
        "seconds": waited.seconds,
        "phase": pod.as_deref().map(pods::phase),
        "reason": reason,
        "message": message,
        "container": container,
        "pod": pod,
        "events": events,
    })
}

/// Waits for an event of an open watch, and reads all that it has delivered.
pub(super) async fn events(scene: &mut Scene, step: &EventsStep) -> Result<Value, StepError> {
    let goal = step.until.as_ref().map(|goal| Goal::new(scene, goal)).transpose()?;
    let watching = scene
        .watches
        .get(&step.watch)
        .ok_or_else(|| StepError::environment("read a watch", format!("no watch `{}` is open", step.watch)))?;
    let reached = match &goal {
        None => true,
        Some(goal) => watching.until(step.within.0, |seen| seen.iter().any(|event| goal.is_met(event))).await,
    };
    let seen = watching.seen();
    let deleted = seen
        .iter()
        .filter(|event| event["kind"] == "deleted" && goal.as_ref().is_none_or(|goal| event["id"] == *goal.id))
        .count();
    Ok(json!({ "reached": reached, "events": seen, "deletedCount": deleted }))
}

/// An event that is waited for, with the names of the scenario replaced by what was sent.
struct Goal {
    id: String,
    kind: GoalKind,
}

enum GoalKind {
    Deleted,
    Sandbox(Option<Regex>),
    Ready,
    Platform(Option<Regex>),
}

impl Goal {
    fn new(scene: &mut Scene, goal: &EventGoal) -> Result<Self, StepError> {
        let id = scene.sandbox(goal.sandbox(), None).id;
        let expression = |matches: &Option<String>| {
            let compiled = matches.as_deref().map(Regex::new).transpose();
            compiled.map_err(|error| StepError::environment("read `matches`", error))
        };
        let kind = match goal {
            EventGoal::Deleted(_) => GoalKind::Deleted,
            EventGoal::Sandbox { matches, .. } => GoalKind::Sandbox(expression(matches)?),
            EventGoal::Ready(_) => GoalKind::Ready,
            EventGoal::Platform { matches, .. } => GoalKind::Platform(expression(matches)?),
        };
        Ok(Self { id, kind })
    }

    fn is_met(&self, event: &Value) -> bool {
        if event["id"] != *self.id {
            return false;
        }
        match &self.kind {
            GoalKind::Deleted => event["kind"] == "deleted",
            GoalKind::Sandbox(matches) => {
                event["kind"] == "sandbox"
                    && matches.as_ref().is_none_or(|matches| {
                        event["conditions"].as_array().is_some_and(|conditions| {
                            conditions.iter().any(|condition| matches.is_match(&condition_line(condition)))
                        })
                    })
            }
            GoalKind::Ready => {
                event["kind"] == "sandbox"
                    && event["conditions"].as_array().is_some_and(|conditions| {
                        conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
                    })
            }
            GoalKind::Platform(matches) => {
                event["kind"] == "platform"
                    && matches.as_ref().is_none_or(|matches| {
                        let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
                        matches.is_match(&format!("{}: {}", text("reason"), text("message")))
                    })
            }
        }
    }
}

/// `PodScheduled=False Unschedulable: 0/1 nodes are available`
fn condition_line(condition: &Value) -> String {
    let text = |field: &str| condition[field].as_str().unwrap_or_default();
    format!("{}={} {}: {}", text("type"), text("status"), text("reason"), text("message"))
}

/// Whether the pod's state ends the wait, and whether it is the state that was waited for.
fn decisive(
    pod: &Value,
    events: &[SeenEvent],
    step: &AwaitStep,
    agent: &str,
) -> Option<(bool, Option<ContainerStatus>)> {
    let wanted = step.container.as_deref();
    let containers: Vec<ContainerStatus> = pods::containers(pod)
        .into_iter()
        .filter(|container| wanted.is_none_or(|name| container.name == name))
        .collect();
    let by_event = pods::refused(pod, events).filter(|container| wanted.is_none_or(|name| container.name == name));
    let refused =
        containers.iter().find(|container| container.state == ContainerState::PullRefused).or(by_event.as_ref());
    let failed = containers.iter().find(|container| container.state == ContainerState::Failed);
    let runs = pods::runs(pod, wanted.unwrap_or(agent));
    let unmountable = pods::unmountable(pod, events).is_some();
    match step.until {
        AwaitUntil::Running if runs => Some((true, None)),
        AwaitUntil::PullRefused if refused.is_some() => Some((true, refused.cloned())),
        AwaitUntil::Failed if failed.is_some() || pods::phase(pod) == "Failed" => Some((true, failed.cloned())),
        AwaitUntil::CannotStart if failed.is_some() || unmountable => Some((true, failed.cloned())),
        // What the kubelet does not know it will not mount, and then no container is ever created.
        _ if unmountable => Some((false, None)),
        // The first refusal is final, and what runs was not refused.
        AwaitUntil::Running => refused.or(failed).map(|status| (false, Some(status.clone()))),
        AwaitUntil::PullRefused | AwaitUntil::CannotStart if runs => Some((false, None)),
        AwaitUntil::CannotStart => refused.map(|status| (false, Some(status.clone()))),
        AwaitUntil::PullRefused => failed.map(|status| (false, Some(status.clone()))),
        // No state of a pod is its end.
        AwaitUntil::Failed | AwaitUntil::Gone => None,
    }
}

/// The container that says most about why a pod does not run yet.
fn most_telling(pod: &Value, wanted: Option<&str>) -> Option<ContainerStatus> {
    let containers: Vec<ContainerStatus> = pods::containers(pod)
        .into_iter()
        .filter(|container| wanted.is_none_or(|name| container.name == name))
        .collect();
    containers
        .iter()
        .find(|container| !matches!(container.state, ContainerState::Running | ContainerState::Completed))
        .or(containers.first())
        .cloned()
}
