//! Probes what a running cluster can do, by trying it: pods that run side by side and say what they found.
//!
//! | Capability | Answers |
//! |---|---|
//! | `imageVolume` | `works`, `dropped` (by the API server, in silence), `refused` (by the runtime), `unmounted` (by the kubelet), `empty`, `unknown` |
//! | `imageVolumeSubPath` | `works`, `ignored` (the whole image is there), `refused`, `none` (there are no image volumes at all) |
//! | `credentialCheck` | `enforced` (no cached private image without credentials), `bypassed` (on, and without effect), `none`, `unknown` |

mod trial;

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use sandproof_clusters::registry::{Access, random_word};
use serde_json::{Value, json};

use self::trial::{Outcome, Trial, attempt};
use crate::{failure::Failure, scene::Stage};

/// How long a probe pod may take; it pulls two small images.
const PROBE_DEADLINE: Duration = Duration::from_mins(1);

/// What was tried, for the report of a failure.
const TRIED: &str = "probe what the cluster can do";

/// Where a probe pod mounts an image volume.
const MOUNT: &str = "/image-volume";

/// The private image of the credential check: its repository and tag, and the user and secret that open it.
const PRIVATE: &str = "probe-private";
const PRIVATE_TAG: &str = "v1";

/// What the probe pods found.
#[derive(Debug, Clone)]
pub(crate) struct Capabilities {
    image_volume: &'static str,
    sub_path: &'static str,
    cached_image: CachedImage,
    /// What the probe reported from inside.
    report: Value,
}

/// What became of a pod without credentials whose private image was on the node already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CachedImage {
    Ran,
    Refused,
    Unknown,
}

/// Runs all probe pods at once.
pub(crate) async fn probe(stage: &Stage) -> Result<Capabilities, Failure> {
    let (volume, sub_path, cached_image) =
        futures::try_join!(image_volume(stage), sub_path(stage), cached_image(stage))?;
    let image_volume = image_volume_fact(&volume);
    if image_volume == "unknown" {
        return Err(Failure::environment(TRIED, format!("the probe pod gave no report: {}", volume.outcome)));
    }
    let report = match volume.report() {
        Some(report) => report,
        // The volume kept the first pod from running, and what it was to report has nothing to do with the volume.
        None => attempt(stage, "sandproof-probe-plain", plain_pod(stage), Outcome::is_final)
            .await?
            .report()
            .unwrap_or_default(),
    };
    Ok(Capabilities { image_volume, sub_path: sub_path_fact(image_volume, &sub_path), cached_image, report })
}

impl Capabilities {
    /// The facts; whether the kubelet has its credential check on is part of its identity.
    pub(crate) fn facts(&self, identity: &Value) -> Value {
        let gate = identity.pointer("/kubeletGates/KubeletEnsureSecretPulledImages") == Some(&Value::Bool(true));
        let credential_check = match self.cached_image {
            CachedImage::Refused => "enforced",
            CachedImage::Ran if gate => "bypassed",
            CachedImage::Ran => "none",
            CachedImage::Unknown => "unknown",
        };
        json!({
            "imageVolume": self.image_volume,
            "imageVolumeSubPath": self.sub_path,
            "credentialCheck": credential_check,
            "dns": self.report.pointer("/dns/ok"),
            "service": self.report.pointer("/service/ok"),
            "seccomp": self.report.pointer("/seccomp").and_then(Value::as_i64).map(|mode| mode == 2),
        })
    }
}

/// Mounts an image volume, executes what is on it, resolves a name, reaches a Service and reads its own seccomp mode.
async fn image_volume(stage: &Stage) -> Result<Trial, Failure> {
    let supervisor = format!("{}:{}", stage.supervisor_image.repository, stage.supervisor_image.tag);
    let mut pod = plain_pod(stage);
    add_volume(&mut pod, &supervisor, None);
    attempt(stage, "sandproof-probe", pod, Outcome::is_final).await
}

/// Mounts a directory of an image and lists it.
async fn sub_path(stage: &Stage) -> Result<Trial, Failure> {
    let mut pod = pod(&stage.sandbox_image, &json!(["/bin/ls", MOUNT]));
    add_volume(&mut pod, &stage.sandbox_image, Some("bin"));
    attempt(stage, "sandproof-probe-sub-path", pod, Outcome::is_final).await
}

/// Pulls a private image with credentials, then asks for it without any: the kubelet has it already.
async fn cached_image(stage: &Stage) -> Result<CachedImage, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::environment(TRIED, error);
    let (user, password) = (format!("{PRIVATE}.{}", stage.cell), random_word());
    let repository = format!("{}/{PRIVATE}", stage.cell);
    let image = stage.guests.agent.with_label("dev.sandproof.image", &repository).map_err(|error| failed(&error))?;
    stage.registry.add_user(&user, &password);
    stage.registry.grant(&repository, Access::Users(vec![user.clone()]));
    let secrets: Api<Secret> = Api::namespaced(stage.client.clone(), &stage.place.probes);
    let auths = json!({ "auths": { &stage.plain: { "username": user, "password": password } } });
    let secret: Secret = serde_json::from_value(json!({
        "metadata": { "name": PRIVATE },
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": { ".dockerconfigjson": auths.to_string() },
    }))
    .map_err(|error| failed(&error))?;
    futures::try_join!(
        async { stage.registry.push(&image, &repository, PRIVATE_TAG).await.map_err(|error| failed(&error)) },
        async { secrets.create(&PostParams::default(), &secret).await.map_err(|error| failed(&error)) },
    )?;

    let reference = format!("{}/{repository}:{PRIVATE_TAG}", stage.plain);
    let mut without = pod(&reference, &json!(["/sandproof-probe", "--version"]));
    stage.place.pin(&mut without);
    let mut with = without.clone();
    with["spec"]["imagePullSecrets"] = json!([{ "name": PRIVATE }]);
    // A refused pull is not the end here: a kubelet that has not seen the secret yet tries again.
    let ended = |outcome: &Outcome| matches!(outcome, Outcome::Ended { .. });
    let first = attempt(stage, "sandproof-probe-with-secret", with, ended).await?;
    let fact = if ended(&first.outcome) {
        cached_image_fact(&attempt(stage, "sandproof-probe-without-secret", without, Outcome::is_final).await?.outcome)
    } else {
        CachedImage::Unknown
    };
    // The namespace is the cluster's own, and the cluster's end is what clean-up relies on.
    let _ = secrets.delete(PRIVATE, &DeleteParams::default()).await;
    Ok(fact)
}

fn image_volume_fact(trial: &Trial) -> &'static str {
    match &trial.outcome {
        _ if !trial.keeps_image_volume() => "dropped",
        Outcome::Unmounted(_) => "unmounted",
        Outcome::CannotStart(_) => "refused",
        Outcome::Ended { .. } => match trial.report().as_ref().map(|report| &report["imageVolume"]["executed"]["ok"]) {
            Some(Value::Bool(true)) => "works",
            Some(_) => "empty",
            None => "unknown",
        },
        Outcome::PullRefused(_) | Outcome::Rejected(_) | Outcome::Undecided(_) => "unknown",
    }
}

fn sub_path_fact(image_volume: &str, trial: &Trial) -> &'static str {
    if matches!(image_volume, "dropped" | "refused" | "unmounted") {
        return "none";
    }
    match &trial.outcome {
        Outcome::Ended { log } if log.lines().any(|name| name == "busybox") => "works",
        Outcome::Ended { log } if log.lines().any(|name| name == "bin") => "ignored",
        _ => "refused",
    }
}

fn cached_image_fact(outcome: &Outcome) -> CachedImage {
    match outcome {
        Outcome::Ended { .. } => CachedImage::Ran,
        Outcome::PullRefused(_) => CachedImage::Refused,
        _ => CachedImage::Unknown,
    }
}

/// A pod that reports on all but an image volume.
fn plain_pod(stage: &Stage) -> Value {
    let program = format!("{MOUNT}/openshell-sandbox");
    let command =
        json!(["/sandproof-probe", "cluster", "--service-host", "kubernetes.default.svc", "--image-volume", program]);
    pod(&stage.sandbox_image, &command)
}

fn pod(image: &str, command: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "securityContext": { "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{ "name": "probe", "image": image, "imagePullPolicy": "IfNotPresent", "command": command }],
        },
    })
}

fn add_volume(pod: &mut Value, image: &str, sub_path: Option<&str>) {
    let mut mount = json!({ "name": "image", "mountPath": MOUNT, "readOnly": true });
    if let Some(sub_path) = sub_path {
        mount["subPath"] = json!(sub_path);
    }
    pod["spec"]["containers"][0]["volumeMounts"] = json!([mount]);
    pod["spec"]["volumes"] =
        json!([{ "name": "image", "image": { "reference": image, "pullPolicy": "IfNotPresent" } }]);
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const WITH_VOLUME: &str = r#"{"spec": {"volumes": [{"name": "image", "image": {"reference": "r/a:1"}}]}}"#;

    fn trial(stored: &str, outcome: Outcome) -> Trial {
        Trial { stored: serde_json::from_str(stored).unwrap(), outcome }
    }

    fn ended(log: &str) -> Outcome {
        Outcome::Ended { log: log.to_owned() }
    }

    #[rstest]
    #[case::gate_off(r#"{"spec": {}}"#, ended("{}"), "dropped")]
    #[case::before_1_31(r#"{"spec": {"volumes": [{"name": "image", "emptyDir": {}}]}}"#, ended("{}"), "dropped")]
    #[case::kubelet_off(WITH_VOLUME, Outcome::Unmounted("no volume plugin matched".to_owned()), "unmounted")]
    #[case::old_runtime(WITH_VOLUME, Outcome::CannotStart("failed to mkdir".to_owned()), "refused")]
    #[case::runs(WITH_VOLUME, ended(r#"{"imageVolume": {"executed": {"ok": true}}}"#), "works")]
    #[case::nothing_there(WITH_VOLUME, ended(r#"{"imageVolume": {"executed": {"ok": false}}}"#), "empty")]
    #[case::silent(WITH_VOLUME, ended(""), "unknown")]
    #[case::undecided(WITH_VOLUME, Outcome::Undecided("phase Pending".to_owned()), "unknown")]
    fn who_keeps_an_image_volume_from_working(#[case] stored: &str, #[case] outcome: Outcome, #[case] expected: &str) {
        assert_eq!(image_volume_fact(&trial(stored, outcome)), expected);
    }

    #[rstest]
    #[case("dropped", ended("bin\n"), "none")]
    #[case("unmounted", Outcome::Unmounted(String::new()), "none")]
    #[case("works", ended("busybox\nls\n"), "works")]
    #[case("works", ended("bin\nsandbox\ntmp\n"), "ignored")]
    #[case("works", Outcome::Rejected("not allowed in image volume sources".to_owned()), "refused")]
    #[case("works", Outcome::CannotStart("sub path".to_owned()), "refused")]
    fn what_a_sub_path_leads_to(#[case] image_volume: &str, #[case] outcome: Outcome, #[case] expected: &str) {
        assert_eq!(sub_path_fact(image_volume, &trial(WITH_VOLUME, outcome)), expected);
    }

    #[rstest]
    #[case(CachedImage::Refused, true, "enforced")]
    #[case(CachedImage::Ran, true, "bypassed")]
    #[case(CachedImage::Ran, false, "none")]
    #[case(CachedImage::Unknown, true, "unknown")]
    fn a_check_that_is_on_and_has_no_effect_is_bypassed(
        #[case] cached_image: CachedImage,
        #[case] gate: bool,
        #[case] expected: &str,
    ) {
        let found = Capabilities { image_volume: "works", sub_path: "works", cached_image, report: Value::Null };
        let identity = json!({ "kubeletGates": { "KubeletEnsureSecretPulledImages": gate } });
        assert_eq!(found.facts(&identity)["credentialCheck"], expected);
    }
}
