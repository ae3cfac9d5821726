//! The record of a run, and everything that is shown of it.
//!
//! A run leaves one [`Record`], written as `report.json`.
//! Every other form is a pure function of that record: [`terminal`], [`junit`], [`markdown`], [`html`].
//! [`diff`], [`merge`] and [`history`] work on several records.
//! So a report can be rendered again, merged and compared long after the clusters are gone.
//!
//! This crate knows nothing of clusters, scenarios or drivers beyond what the record says.

mod exit;
mod files;
mod record;
mod verdict;

pub mod diff;
pub mod history;
pub mod html;
pub mod junit;
pub mod markdown;
pub mod matrix;
pub mod merge;
pub mod schema;
pub mod terminal;
pub mod text;

pub use exit::ExitCode;
pub use files::{ReadError, WriteError, Written};
pub use record::{
    Adaptation, AgentSandboxParts, Axes, CaseResult, Cause, Cell, ChainLink, Harness, Observed, ObservedSubject,
    Params, Phase, Record, Run, SCHEMA, Subject, Summary, result_key,
};
pub use schema::schema;
pub use verdict::{UnknownVerdict, Verdict};

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod properties;
