//! Which user and group the pods of a namespace run as, where OpenShift says so.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};

use crate::error::DriverError;
use crate::kubernetes::{call, code_of};

/// The users of a namespace (OpenShift): `FIRST/COUNT`, or `FIRST-LAST`.
const USERS: &str = "openshift.io/sa.scc.uid-range";
/// The groups of its volumes (OpenShift): the same, several separated by commas.
const GROUPS: &str = "openshift.io/sa.scc.supplemental-groups";

/// The first user and the first group of a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The user; never root.
    pub(crate) user: Option<u32>,
    /// The group; never root's.
    pub(crate) group: Option<u32>,
    /// The annotations that say so, as they are in the namespace; its Sandboxes get a copy, as upstream has it.
    pub(crate) annotations: BTreeMap<String, String>,
}

/// Reads the annotations of a namespace.
pub(super) async fn of_namespace(client: &Client, namespace: &str) -> Result<Identity, DriverError> {
    let api: Api<Namespace> = Api::all(client.clone());
    match call("get the namespace of the sandbox", api.get_opt(namespace)).await {
        Ok(found) => Ok(found.map(|found| identity(&found)).unwrap_or_default()),
        // A driver outside of its chart may lack the right, and then it is as if the namespace said nothing.
        Err(error) if code_of(&error) == Some(403) => Ok(Identity::default()),
        Err(error) => Err(error),
    }
}

fn identity(namespace: &Namespace) -> Identity {
    let annotation = |key: &str| namespace.metadata.annotations.as_ref()?.get(key).map(String::as_str);
    let annotations = [USERS, GROUPS].into_iter().filter_map(|key| Some((key.to_owned(), annotation(key)?.to_owned())));
    Identity {
        user: annotation(USERS).and_then(first),
        group: annotation(GROUPS).and_then(first),
        annotations: annotations.collect(),
    }
}

/// The first number of the first range.
fn first(ranges: &str) -> Option<u32> {
    let range = ranges.split(',').next()?.trim();
    let number = range.split(['/', '-']).next()?.trim();
    number.parse().ok().filter(|number| *number != 0)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1000650000/10000", Some(1_000_650_000))]
    #[case("1000650000-1000659999", Some(1_000_650_000))]
    #[case("1000650000/10000,5000/10", Some(1_000_650_000))]
    #[case(" 2000 / 10 ", Some(2000))]
    #[case("0/10", None)]
    #[case("many", None)]
    #[case("", None)]
    fn ranges(#[case] text: &str, #[case] expected: Option<u32>) {
        assert_eq!(first(text), expected);
    }
}
