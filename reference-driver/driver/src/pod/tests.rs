use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::request::{DriverConfig, PlatformConfig};

pub(crate) fn defaults() -> SandboxDefaults {
    SandboxDefaults {
        namespace: "sandboxes".to_owned(),
        image: "r.example/agent:1".to_owned(),
        supervisor_image: "r.example/supervisor:1".to_owned(),
        ..SandboxDefaults::default()
    }
}

pub(crate) fn request() -> SandboxRequest {
    SandboxRequest {
        id: "id-1".to_owned(),
        name: "box".to_owned(),
        workspace: "default".to_owned(),
        ..SandboxRequest::default()
    }
}

fn render(defaults: &SandboxDefaults, request: &SandboxRequest) -> Value {
    Template { defaults, gateway_id: "openshell", faults: &Faults::none() }.render(request)
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn pull_secrets(pod: &Value) -> Value {
    pod["spec"].get("imagePullSecrets").cloned().unwrap_or(Value::Null)
}

#[rstest]
#[case::image_volume(SideloadMethod::ImageVolume)]
#[case::init_container(SideloadMethod::InitContainer)]
fn plain(#[case] sideload: SideloadMethod) {
    let pod = render(&SandboxDefaults { sideload, ..defaults() }, &request());
    insta::assert_json_snapshot!(format!("plain-{sideload}"), pod);
}

#[rstest]
#[case::image_volume(SideloadMethod::ImageVolume)]
#[case::init_container(SideloadMethod::InitContainer)]
fn with_everything_configured(#[case] sideload: SideloadMethod) {
    let defaults = SandboxDefaults {
        sideload,
        image_pull_policy: Some(PullPolicy::Always),
        image_pull_secrets: names(&["one", "two"]),
        supervisor_image_pull_policy: Some(PullPolicy::IfNotPresent),
        grpc_endpoint: Some("http://gateway.example:8080".to_owned()),
        runtime_class_name: Some("kata".to_owned()),
        ..defaults()
    };
    insta::assert_json_snapshot!(format!("configured-{sideload}"), render(&defaults, &request()));
}

#[rstest]
#[case::image_volume(SideloadMethod::ImageVolume)]
#[case::init_container(SideloadMethod::InitContainer)]
fn with_everything_overridden(#[case] sideload: SideloadMethod) {
    let configured = match sideload {
        SideloadMethod::ImageVolume => SideloadMethod::InitContainer,
        SideloadMethod::InitContainer => SideloadMethod::ImageVolume,
    };
    let defaults = SandboxDefaults { sideload: configured, image_pull_secrets: names(&["global"]), ..defaults() };
    let resources = |cpu: &str| Resources {
        requests: [("cpu".to_owned(), cpu.to_owned())].into(),
        limits: [("memory".to_owned(), "1Gi".to_owned())].into(),
    };
    let request = SandboxRequest {
        image: Some("r.example/mine:2".to_owned()),
        labels: [("team".to_owned(), "blue".to_owned())].into(),
        environment: [("A".to_owned(), "1".to_owned()), ("OPENSHELL_SANDBOX_ID".to_owned(), "forged".to_owned())]
            .into(),
        command: names(&["/bin/bash", "-l"]),
        tty: true,
        log_level: Some("debug".to_owned()),
        gpus: Some(2),
        image_pull_secrets: Some(names(&["own"])),
        platform: PlatformConfig {
            runtime_class_name: Some("gvisor".to_owned()),
            annotations: [("note".to_owned(), "x".to_owned())].into(),
            host_users: Some(false),
            resources: resources("100m"),
            node_selector: [("zone".to_owned(), "a".to_owned())].into(),
            tolerations: vec![json!({ "key": "first", "operator": "Exists" })],
            image_pull_secrets: None,
        },
        driver: DriverConfig {
            node_selector: [("zone".to_owned(), "b".to_owned()), ("disk".to_owned(), "ssd".to_owned())].into(),
            runtime_class_name: Some("kata".to_owned()),
            tolerations: vec![json!({ "key": "second", "operator": "Exists" })],
            priority_class_name: Some("high".to_owned()),
            agent_resources: resources("900m"),
            sideload: Some(sideload),
            supervisor_image: Some("r.example/other-supervisor:3".to_owned()),
            supervisor_image_pull_policy: Some(PullPolicy::Never),
            image_pull_secrets: None,
        },
        ..request()
    };
    insta::assert_json_snapshot!(format!("overridden-{sideload}"), render(&defaults, &request));
}

#[rstest]
#[case::nothing_anywhere(&[], None, json!(null))]
#[case::configured(&["a", "b"], None, json!([{ "name": "a" }, { "name": "b" }]))]
#[case::replaced(&["a"], Some(&["b"][..]), json!([{ "name": "b" }]))]
#[case::explicitly_none(&["a"], Some(&[][..]), json!(null))]
#[case::only_own(&[], Some(&["b"][..]), json!([{ "name": "b" }]))]
fn the_override_replaces_and_never_merges(
    #[case] configured: &[&str],
    #[case] own: Option<&[&str]>,
    #[case] expected: Value,
) {
    let defaults = SandboxDefaults { image_pull_secrets: names(configured), ..defaults() };
    let request = SandboxRequest { image_pull_secrets: own.map(names), ..request() };
    assert_eq!(pull_secrets(&render(&defaults, &request)), expected);
}

#[test]
fn both_methods_give_the_agent_the_same_command_mount_and_environment() {
    let agent = |sideload| {
        let pod = render(&SandboxDefaults { sideload, ..defaults() }, &request());
        pod["spec"]["containers"][0].clone()
    };
    assert_eq!(agent(SideloadMethod::ImageVolume), agent(SideloadMethod::InitContainer));
}

#[cfg(feature = "faults")]
mod faults {
    use super::*;

    fn render_with(fault: &str, defaults: &SandboxDefaults, request: &SandboxRequest) -> Value {
        let faults = Faults::named([fault]).unwrap();
        Template { defaults, gateway_id: "openshell", faults: &faults }.render(request)
    }

    #[rstest]
    #[case::ignored("ignore-global-secrets", None, json!(null))]
    #[case::merged("merge-override", Some(&["own"][..]), json!([{ "name": "global" }, { "name": "own" }]))]
    #[case::falls_back("fall-back-to-global", Some(&["own"][..]), json!([{ "name": "own" }, { "name": "global" }]))]
    #[case::falls_back_from_none("fall-back-to-global", Some(&[][..]), json!([{ "name": "global" }]))]
    fn faults_of_pull_secrets(#[case] fault: &str, #[case] own: Option<&[&str]>, #[case] expected: Value) {
        let defaults = SandboxDefaults { image_pull_secrets: names(&["global"]), ..defaults() };
        let request = SandboxRequest { image_pull_secrets: own.map(names), ..request() };
        assert_eq!(pull_secrets(&render_with(fault, &defaults, &request)), expected);
    }

    #[test]
    fn the_mount_becomes_writable() {
        let defaults = SandboxDefaults { sideload: SideloadMethod::InitContainer, ..defaults() };
        let pod = render_with("writable-mount", &defaults, &request());
        assert_eq!(pod["spec"]["containers"][0]["volumeMounts"][0]["readOnly"], false);
    }

    #[test]
    fn every_pod_gets_the_init_container() {
        let pod = render_with("sideload-always-init", &defaults(), &request());
        assert_eq!(pod["spec"]["initContainers"][0]["name"], INSTALL_CONTAINER);
    }

    #[test]
    fn every_fault_of_the_catalogue_is_known_and_others_are_not() {
        for fault in sandproof_protocol::faults::FAULTS {
            assert!(Faults::named([fault.name]).is_ok());
        }
        assert_eq!(Faults::named(["nonsense"]).unwrap_err(), "nonsense");
    }
}
