//! `run`: an image's own program in pods of the harness, and a look at what it left.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{LogParams, PostParams},
};
use sandproof_scenarios::{RunCase, RunStep, time_limits};
use serde_json::{Map, Value, json};

use super::{StepError, pods};
use crate::scene::Scene;

/// The container that runs the image's program.
const RUN: &str = "run";

/// The container that looks at what it left.
const LOOK: &str = "look";

/// The directory that both see.
const DIRECTORY: &str = "/dest";

/// How long a pod may take to end: it pulls two small images.
const DEADLINE: Duration = time_limits::IMAGE_RUN;

/// Runs each case, all at the same time.
pub(super) async fn cases(scene: &Scene, step: &RunStep) -> Result<Value, StepError> {
    let image = scene
        .images
        .get(&step.image)
        .ok_or_else(|| StepError::environment("run an image", format!("no image `{}` was pushed", step.image)))?;
    let running = step.cases.iter().map(|(name, case)| async {
        Ok::<_, StepError>((name.clone(), one(scene, &image.reference, name, case).await?))
    });
    Ok(Value::Object(futures::future::try_join_all(running).await?.into_iter().collect::<Map<_, _>>()))
}

async fn one(scene: &Scene, image: &str, name: &str, case: &RunCase) -> Result<Value, StepError> {
    let pod_name = format!("run-{}", name.to_ascii_lowercase());
    let tried = format!("run the image in pod {pod_name}");
    let failed = |error: &dyn std::fmt::Display| StepError::environment(&tried, error);
    let pod: Pod = serde_json::from_value(pod(scene, image, &pod_name, case)).map_err(|error| failed(&error))?;
    let api: Api<Pod> = Api::namespaced(scene.stage.client.clone(), &scene.namespace);
    api.create(&PostParams::default(), &pod).await.map_err(|error| failed(&error))?;
    let ended = |state: &crate::cluster_state::ClusterState| {
        let pod = state.pod(&scene.namespace, &pod_name)?;
        matches!(pods::phase(&pod), "Succeeded" | "Failed").then_some(pod)
    };
    let waited = scene.stage.state.wait(DEADLINE, ended).await;
    let Some(pod) = waited.found else {
        return Err(failed(&format!("it had not ended after {} s", DEADLINE.as_secs())));
    };
    let containers = pods::containers(&pod);
    let own = containers.iter().find(|container| container.name == RUN);
    let message =
        own.map(|container| if container.message.is_empty() { &container.last_words } else { &container.message });
    let looked = case.look_at.is_some() && own.is_some_and(|container| container.exit_code == Some(0));
    let file = if looked {
        let parameters = LogParams { container: Some(LOOK.to_owned()), ..LogParams::default() };
        let log = api.logs(&pod_name, &parameters).await.map_err(|error| failed(&error))?;
        let report: Value = serde_json::from_str(log.trim()).map_err(|error| failed(&format!("{error}: {log}")))?;
        report["supervisor"].clone()
    } else {
        Value::Null
    };
    Ok(json!({ "exitCode": own.and_then(|container| container.exit_code), "message": message, "file": file }))
}

/// The program runs first, and the look comes after it.
fn pod(scene: &Scene, image: &str, name: &str, case: &RunCase) -> Value {
    let mounts = json!([{ "name": "dest", "mountPath": DIRECTORY }]);
    let run = json!({
        "name": RUN,
        "image": image,
        "args": case.arguments,
        "securityContext": { "runAsUser": 0 },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    });
    let (first, containers) = match &case.look_at {
        None => (json!([]), json!([run])),
        Some(path) => {
            let look = json!({
                "name": LOOK,
                "image": scene.stage.sandbox_image,
                "command": ["/sandproof-probe", "report", "--supervisor", path],
                "volumeMounts": mounts,
            });
            (json!([run]), json!([look]))
        }
    };
    json!({
        "metadata": { "name": name },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "initContainers": first,
            "containers": containers,
            "volumes": [{ "name": "dest", "emptyDir": {} }],
        },
    })
}
