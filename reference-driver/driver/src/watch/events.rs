//! Kubernetes events and pod problems as platform events.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use sandproof_protocol::v1;

use super::problems::Problem;

/// Where platform events come from (upstream's word).
const SOURCE: &str = "kubernetes";

/// When a Kubernetes event was last seen.
pub(super) fn time_of(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    series
        .or_else(|| event.last_timestamp.as_ref().map(|time| time.0))
        .or_else(|| event.event_time.as_ref().map(|time| time.0))
        .or_else(|| event.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

/// A Kubernetes event as a platform event: type, reason and message as they are.
pub(super) fn of_kubernetes(event: &Event, image: Option<&str>) -> v1::DriverPlatformEvent {
    let involved = &event.involved_object;
    let mut metadata = HashMap::new();
    let mut set = |key: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            metadata.insert(key.to_owned(), value.to_owned());
        }
    };
    let message = event.message.clone().unwrap_or_default();
    let count = event.series.as_ref().and_then(|series| series.count).or(event.count).unwrap_or(1);
    set("involved_kind", involved.kind.as_deref());
    set("involved_name", involved.name.as_deref());
    set("namespace", involved.namespace.as_deref());
    set("count", Some(&count.to_string()));
    set("container", container_of(event));
    let image = quoted_image(&message).or(image);
    set("image", image);
    for (key, value) in progress(event.reason.as_deref().unwrap_or_default(), image) {
        set(key, Some(value));
    }
    v1::DriverPlatformEvent {
        timestamp_ms: time_of(event).map_or(0, Timestamp::as_millisecond),
        source: SOURCE.to_owned(),
        r#type: event.type_.clone().unwrap_or_default(),
        reason: event.reason.clone().unwrap_or_default(),
        message,
        metadata,
    }
}

/// How far a sandbox is, as a gateway shows it: keys and steps are upstream's.
fn progress<'a>(reason: &str, image: Option<&'a str>) -> Vec<(&'static str, &'a str)> {
    const COMPLETE: &str = "openshell.progress.complete_step";
    const COMPLETE_LABEL: &str = "openshell.progress.complete_label";
    const ACTIVE: &str = "openshell.progress.active_step";
    const ACTIVE_DETAIL: &str = "openshell.progress.active_detail";
    match reason {
        "Scheduled" => {
            vec![(COMPLETE, "requesting_sandbox"), (COMPLETE_LABEL, "Sandbox requested"), (ACTIVE, "pulling_image")]
        }
        "Pulling" => vec![(ACTIVE, "pulling_image"), (ACTIVE_DETAIL, image.unwrap_or_default())],
        "Pulled" => vec![(COMPLETE, "pulling_image"), (COMPLETE_LABEL, "Image pulled"), (ACTIVE, "starting_sandbox")],
        _ => Vec::new(),
    }
}

/// A pod's problem as a platform event.
///
/// Kubernetes' own events of a failing pull never name the pod, and some not even the image.
pub(super) fn of_problem(problem: &Problem, pod: &str, namespace: &str) -> v1::DriverPlatformEvent {
    let mut metadata = HashMap::from([
        ("involved_kind".to_owned(), "Pod".to_owned()),
        ("involved_name".to_owned(), pod.to_owned()),
        ("namespace".to_owned(), namespace.to_owned()),
        ("count".to_owned(), "1".to_owned()),
    ]);
    for (key, value) in [("container", &problem.container), ("image", &problem.image)] {
        if let Some(value) = value {
            metadata.insert(key.to_owned(), value.clone());
        }
    }
    v1::DriverPlatformEvent {
        timestamp_ms: Timestamp::now().as_millisecond(),
        source: SOURCE.to_owned(),
        r#type: if problem.is_normal() { "Normal" } else { "Warning" }.to_owned(),
        reason: problem.reason.clone(),
        message: problem.message.clone(),
        metadata,
    }
}

/// The container an event is about, out of `spec.containers{agent}`.
pub(super) fn container_of(event: &Event) -> Option<&str> {
    let path = event.involved_object.field_path.as_deref()?;
    path.split_once('{')?.1.strip_suffix('}')
}

/// The image a kubelet's message quotes, as in `Failed to pull image "R": ...`.
fn quoted_image(message: &str) -> Option<&str> {
    let after = message.split_once("image \"")?.1;
    Some(after.split_once('"')?.0)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("Scheduled", &["complete_step=requesting_sandbox", "active_step=pulling_image"])]
    #[case("Pulling", &["active_step=pulling_image", "active_detail=r.example/a:1"])]
    #[case("Pulled", &["complete_step=pulling_image", "active_step=starting_sandbox"])]
    #[case("Failed", &[])]
    fn progress_is_told(#[case] reason: &str, #[case] expected: &[&str]) {
        let told = progress(reason, Some("r.example/a:1"));
        let told: Vec<String> = told.iter().map(|(key, value)| format!("{key}={value}")).collect();
        for part in expected {
            assert!(told.iter().any(|pair| pair.ends_with(part)), "{part} is not in {told:?}");
        }
        assert!(!expected.is_empty() || told.is_empty());
    }

    #[rstest]
    #[case(r#"Failed to pull image "r.example/a:1": denied"#, Some("r.example/a:1"))]
    #[case(r#"Container image "r.example/a:1" already present on machine"#, Some("r.example/a:1"))]
    #[case("Error: ErrImagePull", None)]
    #[case(r#"image ""#, None)]
    fn images_are_found_in_messages(#[case] message: &str, #[case] image: Option<&str>) {
        assert_eq!(quoted_image(message), image);
    }
}
