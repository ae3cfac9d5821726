//! What clusters have in the engine: containers, volumes, networks. Everything is found by its labels.

use std::{collections::HashMap, net::Ipv4Addr};

use bollard::{
    models::{NetworkCreateRequest, VolumeListResponse},
    query_parameters::{
        InspectContainerOptions, InspectNetworkOptions, KillContainerOptions, ListContainersOptions,
        ListNetworksOptions, ListVolumesOptions, RemoveContainerOptions, RemoveVolumeOptions, WaitContainerOptions,
    },
};
use futures::StreamExt;
use serde::Serialize;

use super::{Engine, EngineError, Flavor};
use crate::{
    kind::labels::{self, Ownership},
    ledger::{ProcessIdentity, end_of},
};

/// Something in the engine that sandproof made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Thing {
    pub(crate) kind: ThingKind,
    /// Its name, by which it is removed.
    pub(crate) name: String,
    pub(crate) ownership: Ownership,
}

/// What it is, in the order in which things are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ThingKind {
    Container,
    Volume,
    Network,
}

/// A node, as the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeState {
    /// Number of its first process, as this host counts; none where it does not run, or is not among the processes here.
    pub(crate) pid: Option<i32>,
    /// Its address on the cluster's network.
    pub(crate) address: Option<Ipv4Addr>,
    /// Names of its volumes.
    pub(crate) volumes: Vec<String>,
}

impl Thing {
    /// In a few words: `container sandproof-0a1b2c3d-control-plane of cluster one`.
    pub(crate) fn describe(&self) -> String {
        let kind = match self.kind {
            ThingKind::Container => "container",
            ThingKind::Volume => "volume",
            ThingKind::Network => "container network",
        };
        format!("{kind} {} of cluster {} ({})", self.name, self.ownership.cluster, self.ownership.id)
    }
}

impl Engine {
    /// Everything that sandproof made, whoever of it.
    pub(crate) async fn things(&self) -> Result<Vec<Thing>, EngineError> {
        let filter = || Some(HashMap::from([("label".to_owned(), vec![labels::ID.to_owned()])]));
        let docker = self.docker();
        let containers = docker
            .list_containers(Some(ListContainersOptions { all: true, filters: filter(), ..Default::default() }))
            .await
            .map_err(EngineError::request("list containers"))?;
        let VolumeListResponse { volumes, .. } = docker
            .list_volumes(Some(ListVolumesOptions { filters: filter() }))
            .await
            .map_err(EngineError::request("list volumes"))?;
        let networks = docker
            .list_networks(Some(ListNetworksOptions { filters: filter() }))
            .await
            .map_err(EngineError::request("list networks"))?;
        let containers = containers.into_iter().filter_map(|container| {
            let ownership = Ownership::of(container.labels.as_ref())?;
            let name = container.names.into_iter().flatten().next()?.trim_start_matches('/').to_owned();
            Some(Thing { kind: ThingKind::Container, name, ownership })
        });
        let volumes = volumes.into_iter().flatten().filter_map(|volume| {
            let ownership = Ownership::of(Some(&volume.labels))?;
            Some(Thing { kind: ThingKind::Volume, name: volume.name, ownership })
        });
        let networks = networks.into_iter().filter_map(|network| {
            let ownership = Ownership::of(network.labels.as_ref())?;
            Some(Thing { kind: ThingKind::Network, name: network.name?, ownership })
        });
        let mut things: Vec<Thing> = containers.chain(volumes).chain(networks).collect();
        things.sort();
        Ok(things)
    }

    /// Removes everything of the cluster with this ID; returns what is left.
    pub(crate) async fn remove_all(&self, id: &str) -> Result<Vec<String>, EngineError> {
        let mut reasons: HashMap<String, String> = HashMap::new();
        let mut volumes = Vec::new();
        for thing in self.things().await?.into_iter().filter(|thing| thing.ownership.id == id) {
            if thing.kind == ThingKind::Container {
                // Docker's anonymous volumes have no labels: only the container tells of them.
                volumes.extend(self.node(&thing.name).await.map(|node| node.volumes).unwrap_or_default());
            }
            if let Err(error) = self.remove(&thing).await
                && !error.is_not_found()
            {
                reasons.insert(thing.name.clone(), error.to_string());
            }
        }
        for volume in volumes {
            match self.docker().remove_volume(&volume, Some(RemoveVolumeOptions { force: true })).await {
                Ok(()) => {}
                Err(error) => {
                    let error = EngineError::request(format!("remove the volume {volume}"))(error);
                    if !error.is_not_found() {
                        reasons.insert(volume, error.to_string());
                    }
                }
            }
        }
        let left = self.things().await?.into_iter().filter(|thing| thing.ownership.id == id);
        Ok(left
            .map(|thing| match reasons.get(&thing.name) {
                Some(reason) => format!("{}: {reason}", thing.describe()),
                None => thing.describe(),
            })
            .collect())
    }

    async fn remove(&self, thing: &Thing) -> Result<(), EngineError> {
        let (docker, name) = (self.docker(), thing.name.as_str());
        let action = format!("remove the {}", thing.describe());
        match thing.kind {
            ThingKind::Container => {
                // Asked to stop, a node takes ten seconds; a removal by force alone asks first.
                let kill = KillContainerOptions { signal: "KILL".to_owned() };
                // It may have ended already.
                let _ = docker.kill_container(name, Some(kill)).await;
                let options = RemoveContainerOptions { v: true, force: true, link: false };
                docker.remove_container(name, Some(options)).await.map_err(EngineError::request(action))
            }
            ThingKind::Volume => docker
                .remove_volume(name, Some(RemoveVolumeOptions { force: true }))
                .await
                .map_err(EngineError::request(action)),
            ThingKind::Network => docker.remove_network(name).await.map_err(EngineError::request(action)),
        }
    }

    /// Makes a bridge network; returns the host's address on it.
    pub(crate) async fn create_network(&self, name: &str, ownership: &Ownership) -> Result<Ipv4Addr, EngineError> {
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            labels: Some(ownership.map()),
            ..Default::default()
        };
        self.docker().create_network(request).await.map_err(EngineError::request("make the cluster's network"))?;
        let network = self
            .docker()
            .inspect_network(name, None::<InspectNetworkOptions>)
            .await
            .map_err(EngineError::request("look at the cluster's network"))?;
        let ranges = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
        let gateway = ranges.iter().find_map(|range| range.gateway.as_deref()?.parse().ok());
        gateway.ok_or_else(|| EngineError::Request {
            action: "look at the cluster's network".to_owned(),
            reason: format!("{name} has no IPv4 gateway, so its nodes cannot reach this host"),
            status: None,
        })
    }

    /// Looks at a node.
    pub(crate) async fn node(&self, container: &str) -> Result<NodeState, EngineError> {
        let found = self
            .docker()
            .inspect_container(container, None::<InspectContainerOptions>)
            .await
            .map_err(EngineError::request(format!("look at the node {container}")))?;
        let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        let pid = found.state.and_then(|state| state.pid).and_then(|pid| i32::try_from(pid).ok());
        let id = found.id.unwrap_or_default();
        Ok(NodeState {
            // An engine in another PID namespace (a virtual machine, the host of a development container) counts otherwise:
            // its number may be any process's here.
            pid: pid.filter(|pid| *pid > 0 && is_in_container(*pid, &id)),
            address: networks.values().find_map(|network| network.ip_address.as_deref()?.parse().ok()),
            volumes: found
                .mounts
                .into_iter()
                .flatten()
                .filter_map(|mount| mount.name)
                .filter(|name| !name.is_empty())
                .collect(),
        })
    }

    /// Resolves when a container ends, or when the engine is gone; tells which. `first` is its first process, where
    /// this host sees it.
    pub(crate) async fn ended(&self, container: &str, first: Option<ProcessIdentity>) -> String {
        match first.filter(|_| self.flavor() == Flavor::Podman) {
            Some(first) => self.ended_by_process(container, first).await,
            None => self.ended_by_engine(container).await,
        }
    }

    /// Podman looks again and again without a pause where it is asked to wait (4.3.1, `WaitContainerDocker` of
    /// `pkg/api/handlers/utils/containers.go`), which takes most of a processor: so the kernel is asked.
    async fn ended_by_process(&self, container: &str, first: ProcessIdentity) -> String {
        let node = async {
            match first.watch() {
                Some(handle) => end_of(handle).await,
                None => Ok(()),
            }
        };
        let service = async {
            match self.own_service().and_then(ProcessIdentity::watch) {
                Some(handle) => end_of(handle).await,
                None => std::future::pending().await,
            }
        };
        let seen = tokio::select! {
            seen = node => seen,
            _ = service => return "the container engine is gone".to_owned(),
        };
        if let Err(error) = seen {
            tracing::warn!(%error, "the first process of a node cannot be watched");
            return self.ended_by_engine(container).await;
        }
        // With which status is not asked: whoever runs scenarios on it has to know at once.
        "its first process ended".to_owned()
    }

    /// Docker says when a container ends.
    async fn ended_by_engine(&self, container: &str) -> String {
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        // A wait lasts as long as the cluster: no deadline of an answer may end it.
        let docker = self.docker().clone().with_timeout(std::time::Duration::from_secs(u64::from(u32::MAX)));
        let mut waiting = std::pin::pin!(docker.wait_container(container, Some(options)));
        match waiting.next().await {
            Some(Ok(answer)) => format!("its container ended with status {}", answer.status_code),
            Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => {
                format!("its container ended with status {code}")
            }
            Some(Err(error)) => EngineError::request("watch the node")(error).to_string(),
            None => "the container engine is gone".to_owned(),
        }
    }
}

/// Whether a process of this host is one of the container with this ID: its control groups are called after that.
fn is_in_container(pid: i32, id: &str) -> bool {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    !id.is_empty() && groups.contains(id)
}
