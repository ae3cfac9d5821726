//! What the account of a context may do, asked of the API server before anything is created.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::{Api, Client, api::PostParams};

use super::ExistingError;

/// Reviews that are asked at once.
const AT_ONCE: usize = 16;

/// What a right is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Removing what was created. Without it nothing is created.
    CleanUp,
    /// Running and watching pods in namespaces of the run's own. Without it there is nothing to run.
    Basics,
    /// Installing Agent Sandbox.
    AgentSandbox,
    /// Deploying the driver with its chart, and talking to it.
    Driver,
    /// Running the probe in a sandbox.
    Probe,
    /// Reading the definition of the Sandbox.
    Definition,
    /// Reading what nodes say of themselves.
    Nodes,
    /// Reading which feature gates are on.
    Gates,
}

/// One thing that an account may do, or may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Right {
    purpose: Purpose,
    /// One review for each.
    verbs: &'static [&'static str],
    group: &'static str,
    /// The resource, with its subresource after a slash; a path of no resource where it starts with one.
    resource: &'static str,
}

/// What was found: what an account lacks, by what it is needed for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    lacking: BTreeMap<Purpose, Vec<String>>,
}

const fn right(purpose: Purpose, verbs: &'static [&'static str], group: &'static str, resource: &'static str) -> Right {
    Right { purpose, verbs, group, resource }
}

const RBAC: &str = "rbac.authorization.k8s.io";
const DEFINITIONS: &str = "apiextensions.k8s.io";
const SANDBOXES: &str = "agents.x-k8s.io";

/// Everything that a run asks of a cluster that is not its own. Helm 4 applies on the server's side, which is `patch`.
const NEEDED: &[Right] = &[
    right(Purpose::CleanUp, &["get", "list", "watch", "delete"], "", "namespaces"),
    right(Purpose::Basics, &["create"], "", "namespaces"),
    right(Purpose::Basics, &["get", "list", "watch", "create", "delete"], "", "pods"),
    right(Purpose::Basics, &["get"], "", "pods/log"),
    right(Purpose::Basics, &["list", "watch"], "", "events"),
    right(Purpose::Basics, &["create", "delete"], "", "secrets"),
    right(Purpose::Basics, &["get", "list", "watch"], "", "serviceaccounts"),
    right(
        Purpose::AgentSandbox,
        &["get", "list", "watch", "create", "patch", "delete"],
        DEFINITIONS,
        "customresourcedefinitions",
    ),
    right(Purpose::AgentSandbox, &["list", "create", "patch", "delete", "escalate", "bind"], RBAC, "clusterroles"),
    right(Purpose::AgentSandbox, &["list", "create", "patch", "delete"], RBAC, "clusterrolebindings"),
    right(Purpose::AgentSandbox, &["get", "list", "watch", "create", "patch"], "apps", "deployments"),
    right(Purpose::AgentSandbox, &["patch"], "", "namespaces"),
    right(Purpose::AgentSandbox, &["create", "patch"], "", "services"),
    right(Purpose::AgentSandbox, &["create", "patch"], "", "serviceaccounts"),
    right(Purpose::Driver, &["get", "list", "create", "update"], "", "secrets"),
    right(Purpose::Driver, &["create", "get"], "", "pods/portforward"),
    right(Purpose::Driver, &["create", "patch"], "", "serviceaccounts"),
    right(Purpose::Driver, &["create", "get", "patch"], "apps", "deployments"),
    right(Purpose::Driver, &["create", "get", "patch"], "networking.k8s.io", "networkpolicies"),
    right(Purpose::Driver, &["create", "get", "patch"], RBAC, "roles"),
    right(Purpose::Driver, &["create", "get", "patch"], RBAC, "rolebindings"),
    right(Purpose::Driver, &["create", "get", "list", "patch", "delete"], RBAC, "clusterroles"),
    right(Purpose::Driver, &["create", "get", "list", "patch", "delete"], RBAC, "clusterrolebindings"),
    // What the driver's roles give, their creator has to have.
    right(Purpose::Driver, &["create", "delete", "get", "list", "patch", "watch"], SANDBOXES, "sandboxes"),
    right(Purpose::Driver, &["get"], "", "events"),
    right(Purpose::Driver, &["list"], "", "nodes"),
    right(Purpose::Probe, &["create", "get"], "", "pods/exec"),
    right(Purpose::Definition, &["get"], DEFINITIONS, "customresourcedefinitions"),
    right(Purpose::Nodes, &["list"], "", "nodes"),
    right(Purpose::Gates, &["get"], "", "nodes/proxy"),
    right(Purpose::Gates, &["get"], "", "/metrics"),
];

impl Purpose {
    /// What cannot be done without it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::CleanUp => "remove what a run creates",
            Self::Basics => "run pods in namespaces of the run's own, and watch them",
            Self::AgentSandbox => "install Agent Sandbox",
            Self::Driver => "deploy the driver with its chart and talk to it",
            Self::Probe => "run the probe in a sandbox",
            Self::Definition => "read the definition of the Sandbox",
            Self::Nodes => "read what nodes say of themselves",
            Self::Gates => "read which feature gates are on",
        }
    }
}

impl Rights {
    /// Asks the API server, without side effect.
    pub(super) async fn review(client: &Client, context: &str) -> Result<Self, ExistingError> {
        let questions = NEEDED.iter().flat_map(|right| right.verbs.iter().map(move |verb| (right, *verb)));
        let answers: Vec<(Purpose, String, bool)> = stream::iter(questions)
            .map(|(right, verb)| async move {
                let allowed = allowed(client, right, verb).await?;
                Ok::<_, kube::Error>((right.purpose, right.words(verb), allowed))
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await
            .map_err(|error| ExistingError::api(context, "ask what the account may do", &error))?;
        Ok(Self::of(answers))
    }

    fn of(answers: impl IntoIterator<Item = (Purpose, String, bool)>) -> Self {
        let mut lacking: BTreeMap<Purpose, Vec<String>> = BTreeMap::new();
        for (purpose, words, _) in answers.into_iter().filter(|(_, _, allowed)| !allowed) {
            lacking.entry(purpose).or_default().push(words);
        }
        Self { lacking }
    }

    /// What the account lacks for a purpose: `create pods/exec, get pods/exec`. None where it lacks nothing.
    pub fn lacking(&self, purpose: Purpose) -> Option<String> {
        self.lacking.get(&purpose).map(|words| words.join(", "))
    }

    /// Everything that it lacks, by purpose.
    pub fn all_lacking(&self) -> impl Iterator<Item = (Purpose, String)> {
        self.lacking.iter().map(|(purpose, words)| (*purpose, words.join(", ")))
    }
}

impl Right {
    /// `create deployments.apps`, as `kubectl auth can-i` takes it.
    fn words(&self, verb: &str) -> String {
        match (self.group, self.resource.split_once('/')) {
            ("", _) => format!("{verb} {}", self.resource),
            (group, None) => format!("{verb} {}.{group}", self.resource),
            (group, Some((resource, part))) => format!("{verb} {resource}.{group}/{part}"),
        }
    }

    fn question(&self, verb: &str) -> SelfSubjectAccessReviewSpec {
        if self.resource.starts_with('/') {
            let attributes =
                NonResourceAttributes { path: Some(self.resource.to_owned()), verb: Some(verb.to_owned()) };
            return SelfSubjectAccessReviewSpec { non_resource_attributes: Some(attributes), ..Default::default() };
        }
        let (resource, part) = match self.resource.split_once('/') {
            Some((resource, part)) => (resource, Some(part.to_owned())),
            None => (self.resource, None),
        };
        let attributes = ResourceAttributes {
            group: Some(self.group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource: part,
            verb: Some(verb.to_owned()),
            ..ResourceAttributes::default()
        };
        SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() }
    }
}

async fn allowed(client: &Client, right: &Right, verb: &str) -> kube::Result<bool> {
    let review = SelfSubjectAccessReview { spec: right.question(verb), ..SelfSubjectAccessReview::default() };
    let answer = Api::<SelfSubjectAccessReview>::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_said_as_kubectl_says_it() {
        let answers = NEEDED.iter().flat_map(|right| {
            right.verbs.iter().map(|verb| {
                let refused = right.purpose == Purpose::Probe || right.resource == "/metrics" || *verb == "escalate";
                (right.purpose, right.words(verb), !refused)
            })
        });
        let rights = Rights::of(answers);
        assert_eq!(rights.lacking(Purpose::Probe).as_deref(), Some("create pods/exec, get pods/exec"));
        assert_eq!(rights.lacking(Purpose::Gates).as_deref(), Some("get /metrics"));
        assert_eq!(
            rights.lacking(Purpose::AgentSandbox).as_deref(),
            Some("escalate clusterroles.rbac.authorization.k8s.io")
        );
        assert_eq!(rights.lacking(Purpose::Basics), None);
    }

    #[test]
    fn a_subresource_is_asked_for_as_one() {
        let exec = NEEDED.iter().find(|right| right.resource == "pods/exec").unwrap();
        let attributes = exec.question("create").resource_attributes.unwrap();
        assert_eq!((attributes.resource.as_deref(), attributes.subresource.as_deref()), (Some("pods"), Some("exec")));
    }
}
