//! The cells that the pins make: every minor with its runtimes, and the variants.

use std::{collections::BTreeMap, fmt::Write as _};

use sandproof_clusters::{
    components::{Axes as PinnedAxes, Pins, series},
    existing::{AgentSandboxFound, Survey},
    provider::Provider,
};
use sandproof_reports::Axes;
use serde::Serialize;
use serde_json::{Value, json};

use crate::node_image::NodeImageSource;

/// What could not be found out of an existing cluster.
const UNKNOWN: &str = "unknown";

/// One point in all axes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlannedCell {
    /// Stable from run to run.
    pub(crate) id: String,
    /// For people.
    pub(crate) name: String,
    /// The Kubernetes version.
    pub(crate) kubernetes: String,
    /// The runtime's name.
    pub(crate) runtime: String,
    /// The runtime's version.
    pub(crate) runtime_version: String,
    /// Who makes the cluster.
    pub(crate) provider: Provider,
    /// The Agent Sandbox release.
    pub(crate) agent_sandbox: String,
    /// Feature gates that are set for every component.
    pub(crate) gates: BTreeMap<String, bool>,
    /// Feature gates that the kubelet gets instead.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) kubelet_gates: BTreeMap<String, bool>,
    /// What a component has that nobody tells anything: the defaults of this minor, with what is set.
    pub(crate) effective_gates: BTreeMap<String, bool>,
    /// What the cell is for.
    pub(crate) why: String,
    /// Why the pair is outside of what its projects support; none where it is inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) skew: Option<String>,
}

/// What makes a cell.
#[derive(Debug, Clone, Default)]
pub(super) struct Point {
    /// The minor.
    pub(super) minor: String,
    /// The patch release.
    pub(super) kubernetes: String,
    pub(super) runtime: String,
    pub(super) runtime_version: String,
    pub(super) provider: Provider,
    pub(super) agent_sandbox: String,
    pub(super) gates: BTreeMap<String, bool>,
    pub(super) kubelet_gates: BTreeMap<String, bool>,
    pub(super) why: String,
}

/// Every cell that the pins make.
pub(crate) fn cells(pins: &Pins) -> Vec<PlannedCell> {
    Provider::ALL
        .iter()
        .flat_map(|provider| match provider {
            Provider::Native => native_cells(pins),
            // They are found, not planned.
            Provider::Existing => Vec::new(),
            Provider::Kind => kind_cells(pins),
        })
        .collect()
}

/// The native cells, oldest minor first; the product first within a minor, its variants after it.
fn native_cells(pins: &Pins) -> Vec<PlannedCell> {
    let axes = &pins.axes;
    let mut cells = Vec::new();
    for axis in &axes.kubernetes {
        let crio = axis.cri_o.iter().map(|version| ("cri-o", version));
        let containerd = axis.containerd.iter().map(|version| ("containerd", version));
        for (runtime, version) in crio.chain(containerd) {
            cells.push(planned(
                axes,
                Point {
                    minor: axis.minor.clone(),
                    kubernetes: axis.kubernetes.clone(),
                    runtime: runtime.to_owned(),
                    runtime_version: version.clone(),
                    agent_sandbox: axes.defaults.agent_sandbox.clone(),
                    why: format!("Kubernetes {} with {} {}", axis.minor, title(runtime), series(version)),
                    ..Point::default()
                },
            ));
        }
        for variant in axes.variants.iter().filter(|variant| variant.kubernetes == axis.minor) {
            // The pins were checked: the minor has the runtime, or the variant says which.
            let version = variant.runtime_version.as_deref().or_else(|| axis.runtime(&variant.runtime));
            let release = variant.agent_sandbox.as_ref().unwrap_or(&axes.defaults.agent_sandbox);
            cells.push(planned(
                axes,
                Point {
                    minor: axis.minor.clone(),
                    kubernetes: axis.kubernetes.clone(),
                    runtime: variant.runtime.clone(),
                    runtime_version: version.unwrap_or_default().to_owned(),
                    agent_sandbox: release.clone(),
                    gates: variant.gates.clone(),
                    kubelet_gates: variant.kubelet_gates.clone(),
                    why: variant.why.clone(),
                    ..Point::default()
                },
            ));
        }
    }
    cells
}

/// The cells of kind: minors whose node image is assembled here, or is the kind project's own.
fn kind_cells(pins: &Pins) -> Vec<PlannedCell> {
    let axes = &pins.axes;
    let mut cells: Vec<PlannedCell> = Vec::new();
    for axis in &axes.kubernetes {
        let official = || pins.node_images.iter().find(|image| series(&image.kubernetes) == axis.minor);
        let releases: Vec<(&str, &str)> = match NodeImageSource::chosen() {
            NodeImageSource::Assembled => {
                axis.kind.iter().map(|containerd| (axis.kubernetes.as_str(), containerd.as_str())).collect()
            }
            NodeImageSource::Official if axis.kind.is_empty() => Vec::new(),
            NodeImageSource::Official => {
                official().map(|image| (image.kubernetes.as_str(), image.containerd.as_str())).into_iter().collect()
            }
        };
        cells.extend(releases.into_iter().map(|(kubernetes, containerd)| {
            planned(
                axes,
                Point {
                    minor: axis.minor.clone(),
                    kubernetes: kubernetes.to_owned(),
                    runtime: "containerd".to_owned(),
                    runtime_version: containerd.to_owned(),
                    provider: Provider::Kind,
                    agent_sandbox: axes.defaults.agent_sandbox.clone(),
                    why: format!("Kubernetes {} in a node of kind with containerd {}", axis.minor, series(containerd)),
                    ..Point::default()
                },
            )
        }));
    }
    cells
}

/// The cell at a point.
pub(super) fn planned(axes: &PinnedAxes, point: Point) -> PlannedCell {
    let skew = axes.skew(&point.runtime, &point.runtime_version, &point.minor);
    let mut effective_gates: BTreeMap<String, bool> =
        axes.gates.keys().filter_map(|gate| Some((gate.clone(), axes.gate(gate, &point.minor)?.default))).collect();
    effective_gates.extend(point.gates.clone());
    let release = (point.agent_sandbox != axes.defaults.agent_sandbox).then(|| series(&point.agent_sandbox));
    let provider = point.provider;
    let mut id =
        format!("k{}-{}{}-{provider}", point.minor, point.runtime.replace('-', ""), series(&point.runtime_version));
    let mut name = format!(
        "Kubernetes {} · {} {} · {provider}",
        point.minor,
        title(&point.runtime),
        series(&point.runtime_version)
    );
    for (gate, state) in gate_states(&point) {
        let _ = write!(id, "-{}-{}", gate.to_lowercase(), state.replace(' ', "-"));
        let _ = write!(name, " · {gate} {state}");
    }
    if let Some(release) = release {
        let _ = write!(id, "-as{release}");
        let _ = write!(name, " · Agent Sandbox {release}");
    }
    if skew.is_some() {
        name.push_str(" · skew");
    }
    PlannedCell {
        id,
        name,
        kubernetes: point.kubernetes,
        runtime: point.runtime,
        runtime_version: point.runtime_version,
        provider,
        agent_sandbox: point.agent_sandbox,
        gates: point.gates,
        kubelet_gates: point.kubelet_gates,
        effective_gates,
        why: point.why,
        skew,
    }
}

impl PlannedCell {
    /// The fields that `--cell` expressions may read.
    pub(crate) const FIELDS: &[&str] = &[
        "id",
        "kubernetes",
        "runtime",
        "runtimeVersion",
        "provider",
        "agentSandbox",
        "gates.*",
        "kubeletGates.*",
        "skew",
    ];

    /// What `--cell` expressions read. `gates` has defaults too, and `kubeletGates` is what the kubelet has in the end.
    pub(crate) fn fields(&self) -> Value {
        json!({
            "id": self.id,
            "kubernetes": self.kubernetes,
            "runtime": self.runtime,
            "runtimeVersion": self.runtime_version,
            "provider": self.provider,
            "agentSandbox": self.agent_sandbox,
            "gates": self.effective_gates,
            "kubeletGates": self.effective_kubelet_gates(),
            "skew": self.skew.is_some(),
        })
    }

    /// What the kubelet has in the end.
    pub(crate) fn effective_kubelet_gates(&self) -> BTreeMap<String, bool> {
        let mut gates = self.effective_gates.clone();
        gates.extend(self.kubelet_gates.clone());
        gates
    }

    /// The record's axes.
    pub(crate) fn axes(&self) -> Axes {
        Axes {
            kubernetes: self.kubernetes.clone(),
            runtime: format!("{} {}", self.runtime, self.runtime_version).trim_end().to_owned(),
            provider: self.provider.to_string(),
            agent_sandbox: release_name(&self.agent_sandbox),
            gates: self.gates.clone(),
            kubelet_gates: self.kubelet_gates.clone(),
            skew: self.skew.clone(),
        }
    }

    /// The gates that are set, in a word or two: `ImageVolume on`.
    pub(crate) fn gate_text(&self) -> String {
        let point = Point { gates: self.gates.clone(), kubelet_gates: self.kubelet_gates.clone(), ..Point::default() };
        gate_states(&point).map(|(gate, state)| format!("{gate} {state}")).collect::<Vec<_>>().join(", ")
    }
}

/// The cell that a cluster of the user's is.
pub(crate) fn found(axes: &PinnedAxes, survey: &Survey) -> PlannedCell {
    let minor = series(&survey.kubernetes);
    let (runtime, runtime_version) = survey.runtime().unwrap_or_else(|| (UNKNOWN.to_owned(), String::new()));
    let agent_sandbox = match &survey.agent_sandbox {
        AgentSandboxFound::Absent => axes.defaults.agent_sandbox.clone(),
        AgentSandboxFound::Present { release, .. } => release.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
    };
    let name = format!("existing-{}", survey.context.name);
    // It becomes the name of a directory.
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    PlannedCell {
        id: name.chars().map(|character| if plain(character) { character } else { '-' }).collect(),
        name: format!("{name} · Kubernetes {minor} · {} {}", title(&runtime), series(&runtime_version))
            .trim_end()
            .to_owned(),
        kubernetes: survey.kubernetes.clone(),
        runtime,
        runtime_version,
        provider: Provider::Existing,
        agent_sandbox,
        gates: BTreeMap::new(),
        kubelet_gates: BTreeMap::new(),
        effective_gates: BTreeMap::new(),
        why: format!("the cluster of context {}", survey.context.name),
        skew: None,
    }
}

/// A release as reports show it: `v1.0.3`, or `unknown`.
pub(crate) fn release_name(release: &str) -> String {
    if release == UNKNOWN { UNKNOWN.to_owned() } else { format!("v{release}") }
}

/// `cri-o` as CRI-O writes its own name.
pub(super) fn title(runtime: &str) -> &str {
    if runtime == "cri-o" { "CRI-O" } else { runtime }
}

/// Each gate that is set somewhere, and how.
fn gate_states(point: &Point) -> impl Iterator<Item = (&str, &'static str)> {
    let only_kubelet = point.kubelet_gates.iter().filter(|(gate, _)| !point.gates.contains_key(*gate));
    point.gates.iter().chain(only_kubelet).map(|(gate, on)| {
        let state = match (point.gates.get(gate), point.kubelet_gates.get(gate)) {
            (Some(true), Some(false)) => "apiserver only",
            (Some(false) | None, Some(true)) => "kubelet only",
            (None, Some(false)) => "kubelet off",
            _ if *on => "on",
            _ => "off",
        };
        (gate.as_str(), state)
    })
}
