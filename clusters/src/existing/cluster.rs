//! A run's place in an existing cluster: its ledger entry, its registry, its removal.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    time::{Duration, Instant},
};

use camino::Utf8Path;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, LogParams, PostParams},
    runtime::wait::await_condition,
};
use serde_json::json;
use tokio::sync::watch;

use super::{Context, ExistingError, Holdings, Means, Survey, labels, objects, reach};
use crate::{
    ledger::{Entry, Ledger, ProcessIdentity, remove_cluster},
    native::teardown::remove_directory,
    provider::{
        Adaptation, ClusterRequest, ComponentDeath, Deletion, Description, Failed, Guest, LeftBehind, Milestone,
        Milestones, NodeAccess, NodeSettings, RegistryAccess, RegistryPlace,
    },
};

/// How long the cluster may take to make the account that pods of a new namespace need.
const ACCOUNT: Duration = Duration::from_secs(30);

/// How long collecting logs may take.
const LOGS: Duration = Duration::from_secs(30);

/// A run that is in the ledger, and has created nothing yet.
#[derive(Debug)]
pub struct PreparedCluster {
    request: Request,
    places: Vec<RegistryPlace>,
}

/// A run's place in an existing cluster. Dropping it leaves its removal to a sweep.
#[derive(Debug)]
pub struct Cluster {
    request: Request,
    registries: RegistryAccess,
    milestones: Milestones,
}

/// What both have.
struct Request {
    entry: Entry<Holdings>,
    ledger: Ledger,
    means: Means,
    client: Client,
    began: Instant,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Request").field("entry", &self.entry).finish_non_exhaustive()
    }
}

/// Writes the run to the ledger, with a copy of the context for whoever has to clean up after it.
pub async fn prepare(request: ClusterRequest, means: Means) -> Result<PreparedCluster, Failed<ExistingError>> {
    let began = Instant::now();
    let ready = async {
        means.survey.refuse(&means.prefix).await?;
        let places = reach::places(&means.survey, means.registry_address)?;
        let client = means.survey.context.client().await?;
        Ok((places, client, Ledger::open(&request.state)?))
    };
    let (places, client, ledger) = ready.await.map_err(Failed::cleanly)?;
    let entry = Entry {
        id: format!("{:08x}", RandomState::new().build_hasher().finish() & 0xffff_ffff),
        name: request.name,
        run: request.run_id,
        created: Timestamp::now(),
        kubernetes: means.survey.kubernetes.clone(),
        owner: ProcessIdentity::own(),
        directory: request.directory,
        kept: false,
        holdings: Holdings {
            context: means.survey.context.name.clone(),
            server: means.survey.context.server.clone(),
            kubeconfigs: means.survey.context.files.clone(),
            prefix: means.prefix.clone(),
        },
    };
    let written = async {
        let _lock = ledger.lock().await?;
        ledger.write(&entry)?;
        means.survey.context.write(&entry.kubeconfig())
    };
    if let Err(reason) = written.await {
        let left = discard(&ledger, &entry).await;
        return Err(Failed { reason, left });
    }
    Ok(PreparedCluster { request: Request { entry, ledger, means, client, began }, places })
}

impl PreparedCluster {
    /// Where registries can listen, most promising first.
    pub fn registry_places(&self) -> Vec<RegistryPlace> {
        self.places.clone()
    }

    /// Makes the run's first namespace, and finds by trying which of the registries the nodes can pull from.
    pub async fn start(self, settings: NodeSettings) -> Result<Cluster, Failed<ExistingError>> {
        match self.request.come_up(&settings).await {
            Ok(registries) => {
                let mut milestones = Milestones::default();
                // The pods of the trial ran, so all of this is true by now.
                for milestone in [Milestone::ApiReady, Milestone::NodeReady, Milestone::Schedulable] {
                    milestones.insert(milestone, self.request.began.elapsed());
                }
                Ok(Cluster { request: self.request, registries, milestones })
            }
            Err(reason) => Err(Failed { reason, left: self.delete().await.left }),
        }
    }

    /// Removes what was made.
    pub async fn delete(self) -> Deletion {
        self.request.delete().await
    }
}

impl Cluster {
    /// What it is to this run.
    pub fn describe(&self) -> Description {
        let Request { entry, means, .. } = &self.request;
        Description {
            kubeconfig: entry.kubeconfig(),
            node_addresses: means.survey.nodes.iter().filter_map(|node| node.address).collect(),
            node_access: NodeAccess::None { reason: "the nodes belong to a cluster that is not the run's".to_owned() },
            registries: self.registries.clone(),
            relay_address: Err("the API server's certificate is not the run's".to_owned()),
            adaptations: adaptations(&means.survey, &self.registries),
            guest: Some(Guest {
                prefix: entry.holdings.prefix.clone(),
                namespace: entry.holdings.namespace(),
                labels: labels(&entry.run),
                agent_sandbox: means.survey.agent_sandbox.clone(),
                rights: means.survey.rights.clone(),
                nodes: means.survey.open_nodes().map(|node| node.name.clone()).collect(),
            }),
        }
    }

    /// Nobody tells of the end of a program of somebody else's cluster.
    pub fn component_death(&self) -> watch::Receiver<Option<ComponentDeath>> {
        watch::channel(None).1
    }

    /// What has been reached.
    pub fn milestones(&self) -> Milestones {
        self.milestones.clone()
    }

    /// Copies the logs of the run's own pods to `to`.
    pub async fn collect_logs(&self, to: &Utf8Path) -> Result<(), ExistingError> {
        let Request { entry, client, .. } = &self.request;
        let context = &entry.holdings.context;
        match tokio::time::timeout(LOGS, collect(client, &entry.holdings, to)).await {
            Ok(collected) => collected,
            Err(_) => Err(ExistingError::silent(context, "collect logs", LOGS.as_secs())),
        }
    }

    /// Lets what the run made outlive it.
    pub fn keep(&mut self) -> Result<(), ExistingError> {
        self.request.entry.kept = true;
        Ok(self.request.ledger.write(&self.request.entry)?)
    }

    /// Its ledger entry.
    pub fn entry(&self) -> &Entry<Holdings> {
        &self.request.entry
    }

    /// Removes everything that the run made.
    pub async fn delete(self) -> Deletion {
        self.request.delete().await
    }
}

impl Request {
    async fn come_up(&self, settings: &NodeSettings) -> Result<RegistryAccess, ExistingError> {
        let namespace = self.entry.holdings.namespace();
        self.make_namespace(&namespace).await?;
        let nodes: Vec<String> = self.means.survey.open_nodes().map(|node| node.name.clone()).collect();
        let image = settings.pause_image.split_once('/').map_or("", |(_, image)| image);
        let access = reach::try_pulls(&self.client, &namespace, &nodes, &settings.registries, image).await;
        match (&access.plain, &access.secure) {
            (Err(plain), Err(secure)) => Err(ExistingError::NoRegistry {
                context: self.entry.holdings.context.clone(),
                refusals: format!("{plain}; {secure}"),
                authority: self.means.registry_authority.clone(),
            }),
            _ => Ok(access),
        }
    }

    /// Makes a namespace, and waits for the account that its pods need.
    async fn make_namespace(&self, name: &str) -> Result<(), ExistingError> {
        let context = &self.entry.holdings.context;
        let tried = format!("create the namespace {name}");
        let namespace: Namespace =
            serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels(&self.entry.run) } }))
                .map_err(|error| ExistingError::api(context, &tried, &kube::Error::SerdeError(error)))?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), name);
        let made = async {
            let created = Api::all(self.client.clone()).create(&PostParams::default(), &namespace).await;
            created.map_err(|error| ExistingError::api(context, &tried, &error))?;
            let exists = |account: Option<&ServiceAccount>| account.is_some();
            await_condition(accounts, "default", exists).await.map_err(|error| ExistingError::Api {
                context: context.clone(),
                tried: format!("watch for the default account of {name}"),
                reason: error.to_string(),
            })
        };
        match tokio::time::timeout(ACCOUNT, made).await {
            Ok(made) => made.map(drop),
            Err(_) => Err(ExistingError::silent(context, &tried, ACCOUNT.as_secs())),
        }
    }

    async fn delete(self) -> Deletion {
        let began = Instant::now();
        let left = discard(&self.ledger, &self.entry).await;
        Deletion { seconds: began.elapsed().as_secs_f64(), left }
    }
}

impl Holdings {
    /// The namespace of the harness's own pods.
    fn namespace(&self) -> String {
        format!("{}-probe", self.prefix)
    }
}

/// Removes everything of an entry, and its directory, whoever made it.
pub(crate) async fn removed(entry: &Entry, holdings: &Holdings) -> LeftBehind {
    let left = match client(entry, holdings).await {
        Ok(client) => objects::remove(&client, holdings, &entry.run).await,
        Err(error) => LeftBehind::Unknown(error.to_string()),
    };
    if !left.is_nothing() {
        // The copy of the context is needed to try again.
        return left;
    }
    remove_directory(&entry.directory).await.into()
}

/// Looks for what there still is of an entry.
pub(crate) async fn still_there(entry: &Entry, holdings: &Holdings) -> LeftBehind {
    let directory = if entry.directory.exists() { vec![format!("directory {}", entry.directory)] } else { Vec::new() };
    let objects = match client(entry, holdings).await {
        Ok(client) => objects::inventory(&client, holdings, &entry.run).await,
        Err(error) => LeftBehind::Unknown(error.to_string()),
    };
    objects.and(directory.into())
}

/// A client from the copy of the context, or from where the context came from once the copy is gone.
async fn client(entry: &Entry, holdings: &Holdings) -> Result<Client, ExistingError> {
    let copy = entry.kubeconfig();
    if copy.exists() {
        return Context::read_copy(&copy)?.client().await;
    }
    let mut last = ExistingError::NoKubeconfig { looked: copy.to_string() };
    for file in &holdings.kubeconfigs {
        match Context::read(Some(file), Some(&holdings.context)) {
            // Another cluster may have taken the name since.
            Ok(context) if context.server == holdings.server => return context.client().await,
            Ok(context) => {
                let reason = format!(
                    "context {:?} leads to {} and no longer to {}",
                    context.name, context.server, holdings.server
                );
                last = ExistingError::Kubeconfig { file: file.clone(), reason };
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn discard(ledger: &Ledger, entry: &Entry<Holdings>) -> LeftBehind {
    match remove_cluster(ledger, &entry.recorded()).await {
        Ok(swept) => swept.leftovers,
        Err(error) => LeftBehind::Unknown(error.to_string()),
    }
}

/// What differs from a cluster of the run's own.
fn adaptations(survey: &Survey, registries: &RegistryAccess) -> Vec<Adaptation> {
    let adaptation = |name: &str, reason: String| Adaptation { name: name.to_owned(), reason };
    let mut adaptations = vec![adaptation(
        "existing-cluster",
        format!("context {} of the user's; only namespaces of the run's own were used", survey.context.name),
    )];
    let refused = [("no-plain-registry", &registries.plain), ("no-tls-registry", &registries.secure)];
    for (name, registry) in refused {
        if let Err(why) = registry {
            adaptations.push(adaptation(name, format!("the nodes cannot pull from it: {why}")));
        }
    }
    for (purpose, lacking) in survey.rights.all_lacking() {
        let reason = format!("the account may not {}: it lacks {lacking}", purpose.text());
        adaptations.push(adaptation("lacking-rights", reason));
    }
    adaptations
}

async fn collect(client: &Client, holdings: &Holdings, to: &Utf8Path) -> Result<(), ExistingError> {
    let listed = Api::<Pod>::all(client.clone()).list(&ListParams::default()).await;
    let listed = listed.map_err(|error| ExistingError::api(&holdings.context, "list pods", &error))?;
    let prefix = format!("{}-", holdings.prefix);
    for pod in listed.items {
        let namespace = pod.namespace().unwrap_or_default();
        if !namespace.starts_with(&prefix) {
            continue;
        }
        let directory = to.join("pods").join(format!("{namespace}_{}", pod.name_any()));
        let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        for container in pod.spec.iter().flat_map(|spec| &spec.containers) {
            let parameters = LogParams { container: Some(container.name.clone()), ..LogParams::default() };
            // One that has not started has no log.
            let Ok(log) = api.logs(&pod.name_any(), &parameters).await else { continue };
            let file = directory.join(&container.name).with_extension("log");
            let written = std::fs::create_dir_all(&directory).and_then(|()| std::fs::write(&file, log));
            written.map_err(|source| ExistingError::Io { action: "write", path: file, source })?;
        }
    }
    Ok(())
}
