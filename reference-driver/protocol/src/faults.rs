//! The defects the reference driver can be told to have, so that a suite can be shown to notice them.
//!
//! What is shipped has none of them: those of the driver are compiled into `sandproof-reference-driver-faults` only, those of
//! the supervisor into `openshell-sandbox-faults`, those of the chart are edits of a copy of it, and those of Agent Sandbox are
//! changes of what is installed.

mod chart_edits;
mod list;
mod part;

pub use list::FAULTS;
pub use part::{Defect, Edit, Part};

/// One switchable defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Its name, as `--fault NAME` takes it.
    pub name: &'static str,
    /// What has it.
    pub part: Part,
    /// What that does wrong while it is on.
    pub description: &'static str,
    /// The promise it breaks.
    pub promise: &'static str,
    /// The scenarios that must turn red while it is on.
    pub caught_by: &'static [&'static str],
}

/// The fault of that name.
pub fn find(name: &str) -> Option<&'static Fault> {
    FAULTS.iter().find(|fault| fault.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_each_fault_is_caught_by_something() {
        let names: BTreeSet<_> = FAULTS.iter().map(|fault| fault.name).collect();
        assert_eq!(names.len(), FAULTS.len());
        for fault in FAULTS {
            assert!(!fault.caught_by.is_empty(), "{}", fault.name);
            assert_eq!(find(fault.name), Some(fault));
        }
    }
}
