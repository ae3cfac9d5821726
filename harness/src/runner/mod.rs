//! Runs a plan: cells, and scenarios on them. It prints nothing; it emits events and fills the record.

pub(crate) mod cell;
pub(crate) mod facts;
pub(crate) mod guests;
pub(crate) mod install;
pub(crate) mod result;
pub(crate) mod run;
