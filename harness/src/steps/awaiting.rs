//! `await` and `events`: waits that end at the first decisive observation, or at their deadline.

use std::{sync::Arc, time::Duration};

use regex::Regex;
use sandproof_scenarios::{AwaitStep, AwaitUntil, EventGoal, EventsStep, Named};
use serde_json::{Value, json};

use super::{
    StepError,
    pods::{self, ContainerState, ContainerStatus},
};
use crate::{
    cluster_state::SeenEvent,
    scene::{Scene, SceneSandbox},
};

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
    let pod = || {
        let pod = scene.sandbox_pod(&scene.stage.state, &goal.as_ref()?.name)?;
        pod.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned)
    };
    let reached = match &goal {
        None => true,
        Some(goal) => watching.until(step.within.0, |seen| seen.iter().any(|event| goal.is_met(event, pod))).await,
    };
    let seen = watching.seen();
    let deleted = seen
        .iter()
        .filter(|event| event["kind"] == "deleted" && goal.as_ref().is_none_or(|goal| event["id"] == *goal.id))
        .count();
    let until = step.until.as_ref().map(EventGoal::kind);
    Ok(json!({ "until": until, "reached": reached, "events": seen, "deletedCount": deleted }))
}

/// An event that is waited for, with the names of the scenario replaced by what was sent.
struct Goal {
    id: String,
    name: String,
    kind: GoalKind,
}

enum GoalKind {
    Deleted,
    Sandbox(Wanted),
    Ready,
    Platform(Wanted),
}

/// What one condition or one platform event has to say.
struct Wanted {
    matches: Option<Regex>,
    pod: bool,
    image: Option<String>,
}

impl Wanted {
    fn new(scene: &Scene, matches: Option<&str>, named: &Named) -> Result<Self, StepError> {
        let matches = matches.map(Regex::new).transpose();
        let matches = matches.map_err(|error| StepError::environment("read `matches`", error))?;
        let address = |name: &String| {
            let image = scene.images.get(name).map(|image| image.address.clone());
            image.ok_or_else(|| StepError::environment("name an image", format!("no image `{name}` was pushed")))
        };
        Ok(Self { matches, pod: named.pod, image: named.image.as_ref().map(address).transpose()? })
    }

    /// Whether it asks for nothing.
    fn is_any(&self) -> bool {
        self.matches.is_none() && self.image.is_none() && !self.pod
    }

    /// Whether `line` matches, and `whole` has the names in it.
    fn is_met(&self, line: &str, whole: &Value, pod: impl Fn() -> Option<String>) -> bool {
        let whole = whole.to_string();
        let names_pod = || pod().is_some_and(|pod| whole.contains(&pod));
        self.matches.as_ref().is_none_or(|matches| matches.is_match(line))
            && self.image.as_ref().is_none_or(|image| whole.contains(image))
            && (!self.pod || names_pod())
    }
}

impl Goal {
    fn new(scene: &mut Scene, goal: &EventGoal) -> Result<Self, StepError> {
        let SceneSandbox { id, name } = scene.sandbox(goal.sandbox(), None);
        let kind = match goal {
            EventGoal::Deleted(_) => GoalKind::Deleted,
            EventGoal::Sandbox { matches, named, .. } => {
                GoalKind::Sandbox(Wanted::new(scene, matches.as_deref(), named)?)
            }
            EventGoal::Ready(_) => GoalKind::Ready,
            EventGoal::Platform { matches, named, .. } => {
                GoalKind::Platform(Wanted::new(scene, matches.as_deref(), named)?)
            }
        };
        Ok(Self { id, name, kind })
    }

    /// Whether an event is the one; `pod` gives the name of the sandbox's pod.
    fn is_met(&self, event: &Value, pod: impl Fn() -> Option<String>) -> bool {
        if event["id"] != *self.id {
            return false;
        }
        let conditions = || event["conditions"].as_array().into_iter().flatten();
        match &self.kind {
            GoalKind::Deleted => event["kind"] == "deleted",
            // A sandbox that was just made has no condition yet.
            GoalKind::Sandbox(wanted) if wanted.is_any() => event["kind"] == "sandbox",
            GoalKind::Sandbox(wanted) => {
                event["kind"] == "sandbox"
                    && conditions().any(|condition| wanted.is_met(&condition_line(condition), condition, &pod))
            }
            GoalKind::Ready => {
                event["kind"] == "sandbox"
                    && conditions().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
            }
            GoalKind::Platform(wanted) => {
                let text = |field: &str| event[field].as_str().unwrap_or_default();
                let line = format!("{}: {}", text("reason"), text("message"));
                event["kind"] == "platform" && wanted.is_met(&line, event, &pod)
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
