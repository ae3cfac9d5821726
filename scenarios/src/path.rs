//! Paths into observations: `pod.spec.containers[name=agent].image`.
//!
//! Keys are separated by dots; a key with other characters than letters, digits, `-`, `_`, `$` and `/` is put in quotes.
//! `[3]` is an element by position, `[name=agent]` every element whose field `name` has that value,
//! `[*]` every element of a list or every value of an object.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use thiserror::Error;

/// A parsed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    segments: Vec<Segment>,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// A field of an object.
    Key(String),
    /// An element of a list, counted from 0.
    Index(usize),
    /// The elements whose field (a dotted name) has this value.
    Where {
        /// The field's keys.
        field: Vec<String>,
        /// The value, as text.
        value: String,
    },
    /// All elements of a list, or all values of an object.
    All,
}

/// A text that is not a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message} at character {} of the path `{text}`", .position + 1)]
pub struct ParsePathError {
    text: String,
    message: &'static str,
    position: usize,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found<'a> {
    /// A value, and the path to it with every position named.
    Value { at: String, value: &'a Value },
    /// Nothing: the path ends before `at`.
    Missing { at: String },
    /// What `[*]` leads to; never empty.
    Every(Vec<Found<'a>>),
    /// What `[key=value]` leads to; never empty.
    Selected(Vec<Found<'a>>),
}

impl Path {
    /// The segments, first to last; never empty, and the first is a key.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The first key: the name of an observation.
    pub fn observation(&self) -> &str {
        match self.segments.first() {
            Some(Segment::Key(key)) => key,
            _ => "",
        }
    }

    /// What it leads to below `root`.
    pub(crate) fn find<'a>(&self, root: &'a Value) -> Found<'a> {
        walk(root, &self.segments, String::new())
    }
}

fn walk<'a>(value: &'a Value, segments: &[Segment], at: String) -> Found<'a> {
    let Some((segment, rest)) = segments.split_first() else { return Found::Value { at, value } };
    match segment {
        Segment::Key(key) => {
            let at = join(&at, key);
            match value.get(key) {
                Some(inner) => walk(inner, rest, at),
                None => Found::Missing { at },
            }
        }
        Segment::Index(position) => {
            let at = format!("{at}[{position}]");
            match value.get(position) {
                Some(inner) => walk(inner, rest, at),
                None => Found::Missing { at },
            }
        }
        Segment::Where { field, value: wanted } => {
            let selected: Vec<Found<'a>> = elements(value, &at)
                .into_iter()
                .filter(|(_, element)| has_value(element, field, wanted))
                .map(|(_, element)| walk(element, rest, format!("{at}{segment}")))
                .collect();
            if selected.is_empty() {
                Found::Missing { at: format!("{at}{segment}") }
            } else {
                Found::Selected(selected)
            }
        }
        Segment::All => {
            let every: Vec<Found<'a>> =
                elements(value, &at).into_iter().map(|(at, element)| walk(element, rest, at)).collect();
            if every.is_empty() { Found::Missing { at: format!("{at}[*]") } } else { Found::Every(every) }
        }
    }
}

fn elements<'a>(value: &'a Value, at: &str) -> Vec<(String, &'a Value)> {
    match value {
        Value::Array(elements) => {
            elements.iter().enumerate().map(|(position, element)| (format!("{at}[{position}]"), element)).collect()
        }
        Value::Object(fields) => fields.iter().map(|(key, element)| (join(at, key), element)).collect(),
        _ => Vec::new(),
    }
}

fn has_value(element: &Value, field: &[String], wanted: &str) -> bool {
    match field.iter().try_fold(element, |value, key| value.get(key)) {
        Some(Value::String(text)) => text == wanted,
        Some(Value::Bool(value)) => wanted == if *value { "true" } else { "false" },
        Some(Value::Number(number)) => number.to_string() == wanted,
        _ => false,
    }
}

fn join(at: &str, key: &str) -> String {
    let separator = if at.is_empty() { "" } else { "." };
    if is_plain_key(key) { format!("{at}{separator}{key}") } else { format!("{at}{separator}\"{key}\"") }
}

fn is_plain_character(character: char) -> bool {
    character.is_alphanumeric() || "-_$/".contains(character)
}

fn is_plain_key(key: &str) -> bool {
    !key.is_empty() && key.chars().all(is_plain_character)
}

impl FromStr for Path {
    type Err = ParsePathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut segments = Vec::new();
        let mut position = 0;
        let error = |message, position| ParsePathError { text: text.to_owned(), message, position };
        while position < text.len() || segments.is_empty() {
            let rest = &text[position..];
            if let Some(inside) = rest.strip_prefix('[') {
                if segments.is_empty() {
                    return Err(error("a path begins with the name of an observation, not", position));
                }
                let length = inside.find(']').ok_or_else(|| error("the bracket is not closed", position))?;
                let segment = bracketed(&inside[..length]);
                segments.push(segment.ok_or_else(|| error("expected `[*]`, `[0]` or `[key=value]`", position))?);
                position += length + 2;
                continue;
            }
            if !segments.is_empty() {
                if !rest.starts_with('.') {
                    return Err(error("expected `.` or `[`", position));
                }
                position += 1;
            }
            let (key, length) = key(&text[position..]).map_err(|message| error(message, position))?;
            segments.push(Segment::Key(key));
            position += length;
        }
        Ok(Self { segments })
    }
}

/// A key at the start of `text`, and its length there.
fn key(text: &str) -> Result<(String, usize), &'static str> {
    if let Some(quoted) = text.strip_prefix('"') {
        let length = quoted.find('"').ok_or("the quote is not closed")?;
        return Ok((quoted[..length].to_owned(), length + 2));
    }
    let length = text.find(|character| !is_plain_character(character)).unwrap_or(text.len());
    if length == 0 { Err("a key is missing") } else { Ok((text[..length].to_owned(), length)) }
}

fn bracketed(inside: &str) -> Option<Segment> {
    if inside == "*" {
        return Some(Segment::All);
    }
    if let Some((field, value)) = inside.split_once('=') {
        let field: Vec<String> = field.split('.').map(str::to_owned).collect();
        return (!field.iter().any(String::is_empty)).then(|| Segment::Where { field, value: value.to_owned() });
    }
    inside.parse().ok().map(Segment::Index)
}

impl fmt::Display for Segment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) if is_plain_key(key) => formatter.write_str(key),
            Self::Key(key) => write!(formatter, "\"{key}\""),
            Self::Index(position) => write!(formatter, "[{position}]"),
            Self::Where { field, value } => write!(formatter, "[{}={value}]", field.join(".")),
            Self::All => formatter.write_str("[*]"),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.segments.iter().enumerate() {
            if position > 0 && matches!(segment, Segment::Key(_)) {
                formatter.write_str(".")?;
            }
            write!(formatter, "{segment}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("create.code", json!("OK"))]
    #[case("pod.containers[0].name", json!("agent"))]
    #[case("pod.containers[name=proxy].port", json!(1))]
    #[case("pod.containers[port=1].name", json!("proxy"))]
    #[case("pod.labels.\"openshell.ai/managed-by\"", json!("openshell"))]
    #[case("pod.labels.\"a.b\"", json!("c"))]
    #[case("pod.containers[meta.kind=x].name", json!("proxy"))]
    fn leads_to(#[case] text: &str, #[case] expected: Value) {
        let root = json!({
            "create": {"code": "OK"},
            "pod": {
                "labels": {"openshell.ai/managed-by": "openshell", "a.b": "c"},
                "containers": [{"name": "agent"}, {"name": "proxy", "port": 1, "meta": {"kind": "x"}}],
            },
        });
        let path: Path = text.parse().unwrap();
        assert_eq!(path.to_string(), text);
        let value = match path.find(&root) {
            Found::Value { value, .. } => value,
            Found::Selected(found) => match &found[..] {
                [Found::Value { value, .. }] => *value,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        assert_eq!(value, &expected);
    }

    #[rstest]
    #[case("", "a key is missing at character 1")]
    #[case(".a", "a key is missing at character 1")]
    #[case("a.", "a key is missing at character 3")]
    #[case("a..b", "a key is missing at character 3")]
    #[case("[0]", "a path begins with the name of an observation, not at character 1")]
    #[case("a[0", "the bracket is not closed at character 2")]
    #[case("a[x]", "expected `[*]`, `[0]` or `[key=value]` at character 2")]
    #[case("a[=x]", "expected `[*]`, `[0]` or `[key=value]` at character 2")]
    #[case("a.\"b", "the quote is not closed at character 3")]
    #[case("a b", "expected `.` or `[` at character 2")]
    #[case("a[0]b", "expected `.` or `[` at character 5")]
    fn errors_name_the_place(#[case] text: &str, #[case] message: &str) {
        assert_eq!(text.parse::<Path>().unwrap_err().to_string(), format!("{message} of the path `{text}`"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let root = json!({"a": {"list": [{"b": 1}, {}], "none": []}});
        let find = |text: &str| text.parse::<Path>().unwrap().find(&root);
        assert_eq!(find("a.x.y"), Found::Missing { at: "a.x".to_owned() });
        assert_eq!(find("a.none[*].y"), Found::Missing { at: "a.none[*]".to_owned() });
        assert_eq!(
            find("a.list[*].b"),
            Found::Every(vec![
                Found::Value { at: "a.list[0].b".to_owned(), value: &json!(1) },
                Found::Missing { at: "a.list[1].b".to_owned() },
            ])
        );
    }

    proptest! {
        #[test]
        fn a_path_that_parses_prints_to_itself_or_to_the_same_path(text in "[a-z.\"0-9*=\\[\\]]{0,12}") {
            if let Ok(path) = text.parse::<Path>() {
                prop_assert_eq!(path.to_string().parse::<Path>(), Ok(path));
            }
        }
    }
}
