//! Whether a check holds for what was observed.

use std::fmt::Write as _;

use regex::Regex;
use serde_json::Value;

use crate::language::{Matcher, Plain};
use crate::path::{Found, Path};

/// Longer values are cut in reasons; the whole value is in the evidence.
const LONGEST_SHOWN: usize = 160;

/// Why a check does not hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mismatch {
    /// Where, with every position named.
    pub(crate) at: String,
    /// What was there instead, in words.
    pub(crate) found: String,
}

/// Whether `matcher` holds for what `path` leads to.
///
/// Below `[*]` it must hold for every element.
/// Below `[key=value]` it must hold for one of the selected elements;
/// where the matcher says that something is *not* there, for all of them.
pub(crate) fn check(matcher: &Matcher, path: &Path, observations: &Value) -> Result<(), Mismatch> {
    let other = matcher.other_path().map(|path| single(path, observations)).transpose()?;
    holds(matcher, other, &path.find(observations))
}

/// The one value at the other path of `sameAs` and `mentions`.
fn single<'a>(path: &str, observations: &'a Value) -> Result<&'a Value, Mismatch> {
    let found = path.parse::<Path>().map(|path| path.find(observations));
    match found {
        Ok(Found::Value { value, .. }) => Ok(value),
        Ok(Found::Selected(found)) => match found.into_iter().next() {
            Some(Found::Value { value, .. }) => Ok(value),
            _ => Err(nothing_at(path)),
        },
        _ => Err(nothing_at(path)),
    }
}

fn nothing_at(path: &str) -> Mismatch {
    Mismatch { at: path.to_owned(), found: "nothing".to_owned() }
}

fn holds(matcher: &Matcher, other: Option<&Value>, found: &Found<'_>) -> Result<(), Mismatch> {
    match found {
        Found::Value { at, value } => {
            if holds_for(matcher, other, value) {
                Ok(())
            } else {
                Err(Mismatch { at: at.clone(), found: describe(matcher, value) })
            }
        }
        Found::Missing { at } => match matcher {
            Matcher::Absent | Matcher::Empty => Ok(()),
            _ => Err(nothing_at(at)),
        },
        Found::Every(every) => every.iter().try_for_each(|found| holds(matcher, other, found)),
        Found::Selected(selected) if matcher.is_negative() => {
            selected.iter().try_for_each(|found| holds(matcher, other, found))
        }
        Found::Selected(selected) => {
            let mut mismatches = Vec::new();
            for found in selected {
                match holds(matcher, other, found) {
                    Ok(()) => return Ok(()),
                    Err(mismatch) => mismatches.push(mismatch),
                }
            }
            let at = mismatches.first().map(|mismatch| mismatch.at.clone()).unwrap_or_default();
            let found: Vec<String> = mismatches.into_iter().map(|mismatch| mismatch.found).collect();
            Err(Mismatch { at, found: found.join("; ") })
        }
    }
}

fn holds_for(matcher: &Matcher, other: Option<&Value>, value: &Value) -> bool {
    match matcher {
        Matcher::Equals(expected) => equal(value, expected),
        Matcher::NotEquals(unwanted) => !equal(value, unwanted),
        Matcher::OneOf(choices) => choices.iter().any(|choice| equal(value, choice)),
        Matcher::Contains(part) => contains(value, part),
        Matcher::NotContains(part) => !value.is_null() && !contains(value, part),
        Matcher::Matches(pattern) => Regex::new(pattern).is_ok_and(|pattern| matches(value, &pattern)),
        Matcher::Present => !value.is_null(),
        Matcher::Absent => value.is_null(),
        Matcher::Empty => elements(value) == Some(0) || value.is_null() || value == "",
        Matcher::Count(number) => elements(value).is_some_and(|count| count as u64 == *number),
        Matcher::AtLeast(bound) => value.as_f64().is_some_and(|number| number >= *bound),
        Matcher::AtMost(bound) => value.as_f64().is_some_and(|number| number <= *bound),
        Matcher::SameAs(_) => other.is_some_and(|other| equal(value, other)),
        Matcher::Mentions(_) => other.and_then(Value::as_str).is_some_and(|text| mentions(value, text)),
    }
}

fn elements(value: &Value) -> Option<usize> {
    match value {
        Value::Array(elements) => Some(elements.len()),
        Value::Object(fields) => Some(fields.len()),
        _ => None,
    }
}

/// Equality of JSON, with 1 equal to 1.0.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| equal(value, other)))
        }
        _ => left == right,
    }
}

/// A text contains a text, a list an element (an element that is an object need only have the fields), an object fields.
fn contains(value: &Value, part: &Value) -> bool {
    match (value, part) {
        (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
        (Value::Array(elements), part) => elements.iter().any(|element| includes(element, part)),
        (Value::Object(_), Value::Object(_)) => includes(value, part),
        _ => false,
    }
}

fn includes(value: &Value, part: &Value) -> bool {
    match (value, part) {
        (Value::Object(fields), Value::Object(wanted)) => {
            wanted.iter().all(|(key, part)| fields.get(key).is_some_and(|value| includes(value, part)))
        }
        _ => equal(value, part),
    }
}

/// A text, number or truth value matches as text; a list matches when one of its elements does.
fn matches(value: &Value, pattern: &Regex) -> bool {
    match value {
        Value::String(text) => pattern.is_match(text),
        Value::Number(_) | Value::Bool(_) => pattern.is_match(&value.to_string()),
        Value::Array(elements) => elements.iter().any(|element| matches(element, pattern)),
        Value::Null | Value::Object(_) => false,
    }
}

fn mentions(value: &Value, text: &str) -> bool {
    match value {
        Value::String(own) => !text.is_empty() && own.contains(text),
        Value::Array(elements) => elements.iter().any(|element| mentions(element, text)),
        Value::Object(fields) => fields.values().any(|field| mentions(field, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn describe(matcher: &Matcher, value: &Value) -> String {
    match (matcher, elements(value)) {
        (Matcher::Count(_), Some(1)) => format!("1: {}", shown(value)),
        (Matcher::Count(_), Some(count)) => format!("{count}: {}", shown(value)),
        _ => shown(value),
    }
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "null".to_owned(),
        other => Plain(other).to_string(),
    };
    let Some((cut, _)) = text.char_indices().nth(LONGEST_SHOWN) else { return text };
    let mut shown = text[..cut].to_owned();
    // A String takes every write.
    let _ = write!(shown, "… ({} characters)", text.chars().count());
    shown
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn seen() -> Value {
        json!({
            "create": {"code": "InvalidArgument", "message": "platform_config.image_pull_secrets: not a list"},
            "cases": {"a": {"code": "OK"}, "b": {"code": "Internal"}},
            "none": {"list": [], "text": "", "null": null, "object": {}},
            "pod": {
                "secrets": [{"name": "mine"}],
                "events": [
                    {"reason": "Failed", "message": "Failed to pull image"},
                    {"reason": "Failed", "message": "Error: ErrImagePull"},
                    {"reason": "Pulling", "message": "Pulling image"},
                ],
                "containers": [{"name": "agent", "ready": true, "restarts": 0}],
            },
            "log": ["starting", "unknown method 'tarball'"],
            "other": {"code": "InvalidArgument", "number": 3},
        })
    }

    fn run(at: &str, matcher: &Matcher) -> Result<(), Mismatch> {
        check(matcher, &at.parse().unwrap(), &seen())
    }

    #[rstest]
    #[case("create.code", Matcher::Equals(json!("InvalidArgument")))]
    #[case("create.code", Matcher::NotEquals(json!("OK")))]
    #[case("create.code", Matcher::OneOf(vec![json!("OK"), json!("InvalidArgument")]))]
    #[case("create.code", Matcher::SameAs("other.code".into()))]
    #[case("create.message", Matcher::Contains(json!("image_pull_secrets")))]
    #[case("create.message", Matcher::NotContains(json!("panicked")))]
    #[case("create.message", Matcher::Matches("^platform_config".into()))]
    #[case("cases[*].code", Matcher::Present)]
    #[case("none.list", Matcher::Empty)]
    #[case("none.text", Matcher::Empty)]
    #[case("none.null", Matcher::Empty)]
    #[case("none.object", Matcher::Empty)]
    #[case("none.missing", Matcher::Empty)]
    #[case("none.null", Matcher::Absent)]
    #[case("none.missing.deeper", Matcher::Absent)]
    #[case("none.list", Matcher::Count(0))]
    #[case("pod.secrets", Matcher::Equals(json!([{"name": "mine"}])))]
    #[case("pod.secrets", Matcher::Contains(json!({"name": "mine"})))]
    #[case("pod.secrets", Matcher::NotContains(json!({"name": "theirs"})))]
    #[case("pod.containers[0]", Matcher::Contains(json!({"name": "agent", "restarts": 0.0})))]
    #[case("pod.events[reason=Failed].message", Matcher::Contains(json!("ErrImagePull")))]
    #[case("pod.events[reason=Failed].message", Matcher::NotContains(json!("BackOff")))]
    #[case("pod.events[reason=BackOff]", Matcher::Absent)]
    #[case("pod.containers[ready=true].name", Matcher::Equals(json!("agent")))]
    #[case("log", Matcher::Matches("tarball".into()))]
    #[case("pod", Matcher::Mentions("pod.containers[0].name".into()))]
    #[case("cases", Matcher::Mentions("cases.a.code".into()))]
    #[case("other.number", Matcher::AtLeast(3.0))]
    #[case("other.number", Matcher::AtMost(3.0))]
    fn holds_for_what_is_there(#[case] at: &str, #[case] matcher: Matcher) {
        assert_eq!(run(at, &matcher), Ok(()));
    }

    #[rstest]
    #[case("create.code", Matcher::Equals(json!("OK")), "create.code", "InvalidArgument")]
    #[case("cases[*].code", Matcher::Equals(json!("OK")), "cases.b.code", "Internal")]
    #[case("nowhere.code", Matcher::Equals(json!("OK")), "nowhere", "nothing")]
    #[case("none.list[*].x", Matcher::Present, "none.list[*]", "nothing")]
    #[case("none.missing", Matcher::NotContains(json!("x")), "none.missing", "nothing")]
    #[case("none.null", Matcher::NotContains(json!("x")), "none.null", "null")]
    #[case("none.missing", Matcher::NotEquals(json!("x")), "none.missing", "nothing")]
    #[case("none.missing", Matcher::Count(0), "none.missing", "nothing")]
    #[case("none.text", Matcher::Contains(json!(1)), "none.text", "\"\"")]
    #[case("pod.secrets", Matcher::Count(2), "pod.secrets", "1: [{\"name\":\"mine\"}]")]
    #[case("pod.secrets", Matcher::Absent, "pod.secrets", "[{\"name\":\"mine\"}]")]
    #[case(
        "pod.events[reason=Failed].message", Matcher::Equals(json!("x")),
        "pod.events[reason=Failed].message", "\"Failed to pull image\"; \"Error: ErrImagePull\""
    )]
    #[case(
        "pod.events[reason=Failed].message", Matcher::NotContains(json!("ErrImagePull")),
        "pod.events[reason=Failed].message", "\"Error: ErrImagePull\""
    )]
    #[case("pod.events[reason=BackOff].message", Matcher::Present, "pod.events[reason=BackOff]", "nothing")]
    #[case("create.code", Matcher::SameAs("cases.a.code".into()), "create.code", "InvalidArgument")]
    #[case("create.code", Matcher::SameAs("cases.z.code".into()), "cases.z.code", "nothing")]
    #[case("create.message", Matcher::Mentions("pod.containers[0].name".into()), "create.message", "\"platform_config.image_pull_secrets: not a list\"")]
    #[case("create.message", Matcher::Mentions("none.text".into()), "create.message", "\"platform_config.image_pull_secrets: not a list\"")]
    #[case("create.code", Matcher::AtLeast(1.0), "create.code", "InvalidArgument")]
    fn says_what_is_there_instead(
        #[case] at: &str,
        #[case] matcher: Matcher,
        #[case] place: &str,
        #[case] found: &str,
    ) {
        assert_eq!(run(at, &matcher), Err(Mismatch { at: place.to_owned(), found: found.to_owned() }));
    }

    #[test]
    fn a_long_value_is_cut() {
        let seen = json!({"log": "é".repeat(1000)});
        let mismatch = check(&Matcher::Absent, &"log".parse().unwrap(), &seen).unwrap_err();
        assert!(mismatch.found.ends_with("… (1000 characters)"), "{}", mismatch.found);
        assert!(mismatch.found.chars().count() < 200);
    }
}
