//! The rules, most specific first.

use sandproof_reports::ChainLink;
use serde_json::Value;

use super::{Seen, SeenRequest, about::About, link};
use crate::{
    cluster_state::SeenEvent,
    steps::{
        pods::{self, ContainerState},
        rpc::Call,
    },
};

/// A summary and a chain.
type Found = (String, Vec<ChainLink>);

/// A rule, with its name.
type Rule = (&'static str, fn(&Seen) -> Option<Found>);

/// In the order in which they are tried.
pub(super) const RULES: &[Rule] = &[
    // Before the pulls: many scenarios want one of their pods refused, which is then not what went wrong.
    ("image-volume-unsupported", image_volume_unsupported),
    ("image-volume-dropped", image_volume_dropped),
    // What a driver answers comes before whatever follows from it.
    ("driver-accepted", driver_accepted),
    ("driver-refused", driver_refused),
    ("not-told", not_told),
    ("secret-missing", |seen| outcome(seen, secret_missing)),
    ("pull-unauthorized", |seen| outcome(seen, pull_unauthorized)),
    ("pull-failed", |seen| outcome(seen, pull_failed)),
    ("cannot-start", |seen| outcome(seen, cannot_start)),
    ("unschedulable", |seen| outcome(seen, unschedulable)),
    ("driver-ended", driver_ended),
    ("driver-refused", step_refused),
    ("step-failed", step_failed),
    ("check-failed", check_failed),
];

/// A rule of what becomes of a pod: it explains no check of what somebody wrote.
fn outcome(seen: &Seen, rule: fn(&Seen) -> Option<Found>) -> Option<Found> {
    let fits = seen.failed.is_empty() || seen.failed.iter().any(|check| About::of(check) == About::Outcome);
    fits.then(|| rule(seen)).flatten()
}

/// What came of it is in order as far as it was looked at, but the driver's watch did not tell of it. What a pod is in
/// trouble with is what should have been told, or what kept it from happening: either way it belongs to the chain.
fn not_told(seen: &Seen) -> Option<Found> {
    let mut outcomes = seen.failed.iter().filter(|check| About::of(check) == About::Outcome).peekable();
    outcomes.peek()?;
    if !outcomes.all(|check| check.is_of_watch) {
        return None;
    }
    let trouble = [secret_missing, pull_unauthorized, pull_failed, cannot_start, unschedulable];
    let chain = trouble.into_iter().find_map(|rule| rule(seen)).map(|(_, chain)| chain).unwrap_or_default();
    Some(("the driver's watch did not tell what was waited for".to_owned(), chain))
}

/// A pull secret that a pod names does not exist.
fn secret_missing(seen: &Seen) -> Option<Found> {
    let event = seen.events.iter().find(|event| event.reason == "FailedToRetrieveImagePullSecret")?;
    let refused = waiting(seen, &ContainerState::PullRefused)?;
    let mut chain = spec_of_pull(seen);
    chain.push(of_event("kubelet", event));
    chain.push(link("runtime", None, &refused));
    chain.extend(registry(seen, |request| matches!(request.status, 401 | 403)));
    Some(("the pod names a pull secret that does not exist, and the image is not public".to_owned(), chain))
}

/// The registry refused the credentials, or there were none.
fn pull_unauthorized(seen: &Seen) -> Option<Found> {
    let refused = waiting(seen, &ContainerState::PullRefused)?;
    let denied = seen.requests.iter().find(|request| matches!(request.status, 401 | 403))?;
    let mut chain = spec_of_pull(seen);
    chain.extend(seen.events.iter().find(|event| event.reason == "Failed").map(|event| of_event("kubelet", event)));
    chain.push(link("runtime", None, &refused));
    chain.extend(registry(seen, |request| matches!(request.status, 401 | 403)));
    let who =
        if denied.who == "anonymous" { "an anonymous pull".to_owned() } else { format!("a pull by {}", denied.who) };
    Some((format!("the registry refused {who}"), chain))
}

/// A pull failed for another reason.
fn pull_failed(seen: &Seen) -> Option<Found> {
    let refused = waiting(seen, &ContainerState::PullRefused)?;
    let mut chain = spec_of_pull(seen);
    chain.extend(seen.events.iter().find(|event| event.reason == "Failed").map(|event| of_event("kubelet", event)));
    chain.push(link("runtime", None, &refused));
    chain.extend(registry(seen, |request| request.status >= 400));
    Some(("an image could not be pulled".to_owned(), chain))
}

/// The kubelet or the runtime cannot mount image volumes.
fn image_volume_unsupported(seen: &Seen) -> Option<Found> {
    /// The kubelet without the gate; runtimes that have image volumes; CRI-O and containerd from before they had any.
    const SAID: [&str; 4] = [
        "no volume plugin matched",
        "ImageVolumeMountFailed",
        "mount.HostPath is empty",
        "failed to mkdir \"\": mkdir : no such file or directory",
    ];
    let event = seen.events.iter().find(|event| SAID.iter().any(|said| event.message.contains(said)))?;
    Some(("the node cannot mount an image volume".to_owned(), vec![of_event("kubelet", event)]))
}

/// The Sandbox asks for an image volume, and its pod has none: an API server without the gate drops the field in silence.
fn image_volume_dropped(seen: &Seen) -> Option<Found> {
    seen.pods.iter().find_map(|pod| {
        let owner = pod.pointer("/metadata/ownerReferences/0/uid")?;
        let sandbox = seen.sandboxes.iter().find(|sandbox| sandbox.pointer("/metadata/uid") == Some(owner))?;
        let asked = image_volumes(sandbox.pointer("/spec/podTemplate/spec")?);
        if asked.is_empty() || !image_volumes(pod.pointer("/spec")?).is_empty() {
            return None;
        }
        let name =
            |object: &Value| object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut chain = vec![
            link("spec", Some(format!("Sandbox/{}", name(sandbox))), &format!("image volume {}", asked.join(", "))),
            link("spec", Some(format!("Pod/{}", name(pod))), "no image volume"),
        ];
        chain.extend(seen.events.iter().find(|event| event.reason == "Failed").map(|event| of_event("kubelet", event)));
        Some(("the API server dropped the image volume that the Sandbox asks for".to_owned(), chain))
    })
}

/// The names of the volumes of a pod's specification that are images.
fn image_volumes(spec: &Value) -> Vec<&str> {
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    volumes.filter(|volume| volume["image"].is_object()).filter_map(|volume| volume["name"].as_str()).collect()
}

/// A container cannot start, or ended with a failure.
fn cannot_start(seen: &Seen) -> Option<Found> {
    let failed = waiting(seen, &ContainerState::Failed)?;
    let events = seen.events.iter().filter(|event| event.reason == "Failed" || event.reason == "FailedMount").take(2);
    let mut chain: Vec<ChainLink> = events.map(|event| of_event("kubelet", event)).collect();
    chain.push(link("runtime", None, &failed));
    Some((format!("a container does not run: {failed}"), chain))
}

/// No node takes the pod.
fn unschedulable(seen: &Seen) -> Option<Found> {
    let message = seen.pods.iter().find_map(pods::unschedulable)?;
    Some(("no node takes the pod".to_owned(), vec![link("scheduler", None, message)]))
}

/// The driver ended.
fn driver_ended(seen: &Seen) -> Option<Found> {
    if seen.calls.iter().any(|call| call.code == "OK") || seen.driver_log.is_empty() || !seen.calls.is_empty() {
        return None;
    }
    let lines: Vec<&str> = seen.driver_log.iter().rev().take(5).rev().map(String::as_str).collect();
    Some(("the driver ended before it served".to_owned(), vec![link("driver", None, &lines.join("\n"))]))
}

/// The driver accepted a request that it should have refused.
fn driver_accepted(seen: &Seen) -> Option<Found> {
    (About::of(seen.failed.first()?) == About::Accepted)
        .then(|| ("the driver accepted what it has to refuse".to_owned(), calls(seen)))
}

/// The driver refused a request, or refused it in another way than it should have.
fn driver_refused(seen: &Seen) -> Option<Found> {
    let About::Answered(code) = About::of(seen.failed.first()?) else { return None };
    let call = seen.calls.iter().find(|call| call.code == code)?;
    Some((format!("the driver answered {code} to {}", call.method), vec![of_call(call)]))
}

/// A step could not be carried out, and the driver had refused to make the sandbox.
fn step_refused(seen: &Seen) -> Option<Found> {
    seen.step_error.as_ref()?;
    let call = seen.calls.iter().find(|call| call.code != "OK" && call.method == "CreateSandbox")?;
    Some((format!("the driver answered {} to {}", call.code, call.method), vec![of_call(call)]))
}

/// A step could not be carried out.
fn step_failed(seen: &Seen) -> Option<Found> {
    let error = seen.step_error.as_ref()?;
    Some((error.clone(), vec![link("harness", None, error)]))
}

/// What was observed is not what was promised, and nothing failed beside it.
fn check_failed(seen: &Seen) -> Option<Found> {
    let check = seen.failed.first()?;
    let mut chain = spec_of_pull(seen);
    chain.extend(calls(seen));
    chain.extend(registry(seen, |request| request.what.contains("manifest")));
    Some((check.text.clone(), chain))
}

/// The first calls that ask for something.
fn calls(seen: &Seen) -> Vec<ChainLink> {
    seen.calls.iter().filter(|call| call.method != "GetCapabilities").take(4).map(of_call).collect()
}

fn of_call(call: &Call) -> ChainLink {
    link("driver", Some(call.at.to_string()), &format!("{}: {} {}", call.method, call.code, call.message))
}

/// What the pods say about where their images come from and with which secrets.
fn spec_of_pull(seen: &Seen) -> Vec<ChainLink> {
    let sandbox = |pod: &&Value| pod.pointer("/metadata/ownerReferences/0/kind").is_some_and(|kind| kind == "Sandbox");
    seen.pods
        .iter()
        .filter(sandbox)
        .map(|pod| {
            let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            let secrets = pod.pointer("/spec/imagePullSecrets").cloned().unwrap_or(Value::Null);
            let image = pod.pointer("/spec/containers/0/image").and_then(Value::as_str).unwrap_or_default();
            link("spec", Some(format!("Pod/{name}")), &format!("image {image}, imagePullSecrets {secrets}"))
        })
        .collect()
}

/// The first container in that state, as a sentence.
fn waiting(seen: &Seen, state: &ContainerState) -> Option<String> {
    seen.pods.iter().find_map(|pod| {
        let by_status = pods::containers(pod).into_iter().find(|container| container.state == *state);
        // A refused pull is told by events well before the pod's status has it.
        let by_event = || pods::refused(pod, &seen.events).filter(|container| container.state == *state);
        let container = by_status.or_else(by_event)?;
        let code = container.exit_code.map(|code| format!(" (exit code {code})")).unwrap_or_default();
        Some(
            format!("container {}: {}{code} {}", container.name, container.reason, container.message).trim().to_owned(),
        )
    })
}

fn of_event(source: &str, event: &SeenEvent) -> ChainLink {
    link(source, Some(event.at.clone()), &format!("{} {}: {}", event.object, event.reason, event.message))
}

/// The last few requests that fit.
fn registry(seen: &Seen, fits: impl Fn(&SeenRequest) -> bool) -> Vec<ChainLink> {
    let fitting: Vec<&SeenRequest> = seen.requests.iter().filter(|request| fits(request)).collect();
    fitting
        .iter()
        .take(3)
        .map(|request| {
            let text = format!("{} by {}: {}", request.what, request.who, request.status);
            link("registry", Some(request.at.to_string()), &text)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::causes::{FailedCheck, find};

    fn pod(state: &Value) -> Value {
        json!({
            "metadata": {"name": "default--s", "ownerReferences": [{"kind": "Sandbox"}]},
            "spec": {"imagePullSecrets": [{"name": "right"}], "containers": [{"image": "10.0.0.1:5000/x:v1"}]},
            "status": {"containerStatuses": [{"name": "agent", "state": state}]},
        })
    }

    fn event(reason: &str, message: &str) -> SeenEvent {
        SeenEvent {
            at: "2026-01-02T03:04:05Z".to_owned(),
            kind: "Warning".to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            container: None,
            object: "Pod/default--s".to_owned(),
            count: 1,
        }
    }

    fn request(status: u16) -> SeenRequest {
        SeenRequest {
            at: jiff::Timestamp::UNIX_EPOCH,
            what: "GET manifest v1".to_owned(),
            who: "anonymous".to_owned(),
            status,
        }
    }

    fn check(at: &str, found: &str) -> FailedCheck {
        FailedCheck {
            at: at.to_owned(),
            found: found.to_owned(),
            text: format!("at {at}: found {found}"),
            ..FailedCheck::default()
        }
    }

    fn untold() -> FailedCheck {
        FailedCheck { is_of_watch: true, ..check("events.reached", "false") }
    }

    fn call(method: &'static str, code: &str) -> Call {
        Call {
            at: jiff::Timestamp::UNIX_EPOCH,
            method,
            request: Value::Null,
            code: code.to_owned(),
            message: String::new(),
        }
    }

    fn refused() -> Value {
        pod(&json!({"waiting": {"reason": "ErrImagePull", "message": "authentication required"}}))
    }

    #[rstest]
    #[case("secret-missing", Seen {
        pods: vec![refused()],
        events: vec![event("FailedToRetrieveImagePullSecret", "Unable to retrieve some image pull secrets (right)")],
        ..Seen::default()
    })]
    #[case("pull-unauthorized", Seen { pods: vec![refused()], requests: vec![request(401)], ..Seen::default() })]
    #[case("pull-failed", Seen { pods: vec![refused()], requests: vec![request(503)], ..Seen::default() })]
    #[case("image-volume-unsupported", Seen {
        events: vec![event("FailedMount", "failed to get Plugin: no volume plugin matched")],
        ..Seen::default()
    })]
    #[case("image-volume-unsupported", Seen {
        events: vec![event(
            "Failed",
            "Error: failed to generate spec: failed to mkdir \"\": mkdir : no such file or directory",
        )],
        pods: vec![refused()],
        requests: vec![request(401)],
        ..Seen::default()
    })]
    #[case("image-volume-dropped", Seen {
        pods: vec![json!({"metadata": {"ownerReferences": [{"uid": "1"}]}, "spec": {}})],
        sandboxes: vec![json!({
            "metadata": {"uid": "1"},
            "spec": {"podTemplate": {"spec": {"volumes": [{"name": "bin", "image": {"reference": "x"}}]}}},
        })],
        ..Seen::default()
    })]
    #[case("cannot-start", Seen {
        pods: vec![pod(&json!({"terminated": {"reason": "StartError", "exitCode": 128, "message": "not found"}}))],
        ..Seen::default()
    })]
    #[case("driver-ended", Seen { driver_log: vec!["unknown supervisor sideload method".to_owned()], ..Seen::default() })]
    #[case("step-failed", Seen { step_error: Some("no pod".to_owned()), ..Seen::default() })]
    #[case("check-failed", Seen {
        failed: vec![check("create.code", "nothing")],
        ..Seen::default()
    })]
    #[case::a_field_that_the_driver_wrote("check-failed", Seen {
        failed: vec![check("await.pod.spec.imagePullSecrets", "nothing")],
        pods: vec![refused()],
        requests: vec![request(401)],
        ..Seen::default()
    })]
    #[case::what_follows_from_it("pull-unauthorized", Seen {
        failed: vec![
            check("await.pod.spec.imagePullSecrets", "nothing"),
            check("await.reached", "false"),
        ],
        pods: vec![refused()],
        requests: vec![request(401)],
        ..Seen::default()
    })]
    #[case::a_refusal_that_did_not_come("driver-accepted", Seen {
        failed: vec![check("create.code", "OK")],
        pods: vec![refused()],
        calls: vec![call("CreateSandbox", "OK")],
        ..Seen::default()
    })]
    #[case::a_refusal_that_should_not_have_come("driver-refused", Seen {
        failed: vec![check("create.code", "Internal"), check("await.reached", "false")],
        calls: vec![call("CreateSandbox", "Internal")],
        ..Seen::default()
    })]
    #[case::a_refusal_that_was_wanted("check-failed", Seen {
        failed: vec![check("list.names", "b")],
        calls: vec![call("CreateSandbox", "InvalidArgument")],
        ..Seen::default()
    })]
    #[case::a_step_after_a_refusal("driver-refused", Seen {
        step_error: Some("no sandbox".to_owned()),
        calls: vec![call("CreateSandbox", "Internal")],
        ..Seen::default()
    })]
    #[case("not-told", Seen { failed: vec![untold()], pods: vec![refused()], ..Seen::default() })]
    #[case::what_did_not_happen_could_not_be_told("pull-failed", Seen {
        failed: vec![check("await.reached", "false"), untold()],
        pods: vec![refused()],
        ..Seen::default()
    })]
    #[case("unexplained", Seen::default())]
    fn the_most_specific_rule_explains_it(#[case] rule: &str, #[case] seen: Seen) {
        assert_eq!(find(&seen).rule, rule);
    }

    #[test]
    fn every_rule_is_in_the_document() {
        let page = include_str!("../../../docs/driver-authors.md");
        for (rule, _) in RULES {
            assert!(page.contains(&format!("\n| `{rule}` | ")), "docs/driver-authors.md has no line for {rule}");
        }
    }

    #[test]
    fn a_chain_goes_from_the_spec_to_the_registry() {
        let seen = Seen {
            failed: vec![check("await.reached", "false")],
            pods: vec![refused()],
            events: vec![event("Failed", "Failed to pull image")],
            requests: vec![request(401)],
            ..Seen::default()
        };
        let sources: Vec<String> = find(&seen).chain.into_iter().map(|link| link.source).collect();
        assert_eq!(sources, ["check", "spec", "kubelet", "runtime", "registry"]);
    }
}
