//! Whether two expressions can hold at once.
//!
//! Both are tried on every combination of values at which one of their comparisons changes its mind: each value that is
//! written, its neighbours among versions, nothing at all, and for a fact that is a list, all of them. That decides it
//! for everything but regular expressions that fit other texts than the one that is written; those are taken for
//! excluding each other.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::evaluate;
use super::lexer::Comparison;
use super::parser::Node;
use crate::Facts;

/// More combinations than this are not tried: no two conditions that a person wrote have as many.
const MOST: usize = 20_000;

/// Whether some fields fulfil both; `None` stands for a condition that always holds.
pub(super) fn overlap(left: Option<&Node>, right: Option<&Node>) -> bool {
    let nodes: Vec<&Node> = [left, right].into_iter().flatten().collect();
    let mut values: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for node in &nodes {
        node.visit(&mut |field, comparison, text| collect(values.entry(field).or_default(), comparison, text));
    }
    for (field, candidates) in &mut values {
        complete(field, candidates);
    }
    let combinations = values.values().try_fold(1_usize, |product, candidates| product.checked_mul(candidates.len()));
    let Some(combinations) = combinations.filter(|number| *number <= MOST) else { return false };
    (0..combinations).any(|number| {
        let fields = combination(&values, number);
        nodes.iter().all(|node| evaluate::holds(node, &fields))
    })
}

/// Whether some fields fulfil the condition, those of `known` being as they are there.
pub(super) fn can_hold_with(node: &Node, known: &Value) -> bool {
    let mut values: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    node.visit(&mut |field, comparison, text| collect(values.entry(field).or_default(), comparison, text));
    for (field, candidates) in &mut values {
        match field.split('.').try_fold(known, |value, key| value.get(key)) {
            Some(value) if !value.is_null() => *candidates = vec![value.clone()],
            _ => complete(field, candidates),
        }
    }
    let combinations = values.values().try_fold(1_usize, |product, candidates| product.checked_mul(candidates.len()));
    // What has too many combinations to be tried is not ruled out.
    let Some(combinations) = combinations.filter(|number| *number <= MOST) else { return true };
    (0..combinations).any(|number| evaluate::holds(node, &combination(&values, number)))
}

/// What a comparison with `text` can be changed by.
fn collect(candidates: &mut Vec<Value>, comparison: Comparison, text: &str) {
    if comparison == Comparison::Matches {
        candidates.push(Value::from(text.trim_start_matches('^').trim_end_matches('$')));
        return;
    }
    candidates.push(Value::from(text));
    let (prefix, last) = text.rsplit_once('.').map_or(("", text), |(prefix, last)| (prefix, last));
    if let Ok(number) = last.parse::<u64>() {
        let version = |number: u64| if prefix.is_empty() { number.to_string() } else { format!("{prefix}.{number}") };
        candidates.push(Value::from(version(number + 1)));
        if let Some(smaller) = number.checked_sub(1) {
            candidates.push(Value::from(version(smaller)));
        }
    }
}

/// Adds what is none of the values that are written, and for a list all of them at once.
fn complete(field: &str, candidates: &mut Vec<Value>) {
    candidates.sort_by_key(Value::to_string);
    candidates.dedup();
    if Facts::LISTS.contains(&field) {
        candidates.push(Value::Array(candidates.clone()));
    }
    candidates.extend([Value::Null, Value::from("another")]);
}

/// The combination of that number, as a tree.
fn combination(values: &BTreeMap<&str, Vec<Value>>, mut number: usize) -> Value {
    let mut tree = Map::new();
    for (field, candidates) in values {
        let value = candidates[number % candidates.len()].clone();
        number /= candidates.len();
        put(&mut tree, field, value);
    }
    Value::Object(tree)
}

fn put(tree: &mut Map<String, Value>, field: &str, value: Value) {
    match field.split_once('.') {
        None => {
            tree.insert(field.to_owned(), value);
        }
        Some((parent, rest)) => {
            let inner = tree.entry(parent.to_owned()).or_insert_with(|| Value::Object(Map::new()));
            // A field that is a value here and has fields there fits no cluster: the value gives way.
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::parser::parse;
    use super::*;

    #[rstest]
    #[case("kubernetes >= 1.35", "kubernetes < 1.35", false)]
    #[case("kubernetes >= 1.35", "kubernetes <= 1.35", true)]
    #[case("kubernetes == 1.36.4", "kubernetes == 1.36", true)]
    #[case("kubernetes > 1.34 && kubernetes < 1.36", "kubernetes == 1.35", true)]
    #[case("kubernetes > 1.34 && kubernetes < 1.36", "kubernetes == 1.36", false)]
    #[case("runtime.name == cri-o", "runtime.name == containerd", false)]
    #[case("runtime.name == cri-o", "kubernetes >= 1.35", true)]
    #[case("runtime.name == cri-o && kubernetes < 1.35", "runtime.name != cri-o || kubernetes >= 1.35", false)]
    #[case("gates.ImageVolume == true", "gates.ImageVolume == false", false)]
    #[case("gates.ImageVolume == true", "!(gates.ImageVolume == true)", false)]
    #[case("agentSandbox.served ~ v1alpha1", "agentSandbox.served ~ v1beta1", true)]
    #[case("agentSandbox.served ~ v1alpha1", "!(agentSandbox.served ~ v1alpha1)", false)]
    #[case("capabilities.imageVolume == dropped", "capabilities.imageVolume != works", true)]
    #[case("runtime.version >= 2.1.0", "runtime.version < 2", false)]
    fn conditions_overlap_or_do_not(#[case] left: &str, #[case] right: &str, #[case] expected: bool) {
        let (left, right) = (parse(left).unwrap(), parse(right).unwrap());
        assert_eq!(overlap(Some(&left), Some(&right)), expected);
        assert_eq!(overlap(Some(&right), Some(&left)), expected);
    }

    #[rstest]
    #[case("kubernetes >= 1.35 && capabilities.credentialCheck == bypassed", true)]
    #[case("kubernetes < 1.35 && capabilities.credentialCheck == bypassed", false)]
    #[case("runtime.name == containerd || kubernetes < 1.35", false)]
    #[case("capabilities.imageVolume != works", true)]
    #[case("agentSandbox.served ~ v1alpha1", true)]
    fn what_is_known_rules_out_and_what_is_unknown_does_not(#[case] text: &str, #[case] expected: bool) {
        let known = serde_json::json!({ "kubernetes": "1.36.4", "runtime": { "name": "cri-o" } });
        assert_eq!(can_hold_with(&parse(text).unwrap(), &known), expected);
    }

    #[test]
    fn what_always_holds_overlaps_with_everything_that_can_hold() {
        let possible = parse("kubernetes >= 1.35").unwrap();
        let impossible = parse("kubernetes >= 1.35 && kubernetes < 1.34").unwrap();
        assert!(overlap(None, None));
        assert!(overlap(None, Some(&possible)));
        assert!(!overlap(Some(&impossible), None));
    }
}
