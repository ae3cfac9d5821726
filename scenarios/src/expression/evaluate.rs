//! Whether an expression holds.

use std::cmp::Ordering;

use serde_json::Value;

use super::lexer::Comparison;
use super::parser::{Node, Operand};
use super::version::Version;

pub(super) fn holds(node: &Node, fields: &Value) -> bool {
    match node {
        Node::Any(terms) => terms.iter().any(|term| holds(term, fields)),
        Node::All(terms) => terms.iter().all(|term| holds(term, fields)),
        Node::Not(term) => !holds(term, fields),
        Node::Id(id) => ["id", "key"].iter().any(|field| fields.get(field).and_then(Value::as_str) == Some(id)),
        Node::Compare { field, comparison, value, .. } => compare(lookup(fields, field), *comparison, value),
    }
}

fn lookup<'a>(fields: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(fields, |value, key| value.get(key)).filter(|value| !value.is_null())
}

fn compare(found: Option<&Value>, comparison: Comparison, operand: &Operand) -> bool {
    if comparison == Comparison::NotEqual {
        return !compare(found, Comparison::Equal, operand);
    }
    match found {
        None => false,
        Some(Value::Array(elements)) => elements.iter().any(|element| compare_scalar(element, comparison, operand)),
        Some(value) => compare_scalar(value, comparison, operand),
    }
}

fn compare_scalar(value: &Value, comparison: Comparison, operand: &Operand) -> bool {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return false,
    };
    if let Some(pattern) = &operand.pattern {
        return pattern.is_match(&text);
    }
    let order = match (&operand.version, Version::parse(&text)) {
        (Some(bound), Some(version)) => Some(version.compare(bound)),
        _ => None,
    };
    match comparison {
        Comparison::Equal => text == operand.text || order == Some(Ordering::Equal),
        Comparison::AtLeast => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        Comparison::AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::Less => order == Some(Ordering::Less),
        // Both were answered above: `!=` as the opposite of `==`, `~` by its pattern.
        Comparison::NotEqual | Comparison::Matches => false,
    }
}
