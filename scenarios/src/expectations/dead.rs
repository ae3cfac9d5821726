//! Rows that nothing needs any more.

use serde_json::{Map, Value, json};

use super::{Expectation, Expectations, Row};
use crate::Facts;
use crate::suite::Suite;

/// A row that no result used, and that can be used nowhere else either.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadRow<'e> {
    /// Where it is written: `FILE:LINE`.
    pub place: String,
    /// The row.
    pub expectation: &'e Expectation,
}

impl Expectations {
    /// The rows that no result of a full run used.
    ///
    /// `clusters` are the facts of the cells that were run, `elsewhere` what is known beforehand of those that were not.
    /// A row whose condition can hold on one of the latter is not dead, and neither is one about other subjects.
    /// Of a cell whose provider is all that is known, a row has to be about providers to count.
    pub fn dead<'e>(&'e self, suite: &Suite, clusters: &[Facts], elsewhere: &[Facts]) -> Vec<DeadRow<'e>> {
        let dead = self.rows.iter().filter(|row| {
            !self.is_used(row, suite, clusters)
                && !is_about_the_subject(row)
                && !elsewhere.iter().any(|known| can_hold(row, suite, known))
        });
        dead.map(|row| DeadRow { place: row.place.text(), expectation: &row.expectation }).collect()
    }
}

/// A run has one subject, and says nothing about rows for another.
fn is_about_the_subject(row: &Row) -> bool {
    row.when.as_ref().is_some_and(|when| when.reads_below("subject"))
}

/// Whether the row could fit some result of a cell of which only this is known.
fn can_hold(row: &Row, suite: &Suite, known: &Facts) -> bool {
    let only_provider = known.tree().get("provider").is_some() && known.tree().get("kubernetes").is_none();
    if only_provider && !row.when.as_ref().is_some_and(|when| when.reads("provider")) {
        return false;
    }
    suite.instances().filter(|instance| row.expectation.names(instance)).any(|instance| {
        let Some(when) = &row.when else { return true };
        let mut tree = known.tree().as_object().cloned().unwrap_or_else(Map::new);
        tree.insert("param".to_owned(), Value::Object(instance.parameters.clone()));
        when.can_hold_with(&json!(tree))
    })
}
