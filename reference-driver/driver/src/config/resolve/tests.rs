use rstest::rstest;

use super::*;
use crate::config::SideloadMethod;
use crate::pod::settings::{AppArmorProfile, Topology};

fn settings(table: &str) -> Settings {
    toml::from_str(table).unwrap()
}

#[rstest]
#[case::blanks_are_dropped(&[" a ", " ", "b "], &["a", "b"])]
#[case::empty(&[""], &[])]
#[case::order_is_kept(&["z", "a", "m"], &["z", "a", "m"])]
#[case::repetitions_are_dropped(&["a", "b", "a"], &["a", "b"])]
fn pull_secret_lists(#[case] told: &[&str], #[case] expected: &[&str]) {
    let told: Vec<String> = told.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(pull_secrets(&told, &Faults::none()).unwrap(), expected);
}

#[test]
fn what_is_not_told_is_upstreams_default() {
    let defaults = Settings::default().sandbox(&Faults::none()).unwrap();
    assert_eq!(defaults, SandboxDefaults::default());
    assert_eq!(Settings::default().workspaces().unwrap(), WorkspaceMode::Shared);
    assert_eq!(Settings::default().managed_ssh().unwrap(), None);
    assert_eq!(parse_gateway_id(None, &WorkspaceMode::Shared).unwrap(), "openshell");
}

#[test]
fn every_setting_gets_where_it_belongs() {
    let defaults = settings(
        r#"
        namespace = "boxes"
        service_account_name = "runner"
        default_image = "r.example/a:1"
        image_pull_policy = "Always"
        supervisor_image_pull_policy = "Never"
        supervisor_sideload_method = "init-container"
        topology = "sidecar"
        sidecar = { proxy_uid = 2000, process_binary_aware_network_policy = false }
        grpc_endpoint = "https://gateway:1"
        client_tls_secret_name = "tls"
        host_gateway_ip = "10.0.0.1"
        https_proxy = "http://proxy:3128"
        no_proxy = "localhost"
        proxy_auth_secret_name = "proxy"
        proxy_auth_secret_key = "auth"
        proxy_auth_allow_insecure = true
        proxy_connect_by_hostname = true
        ssh_socket_path = "/run/ssh.sock"
        enable_user_namespaces = true
        app_armor_profile = "Localhost/agent"
        sa_token_ttl_secs = 60
        provider_spiffe_workload_api_socket_path = "/spiffe/agent.sock"
        sandbox_uid = 5
        sandbox_gid = 6
        workspace_default_storage_size = "3Gi"
        workspace_storage_class = "fast"
        default_runtime_class_name = "kata"
        termination_grace_seconds = 9
        "#,
    )
    .sandbox(&Faults::none())
    .unwrap();
    assert_eq!(defaults.sideload, SideloadMethod::InitContainer);
    let pod = defaults.pod;
    assert_eq!(pod.topology, Topology::Sidecar);
    assert_eq!(pod.app_armor, Some(AppArmorProfile::Localhost("agent".to_owned())));
    assert_eq!(pod.token_seconds, 600, "kept within upstream's limits");
    assert_eq!(pod.sidecar, Sidecar { proxy_id: 2000, process_binary_aware: false });
    assert_eq!(pod.workspace, Some(WorkspaceVolume { size: "3Gi".to_owned(), storage_class: Some("fast".to_owned()) }));
    let proxy = pod.proxy.unwrap();
    assert_eq!(proxy.credentials, Some(ProxyCredentials { secret: "proxy".to_owned(), key: "auth".to_owned() }));
    assert!(proxy.allow_insecure && proxy.connect_by_hostname);
}

#[rstest]
#[case("workspace_default_storage_size = ''")]
#[case("workspace_default_storage_size = '0'")]
fn without_a_size_there_is_no_volume(#[case] table: &str) {
    assert_eq!(settings(table).sandbox(&Faults::none()).unwrap().pod.workspace, None);
}

#[rstest]
#[case::mode("workspace_mode = 'private'", "workspace_mode")]
#[case::nothing_allowed("workspace_mode = 'operator'", "workspace_mode")]
#[case::label_elsewhere("operator_namespace_label = 'a=b'", "operator_namespace_label")]
#[case::file_elsewhere("workspace_mode = 'managed'\noperator_namespace_file = '/f'", "operator_namespace_file")]
#[case::bad_label("workspace_mode = 'operator'\noperator_namespace_label = 'a b'", "operator_namespace_label")]
#[case::namespace("namespace = 'Bad_Name'", "namespace")]
#[case::image("default_image = 'r.example/A:1'", "default_image")]
#[case::policy("image_pull_policy = 'Sometimes'", "image_pull_policy")]
#[case::secret("image_pull_secrets = ['good', 'Bad_Name']", "image_pull_secrets")]
#[case::topology("topology = 'flat'", "topology")]
#[case::system_user("sidecar.proxy_uid = 999", "proxy_uid")]
#[case::profile("app_armor_profile = 'unconfined'", "app_armor_profile")]
#[case::address("host_gateway_ip = 'localhost'", "host_gateway_ip")]
#[case::size("workspace_default_storage_size = 'big'", "workspace_default_storage_size")]
#[case::key_without_secret("proxy_auth_secret_key = 'a'", "proxy_auth_secret_name")]
#[case::secret_without_key("proxy_auth_secret_name = 'a'", "proxy_auth_secret_key")]
#[case::ssh_without_namespace("managed_ssh_ingress.enabled = true", "gateway_namespace")]
#[case::ssh_for_everybody("managed_ssh_ingress = { enabled = true, gateway_namespace = 'g' }", "gateway_pod_selector")]
fn what_breaks_a_rule_is_refused_by_its_key(#[case] table: &str, #[case] key: &str) {
    let settings = settings(table);
    let refused = settings
        .workspaces()
        .and_then(|_| settings.managed_ssh())
        .and_then(|_| settings.sandbox(&Faults::none()))
        .expect_err("it is wrong");
    assert_eq!(refused.key(), key, "{refused}");
}

#[test]
fn a_proxy_with_credentials_is_refused_without_showing_them() {
    let refused = settings("https_proxy = 'http://me:hunter2@proxy:3128'").sandbox(&Faults::none()).unwrap_err();
    assert_eq!(refused.key(), "https_proxy");
    assert!(!refused.to_string().contains("hunter2"), "{refused}");
}

#[rstest]
#[case("team", Some(NamespaceLabel { key: "team".to_owned(), value: None }))]
#[case("example.com/team=blue", Some(NamespaceLabel { key: "example.com/team".to_owned(), value: Some("blue".to_owned()) }))]
#[case("team=", Some(NamespaceLabel { key: "team".to_owned(), value: Some(String::new()) }))]
#[case("=blue", None)]
fn namespace_labels(#[case] text: &str, #[case] expected: Option<NamespaceLabel>) {
    assert_eq!(namespace_label(text).ok(), expected);
}

#[test]
fn a_gateway_of_managed_namespaces_has_a_name_that_fits_into_theirs() {
    let told = || Some("Gate_1".to_owned());
    assert!(parse_gateway_id(told(), &WorkspaceMode::Shared).is_ok());
    assert!(parse_gateway_id(told(), &WorkspaceMode::Managed).is_err());
    assert!(parse_gateway_id(Some(String::new()), &WorkspaceMode::Shared).is_err());
}
