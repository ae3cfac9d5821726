//! What a cluster is, found before anything is created in it.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Node, Pod},
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, ObjectMeta},
};

use super::{Context, ExistingError, Purpose, RUN_LABEL, Rights};

/// How long the API server may take for all questions together.
const DEADLINE: Duration = Duration::from_secs(30);

/// The API group of the Sandbox.
const SANDBOX_GROUP: &str = "agents.x-k8s.io";

/// The definition of the Sandbox.
const DEFINITION: &str = "sandboxes.agents.x-k8s.io";

/// Where Agent Sandbox's own manifests put its controller.
const CONTROLLER_NAMESPACE: &str = "agent-sandbox-system";
const CONTROLLER: &str = "agent-sandbox-controller";

/// What was found.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The context that leads there.
    pub context: Context,
    /// The version of the API server, without the leading `v`.
    pub kubernetes: String,
    /// Its nodes; none where the account may not list them.
    pub nodes: Vec<NodeFound>,
    /// Where the nodes are, as their pods say, if the account may not list the nodes themselves.
    pub hosts: Vec<IpAddr>,
    /// What there is of Agent Sandbox.
    pub agent_sandbox: AgentSandboxFound,
    /// What the account may not do.
    pub rights: Rights,
}

/// A node, as its object says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFound {
    /// Its name.
    pub name: String,
    /// Its internal address.
    pub address: Option<IpAddr>,
    /// The version of its kubelet, without the leading `v`.
    pub kubelet: String,
    /// The name and the version of its runtime.
    pub runtime: (String, String),
    /// Why it takes no pods; none where it does.
    pub closed: Option<String>,
}

/// What there is of Agent Sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentSandboxFound {
    /// Nothing.
    Absent,
    /// Somebody has installed it.
    Present {
        /// The release, as the tag of its controller's image says it, without the leading `v`.
        release: Option<String>,
        /// Whether its controller is where its own manifests put it, and may be watched.
        controller: bool,
    },
}

impl Survey {
    /// Looks at the cluster of a context. Nothing is created.
    pub async fn take(context: Context) -> Result<Self, ExistingError> {
        let client = context.client().await?;
        let name = context.name.clone();
        match tokio::time::timeout(DEADLINE, look(context, client)).await {
            Ok(survey) => survey,
            Err(_) => Err(ExistingError::silent(&name, "look at the cluster", DEADLINE.as_secs())),
        }
    }

    /// Why nothing may be created for a run with this prefix. Nothing is created to find out.
    pub async fn refuse(&self, prefix: &str) -> Result<(), ExistingError> {
        let context = &self.context.name;
        let mut needed = vec![Purpose::CleanUp, Purpose::Basics];
        if self.agent_sandbox == AgentSandboxFound::Absent {
            needed.push(Purpose::AgentSandbox);
        }
        for purpose in needed {
            if let Some(lacking) = self.rights.lacking(purpose) {
                return Err(ExistingError::Rights { context: context.clone(), purpose, lacking });
            }
        }
        if !self.nodes.is_empty() && self.open_nodes().next().is_none() {
            let nodes = self.nodes.iter().map(|node| {
                let why = node.closed.as_deref().unwrap_or_default();
                format!("{} {why}", node.name)
            });
            return Err(ExistingError::NoNode {
                context: context.clone(),
                found: nodes.collect::<Vec<_>>().join(", "),
            });
        }
        self.refuse_names(prefix).await
    }

    /// Whether something has a name that the run needs.
    async fn refuse_names(&self, prefix: &str) -> Result<(), ExistingError> {
        let context = &self.context.name;
        let client = self.context.client().await?;
        let namespaces: Api<Namespace> = Api::all(client);
        let everything = ListParams::default();
        let listed = tokio::time::timeout(DEADLINE, namespaces.list_metadata(&everything))
            .await
            .map_err(|_| ExistingError::silent(context, "list the namespaces", DEADLINE.as_secs()))?
            .map_err(|error| ExistingError::api(context, "list the namespaces", &error))?;
        for namespace in &listed.items {
            let name = namespace.name_any();
            let controllers = name == CONTROLLER_NAMESPACE && self.agent_sandbox == AgentSandboxFound::Absent;
            if controllers || name.starts_with(&format!("{prefix}-")) {
                let whose = owner(&namespace.metadata).map_or_else(
                    || "it is not this run's; remove it, or use another cluster".to_owned(),
                    |run| format!("it belongs to run {run}; if that is dead, `sandproof sweep` removes it"),
                );
                return Err(ExistingError::NameTaken {
                    context: context.clone(),
                    what: format!("the namespace {name}"),
                    whose,
                });
            }
        }
        Ok(())
    }

    /// The nodes that take pods.
    pub fn open_nodes(&self) -> impl Iterator<Item = &NodeFound> {
        self.nodes.iter().filter(|node| node.closed.is_none())
    }

    /// The one version of all kubelets; the versions where there are several; none where it is not known.
    pub fn kubelet(&self) -> Option<String> {
        one_or_all(self.open_nodes().map(|node| node.kubelet.clone()))
    }

    /// The one runtime of all nodes, as name and version; none where they differ or it is not known.
    pub fn runtime(&self) -> Option<(String, String)> {
        let runtimes: BTreeSet<&(String, String)> = self.open_nodes().map(|node| &node.runtime).collect();
        (runtimes.len() == 1).then(|| runtimes.first().map(|runtime| (*runtime).clone())).flatten()
    }
}

async fn look(context: Context, client: Client) -> Result<Survey, ExistingError> {
    let failed = |tried: &'static str| {
        let name = context.name.clone();
        move |error: kube::Error| ExistingError::api(&name, tried, &error)
    };
    let version = client.apiserver_version().await.map_err(failed("ask for the version"))?;
    let rights = Rights::review(&client, &context.name).await?;
    let (nodes, hosts) = if rights.lacking(Purpose::Nodes).is_some() {
        // Whoever may not read the pods either is refused for that, with the right by name.
        let pods = Api::<Pod>::all(client.clone()).list(&ListParams::default()).await;
        (Vec::new(), pods.map(|pods| hosts(&pods.items)).unwrap_or_default())
    } else {
        let listed = Api::<Node>::all(client.clone()).list(&ListParams::default()).await;
        (listed.map_err(failed("list the nodes"))?.items.iter().map(NodeFound::of).collect(), Vec::new())
    };
    let groups = client.list_api_groups().await.map_err(failed("list the API groups"))?;
    let served = groups.groups.iter().any(|group| group.name == SANDBOX_GROUP);
    let agent_sandbox = if served { agent_sandbox(&client, &context).await? } else { AgentSandboxFound::Absent };
    let kubernetes = version.git_version.trim_start_matches('v').to_owned();
    Ok(Survey { context, kubernetes, nodes, hosts, agent_sandbox, rights })
}

/// The addresses of the nodes that these pods are on, each once.
fn hosts(pods: &[Pod]) -> Vec<IpAddr> {
    let addresses = pods.iter().filter_map(|pod| pod.status.as_ref()?.host_ip.as_ref()?.parse().ok());
    addresses.collect::<BTreeSet<IpAddr>>().into_iter().collect()
}

/// What there is of Agent Sandbox where its API is served. Another run's would go away under this one's feet.
async fn agent_sandbox(client: &Client, context: &Context) -> Result<AgentSandboxFound, ExistingError> {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    // Who may not read it cannot tell; it is used as it is.
    if let Ok(Some(definition)) = definitions.get_metadata_opt(DEFINITION).await
        && let Some(run) = owner(&definition.metadata)
    {
        return Err(ExistingError::NameTaken {
            context: context.name.clone(),
            what: format!("the CRD {DEFINITION}"),
            whose: format!(
                "it belongs to run {run}; wait for it, or remove it with `sandproof sweep` if that run is dead"
            ),
        });
    }
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), CONTROLLER_NAMESPACE);
    let controller = deployments.get_opt(CONTROLLER).await.ok().flatten();
    let image = controller.as_ref().and_then(|controller| {
        let pod = controller.spec.as_ref()?.template.spec.as_ref()?;
        pod.containers.first()?.image.clone()
    });
    Ok(AgentSandboxFound::Present { release: image.as_deref().and_then(release), controller: controller.is_some() })
}

/// The release that an image's tag says: `registry.k8s.io/agent-sandbox/agent-sandbox-controller:v1.0.3`.
fn release(image: &str) -> Option<String> {
    let name = image.split('@').next()?.rsplit('/').next()?;
    let tag = name.split_once(':')?.1;
    let version = tag.trim_start_matches('v');
    semver::Version::parse(version).is_ok().then(|| version.to_owned())
}

impl NodeFound {
    fn of(node: &Node) -> Self {
        let status = node.status.clone().unwrap_or_default();
        let info = status.node_info.unwrap_or_default();
        let address = status.addresses.unwrap_or_default().into_iter().find(|address| address.type_ == "InternalIP");
        let runtime = info.container_runtime_version;
        let (name, version) = runtime.split_once("://").unwrap_or((&runtime, ""));
        let ready =
            status.conditions.unwrap_or_default().into_iter().any(|it| it.type_ == "Ready" && it.status == "True");
        let spec = node.spec.clone().unwrap_or_default();
        let taint = spec.taints.unwrap_or_default().into_iter().find(|taint| taint.effect != "PreferNoSchedule");
        let closed = if !ready {
            Some("is not ready".to_owned())
        } else if spec.unschedulable == Some(true) {
            Some("is cordoned".to_owned())
        } else {
            taint.map(|taint| format!("has the taint {}", taint.key))
        };
        Self {
            name: node.name_any(),
            address: address.and_then(|address| address.address.parse().ok()),
            kubelet: info.kubelet_version.trim_start_matches('v').to_owned(),
            runtime: (name.to_owned(), version.to_owned()),
            closed,
        }
    }
}

/// The run that an object belongs to.
fn owner(metadata: &ObjectMeta) -> Option<&String> {
    metadata.labels.as_ref()?.get(RUN_LABEL)
}

fn one_or_all(values: impl Iterator<Item = String>) -> Option<String> {
    let values: BTreeSet<String> = values.collect();
    (!values.is_empty()).then(|| values.into_iter().collect::<Vec<_>>().join(" and "))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[rstest]
    #[case("registry.k8s.io/agent-sandbox/agent-sandbox-controller:v1.0.3", Some("1.0.3"))]
    #[case("198.18.0.1:5000/agent-sandbox-controller:v1", None)]
    #[case("example.com:5000/controller@sha256:00", None)]
    #[case("example.com/controller:v0.5.6@sha256:00", Some("0.5.6"))]
    fn a_release_is_read_from_a_tag(#[case] image: &str, #[case] expected: Option<&str>) {
        assert_eq!(release(image).as_deref(), expected);
    }

    #[test]
    fn pods_say_where_their_nodes_are() {
        let pod = |status: Value| serde_json::from_value::<Pod>(json!({ "status": status })).unwrap();
        let host = |address: &str| pod(json!({ "hostIP": address }));
        let pods = [host("192.0.2.7"), pod(json!({})), host("192.0.2.3"), host("192.0.2.7"), host("nowhere")];
        assert_eq!(hosts(&pods), ["192.0.2.3", "192.0.2.7"].map(|address| address.parse::<IpAddr>().unwrap()));
    }

    fn node(name: &str, spec: &Value, ready: &str) -> NodeFound {
        let node = json!({
            "metadata": {"name": name},
            "spec": spec,
            "status": {
                "addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": "192.0.2.7"}],
                "conditions": [{"type": "Ready", "status": ready}],
                "nodeInfo": {
                    "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "containerd://2.3.5",
                    "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": "v1.36.4", "machineID": "",
                    "operatingSystem": "linux", "osImage": "", "systemUUID": "",
                },
            },
        });
        NodeFound::of(&serde_json::from_value(node).unwrap())
    }

    #[rstest]
    #[case(json!({}), "True", None)]
    #[case(json!({}), "Unknown", Some("is not ready"))]
    #[case(json!({"unschedulable": true}), "True", Some("is cordoned"))]
    #[case(json!({"taints": [{"key": "a", "effect": "PreferNoSchedule"}]}), "True", None)]
    #[case(
        json!({"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]}),
        "True",
        Some("has the taint node-role.kubernetes.io/control-plane")
    )]
    fn a_node_takes_pods_or_says_why_not(#[case] spec: Value, #[case] ready: &str, #[case] closed: Option<&str>) {
        let found = node("one", &spec, ready);
        assert_eq!(found.closed.as_deref(), closed);
        assert_eq!(found.address, Some("192.0.2.7".parse().unwrap()));
        assert_eq!((found.kubelet.as_str(), found.runtime.0.as_str()), ("1.36.4", "containerd"));
    }
}
