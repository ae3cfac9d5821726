//! What a result leaves in its cluster beside what its own clean-up removes.
//!
//! Everything that a scenario makes has the scenario's identity in its name or in its text, so what is left of it can be
//! found in a cluster on which others run. What a scenario may only change when it runs alone (nodes, the definitions
//! of Agent Sandbox and the like) is compared with how it was.
//!
//! Looking has two parts. Right after the clean-up whatever is not being deleted is left over. Namespaces take a
//! while to go, so whether they do is looked at once, when all results of the cell are in.

mod objects;
mod shared;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::future::join_all;
use kube::Client;
use sandproof_reports::{CaseResult, Cause, ChainLink};
use sandproof_scenarios::judge_leftovers;
use tokio::time::{Instant, sleep};

pub(crate) use self::objects::{Found, remove_release};
pub(crate) use self::shared::Shared;
use super::namespace::going;
use crate::{
    events::{Event, Events},
    scene::Scene,
};

/// The rule that a cause names for what was left behind.
pub(crate) const RULE: &str = "leftover";

/// How long what was deleted may take to be gone from the lists of the API server, or what was changed to be back.
const SHORT_DEADLINE: Duration = Duration::from_secs(10);

/// How long the namespaces of a cell's results may take to be gone once the last result is in.
const NAMESPACE_DEADLINE: Duration = Duration::from_mins(1);

/// Between two looks: nothing announces that a list is empty.
const PAUSE: Duration = Duration::from_millis(250);

/// One thing that is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leftover {
    /// `KIND NAME`.
    pub(crate) object: String,
    /// What is known of it.
    pub(crate) text: String,
}

impl Leftover {
    /// An object with what is known of it.
    pub(crate) fn new(object: impl Into<String>, text: impl Into<String>) -> Self {
        Self { object: object.into(), text: text.into() }
    }
}

/// What is left right after a scenario's clean-up; `seen` is what its clean-up saw and did not remove, and `before` is
/// how the cluster was, where it ran alone.
/// What cannot be looked for, because the account may not, is not found; other failures are told.
pub(crate) async fn after(scene: &Scene, mut seen: Option<Vec<Found>>, before: Option<&Shared>) -> Vec<Leftover> {
    let stage = &scene.stage;
    let client = &stage.client;
    let end = Instant::now() + SHORT_DEADLINE;
    loop {
        let found = async {
            let all = match seen.take() {
                Some(seen) => seen,
                None => objects::all(client).await?,
            };
            let mut left: Vec<Leftover> = all
                .into_iter()
                .filter(|found| found.mentions(&scene.identity) && found.stays())
                .map(|found| found.leftover(SHORT_DEADLINE))
                .collect();
            if let Some(before) = before {
                let now = Shared::read(client).await?;
                // What has the identity in it is told once.
                let told: Vec<String> = left.iter().map(|leftover| leftover.object.clone()).collect();
                left.extend(before.changes(&now).into_iter().filter(|change| !told.contains(&change.object)));
            }
            Ok::<_, kube::Error>(left)
        };
        let left = match found.await {
            Ok(left) => left,
            Err(error) => {
                let text = format!("{}: what it left behind could not be looked for: {error}", scene.key);
                stage.events.emit(Event::Warning { text });
                return Vec::new();
            }
        };
        if left.is_empty() || Instant::now() >= end || stage.halt.is_cancelled() {
            return left;
        }
        sleep(PAUSE).await;
    }
}

/// Waits until the namespaces of all results are gone, and turns those results red whose namespaces stay.
/// `identities` are the scenarios' identities by the keys of their results.
pub(crate) async fn settle(
    client: &Client,
    events: &Events,
    cell: &str,
    identities: &BTreeMap<String, Vec<String>>,
    results: &mut [CaseResult],
) {
    if identities.is_empty() {
        return;
    }
    let end = Instant::now() + NAMESPACE_DEADLINE;
    let keys: Vec<String> = results.iter().map(CaseResult::key).collect();
    // What was found right after a result's clean-up is in its cause already.
    let told: BTreeSet<(&str, String)> = keys
        .iter()
        .zip(results.iter())
        .filter_map(|(key, result)| Some((key, result.cause.as_ref()?)))
        .flat_map(|(key, cause)| cause.chain.iter().filter_map(move |link| Some((key.as_str(), link.at.clone()?))))
        .collect();
    let looked = async {
        // Whether they are gone is looked at afterwards, so the outcome of the wait does not matter.
        let _ = tokio::time::timeout_at(end, join_all(going(client).await?)).await;
        loop {
            let mut left: BTreeMap<&str, Vec<Leftover>> = BTreeMap::new();
            for found in objects::all(client).await? {
                let owner = identities
                    .iter()
                    .find(|(_, identities)| identities.iter().any(|identity| found.mentions(identity)));
                if let Some((key, _)) = owner
                    && !told.contains(&(key.as_str(), found.object()))
                {
                    left.entry(key).or_default().push(found.leftover(NAMESPACE_DEADLINE));
                }
            }
            if left.is_empty() || Instant::now() >= end {
                return Ok::<_, kube::Error>(left);
            }
            sleep(PAUSE).await;
        }
    };
    match looked.await {
        Ok(left) => {
            for result in results.iter_mut() {
                if let Some(left) = left.get(result.key().as_str()) {
                    redden(result, left);
                    let objects = left.iter().map(|leftover| leftover.object.clone()).collect();
                    events.emit(Event::LeftBehind { cell: cell.to_owned(), scenario: result.key(), objects });
                }
            }
        }
        Err(error) => {
            let text =
                format!("{cell}: whether the namespaces of its results are gone could not be looked for: {error}");
            events.emit(Event::Warning { text });
        }
    }
}

/// Makes a result what it is with this left behind.
pub(crate) fn redden(result: &mut CaseResult, left: &[Leftover]) {
    let objects: Vec<String> = left.iter().map(|leftover| leftover.object.clone()).collect();
    if let Some(judgement) = judge_leftovers(result.verdict, &objects) {
        result.verdict = judgement.verdict;
        result.expected = judgement.expected;
        result.cause = Some(Cause::new(RULE, judgement.summary));
    }
    if let Some(cause) = &mut result.cause {
        cause.chain.extend(links(left));
    }
}

/// What was left, as links of a cause's chain.
pub(crate) fn links(left: &[Leftover]) -> impl Iterator<Item = ChainLink> {
    left.iter().map(|leftover| ChainLink::new("cluster", &leftover.text).at(&leftover.object))
}

#[cfg(test)]
mod tests {
    use sandproof_reports::Verdict;

    use super::*;

    fn left() -> Vec<Leftover> {
        vec![Leftover::new("Namespace ps-01-0", "it is still being deleted after 60 s")]
    }

    #[test]
    fn a_pass_that_leaves_something_is_a_failure_that_names_it() {
        let mut result = CaseResult::new("PS-01", "t", Verdict::Pass);
        redden(&mut result, &left());
        assert_eq!((result.verdict, result.expected), (Verdict::Fail, false));
        let cause = result.cause.unwrap();
        assert_eq!((cause.rule.as_str(), cause.summary.as_str()), (RULE, "left behind: Namespace ps-01-0"));
        assert_eq!(cause.chain.len(), 1);
    }

    #[test]
    fn a_failure_keeps_its_cause_and_tells_the_rest_too() {
        let mut result = CaseResult::new("PS-01", "t", Verdict::Fail);
        result.cause = Some(Cause::new("pull-failed", "an image could not be pulled"));
        redden(&mut result, &left());
        let cause = result.cause.unwrap();
        assert_eq!(cause.rule, "pull-failed");
        assert_eq!(cause.chain[0].at.as_deref(), Some("Namespace ps-01-0"));
    }
}
