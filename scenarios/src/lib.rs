//! The scenario language and the judge.
//!
//! A suite is a directory of YAML files, one scenario each ([`Suite::load`]).
//! The harness carries out an instance's [`Step`]s and hands what it observed to [`judge()`], the only place that decides.

pub mod expression;
pub mod path;
pub mod schema;
pub mod time_limits;
pub mod yaml;

mod expectations;
mod explain;
mod facts;
mod judge;
mod language;
mod lint;
mod matching;
mod nearest;
mod not_run;
mod parameters;
mod source;
mod subject_profile;
mod suite;
mod suite_error;

#[cfg(test)]
mod tests;

pub use expectations::{DeadRow, Expectation, Expectations, ExpectationsFile, Expiry, Proposal, Seen, propose};
pub use explain::{Explanation, Form, Part, Sentence};
pub use expression::{Expression, ExpressionError};
pub use facts::Facts;
pub use judge::{
    AppliedExpectation, FailedCheck, Judgement, Observations, StepError, judge, judge_beforehand, judge_leftovers,
};
pub use language::*;
pub use not_run::NotRun;
pub use sandproof_reports::Verdict;
pub use subject_profile::{
    Absence, ChartSettings, ChartValues, ImageOrigin, ProcessSettings, SubjectProfile, SubjectProfileFile, Told,
};
pub use suite::{EXPECTATIONS, Suite};
pub use suite_error::{SuiteError, SuiteErrors};
