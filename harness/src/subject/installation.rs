//! A subject in the cluster: its chart is installed, and its pod is watched until it runs or has ended.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{DeleteParams, LogParams},
};
use sandproof_clusters::{
    process::ProcessError,
    provider::{NodeAccess, NodeProcesses},
};
use sandproof_scenarios::{ChartSettings, DriverExpectation, time_limits};
use serde_json::Value;

use super::{
    Deployed, Settings, StartError, Started,
    chart::{Chart, values},
    connection,
};
use crate::{
    cluster_state::ClusterState,
    scene::Stage,
    steps::pods::{self, ContainerState, ContainerStatus},
};

/// How long the driver's pod may take to run or to end: it pulls one small image.
const START_DEADLINE: Duration = time_limits::DRIVER_START;

/// Lines of the driver's log that an observation holds.
const LOG_LINES: i64 = 40;

/// Where a subject is started.
#[derive(Clone)]
pub(crate) struct Site {
    /// The cluster's API.
    pub(crate) client: Client,
    /// The cluster's current state.
    pub(crate) state: ClusterState,
    /// The processes of the node, where this host has them.
    pub(crate) processes: Option<NodeProcesses>,
    /// The name of the subject's profile, for messages.
    pub(crate) profile: String,
}

impl Site {
    /// The site of a cell.
    pub(crate) fn of(stage: &Stage) -> Self {
        let processes = match &stage.node_access {
            NodeAccess::Runtime { processes, .. } => Some(*processes),
            NodeAccess::None { .. } => None,
        };
        Self {
            client: stage.client.clone(),
            state: stage.state.clone(),
            processes,
            profile: stage.subject.profile.name.clone(),
        }
    }
}

/// A driver's pod.
#[derive(Clone)]
pub(crate) struct DriverPod {
    /// Its name.
    pub(crate) name: String,
    /// Its UID.
    pub(crate) uid: String,
    api: Api<Pod>,
    container: String,
}

impl std::fmt::Debug for DriverPod {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DriverPod").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Installs the chart and waits until its driver answers, or until it has ended.
pub(super) async fn install(
    chart: &Chart,
    told: &ChartSettings,
    site: &Site,
    settings: &Settings,
    expect: DriverExpectation,
) -> Result<Started, StartError> {
    let values = values(told, &site.profile, settings)?;
    match put(chart.install(settings, &values).await, "install the chart")? {
        Some(refused) => Ok(refused),
        None => settle(told, site, settings, expect, None).await,
    }
}

/// Gives the release other values, and waits until the pod that takes the old one's place answers or has ended.
pub(super) async fn upgrade(
    chart: &Chart,
    pod: &DriverPod,
    told: &ChartSettings,
    site: &Site,
    settings: &Settings,
    expect: DriverExpectation,
) -> Result<Started, StartError> {
    let values = values(told, &site.profile, settings)?;
    match put(chart.upgrade(settings, &values).await, "upgrade the release")? {
        Some(refused) => Ok(refused),
        None => settle(told, site, settings, expect, Some(&pod.name)).await,
    }
}

/// The chart is part of the subject: what it refuses is an observation.
fn put(outcome: Result<(), ProcessError>, tried: &str) -> Result<Option<Started>, StartError> {
    match outcome {
        Ok(()) => Ok(None),
        Err(ProcessError::Failed { status, stderr, .. }) => {
            let log = stderr.lines().map(str::to_owned).collect();
            Ok(Some(Started::Ended { exit_code: status.code().map(i64::from), log, deployed: None }))
        }
        Err(error) => Err(StartError::environment(tried, error)),
    }
}

/// Deletes the driver's pod, and waits until the one that takes its place answers or has ended.
pub(super) async fn restart(
    pod: &DriverPod,
    told: &ChartSettings,
    site: &Site,
    settings: &Settings,
) -> Result<Started, StartError> {
    pod.api
        .delete(&pod.name, &DeleteParams::background())
        .await
        .map_err(|error| StartError::environment(format!("delete the driver's pod {}", pod.name), error))?;
    settle(told, site, settings, DriverExpectation::Running, Some(&pod.name)).await
}

/// Waits until the driver answers, or until it has ended; a pod of the past does not count.
async fn settle(
    told: &ChartSettings,
    site: &Site,
    settings: &Settings,
    expect: DriverExpectation,
    past: Option<&str>,
) -> Result<Started, StartError> {
    let decisive = |state: &ClusterState| {
        let pod = driver_pod(state, settings, past)?;
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let name = (text("/metadata/name")?, text("/metadata/uid")?);
        let container = pods::containers(&pod).into_iter().find(|container| container.name == told.container)?;
        let ended = container.exit_code.is_some() || container.restarts > 0;
        let ready = container.state == ContainerState::Running && expect == DriverExpectation::Running && !ended;
        (ready || ended).then_some((name, container))
    };
    let waited = site.state.wait(START_DEADLINE, decisive).await;
    let Some(((name, uid), container)) = waited.found else {
        return not_decided(&site.state, settings, expect, told, past);
    };
    let api = Api::namespaced(site.client.clone(), &settings.namespace);
    let pod = DriverPod { name, uid, api, container: told.container.clone() };
    // A driver that ended is one that did not start, even while the kubelet is starting it again.
    let running =
        container.state == ContainerState::Running && container.exit_code.is_none() && container.restarts == 0;
    if !running {
        return Ok(ended(pod, &container).await);
    }
    if settings.socket {
        return Ok(Started::OnSocket { deployed: Deployed::Pod(pod) });
    }
    match connection::to_pod(&pod.api, &pod.name, told.port).await {
        Ok(channel) => Ok(Started::Running { channel, deployed: Deployed::Pod(pod) }),
        Err(unreachable) => {
            let mut log = pod.last_lines(false).await;
            log.push(unreachable.to_string());
            Ok(Started::Ended { exit_code: None, log, deployed: Some(Deployed::Pod(pod)) })
        }
    }
}

fn driver_pod(state: &ClusterState, settings: &Settings, past: Option<&str>) -> Option<Arc<Value>> {
    state.pods(&settings.namespace).into_iter().find(|pod| {
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str);
        text("/metadata/labels/app.kubernetes.io~1instance") == Some(settings.release.as_str())
            && (past.is_none() || text("/metadata/name") != past)
    })
}

/// The pod neither runs nor ended in time: the cluster's doing, unless the container was started.
fn not_decided(
    state: &ClusterState,
    settings: &Settings,
    expect: DriverExpectation,
    told: &ChartSettings,
    past: Option<&str>,
) -> Result<Started, StartError> {
    let pod = driver_pod(state, settings, past);
    let containers = pod.as_deref().map(pods::containers).unwrap_or_default();
    let own = containers.iter().find(|container| container.name == told.container);
    if expect == DriverExpectation::Refused && own.is_some_and(|status| status.state == ContainerState::Running) {
        return Ok(Started::NotRefused);
    }
    let seen = match (&pod, own.or(containers.first())) {
        (None, _) => format!("its chart made no pod with the label app.kubernetes.io/instance={}", settings.release),
        (Some(pod), None) => pods::unschedulable(pod).unwrap_or("its pod has no status").to_owned(),
        (Some(_), Some(status)) if own.is_none() => {
            format!("its pod has no container `{}`, but `{}`", told.container, status.name)
        }
        (Some(_), Some(status)) => format!("{} {}", status.reason, status.message),
    };
    let events: Vec<String> = state.events(&settings.namespace).into_iter().map(|event| event.message).collect();
    Err(StartError::environment(
        format!("start the driver within {} s", START_DEADLINE.as_secs()),
        format!("{seen}; events: {}", events.join(" | ")),
    ))
}

/// The last words in the pod's status are there however often the container was started since; its log may not be.
async fn ended(pod: DriverPod, container: &ContainerStatus) -> Started {
    let mut log: Vec<String> = container.last_words.lines().map(str::to_owned).collect();
    if log.is_empty() {
        log = pod.last_lines(container.restarts > 0).await;
    }
    Started::Ended { exit_code: container.exit_code, log, deployed: Some(Deployed::Pod(pod)) }
}

impl DriverPod {
    /// Kills its process, and waits until the kubelet has started it again in the same pod; whether it has.
    pub(super) async fn kill(&self, site: &Site) -> Result<bool, StartError> {
        let tried = || format!("kill the driver's process in pod {}", self.name);
        let processes = site.processes.ok_or_else(|| StartError::environment(tried(), "it is not on this host"))?;
        let before = self.restarts(&site.state);
        let found = processes.of_pod(&self.uid).first().copied();
        let process = found.ok_or_else(|| StartError::environment(tried(), "it was not found"))?;
        NodeProcesses::kill(process).map_err(|error| StartError::environment(tried(), error))?;
        let again = site.state.wait(START_DEADLINE, |state| (self.restarts(state) > before).then_some(())).await;
        Ok(again.found.is_some())
    }

    /// How often the container that runs was started again; before the first time where it does not run.
    fn restarts(&self, state: &ClusterState) -> i64 {
        let namespace = self.api.namespace().unwrap_or_default();
        let containers = state.pod(namespace, &self.name).map(|pod| pods::containers(&pod)).unwrap_or_default();
        let own = containers.into_iter().find(|container| container.name == self.container);
        own.filter(|container| container.state == ContainerState::Running).map_or(-1, |container| container.restarts)
    }

    /// All of its log.
    pub(super) async fn log(&self) -> Option<String> {
        let parameters = LogParams { container: Some(self.container.clone()), ..LogParams::default() };
        self.api.logs(&self.name, &parameters).await.ok()
    }

    async fn last_lines(&self, previous: bool) -> Vec<String> {
        let parameters = LogParams {
            container: Some(self.container.clone()),
            previous,
            tail_lines: Some(LOG_LINES),
            ..LogParams::default()
        };
        let text = self.api.logs(&self.name, &parameters).await.unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}
