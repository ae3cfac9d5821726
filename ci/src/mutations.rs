//! What `selftest mutations` found: each fault of the reference driver must turn exactly those scenarios red that claim it.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use camino::Utf8Path;
use sandproof_protocol::faults::FAULTS;
use sandproof_scenarios::Scenario;
use serde::Deserialize;

use crate::suite;
use crate::tally::Tally;
use crate::workspace::Workspace;

#[derive(Deserialize)]
struct Mutations {
    mutations: Vec<Mutation>,
    /// What the cluster on which they were tried cannot show.
    #[serde(default, rename = "notShown")]
    not_shown: Vec<NotShown>,
}

#[derive(Deserialize)]
struct NotShown {
    fault: String,
    /// The scenarios that claim it, none of which makes sense there.
    skipped: Vec<String>,
}

#[derive(Deserialize)]
struct Mutation {
    fault: String,
    caught: bool,
    /// The scenarios that turned red, by ID or by ID with parameters.
    by: Vec<String>,
    /// The scenarios that claim it and make no sense on the cluster that it was tried on.
    #[serde(default)]
    skipped: Vec<String>,
    /// The scenarios that claim it and were left out, as one was enough.
    #[serde(default, rename = "leftOut")]
    left_out: Vec<String>,
}

pub(crate) fn check(workspace: &Workspace, path: &Utf8Path) -> Result<Tally> {
    let text = fs_err::read_to_string(path)?;
    let found: Mutations = serde_json::from_str(&text).with_context(|| format!("reading {path}"))?;
    let names: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
    Ok(judge(&found, &names, &suite::load(workspace)?.scenarios))
}

fn judge(found: &Mutations, faults: &[&str], scenarios: &[Scenario]) -> Tally {
    let mut tally = Tally::default();
    for fault in faults {
        let claimed = suite::claims(scenarios, fault);
        tally.add(format!("{fault} turns red exactly what claims it"), findings(found, fault, &claimed));
    }
    tally
}

fn findings(found: &Mutations, fault: &str, claimed: &BTreeSet<&str>) -> Vec<String> {
    if let Some(not_shown) = found.not_shown.iter().find(|not_shown| not_shown.fault == fault) {
        let skipped: BTreeSet<&str> = not_shown.skipped.iter().map(String::as_str).collect();
        let could = claimed.difference(&skipped);
        return could.map(|id| format!("{id} claims it and could have shown it")).collect();
    }
    let Some(mutation) = found.mutations.iter().find(|mutation| mutation.fault == fault) else {
        return vec!["it was not tried".to_owned()];
    };
    let red: BTreeSet<&str> = mutation.by.iter().map(|by| scenario_id(by)).collect();
    let not_run = |id: &&&str| mutation.skipped.iter().chain(&mutation.left_out).all(|other| other != **id);
    let missed = claimed.difference(&red).filter(not_run);
    let missed = missed.map(|id| format!("{id} claims it and stayed green"));
    let surprised = red.difference(claimed).map(|id| format!("{id} turned red and does not claim it"));
    let uncaught = (!mutation.caught).then(|| "nothing caught it".to_owned());
    uncaught.into_iter().chain(missed).chain(surprised).collect()
}

/// `PS-02` of `PS-02[registry=plain]`.
fn scenario_id(key: &str) -> &str {
    key.split(['[', ' ']).next().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::exactly(r#"{"fault": "f", "caught": true, "by": ["A-1[x=1]", "A-1[x=2]", "A-2"]}"#, &[])]
    #[case::missed(r#"{"fault": "f", "caught": true, "by": ["A-1"]}"#, &["A-2 claims it and stayed green"])]
    #[case::surprised(
        r#"{"fault": "f", "caught": true, "by": ["A-1", "A-2", "A-3"]}"#,
        &["A-3 turned red and does not claim it"]
    )]
    #[case::uncaught(
        r#"{"fault": "f", "caught": false, "by": []}"#,
        &["nothing caught it", "A-1 claims it and stayed green", "A-2 claims it and stayed green"]
    )]
    #[case::skipped(r#"{"fault": "f", "caught": true, "by": ["A-1"], "skipped": ["A-2"]}"#, &[])]
    #[case::not_tried(r#"{"fault": "g", "caught": true, "by": ["A-1", "A-2"]}"#, &["it was not tried"])]
    fn a_fault_turns_exactly_its_scenarios_red(#[case] mutation: &str, #[case] expected: &[&str]) {
        let found = serde_json::from_str(&format!(r#"{{"mutations": [{mutation}]}}"#)).unwrap();
        assert_eq!(findings(&found, "f", &BTreeSet::from(["A-1", "A-2"])), expected);
    }

    #[rstest]
    #[case::all_skipped(r#"["A-1", "A-2"]"#, &[])]
    #[case::one_left(r#"["A-1"]"#, &["A-2 claims it and could have shown it"])]
    fn a_fault_that_the_cluster_cannot_show_is_none_that_was_missed(#[case] skipped: &str, #[case] expected: &[&str]) {
        let text = format!(r#"{{"mutations": [], "notShown": [{{"fault": "f", "skipped": {skipped}}}]}}"#);
        let found = serde_json::from_str(&text).unwrap();
        assert_eq!(findings(&found, "f", &BTreeSet::from(["A-1", "A-2"])), expected);
    }
}
