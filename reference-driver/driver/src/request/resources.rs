//! Requests and limits of the agent container.

use std::collections::BTreeMap;

use sandproof_protocol::v1;
use serde_json::Value;

use super::fields::{Fields, kind_of};
use super::{InvalidRequest, check, quoted};
use crate::names;

/// The longest quantity, in bytes.
const QUANTITY_LIMIT: usize = 64;

/// Requests and limits by resource name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// What the scheduler reserves.
    pub requests: BTreeMap<String, String>,
    /// What the container may not exceed.
    pub limits: BTreeMap<String, String>,
}

impl Resources {
    /// The typed fields of a template; a limit without a request is also the request.
    pub(super) fn typed(typed: &v1::DriverResourceRequirements) -> Result<Self, InvalidRequest> {
        let mut resources = Self::default();
        let pairs = [
            ("cpu", &typed.cpu_request, &typed.cpu_limit, "cpu"),
            ("memory", &typed.memory_request, &typed.memory_limit, "memory"),
        ];
        for (name, request, limit, field) in pairs {
            for (kind, quantity) in [("request", request), ("limit", limit)] {
                if !quantity.is_empty() {
                    check(&format!("template.resources.{field}_{kind}"), quantity, quantity_problem)?;
                }
            }
            let request = if request.is_empty() { limit } else { request };
            if !request.is_empty() {
                resources.requests.insert(name.to_owned(), request.clone());
            }
            if !limit.is_empty() {
                resources.limits.insert(name.to_owned(), limit.clone());
            }
        }
        Ok(resources)
    }

    /// The object `{requests, limits}` under a key.
    pub(super) fn parse(fields: &Fields<'_>, key: &str) -> Result<Self, InvalidRequest> {
        let Some(inner) = fields.object(key)? else {
            return Ok(Self::default());
        };
        inner.only(&["requests", "limits"])?;
        Ok(Self { requests: quantities(&inner, "requests")?, limits: quantities(&inner, "limits")? })
    }

    /// Takes from `other` what is not set here.
    pub(crate) fn fill_from(&mut self, other: &Self) {
        for (mine, theirs) in [(&mut self.requests, &other.requests), (&mut self.limits, &other.limits)] {
            for (name, quantity) in theirs {
                mine.entry(name.clone()).or_insert_with(|| quantity.clone());
            }
        }
    }

    /// Whether nothing is set.
    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.limits.is_empty()
    }
}

fn quantities(fields: &Fields<'_>, key: &str) -> Result<BTreeMap<String, String>, InvalidRequest> {
    let Some(inner) = fields.object(key)? else {
        return Ok(BTreeMap::new());
    };
    let mut quantities = BTreeMap::new();
    for (name, value) in inner.entries() {
        if let Some(problem) = names::label_key_problem(name) {
            return Err(fields.invalid(key, format!("key {} {problem}", quoted(name))));
        }
        let quantity = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            other => return Err(inner.invalid(name, format!("expected a quantity, found {}", kind_of(other)))),
        };
        if let Some(problem) = quantity_problem(&quantity) {
            return Err(inner.invalid(name, format!("{} {problem}", quoted(&quantity))));
        }
        quantities.insert(name.clone(), quantity);
    }
    Ok(quantities)
}

/// Why `text` is not a non-negative Kubernetes quantity, or nothing if it is one.
fn quantity_problem(text: &str) -> Option<&'static str> {
    const PROBLEM: &str = "must be a quantity such as 500m, 2 or 1Gi, and not negative";
    if text.len() > QUANTITY_LIMIT {
        return Some(PROBLEM);
    }
    let number = text.strip_prefix('+').unwrap_or(text);
    let end = number.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(number.len());
    let (digits, suffix) = number.split_at(end);
    let digits_are_good =
        digits.bytes().any(|byte| byte.is_ascii_digit()) && digits.bytes().filter(|byte| *byte == b'.').count() <= 1;
    let known = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let suffix_is_good = known.contains(&suffix)
        || suffix.strip_prefix(['e', 'E']).is_some_and(|exponent| {
            let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            (1..=3).contains(&exponent.len()) && exponent.bytes().all(|byte| byte.is_ascii_digit())
        });
    if digits_are_good && suffix_is_good { None } else { Some(PROBLEM) }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1", true)]
    #[case("500m", true)]
    #[case("1.5Gi", true)]
    #[case("1e3", true)]
    #[case("1E-3", true)]
    #[case("2E", true)]
    #[case("", false)]
    #[case("-1", false)]
    #[case(".", false)]
    #[case("1.2.3", false)]
    #[case("1 Gi", false)]
    #[case("1gb", false)]
    #[case("1e", false)]
    fn quantities_are_recognised(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(quantity_problem(text).is_none(), valid);
    }

    #[test]
    fn a_limit_without_a_request_is_also_the_request() {
        let typed = v1::DriverResourceRequirements { memory_limit: "1Gi".to_owned(), ..Default::default() };
        let resources = Resources::typed(&typed).unwrap();
        assert_eq!(resources.requests.get("memory").map(String::as_str), Some("1Gi"));
        assert_eq!(resources.limits.get("memory").map(String::as_str), Some("1Gi"));
        assert!(!resources.requests.contains_key("cpu"));
    }
}
