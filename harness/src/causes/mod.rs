//! Why a verdict is red: an ordered chain of what was seen, found by the first rule that fits.
//!
//! The order of a chain is the order of cause and effect that a reader follows:
//! spec, driver, kubelet event, runtime error, registry response.

mod about;
mod rules;

use jiff::Timestamp;
use sandproof_reports::{Cause, ChainLink};
use serde_json::Value;

use crate::{cluster_state::SeenEvent, steps::rpc::Call};

/// What a rule may look at. All of it is in the evidence too.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Failed checks, as sentences.
    pub(crate) failed: Vec<FailedCheck>,
    /// The pods of the namespace.
    pub(crate) pods: Vec<Value>,
    /// The Sandboxes that these pods are made from.
    pub(crate) sandboxes: Vec<Value>,
    /// Its events, oldest first.
    pub(crate) events: Vec<SeenEvent>,
    /// The calls to the driver.
    pub(crate) calls: Vec<Call>,
    /// What the registry was asked for the scenario's images.
    pub(crate) requests: Vec<SeenRequest>,
    /// The last lines of the driver's log.
    pub(crate) driver_log: Vec<String>,
    /// Why a step could not be carried out.
    pub(crate) step_error: Option<String>,
}

/// A check that did not hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct FailedCheck {
    /// The path that was looked at.
    pub(crate) at: String,
    /// What was there, in words.
    pub(crate) found: String,
    /// The sentence.
    pub(crate) text: String,
    /// Whether it is about something that the driver's watch should have told.
    pub(crate) is_of_watch: bool,
}

/// A request to the registry, as a chain shows it.
#[derive(Debug, Clone)]
pub(crate) struct SeenRequest {
    /// When.
    pub(crate) at: Timestamp,
    /// For example `GET manifest v1 of PS-01/agent`.
    pub(crate) what: String,
    /// The user who was accepted, or whose credentials were presented.
    pub(crate) who: String,
    /// The status.
    pub(crate) status: u16,
}

/// The cause of a red verdict.
pub(crate) fn find(seen: &Seen) -> Cause {
    let found = rules::RULES.iter().find_map(|(name, rule)| Some((*name, rule(seen)?)));
    let (rule, (summary, mut chain)) =
        found.unwrap_or_else(|| ("unexplained", ("nothing that was seen explains it".to_owned(), Vec::new())));
    // What was expected comes first: the rest explains why it did not come about.
    let mut links: Vec<ChainLink> =
        seen.failed.iter().take(3).map(|check| link("check", Some(check.at.clone()), &check.text)).collect();
    links.append(&mut chain);
    Cause { summary, rule: rule.to_owned(), chain: links }
}

/// A link of a chain; long texts are cut, the evidence has them whole.
fn link(source: &str, at: Option<String>, text: &str) -> ChainLink {
    const LONGEST: usize = 600;
    let mut text = text.trim().to_owned();
    if text.chars().count() > LONGEST {
        text = text.chars().take(LONGEST).chain("…".chars()).collect();
    }
    ChainLink { source: source.to_owned(), at, text }
}
