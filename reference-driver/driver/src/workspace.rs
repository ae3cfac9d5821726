//! Workspaces: what has to be there before a sandbox can be, and what goes with one.
//!
//! In mode `shared` nothing has to. In mode `managed` the driver makes a namespace with everything in it, and deletes it. In mode
//! `operator` somebody else makes the namespace and says which ones may be used.

mod allow_list;
mod identity;
mod namespace;
mod objects;
mod secrets;

use std::collections::BTreeMap;
use std::time::Duration;

use kube::Client;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::config::{AllowList, Config, WorkspaceMode};
use crate::error::DriverError;
use crate::faults::Faults;
use crate::placement::Layout;
use objects::WorkspaceObjects;
use secrets::Copies;

pub(crate) use identity::Identity;
pub(crate) use secrets::Purpose;

/// The field manager of what this driver applies (upstream's).
const FIELD_MANAGER: &str = "openshell";

/// How long a namespace that was found in order is taken to be so, for the creation of sandboxes.
///
/// One that goes away in that time is noticed by the creation itself, which then looks again.
const VALIDITY: Duration = Duration::from_secs(15);

/// Prepares workspaces and removes them, as the mode has it.
pub(crate) struct Workspaces {
    client: Client,
    layout: Layout,
    gateway_id: String,
    mode: WorkspaceMode,
    objects: WorkspaceObjects,
    copies: Copies,
    /// When the namespace of a workspace was last found in order.
    in_order: Mutex<BTreeMap<String, Instant>>,
    /// What a namespace said of its pods' user and group, and when.
    identities: Mutex<BTreeMap<String, (Instant, Identity)>>,
    faults: Faults,
}

impl Workspaces {
    pub(crate) fn new(client: Client, layout: Layout, config: &Config) -> Self {
        Self {
            copies: Copies::new(client.clone(), &config.sandbox.namespace, &config.gateway_id, config.faults.clone()),
            objects: WorkspaceObjects::new(client.clone(), config),
            client,
            layout,
            gateway_id: config.gateway_id.clone(),
            mode: config.workspaces.clone(),
            in_order: Mutex::default(),
            identities: Mutex::default(),
            faults: config.faults.clone(),
        }
    }

    /// `EnsureWorkspace`: everything a sandbox needs is there afterwards.
    pub(crate) async fn ensure(&self, workspace: &str) -> Result<(), DriverError> {
        let namespace = self.layout.namespace(workspace)?;
        match &self.mode {
            WorkspaceMode::Shared => Ok(()),
            WorkspaceMode::Managed => {
                // The secrets first: where one is missing, nothing is made.
                self.copies.require(&self.wanted(true)).await?;
                self.ensure_namespace(workspace, &namespace).await?;
                self.copies.copy(&self.wanted(true), &namespace).await
            }
            WorkspaceMode::Operator(allowed) => {
                let refused = self.is_refused(allowed, &namespace).await?;
                refused
                    .map_or(Ok(()), |why| Err(DriverError::WorkspaceDenied { namespace: namespace.clone(), why }))?;
                self.copies.copy(&self.wanted(false), &namespace).await
            }
        }
    }

    /// What can be said against a sandbox in a workspace before anything is made.
    pub(crate) async fn check(&self, workspace: &str) -> Result<(), DriverError> {
        let namespace = self.layout.namespace(workspace)?;
        match &self.mode {
            WorkspaceMode::Shared => Ok(()),
            WorkspaceMode::Managed => self.copies.require(&self.wanted(true)).await,
            WorkspaceMode::Operator(allowed) => match self.is_refused(allowed, &namespace).await? {
                None => Ok(()),
                Some(why) => Err(DriverError::WorkspaceNotAllowed { namespace, why }),
            },
        }
    }

    /// Checks and prepares a workspace for a sandbox.
    pub(crate) async fn prepare(&self, workspace: &str) -> Result<(), DriverError> {
        let namespace = self.layout.namespace(workspace)?;
        match &self.mode {
            WorkspaceMode::Shared => Ok(()),
            WorkspaceMode::Managed => {
                let fresh = self.in_order.lock().await.get(workspace).is_some_and(|since| since.elapsed() < VALIDITY);
                if !fresh {
                    self.copies.require(&self.wanted(true)).await?;
                    self.ensure_namespace(workspace, &namespace).await?;
                }
                // Copied for each sandbox, so that a changed password reaches the next one.
                self.copies.copy(&self.wanted(true), &namespace).await
            }
            WorkspaceMode::Operator(_) => {
                self.check(workspace).await?;
                self.copies.copy(&self.wanted(false), &namespace).await
            }
        }
    }

    /// The user and the group that a namespace has for its pods; none where it says nothing, or may not be looked at.
    pub(crate) async fn identity(&self, namespace: &str) -> Result<Identity, DriverError> {
        let known = self.identities.lock().await.get(namespace).cloned();
        if let Some((_, identity)) = known.filter(|(since, _)| since.elapsed() < VALIDITY) {
            return Ok(identity);
        }
        // Not under the lock: one answer that does not come must not hold up the others.
        let identity = identity::of_namespace(&self.client, namespace).await?;
        self.identities.lock().await.insert(namespace.to_owned(), (Instant::now(), identity.clone()));
        Ok(identity)
    }

    /// Forgets that the namespace of a workspace is in order; whether there is a point in preparing it once more.
    pub(crate) async fn forget(&self, workspace: &str) -> bool {
        self.identities.lock().await.clear();
        self.in_order.lock().await.remove(workspace).is_some()
    }

    /// `DeleteWorkspace`: what this driver made for a workspace goes, with every sandbox in it.
    pub(crate) async fn delete(&self, workspace: &str) -> Result<(), DriverError> {
        let name = self.layout.namespace(workspace)?;
        // In the other modes the namespace is somebody else's.
        if self.mode != WorkspaceMode::Managed {
            return Ok(());
        }
        self.forget(workspace).await;
        let owner = self.owner(workspace);
        namespace::delete(&self.client, &name, &owner, self.faults.adopts_namespaces()).await
    }

    async fn ensure_namespace(&self, workspace: &str, name: &str) -> Result<(), DriverError> {
        let owner = self.owner(workspace);
        namespace::ensure(&self.client, name, &owner, self.faults.adopts_namespaces()).await?;
        self.objects.ensure(name, &owner).await?;
        self.in_order.lock().await.insert(workspace.to_owned(), Instant::now());
        Ok(())
    }

    async fn is_refused(&self, allowed: &AllowList, namespace: &str) -> Result<Option<String>, DriverError> {
        if self.faults.allows_every_namespace() {
            return Ok(None);
        }
        allow_list::refusal(&self.client, allowed, namespace).await
    }

    fn owner(&self, workspace: &str) -> namespace::Owner {
        let omits_gateway = self.faults.omits_gateway_of_namespace();
        namespace::Owner { gateway_id: self.gateway_id.clone(), workspace: workspace.to_owned(), omits_gateway }
    }

    /// The secrets that are copied: pull secrets only into namespaces that this driver made.
    fn wanted(&self, pull_secrets: bool) -> Vec<(Purpose, String)> {
        self.objects.secrets(pull_secrets)
    }
}
