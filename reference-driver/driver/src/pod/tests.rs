use rstest::rstest;
use serde_json::{Value, json};

use super::settings::{AppArmorProfile, PodSettings, ProxyCredentials, Sidecar, UpstreamProxy, WorkspaceVolume};
use super::*;
use crate::request::{ClaimMount, ClaimVolume, DriverConfig, PlatformConfig, Resources};

mod overrides;

/// A configuration without a workspace volume, so that a test says it where it is about one.
pub(crate) fn defaults() -> SandboxDefaults {
    SandboxDefaults {
        namespace: "sandboxes".to_owned(),
        image: "r.example/agent:1".to_owned(),
        supervisor_image: "r.example/supervisor:1".to_owned(),
        pod: PodSettings { workspace: None, ..PodSettings::default() },
        ..SandboxDefaults::default()
    }
}

/// A configuration in which everything is set.
pub(crate) fn full_defaults() -> SandboxDefaults {
    SandboxDefaults {
        image_pull_policy: Some(PullPolicy::Always),
        image_pull_secrets: names(&["one", "two"]),
        supervisor_image_pull_policy: Some(PullPolicy::IfNotPresent),
        grpc_endpoint: Some("http://gateway.example:8080".to_owned()),
        pod: PodSettings {
            workspace: Some(WorkspaceVolume { size: "2Gi".to_owned(), storage_class: Some("fast".to_owned()) }),
            topology: Topology::Combined,
            sidecar: Sidecar { proxy_id: 2000, process_binary_aware: false },
            user_namespaces: true,
            app_armor: Some(AppArmorProfile::Localhost("sandbox".to_owned())),
            token_seconds: 600,
            client_tls_secret: Some("sandbox-tls".to_owned()),
            host_gateway: Some([10, 0, 0, 1].into()),
            proxy: Some(UpstreamProxy {
                url: "http://proxy.example:3128".to_owned(),
                no_proxy: Some("localhost,.cluster.local".to_owned()),
                credentials: Some(ProxyCredentials { secret: "proxy".to_owned(), key: "credentials".to_owned() }),
                allow_insecure: true,
                connect_by_hostname: true,
            }),
            spiffe_socket: Some("/spiffe-workload-api/spire-agent.sock".to_owned()),
        },
        runtime_class_name: Some("kata".to_owned()),
        ..defaults()
    }
}

/// The same with the network in a container of its own.
pub(crate) fn beside_a_network_container(defaults: SandboxDefaults) -> SandboxDefaults {
    SandboxDefaults { pod: PodSettings { topology: Topology::Sidecar, ..defaults.pod }, ..defaults }
}

/// The same with a workspace volume of that size.
fn with_workspace(size: &str, defaults: SandboxDefaults) -> SandboxDefaults {
    let workspace = Some(WorkspaceVolume { size: size.to_owned(), storage_class: None });
    SandboxDefaults { pod: PodSettings { workspace, ..defaults.pod }, ..defaults }
}

pub(crate) fn request() -> SandboxRequest {
    SandboxRequest {
        id: "id-1".to_owned(),
        name: "box".to_owned(),
        workspace: "default".to_owned(),
        ..SandboxRequest::default()
    }
}

/// The pod template, which must be one that the API server takes.
fn render(defaults: &SandboxDefaults, request: &SandboxRequest) -> Value {
    let faults = Faults::none();
    let template = Template { defaults, gateway_id: "openshell", faults: &faults };
    let pod = template.render(request);
    assert_eq!(validity::problems(&pod, &template.claims(request)), Vec::<String>::new());
    pod
}

fn claims(defaults: &SandboxDefaults, request: &SandboxRequest) -> Vec<Value> {
    Template { defaults, gateway_id: "openshell", faults: &Faults::none() }.claims(request)
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

/// A request with a claim of the user at a path.
fn with_claim(path: &str) -> SandboxRequest {
    SandboxRequest {
        driver: DriverConfig {
            volumes: vec![ClaimVolume { name: "data".to_owned(), claim_name: "my.claim".to_owned(), read_only: false }],
            mounts: vec![ClaimMount {
                name: "data".to_owned(),
                mount_path: path.to_owned(),
                sub_path: Some("part/one".to_owned()),
                read_only: false,
            }],
            ..DriverConfig::default()
        },
        ..request()
    }
}

const METHODS: [SideloadMethod; 2] = [SideloadMethod::ImageVolume, SideloadMethod::InitContainer];

#[test]
fn plain() {
    for sideload in METHODS {
        let pod = render(&SandboxDefaults { sideload, ..defaults() }, &request());
        insta::assert_json_snapshot!(format!("plain-{sideload}"), pod);
    }
}

#[test]
fn with_everything_configured() {
    for sideload in METHODS {
        let pod = render(&SandboxDefaults { sideload, ..full_defaults() }, &request());
        insta::assert_json_snapshot!(format!("configured-{sideload}"), pod);
    }
}

#[test]
fn with_a_network_container() {
    for sideload in METHODS {
        let defaults = beside_a_network_container(SandboxDefaults { sideload, ..defaults() });
        insta::assert_json_snapshot!(format!("sidecar-{sideload}"), render(&defaults, &request()));
    }
}

#[test]
fn with_a_network_container_and_everything_configured() {
    let defaults =
        beside_a_network_container(SandboxDefaults { sideload: SideloadMethod::InitContainer, ..full_defaults() });
    insta::assert_json_snapshot!("sidecar-configured", render(&defaults, &request()));
}

#[test]
fn the_agent_beside_a_network_container_has_no_rights_and_no_credentials() {
    let defaults = beside_a_network_container(full_defaults());
    let pod = render(&defaults, &request());
    let agent = &pod["spec"]["containers"][0];
    assert_eq!(agent["securityContext"]["capabilities"], json!({ "drop": ["ALL"] }));
    let shown = agent.to_string();
    for credential in ["openshell-sa-token", "openshell-client-tls", "OPENSHELL_K8S_SA_TOKEN_FILE", "proxy"] {
        assert!(!shown.contains(credential), "{credential}");
    }
}

#[test]
fn the_workspace_is_claimed_and_filled_from_the_agent_image() {
    let defaults = SandboxDefaults {
        image_pull_policy: Some(PullPolicy::Never),
        sideload: SideloadMethod::InitContainer,
        ..with_workspace("2Gi", defaults())
    };
    insta::assert_json_snapshot!("workspace", render(&defaults, &request()));
    insta::assert_json_snapshot!(claims(&defaults, &request()), @r#"
    [
      {
        "metadata": {
          "name": "workspace"
        },
        "spec": {
          "accessModes": [
            "ReadWriteOnce"
          ],
          "resources": {
            "requests": {
              "storage": "2Gi"
            }
          }
        }
      }
    ]
    "#);
}

#[rstest]
#[case::no_volume(defaults(), request(), false)]
#[case::no_mount(with_workspace("1Gi", defaults()), request(), true)]
#[case::elsewhere(with_workspace("1Gi", defaults()), with_claim("/data"), true)]
#[case::beside(with_workspace("1Gi", defaults()), with_claim("/sandbox-data"), true)]
#[case::the_workspace(with_workspace("1Gi", defaults()), with_claim("/sandbox"), false)]
#[case::in_the_workspace(with_workspace("1Gi", defaults()), with_claim("/sandbox/data"), false)]
fn a_mount_in_the_workspace_takes_its_place(
    #[case] defaults: SandboxDefaults,
    #[case] request: SandboxRequest,
    #[case] claimed: bool,
) {
    let pod = render(&defaults, &request);
    assert_eq!(claims(&defaults, &request).len(), usize::from(claimed));
    let shown = pod.to_string();
    assert_eq!(shown.contains(WORKSPACE_CONTAINER), claimed);
    assert_eq!(pod["spec"].get("securityContext").is_some(), claimed);
}

#[test]
fn both_methods_give_the_agent_the_same_command_mount_and_environment() {
    for defaults in [defaults(), full_defaults(), beside_a_network_container(full_defaults())] {
        let agent = |sideload| {
            let pod = render(&SandboxDefaults { sideload, ..defaults.clone() }, &with_claim("/data"));
            pod["spec"]["containers"].clone()
        };
        assert_eq!(agent(SideloadMethod::ImageVolume), agent(SideloadMethod::InitContainer));
    }
}

#[test]
fn the_init_containers_run_in_upstreams_order() {
    let defaults = SandboxDefaults {
        sideload: SideloadMethod::InitContainer,
        ..beside_a_network_container(with_workspace("1Gi", defaults()))
    };
    let pod = render(&defaults, &request());
    let order: Vec<&str> = pod["spec"]["initContainers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|container| container["name"].as_str().unwrap())
        .collect();
    assert_eq!(order, [INSTALL_CONTAINER, NETWORK_INIT_CONTAINER, WORKSPACE_CONTAINER]);
}

#[rstest]
#[case::mine("/spiffe-workload-api/mine", "/spiffe-workload-api")]
#[case::socket("/run/openshell-ssh", "/run/openshell-ssh")]
#[case::around("/spiffe-workload-api", "/spiffe-workload-api")]
fn a_mount_must_not_meet_what_this_driver_was_configured_to_mount(#[case] path: &str, #[case] directory: &str) {
    let defaults = SandboxDefaults { ssh_socket_path: "/run/openshell-ssh/socket".to_owned(), ..full_defaults() };
    let faults = Faults::none();
    let template = Template { defaults: &defaults, gateway_id: "openshell", faults: &faults };
    let error = template.check(&with_claim(path)).unwrap_err().to_string();
    assert!(
        error.starts_with("invalid kubernetes driver_config: containers.agent.volume_mounts[0].mount_path"),
        "{error}"
    );
    assert!(error.contains(directory), "{error}");
    assert_eq!(template.check(&with_claim("/data")), Ok(()));
}

#[test]
fn a_template_that_does_not_fit_into_the_store_is_refused() {
    let defaults = defaults();
    let faults = Faults::none();
    let template = Template { defaults: &defaults, gateway_id: "openshell", faults: &faults };
    let labels = (0..20_000).map(|number| (format!("key-{number}"), "x".repeat(30))).collect();
    let error = template.check(&SandboxRequest { labels, ..request() }).unwrap_err().to_string();
    assert!(error.contains("fit into Kubernetes' store"), "{error}");
}

#[test]
fn every_reserved_name_and_directory_is_used_or_held_for_use() {
    let defaults = beside_a_network_container(full_defaults());
    let pod = render(&defaults, &request());
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    for volume in volumes {
        let name = volume["name"].as_str().unwrap();
        assert!(RESERVED_VOLUMES.contains(&name), "{name}");
    }
    // The workspace's is added by the controller.
    assert_eq!(volumes.len() + 1, RESERVED_VOLUMES.len());
}
