//! The defects the reference driver can be told to have, so that a suite can be shown to notice them.
//!
//! They are compiled into `sandproof-reference-driver-faults` only.

/// One switchable defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Its name, as `--fault NAME` takes it.
    pub name: &'static str,
    /// What the driver does wrong while it is on.
    pub description: &'static str,
    /// The promise it breaks.
    pub promise: &'static str,
    /// The scenarios that must turn red while it is on.
    pub caught_by: &'static [&'static str],
}

/// Every fault, in the order they are listed to the user.
pub const FAULTS: &[Fault] = &[
    Fault {
        name: "ignore-global-secrets",
        description: "the configured image pull secrets never reach a pod",
        promise: "a sandbox without an override pulls with the configured image pull secrets",
        caught_by: &["PS-02", "PS-06", "PS-08", "PS-11", "PS-12", "PS-18", "PS-22"],
    },
    Fault {
        name: "merge-override",
        description: "a sandbox's own pull secrets are put behind the configured ones instead of replacing them",
        promise: "a sandbox's own pull secrets replace the configured ones",
        caught_by: &["PS-05", "PS-06", "PS-07", "PS-08", "PS-18"],
    },
    Fault {
        name: "fall-back-to-global",
        description: "the configured pull secrets follow a sandbox's own as a last resort, and stand in for an empty list",
        promise: "a sandbox whose own pull secrets fail, or which asks for none, does not fall back to the configured ones",
        caught_by: &["PS-05", "PS-06", "PS-07", "PS-08", "PS-18"],
    },
    Fault {
        name: "accept-malformed-override",
        description: "a pull-secret override of a wrong shape is taken for absent",
        promise: "a malformed pull-secret override is refused before anything is created",
        caught_by: &["PS-09"],
    },
    Fault {
        name: "ignore-platform-override",
        description: "pull secrets in platform_config are taken for absent, whatever their shape, as upstream does",
        promise: "a sandbox's own pull secrets replace the configured ones, wherever it brings them",
        caught_by: &["PS-05", "PS-06", "PS-07", "PS-08", "PS-09", "PS-18"],
    },
    Fault {
        name: "refuse-driver-override",
        description: "pull secrets in driver_config are refused as an unknown field, as upstream does",
        promise: "a sandbox's own pull secrets replace the configured ones, wherever it brings them",
        caught_by: &["PS-05"],
    },
    Fault {
        name: "refuse-sideload-override",
        description: "a sandbox's own side-load method and supervisor image are refused as unknown fields, as upstream does",
        promise: "a sandbox can choose how the supervisor comes in",
        caught_by: &["SL-04", "SL-05", "SL-07", "SL-12", "SL-20"],
    },
    Fault {
        name: "assume-api-version",
        description: "the newest API version of the Sandbox is used without asking whether it is served",
        promise: "a driver that finds no API version of the Sandbox says so",
        caught_by: &["AV-05", "AV-07"],
    },
    Fault {
        name: "keep-api-version",
        description: "the API version that was found at the start is used until the end",
        promise: "the API version of the Sandbox is found out again when it is no longer served",
        caught_by: &["AV-06", "AV-07"],
    },
    Fault {
        name: "writable-mount",
        description: "the agent container mounts the supervisor's directory writable",
        promise: "the supervisor cannot be changed from inside the sandbox",
        caught_by: &["SL-01", "SL-03"],
    },
    Fault {
        name: "sideload-always-init",
        description: "every sandbox gets the supervisor through an init container, whatever was configured or asked for",
        promise: "the configured or requested side-load method is the one used",
        caught_by: &["PS-22", "SL-01", "SL-02", "SL-04", "SL-11", "SL-12", "SL-20"],
    },
    Fault {
        name: "accept-silent-drop",
        description: "a sandbox with an image volume is created without looking whether the cluster keeps image volumes",
        promise: "a cluster that drops image volumes silently is detected before a sandbox is created",
        caught_by: &["SL-05", "SL-20"],
    },
];

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
