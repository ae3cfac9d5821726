//! What a cell reached, against what was asked for.

use std::collections::BTreeMap;

use sandproof_clusters::provider::Provider;
use sandproof_reports::{AgentSandboxParts, Cell, Observed, Run, Subject};
use sandproof_scenarios::{Facts, Feature};
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
        agent_sandbox_parts: facts.get("agentSandbox").map(|_| AgentSandboxParts {
            release: text("/agentSandbox/release"),
            served: served.clone(),
            conversion: facts.pointer("/agentSandbox/conversion").and_then(Value::as_bool),
        }),
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

/// The facts that a run's record has of a cell: what conditions can be checked with when the cluster is gone.
pub(crate) fn facts_of(run: &Run, cell: &Cell) -> Facts {
    let Observed { apiserver, runtime, gates, kubelet_gates, capabilities, .. } = &cell.observed;
    let (name, version) = runtime.as_deref().and_then(|runtime| runtime.split_once(' ')).unzip();
    let AgentSandboxParts { release, served, conversion } = agent_sandbox(&cell.observed);
    let capabilities: Map<String, Value> =
        capabilities.iter().map(|(name, shown)| (name.clone(), capability(shown))).collect();
    Facts::new(json!({
        "kubernetes": apiserver,
        "runtime": { "name": name, "version": version },
        "gates": gates,
        "kubeletGates": kubelet_gates,
        "agentSandbox": { "release": release, "served": served, "conversion": conversion },
        "capabilities": capabilities,
        "provider": cell.axes.provider,
        "subject": run.subject.as_ref().map(subject),
    }))
}

/// The parts of a record, or of the sentence where a record of an older harness has nothing else.
fn agent_sandbox(observed: &Observed) -> AgentSandboxParts {
    if let Some(parts) = &observed.agent_sandbox_parts {
        return parts.clone();
    }
    let sentence = observed.agent_sandbox.as_deref().unwrap_or_default();
    let Some((release, served)) = sentence.trim_start_matches('v').split_once(" serving ") else {
        return AgentSandboxParts::default();
    };
    let served = served.split(" and ").map(str::to_owned).collect();
    AgentSandboxParts { release: Some(release.to_owned()), served, conversion: None }
}

/// The subject's profile as expressions read it: the record names it, and what it declares absent.
fn subject(subject: &Subject) -> Value {
    let has = |feature: &Feature| (feature.name().to_owned(), json!(!subject.absent.contains_key(feature.name())));
    let features: Map<String, Value> = Feature::ALL.iter().map(has).collect();
    json!({ "name": subject.profile, "features": features, "absent": subject.absent })
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
        insta::assert_json_snapshot!(facts_of(&run(), &cell).tree());
    }

    fn run() -> Run {
        let at = jiff::Timestamp::UNIX_EPOCH;
        let subject = Subject {
            reference: "process:/driver".to_owned(),
            profile: "own".to_owned(),
            absent: [("chart".to_owned(), "it has none".to_owned())].into(),
            ..Subject::default()
        };
        Run {
            id: "1".to_owned(),
            started_at: at,
            finished_at: at,
            profile: "full".to_owned(),
            argv: Vec::new(),
            harness: sandproof_reports::Harness { version: "0.1.0".to_owned(), commit: None },
            subject: Some(subject),
            seed: None,
        }
    }

    #[test]
    fn conditions_on_the_subject_can_be_checked_against_the_record() {
        let planned = cell("k1.34-crio1.34-native");
        let cell = Cell::new(&planned.id, &planned.name, planned.axes());
        let facts = facts_of(&run(), &cell);
        let holds = |text: &str| {
            let fields = Facts::fields();
            let known: Vec<&str> = fields.iter().map(String::as_str).collect();
            sandproof_scenarios::Expression::parse(text, &known).unwrap().matches(facts.tree())
        };
        assert!(holds("subject.name == own && subject.features.chart == false && subject.features.start == true"));
        assert!(!holds("subject.name == reference"));
    }

    #[test]
    fn the_sentence_of_an_older_record_is_read_too() {
        let observed =
            Observed { agent_sandbox: Some("v0.5.6 serving v1alpha1 and v1beta1".to_owned()), ..Observed::default() };
        let parts = agent_sandbox(&observed);
        assert_eq!(parts.release.as_deref(), Some("0.5.6"));
        assert_eq!((parts.served.len(), parts.conversion), (2, None));
    }
}
