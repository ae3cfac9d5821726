//! The image that a node is started from: one assembled here from the pinned components, or the kind project's own.
//!
//! An assembled image has two layers. The lower one is a Debian root file system and is the same for every
//! Kubernetes; the upper one has the programs of the node, the files of the kind project's own base image, and the
//! images of the control plane, imported already. Both are entries of the component cache, keyed by all that goes in.

mod control_plane;
mod import;
mod objects;
mod root;
mod staging;

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

pub use self::root::DEBIAN_PACKAGES;
use super::{Engine, KindError, labels};
use crate::{
    components::{Component, ProgressSender, Recipe, Step, Store},
    images::{Image, ImageBuilder},
};

/// Name of the assembled image among the components.
pub const NODE_IMAGE: &str = "node-image";

/// Changes when the way in which the parts are put together does.
const RECIPE: &str = "2";

/// containerd's configuration for hosts with cgroup v1, beside the usual one.
pub(crate) const CGROUPFS_CONFIGURATION: &str = "/etc/containerd/cgroupfs.toml";

/// The layer's file in a cache entry.
const LAYER: &str = "layer.tar";

/// What an assembled image is made of.
#[derive(Debug, Clone)]
pub struct NodeParts {
    /// Kubernetes: the control plane's programs, the kubelet, kubeadm and kubectl.
    pub kubernetes: Component,
    /// containerd with its shim and `ctr`.
    pub containerd: Component,
    /// runc.
    pub runc: Component,
    /// The CNI plugins.
    pub cni: Component,
    /// etcd.
    pub etcd: Component,
    /// CoreDNS.
    pub coredns: Component,
    /// kind, whose module has the files of a node.
    pub kind: Component,
    /// `sandproof-probe`, which is the infrastructure container of a pod.
    pub pause: Utf8PathBuf,
}

/// An assembled image.
#[derive(Debug, Clone)]
pub struct NodeImage {
    /// The name that the engine knows it by.
    pub reference: String,
    /// What is in it that kind has to be told.
    pub(crate) assembled: Option<Assembled>,
    image: Option<Image>,
}

/// Versions of what is in an assembled image, where kubeadm would ask for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assembled {
    /// Kubernetes.
    pub(crate) kubernetes: String,
    /// etcd.
    pub(crate) etcd: String,
}

impl Assembled {
    /// The tag of etcd's image; kubeadm reads a version from it.
    pub(crate) fn etcd_tag(&self) -> String {
        format!("{}-0", self.etcd)
    }
}

impl NodeParts {
    fn assembled(&self) -> Assembled {
        Assembled { kubernetes: self.kubernetes.version.clone(), etcd: self.etcd.version.clone() }
    }

    /// Every component of it.
    pub fn all(&self) -> [&Component; 7] {
        [&self.kubernetes, &self.containerd, &self.runc, &self.cni, &self.etcd, &self.coredns, &self.kind]
    }

    fn recipe(&self, root: &Utf8Path) -> Result<Recipe<'_>, KindError> {
        let mut inputs: Vec<String> = self.all().map(Recipe::input).into();
        inputs.push(RECIPE.to_owned());
        inputs.push(objects::inputs());
        inputs.push(root.file_name().unwrap_or_default().to_owned());
        // The program is built again with every change of the harness: only its bytes count.
        let program = fs_err::read(&self.pause).map_err(|source| KindError::Io {
            action: "read",
            path: self.pause.clone(),
            source,
        })?;
        inputs.push(crate::images::digest_of(&program));
        Ok(Recipe { name: NODE_IMAGE, version: &self.kubernetes.version, inputs })
    }
}

/// Assembles an image, or finds it in the cache. Needs root, and `mmdebstrap` the first time.
pub async fn assemble(store: &Store, parts: &NodeParts, progress: &ProgressSender) -> Result<NodeImage, KindError> {
    let root = root::obtain(store, progress).await?;
    let recipe = parts.recipe(&root)?;
    let entry = store
        .derive::<KindError>(&recipe, progress, async |directory, telling| {
            telling.say(Step::Modules, "the files of kind's base image");
            let sources = store.sources("kind", Some(&parts.kind.version)).await?;
            telling.say(Step::Compile, "a staging directory of the node");
            let staging = staging::Staging::make(directory)?;
            staging.fill(parts, &sources).await?;
            telling.say(Step::Compile, "the control plane's images");
            let images = control_plane::build(parts, &root.join(root::ARCHIVE), directory).await?;
            import::images(parts, &images, directory, staging.path()).await?;
            staging.pack(&directory.join(LAYER)).await?;
            Ok(parts.all().map(|component| format!("{} {}", component.name, component.version)).join(", "))
        })
        .await?;
    let key = recipe.key();
    let image = tokio::task::spawn_blocking(move || layered(&root, &entry, &key))
        .await
        .map_err(|error| KindError::assembly("put the node image together", error))??;
    let short = &recipe.key()[..16];
    Ok(NodeImage {
        reference: format!("localhost/sandproof/node:v{}-{short}", parts.kubernetes.version),
        assembled: Some(parts.assembled()),
        image: Some(image),
    })
}

impl NodeImage {
    /// Makes sure that the engine has it.
    pub async fn provide(&self, engine: &Engine) -> Result<(), KindError> {
        if engine.has_image(&self.reference).await? {
            return Ok(());
        }
        match &self.image {
            Some(image) => engine.load(image, &self.reference).await?,
            None => engine.pull(&self.reference).await?,
        }
        Ok(())
    }

    /// The kind project's own image, named by its digest.
    pub fn official(reference: &str) -> Self {
        Self { reference: reference.to_owned(), assembled: None, image: None }
    }
}

/// The image over the two layers.
fn layered(root: &Utf8Path, entry: &Utf8Path, key: &str) -> Result<Image, KindError> {
    ImageBuilder::new()
        .archive_layer(root.join(root::ARCHIVE))
        .archive_layer(entry.join(LAYER))
        .entrypoint(["/usr/local/bin/entrypoint", "/sbin/init"])
        .env("container", "docker")
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        // systemd ends at this signal, and runs itself again at the usual one.
        .stop_signal("SIGRTMIN+3")
        .label(labels::NODE_IMAGE, key)
        .build()
        .map_err(|error| KindError::assembly("put the node image together", error))
}

/// The programs of a component, under the names of the node's directories.
fn programs(parts: &NodeParts) -> Result<BTreeMap<&'static str, &Utf8Path>, KindError> {
    let file = |component: &'static str, program: &'static str| -> Result<(&'static str, &Utf8Path), KindError> {
        let component = parts.all().into_iter().find(|part| part.name == component);
        let path = component.and_then(|component| component.files.get(program));
        path.map(|path| (program, path.as_path()))
            .ok_or_else(|| KindError::assembly("find a program of the node", format!("{program} is in no component")))
    };
    [
        file("kubernetes", "kubelet"),
        file("kubernetes", "kubeadm"),
        file("kubernetes", "kubectl"),
        file("containerd", "containerd"),
        file("containerd", "containerd-shim-runc-v2"),
        file("containerd", "ctr"),
        file("runc", "runc"),
        file("cni-plugins", "bridge"),
        file("cni-plugins", "host-local"),
        file("cni-plugins", "loopback"),
        file("cni-plugins", "portmap"),
    ]
    .into_iter()
    .collect()
}
