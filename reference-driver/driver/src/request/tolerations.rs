//! Tolerations in Kubernetes' own form, by the rules of its API server (1.36, `ValidateTolerations`).

use serde_json::{Map, Value};

use super::fields::Fields;
use super::{InvalidRequest, quoted};
use crate::names;

/// The keys of a toleration.
const KEYS: [&str; 5] = ["key", "operator", "value", "effect", "tolerationSeconds"];
const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// The tolerations under the key of that name.
pub(super) fn parse(fields: &Fields<'_>) -> Result<Vec<Value>, InvalidRequest> {
    fields.objects("tolerations")?.iter().map(toleration).collect()
}

fn toleration(fields: &Fields<'_>) -> Result<Value, InvalidRequest> {
    fields.only(&KEYS)?;
    let key = fields.text("key")?.unwrap_or_default();
    let operator = fields.text("operator")?.unwrap_or_default();
    let value = fields.text("value")?.unwrap_or_default();
    let effect = fields.text("effect")?.unwrap_or_default();
    let seconds = fields.whole_number("tolerationSeconds")?;

    if !key.is_empty()
        && let Some(problem) = names::label_key_problem(key)
    {
        return Err(fields.invalid("key", format!("{} {problem}", quoted(key))));
    }
    if key.is_empty() && operator != "Exists" {
        return Err(fields.invalid("operator", "must be Exists where key is empty, which tolerates every taint"));
    }
    match operator {
        "Exists" if !value.is_empty() => {
            return Err(fields.invalid("value", "must be empty where operator is Exists"));
        }
        "Exists" => {}
        "" | "Equal" => {
            if let Some(problem) = names::label_value_problem(value) {
                return Err(fields.invalid("value", format!("{} {problem}", quoted(value))));
            }
        }
        other => return Err(fields.invalid("operator", format!("{} is neither Exists nor Equal", quoted(other)))),
    }
    if !effect.is_empty() && !EFFECTS.contains(&effect) {
        return Err(fields.invalid("effect", format!("{} is none of {}", quoted(effect), EFFECTS.join(", "))));
    }
    if seconds.is_some() && effect != "NoExecute" {
        return Err(fields.invalid("tolerationSeconds", "is only allowed where effect is NoExecute"));
    }
    // As it was given, without what was given as null.
    let kept: Map<String, Value> = fields
        .entries()
        .filter(|(key, value)| KEYS.contains(&key.as_str()) && !value.is_null())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Ok(Value::Object(kept))
}
