//! Reads a configuration block with the path of every key at hand, so that each refusal names its key.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use super::{InvalidRequest, quoted};
use crate::faults::Faults;

/// A configuration block of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// `template.platform_config`.
    Platform,
    /// `template.driver_config`.
    Driver,
}

impl fmt::Display for Section {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Platform => "platform_config",
            Self::Driver => "kubernetes driver_config",
        })
    }
}

/// One object of a block, with its path.
pub(super) struct Fields<'a> {
    section: Section,
    path: String,
    object: &'a Map<String, Value>,
    faults: &'a Faults,
}

impl<'a> Fields<'a> {
    /// The block itself.
    pub(super) fn root(section: Section, object: &'a Map<String, Value>, faults: &'a Faults) -> Self {
        Self { section, path: String::new(), object, faults }
    }

    /// The faults that are on.
    pub(super) fn faults(&self) -> &'a Faults {
        self.faults
    }

    /// Refuses every key that is not in the list.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), InvalidRequest> {
        if self.faults.accepts_unknown_fields() {
            return Ok(());
        }
        match self.object.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => {
                let expected = known.join(", ");
                Err(self.refusal(format!("unknown field {}; expected one of {expected}", quoted(&self.path_of(key)))))
            }
        }
    }

    /// The object under a key; null counts as absent.
    pub(super) fn object(&self, key: &str) -> Result<Option<Fields<'a>>, InvalidRequest> {
        let found = self.typed(key, "an object", Value::as_object)?;
        Ok(found.map(|object| self.inner(self.path_of(key), object)))
    }

    /// The objects of the list under a key; null counts as an empty list.
    pub(super) fn objects(&self, key: &str) -> Result<Vec<Fields<'a>>, InvalidRequest> {
        let list = self.list(key, "a list of objects")?.unwrap_or_default();
        list.iter()
            .enumerate()
            .map(|(index, entry)| {
                let object = entry.as_object().ok_or_else(|| {
                    let problem = format!("expected an object, found {}", kind_of(entry));
                    self.invalid(&format!("{key}[{index}]"), problem)
                })?;
                Ok(self.inner(format!("{}[{index}]", self.path_of(key)), object))
            })
            .collect()
    }

    /// What must not be left out.
    pub(super) fn required<T>(&self, found: Option<T>, key: &str) -> Result<T, InvalidRequest> {
        found.ok_or_else(|| self.invalid(key, "is required"))
    }

    /// The text under a key; null counts as absent.
    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, InvalidRequest> {
        self.typed(key, "a string", Value::as_str)
    }

    /// The text under a key that must follow a rule; null counts as absent.
    pub(super) fn checked_text(
        &self,
        key: &str,
        rule: impl Fn(&str) -> Option<&'static str>,
    ) -> Result<Option<String>, InvalidRequest> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        match rule(text) {
            None => Ok(Some(text.to_owned())),
            Some(problem) => Err(self.invalid(key, format!("{} {problem}", quoted(text)))),
        }
    }

    /// The boolean under a key; null counts as absent.
    pub(super) fn boolean(&self, key: &str) -> Result<Option<bool>, InvalidRequest> {
        self.typed(key, "a boolean", Value::as_bool)
    }

    /// The whole number under a key; null counts as absent.
    pub(super) fn whole_number(&self, key: &str) -> Result<Option<i64>, InvalidRequest> {
        self.typed(key, "a whole number", Value::as_i64)
    }

    /// The list under a key; null counts as absent.
    pub(super) fn list(&self, key: &str, expected: &str) -> Result<Option<&'a [Value]>, InvalidRequest> {
        self.typed(key, expected, |value| value.as_array().map(Vec::as_slice))
    }

    /// The map of texts under a key, each key and value checked; null counts as empty.
    pub(super) fn text_map(
        &self,
        key: &str,
        key_rule: impl Fn(&str) -> Option<&'static str>,
        value_rule: impl Fn(&str) -> Option<&'static str>,
    ) -> Result<BTreeMap<String, String>, InvalidRequest> {
        let Some(inner) = self.object(key)? else {
            return Ok(BTreeMap::new());
        };
        let mut map = BTreeMap::new();
        for (name, value) in inner.object {
            // The key first: only a good one may become part of a path.
            if let Some(problem) = key_rule(name) {
                return Err(self.invalid(key, format!("key {} {problem}", quoted(name))));
            }
            let Some(text) = value.as_str() else {
                return Err(inner.invalid(name, format!("expected a string, found {}", kind_of(value))));
            };
            if let Some(problem) = value_rule(text) {
                return Err(inner.invalid(name, format!("{} {problem}", quoted(text))));
            }
            map.insert(name.clone(), text.to_owned());
        }
        Ok(map)
    }

    /// Every key with its value.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.object.iter()
    }

    /// The refusal of a key's value.
    pub(super) fn invalid(&self, key: &str, problem: impl fmt::Display) -> InvalidRequest {
        self.refusal(format!("{}: {problem}", self.path_of(key)))
    }

    fn inner(&self, path: String, object: &'a Map<String, Value>) -> Self {
        Self { section: self.section, path, object, faults: self.faults }
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, InvalidRequest> {
        match self.object.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match read(value) {
                Some(found) => Ok(Some(found)),
                None => Err(self.invalid(key, format!("expected {expected}, found {}", kind_of(value)))),
            },
        }
    }

    fn refusal(&self, problem: String) -> InvalidRequest {
        InvalidRequest::Config { section: self.section, problem }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// What a value is, in words.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
