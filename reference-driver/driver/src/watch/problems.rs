//! What keeps a sandbox's pod from running, in words a client can act on.

use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod, PodCondition};

use crate::pod::SUPERVISOR_VOLUME;

/// The condition of a pull that fails.
const IMAGE_PULL: &str = "ImagePull";
/// The condition of a container that cannot be created or started, or that ended with an error.
const CONTAINER_START: &str = "ContainerStart";
/// The condition of a volume that cannot be mounted.
const VOLUME_MOUNT: &str = "VolumeMount";
/// The condition of a pod no node takes.
const POD_SCHEDULED: &str = "PodScheduled";
/// The condition of a pod that ended with an error as a whole, such as an evicted one.
const POD_RUNNING: &str = "PodRunning";

/// The reason of a sandbox whose pod has ended with an error (Agent Sandbox's word).
const POD_FAILED: &str = "PodFailed";
/// The reason of a sandbox whose pod has ended without one (Agent Sandbox's word).
const POD_SUCCEEDED: &str = "PodSucceeded";

/// One reason why a pod does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// The condition's type.
    pub(super) condition: &'static str,
    /// Kubernetes' reason.
    pub(super) reason: String,
    /// Names the pod, the container, the image and the reason.
    pub(super) message: String,
    /// The container, if it is one container's.
    pub(super) container: Option<String>,
    /// The image, if it is one container's.
    pub(super) image: Option<String>,
    /// Whether it decides the sandbox's readiness; a pod without a node may yet get one.
    pub(super) decides: bool,
}

impl Problem {
    /// Its reason as one of the sandbox not being ready, in Agent Sandbox's words where it has some (v0.5.1).
    pub(super) fn ready_reason(&self) -> &str {
        // What Kubernetes calls an error is a program that ended by itself, with a status other than 0.
        if self.reason == "Error" { POD_FAILED } else { &self.reason }
    }

    /// Whether nothing is wrong: the program has just ended.
    pub(super) fn is_normal(&self) -> bool {
        self.reason == POD_SUCCEEDED
    }
}

/// Everything that keeps the pod from running.
pub(super) fn of(pod: &Pod) -> Vec<Problem> {
    // What a pod says that is being deleted is about its end.
    let (Some(status), None) = (&pod.status, &pod.metadata.deletion_timestamp) else {
        return Vec::new();
    };
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let mut problems: Vec<Problem> = status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
        .flatten()
        .filter_map(|container| container_problem(pod, name, container))
        .collect();
    problems.extend(status.conditions.iter().flatten().filter_map(|condition| unschedulable(name, condition)));
    let (otherwise, detail) = match status.phase.as_deref() {
        Some("Failed") => (POD_FAILED, "the pod failed"),
        Some("Succeeded") => (POD_SUCCEEDED, "every container has ended with exit code 0"),
        _ => return problems,
    };
    if problems.is_empty() {
        let reason = status.reason.clone().unwrap_or_else(|| otherwise.to_owned());
        let detail = status.message.as_deref().unwrap_or(detail);
        problems.push(Problem {
            condition: POD_RUNNING,
            message: format!("pod {name:?}: {reason}: {detail}"),
            reason,
            container: None,
            image: None,
            decides: true,
        });
    }
    problems
}

/// The volume that an event says the kubelet could not mount. The pod's status says nothing of it: its containers just wait.
pub(super) fn of_mount(pod: &Pod, event: &Event) -> Option<Problem> {
    let reason = event.reason.as_deref().filter(|reason| matches!(*reason, "FailedMount" | "FailedAttachVolume"))?;
    if event.involved_object.uid != pod.metadata.uid || !waits_for_volumes(pod) {
        return None;
    }
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let detail = event.message.as_deref().unwrap_or_default();
    let image = volume_image(pod).filter(|_| detail.contains(SUPERVISOR_VOLUME)).map(str::to_owned);
    let named = image.as_ref().map(|image| format!("image {image:?}: ")).unwrap_or_default();
    Some(Problem {
        condition: VOLUME_MOUNT,
        message: format!("pod {name:?}: {named}{reason}: {detail}"),
        reason: reason.to_owned(),
        container: None,
        image,
        decides: true,
    })
}

/// Whether no container of the pod has got any further than to wait for its volumes.
pub(super) fn waits_for_volumes(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return true };
    let mut containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    containers.all(|container| {
        let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
        let reason = waiting.and_then(|waiting| waiting.reason.as_deref());
        container.state.is_none() || matches!(reason, Some("ContainerCreating" | "PodInitializing"))
    })
}

/// The condition and whether a waiting reason is a fault at all.
fn condition_of(waiting_reason: &str) -> Option<&'static str> {
    match waiting_reason {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "ErrImageNeverPull"
        | "InvalidImageName"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => Some(IMAGE_PULL),
        "CrashLoopBackOff" => Some(CONTAINER_START),
        // CreateContainerError, CreateContainerConfigError, RunContainerError and their like.
        other if other.ends_with("Error") => Some(CONTAINER_START),
        _ => None,
    }
}

fn container_problem(pod: &Pod, pod_name: &str, status: &ContainerStatus) -> Option<Problem> {
    let state = status.state.as_ref()?;
    let (condition, reason, detail) = if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref()?;
        (condition_of(reason)?, reason.to_owned(), waiting.message.clone().unwrap_or_default())
    } else {
        let ended = state.terminated.as_ref().filter(|ended| ended.exit_code != 0)?;
        let reason = ended.reason.clone().unwrap_or_else(|| "Error".to_owned());
        let mut detail = format!("exit code {}", ended.exit_code);
        if let Some(message) = ended.message.as_deref().filter(|message| !message.is_empty()) {
            detail = format!("{detail}: {}", message.trim_end());
        }
        (CONTAINER_START, reason, detail)
    };
    let image = image_of(pod, status, &detail);
    let container = &status.name;
    Some(Problem {
        condition,
        message: format!("pod {pod_name:?}: container {container:?}: image {image:?}: {reason}: {detail}"),
        reason,
        container: Some(container.clone()),
        image: Some(image),
        decides: true,
    })
}

/// The image at fault: a container also waits for the image of a volume it mounts.
fn image_of(pod: &Pod, status: &ContainerStatus, detail: &str) -> String {
    let own = own_image(pod, &status.name).unwrap_or(&status.image);
    match volume_image(pod) {
        Some(volume) if detail.contains(volume) && !detail.contains(own) => volume.to_owned(),
        _ => own.to_owned(),
    }
}

/// The image a container asks for.
pub(super) fn own_image<'a>(pod: &'a Pod, container: &str) -> Option<&'a str> {
    let spec = pod.spec.as_ref()?;
    let mut containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    containers.find(|candidate| candidate.name == container)?.image.as_deref()
}

fn volume_image(pod: &Pod) -> Option<&str> {
    let volumes = pod.spec.as_ref()?.volumes.as_ref()?;
    let volume = volumes.iter().find(|volume| volume.name == SUPERVISOR_VOLUME)?;
    volume.image.as_ref()?.reference.as_deref()
}

fn unschedulable(pod_name: &str, condition: &PodCondition) -> Option<Problem> {
    let reason = condition.reason.as_deref()?;
    if condition.type_ != "PodScheduled" || condition.status != "False" {
        return None;
    }
    let detail = condition.message.as_deref().unwrap_or_default();
    Some(Problem {
        condition: POD_SCHEDULED,
        reason: reason.to_owned(),
        message: format!("pod {pod_name:?}: {reason}: {detail}"),
        container: None,
        image: None,
        decides: false,
    })
}

#[cfg(test)]
mod tests;
