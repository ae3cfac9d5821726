//! What a failed check is about: that decides which of the things that were seen can explain it.
//!
//! Many scenarios want a pull refused or a pod left waiting beside what they check, and that explains nothing about a
//! field which the driver wrote.

use super::FailedCheck;

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum About {
    /// A call that was answered with OK, and should have been refused.
    Accepted,
    /// A call that was answered with another code than it should have been.
    Answered(String),
    /// What came of it: whether something started, what was said of it, what a program or a registry saw.
    Outcome,
    /// What is written in an object, or listed.
    Written,
}

/// Fields of observations, and of objects within them, that tell what came of something.
const OUTCOMES: &[&str] = &[
    "reached",
    "seconds",
    "phase",
    "reason",
    "message",
    "container",
    "running",
    "events",
    "status",
    "conditions",
    "supervisor",
    "mount",
    "write",
    "process",
    "own",
    "environment",
    "all",
    "manifests",
    "users",
    "refused",
    "accepted",
    "denied",
];

impl About {
    /// What a check is about.
    pub(super) fn of(check: &FailedCheck) -> Self {
        let keys: Vec<&str> = check.at.split(['.', '[', ']']).filter(|key| !key.is_empty()).skip(1).collect();
        if keys.last() == Some(&"code") {
            return match check.found.as_str() {
                "OK" => Self::Accepted,
                code => Self::Answered(code.to_owned()),
            };
        }
        let written = |pair: &[&str]| matches!(pair, ["pod" | "sandbox" | "object", "spec" | "metadata"]);
        if keys.windows(2).any(written) || !keys.iter().any(|key| OUTCOMES.contains(key)) {
            return Self::Written;
        }
        Self::Outcome
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("create.code", "OK", About::Accepted)]
    #[case("create.two.code", "InvalidArgument", About::Answered("InvalidArgument".to_owned()))]
    #[case("await.reached", "false", About::Outcome)]
    #[case("stopped.sandbox.conditions[type=Suspended].status", "False", About::Outcome)]
    #[case("await.pod.status.phase", "Pending", About::Outcome)]
    #[case("requests.users", "b", About::Outcome)]
    #[case("await.pod.spec.imagePullSecrets", "nothing", About::Written)]
    #[case("own.sandbox.spec.podTemplate.spec.hostUsers", "nothing", About::Written)]
    #[case("await.pod.spec.containers[name=all].image", "b", About::Written)]
    #[case("list.names", "b", About::Written)]
    #[case("rights.sandboxes", "b", About::Written)]
    fn a_path_says_what_was_looked_at(#[case] at: &str, #[case] found: &str, #[case] about: About) {
        assert_eq!(
            About::of(&FailedCheck { at: at.to_owned(), found: found.to_owned(), ..FailedCheck::default() }),
            about
        );
    }
}
