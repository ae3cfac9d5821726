//! Runs a plan: cells, and scenarios on them. It prints nothing; it emits events and fills the record.

mod capabilities;
pub(crate) mod cell;
pub(crate) mod equip;
pub(crate) mod facts;
pub(crate) mod faulty;
mod foundation;
pub(crate) mod guests;
pub(crate) mod install;
pub(crate) mod limits;
mod observed;
mod readiness;
pub(crate) mod result;
pub(crate) mod run;
mod schedule;
mod trial;

pub(crate) use observed::facts_of;
