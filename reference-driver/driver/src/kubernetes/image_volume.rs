//! Whether the cluster keeps an image volume.
//!
//! With the feature gate `ImageVolume` off, the API server of Kubernetes 1.31 to 1.34 drops the volume and its mounts without an
//! error; an older one turns it into an empty directory; an old Sandbox schema prunes it. So both objects are created as
//! server-side dry runs and read back.

use std::fmt;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::version::Info;
use kube::Api;
use kube::api::PostParams;
use kube::core::{ApiResource, DynamicObject};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Sandboxes, call, code_of};
use crate::error::DriverError;
use crate::pod::SUPERVISOR_VOLUME;

/// How long an answer holds; short, because a gate changes only with a restart of the API server.
const VALIDITY: Duration = Duration::from_secs(15);
const TRIAL_NAME: &str = "openshell-image-volume-trial";

/// Finds out once for all concurrent callers whether image volumes are kept.
#[derive(Default)]
pub(crate) struct ImageVolumeProbe {
    // Held while the cluster is asked, so that concurrent callers wait for one answer.
    known: Mutex<Option<Known>>,
}

struct Known {
    until: Instant,
    support: Support,
}

#[derive(Debug, Clone)]
enum Support {
    /// The volume came back as it was sent.
    Kept,
    /// The volume came back without its image, or not at all.
    Dropped { by: Dropper, version: String },
    /// The rehearsal itself was not allowed, so nothing is known; the real object will tell.
    Unknown,
}

impl ImageVolumeProbe {
    /// Refuses if the cluster drops image volumes.
    pub(crate) async fn require(&self, sandboxes: &Sandboxes, image: &str) -> Result<(), DriverError> {
        let mut known = self.known.lock().await;
        let support = match known.as_ref() {
            Some(fresh) if fresh.until > Instant::now() => fresh.support.clone(),
            _ => {
                let support = probe(sandboxes, image).await?;
                *known = Some(Known { until: Instant::now() + VALIDITY, support: support.clone() });
                support
            }
        };
        match support {
            Support::Kept | Support::Unknown => Ok(()),
            Support::Dropped { by, version } => Err(DriverError::ImageVolumeDropped { dropped_by: by, version }),
        }
    }
}

/// Who drops an image volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropper {
    /// The API server, out of every pod.
    ApiServer,
    /// The schema of the Sandbox, out of the pod template.
    SandboxSchema,
}

impl Dropper {
    /// What ends it.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::ApiServer => "switch the gate on",
            Self::SandboxSchema => "install Agent Sandbox v0.3.10 or later",
        }
    }
}

impl fmt::Display for Dropper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ApiServer => "the API server",
            Self::SandboxSchema => "the Sandbox schema",
        })
    }
}

async fn probe(sandboxes: &Sandboxes, image: &str) -> Result<Support, DriverError> {
    let (pod, sandbox) = tokio::join!(
        rehearse_pod(sandboxes, image),
        sandboxes.rehearse(TRIAL_NAME, json!({ "podTemplate": { "spec": trial_spec(image) } })),
    );
    let outcomes = [
        (Dropper::ApiServer, pod.map(|pod| keeps_image(pod.data.get("spec")))),
        (Dropper::SandboxSchema, sandbox.map(|sandbox| keeps_image(sandbox.data.pointer("/spec/podTemplate/spec")))),
    ];
    let mut support = Support::Kept;
    for (by, outcome) in outcomes {
        match outcome {
            Ok(true) => {}
            Ok(false) => {
                let version = call("read the API server's version", sandboxes.client().apiserver_version()).await?;
                let version = shown(&version);
                tracing::warn!(%by, version, "the cluster drops image volumes");
                return Ok(Support::Dropped { by, version });
            }
            // An admission rule of the namespace refused the trial object, not the volume.
            Err(error) if matches!(code_of(&error), Some(400 | 403 | 422)) => {
                tracing::warn!(%by, %error, "could not rehearse an image volume");
                support = Support::Unknown;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(support)
}

/// The version, and the one it emulates if that is another: the emulated one decides the gate's default.
fn shown(version: &Info) -> String {
    let parts = (&version.emulation_major, &version.emulation_minor);
    match parts {
        (Some(major), Some(minor)) if *major != version.major || *minor != version.minor => {
            format!("{} emulating {major}.{minor}", version.git_version)
        }
        _ => version.git_version.clone(),
    }
}

async fn rehearse_pod(sandboxes: &Sandboxes, image: &str) -> Result<DynamicObject, DriverError> {
    let resource = ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&());
    let pods: Api<DynamicObject> =
        Api::namespaced_with(sandboxes.client().clone(), sandboxes.trial_namespace(), &resource);
    let pod = DynamicObject::new(TRIAL_NAME, &resource)
        .within(sandboxes.trial_namespace())
        .data(json!({ "spec": trial_spec(image) }));
    let rehearsal = PostParams { dry_run: true, ..PostParams::default() };
    call("rehearse a pod", pods.create(&rehearsal, &pod)).await
}

/// A pod that even the strictest Pod Security level admits, so that only the volume is on trial.
fn trial_spec(image: &str) -> Value {
    json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "securityContext": { "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [{
            "name": "trial",
            "image": image,
            "resources": { "requests": { "cpu": "1m", "memory": "1Mi" }, "limits": { "cpu": "1m", "memory": "1Mi" } },
            "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            "volumeMounts": [{ "name": SUPERVISOR_VOLUME, "mountPath": "/trial", "readOnly": true }],
        }],
        "volumes": [{ "name": SUPERVISOR_VOLUME, "image": { "reference": image } }],
    })
}

fn keeps_image(spec: Option<&Value>) -> bool {
    let volumes = spec.and_then(|spec| spec.get("volumes")).and_then(Value::as_array);
    volumes.into_iter().flatten().any(|volume| {
        volume.get("name").and_then(Value::as_str) == Some(SUPERVISOR_VOLUME)
            && volume.pointer("/image/reference").is_some_and(Value::is_string)
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::kept(json!({ "volumes": [{ "name": SUPERVISOR_VOLUME, "image": { "reference": "r/a:1" } }] }), true)]
    #[case::gate_off(json!({ "containers": [] }), false)]
    #[case::before_1_31(json!({ "volumes": [{ "name": SUPERVISOR_VOLUME, "emptyDir": {} }] }), false)]
    #[case::another_volume(json!({ "volumes": [{ "name": "x", "image": { "reference": "r/a:1" } }] }), false)]
    #[case::pruned(json!({ "volumes": [{ "name": SUPERVISOR_VOLUME }] }), false)]
    fn what_came_back_decides(#[case] spec: Value, #[case] kept: bool) {
        assert_eq!(keeps_image(Some(&spec)), kept);
    }

    #[rstest]
    #[case::plain("36", "v1.36.1")]
    #[case::emulating("34", "v1.36.1 emulating 1.34")]
    fn versions_are_shown(#[case] emulated: &str, #[case] expected: &str) {
        let version = Info {
            git_version: "v1.36.1".to_owned(),
            major: "1".to_owned(),
            minor: "36".to_owned(),
            emulation_major: Some("1".to_owned()),
            emulation_minor: Some(emulated.to_owned()),
            ..Info::default()
        };
        assert_eq!(shown(&version), expected);
    }

    #[test]
    fn the_trial_itself_has_the_volume() {
        assert!(keeps_image(Some(&trial_spec("r.example/a:1"))));
    }
}
