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
        caught_by: &[
            "PS-02", "PS-03", "PS-06", "PS-08", "PS-10", "PS-11", "PS-12", "PS-13", "PS-14", "PS-15", "PS-17", "PS-18",
            "PS-22", "PS-23",
        ],
    },
    Fault {
        name: "merge-override",
        description: "a sandbox's own pull secrets are put behind the configured ones instead of replacing them",
        promise: "a sandbox's own pull secrets replace the configured ones",
        caught_by: &["PS-05", "PS-06", "PS-07", "PS-08", "PS-18", "PS-21"],
    },
    Fault {
        name: "fall-back-to-global",
        description: "the configured pull secrets follow a sandbox's own as a last resort, and stand in for an empty list",
        promise: "a sandbox whose own pull secrets fail, or which asks for none, does not fall back to the configured ones",
        caught_by: &["PS-05", "PS-06", "PS-07", "PS-08", "PS-18", "PS-21"],
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
        caught_by: &["PS-05", "PS-06", "PS-07", "PS-08", "PS-09", "PS-18", "PS-21"],
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
        caught_by: &["SL-04", "SL-05", "SL-07", "SL-12", "SL-13", "SL-14", "SL-20"],
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
    Fault {
        name: "accept-unknown-field",
        description: "a key of a configuration block that the driver does not know is dropped without a word",
        promise: "an unknown key of driver_config is refused at every level",
        caught_by: &["OV-06", "OV-09"],
    },
    Fault {
        name: "accept-malformed-resources",
        description: "a resources_raw of a wrong shape is taken for absent",
        promise: "malformed resources are refused before anything is created",
        caught_by: &["OV-04", "OV-09"],
    },
    Fault {
        name: "ignore-resources",
        description: "requests and limits never reach the pod",
        promise: "requests and limits of all places are merged and reach the pod",
        caught_by: &["OV-04"],
    },
    Fault {
        name: "ignore-placement",
        description: "node selectors, tolerations and the priority class never reach the pod",
        promise: "a sandbox runs where, and as urgently as, it asks for",
        caught_by: &["OV-02", "OV-03", "OV-08"],
    },
    Fault {
        name: "driver-block-first",
        description: "driver_config goes before platform_config",
        promise: "what both blocks give comes from platform_config",
        caught_by: &["OV-01", "OV-02"],
    },
    Fault {
        name: "ignore-host-users",
        description: "a sandbox's own choice of a user namespace is dropped",
        promise: "platform_config.host_users decides for its sandbox",
        caught_by: &["OV-10"],
    },
    Fault {
        name: "ignore-supervisor-image",
        description: "every sandbox gets the configured supervisor image, whatever it asked for",
        promise: "a sandbox's own supervisor image is used for it",
        caught_by: &["SL-13", "SL-14"],
    },
    Fault {
        name: "ignore-pull-policy",
        description: "pull policies never reach the pod",
        promise: "an image has the pull policy that was asked for",
        caught_by: &["SL-14"],
    },
    Fault {
        name: "writable-claim",
        description: "the agent's mounts of claims are writable, whatever was asked for",
        promise: "a claim is mounted read-only unless asked for otherwise",
        caught_by: &["OV-05"],
    },
    Fault {
        name: "ignore-gateway-id",
        description: "the sandboxes of every gateway are taken for this gateway's",
        promise: "Sandboxes of another gateway are neither listed nor told nor deleted",
        caught_by: &["DC-12"],
    },
    Fault {
        name: "forget-deletions",
        description: "the end of a sandbox is not told to those who watch",
        promise: "the end of a sandbox is told exactly once",
        caught_by: &["DC-04", "DC-06", "DC-08", "DC-10", "DC-11", "OP-01"],
    },
    Fault {
        name: "withhold-platform-events",
        description: "a watch tells nothing of what happens to pods",
        promise: "what keeps a sandbox from running is told as a platform event",
        caught_by: &["PS-12", "PS-15", "ST-01", "ST-03", "ST-04"],
    },
    Fault {
        name: "ignore-stop",
        description: "StopSandbox answers OK and does nothing",
        promise: "a stopped sandbox has no pod",
        caught_by: &["DC-08"],
    },
    Fault {
        name: "delete-to-stop",
        description: "StopSandbox deletes the sandbox's object",
        promise: "a stopped sandbox keeps everything but its pod",
        caught_by: &["DC-08"],
    },
    Fault {
        name: "adopt-namespaces",
        description: "a namespace that happens to have the name of a workspace's is used and deleted, whoever made it",
        promise: "a namespace of somebody else is neither used nor deleted",
        caught_by: &["OP-08"],
    },
    Fault {
        name: "allow-every-namespace",
        description: "every namespace may be used as a workspace",
        promise: "only namespaces that the operator allows are used",
        caught_by: &["OP-02"],
    },
    Fault {
        name: "keep-secret-copies",
        description: "the copy of a pull secret that is there already is not renewed",
        promise: "a changed password reaches the next sandbox of a managed workspace",
        caught_by: &["PS-17"],
    },
    Fault {
        name: "omit-workspace",
        description: "the Sandbox does not say of which workspace it is",
        promise: "a sandbox carries its workspace",
        caught_by: &["DC-04", "DC-09", "OP-01"],
    },
    Fault {
        name: "orphan-on-delete",
        description: "DeleteSandbox leaves the pod behind",
        promise: "nothing of a deleted sandbox stays",
        caught_by: &["DC-14"],
    },
    Fault {
        name: "copy-as-opaque",
        description: "copies of pull secrets have the type Opaque",
        promise: "pull secrets are copied with type and data",
        caught_by: &["PS-10", "PS-17"],
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
