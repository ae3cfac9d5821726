//! `render`: the driver's chart for API servers of other versions, through the real Helm and without a cluster.

use sandproof_clusters::process::ProcessError;
use sandproof_scenarios::{DriverStep, RenderCase, RenderStep, yaml};
use serde_json::{Map, Value, json};

use super::{StepError, deploy};
use crate::{scene::Scene, subject::chart};

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
    let subject = &scene.stage.subject;
    let Some(chart) = subject.chart() else {
        return Err(StepError::Subject("the subject has no chart to render; declare `chart` absent".to_owned()));
    };
    // What this cluster can do must not matter: it is the chart's own choice that is looked at.
    // The chart would ask for the Sandbox API, which nobody serves here.
    let sideload = Some(case.sideload.clone().unwrap_or_default());
    let driver = DriverStep { sideload, skip_preflight: true, ..DriverStep::default() };
    let settings = deploy::settings(scene, &driver)?;
    let told = &subject.profile.chart;
    let values =
        chart::values(told, &subject.profile.name, &settings).map_err(|error| StepError::Subject(error.to_string()))?;
    match chart.render(&case.kube_version, &values).await {
        Ok(text) => {
            let objects = documents(&text).map_err(|error| StepError::environment("read what Helm rendered", error))?;
            let sideload = objects.iter().find_map(|object| method(object, &told.container));
            Ok(json!({ "ok": true, "sideload": sideload, "message": "" }))
        }
        // The chart is part of the subject: what it refuses is an observation.
        Err(ProcessError::Failed { stderr, .. }) => Ok(json!({ "ok": false, "sideload": null, "message": stderr })),
        Err(error) => Err(StepError::environment("render the chart", error)),
    }
}

/// The objects of a text with several documents; a document starts with `---` on a line of its own.
fn documents(text: &str) -> Result<Vec<Value>, String> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        if line.trim_end() == "---" {
            documents.push(String::new());
        } else if let Some(document) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    let content = |text: &String| text.lines().any(|line| !line.trim().is_empty() && !line.starts_with('#'));
    documents.iter().filter(|text| content(text)).map(|text| yaml::from_str(text).map_err(|e| e.to_string())).collect()
}

/// The side-load method that the driver would be started with.
fn method<'a>(workload: &'a Value, container: &str) -> Option<&'a str> {
    let containers = workload.pointer("/spec/template/spec/containers")?.as_array()?;
    let own = containers.iter().filter(|found| found["name"] == container);
    let environment = own.filter_map(|container| container["env"].as_array()).flatten();
    environment
        .into_iter()
        .filter(|variable| variable["name"] == METHOD)
        .find_map(|variable| variable["value"].as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_method_is_read_from_the_environment_of_the_driver() {
        let workload = |environment: Value| {
            json!({ "spec": { "template": { "spec": { "containers": [
                { "name": "other", "env": [{ "name": METHOD, "value": "x" }] },
                { "name": "driver", "env": environment },
            ] } } } })
        };
        let given = workload(json!([{ "name": "OTHER", "value": "x" }, { "name": METHOD, "value": "image-volume" }]));
        assert_eq!(method(&given, "driver"), Some("image-volume"));
        assert_eq!(method(&workload(json!([])), "driver"), None);
    }

    #[test]
    fn what_helm_renders_is_several_documents() {
        let text = "---\n# Source: a.yaml\nkind: A\n---\n# Source: empty.yaml\n---\nkind: B\ndata: |\n  --- no start\n";
        let found = documents(text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1]["kind"], "B");
    }
}
