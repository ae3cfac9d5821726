//! One probe pod from its creation to what decides about it.

use std::fmt;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, LogParams, PostParams},
};
use serde_json::{Value, json};

use super::{PROBE_DEADLINE, TRIED};
use crate::{
    cluster_state::ClusterState,
    failure::Failure,
    scene::Stage,
    steps::pods::{self, ContainerState},
};

/// What became of a probe pod.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    /// The pod as the API server stored it; null if it did not.
    pub(super) stored: Value,
    /// What decided about it.
    pub(super) outcome: Outcome,
}

/// What decides about a probe pod, in the words of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its container ran and ended.
    Ended {
        /// What it printed.
        log: String,
    },
    /// Its image, or that of its volume, could not be pulled.
    PullRefused(String),
    /// The runtime could not create or start its container.
    CannotStart(String),
    /// The kubelet cannot mount its volume.
    Unmounted(String),
    /// The API server did not take it.
    Rejected(String),
    /// Nothing decided about it in time.
    Undecided(String),
}

impl Outcome {
    /// Whether nothing else will come of the pod.
    pub(super) fn is_final(&self) -> bool {
        !matches!(self, Self::Undecided(_))
    }
}

impl Trial {
    /// Whether the API server kept the pod's image volume.
    pub(super) fn keeps_image_volume(&self) -> bool {
        let volumes = self.stored.pointer("/spec/volumes").and_then(Value::as_array);
        volumes.is_some_and(|volumes| volumes.iter().any(|volume| volume["image"].is_object()))
    }

    /// The JSON object that the container printed.
    pub(super) fn report(&self) -> Option<Value> {
        match &self.outcome {
            Outcome::Ended { log } => log.lines().find_map(|line| serde_json::from_str(line).ok()),
            _ => None,
        }
    }
}

/// Creates a pod under `name`, waits for the first outcome that `decides`, and deletes it.
pub(super) async fn attempt(
    stage: &Stage,
    name: &str,
    mut pod: Value,
    decides: impl Fn(&Outcome) -> bool,
) -> Result<Trial, Failure> {
    let failed = |error: &dyn fmt::Display| Failure::environment(TRIED, error);
    pod["metadata"]["name"] = json!(name);
    let pod: Pod = serde_json::from_value(pod).map_err(|error| failed(&error))?;
    let api: Api<Pod> = Api::namespaced(stage.client.clone(), &stage.place.probes);
    let stored = match api.create(&PostParams::default(), &pod).await {
        Ok(stored) => serde_json::to_value(&stored).map_err(|error| failed(&error))?,
        Err(kube::Error::Api(status)) if status.code == 422 => {
            return Ok(Trial { stored: Value::Null, outcome: Outcome::Rejected(status.message) });
        }
        Err(error) => return Err(failed(&error)),
    };
    let waiting = stage
        .state
        .wait(PROBE_DEADLINE, |state| outcome(state, &stage.place.probes, name).filter(|outcome| decides(outcome)));
    let waited = tokio::select! {
        waited = waiting => waited,
        () = stage.halt.cancelled() => return Err(failed(&stage.broken().unwrap_or_else(|| "the run ends".to_owned()))),
    };
    let outcome = match waited.found {
        Some(Outcome::Ended { .. }) => {
            let log = api.logs(name, &LogParams::default()).await.map_err(|error| failed(&error))?;
            Outcome::Ended { log }
        }
        Some(outcome) => outcome,
        None => Outcome::Undecided(undecided(&stage.state, &stage.place.probes, name)),
    };
    // The pod is in the cluster's own namespace, and the cluster's end is what clean-up relies on.
    let _ = api.delete(name, &DeleteParams::default().grace_period(0)).await;
    Ok(Trial { stored, outcome })
}

/// What the cluster says of the pod right now.
fn outcome(state: &ClusterState, namespace: &str, name: &str) -> Option<Outcome> {
    let pod = state.pod(namespace, name)?;
    if let Some(unmounted) = pods::unmountable(&pod, &state.events(namespace)) {
        return Some(Outcome::Unmounted(unmounted));
    }
    let container = pods::containers(&pod).into_iter().next()?;
    let words = format!("{}: {}", container.reason, container.message);
    match container.state {
        ContainerState::Waiting | ContainerState::Running => None,
        ContainerState::PullRefused => Some(Outcome::PullRefused(words)),
        // A program that could not be executed has an exit code too, and never printed anything.
        ContainerState::Failed if container.exit_code.is_none() || container.reason == "StartError" => {
            Some(Outcome::CannotStart(words))
        }
        ContainerState::Failed | ContainerState::Completed => Some(Outcome::Ended { log: String::new() }),
    }
}

/// Why nothing decided: the last state of the pod and what was said of it.
fn undecided(state: &ClusterState, namespace: &str, name: &str) -> String {
    let pod = state.pod(namespace, name);
    let object = format!("Pod/{name}");
    let events: Vec<String> = state
        .events(namespace)
        .into_iter()
        .filter(|event| event.object == object)
        .map(|event| format!("{}: {}", event.reason, event.message))
        .collect();
    format!(
        "within {} s; pod {name} is {}, events: {}",
        PROBE_DEADLINE.as_secs(),
        pod.as_deref().map_or("not there", pods::phase),
        events.join(" | "),
    )
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended { log } => write!(formatter, "it ended and printed {log:?}"),
            Self::PullRefused(words) | Self::CannotStart(words) | Self::Unmounted(words) => formatter.write_str(words),
            Self::Rejected(words) => write!(formatter, "the API server refused it: {words}"),
            Self::Undecided(words) => write!(formatter, "nothing decided about it {words}"),
        }
    }
}
