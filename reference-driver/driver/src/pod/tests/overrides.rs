//! What a request changes of its pod.

use super::*;

fn pull_secrets(pod: &Value) -> Value {
    pod["spec"].get("imagePullSecrets").cloned().unwrap_or(Value::Null)
}

#[test]
fn with_everything_overridden() {
    for sideload in METHODS {
        let configured = match sideload {
            SideloadMethod::ImageVolume => SideloadMethod::InitContainer,
            SideloadMethod::InitContainer => SideloadMethod::ImageVolume,
        };
        let defaults = SandboxDefaults { sideload: configured, image_pull_secrets: names(&["global"]), ..defaults() };
        let resources = |cpu: &str| Resources {
            requests: [("cpu".to_owned(), cpu.to_owned())].into(),
            limits: [("memory".to_owned(), "1Gi".to_owned())].into(),
        };
        let with_claim = with_claim("/data");
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
                ..with_claim.driver
            },
            ..super::request()
        };
        insta::assert_json_snapshot!(format!("overridden-{sideload}"), render(&defaults, &request));
    }
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

#[rstest]
#[case::nowhere(None, None, None, json!(null))]
#[case::configured(Some("c"), None, None, json!("c"))]
#[case::driver_block(Some("c"), None, Some("d"), json!("d"))]
#[case::platform_block(Some("c"), Some("p"), Some("d"), json!("p"))]
fn the_runtime_class_has_an_order(
    #[case] configured: Option<&str>,
    #[case] platform: Option<&str>,
    #[case] driver: Option<&str>,
    #[case] expected: Value,
) {
    let owned = |class: Option<&str>| class.map(str::to_owned);
    let defaults = SandboxDefaults { runtime_class_name: owned(configured), ..defaults() };
    let mut request = request();
    request.platform.runtime_class_name = owned(platform);
    request.driver.runtime_class_name = owned(driver);
    let pod = render(&defaults, &request);
    assert_eq!(pod["spec"].get("runtimeClassName").cloned().unwrap_or_default(), expected);
}

#[rstest]
#[case::left_to_kubernetes(false, None, None, 4)]
#[case::configured(true, None, Some(false), 7)]
#[case::asked_for(false, Some(false), Some(false), 7)]
#[case::declined(true, Some(true), Some(true), 4)]
fn a_user_namespace_needs_more_capabilities(
    #[case] configured: bool,
    #[case] asked: Option<bool>,
    #[case] host_users: Option<bool>,
    #[case] capabilities: usize,
) {
    let pod = PodSettings { user_namespaces: configured, ..defaults().pod };
    let defaults = SandboxDefaults { pod, ..defaults() };
    let mut request = request();
    request.platform.host_users = asked;
    let pod = render(&defaults, &request);
    assert_eq!(pod["spec"].get("hostUsers").and_then(Value::as_bool), host_users);
    let added = pod["spec"]["containers"][0]["securityContext"]["capabilities"]["add"].as_array().unwrap();
    assert_eq!(added.len(), capabilities);
}

#[rstest]
#[case(AppArmorProfile::RuntimeDefault, json!({ "type": "RuntimeDefault" }))]
#[case(AppArmorProfile::Unconfined, json!({ "type": "Unconfined" }))]
#[case(AppArmorProfile::Localhost("p".to_owned()), json!({ "type": "Localhost", "localhostProfile": "p" }))]
fn app_armor_profiles(#[case] profile: AppArmorProfile, #[case] expected: Value) {
    let pod = PodSettings { app_armor: Some(profile), ..defaults().pod };
    let defaults = SandboxDefaults { pod, ..defaults() };
    let pod = render(&defaults, &request());
    assert_eq!(pod["spec"]["containers"][0]["securityContext"]["appArmorProfile"], expected);
}

#[test]
fn the_driver_blocks_resources_go_last() {
    let resources = |cpu: &str, memory: &str| Resources {
        requests: [("cpu".to_owned(), cpu.to_owned())].into(),
        limits: [("memory".to_owned(), memory.to_owned())].into(),
    };
    let mut request = request();
    request.resources = Resources { requests: [("cpu".to_owned(), "1".to_owned())].into(), ..Resources::default() };
    request.platform.resources = resources("2", "2Gi");
    request.driver.agent_resources = resources("3", "3Gi");
    request.gpus = Some(1);
    let pod = render(&defaults(), &request);
    assert_eq!(
        pod["spec"]["containers"][0]["resources"],
        json!({ "requests": { "cpu": "1" }, "limits": { "memory": "2Gi", "nvidia.com/gpu": "1" } })
    );
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
            let is_own = fault.part == sandproof_protocol::faults::Part::Driver;
            assert_eq!(Faults::named([fault.name]).is_ok(), is_own, "{}", fault.name);
        }
        assert_eq!(Faults::named(["nonsense"]).unwrap_err(), "nonsense");
    }
}
