//! The defects the reference driver can be told to have, so that a suite can be shown to notice them.
//!
//! What is shipped has none of them: those of the driver are compiled into `sandproof-reference-driver-faults` only, those of
//! the supervisor into `openshell-sandbox-faults`, those of the chart are edits of a copy of it, and those of Agent Sandbox are
//! changes of what is installed.

mod part;

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

/// Every fault, in the order they are listed to the user.
pub const FAULTS: &[Fault] = &[
    Fault {
        name: "ignore-global-secrets",
        part: Part::Driver,
        description: "the configured image pull secrets never reach a pod",
        promise: "a sandbox without an override pulls with the configured image pull secrets",
        caught_by: &[
            "PS-02", "PS-03", "PS-04", "PS-06", "PS-08", "PS-10", "PS-11", "PS-12", "PS-13", "PS-14", "PS-15", "PS-17",
            "PS-18", "PS-20", "PS-22", "PS-23",
        ],
    },
    Fault {
        name: "merge-override",
        part: Part::Driver,
        description: "a sandbox's own pull secrets are put behind the configured ones instead of replacing them",
        promise: "a sandbox's own pull secrets replace the configured ones",
        caught_by: &["PS-05", "PS-06", "PS-07", "PS-08", "PS-18", "PS-21"],
    },
    Fault {
        name: "fall-back-to-global",
        part: Part::Driver,
        description: "the configured pull secrets follow a sandbox's own as a last resort, and stand in for an empty list",
        promise: "a sandbox whose own pull secrets fail, or which asks for none, does not fall back to the configured ones",
        caught_by: &["PS-05", "PS-06", "PS-07", "PS-08", "PS-18", "PS-21"],
    },
    Fault {
        name: "accept-malformed-override",
        part: Part::Driver,
        description: "a pull-secret override of a wrong shape is taken for absent",
        promise: "a malformed pull-secret override is refused before anything is created",
        caught_by: &["PS-09"],
    },
    Fault {
        name: "ignore-platform-override",
        part: Part::Driver,
        description: "pull secrets in platform_config are taken for absent, whatever their shape, as upstream does",
        promise: "a sandbox's own pull secrets replace the configured ones, wherever it brings them",
        caught_by: &["PS-05", "PS-06", "PS-07", "PS-08", "PS-09", "PS-18", "PS-21"],
    },
    Fault {
        name: "refuse-driver-override",
        part: Part::Driver,
        description: "pull secrets in driver_config are refused as an unknown field, as upstream does",
        promise: "a sandbox's own pull secrets replace the configured ones, wherever it brings them",
        caught_by: &["PS-05"],
    },
    Fault {
        name: "refuse-sideload-override",
        part: Part::Driver,
        description: "a sandbox's own side-load method and supervisor image are refused as unknown fields, as upstream does",
        promise: "a sandbox can choose how the supervisor comes in",
        caught_by: &["SL-04", "SL-05", "SL-07", "SL-12", "SL-13", "SL-14", "SL-20"],
    },
    Fault {
        name: "assume-api-version",
        part: Part::Driver,
        description: "the newest API version of the Sandbox is used without asking whether it is served",
        promise: "a driver that finds no API version of the Sandbox says so",
        caught_by: &["AV-05", "AV-07"],
    },
    Fault {
        name: "keep-api-version",
        part: Part::Driver,
        description: "the API version that was found at the start is used until the end",
        promise: "the API version of the Sandbox is found out again when it is no longer served",
        caught_by: &["AV-06", "AV-07"],
    },
    Fault {
        name: "writable-mount",
        part: Part::Driver,
        description: "the agent container mounts the supervisor's directory writable",
        promise: "the supervisor cannot be changed from inside the sandbox",
        caught_by: &["SL-01", "SL-03", "SL-16"],
    },
    Fault {
        name: "mount-elsewhere",
        part: Part::Driver,
        description: "the agent container has the supervisor in another directory, and starts it there",
        promise: "the supervisor is where images and users expect it",
        caught_by: &["SL-01", "SL-02", "SL-03"],
    },
    Fault {
        name: "sideload-always-init",
        part: Part::Driver,
        description: "every sandbox gets the supervisor through an init container, whatever was configured or asked for",
        promise: "the configured or requested side-load method is the one used",
        caught_by: &["PS-22", "SL-01", "SL-02", "SL-04", "SL-08", "SL-11", "SL-12", "SL-15", "SL-16", "SL-20"],
    },
    Fault {
        name: "accept-silent-drop",
        part: Part::Driver,
        description: "a sandbox with an image volume is created without looking whether the cluster keeps image volumes",
        promise: "a cluster that drops image volumes silently is detected before a sandbox is created",
        caught_by: &["SL-05", "SL-20"],
    },
    Fault {
        name: "accept-unknown-field",
        part: Part::Driver,
        description: "a key of a configuration block that the driver does not know is dropped without a word",
        promise: "an unknown key of driver_config is refused at every level",
        caught_by: &["OV-06", "OV-07", "OV-09"],
    },
    Fault {
        name: "accept-malformed-resources",
        part: Part::Driver,
        description: "a resources_raw of a wrong shape is taken for absent",
        promise: "malformed resources are refused before anything is created",
        caught_by: &["OV-04", "OV-09"],
    },
    Fault {
        name: "ignore-resources",
        part: Part::Driver,
        description: "requests and limits never reach the pod",
        promise: "requests and limits of all places are merged and reach the pod",
        caught_by: &["OV-04"],
    },
    Fault {
        name: "ignore-placement",
        part: Part::Driver,
        description: "node selectors, tolerations and the priority class never reach the pod",
        promise: "a sandbox runs where, and as urgently as, it asks for",
        caught_by: &["OV-02", "OV-03", "OV-08", "OV-12"],
    },
    Fault {
        name: "driver-block-first",
        part: Part::Driver,
        description: "driver_config goes before platform_config",
        promise: "what both blocks give comes from platform_config",
        caught_by: &["OV-01", "OV-02"],
    },
    Fault {
        name: "ignore-host-users",
        part: Part::Driver,
        description: "a sandbox's own choice of a user namespace is dropped",
        promise: "platform_config.host_users decides for its sandbox",
        caught_by: &["OV-10"],
    },
    Fault {
        name: "ignore-supervisor-image",
        part: Part::Driver,
        description: "every sandbox gets the configured supervisor image, whatever it asked for",
        promise: "a sandbox's own supervisor image is used for it",
        caught_by: &["SL-13", "SL-14"],
    },
    Fault {
        name: "ignore-pull-policy",
        part: Part::Driver,
        description: "pull policies never reach the pod",
        promise: "an image has the pull policy that was asked for",
        caught_by: &["PS-20", "SL-14"],
    },
    Fault {
        name: "writable-claim",
        part: Part::Driver,
        description: "the agent's mounts of claims are writable, whatever was asked for",
        promise: "a claim is mounted read-only unless asked for otherwise",
        caught_by: &["OV-05"],
    },
    Fault {
        name: "ignore-gateway-id",
        part: Part::Driver,
        description: "the sandboxes of every gateway are taken for this gateway's",
        promise: "Sandboxes of another gateway are neither listed nor told nor deleted",
        caught_by: &["DC-12", "OP-03"],
    },
    Fault {
        name: "forget-deletions",
        part: Part::Driver,
        description: "the end of a sandbox is not told to those who watch",
        promise: "the end of a sandbox is told exactly once",
        caught_by: &["DC-04", "DC-06", "DC-08", "DC-10", "DC-11", "OP-01", "OP-04", "OP-09"],
    },
    Fault {
        name: "withhold-platform-events",
        part: Part::Driver,
        description: "a watch tells nothing of what happens to pods",
        promise: "what keeps a sandbox from running is told as a platform event",
        caught_by: &["DC-15", "OP-04", "OP-09", "OV-12", "PS-12", "PS-15", "RT-01", "ST-01", "ST-02", "ST-03", "ST-04"],
    },
    Fault {
        name: "withhold-events-of-workspaces",
        part: Part::Driver,
        description: "where workspaces have namespaces of their own, a watch tells nothing of what happens to pods",
        promise: "platform events are told in every workspace mode",
        caught_by: &["OP-04", "OP-09", "ST-01"],
    },
    Fault {
        name: "ignore-stop",
        part: Part::Driver,
        description: "StopSandbox answers OK and does nothing",
        promise: "a stopped sandbox has no pod",
        caught_by: &["DC-08", "DC-15"],
    },
    Fault {
        name: "delete-to-stop",
        part: Part::Driver,
        description: "StopSandbox deletes the sandbox's object",
        promise: "a stopped sandbox keeps everything but its pod",
        caught_by: &["DC-08", "DC-15"],
    },
    Fault {
        name: "adopt-namespaces",
        part: Part::Driver,
        description: "a namespace that happens to have the name of a workspace's is used and deleted, whoever made it",
        promise: "a namespace of somebody else is neither used nor deleted",
        caught_by: &["OP-08"],
    },
    Fault {
        name: "allow-every-namespace",
        part: Part::Driver,
        description: "every namespace may be used as a workspace",
        promise: "only namespaces that the operator allows are used",
        caught_by: &["OP-02"],
    },
    Fault {
        name: "keep-secret-copies",
        part: Part::Driver,
        description: "the copy of a pull secret that is there already is not renewed",
        promise: "a changed password reaches the next sandbox of a managed workspace",
        caught_by: &["PS-17"],
    },
    Fault {
        name: "omit-workspace",
        part: Part::Driver,
        description: "the Sandbox does not say of which workspace it is",
        promise: "a sandbox carries its workspace",
        caught_by: &["DC-04", "DC-09", "OP-01"],
    },
    Fault {
        name: "orphan-on-delete",
        part: Part::Driver,
        description: "DeleteSandbox leaves the pod behind",
        promise: "nothing of a deleted sandbox stays",
        caught_by: &["DC-14"],
    },
    Fault {
        name: "copy-as-opaque",
        part: Part::Driver,
        description: "copies of pull secrets have the type Opaque",
        promise: "pull secrets are copied with type and data",
        caught_by: &["PS-04", "PS-10", "PS-17"],
    },
    Fault {
        name: "reverse-pull-secrets",
        part: Part::Driver,
        description: "the configured pull secrets reach the pod in the opposite order",
        promise: "the configured pull secrets keep their order",
        caught_by: &["PS-03", "PS-04"],
    },
    Fault {
        name: "trim-in-pods-only",
        part: Part::Driver,
        description: "blanks around the names of configured pull secrets are cut off for pods and kept for copies",
        promise: "names of pull secrets are the same for pods and for copies",
        caught_by: &["PS-04"],
    },
    Fault {
        name: "guess-pull-secret",
        part: Part::Driver,
        description: "a sandbox for which no pull secrets are known gets one that is called regcred",
        promise: "no pull secrets are added that nobody named",
        caught_by: &["PS-01", "PS-16", "PS-19"],
    },
    Fault {
        name: "always-pull",
        part: Part::Driver,
        description: "the agent's image is pulled each time, whatever was configured",
        promise: "an image has the pull policy that was configured",
        caught_by: &["PS-19", "PS-20"],
    },
    Fault {
        name: "prefer-older-api-version",
        part: Part::Driver,
        description: "the oldest API version of the Sandbox that is served is used",
        promise: "the newest API version that is served is used",
        caught_by: &["AV-02", "AV-08"],
    },
    Fault {
        name: "open-socket",
        part: Part::Driver,
        description: "the Unix socket is open to every user of the machine",
        promise: "nobody but the driver's own user can use its socket",
        caught_by: &["DC-01"],
    },
    Fault {
        name: "keep-stale-socket",
        part: Part::Driver,
        description: "the socket of a driver that ended without clean-up is not replaced",
        promise: "a driver starts again after it was killed",
        caught_by: &["DC-01"],
    },
    Fault {
        name: "tell-deletion-twice",
        part: Part::Driver,
        description: "the end of a sandbox is told twice",
        promise: "the end of a sandbox is told exactly once",
        caught_by: &["DC-04", "DC-08", "DC-10", "DC-11", "OP-04", "OP-09"],
    },
    Fault {
        name: "list-foreign-sandboxes",
        part: Part::Driver,
        description: "ListSandboxes has the sandboxes of every gateway",
        promise: "Sandboxes of another gateway are not listed",
        caught_by: &["DC-12", "OP-03"],
    },
    Fault {
        name: "accept-duplicates",
        part: Part::Driver,
        description: "the creation of a sandbox that exists is answered with OK",
        promise: "a second sandbox of the same name is AlreadyExists",
        caught_by: &["DC-05", "DC-10"],
    },
    Fault {
        name: "drop-service-account",
        part: Part::Driver,
        description: "pods get the service account that Kubernetes gives them",
        promise: "pods have the configured service account",
        caught_by: &["OP-05"],
    },
    Fault {
        name: "automount-token",
        part: Part::Driver,
        description: "pods get a token for the API server",
        promise: "a sandbox has no credentials for the cluster",
        caught_by: &["OP-05"],
    },
    Fault {
        name: "omit-gateway-of-namespace",
        part: Part::Driver,
        description: "the namespace of a workspace does not say of which gateway it is",
        promise: "a namespace that the driver made says whose it is",
        caught_by: &["OP-01"],
    },
    Fault {
        name: "readable-token",
        part: Part::Driver,
        description: "everybody in the sandbox can read the token for the gateway",
        promise: "the token for the gateway is its owner's alone",
        caught_by: &["RT-07"],
    },
    Fault {
        name: "token-for-anybody",
        part: Part::Driver,
        description: "the token for the gateway has the audience of the API server",
        promise: "the token is for the gateway and nobody else",
        caught_by: &["RT-07"],
    },
    Fault {
        name: "ignore-token-lifetime",
        part: Part::Driver,
        description: "the token for the gateway is always valid for an hour",
        promise: "the token is valid for as long as was configured",
        caught_by: &["RT-07"],
    },
    Fault {
        name: "drop-capability",
        part: Part::Driver,
        description: "the agent container lacks the capability SYSLOG",
        promise: "the supervisor has the capabilities that it needs",
        caught_by: &["OV-10", "RT-03"],
    },
    Fault {
        name: "nameless-driver",
        part: Part::Driver,
        description: "GetCapabilities has no name of the driver",
        promise: "capabilities are complete",
        caught_by: &["DC-02", "SL-10"],
    },
    Fault {
        name: "accept-unknown-sideload",
        part: Part::Driver,
        description: "an unknown side-load method is taken for the default one",
        promise: "an unknown side-load method keeps the driver from starting",
        caught_by: &["SL-09"],
    },
    Fault {
        name: "accept-no-workspace",
        part: Part::Driver,
        description: "a sandbox without a workspace is taken for one of the workspace default",
        promise: "a request without a workspace is refused",
        caught_by: &["DC-07"],
    },
    Fault {
        name: "forbid-unknown",
        part: Part::Driver,
        description: "GetSandbox of what does not exist is FailedPrecondition",
        promise: "what does not exist is NotFound",
        caught_by: &["DC-06", "DC-11", "DC-12", "OP-03"],
    },
    Fault {
        name: "swallow-timeouts",
        part: Part::Driver,
        description: "CreateSandbox answers OK when the API server does not answer",
        promise: "a request that was not carried out is not answered with OK",
        caught_by: &["DC-13"],
    },
    Fault {
        name: "hide-messages",
        part: Part::Driver,
        description: "conditions have no messages",
        promise: "the reason why a sandbox does not run reaches the client",
        caught_by: &["OV-01", "OV-02", "OV-08", "RT-05", "SL-07", "ST-01", "ST-02"],
    },
    Fault {
        name: "ignore-namespace-identity",
        part: Part::Driver,
        description: "the user and the group that OpenShift gives a namespace are not looked at",
        promise: "a sandbox runs as the user that its namespace has for it",
        caught_by: &["RT-02"],
    },
    Fault {
        name: "ignore-app-armor",
        part: Part::Driver,
        description: "the AppArmor profile never reaches the pod",
        promise: "the agent has the configured AppArmor profile",
        caught_by: &["RT-08"],
    },
    Fault {
        name: "keep-workspace-claim",
        part: Part::Driver,
        description: "the workspace's volume is claimed although the sandbox brings one for it",
        promise: "a mount at /sandbox takes the workspace's place",
        caught_by: &["OV-11"],
    },
    Fault {
        name: "root-agent",
        part: Part::Driver,
        description: "the agent of topology sidecar runs as root with all rights",
        promise: "the agent of topology sidecar has no rights",
        caught_by: &["SL-16"],
    },
    Fault {
        name: "accept-bad-reference",
        part: Part::Driver,
        description: "a configured supervisor image that is no image reference is accepted",
        promise: "what no sandbox could use is refused at the start",
        caught_by: &["SL-23"],
    },
    Fault {
        name: "recreate-to-start",
        part: Part::Driver,
        description: "StartSandbox deletes the sandbox's object and makes it anew",
        promise: "a sandbox keeps its identity and its data over a stop",
        caught_by: &["DC-08", "DC-15"],
    },
    Fault {
        name: "copy-privately",
        part: Part::Supervisor,
        description: "copy-self makes the copy readable and executable for its owner only",
        promise: "every user of a sandbox can run the supervisor",
        caught_by: &["SL-03", "SL-16", "SL-17"],
    },
    Fault {
        name: "copy-fails-quietly",
        part: Part::Supervisor,
        description: "copy-self exits with 0 when it could not copy",
        promise: "a supervisor that could not be copied stops the pod",
        caught_by: &["SL-17"],
    },
    Fault {
        name: "copy-over-directory",
        part: Part::Supervisor,
        description: "copy-self takes the name of a directory for the name of a file",
        promise: "a directory as destination keeps the program's name",
        caught_by: &["SL-17"],
    },
    Fault {
        name: "wide-rights",
        part: Part::Chart(&[Edit {
            file: "templates/_helpers.tpl",
            find: r#"- apiGroups: [""]
  resources: [events]
  verbs: [list, watch]
{{- end -}}"#,
            replace: r#"- apiGroups: [""]
  resources: [events]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list]
{{- end -}}"#,
        }]),
        description: "the driver may read every Secret beside its sandboxes",
        promise: "the driver has the rights that it needs and no others",
        caught_by: &["RB-01", "RB-02"],
    },
    Fault {
        name: "secrets-by-any-name",
        part: Part::Chart(&[Edit {
            file: "templates/clusterrole.yaml",
            find: r"    resourceNames: [{{ . }}]
",
            replace: "",
        }]),
        description: "in mode managed the driver may change every Secret, whatever its name",
        promise: "in mode managed the driver changes the Secrets that it copies and no others",
        caught_by: &["RB-02"],
    },
    Fault {
        name: "inherit-own-pull-secrets",
        part: Part::Chart(&[Edit {
            file: "templates/_helpers.tpl",
            find: "{{- range .Values.server.sandboxImagePullSecrets -}}",
            replace: "{{- range concat .Values.server.sandboxImagePullSecrets .Values.imagePullSecrets -}}",
        }]),
        description: "the pull secrets of the driver's own pod are the sandboxes' too",
        promise: "the pull secrets of the driver's own pod are not the sandboxes'",
        caught_by: &["PS-16"],
    },
    Fault {
        name: "image-volumes-too-early",
        part: Part::Chart(&[Edit {
            file: "templates/_helpers.tpl",
            find: r#"{{- else if semverCompare ">=1.35-0""#,
            replace: r#"{{- else if semverCompare ">=1.33-0""#,
        }]),
        description: "the chart counts on image volumes from Kubernetes 1.33 on, where they are off by default",
        promise: "the chart chooses a side-load method that the API server's version has",
        caught_by: &["SL-22"],
    },
    Fault {
        name: "serve-another-version",
        part: Part::AgentSandbox(Defect::ServesAnotherVersion),
        description: "the installed definition of the Sandbox serves an API version that its release does not have",
        promise: "a release of Agent Sandbox serves the API versions that its manifests name",
        caught_by: &["AV-01", "AV-04"],
    },
    Fault {
        name: "convert-nothing",
        part: Part::AgentSandbox(Defect::ConvertsNothing),
        description: "nothing converts between the API versions of the Sandbox",
        promise: "nothing of a Sandbox is lost between API versions",
        caught_by: &["AV-01", "AV-03"],
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
