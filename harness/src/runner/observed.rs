//! What a cell reached, against what was asked for.

use std::collections::BTreeMap;

use sandproof_clusters::provider::Provider;
use sandproof_reports::{Cell, Observed};
use sandproof_scenarios::Facts;
use serde_json::{Map, Value, json};

use crate::plan::{PlannedCell, release_name};

/// The record's form of the probed facts.
pub(super) fn observed(facts: &Value) -> Observed {
    let text = |pointer: &str| facts.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let list = |pointer: &str| -> Vec<String> {
        let items = facts.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let apiserver = switches(facts, "/apiserverGates");
    let mut kubelet_gates = switches(facts, "/kubeletGates");
    // What both say is said once.
    kubelet_gates.retain(|gate, on| apiserver.get(gate) != Some(on));
    let capabilities = facts.pointer("/capabilities").and_then(Value::as_object);
    let mut served = list("/agentSandbox/served");
    served.sort_unstable();
    Observed {
        apiserver: text("/apiserver"),
        kubelet: text("/kubelet"),
        runtime: text("/runtime/name")
            .map(|name| format!("{name} {}", text("/runtime/version").unwrap_or_default()).trim_end().to_owned()),
        agent_sandbox: text("/agentSandbox/release")
            .map(|release| format!("{} serving {}", release_name(&release), served.join(" and "))),
        gates: switches(facts, "/gates"),
        kubelet_gates,
        capabilities: capabilities
            .into_iter()
            .flatten()
            .filter_map(|(name, found)| Some((name.clone(), shown(found)?)))
            .collect(),
        adaptations: Vec::new(),
        subject: None,
    }
}

/// Reaching something else than asked is an error: the cell would claim what it did not test.
pub(super) fn reached_something_else(planned: &PlannedCell, observed: &Observed) -> Option<String> {
    let differs = |found: &Option<String>, asked: &str| found.as_deref() != Some(asked);
    if planned.provider == Provider::Existing {
        // Nothing was asked for: the cell is what was found, and its nodes may be of other versions than its API server.
        return differs(&observed.apiserver, &planned.kubernetes).then(|| {
            let now = observed.apiserver.as_deref().unwrap_or("nothing");
            format!("the API server said {} when it was found, and says {now} now", planned.kubernetes)
        });
    }
    if differs(&observed.apiserver, &planned.kubernetes) || differs(&observed.kubelet, &planned.kubernetes) {
        return Some(format!(
            "Kubernetes {} was asked for, the API server says {} and the kubelet {}",
            planned.kubernetes,
            observed.apiserver.as_deref().unwrap_or("nothing"),
            observed.kubelet.as_deref().unwrap_or("nothing"),
        ));
    }
    let runtime = format!("{} {}", planned.runtime, planned.runtime_version);
    if differs(&observed.runtime, &runtime) {
        return Some(format!(
            "{runtime} was asked for, the node says {}",
            observed.runtime.as_deref().unwrap_or("nothing")
        ));
    }
    wrong_gate(planned, observed)
}

/// A gate whose metric is there and says something else than the plan.
fn wrong_gate(planned: &PlannedCell, observed: &Observed) -> Option<String> {
    let kubelet = planned.effective_kubelet_gates();
    let word = |on: bool| if on { "on" } else { "off" };
    let both = observed.gates.iter().filter_map(|(gate, found)| {
        let asked = *planned.effective_gates.get(gate)? && *kubelet.get(gate)?;
        (asked != *found).then(|| format!("{gate} was to be {}, and the metrics say {}", word(asked), word(*found)))
    });
    let own = observed.kubelet_gates.iter().filter_map(|(gate, found)| {
        let asked = *kubelet.get(gate)?;
        (asked != *found)
            .then(|| format!("{gate} was to be {} in the kubelet, and its metrics say {}", word(asked), word(*found)))
    });
    both.chain(own).next()
}

fn switches(facts: &Value, pointer: &str) -> BTreeMap<String, bool> {
    let gates = facts.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
    gates.filter_map(|(name, on)| Some((name.clone(), on.as_bool()?))).collect()
}

/// The facts that a cell's record has: what conditions can be checked with when the cluster is gone.
pub(crate) fn facts_of(cell: &Cell) -> Facts {
    let Observed { apiserver, runtime, agent_sandbox, gates, kubelet_gates, capabilities, .. } = &cell.observed;
    let (name, version) = runtime.as_deref().and_then(|runtime| runtime.split_once(' ')).unzip();
    let (release, served) =
        agent_sandbox.as_deref().and_then(|text| text.trim_start_matches('v').split_once(" serving ")).unzip();
    let served: Vec<&str> = served.into_iter().flat_map(|served| served.split(" and ")).collect();
    let capabilities: Map<String, Value> =
        capabilities.iter().map(|(name, shown)| (name.clone(), capability(shown))).collect();
    Facts::new(json!({
        "kubernetes": apiserver,
        "runtime": { "name": name, "version": version },
        "gates": gates,
        "kubeletGates": kubelet_gates,
        "agentSandbox": { "release": release, "served": served },
        "capabilities": capabilities,
        "provider": cell.axes.provider,
    }))
}

const WORKS: &str = "works";
const DOES_NOT_WORK: &str = "does not work";

/// What [`shown`] was made of. `imageVolume` and its like are words of their own, and a word they share means the same.
fn capability(shown: &str) -> Value {
    match shown {
        DOES_NOT_WORK => Value::Bool(false),
        other => Value::from(other),
    }
}

/// A capability as a word; one that could not be found out is left out.
fn shown(found: &Value) -> Option<String> {
    match found {
        Value::String(text) => Some(text.clone()),
        Value::Bool(works) => Some(if *works { WORKS } else { DOES_NOT_WORK }.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;
    use rstest::rstest;
    use sandproof_clusters::components::Pins;
    use serde_json::json;

    use super::*;
    use crate::plan::cells;

    fn cell(id: &str) -> PlannedCell {
        let pins = Pins::load(Utf8PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../clusters/pins.yaml")).unwrap();
        cells(&pins).into_iter().find(|cell| cell.id == id).unwrap()
    }

    fn facts(kubernetes: &str, runtime: (&str, &str), apiserver: Option<bool>, kubelet: Option<bool>) -> Value {
        let both = apiserver.zip(kubelet).map(|(apiserver, kubelet)| apiserver && kubelet);
        json!({
            "apiserver": kubernetes, "kubelet": kubernetes,
            "runtime": {"name": runtime.0, "version": runtime.1},
            "gates": {"ImageVolume": both},
            "apiserverGates": {"ImageVolume": apiserver},
            "kubeletGates": {"ImageVolume": kubelet, "KubeletEnsureSecretPulledImages": null},
            "agentSandbox": {"served": ["v1beta1", "v1alpha1"], "release": "0.5.6"},
            "capabilities": {"imageVolume": "works", "dns": true, "seccomp": null},
        })
    }

    #[rstest]
    #[case("k1.34-crio1.34-native", ("1.34.10", ("cri-o", "1.34.0")), (Some(false), Some(false)), None)]
    #[case("k1.34-crio1.34-native", ("1.34.10", ("cri-o", "1.34.0")), (None, None), None)]
    #[case("k1.34-crio1.34-native", ("1.34.9", ("cri-o", "1.34.0")), (None, None), Some("Kubernetes 1.34.10 was asked"))]
    #[case("k1.34-crio1.34-native", ("1.34.10", ("cri-o", "1.34.1")), (None, None), Some("cri-o 1.34.0 was asked for"))]
    #[case(
        "k1.34-crio1.34-native",
        ("1.34.10", ("cri-o", "1.34.0")),
        (Some(true), Some(true)),
        Some("ImageVolume was to be off")
    )]
    #[case(
        "k1.34-crio1.34-native-imagevolume-apiserver-only",
        ("1.34.10", ("cri-o", "1.34.0")),
        (Some(true), Some(false)),
        None
    )]
    #[case(
        "k1.34-crio1.34-native-imagevolume-apiserver-only",
        ("1.34.10", ("cri-o", "1.34.0")),
        (Some(true), Some(true)),
        Some("ImageVolume was to be off")
    )]
    fn what_was_reached_is_what_was_asked_for(
        #[case] id: &str,
        #[case] versions: (&str, (&str, &str)),
        #[case] gates: (Option<bool>, Option<bool>),
        #[case] mismatch: Option<&str>,
    ) {
        let found = observed(&facts(versions.0, versions.1, gates.0, gates.1));
        let said = reached_something_else(&cell(id), &found);
        match mismatch {
            None => assert_eq!(said, None),
            Some(text) => assert!(said.as_ref().is_some_and(|said| said.contains(text)), "{said:?}"),
        }
    }

    #[test]
    fn the_record_has_what_the_cluster_said() {
        let found = observed(&facts("1.34.10", ("cri-o", "1.34.0"), Some(true), Some(false)));
        insta::assert_json_snapshot!(found);
    }

    #[test]
    fn conditions_can_be_checked_against_the_record() {
        let planned = cell("k1.34-crio1.34-native");
        let mut cell = Cell::new(&planned.id, &planned.name, planned.axes());
        cell.observed = observed(&facts("1.34.10", ("cri-o", "1.34.0"), Some(true), Some(false)));
        insta::assert_json_snapshot!(facts_of(&cell).tree());
    }
}
