//! What a cell reached, against what was asked for.

use sandproof_reports::Observed;
use serde_json::Value;

use crate::plan::PlannedCell;

pub(super) fn observed(identity: &Value, planned: &PlannedCell) -> Observed {
    let text = |pointer: &str| identity.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let gates = identity
        .pointer("/gates")
        .and_then(Value::as_object)
        .map(|gates| gates.iter().filter_map(|(name, on)| Some((name.clone(), on.as_bool()?))).collect())
        .unwrap_or_default();
    let served = identity.pointer("/agentSandbox/served").map(ToString::to_string).unwrap_or_default();
    Observed {
        apiserver: text("/apiserver"),
        kubelet: text("/kubelet"),
        runtime: Some(format!(
            "{} {}",
            text("/runtime/name").unwrap_or_default(),
            text("/runtime/version").unwrap_or_default()
        )),
        agent_sandbox: Some(format!("v{} serving {served}", planned.agent_sandbox)),
        gates,
        adaptations: Vec::new(),
    }
}

/// Reaching another version than asked is an error: the cell would claim what it did not test.
pub(super) fn reached_something_else(planned: &PlannedCell, observed: &Observed) -> Option<String> {
    let differs = |found: &Option<String>, asked: &str| found.as_deref() != Some(asked);
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
    None
}
