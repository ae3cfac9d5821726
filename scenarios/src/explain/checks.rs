//! Checks in words.

use serde_json::Value;

use super::{Sentence, code, one_line};
use crate::language::{Check, Matcher};

/// A check: what must be true of what, why, and where that is looked at.
pub(super) fn sentence(check: &Check) -> Sentence {
    let mut text = format!("{} {}", code(&check.at), matcher(&check.matcher));
    if let Some(because) = &check.because {
        text.push_str(", because ");
        text.push_str(&one_line(because));
    }
    if let Some(when) = &check.when {
        text.push_str(" (only where ");
        text.push_str(&code(when));
        text.push(')');
    }
    Sentence::new(text)
}

fn matcher(matcher: &Matcher) -> String {
    match matcher {
        Matcher::Equals(expected) => format!("is {}", value(expected)),
        Matcher::NotEquals(other) => format!("is not {}", value(other)),
        Matcher::OneOf(values) => {
            let values: Vec<String> = values.iter().map(value).collect();
            format!("is one of {}", values.join(", "))
        }
        Matcher::Contains(part) => format!("contains {}", value(part)),
        Matcher::NotContains(part) => format!("is there and does not contain {}", value(part)),
        Matcher::Matches(pattern) => format!("matches {}", code(pattern)),
        Matcher::Present => "is there".to_owned(),
        Matcher::Absent => "is not there".to_owned(),
        Matcher::Empty => "is not there or has nothing in it".to_owned(),
        Matcher::Count(1) => "has 1 element".to_owned(),
        Matcher::Count(number) => format!("has {number} elements"),
        Matcher::AtLeast(number) => format!("is at least {number}"),
        Matcher::AtMost(number) => format!("is at most {number}"),
        Matcher::SameAs(path) => format!("is the same as {}", code(path)),
        Matcher::Mentions(path) => format!("mentions {}", code(path)),
    }
}

/// A value as code; a text without its quotes, unless it is empty.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::String(text) if !text.trim().is_empty() => code(text),
        other => code(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(json!({"at": "create.code", "equals": "OK"}), "`create.code` is `OK`")]
    #[case(json!({"at": "a.b", "equals": ""}), "`a.b` is `\"\"`")]
    #[case(json!({"at": "a.b", "oneOf": [1, "x"]}), "`a.b` is one of `1`, `x`")]
    #[case(
        json!({"at": "a.b", "contains": {"c": 1}, "because": "it must", "when": "kubernetes >= 1.35"}),
        "`a.b` contains `{\"c\":1}`, because it must (only where `kubernetes >= 1.35`)"
    )]
    #[case(json!({"at": "a", "absent": true}), "`a` is not there")]
    #[case(json!({"at": "a", "count": 1}), "`a` has 1 element")]
    #[case(json!({"at": "a", "mentions": "b.c"}), "`a` mentions `b.c`")]
    fn a_check_is_a_sentence(#[case] check: Value, #[case] expected: &str) {
        let check: Check = serde_json::from_value(check).unwrap();
        assert_eq!(sentence(&check).text, expected);
    }
}
