//! Node images for kind: which components go into one, and assembling it.

use sandproof_clusters::{
    components::{Axes, Component, Store, series},
    kind::{self, NodeImage, NodeParts},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{events::Events, failure::Failure, paths::Paths, provision};

/// Where the image of a node comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeImageSource {
    /// It is assembled here, from the pinned components.
    Assembled,
    /// It is the kind project's own, by its digest.
    Official,
}

impl NodeImageSource {
    /// The variable that says which; otherwise whoever is root assembles, since nothing but Debian's packages is needed.
    const VARIABLE: &str = "SANDPROOF_NODE_IMAGE";

    /// The one that this run takes.
    pub(crate) fn chosen() -> Self {
        match std::env::var(Self::VARIABLE).as_deref() {
            Ok("official") => Self::Official,
            Ok("assembled") => Self::Assembled,
            _ if rustix::process::geteuid().is_root() => Self::Assembled,
            _ => Self::Official,
        }
    }
}

/// The image of a cell of kind, and what else kind needs.
#[derive(Debug, Clone)]
pub(crate) struct KindKit {
    pub(crate) kind: Component,
    pub(crate) runc: Component,
    pub(crate) image: NodeImage,
    /// What the image was assembled from.
    pub(crate) parts: Vec<Component>,
}

/// The components that a cell of kind needs.
pub(crate) fn components<'a>(kubernetes: &'a str, containerd: &'a str) -> Vec<(&'static str, Option<&'a str>)> {
    let mut components = vec![("kind", None), ("runc", None)];
    if NodeImageSource::chosen() == NodeImageSource::Assembled {
        components.extend([
            ("kubernetes", Some(kubernetes)),
            ("containerd", Some(containerd)),
            ("cni-plugins", None),
            ("etcd", None),
            ("coredns", None),
        ]);
    }
    components
}

/// What a cell of kind is made of; `obtained` has what [`components`] named.
pub(crate) async fn kit(
    store: &Store,
    paths: &Paths,
    (kubernetes, containerd): (&str, &str),
    obtained: Vec<Component>,
    events: &Events,
    cancelled: &CancellationToken,
) -> Result<KindKit, Failure> {
    let find = |name: &str| {
        obtained.iter().find(|component| component.name == name).cloned().ok_or_else(|| {
            Failure::environment("obtain the components", "the store returned fewer than were asked for")
        })
    };
    let (kind, runc) = (find("kind")?, find("runc")?);
    let image = match NodeImageSource::chosen() {
        NodeImageSource::Assembled => assembled(store, paths, (kubernetes, containerd), events, cancelled).await?,
        NodeImageSource::Official => {
            let pin = store.pins().node_images.iter().find(|image| image.kubernetes == kubernetes);
            let pin = pin.ok_or_else(|| {
                Failure::environment("find the node image", format!("none of Kubernetes {kubernetes} is pinned"))
            })?;
            NodeImage::official(&pin.image)
        }
    };
    Ok(KindKit { kind, runc, image, parts: obtained })
}

/// The Kubernetes and the containerd of the node image that `node-image` or `node-image@MINOR` means.
pub(crate) fn versions(axes: &Axes, wanted: &str) -> Result<(String, String), Failure> {
    let asked = wanted.split_once('@').map_or(axes.defaults.kubernetes.as_str(), |(_, minor)| minor);
    let minor = series(asked.trim_start_matches('v'));
    let known = || {
        let minors: Vec<&str> = axes.kubernetes.iter().map(|axis| axis.minor.as_str()).collect();
        format!("the minors are: {}", minors.join(", "))
    };
    let pair = axes
        .kubernetes
        .iter()
        .find(|axis| axis.minor == minor)
        .ok_or_else(|| Failure::usage(format!("there is no Kubernetes {asked} in clusters/pins.yaml"), known()))?;
    let containerd = pair.node_containerd().ok_or_else(|| {
        Failure::usage(
            format!("no containerd with image tools is paired with Kubernetes {}", pair.minor),
            "node images are made of containerd 2",
        )
    })?;
    Ok((pair.kubernetes.clone(), containerd.to_owned()))
}

/// Assembles a node image, or finds it in the cache.
pub(crate) async fn assembled(
    store: &Store,
    paths: &Paths,
    (kubernetes, containerd): (&str, &str),
    events: &Events,
    cancelled: &CancellationToken,
) -> Result<NodeImage, Failure> {
    let parts = parts(store, paths, (kubernetes, containerd), events, cancelled).await?;
    let (sender, receiver) = mpsc::unbounded_channel();
    let forwarding = tokio::spawn(provision::forward(receiver, events.clone(), 0));
    let outcome = tokio::select! {
        outcome = kind::assemble(store, &parts, &sender) => outcome,
        () = cancelled.cancelled() => {
            return Err(Failure::Interrupted { during: "assembling a node image".to_owned() });
        }
    };
    drop(sender);
    let _ = forwarding.await;
    outcome.map_err(|error| {
        Failure::environment_with_hint(
            format!("get a node image with Kubernetes {kubernetes}"),
            error,
            "it is assembled as root, from Debian's packages; an engine that can pull uses the official ones instead",
        )
    })
}

async fn parts(
    store: &Store,
    paths: &Paths,
    (kubernetes, containerd): (&str, &str),
    events: &Events,
    cancelled: &CancellationToken,
) -> Result<NodeParts, Failure> {
    let wanted = [
        ("kubernetes", Some(kubernetes)),
        ("containerd", Some(containerd)),
        ("runc", None),
        ("cni-plugins", None),
        ("etcd", None),
        ("coredns", None),
        ("kind", None),
    ];
    let components = provision::obtain(store, &wanted, events, cancelled).await?;
    let Ok([kubernetes, containerd, runc, cni, etcd, coredns, kind]) = <[_; 7]>::try_from(components) else {
        return Err(Failure::environment("obtain the components", "the store returned fewer than were asked for"));
    };
    let pause = paths.program("sandproof-probe")?;
    Ok(NodeParts { kubernetes, containerd, runc, cni, etcd, coredns, kind, pause })
}
