//! The switchable faults. Without the feature `faults` every question here is answered with no, at compile time.

#[cfg(feature = "faults")]
use std::collections::BTreeSet;

/// The faults that are on.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    #[cfg(feature = "faults")]
    active: BTreeSet<&'static str>,
}

impl Faults {
    /// No fault is on.
    pub fn none() -> Self {
        Self::default()
    }

    /// The named faults are on; the first name that is not in the catalogue is the error.
    #[cfg(feature = "faults")]
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let active = names
            .into_iter()
            .map(|name| {
                sandproof_protocol::faults::find(name)
                    .filter(|fault| fault.part == sandproof_protocol::faults::Part::Driver)
                    .map(|fault| fault.name)
                    .ok_or_else(|| name.to_owned())
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { active })
    }

    /// The names of the faults that are on.
    #[cfg(feature = "faults")]
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.active.iter().copied()
    }

    pub(crate) fn ignores_global_secrets(&self) -> bool {
        self.is_on("ignore-global-secrets")
    }

    pub(crate) fn merges_override(&self) -> bool {
        self.is_on("merge-override")
    }

    pub(crate) fn falls_back_to_global(&self) -> bool {
        self.is_on("fall-back-to-global")
    }

    pub(crate) fn accepts_malformed_override(&self) -> bool {
        self.is_on("accept-malformed-override")
    }

    pub(crate) fn ignores_platform_override(&self) -> bool {
        self.is_on("ignore-platform-override")
    }

    pub(crate) fn refuses_driver_override(&self) -> bool {
        self.is_on("refuse-driver-override")
    }

    pub(crate) fn refuses_sideload_override(&self) -> bool {
        self.is_on("refuse-sideload-override")
    }

    pub(crate) fn mounts_elsewhere(&self) -> bool {
        self.is_on("mount-elsewhere")
    }

    pub(crate) fn mounts_writable(&self) -> bool {
        self.is_on("writable-mount")
    }

    pub(crate) fn always_uses_init_container(&self) -> bool {
        self.is_on("sideload-always-init")
    }

    pub(crate) fn accepts_silent_drop(&self) -> bool {
        self.is_on("accept-silent-drop")
    }

    pub(crate) fn assumes_api_version(&self) -> bool {
        self.is_on("assume-api-version")
    }

    pub(crate) fn keeps_api_version(&self) -> bool {
        self.is_on("keep-api-version")
    }

    pub(crate) fn ignores_gateway_id(&self) -> bool {
        self.is_on("ignore-gateway-id")
    }

    pub(crate) fn forgets_deletions(&self) -> bool {
        self.is_on("forget-deletions")
    }

    pub(crate) fn withholds_platform_events(&self) -> bool {
        self.is_on("withhold-platform-events")
    }

    pub(crate) fn withholds_events_of_workspaces(&self) -> bool {
        self.is_on("withhold-events-of-workspaces")
    }

    pub(crate) fn ignores_stop(&self) -> bool {
        self.is_on("ignore-stop")
    }

    pub(crate) fn deletes_to_stop(&self) -> bool {
        self.is_on("delete-to-stop")
    }

    pub(crate) fn adopts_namespaces(&self) -> bool {
        self.is_on("adopt-namespaces")
    }

    pub(crate) fn allows_every_namespace(&self) -> bool {
        self.is_on("allow-every-namespace")
    }

    pub(crate) fn keeps_secret_copies(&self) -> bool {
        self.is_on("keep-secret-copies")
    }

    pub(crate) fn omits_workspace(&self) -> bool {
        self.is_on("omit-workspace")
    }

    pub(crate) fn orphans_on_delete(&self) -> bool {
        self.is_on("orphan-on-delete")
    }

    pub(crate) fn copies_as_opaque(&self) -> bool {
        self.is_on("copy-as-opaque")
    }

    pub(crate) fn accepts_unknown_fields(&self) -> bool {
        self.is_on("accept-unknown-field")
    }

    pub(crate) fn accepts_malformed_resources(&self) -> bool {
        self.is_on("accept-malformed-resources")
    }

    pub(crate) fn ignores_resources(&self) -> bool {
        self.is_on("ignore-resources")
    }

    pub(crate) fn ignores_placement(&self) -> bool {
        self.is_on("ignore-placement")
    }

    pub(crate) fn prefers_driver_block(&self) -> bool {
        self.is_on("driver-block-first")
    }

    pub(crate) fn ignores_host_users(&self) -> bool {
        self.is_on("ignore-host-users")
    }

    pub(crate) fn ignores_supervisor_image(&self) -> bool {
        self.is_on("ignore-supervisor-image")
    }

    pub(crate) fn ignores_pull_policy(&self) -> bool {
        self.is_on("ignore-pull-policy")
    }

    pub(crate) fn mounts_claims_writable(&self) -> bool {
        self.is_on("writable-claim")
    }

    pub(crate) fn mounts_claims_read_only(&self) -> bool {
        self.is_on("read-only-claims")
    }

    pub(crate) fn is_always_ready(&self) -> bool {
        self.is_on("always-ready")
    }

    pub(crate) fn omits_labels(&self) -> bool {
        self.is_on("omit-labels")
    }

    pub(crate) fn keeps_workspace_claim(&self) -> bool {
        self.is_on("keep-workspace-claim")
    }

    pub(crate) fn runs_agent_as_root(&self) -> bool {
        self.is_on("root-agent")
    }

    pub(crate) fn reverses_pull_secrets(&self) -> bool {
        self.is_on("reverse-pull-secrets")
    }

    pub(crate) fn trims_in_pods_only(&self) -> bool {
        self.is_on("trim-in-pods-only")
    }

    pub(crate) fn guesses_pull_secret(&self) -> bool {
        self.is_on("guess-pull-secret")
    }

    pub(crate) fn always_pulls(&self) -> bool {
        self.is_on("always-pull")
    }

    pub(crate) fn prefers_older_api_version(&self) -> bool {
        self.is_on("prefer-older-api-version")
    }

    pub(crate) fn opens_socket(&self) -> bool {
        self.is_on("open-socket")
    }

    pub(crate) fn keeps_stale_socket(&self) -> bool {
        self.is_on("keep-stale-socket")
    }

    pub(crate) fn tells_deletion_twice(&self) -> bool {
        self.is_on("tell-deletion-twice")
    }

    pub(crate) fn lists_foreign_sandboxes(&self) -> bool {
        self.is_on("list-foreign-sandboxes")
    }

    pub(crate) fn accepts_duplicates(&self) -> bool {
        self.is_on("accept-duplicates")
    }

    pub(crate) fn drops_service_account(&self) -> bool {
        self.is_on("drop-service-account")
    }

    pub(crate) fn automounts_token(&self) -> bool {
        self.is_on("automount-token")
    }

    pub(crate) fn omits_gateway_of_namespace(&self) -> bool {
        self.is_on("omit-gateway-of-namespace")
    }

    pub(crate) fn gives_token_to_everybody(&self) -> bool {
        self.is_on("readable-token")
    }

    pub(crate) fn ignores_token_audience(&self) -> bool {
        self.is_on("token-for-anybody")
    }

    pub(crate) fn ignores_token_lifetime(&self) -> bool {
        self.is_on("ignore-token-lifetime")
    }

    pub(crate) fn drops_capability(&self) -> bool {
        self.is_on("drop-capability")
    }

    pub(crate) fn has_no_name(&self) -> bool {
        self.is_on("nameless-driver")
    }

    pub(crate) fn accepts_unknown_sideload(&self) -> bool {
        self.is_on("accept-unknown-sideload")
    }

    pub(crate) fn accepts_no_workspace(&self) -> bool {
        self.is_on("accept-no-workspace")
    }

    pub(crate) fn forbids_unknown(&self) -> bool {
        self.is_on("forbid-unknown")
    }

    pub(crate) fn swallows_timeouts(&self) -> bool {
        self.is_on("swallow-timeouts")
    }

    pub(crate) fn hides_messages(&self) -> bool {
        self.is_on("hide-messages")
    }

    pub(crate) fn ignores_namespace_identity(&self) -> bool {
        self.is_on("ignore-namespace-identity")
    }

    pub(crate) fn accepts_bad_reference(&self) -> bool {
        self.is_on("accept-bad-reference")
    }

    pub(crate) fn recreates_to_start(&self) -> bool {
        self.is_on("recreate-to-start")
    }

    pub(crate) fn ignores_app_armor(&self) -> bool {
        self.is_on("ignore-app-armor")
    }

    #[cfg(feature = "faults")]
    fn is_on(&self, name: &str) -> bool {
        self.active.contains(name)
    }

    #[cfg(not(feature = "faults"))]
    #[expect(clippy::unused_self, reason = "the same signature as with the feature")]
    fn is_on(&self, _name: &str) -> bool {
        false
    }
}
