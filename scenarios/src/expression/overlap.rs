//! Whether conditions can hold at once.
//!
//! All are tried on every combination of values at which one of their comparisons changes its mind: each value that is
//! written, its neighbours among versions, nothing at all, and for a fact that is a list, all of them. That decides it
//! unless a regular expression fits no text that could be made from it, or there are too many combinations.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

use super::evaluate;
use super::lexer::Comparison;
use super::parser::Node;
use crate::Facts;

/// More combinations than this are not tried: no two conditions that a person wrote have as many.
const MOST: usize = 20_000;

/// Whether some fields fulfil all of them, those of `known` being as they are there. None where that is not decided.
pub(super) fn can_hold(nodes: &[&Node], known: &Value) -> Option<bool> {
    let mut values: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let mut decided = true;
    for node in nodes {
        node.visit(&mut |field, comparison, text| {
            decided &= collect(values.entry(field).or_default(), comparison, text);
        });
    }
    for (field, candidates) in &mut values {
        match field.split('.').try_fold(known, |value, key| value.get(key)) {
            Some(value) if !value.is_null() => *candidates = vec![value.clone()],
            _ => complete(field, candidates),
        }
    }
    let combinations = values.values().try_fold(1_usize, |product, candidates| product.checked_mul(candidates.len()));
    let combinations = combinations.filter(|number| *number <= MOST)?;
    let holds = (0..combinations).any(|number| {
        let fields = combination(&values, number);
        nodes.iter().all(|node| evaluate::holds(node, &fields))
    });
    (holds || decided).then_some(holds)
}

/// What a comparison with `text` can be changed by; whether that is all that can.
fn collect(candidates: &mut Vec<Value>, comparison: Comparison, text: &str) -> bool {
    if comparison == Comparison::Matches {
        // A literal between anchors, as conditions have it, fits itself.
        let literal = text.trim_start_matches('^').trim_end_matches('$').replace('\\', "");
        let fits = Regex::new(text).is_ok_and(|pattern| pattern.is_match(&literal));
        candidates.push(Value::from(literal));
        return fits;
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
    true
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
        assert_eq!(can_hold(&[&left, &right], &Value::Null), Some(expected));
        assert_eq!(can_hold(&[&right, &left], &Value::Null), Some(expected));
    }

    #[rstest]
    #[case::a_literal(r"^1\.36\.", Some(true))]
    #[case::no_literal(r"^1\.3[67]\.", None)]
    fn a_regular_expression_excludes_nothing_that_cannot_be_made_from_it(
        #[case] pattern: &str,
        #[case] expected: Option<bool>,
    ) {
        let node = parse(&format!("runtime.version ~ {}", Value::from(pattern))).unwrap();
        assert_eq!(can_hold(&[&node], &Value::Null), expected);
    }

    #[test]
    fn too_many_combinations_decide_nothing() {
        let fields =
            ["kubernetes", "runtime.version", "agentSandbox.release", "gates.ImageVolume", "profile", "provider"];
        let text: Vec<String> =
            fields.iter().map(|field| format!("({field} == 1.1 || {field} == 2.2 || {field} == 3.3)")).collect();
        let node = parse(&text.join(" && ")).unwrap();
        assert_eq!(can_hold(&[&node], &Value::Null), None);
    }

    #[rstest]
    #[case("kubernetes >= 1.35 && capabilities.credentialCheck == bypassed", true)]
    #[case("kubernetes < 1.35 && capabilities.credentialCheck == bypassed", false)]
    #[case("runtime.name == containerd || kubernetes < 1.35", false)]
    #[case("capabilities.imageVolume != works", true)]
    #[case("agentSandbox.served ~ v1alpha1", true)]
    fn what_is_known_rules_out_and_what_is_unknown_does_not(#[case] text: &str, #[case] expected: bool) {
        let known = serde_json::json!({ "kubernetes": "1.36.4", "runtime": { "name": "cri-o" } });
        assert_eq!(can_hold(&[&parse(text).unwrap()], &known), Some(expected));
    }

    #[test]
    fn what_always_holds_overlaps_with_everything_that_can_hold() {
        let possible = parse("kubernetes >= 1.35").unwrap();
        let impossible = parse("kubernetes >= 1.35 && kubernetes < 1.34").unwrap();
        assert_eq!(can_hold(&[], &Value::Null), Some(true));
        assert_eq!(can_hold(&[&possible], &Value::Null), Some(true));
        assert_eq!(can_hold(&[&impossible], &Value::Null), Some(false));
    }
}
