//! The labels on everything that a kind cluster has in the container engine.
//!
//! The engine keeps them whatever becomes of this process and of the ledger, so a sweep finds everything by them.

use std::collections::HashMap;

use camino::{Utf8Path, Utf8PathBuf};

/// The run that made it.
pub(crate) const RUN: &str = "sandproof.run";

/// The cluster's name, as a person knows it.
pub(crate) const CLUSTER: &str = "sandproof.cluster";

/// The cluster's ID in the ledger.
pub(crate) const ID: &str = "sandproof.id";

/// The state directory whose ledger has the cluster: a sweep of another one leaves it alone.
pub(crate) const STATE: &str = "sandproof.state";

/// The key of an assembled node image, on the image.
pub(crate) const NODE_IMAGE: &str = "sandproof.node-image";

/// Whose something in the engine is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ownership {
    /// The run that made it.
    pub run: String,
    /// The cluster's name.
    pub cluster: String,
    /// The cluster's ID in the ledger.
    pub id: String,
    /// The state directory with that ledger.
    pub state: Utf8PathBuf,
}

impl Ownership {
    /// Reads the labels of a container, volume or network; none where it is not sandproof's.
    pub(crate) fn of(labels: Option<&HashMap<String, String>>) -> Option<Self> {
        let labels = labels?;
        let label = |name| labels.get(name).cloned();
        Some(Self {
            id: label(ID)?,
            run: label(RUN).unwrap_or_default(),
            cluster: label(CLUSTER).unwrap_or_default(),
            state: label(STATE).unwrap_or_default().into(),
        })
    }

    /// The labels with their values.
    pub fn labels(&self) -> [(&'static str, &str); 4] {
        [(RUN, &self.run), (CLUSTER, &self.cluster), (ID, &self.id), (STATE, self.state.as_str())]
    }

    /// The labels as the engine's interface takes them.
    pub(crate) fn map(&self) -> HashMap<String, String> {
        self.labels().map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    /// Whether it belongs to the state directory `state`.
    pub fn is_of(&self, state: &Utf8Path) -> bool {
        self.state == state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ownership() -> Ownership {
        Ownership { run: "r1".to_owned(), cluster: "one".to_owned(), id: "0a1b2c3d".to_owned(), state: "/state".into() }
    }

    #[test]
    fn labels_are_read_as_they_were_written() {
        assert_eq!(Ownership::of(Some(&ownership().map())), Some(ownership()));
    }

    #[test]
    fn what_has_no_id_is_not_ours() {
        assert_eq!(Ownership::of(None), None);
        assert_eq!(Ownership::of(Some(&HashMap::from([(RUN.to_owned(), "r".to_owned())]))), None);
    }

    #[test]
    fn another_state_directory_is_told_apart() {
        assert!(ownership().is_of("/state".into()));
        assert!(!ownership().is_of("/other".into()));
    }
}
