//! `render`: the driver's chart for API servers of other versions, through the real Helm and without a cluster.

use sandproof_clusters::process::ProcessError;
use sandproof_scenarios::{DriverStep, RenderCase, RenderStep, yaml};
use serde_json::{Map, Value, json};

use super::{StepError, deploy};
use crate::scene::Scene;

/// The driver's environment variable that holds the side-load method.
const METHOD: &str = "OPENSHELL_SUPERVISOR_SIDELOAD_METHOD";

/// How many renderings run at once: each keeps a processor busy.
const AT_ONCE: usize = 2;

/// Renders each case.
pub(super) async fn cases(scene: &Scene, step: &RenderStep) -> Result<Value, StepError> {
    let mut rendered = Map::new();
    let cases: Vec<(&String, &RenderCase)> = step.cases.iter().collect();
    for some in cases.chunks(AT_ONCE) {
        let results = futures::future::try_join_all(some.iter().map(|(_, case)| one(scene, case))).await?;
        rendered.extend(some.iter().map(|(name, _)| (*name).clone()).zip(results));
    }
    Ok(Value::Object(rendered))
}

async fn one(scene: &Scene, case: &RenderCase) -> Result<Value, StepError> {
    // What this cluster can do must not matter: it is the chart's own choice that is looked at.
    let sideload = Some(case.sideload.clone().unwrap_or_default());
    let driver = DriverStep { sideload, ..DriverStep::default() };
    let values = deploy::values(scene, &driver)?.values();
    match scene.stage.chart.render(&case.kube_version, &values).await {
        Ok(text) => {
            let deployment: Value = yaml::from_str(text.trim_start_matches("---"))
                .map_err(|error| StepError::environment("read what Helm rendered", error))?;
            Ok(json!({ "ok": true, "sideload": method(&deployment), "message": "" }))
        }
        // The chart is part of the subject: what it refuses is an observation.
        Err(ProcessError::Failed { stderr, .. }) => Ok(json!({ "ok": false, "sideload": null, "message": stderr })),
        Err(error) => Err(StepError::environment("render the chart", error)),
    }
}

/// The side-load method that the driver would be started with.
fn method(deployment: &Value) -> Option<&str> {
    let containers = deployment.pointer("/spec/template/spec/containers")?.as_array()?;
    let environment = containers.iter().filter_map(|container| container["env"].as_array()).flatten();
    environment.filter(|variable| variable["name"] == METHOD).find_map(|variable| variable["value"].as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_method_is_read_from_the_environment_of_the_driver() {
        let deployment = |environment: Value| json!({ "spec": { "template": { "spec": { "containers": [{ "env": environment }] } } } });
        let given = deployment(json!([{ "name": "OTHER", "value": "x" }, { "name": METHOD, "value": "image-volume" }]));
        assert_eq!(method(&given), Some("image-volume"));
        assert_eq!(method(&deployment(json!([]))), None);
    }
}
