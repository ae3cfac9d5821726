//! `volume`: storage on the node, without a provisioner, that goes with the scenario.

use std::{fmt::Debug, time::Duration};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::{
    Api, Resource,
    api::{DeleteParams, PostParams},
    runtime::wait::await_condition,
};
use sandproof_scenarios::{VolumeStep, time_limits};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::StepError;
use crate::scene::Scene;

/// Where volumes are on the node; beneath the kubelet's own directory, which goes with its cluster.
const DIRECTORY: &str = "/var/lib/kubelet/sandproof-volumes";

/// How long the cluster may take to know of a volume, or to bind its claim; it takes well under a second, or a round of the
/// controller.
const BOUND_DEADLINE: Duration = time_limits::VOLUME;

/// How much a volume says it has; it is a directory, and has what the node has.
const SIZE: &str = "1Gi";

/// The storage class that stands for the volume of that name: nobody provides such volumes, so a claim with it gets this one.
pub(super) fn storage_class(scene: &Scene, name: &str) -> String {
    format!("{}.{name}", scene.namespace)
}

/// Makes a volume, and its claim unless the driver is to make that; waits until the one can be claimed, or the other is bound.
///
/// The claim comes first, and the volume names it. Where the controller has to write that name itself, its own worker for
/// volumes gets into the way of that for claims now and then, and nothing is bound before its next round, 15 s later
/// (`syncVolume` and `bind` of `pkg/controller/volume/persistentvolume`, v1.34.10).
pub(super) async fn volume(scene: &mut Scene, step: &VolumeStep) -> Result<Value, StepError> {
    let class = storage_class(scene, &step.name);
    let tried = format!("make the volume {}", step.name);
    let failed = |error: kube::Error| StepError::environment(tried.clone(), error);
    let client = scene.stage.client.clone();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &scene.namespace);
    let mut spec = json!({
        "capacity": { "storage": SIZE },
        "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": class,
        "hostPath": { "path": format!("{DIRECTORY}/{class}"), "type": "DirectoryOrCreate" },
    });
    if step.claim {
        scene.claims.insert(step.name.clone());
        let claim = object::<PersistentVolumeClaim>(
            &tried,
            json!({
                "metadata": { "name": step.name },
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": { "requests": { "storage": SIZE } },
                    "storageClassName": class,
                },
            }),
        )?;
        let claim = claims.create(&PostParams::default(), &claim).await.map_err(failed)?;
        spec["claimRef"] = json!(claim.object_ref(&()));
    }
    let volume = object::<PersistentVolume>(&tried, json!({ "metadata": { "name": class }, "spec": spec }))?;
    // A volume is in no namespace, so nothing takes it away with the scenario's; it is listed before it is there.
    scene.volumes.insert(class.clone());
    let volumes: Api<PersistentVolume> = Api::all(client);
    volumes.create(&PostParams::default(), &volume).await.map_err(failed)?;
    if step.claim {
        in_phase(claims, &step.name, "Bound", &tried).await?;
    } else {
        in_phase(volumes, &class, "Available", &tried).await?;
    }
    Ok(json!({ "name": step.name, "storageClass": class, "claim": step.claim }))
}

/// Takes the scenario's volumes away.
pub(super) async fn restore(scene: &mut Scene) -> Result<(), StepError> {
    let volumes: Api<PersistentVolume> = Api::all(scene.stage.client.clone());
    for name in std::mem::take(&mut scene.volumes) {
        match volumes.delete(&name, &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(StepError::environment(format!("delete the volume {name}"), error)),
        }
    }
    Ok(())
}

/// Waits until a volume or a claim is in a phase.
async fn in_phase<K>(api: Api<K>, name: &str, phase: &str, tried: &str) -> Result<(), StepError>
where
    K: Clone + Debug + DeserializeOwned + Serialize + Resource<DynamicType = ()> + Send + 'static,
{
    let is_there = |found: Option<&K>| {
        let found = found.and_then(|found| serde_json::to_value(found).ok());
        found.is_some_and(|found| found["status"]["phase"] == phase)
    };
    match timeout(BOUND_DEADLINE, await_condition(api, name, is_there)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(StepError::environment(tried, error)),
        Err(_) => {
            Err(StepError::environment(tried, format!("{name} was not {phase} after {} s", BOUND_DEADLINE.as_secs())))
        }
    }
}

fn object<T: DeserializeOwned>(tried: &str, value: Value) -> Result<T, StepError> {
    serde_json::from_value(value).map_err(|error| StepError::environment(tried, error))
}
