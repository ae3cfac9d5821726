//! The pull-secret override of one sandbox.
//!
//! A list of `{name}` objects is the canonical form; a list of strings is normalised to it. An empty list means explicitly
//! none, null or absence means the driver's default. Everything else is refused with the key's path.

use serde_json::Value;

use super::fields::{Fields, kind_of};
use super::{InvalidRequest, quoted};
use crate::names;

/// The most pull secrets one sandbox may name.
pub const MAXIMUM_PULL_SECRETS: usize = 16;

/// The key, the same in both blocks.
const KEY: &str = "image_pull_secrets";
const EXPECTED: &str = "a list of {name} objects or of strings";

/// The override under `image_pull_secrets`; none means the driver's default.
pub(super) fn parse(fields: &Fields<'_>) -> Result<Option<Vec<String>>, InvalidRequest> {
    match parse_strictly(fields) {
        Err(_) if fields.faults().accepts_malformed_override() => Ok(None),
        outcome => outcome,
    }
}

fn parse_strictly(fields: &Fields<'_>) -> Result<Option<Vec<String>>, InvalidRequest> {
    let Some(list) = fields.list(KEY, EXPECTED)? else {
        return Ok(None);
    };
    if list.len() > MAXIMUM_PULL_SECRETS {
        return Err(
            fields.invalid(KEY, format!("names {} secrets; at most {MAXIMUM_PULL_SECRETS} are allowed", list.len()))
        );
    }
    let mut names: Vec<String> = Vec::with_capacity(list.len());
    for (index, entry) in list.iter().enumerate() {
        let at = |problem: String| fields.invalid(&format!("{KEY}[{index}]"), problem);
        let name = entry_name(entry).map_err(at)?;
        if let Some(problem) = names::subdomain_problem(name) {
            return Err(at(format!("name {} {problem}", quoted(name))));
        }
        if names.iter().any(|known| known == name) {
            return Err(at(format!("names {} a second time", quoted(name))));
        }
        names.push(name.to_owned());
    }
    Ok(Some(names))
}

fn entry_name(entry: &Value) -> Result<&str, String> {
    match entry {
        Value::String(name) => Ok(name),
        Value::Object(object) => {
            if let Some(key) = object.keys().find(|key| key.as_str() != "name") {
                return Err(format!("unknown field {}; expected only name", quoted(key)));
            }
            match object.get("name") {
                Some(Value::String(name)) => Ok(name),
                Some(other) => Err(format!("name: expected a string, found {}", kind_of(other))),
                None => Err("name is required".to_owned()),
            }
        }
        other => Err(format!("expected a {{name}} object or a string, found {}", kind_of(other))),
    }
}
