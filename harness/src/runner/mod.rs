//! Runs a plan: cells, and scenarios on them. It prints nothing; it emits events and fills the record.

mod capabilities;
pub(crate) mod cell;
mod deaths;
pub(crate) mod equip;
pub(crate) mod facts;
pub(crate) mod faulty;
mod foundation;
pub(crate) mod guests;
pub(crate) mod install;
pub(crate) mod leftovers;
pub(crate) mod limits;
pub(crate) mod namespace;
mod observed;
pub(crate) mod one_cell;
pub(crate) mod order;
mod readiness;
pub(crate) mod result;
pub(crate) mod run;
mod schedule;
pub(crate) mod spent;
mod trial;

pub(crate) use observed::facts_of;
