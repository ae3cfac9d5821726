//! A subject's chart: its values, and the real Helm that installs and renders it.

use std::{collections::BTreeMap, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use sandproof_clusters::process::{Process, ProcessError};
use sandproof_scenarios::{ChartSettings, Feature, ImageOrigin, Setting, WorkspaceMode, time_limits};
use serde_json::{Map, Value, json};

use super::{SecretsForm, Settings, Unappliable, settings::RELAY};
use crate::runner::spent::{Party, waiting};

/// How long an installation may take: Helm renders, and creates a handful of objects.
const INSTALL_DEADLINE: Duration = time_limits::HELM;

/// How long a chart may take to come from a registry.
const PULL_DEADLINE: Duration = Duration::from_mins(2);

/// The name of a scenario's first release; each scenario has a namespace of its own, so one name serves.
pub(crate) const RELEASE: &str = "driver";

/// The reference driver's environment variable for faults, separated by commas.
const FAULTS_VARIABLE: &str = "OPENSHELL_FAULT";

/// The upstream driver's environment variable for the Unix socket that it listens on.
const SOCKET_VARIABLE: &str = "OPENSHELL_COMPUTE_DRIVER_SOCKET";

/// Where upstream's own tests have the socket of a driver beside its gateway.
const SOCKET_VOLUME: &str = "/var/run/openshell-compute";

/// The socket; its directory is for the driver to make.
pub(crate) const SOCKET: &str = "/var/run/openshell-compute/driver/driver.sock";

/// What is needed to install the chart into a cluster.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    /// The real `helm`.
    pub(crate) helm: Utf8PathBuf,
    /// The chart's directory or archive.
    pub(crate) directory: Utf8PathBuf,
    /// Files of values, below those that scenarios need.
    pub(crate) values: Vec<Utf8PathBuf>,
    /// The cluster's kubeconfig.
    pub(crate) kubeconfig: Utf8PathBuf,
    /// Where Helm may keep its own files, so that the user's are never touched.
    pub(crate) scratch: Utf8PathBuf,
}

/// An image as a chart takes it.
#[derive(Debug, Clone)]
pub(crate) struct ImageValue {
    /// Registry and repository.
    pub(crate) repository: String,
    /// The tag.
    pub(crate) tag: String,
}

impl ImageValue {
    /// Its full reference.
    pub(crate) fn reference(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }
}

/// The values that tell a chart what a scenario needs, under the names of the profile.
pub(crate) fn values(chart: &ChartSettings, profile: &str, settings: &Settings) -> Result<Value, Unappliable> {
    let names = &chart.values;
    let unappliable = |what, feature| Unappliable { what, by: "chart value", profile: profile.to_owned(), feature };
    let mut tree = Tree::default();
    if chart.image == ImageOrigin::Reference {
        tree.set(names.image_repository.as_deref(), json!(settings.reference_image.repository));
        tree.set(names.image_tag.as_deref(), json!(settings.reference_image.tag));
        tree.set(names.image_pull_policy.as_deref(), json!("IfNotPresent"));
    }
    let supervisor = tree.set(names.supervisor_repository.as_deref(), json!(settings.supervisor.repository))
        && tree.set(names.supervisor_tag.as_deref(), json!(settings.supervisor.tag));
    if settings.supervisor_matters && !supervisor {
        return Err(unappliable("its supervisor's image", Feature::ConfiguredSupervisorImage));
    }
    tree.set(names.supervisor_pull_policy.as_deref(), json!("IfNotPresent"));
    // An empty method is what a chart without the value has anyway.
    let sideload = tree.set(names.sideload.as_deref(), json!(settings.sideload));
    if settings.sideload_matters && !sideload && !settings.sideload.is_empty() {
        return Err(unappliable("its side-load method", Feature::ConfiguredSideload));
    }
    tree.set(names.sandbox_image.as_deref(), json!(settings.sandbox_image));
    tree.set(names.preflight.as_deref(), json!(settings.preflight));
    let mut environment: Vec<Value> = Vec::new();
    let secrets = &settings.pull_secrets;
    let told = match (settings.form, &chart.pull_secrets_variable) {
        (SecretsForm::Objects, _) => {
            let objects: Vec<Value> = secrets.iter().map(|name| json!({ "name": name })).collect();
            tree.set(names.pull_secrets.as_deref(), json!(objects))
        }
        (SecretsForm::Strings, _) => tree.set(names.pull_secrets.as_deref(), json!(secrets)),
        (SecretsForm::Environment, None) => false,
        (SecretsForm::Environment, Some(variable)) => {
            environment.push(json!({ "name": variable, "value": secrets.join(",") }));
            // What the driver may do in mode managed depends on which secrets the chart knows of.
            if settings.workspaces.mode == WorkspaceMode::Managed {
                let known = secrets.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
                tree.set(names.pull_secrets.as_deref(), known.map(|name| json!({ "name": name })).collect());
            }
            names.environment.is_some()
        }
    };
    if !told && !secrets.is_empty() {
        let feature = match settings.form {
            SecretsForm::Objects | SecretsForm::Strings => Feature::ConfiguredPullSecrets,
            SecretsForm::Environment => Feature::ConfiguredByEnvironment,
        };
        return Err(unappliable("its pull secrets", feature));
    }
    if let Some(feature) = settings.workspaces.feature() {
        let workspaces = &settings.workspaces;
        let mut told = tree.set(names.workspace_mode.as_deref(), json!(workspaces.mode.as_str()))
            && tree.set(names.gateway_id.as_deref(), json!(settings.gateway));
        if let Some(label) = &workspaces.allowed_label {
            told &= tree.set(names.operator_label.as_deref(), json!(label));
        }
        if let Some(allowed) = &workspaces.allowed {
            told &= tree.set(names.operator_namespaces.as_deref(), json!(allowed));
        }
        if !told {
            return Err(unappliable("its workspace mode", feature));
        }
    }
    for (setting, value) in &settings.told {
        let told = match chart.setting(*setting) {
            None => false,
            Some(variable) if ChartSettings::is_variable(&variable) => {
                environment.push(json!({ "name": variable, "value": in_words(value) }));
                names.environment.is_some()
            }
            Some(path) => tree.set(Some(&path), as_value(*setting, value)),
        };
        if !told {
            return Err(unappliable(setting.name(), setting.feature()));
        }
    }
    if settings.socket {
        environment.push(json!({ "name": SOCKET_VARIABLE, "value": SOCKET }));
        let told = names.environment.is_some()
            && tree.set(chart.volumes_value(), json!([{ "name": "driver-socket", "emptyDir": {} }]))
            && tree.set(chart.volume_mounts_value(), json!([{ "name": "driver-socket", "mountPath": SOCKET_VOLUME }]));
        if !told {
            return Err(unappliable("to listen on a socket", Feature::UnixSocket));
        }
    }
    if let Some(relay) = settings.relay {
        // A pod's own environment wins over what the kubelet puts there.
        environment.push(json!({ "name": "KUBERNETES_SERVICE_HOST", "value": relay.ip().to_string() }));
        environment.push(json!({ "name": "KUBERNETES_SERVICE_PORT", "value": relay.port().to_string() }));
        if names.environment.is_none() {
            return Err(unappliable(RELAY, Feature::ApiServerAddress));
        }
    }
    if !settings.faults.is_empty() {
        environment.push(json!({ "name": FAULTS_VARIABLE, "value": settings.faults.join(",") }));
    }
    if !environment.is_empty() {
        tree.set(names.environment.as_deref(), Value::Array(environment));
    }
    Ok(Value::Object(tree.root))
}

/// A setting as a chart takes it: names are objects, as everywhere in Kubernetes.
fn as_value(setting: Setting, value: &Value) -> Value {
    match (setting, value) {
        (Setting::OwnPullSecrets, Value::Array(names)) => names.iter().map(|name| json!({ "name": name })).collect(),
        (_, value) => value.clone(),
    }
}

/// A setting as an environment variable or an argument has it.
pub(super) fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(in_words).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Values by dotted paths.
#[derive(Debug, Default)]
struct Tree {
    root: Map<String, Value>,
}

impl Tree {
    /// Puts a value at a path; whether there is a path to put it at.
    fn set(&mut self, path: Option<&str>, value: Value) -> bool {
        let Some(path) = path else { return false };
        let mut keys: Vec<&str> = path.split('.').collect();
        let Some(last) = keys.pop() else { return false };
        let mut map = &mut self.root;
        for key in keys {
            let inner = map.entry(key).or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            let Value::Object(object) = inner else { return false };
            map = object;
        }
        map.insert(last.to_owned(), value);
        true
    }
}

impl Chart {
    /// Installs the chart; it does not wait for pods, the caller watches them.
    pub(crate) async fn install(&self, settings: &Settings, values: &Value) -> Result<(), ProcessError> {
        self.put("install", settings, values).await
    }

    /// Gives a release other values.
    pub(crate) async fn upgrade(&self, settings: &Settings, values: &Value) -> Result<(), ProcessError> {
        self.put("upgrade", settings, values).await
    }

    async fn put(&self, verb: &str, settings: &Settings, values: &Value) -> Result<(), ProcessError> {
        let namespace = settings.namespace.as_str();
        let putting = self
            .helm()
            .args([verb, settings.release.as_str(), self.directory.as_str()])
            .args(["--namespace", namespace])
            .args(self.files())
            .args(["--values", "-"])
            // The API server checks every field when they are applied; fetching its whole schema first costs more than the installation.
            .arg("--disable-openapi-validation")
            .stdin(values.to_string())
            .deadline(INSTALL_DEADLINE)
            .run();
        waiting(Party::Helm, putting).await.map(drop)
    }

    /// What the chart renders for an API server of that version; no cluster is asked.
    pub(crate) async fn render(&self, kube_version: &str, values: &Value) -> Result<String, ProcessError> {
        let rendering = self
            .helm()
            .args(["template", RELEASE, self.directory.as_str(), "--kube-version", kube_version])
            .args(self.files())
            .args(["--values", "-"])
            .stdin(values.to_string())
            .deadline(INSTALL_DEADLINE)
            .run();
        waiting(Party::Helm, rendering).await.map(|captured| captured.stdout)
    }

    fn files(&self) -> impl Iterator<Item = &str> {
        self.values.iter().flat_map(|file| ["--values", file.as_str()])
    }

    fn helm(&self) -> Process {
        helm(&self.helm, &self.scratch).env("KUBECONFIG", &self.kubeconfig)
    }
}

/// Fetches a chart from an OCI registry into `target`, which must exist; gives the chart's directory.
/// The user's own logins count, those of Helm and those of Docker.
pub(crate) async fn pull(
    program: &Utf8Path,
    reference: &str,
    version: Option<&str>,
    target: &Utf8Path,
) -> Result<Utf8PathBuf, String> {
    let mut process = helm(program, &target.join("helm"))
        .args(["pull", reference, "--untar", "--untardir", target.join("chart").as_str()])
        .deadline(PULL_DEADLINE);
    if let Some(version) = version {
        process = process.args(["--version", version]);
    }
    if is_on_loopback(reference) {
        process = process.arg("--plain-http");
    }
    if let Some(logins) = helm_logins(|name| std::env::var(name).ok()).filter(|logins| logins.is_file()) {
        process = process.env("HELM_REGISTRY_CONFIG", logins);
    }
    process.run().await.map_err(|error| error.to_string())?;
    let found = target.join("chart").read_dir_utf8().ok().and_then(|mut entries| entries.next()?.ok());
    found.map(camino::Utf8DirEntry::into_path).ok_or_else(|| format!("{reference} has no chart in it"))
}

/// Where `helm registry login` keeps what it was told: Helm looks for its other files in a directory of the run.
fn helm_logins(variable: impl Fn(&str) -> Option<String>) -> Option<Utf8PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(Utf8PathBuf::from);
    let configuration = set("HELM_CONFIG_HOME")
        .or_else(|| set("XDG_CONFIG_HOME").map(|directory| directory.join("helm")))
        .or_else(|| set("HOME").map(|directory| directory.join(".config/helm")));
    set("HELM_REGISTRY_CONFIG").or_else(|| configuration.map(|directory| directory.join("registry/config.json")))
}

/// A registry on this machine's loopback address speaks plain HTTP, as the tools of this trade take for granted.
fn is_on_loopback(reference: &str) -> bool {
    let host = reference.trim_start_matches("oci://").split(['/', ':']).next().unwrap_or_default();
    host == "localhost" || host.starts_with("127.")
}

fn helm(program: &Utf8Path, scratch: &Utf8Path) -> Process {
    let scratch = |name: &str| -> Utf8PathBuf { scratch.join(name) };
    let environment: BTreeMap<&str, Utf8PathBuf> = BTreeMap::from([
        ("HELM_CACHE_HOME", scratch("cache")),
        ("HELM_CONFIG_HOME", scratch("config")),
        ("HELM_DATA_HOME", scratch("data")),
    ]);
    environment
        .iter()
        .fold(Process::new(program), |process, (name, path)| process.env(name, path))
        // It lives for less than a second: freeing memory is wasted on it, up to this much.
        .env("GOGC", "off")
        .env("GOMEMLIMIT", "512MiB")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&[("HOME", "/h")], "/h/.config/helm/registry/config.json")]
    #[case(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")], "/x/helm/registry/config.json")]
    #[case(&[("HOME", "/h"), ("XDG_CONFIG_HOME", ""), ("HELM_CONFIG_HOME", "/c")], "/c/registry/config.json")]
    #[case(&[("HOME", "/h"), ("HELM_REGISTRY_CONFIG", "/r.json")], "/r.json")]
    fn the_logins_of_helm_are_where_helm_looks_for_them(#[case] set: &[(&str, &str)], #[case] expected: &str) {
        let variable = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        assert_eq!(helm_logins(variable).unwrap(), expected);
    }

    #[test]
    fn the_reference_chart_gets_everything_under_upstreams_names() {
        let chart = ChartSettings { image: ImageOrigin::Reference, ..ChartSettings::default() };
        let settings = Settings { faults: vec!["one".to_owned(), "two".to_owned()], ..Settings::example() };
        insta::assert_json_snapshot!(values(&chart, "reference", &settings).unwrap());
    }

    #[test]
    fn another_chart_keeps_its_own_image() {
        let found = values(&ChartSettings::default(), "mine", &Settings::example()).unwrap();
        assert_eq!(found.get("image"), None);
    }

    #[rstest]
    #[case(SecretsForm::Objects, "configured-pull-secrets")]
    #[case(SecretsForm::Environment, "configured-by-environment")]
    fn what_a_scenario_needs_and_a_chart_cannot_be_told_is_an_error(#[case] form: SecretsForm, #[case] feature: &str) {
        let mut chart = ChartSettings::default();
        (chart.values.pull_secrets, chart.values.environment) = (None, None);
        let error = values(&chart, "mine", &Settings { form, ..Settings::example() }).unwrap_err();
        assert_eq!(error.feature.name(), feature);
        let without = Settings { form, pull_secrets: Vec::new(), ..Settings::example() };
        assert!(values(&chart, "mine", &without).is_ok(), "a scenario without pull secrets needs none");
    }

    #[test]
    fn a_method_that_does_not_matter_is_left_out_where_there_is_no_value() {
        let mut chart = ChartSettings::default();
        chart.values.sideload = None;
        let method = Settings { sideload: "init-container".to_owned(), ..Settings::example() };
        assert!(values(&chart, "mine", &method).is_ok());
        let wanted = Settings { sideload_matters: true, ..method };
        assert_eq!(values(&chart, "mine", &wanted).unwrap_err().feature, Feature::ConfiguredSideload);
    }

    #[rstest]
    #[case("oci://127.0.0.1:5000/charts/driver", true)]
    #[case("oci://localhost/driver", true)]
    #[case("oci://registry.example/127.0.0.1", false)]
    fn only_loopback_is_plain_http(#[case] reference: &str, #[case] plain: bool) {
        assert_eq!(is_on_loopback(reference), plain);
    }
}
