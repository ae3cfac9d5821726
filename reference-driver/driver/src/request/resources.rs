//! Requests and limits of the agent container.

use std::collections::BTreeMap;

use sandproof_protocol::v1;
use serde_json::Value;

use super::fields::{Fields, kind_of};
use super::{InvalidRequest, check, quoted};
use crate::names;
use crate::quantity::{self, Quantity};

/// The resource that a GPU is.
pub const GPU: &str = "nvidia.com/gpu";
/// What the name of a resource of huge pages begins with; the page's size follows.
const HUGE_PAGES: &str = "hugepages-";

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
        let pairs =
            [("cpu", &typed.cpu_request, &typed.cpu_limit), ("memory", &typed.memory_request, &typed.memory_limit)];
        for (name, request, limit) in pairs {
            for (kind, quantity) in [("request", request), ("limit", limit)] {
                if !quantity.is_empty() {
                    check(&format!("template.resources.{name}_{kind}"), quantity, quantity::problem)?;
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

    /// Refuses what no container can have: requests and limits come from several places and only meet here.
    ///
    /// The rules are the API server's (1.36, `ValidateContainerResourceRequirements`).
    pub(super) fn check_together(&self) -> Result<(), InvalidRequest> {
        for (name, request) in &self.requests {
            match self.limits.get(name) {
                Some(limit) if request.parse::<Quantity>() > limit.parse::<Quantity>() => {
                    return Err(refused("requests", name, request, format!("is more than its limit {limit}")));
                }
                Some(limit) if is_indivisible(name) && request.parse::<Quantity>() != limit.parse::<Quantity>() => {
                    return Err(refused("requests", name, request, format!("must equal its limit {limit}")));
                }
                None if is_indivisible(name) => {
                    return Err(refused("requests", name, request, "needs an equal limit".to_owned()));
                }
                _ => {}
            }
        }
        let has = |name: &str| self.requests.contains_key(name) || self.limits.contains_key(name);
        let huge = self.limits.iter().find(|(name, _)| name.starts_with(HUGE_PAGES));
        if let Some((name, limit)) = huge
            && !has("cpu")
            && !has("memory")
        {
            return Err(refused("limits", name, limit, "needs cpu or memory beside it".to_owned()));
        }
        Ok(())
    }
}

/// What is refused after the merge names the container's field, whichever block it came from.
fn refused(kind: &str, name: &str, quantity: &str, problem: String) -> InvalidRequest {
    InvalidRequest::Value {
        field: format!("resources of container agent, {kind}.{name}"),
        found: quoted(quantity),
        problem,
    }
}

fn quantities(fields: &Fields<'_>, key: &str) -> Result<BTreeMap<String, String>, InvalidRequest> {
    let Some(inner) = fields.object(key)? else {
        return Ok(BTreeMap::new());
    };
    let mut quantities = BTreeMap::new();
    for (name, value) in inner.entries() {
        if let Some(problem) = name_problem(name) {
            return Err(fields.invalid(key, format!("key {} {problem}", quoted(name))));
        }
        let quantity = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            other => return Err(inner.invalid(name, format!("expected a quantity, found {}", kind_of(other)))),
        };
        if let Some(problem) = amount_problem(name, &quantity) {
            return Err(inner.invalid(name, format!("{} {problem}", quoted(&quantity))));
        }
        quantities.insert(name.clone(), quantity);
    }
    Ok(quantities)
}

/// Why `name` is not a resource that a container can have, or nothing if it is one.
fn name_problem(name: &str) -> Option<&'static str> {
    let Some((_, own)) = name.split_once('/') else {
        let known = matches!(name, "cpu" | "memory" | "ephemeral-storage") || page_size(name).is_some();
        return (!known).then_some("must be cpu, memory, ephemeral-storage, hugepages-SIZE or have a vendor's prefix");
    };
    if name.starts_with("requests.") {
        return Some("must not begin with 'requests.', which is the quota's name for it");
    }
    // The quota's name for it has that prefix, and must still be a qualified name.
    names::label_key_problem(&format!("requests.{name}"))
        .or_else(|| names::label_key_problem(name))
        .or_else(|| own.is_empty().then_some("must have a name behind its '/'"))
}

/// Why there cannot be so much of a resource, or nothing if there can.
fn amount_problem(name: &str, quantity: &str) -> Option<&'static str> {
    let amount: Quantity = match quantity.parse() {
        Ok(amount) => amount,
        Err(problem) => return Some(problem),
    };
    if let Some(page) = page_size(name) {
        return (!amount.is_multiple_of(page)).then_some("must be a multiple of the page's size");
    }
    (is_indivisible(name) && !amount.is_whole()).then_some("must be a whole number")
}

/// Whether a container gets exactly what it asks for: devices and huge pages.
fn is_indivisible(name: &str) -> bool {
    name.starts_with(HUGE_PAGES) || (name.contains('/') && !name.contains("kubernetes.io/"))
}

/// The size of the pages in the name of a resource of huge pages, in bytes.
fn page_size(name: &str) -> Option<u64> {
    const SIZES: [(&str, u64); 4] = [("64Ki", 64 << 10), ("2Mi", 2 << 20), ("512Mi", 512 << 20), ("1Gi", 1 << 30)];
    let size = name.strip_prefix(HUGE_PAGES)?;
    SIZES.iter().find(|(known, _)| *known == size).map(|(_, bytes)| *bytes)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_limit_without_a_request_is_also_the_request() {
        let typed = v1::DriverResourceRequirements { memory_limit: "1Gi".to_owned(), ..Default::default() };
        let resources = Resources::typed(&typed).unwrap();
        assert_eq!(resources.requests.get("memory").map(String::as_str), Some("1Gi"));
        assert_eq!(resources.limits.get("memory").map(String::as_str), Some("1Gi"));
        assert!(!resources.requests.contains_key("cpu"));
    }

    #[rstest]
    #[case("cpu", true)]
    #[case("ephemeral-storage", true)]
    #[case("hugepages-2Mi", true)]
    #[case("nvidia.com/gpu", true)]
    #[case("hugepages-3Mi", false)]
    #[case("pods", false)]
    #[case("requests.cpu", false)]
    #[case("requests.nvidia.com/gpu", false)]
    #[case("nvidia.com/", false)]
    #[case("a/b/c", false)]
    #[case("", false)]
    fn names_of_resources(#[case] name: &str, #[case] valid: bool) {
        assert_eq!(name_problem(name).is_none(), valid, "{:?}", name_problem(name));
    }

    #[rstest]
    #[case("cpu", "1.5", true)]
    #[case("nvidia.com/gpu", "2", true)]
    #[case("nvidia.com/gpu", "1.5", false)]
    #[case("hugepages-2Mi", "4Mi", true)]
    #[case("hugepages-2Mi", "3Mi", false)]
    fn amounts(#[case] name: &str, #[case] quantity: &str, #[case] valid: bool) {
        assert_eq!(amount_problem(name, quantity).is_none(), valid);
    }

    #[rstest]
    #[case::fits(&[("cpu", "500m")], &[("cpu", "1")], None)]
    #[case::equal_in_other_words(&[("cpu", "1000m")], &[("cpu", "1")], None)]
    #[case::too_much(&[("memory", "2Gi")], &[("memory", "1Gi")], Some("requests.memory \"2Gi\": is more than its limit 1Gi"))]
    #[case::device(&[("nvidia.com/gpu", "1")], &[("nvidia.com/gpu", "2")], Some("must equal its limit 2"))]
    #[case::device_without_limit(&[("nvidia.com/gpu", "1")], &[], Some("needs an equal limit"))]
    #[case::only_limits(&[], &[("nvidia.com/gpu", "1")], None)]
    #[case::huge_pages_alone(&[], &[("hugepages-2Mi", "2Mi")], Some("needs cpu or memory"))]
    fn requests_and_limits_together(
        #[case] requests: &[(&str, &str)],
        #[case] limits: &[(&str, &str)],
        #[case] expected: Option<&str>,
    ) {
        let owned = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, quantity)| ((*name).to_owned(), (*quantity).to_owned())).collect()
        };
        let outcome = Resources { requests: owned(requests), limits: owned(limits) }.check_together();
        match (outcome, expected) {
            (Ok(()), None) => {}
            (Err(error), Some(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (outcome, _) => panic!("{outcome:?}"),
        }
    }
}
