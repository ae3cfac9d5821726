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
            return match found(&check.text) {
                Some("OK") => Self::Accepted,
                code => Self::Answered(code.unwrap_or_default().to_owned()),
            };
        }
        let written = |pair: &[&str]| matches!(pair, ["pod" | "sandbox" | "object", "spec" | "metadata"]);
        if keys.windows(2).any(written) || !keys.iter().any(|key| OUTCOMES.contains(key)) {
            return Self::Written;
        }
        Self::Outcome
    }
}

/// The word that a check found: `expected A, found B (because)`.
fn found(text: &str) -> Option<&str> {
    text.split_once(", found ")?.1.split(|character: char| !character.is_ascii_alphanumeric()).next()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("create.code", "at create.code: expected InvalidArgument, found OK (a bad name)", About::Accepted)]
    #[case("create.two.code", "expected OK, found InvalidArgument", About::Answered("InvalidArgument".to_owned()))]
    #[case("create.code", "expected one of Internal, Unavailable, found OK", About::Accepted)]
    #[case("await.reached", "expected true, found false", About::Outcome)]
    #[case("stopped.sandbox.conditions[type=Suspended].status", "expected True, found False", About::Outcome)]
    #[case("await.pod.status.phase", "expected Running, found Pending", About::Outcome)]
    #[case("requests.users", "expected a, found b", About::Outcome)]
    #[case("await.pod.spec.imagePullSecrets", "expected x, found nothing", About::Written)]
    #[case("own.sandbox.spec.podTemplate.spec.hostUsers", "expected false, found nothing", About::Written)]
    #[case("await.pod.spec.containers[name=all].image", "expected a, found b", About::Written)]
    #[case("list.names", "expected a, found b", About::Written)]
    #[case("rights.sandboxes", "expected a, found b", About::Written)]
    fn a_path_says_what_was_looked_at(#[case] at: &str, #[case] text: &str, #[case] about: About) {
        assert_eq!(About::of(&FailedCheck { at: at.to_owned(), text: text.to_owned() }), about);
    }
}
