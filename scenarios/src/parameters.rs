//! Puts the values of a scenario's parameters in place of `${param.NAME}`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::language::Parameters;
use crate::nearest::{did_you_mean, or_list};
use crate::source::Step;

/// A `${...}` that means nothing, with the place of the text it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnknownReference {
    pub(crate) path: Vec<Step>,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// One substitution over a scenario file.
#[derive(Debug)]
pub(crate) struct Substitution<'a> {
    parameters: &'a Parameters,
    /// The names of parameters that were put in place.
    pub(crate) used: BTreeSet<String>,
    pub(crate) unknown: Vec<UnknownReference>,
}

/// A piece of a text.
enum Piece<'t> {
    Text(&'t str),
    /// What stands between `${` and `}`.
    Reference(&'t str),
}

impl<'a> Substitution<'a> {
    pub(crate) fn new(parameters: &'a Parameters) -> Self {
        Self { parameters, used: BTreeSet::new(), unknown: Vec::new() }
    }

    /// A copy of `value` with the parameters in place. `path` is where the value stands in its file.
    pub(crate) fn apply(&mut self, value: &Value, path: &mut Vec<Step>) -> Value {
        match value {
            Value::String(text) => self.apply_text(text, path),
            Value::Array(elements) => elements
                .iter()
                .enumerate()
                .map(|(position, element)| {
                    path.push(Step::Index(position));
                    let element = self.apply(element, path);
                    path.pop();
                    element
                })
                .collect(),
            Value::Object(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(key, element)| {
                        path.push(Step::Key(key.clone()));
                        let element = self.apply(element, path);
                        path.pop();
                        (key.clone(), element)
                    })
                    .collect(),
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    /// A text that is one reference becomes the parameter's value; inside a longer text the value is written out.
    fn apply_text(&mut self, text: &str, path: &[Step]) -> Value {
        let pieces = pieces(text);
        if let [Piece::Reference(reference)] = pieces[..] {
            return self.parameter(reference, path).unwrap_or_else(|| Value::String(text.to_owned()));
        }
        let mut whole = String::with_capacity(text.len());
        for piece in pieces {
            match piece {
                Piece::Text(text) => whole.push_str(text),
                Piece::Reference(reference) => match self.parameter(reference, path) {
                    Some(Value::String(text)) => whole.push_str(&text),
                    Some(value) => whole.push_str(&value.to_string()),
                    None => whole.extend(["${", reference, "}"]),
                },
            }
        }
        Value::String(whole)
    }

    /// The value of `param.NAME`; none for `image.NAME` and `volume.NAME`, which the harness replaces, and for what means nothing.
    fn parameter(&mut self, reference: &str, path: &[Step]) -> Option<Value> {
        let error =
            |message: String, help: String| UnknownReference { path: path.to_owned(), message, help: Some(help) };
        if let Some(name) = reference.strip_prefix("param.") {
            if let Some(value) = self.parameters.get(name) {
                self.used.insert(name.to_owned());
                return Some(value.clone());
            }
            let names = || self.parameters.keys().map(String::as_str);
            let help =
                did_you_mean(name, names()).unwrap_or_else(|| format!("the parameters here are {}", or_list(names())));
            self.unknown.push(error(format!("unknown parameter `{name}`"), help));
            return None;
        }
        let in_config =
            path.iter().any(|step| matches!(step, Step::Key(key) if key == "platformConfig" || key == "driverConfig"));
        let in_settings = path.iter().any(|step| matches!(step, Step::Key(key) if key == "settings"));
        let is_left =
            (in_config && reference.starts_with("image.")) || (in_settings && reference.starts_with("volume."));
        if !is_left {
            let help = "`${param.NAME}` can stand anywhere, `${image.NAME}` in `platformConfig` and `driverConfig`, \
                        `${volume.NAME}` in `settings`";
            self.unknown.push(error(format!("unknown reference `${{{reference}}}`"), help.to_owned()));
        }
        None
    }
}

/// The names of the images that `${image.NAME}` refers to in any text of `value`, in order.
pub(crate) fn image_references(value: &Value) -> Vec<String> {
    references(value, "image.")
}

/// The names of the volumes that `${volume.NAME}` refers to in any text of `value`, in order.
pub(crate) fn volume_references(value: &Value) -> Vec<String> {
    references(value, "volume.")
}

fn references(value: &Value, kind: &str) -> Vec<String> {
    match value {
        Value::String(text) => pieces(text)
            .into_iter()
            .filter_map(|piece| match piece {
                Piece::Reference(reference) => reference.strip_prefix(kind).map(str::to_owned),
                Piece::Text(_) => None,
            })
            .collect(),
        Value::Array(elements) => elements.iter().flat_map(|element| references(element, kind)).collect(),
        Value::Object(fields) => fields.values().flat_map(|field| references(field, kind)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else { break };
        if start > 0 {
            pieces.push(Piece::Text(&rest[..start]));
        }
        pieces.push(Piece::Reference(&rest[start + 2..start + length]));
        rest = &rest[start + length + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parameters() -> Parameters {
        match json!({"registry": "plain", "count": 2, "list": ["a"]}) {
            Value::Object(parameters) => parameters,
            _ => unreachable!(),
        }
    }

    #[test]
    fn a_text_that_is_one_reference_becomes_the_value() {
        let parameters = parameters();
        let mut substitution = Substitution::new(&parameters);
        let value = json!({
            "a": "${param.registry}", "b": ["${param.count}", 1], "c": "${param.list}",
            "d": "x-${param.registry}-${param.count}!",
        });
        assert_eq!(
            substitution.apply(&value, &mut Vec::new()),
            json!({"a": "plain", "b": [2, 1], "c": ["a"], "d": "x-plain-2!"})
        );
        assert_eq!(substitution.unknown, []);
        assert_eq!(substitution.used.len(), 3);
    }

    #[test]
    fn what_means_nothing_is_reported_with_its_place() {
        let parameters = parameters();
        let mut substitution = Substitution::new(&parameters);
        substitution.apply(&json!({"a": ["${param.regstry}"], "b": "${image.x}", "c": "${env.HOME}"}), &mut Vec::new());
        let found: Vec<_> = substitution.unknown.iter().map(|unknown| unknown.message.as_str()).collect();
        assert_eq!(
            found,
            ["unknown parameter `regstry`", "unknown reference `${image.x}`", "unknown reference `${env.HOME}`"]
        );
        assert_eq!(substitution.unknown[0].path, ["a".into(), 0.into()]);
        assert_eq!(substitution.unknown[0].help.as_deref(), Some("did you mean `registry`?"));
    }

    #[test]
    fn images_are_left_to_the_harness() {
        let parameters = parameters();
        let mut substitution = Substitution::new(&parameters);
        let value = json!({"driverConfig": {"supervisor_image": "${image.other}"}});
        assert_eq!(substitution.apply(&value, &mut Vec::new()), value);
        assert_eq!(substitution.unknown, []);
        assert_eq!(image_references(&value), ["other"]);
    }

    proptest! {
        #[test]
        fn a_text_without_references_stays_as_it_is(text in "[^$]{0,20}|[$}{]{0,6}") {
            prop_assume!(!text.contains("${"));
            let parameters = parameters();
            let mut substitution = Substitution::new(&parameters);
            prop_assert_eq!(substitution.apply(&json!(text), &mut Vec::new()), json!(text));
        }
    }
}
