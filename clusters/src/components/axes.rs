//! The axes of compatibility: which versions are run with which, and what their projects say of that.

use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The pinned axes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Axes {
    /// Kubernetes minors, oldest first, each with what it is run with.
    pub kubernetes: Vec<KubernetesAxis>,
    /// Agent Sandbox releases, oldest first.
    pub agent_sandbox: Vec<String>,
    /// What a run takes where it is told nothing.
    pub defaults: Defaults,
    /// Cells beside the product of minors and runtimes, each for a reason of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    /// Feature gates that cells set: their stages, oldest first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gates: BTreeMap<String, Vec<GateStage>>,
    /// With which Kubernetes minors the runtimes' projects say that their releases work.
    #[serde(default)]
    pub support: Support,
}

/// One Kubernetes minor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubernetesAxis {
    /// The minor, such as `1.36`.
    pub minor: String,
    /// The patch release of it that is run.
    pub kubernetes: String,
    /// Past its end of life: the profile `full` runs the smoke scenarios on it, and what is about gates on its cells with
    /// gates of their own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
    /// The CRI-O release that it is run with; none where no release of CRI-O serves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cri_o: Option<String>,
    /// The containerd releases that it is run with, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containerd: Vec<String>,
    /// The containerd releases that it is run with in nodes of kind, the preferred one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kind: Vec<String>,
}

/// What a run takes where it is told nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Defaults {
    /// The Kubernetes minor.
    pub kubernetes: String,
    /// The container runtime.
    pub runtime: String,
    /// The Agent Sandbox release.
    pub agent_sandbox: String,
}

/// A cell that differs from the product in something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Variant {
    /// The Kubernetes minor.
    pub kubernetes: String,
    /// The container runtime, `cri-o` or `containerd`.
    pub runtime: String,
    /// Its release; the minor's own (the newest one) when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_version: Option<String>,
    /// The Agent Sandbox release; the default one when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_sandbox: Option<String>,
    /// Feature gates that all components get.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gates: BTreeMap<String, bool>,
    /// Feature gates that the kubelet gets instead.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kubelet_gates: BTreeMap<String, bool>,
    /// What it is for.
    pub why: String,
}

/// A feature gate from a minor on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GateStage {
    /// The first minor with this stage.
    pub since: String,
    /// Whether it is on when nobody sets it.
    pub default: bool,
    /// Whether setting it to anything else keeps a component from starting.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub locked: bool,
}

/// With which Kubernetes minors the runtimes' projects say that their releases work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Support {
    /// For containerd, by Kubernetes minor: the oldest release of each series, newest series first, which is open-ended.
    #[serde(default)]
    pub containerd: BTreeMap<String, Vec<String>>,
}

/// Why a gate cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GateError {
    /// The pins say nothing about it.
    #[error("nothing is known of the feature gate `{gate}`; clusters/pins.yaml has {}", .known.join(", "))]
    Unknown {
        /// The gate.
        gate: String,
        /// The gates that the pins have.
        known: Vec<String>,
    },
    /// The minor is older than it.
    #[error("Kubernetes {minor} does not have the feature gate {gate}: it came with {since}")]
    Absent {
        /// The gate.
        gate: String,
        /// The minor that was asked for.
        minor: String,
        /// The first minor that has it.
        since: String,
    },
    /// It cannot be changed any more.
    #[error("the feature gate {gate} is locked to {locked} in Kubernetes {minor} (since {since}): a component that is told {gate}={} does not start", !.locked)]
    Locked {
        /// The gate.
        gate: String,
        /// The minor that was asked for.
        minor: String,
        /// The only value that it takes.
        locked: bool,
        /// The minor since which it is locked.
        since: String,
    },
}

impl Axes {
    /// What is pinned for a minor, such as `1.36`, or for a patch release of it.
    pub fn minor(&self, version: &str) -> Option<&KubernetesAxis> {
        self.kubernetes.iter().find(|axis| axis.minor == series(version))
    }

    /// The stage of a gate in a minor; none where the minor does not have it, or nothing is known of it.
    pub fn gate(&self, gate: &str, minor: &str) -> Option<&GateStage> {
        self.gates.get(gate)?.iter().rev().find(|stage| number(&stage.since) <= number(minor))
    }

    /// Whether a gate can be set so.
    pub fn check_gate(&self, gate: &str, on: bool, minor: &str) -> Result<(), GateError> {
        let Some(stages) = self.gates.get(gate) else {
            return Err(GateError::Unknown { gate: gate.to_owned(), known: self.gates.keys().cloned().collect() });
        };
        match self.gate(gate, minor) {
            None => Err(GateError::Absent {
                gate: gate.to_owned(),
                minor: minor.to_owned(),
                since: stages.first().map(|stage| stage.since.clone()).unwrap_or_default(),
            }),
            Some(stage) if stage.locked && stage.default != on => Err(GateError::Locked {
                gate: gate.to_owned(),
                minor: minor.to_owned(),
                locked: stage.default,
                since: stage.since.clone(),
            }),
            Some(_) => Ok(()),
        }
    }

    /// Why a runtime's release and a minor are outside of what the runtime's project supports; none where they are inside.
    ///
    /// CRI-O goes with the Kubernetes minor of its own number; containerd publishes a table (its RELEASES.md).
    pub fn skew(&self, runtime: &str, version: &str, minor: &str) -> Option<String> {
        if runtime == "cri-o" {
            let own = series(version);
            return (own != minor).then(|| format!("CRI-O {own} is released for Kubernetes {own}"));
        }
        let Some(oldest) = self.support.containerd.get(minor) else {
            return Some(format!("containerd's support table has no Kubernetes {minor}"));
        };
        let asked = Version::parse(version).ok()?;
        let supported = oldest.iter().enumerate().any(|(position, oldest)| {
            Version::parse(oldest).is_ok_and(|oldest| {
                let same_series = (asked.major, asked.minor) == (oldest.major, oldest.minor);
                // Only the newest series stands for what comes after it.
                asked >= oldest && (position == 0 || same_series)
            })
        });
        (!supported).then(|| format!("containerd supports Kubernetes {minor} with {}", oldest.join("+, ") + "+"))
    }

    /// What contradicts itself in the axes; `pinned` says whether a component has a version.
    pub(super) fn contradiction(&self, pinned: impl Fn(&str, &str) -> bool) -> Option<String> {
        for axis in &self.kubernetes {
            if !axis.kubernetes.starts_with(&format!("{}.", axis.minor)) {
                return Some(format!("{} is no release of {}", axis.kubernetes, axis.minor));
            }
            if !pinned("kubernetes", &axis.kubernetes) {
                return Some(format!("the axis has kubernetes {}, which is not pinned", axis.kubernetes));
            }
            let crio = axis.cri_o.iter().map(|version| ("cri-o", version));
            let containerd = axis.containerd.iter().chain(&axis.kind).map(|version| ("containerd", version));
            if let Some((runtime, version)) =
                crio.chain(containerd).find(|(runtime, version)| !pinned(runtime_component(runtime, version), version))
            {
                return Some(format!("the axis has {runtime} {version}, which is not pinned"));
            }
        }
        if let Some(version) = self.agent_sandbox.iter().find(|version| !pinned("agent-sandbox", version)) {
            return Some(format!("the axis has agent-sandbox {version}, which is not pinned"));
        }
        let defaults = &self.defaults;
        if self.kubernetes.iter().all(|axis| axis.minor != defaults.kubernetes) {
            return Some(format!("the default minor {} is not on the axis", defaults.kubernetes));
        }
        if !self.agent_sandbox.contains(&defaults.agent_sandbox) {
            return Some(format!("the default agent-sandbox {} is not on the axis", defaults.agent_sandbox));
        }
        self.variants.iter().find_map(|variant| {
            self.variant_contradiction(variant, &pinned)
                .map(|problem| format!("the variant of {} (`{}`): {problem}", variant.kubernetes, variant.why))
        })
    }

    fn variant_contradiction(&self, variant: &Variant, pinned: impl Fn(&str, &str) -> bool) -> Option<String> {
        let Some(axis) = self.kubernetes.iter().find(|axis| axis.minor == variant.kubernetes) else {
            return Some("its minor is not on the axis".to_owned());
        };
        let Some(version) = variant.runtime_version.as_deref().or_else(|| axis.runtime(&variant.runtime)) else {
            return Some(format!("the minor has no {} of its own, so it needs a runtimeVersion", variant.runtime));
        };
        if !pinned(runtime_component(&variant.runtime, version), version) {
            return Some(format!("{} {version} is not pinned", variant.runtime));
        }
        if let Some(release) = variant.agent_sandbox.as_ref().filter(|release| !self.agent_sandbox.contains(release)) {
            return Some(format!("agent-sandbox {release} is not on the axis"));
        }
        variant
            .gates
            .iter()
            .chain(&variant.kubelet_gates)
            .find_map(|(gate, on)| self.check_gate(gate, *on, &variant.kubernetes).err())
            .map(|error| error.to_string())
    }
}

impl KubernetesAxis {
    /// The release of a runtime that the minor is run with where nothing else is asked for: the newest one.
    pub fn runtime(&self, name: &str) -> Option<&str> {
        match name {
            "cri-o" => self.cri_o.as_deref(),
            "containerd" => self.containerd.last().map(String::as_str),
            _ => None,
        }
    }

    /// The containerd that goes into a node image: the one of its kind cells, else the newest of the second series,
    /// whose `ctr` is pinned with it.
    pub fn node_containerd(&self) -> Option<&str> {
        let second = self.containerd.iter().rev().find(|version| version.starts_with("2."));
        self.kind.first().or(second).map(String::as_str)
    }
}

/// The component that has a runtime's release: containerd 1 is a module of another name than containerd 2.
pub fn runtime_component<'a>(runtime: &'a str, version: &str) -> &'a str {
    if runtime == "containerd" && version.starts_with("1.") { "containerd-1" } else { runtime }
}

/// `1.36.4` and `1.36` as `1.36`.
pub fn series(version: &str) -> String {
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}

/// The release that is nearest to one that cannot be had: in the same series if there is one, else in the nearest series.
pub fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = parts(wanted);
    known.into_iter().min_by_key(|version| {
        let found = parts(version);
        (found[0].abs_diff(wanted[0]), found[1].abs_diff(wanted[1]), found[2].abs_diff(wanted[2]))
    })
}

fn number(minor: &str) -> (u64, u64) {
    let [major, minor, _] = parts(minor);
    (major, minor)
}

fn parts(version: &str) -> [u64; 3] {
    let mut numbers = version.trim_start_matches('v').split('.').map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::components::Pins;

    fn axes() -> Axes {
        Pins::load(camino::Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("pins.yaml")).unwrap().axes
    }

    #[rstest]
    #[case("ImageVolume", false, "1.36", Some("is locked to true in Kubernetes 1.36"))]
    #[case("ImageVolume", true, "1.36", None)]
    #[case("ImageVolume", false, "1.35", None)]
    #[case("ImageVolume", true, "1.31", None)]
    #[case("ImageVolume", true, "1.30", Some("it came with 1.31"))]
    #[case("ImageVolumes", true, "1.34", Some("nothing is known of the feature gate `ImageVolumes`"))]
    fn a_gate_can_be_set_where_it_is_not_locked(
        #[case] gate: &str,
        #[case] on: bool,
        #[case] minor: &str,
        #[case] refused: Option<&str>,
    ) {
        let checked = axes().check_gate(gate, on, minor).map_err(|error| error.to_string());
        match refused {
            None => assert_eq!(checked, Ok(())),
            Some(text) => assert!(checked.as_ref().is_err_and(|error| error.contains(text)), "{checked:?}"),
        }
    }

    #[rstest]
    #[case("cri-o", "1.36.3", "1.36", true)]
    #[case("cri-o", "1.36.3", "1.37", false)]
    #[case("cri-o", "1.34.0", "1.36", false)]
    #[case("containerd", "2.3.5", "1.33", true)]
    #[case("containerd", "2.2.8", "1.36", true)]
    #[case("containerd", "2.1.9", "1.36", false)]
    #[case("containerd", "2.1.4", "1.35", false)]
    #[case("containerd", "2.1.5", "1.35", true)]
    #[case("containerd", "1.7.30", "1.35", true)]
    #[case("containerd", "1.7.30", "1.36", false)]
    fn a_pair_is_inside_what_the_runtimes_project_supports(
        #[case] runtime: &str,
        #[case] version: &str,
        #[case] minor: &str,
        #[case] supported: bool,
    ) {
        let skew = axes().skew(runtime, version, minor);
        assert_eq!(skew.is_none(), supported, "{skew:?}");
    }

    #[rstest]
    #[case("1.36.9", Some("1.36.4"))]
    #[case("1.38.0", Some("1.37.2"))]
    #[case("1.35", Some("1.35.8"))]
    #[case("1.20.0", Some("1.33.13"))]
    fn the_nearest_release_is_of_the_same_series_if_there_is_one(#[case] wanted: &str, #[case] found: Option<&str>) {
        assert_eq!(nearest(wanted, ["1.33.13", "1.35.8", "1.36.4", "1.37.2"]), found);
    }
}
