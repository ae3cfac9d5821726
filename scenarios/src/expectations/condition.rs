//! The simplest condition that tells some clusters from others.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{Expression, Facts};

/// The subject that rows are about where they name none.
const REFERENCE: &str = "reference";

/// The facts that a condition is made of, those first that say most about why clusters differ.
const FIELDS: &[&str] = &[
    "capabilities.imageVolume",
    "capabilities.credentialCheck",
    "capabilities.imageVolumeSubPath",
    "kubernetes",
    "runtime.name",
    "agentSandbox.served",
    "gates.ImageVolume",
    "agentSandbox.release",
    "provider",
    "runtime.version",
];

/// A condition that holds for all clusters of `these` and for none of `others`; none where there are no others, and
/// where nothing that was probed tells them apart.
pub(super) fn tell_apart(these: &[&Facts], others: &[&Facts]) -> Option<String> {
    if others.is_empty() {
        return None;
    }
    let common: Vec<String> =
        candidates(these, others).into_iter().filter(|text| these.iter().all(|facts| holds(text, facts))).collect();
    let excludes = |text: &str| others.iter().all(|facts| !holds(text, facts));
    if let Some(one) = common.iter().find(|text| excludes(text)) {
        return Some(one.clone());
    }
    let pairs = common
        .iter()
        .enumerate()
        .flat_map(|(position, left)| common[position + 1..].iter().map(move |right| format!("{left} && {right}")));
    pairs.into_iter().find(|text| excludes(text)).or_else(|| each(these).filter(|text| excludes(text)))
}

/// The same condition, for no other subject than the one that was seen. The suite's rows are about every subject: one
/// that excuses a driver of somebody else's must not excuse the reference.
pub(super) fn of_subject(condition: Option<String>, facts: &Facts) -> Option<String> {
    let Some(name) = value(facts, "subject.name").filter(|name| *name != REFERENCE) else { return condition };
    let subject = format!("subject.name == {}", word(&name));
    Some(match condition {
        None => subject,
        Some(text) if text.contains("||") => format!("{subject} && ({text})"),
        Some(text) => format!("{subject} && {text}"),
    })
}

/// A condition that names each of these clusters by itself.
pub(super) fn each(these: &[&Facts]) -> Option<String> {
    let described: BTreeSet<String> = these
        .iter()
        .map(|facts| {
            let parts = ["kubernetes", "runtime.name", "runtime.version", "agentSandbox.release", "provider"];
            let known = parts.iter().filter_map(|field| Some(format!("{field} == {}", word(&value(facts, field)?))));
            known.collect::<Vec<_>>().join(" && ")
        })
        .filter(|text| !text.is_empty())
        .collect();
    let text = described.into_iter().collect::<Vec<_>>().join(" || ");
    (!text.is_empty()).then_some(text)
}

/// Every comparison that could be one of the condition's.
fn candidates(these: &[&Facts], others: &[&Facts]) -> Vec<String> {
    let mut texts = Vec::new();
    for field in FIELDS {
        let mut values: Vec<Value> = Vec::new();
        for value in these.iter().chain(others).filter_map(|facts| value(facts, field)) {
            let elements = if let Value::Array(elements) = value { elements } else { vec![value] };
            values.extend(elements.into_iter().filter(|element| !values.contains(element)).collect::<Vec<_>>());
        }
        for value in &values {
            if Facts::LISTS.contains(field) {
                texts.push(format!("{field} ~ {}", word(value)));
                texts.push(format!("!({field} ~ {})", word(value)));
                continue;
            }
            let minor = value.as_str().filter(|_| *field == "kubernetes").and_then(minor);
            match minor {
                Some(minor) => {
                    texts.extend(["==", ">=", "<="].map(|comparison| format!("{field} {comparison} {minor}")));
                }
                None => texts.extend(["==", "!="].map(|comparison| format!("{field} {comparison} {}", word(value)))),
            }
        }
    }
    texts
}

/// `1.36` of `1.36.4`.
fn minor(version: &str) -> Option<String> {
    let mut parts = version.trim_start_matches('v').split('.');
    Some(format!("{}.{}", parts.next()?, parts.next()?))
}

fn value(facts: &Facts, field: &str) -> Option<Value> {
    let found = field.split('.').try_fold(facts.tree(), |value, key| value.get(key))?;
    (!found.is_null()).then(|| found.clone())
}

/// A value as an expression has it.
fn word(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let plain = !text.is_empty()
        && text.chars().all(|character| character.is_ascii_alphanumeric() || "._-".contains(character));
    if plain { text } else { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) }
}

fn holds(text: &str, facts: &Facts) -> bool {
    Expression::parse(text, Facts::FIELDS).is_ok_and(|expression| expression.matches(facts.tree()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn cluster(words: &str) -> Facts {
        let mut words = words.split(' ');
        let mut next = || words.next().unwrap().to_owned();
        Facts::new(json!({
            "kubernetes": next(),
            "runtime": {"name": next(), "version": next()},
            "capabilities": {"imageVolume": next()},
            "agentSandbox": {"served": next().split('+').collect::<Vec<_>>(), "release": "1.0.3"},
            "provider": "native",
        }))
    }

    #[rstest]
    #[case::everywhere(&["1.36.4 cri-o 1.36.3 works v1beta1"], &[], None)]
    #[case::by_what_it_can_do(
        &["1.34.10 cri-o 1.34.0 dropped v1beta1", "1.33.13 containerd 2.1.9 dropped v1beta1"],
        &["1.36.4 cri-o 1.36.3 works v1beta1"],
        Some("capabilities.imageVolume == dropped")
    )]
    #[case::by_version(
        &["1.34.10 cri-o 1.34.0 works v1beta1", "1.35.8 containerd 2.1.9 works v1beta1"],
        &["1.36.4 cri-o 1.36.3 works v1beta1", "1.37.2 cri-o 1.36.3 works v1beta1"],
        Some("kubernetes <= 1.35")
    )]
    #[case::by_runtime(
        &["1.34.10 containerd 2.1.9 works v1beta1", "1.36.4 containerd 2.3.5 works v1beta1"],
        &["1.34.10 cri-o 1.34.0 works v1beta1", "1.36.4 cri-o 1.36.3 works v1beta1"],
        Some("runtime.name == containerd")
    )]
    #[case::by_a_pair(
        &["1.36.4 containerd 2.3.5 works v1beta1"],
        &["1.34.10 containerd 2.3.5 works v1beta1", "1.36.4 cri-o 1.36.3 works v1beta1"],
        Some("kubernetes == 1.36 && runtime.name == containerd")
    )]
    #[case::by_what_is_served(
        &["1.36.4 cri-o 1.36.3 works v1alpha1+v1beta1"],
        &["1.36.4 cri-o 1.36.3 works v1beta1"],
        Some("agentSandbox.served ~ v1alpha1")
    )]
    #[case::one_by_one(
        &["1.34.10 containerd 2.1.9 works v1beta1", "1.36.4 cri-o 1.36.3 works v1beta1"],
        &["1.34.10 cri-o 1.34.0 works v1beta1", "1.36.4 containerd 2.1.9 works v1beta1"],
        Some(
            "kubernetes == 1.34.10 && runtime.name == containerd && runtime.version == 2.1.9 && agentSandbox.release == 1.0.3 && provider == native \
             || kubernetes == 1.36.4 && runtime.name == cri-o && runtime.version == 1.36.3 && agentSandbox.release == 1.0.3 && provider == native"
        )
    )]
    #[case::not_at_all(&["1.36.4 cri-o 1.36.3 works v1beta1"], &["1.36.4 cri-o 1.36.3 works v1beta1"], None)]
    fn the_simplest_condition_is_found(
        #[case] these: &[&str],
        #[case] others: &[&str],
        #[case] expected: Option<&str>,
    ) {
        let (these, others): (Vec<Facts>, Vec<Facts>) =
            (these.iter().map(|words| cluster(words)).collect(), others.iter().map(|words| cluster(words)).collect());
        let found = tell_apart(&these.iter().collect::<Vec<_>>(), &others.iter().collect::<Vec<_>>());
        assert_eq!(found.as_deref(), expected);
    }
}
