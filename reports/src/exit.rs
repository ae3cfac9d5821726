//! The exit codes of a run, and which one a record earns.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Record, Verdict};

/// The exit code of a run. The constants are part of the interface: their meaning does not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ExitCode(u8);

impl ExitCode {
    /// 0: there are only passes and expected verdicts.
    pub const CONFORMANT: Self = Self(0);
    /// 1: at least one result counts against the subject.
    pub const NONCONFORMANT: Self = Self(1);
    /// 2: the command line or a configuration file is wrong. Never earned by a record: such a run has none.
    pub const USAGE: Self = Self(2);
    /// 3: the environment failed, so that at least one planned result could not be judged.
    pub const ENVIRONMENT: Self = Self(3);
    /// 4: nothing was judged. A filter that selects nothing must not look like success.
    pub const NOTHING_RAN: Self = Self(4);
    /// 5: something was left behind after clean-up.
    pub const LEFT_BEHIND: Self = Self(5);
    /// 130: the run was interrupted (128 + SIGINT). The record is still written.
    pub const INTERRUPTED: Self = Self(130);

    /// The number.
    pub const fn code(self) -> u8 {
        self.0
    }

    /// What the code says, in a few words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::CONFORMANT => "conformant",
            Self::NONCONFORMANT => "nonconformant",
            Self::USAGE => "usage or configuration",
            Self::ENVIRONMENT => "environment error",
            Self::NOTHING_RAN => "nothing ran",
            Self::LEFT_BEHIND => "something was left behind",
            Self::INTERRUPTED => "interrupted",
            Self(_) => "unknown",
        }
    }
}

impl fmt::Display for ExitCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.0, self.meaning())
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.0)
    }
}

impl Record {
    /// The exit code that the results earn. Where several would fit, the first of these wins:
    ///
    /// 1. 130 interrupted: what is missing says nothing, so neither does the rest.
    /// 2. 1 nonconformant: a finding about the subject stands, whatever else went wrong.
    /// 3. 3 environment error: an `error`, or a `not-run` that nothing declared, beside results that were judged.
    /// 4. 5 left behind: the results are good, the machine is not clean.
    /// 5. 4 nothing ran: there is no result, or all are `skipped` or `not-run`.
    /// 6. 0 conformant.
    ///
    /// Which results count against the subject is told by [`CaseResult::is_red`](crate::CaseResult::is_red).
    pub fn exit_code(&self, interrupted: bool) -> ExitCode {
        let judged = self.results().any(|(_, result)| result.verdict.was_judged());
        let nonconformant = self.red_results().any(|(_, result)| result.verdict != Verdict::Error);
        let environment = self.results().any(|(_, result)| match result.verdict {
            Verdict::Error => true,
            Verdict::NotRun => judged && !result.expected,
            _ => false,
        });
        if interrupted {
            ExitCode::INTERRUPTED
        } else if nonconformant {
            ExitCode::NONCONFORMANT
        } else if environment {
            ExitCode::ENVIRONMENT
        } else if self.cells.iter().any(|cell| !cell.leftovers.is_empty()) {
            ExitCode::LEFT_BEHIND
        } else if !judged {
            ExitCode::NOTHING_RAN
        } else {
            ExitCode::CONFORMANT
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use crate::{CaseResult, ExitCode, Record, Verdict, fixture};

    /// A record with these results; a `+` behind a verdict says that it was expected.
    fn record(profile: &str, words: &str, leftovers: &[&str]) -> Record {
        let mut cell = fixture::bare_cell("c");
        cell.leftovers = leftovers.iter().map(ToString::to_string).collect();
        for (index, word) in words.split_whitespace().enumerate() {
            let mut result = CaseResult::new(format!("S-{index}"), "", word.trim_end_matches('+').parse().unwrap());
            result.expected = result.verdict == Verdict::Pass || word.ends_with('+');
            cell.results.push(result);
        }
        let mut run = fixture::run();
        run.profile = profile.to_owned();
        Record::new(run, vec![cell], false)
    }

    #[rstest]
    #[case::only_passes("pr", "pass pass", ExitCode::CONFORMANT)]
    #[case::expected_verdicts("pr", "pass known-gap+ unsupported+ skipped+ unsupported-silent+", ExitCode::CONFORMANT)]
    #[case::fail("pr", "pass fail", ExitCode::NONCONFORMANT)]
    #[case::unexpected_pass("pr", "unexpected-pass", ExitCode::NONCONFORMANT)]
    #[case::silent("pr", "pass unsupported-silent", ExitCode::NONCONFORMANT)]
    #[case::undeclared_skip("pr", "pass skipped", ExitCode::NONCONFORMANT)]
    #[case::undeclared_refusal("pr", "pass unsupported", ExitCode::NONCONFORMANT)]
    #[case::flaky("pr", "pass flaky", ExitCode::CONFORMANT)]
    #[case::flaky_in_release("release", "pass flaky", ExitCode::NONCONFORMANT)]
    #[case::expected_flaky_in_release("release", "pass flaky+", ExitCode::CONFORMANT)]
    #[case::error("pr", "pass error", ExitCode::ENVIRONMENT)]
    #[case::nobody_may_expect_an_error("pr", "pass error+", ExitCode::ENVIRONMENT)]
    #[case::only_errors("pr", "error error", ExitCode::ENVIRONMENT)]
    #[case::finding_beside_error("pr", "error fail", ExitCode::NONCONFORMANT)]
    #[case::not_run_beside_pass("pr", "pass not-run", ExitCode::ENVIRONMENT)]
    #[case::declared_not_run("pr", "pass not-run+", ExitCode::CONFORMANT)]
    #[case::empty("pr", "", ExitCode::NOTHING_RAN)]
    #[case::all_skipped("pr", "skipped+ skipped+", ExitCode::NOTHING_RAN)]
    #[case::all_not_run("pr", "not-run not-run", ExitCode::NOTHING_RAN)]
    fn results_earn_their_code(#[case] profile: &str, #[case] words: &str, #[case] code: ExitCode) {
        let record = record(profile, words, &[]);
        assert_eq!(record.exit_code(false), code);
        assert_eq!(record.exit_code, code);
        assert_eq!(record.exit_code(true), ExitCode::INTERRUPTED);
    }

    #[rstest]
    #[case::after_success("pass", ExitCode::LEFT_BEHIND)]
    #[case::after_nothing("", ExitCode::LEFT_BEHIND)]
    #[case::after_a_finding("fail", ExitCode::NONCONFORMANT)]
    #[case::after_an_error("pass error", ExitCode::ENVIRONMENT)]
    fn leftovers_count_after_findings_and_errors(#[case] words: &str, #[case] code: ExitCode) {
        let record = record("pr", words, &["veth sp-1"]);
        assert_eq!(record.exit_code(false), code);
        assert_eq!(record.exit_code(true), ExitCode::INTERRUPTED);
    }

    #[test]
    fn the_numbers_are_part_of_the_interface() {
        let codes = [
            ExitCode::CONFORMANT,
            ExitCode::NONCONFORMANT,
            ExitCode::USAGE,
            ExitCode::ENVIRONMENT,
            ExitCode::NOTHING_RAN,
            ExitCode::LEFT_BEHIND,
            ExitCode::INTERRUPTED,
        ];
        assert_eq!(codes.map(ExitCode::code), [0, 1, 2, 3, 4, 5, 130]);
        assert_eq!(ExitCode::ENVIRONMENT.to_string(), "3 (environment error)");
    }
}
