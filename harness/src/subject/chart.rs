//! Deploys the reference driver with its chart, through the real Helm.

use std::{collections::BTreeMap, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use sandproof_clusters::process::{Process, ProcessError};
use serde_json::{Map, Value, json};

/// How long an installation may take: Helm renders, and creates a handful of objects.
const INSTALL_DEADLINE: Duration = Duration::from_mins(1);

/// The release name; each scenario has a namespace of its own, so one name serves.
pub(crate) const RELEASE: &str = "driver";

/// What is needed to install the chart into a cluster.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    /// The real `helm`.
    pub(crate) helm: Utf8PathBuf,
    /// The chart's directory.
    pub(crate) directory: Utf8PathBuf,
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

/// How the names of the pull secrets are handed to the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecretsForm {
    /// `server.sandboxImagePullSecrets: [{name: a}]`.
    Objects,
    /// `server.sandboxImagePullSecrets: [a]`.
    Strings,
    /// The environment variable of the driver's binary.
    Environment,
}

/// The driver's configuration in one namespace.
#[derive(Debug, Clone)]
pub(crate) struct DriverValues {
    /// The driver's own image.
    pub(crate) driver: ImageValue,
    /// The supervisor's image.
    pub(crate) supervisor: ImageValue,
    /// The side-load method; empty leaves the choice to the chart.
    pub(crate) sideload: String,
    /// The image of a sandbox that names none.
    pub(crate) sandbox_image: String,
    /// Global pull secrets, in order.
    pub(crate) pull_secrets: Vec<String>,
    /// How they are handed over.
    pub(crate) form: SecretsForm,
    /// Whether the chart itself looks for the Sandbox API.
    pub(crate) preflight: bool,
    /// A fault of the reference driver.
    pub(crate) fault: Option<String>,
}

impl DriverValues {
    /// The values file.
    pub(crate) fn values(&self) -> Value {
        let mut environment: Vec<Value> = Vec::new();
        let mut server = Map::new();
        server.insert("sandboxImage".to_owned(), json!(self.sandbox_image));
        match self.form {
            SecretsForm::Objects => {
                let secrets: Vec<Value> = self.pull_secrets.iter().map(|name| json!({ "name": name })).collect();
                server.insert("sandboxImagePullSecrets".to_owned(), Value::Array(secrets));
            }
            SecretsForm::Strings => {
                server.insert("sandboxImagePullSecrets".to_owned(), json!(self.pull_secrets));
            }
            SecretsForm::Environment => environment.push(json!({
                "name": "OPENSHELL_SANDBOX_IMAGE_PULL_SECRETS",
                "value": self.pull_secrets.join(","),
            })),
        }
        if let Some(fault) = &self.fault {
            environment.push(json!({ "name": "OPENSHELL_FAULT", "value": fault }));
        }
        json!({
            "image": { "repository": self.driver.repository, "tag": self.driver.tag, "pullPolicy": "IfNotPresent" },
            "supervisor": {
                "image": {
                    "repository": self.supervisor.repository,
                    "tag": self.supervisor.tag,
                    "pullPolicy": "IfNotPresent",
                },
                "sideloadMethod": self.sideload,
            },
            "server": server,
            "agentSandbox": { "preflight": { "enabled": self.preflight } },
            "extraEnv": environment,
        })
    }
}

impl Chart {
    /// Installs the chart; it does not wait for pods, the caller watches them.
    pub(crate) async fn install(&self, namespace: &str, values: &Value) -> Result<(), ProcessError> {
        self.helm()
            .args(["install", RELEASE, self.directory.as_str()])
            .args(["--namespace", namespace, "--values", "-"])
            // The API server checks every field when they are applied; fetching its whole schema first costs more than the installation.
            .arg("--disable-openapi-validation")
            .stdin(values.to_string())
            .deadline(INSTALL_DEADLINE)
            .run()
            .await
            .map(drop)
    }

    /// The driver's Deployment as the chart renders it for an API server of that version; no cluster is asked.
    pub(crate) async fn render(&self, kube_version: &str, values: &Value) -> Result<String, ProcessError> {
        self.helm()
            .args(["template", RELEASE, self.directory.as_str(), "--kube-version", kube_version])
            .args(["--show-only", "templates/deployment.yaml", "--values", "-"])
            // It asks for the Sandbox API, which nobody serves here.
            .args(["--set", "agentSandbox.preflight.enabled=false"])
            .stdin(values.to_string())
            .deadline(INSTALL_DEADLINE)
            .run()
            .await
            .map(|captured| captured.stdout)
    }

    fn helm(&self) -> Process {
        let scratch = |name: &str| -> Utf8PathBuf { self.scratch.join(name) };
        let environment: BTreeMap<&str, Utf8PathBuf> = BTreeMap::from([
            ("HELM_CACHE_HOME", scratch("cache")),
            ("HELM_CONFIG_HOME", scratch("config")),
            ("HELM_DATA_HOME", scratch("data")),
            ("KUBECONFIG", self.kubeconfig.clone()),
        ]);
        environment
            .iter()
            .fold(Process::new(&self.helm), |process, (name, path)| process.env(name, path))
            // It lives for less than a second: freeing memory is wasted on it, up to this much.
            .env("GOGC", "off")
            .env("GOMEMLIMIT", "512MiB")
            .current_dir(Utf8Path::new("/"))
    }
}
