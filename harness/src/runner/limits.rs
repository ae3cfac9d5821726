//! What a cluster does not allow, by scenario: what cannot be run is left out for a stated reason, and the rest runs.

use sandproof_clusters::{
    existing::{Purpose, Rights},
    provider::{Description, NodeAccess},
};
use sandproof_scenarios::{RegistryKind, ScenarioInstance, Step, WorkspaceMode};

/// Scenarios that need several pods on one node have this tag.
const ONE_NODE: &str = "one-node";

/// What a cluster does not allow; each with the reason, as a clause.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    /// Reaching what is on a node.
    node: Option<String>,
    /// Pulling from the registry that speaks plain HTTP.
    plain: Option<String>,
    /// Pulling from the registry that speaks TLS.
    secure: Option<String>,
    /// Standing between a driver and the API server.
    relay: Option<String>,
    /// Changing what everybody in the cluster uses.
    shared: Option<String>,
    /// Relying on pods being on one node.
    one_node: Option<String>,
    /// What the account lacks.
    rights: Rights,
}

impl Limits {
    /// The limits of a cluster.
    pub(crate) fn of(cluster: &Description) -> Self {
        let node = match &cluster.node_access {
            NodeAccess::Runtime { .. } => None,
            NodeAccess::None { reason } => Some(reason.clone()),
        };
        let refused = |registry: &Result<String, String>| {
            registry.as_ref().err().map(|why| format!("its nodes cannot pull from that registry: {why}"))
        };
        let guest = cluster.guest.as_ref();
        Self {
            node,
            relay: cluster.relay_address.as_ref().err().cloned(),
            plain: refused(&cluster.registries.plain),
            secure: refused(&cluster.registries.secure),
            shared: guest.map(|_| "the cluster is not the run's own, and others may use it".to_owned()),
            one_node: guest.and_then(|guest| match guest.nodes.len() {
                0 => Some(
                    "how many nodes the cluster has cannot be seen, because the account may not list them".to_owned(),
                ),
                1 => None,
                nodes => Some(format!("the cluster has {nodes} nodes that take pods")),
            }),
            rights: guest.map(|guest| guest.rights.clone()).unwrap_or_default(),
        }
    }

    /// Why a scenario cannot be run on this cluster; none where it can.
    pub(crate) fn forbid(&self, scenario: &ScenarioInstance) -> Option<String> {
        let alone = self.shared.as_ref().filter(|_| scenario.alone);
        let one_node = self.one_node.as_ref().filter(|_| scenario.tags.iter().any(|tag| tag == ONE_NODE));
        alone
            .map(|why| format!("it has to have the cluster for itself: {why}"))
            .or_else(|| one_node.map(|why| format!("it needs its pods on one node: {why}")))
            .or_else(|| scenario.steps.iter().find_map(|step| self.forbid_step(step)))
    }

    fn forbid_step(&self, step: &Step) -> Option<String> {
        let lacking = |purpose: Purpose| {
            let lacking = self.rights.lacking(purpose)?;
            Some(format!("the account may not {}: it lacks {lacking}", purpose.text()))
        };
        match step {
            Step::Image(step) => {
                let why = match step.registry {
                    RegistryKind::Plain => self.plain.as_ref(),
                    RegistryKind::Secure => self.secure.as_ref(),
                };
                why.map(|why| {
                    format!("it pulls an image from the {} registry, and {why}", registry_name(step.registry))
                })
            }
            Step::Driver(step) | Step::Upgrade(step) => {
                let elsewhere = self.shared.as_ref().filter(|_| step.workspaces != WorkspaceMode::Shared);
                let node = self.node.as_ref().filter(|_| step.socket);
                let node = node.map(|why| format!("it reaches the driver's process on its node: {why}"));
                let relay = self.relay.as_ref().filter(|_| step.through_relay);
                let relay = relay.map(|why| format!("it stands between the driver and the API server: {why}"));
                lacking(Purpose::Driver).or(node).or(relay).or_else(|| {
                    elsewhere.map(|why| format!("its driver makes or takes namespaces outside of its own: {why}"))
                })
            }
            Step::Probe(_) => lacking(Purpose::Probe),
            Step::Installation(_) => lacking(Purpose::Definition),
            Step::Change(_) | Step::Schema(_) => {
                self.shared.as_ref().map(|why| format!("it changes Agent Sandbox: {why}"))
            }
            Step::Volume(_) => self.shared.as_ref().map(|why| format!("it makes a volume on a node: {why}")),
            Step::EnsureWorkspace(_) | Step::DeleteWorkspace(_) | Step::Namespace(_) => {
                self.shared.as_ref().map(|why| format!("it makes namespaces: {why}"))
            }
            Step::Rights(_) => self.shared.as_ref().map(|why| format!("it asks for others' rights: {why}")),
            Step::Socket(_) => self.node.as_ref().map(|why| format!("it looks at a socket on a node: {why}")),
            Step::Taint(_) => self.shared.as_ref().map(|why| format!("it taints the nodes: {why}")),
            Step::Preload(_) => self.node.as_ref().map(|why| format!("it calls the runtime of the node: {why}")),
            Step::Secret(_)
            | Step::ApiServer(_)
            | Step::Capabilities(_)
            | Step::Validate(_)
            | Step::Create(_)
            | Step::Await(_)
            | Step::Inspect(_)
            | Step::Requests(_)
            | Step::Get(_)
            | Step::List(_)
            | Step::Delete(_)
            | Step::Watch(_)
            | Step::Events(_)
            | Step::Quiet(_)
            | Step::Store(_)
            | Step::Read(_)
            | Step::ServiceAccount(_)
            | Step::Stop(_)
            | Step::Start(_)
            | Step::LookAt(_)
            | Step::Remove(_)
            | Step::Rotate(_)
            | Step::Run(_)
            | Step::Use(_)
            | Step::Render(_) => None,
        }
    }
}

const fn registry_name(kind: RegistryKind) -> &'static str {
    match kind {
        RegistryKind::Plain => "plain-HTTP",
        RegistryKind::Secure => "TLS",
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn scenario(key: &str) -> ScenarioInstance {
        let suite = crate::commands::suite::shipped();
        suite.instances().find(|scenario| scenario.key == key || scenario.id == key).unwrap().clone()
    }

    fn guest() -> Limits {
        let why = |text: &str| Some(text.to_owned());
        Limits {
            node: why("no node"),
            secure: why("no TLS"),
            relay: why("no certificate"),
            shared: why("shared"),
            one_node: why("2 nodes"),
            ..Limits::default()
        }
    }

    #[rstest]
    #[case("PS-19", "it needs its pods on one node: 2 nodes")]
    #[case("DC-13", "it stands between the driver and the API server: no certificate")]
    #[case("AV-05", "it has to have the cluster for itself: shared")]
    #[case("PS-10", "its driver makes or takes namespaces outside of its own: shared")]
    #[case("PS-02[givenAs=strings,registry=secure]", "it pulls an image from the TLS registry, and no TLS")]
    fn what_cannot_be_run_is_left_out_for_a_reason(#[case] key: &str, #[case] reason: &str) {
        assert_eq!(guest().forbid(&scenario(key)).as_deref(), Some(reason));
        assert_eq!(Limits::default().forbid(&scenario(key)), None);
    }

    #[test]
    fn a_preload_needs_the_node() {
        let limits = Limits { one_node: None, ..guest() };
        assert_eq!(limits.forbid(&scenario("PS-19")).as_deref(), Some("it calls the runtime of the node: no node"));
    }

    #[test]
    fn the_rest_runs() {
        assert_eq!(guest().forbid(&scenario("PS-05")), None);
    }
}
