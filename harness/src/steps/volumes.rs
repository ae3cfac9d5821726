//! `volume`: storage on the node, without a provisioner, that goes with the scenario.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use sandproof_scenarios::VolumeStep;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::StepError;
use crate::scene::Scene;

/// Where volumes are on the node; beneath the kubelet's own directory, which goes with its cluster.
const DIRECTORY: &str = "/var/lib/kubelet/sandproof-volumes";

/// How much a volume says it has; it is a directory, and has what the node has.
const SIZE: &str = "1Gi";

/// The storage class that stands for the volume of that name: nobody provides such volumes, so a claim with it gets this one.
pub(super) fn storage_class(scene: &Scene, name: &str) -> String {
    format!("{}.{name}", scene.namespace)
}

/// Makes a volume, and its claim unless the driver is to make that.
pub(super) async fn volume(scene: &mut Scene, step: &VolumeStep) -> Result<Value, StepError> {
    let class = storage_class(scene, &step.name);
    let tried = format!("make the volume {}", step.name);
    let volume = object::<PersistentVolume>(
        &tried,
        json!({
            "metadata": { "name": class },
            "spec": {
                "capacity": { "storage": SIZE },
                "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": class,
                "hostPath": { "path": format!("{DIRECTORY}/{class}"), "type": "DirectoryOrCreate" },
            },
        }),
    )?;
    let client = scene.stage.client.clone();
    // A volume is in no namespace, so nothing takes it away with the scenario's; it is listed before it is there.
    scene.volumes.insert(class.clone());
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    volumes
        .create(&PostParams::default(), &volume)
        .await
        .map_err(|error| StepError::environment(tried.clone(), error))?;
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
                    "volumeName": class,
                },
            }),
        )?;
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client, &scene.namespace);
        claims.create(&PostParams::default(), &claim).await.map_err(|error| StepError::environment(tried, error))?;
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

fn object<T: DeserializeOwned>(tried: &str, value: Value) -> Result<T, StepError> {
    serde_json::from_value(value).map_err(|error| StepError::environment(tried, error))
}
