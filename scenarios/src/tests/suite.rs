//! The suite that is shipped.

use camino::Utf8Path;

use crate::{Expectations, Step, Suite};

/// The reference driver's faults. The harness holds the list against the driver's own.
const FAULTS: &[&str] = &[
    "ignore-global-secrets",
    "merge-override",
    "fall-back-to-global",
    "accept-malformed-override",
    "ignore-platform-override",
    "refuse-driver-override",
    "refuse-sideload-override",
    "assume-api-version",
    "keep-api-version",
    "mount-elsewhere",
    "writable-mount",
    "sideload-always-init",
    "accept-silent-drop",
    "accept-unknown-field",
    "accept-malformed-resources",
    "ignore-resources",
    "ignore-placement",
    "driver-block-first",
    "ignore-host-users",
    "ignore-supervisor-image",
    "ignore-pull-policy",
    "writable-claim",
    "ignore-gateway-id",
    "forget-deletions",
    "withhold-platform-events",
    "withhold-events-of-workspaces",
    "ignore-stop",
    "delete-to-stop",
    "adopt-namespaces",
    "allow-every-namespace",
    "keep-secret-copies",
    "omit-workspace",
    "orphan-on-delete",
    "copy-as-opaque",
    "reverse-pull-secrets",
    "trim-in-pods-only",
    "guess-pull-secret",
    "always-pull",
    "prefer-older-api-version",
    "open-socket",
    "keep-stale-socket",
    "tell-deletion-twice",
    "list-foreign-sandboxes",
    "accept-duplicates",
    "drop-service-account",
    "automount-token",
    "omit-gateway-of-namespace",
    "readable-token",
    "token-for-anybody",
    "ignore-token-lifetime",
    "drop-capability",
    "nameless-driver",
    "accept-unknown-sideload",
    "accept-no-workspace",
    "forbid-unknown",
    "swallow-timeouts",
    "hide-messages",
    "ignore-namespace-identity",
    "ignore-app-armor",
    "keep-workspace-claim",
    "read-only-claims",
    "always-ready",
    "omit-labels",
    "root-agent",
    "accept-bad-reference",
    "recreate-to-start",
    "copy-privately",
    "copy-fails-quietly",
    "copy-over-directory",
    "wide-rights",
    "policy-for-nobody",
    "secrets-by-any-name",
    "inherit-own-pull-secrets",
    "image-volumes-too-early",
    "serve-another-version",
    "convert-nothing",
];

pub(super) fn shipped() -> Suite {
    let directory = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("suite");
    match Suite::load(&directory, FAULTS) {
        Ok(suite) => suite,
        Err(errors) => panic!("{}", super::rendered(&errors)),
    }
}

#[test]
fn every_scenario_is_without_fault() {
    let suite = shipped();
    insta::assert_snapshot!(
        suite
            .instances()
            .map(|instance| format!("{}: {}", instance.key, instance.title))
            .collect::<Vec<_>>()
            .join("\n")
    );
}

#[test]
fn every_fault_has_the_scenarios_that_notice_it() {
    let suite = shipped();
    let noticed: Vec<String> = FAULTS
        .iter()
        .map(|fault| {
            let by: Vec<&str> = suite
                .scenarios
                .iter()
                .filter(|scenario| scenario.faults.iter().any(|name| name == fault))
                .map(|scenario| scenario.id.as_str())
                .collect();
            assert!(!by.is_empty(), "{fault}");
            format!("{fault}: {}", by.join(" "))
        })
        .collect();
    insta::assert_snapshot!(noticed.join("\n"));
}

/// A pull is proven by the registry's record, not by a pod that runs.
#[test]
fn a_positive_pull_scenario_asks_the_registry() {
    for instance in shipped().instances().filter(|instance| instance.tags.iter().any(|tag| tag == "pull-secrets")) {
        let waits = instance.steps.iter().any(|step| matches!(step, Step::Await(_)));
        let asks = instance.steps.iter().any(|step| matches!(step, Step::Requests(_)));
        assert_eq!(waits, asks, "{}", instance.key);
    }
}

#[test]
fn the_shipped_expectations_fit_the_shipped_suite() {
    let file = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("expectations.yaml");
    if let Err(errors) = Expectations::load(&file, &shipped()) {
        panic!("{}", super::rendered(&errors));
    }
}
