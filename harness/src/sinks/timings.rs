//! How long each result took, for whoever measures.

use std::sync::{Arc, Mutex, PoisonError};

use sandproof_reports::Verdict;

use crate::{
    events::{Event, Sink, Stamped},
    runner::spent::Spent,
};

/// How long one result took.
#[derive(Debug, Clone)]
pub(crate) struct Timing {
    /// The result's key.
    pub(crate) scenario: String,
    /// All of it, in seconds.
    pub(crate) seconds: f64,
    /// Where that went.
    pub(crate) spent: Spent,
}

/// Collects them; a clone has the same ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timings(Arc<Mutex<Vec<Timing>>>);

impl Timings {
    /// What was collected.
    pub(crate) fn all(&self) -> Vec<Timing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Sink for Timings {
    fn take(&mut self, stamped: &Stamped) {
        // What was left out took no time that says anything.
        let Event::ScenarioFinished { scenario, verdict, seconds, spent, .. } = &stamped.event else { return };
        if *verdict != Verdict::Skipped {
            let timing = Timing { scenario: scenario.clone(), seconds: *seconds, spent: spent.clone() };
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(timing);
        }
    }
}
