//! The judgement on one scenario in one cell.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The judgement on one scenario in one cell.
///
/// The order of the values is the order of severity, from the mildest to the gravest:
/// the worst of several verdicts is their maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The promise holds.
    Pass,
    /// The cell cannot do it, and the documented refusal was seen.
    Unsupported,
    /// Left out on purpose, for a stated reason.
    Skipped,
    /// The promise does not hold, as an expectation with a reason and an expiry says.
    KnownGap,
    /// Planned, but the run ended before it could be judged.
    NotRun,
    /// It held only after a retry.
    Flaky,
    /// It holds although an expectation says that it does not: the expectation is out of date.
    UnexpectedPass,
    /// The cell cannot do it and nothing said so: a finding about the subject.
    UnsupportedSilent,
    /// The environment failed. Never the subject's failure, and never a pass.
    Error,
    /// The promise does not hold.
    Fail,
}

impl Verdict {
    /// All verdicts, the mildest first.
    pub const ALL: [Self; 10] = [
        Self::Pass,
        Self::Unsupported,
        Self::Skipped,
        Self::KnownGap,
        Self::NotRun,
        Self::Flaky,
        Self::UnexpectedPass,
        Self::UnsupportedSilent,
        Self::Error,
        Self::Fail,
    ];

    /// The name used in files and tables, in kebab case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Unsupported => "unsupported",
            Self::Skipped => "skipped",
            Self::KnownGap => "known-gap",
            Self::NotRun => "not-run",
            Self::Flaky => "flaky",
            Self::UnexpectedPass => "unexpected-pass",
            Self::UnsupportedSilent => "unsupported-silent",
            Self::Error => "error",
            Self::Fail => "fail",
        }
    }

    /// Whether the verdict is red where nothing says that it was expected.
    ///
    /// This is the verdict alone.
    /// Whether a result counts against a run also depends on [`expected`](crate::CaseResult::expected)
    /// and on the profile: see [`CaseResult::is_red`](crate::CaseResult::is_red).
    pub const fn is_red(self) -> bool {
        match self {
            Self::Fail | Self::Error | Self::UnexpectedPass | Self::UnsupportedSilent => true,
            Self::Pass | Self::Unsupported | Self::Skipped | Self::KnownGap | Self::NotRun | Self::Flaky => false,
        }
    }

    /// Whether it says nothing of the subject, although the scenario was to be run: it has to be run again to know.
    pub const fn leaves_open(self) -> bool {
        matches!(self, Self::Error | Self::NotRun)
    }

    /// Whether the scenario was carried out far enough to be judged.
    pub const fn was_judged(self) -> bool {
        !matches!(self, Self::Skipped | Self::NotRun)
    }

    /// One character of width one, for dense tables. Always shown beside or instead of the name, never colour alone.
    pub const fn glyph(self) -> char {
        match self {
            Self::Pass => '✓',
            Self::Unsupported => '∅',
            Self::Skipped => '–',
            Self::KnownGap => '○',
            Self::NotRun => '·',
            Self::Flaky => '≈',
            Self::UnexpectedPass => '↑',
            Self::UnsupportedSilent => '?',
            Self::Error => '!',
            Self::Fail => '✗',
        }
    }

    /// One sentence for a legend.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Pass => "the promise holds",
            Self::Unsupported => "the cell cannot do it, and the documented refusal was seen",
            Self::Skipped => "left out on purpose, for a stated reason",
            Self::KnownGap => "the promise does not hold, as an expectation says",
            Self::NotRun => "planned, but the run ended before it could be judged",
            Self::Flaky => "held only after a retry",
            Self::UnexpectedPass => "holds although an expectation says that it does not",
            Self::UnsupportedSilent => "the cell cannot do it and nothing said so",
            Self::Error => "the environment failed, not the subject",
            Self::Fail => "the promise does not hold",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A word that is no verdict.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown verdict `{found}`: use one of {}", Verdict::ALL.map(Verdict::name).join(", "))]
pub struct UnknownVerdict {
    /// The word.
    pub found: String,
}

impl FromStr for Verdict {
    type Err = UnknownVerdict;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|verdict| verdict.name() == word)
            .ok_or_else(|| UnknownVerdict { found: word.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn names_agree_with_the_serialised_form_and_parse_back() {
        for verdict in Verdict::ALL {
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.name());
            assert_eq!(verdict.name().parse(), Ok(verdict));
            assert_eq!(verdict.to_string(), verdict.name());
        }
    }

    #[test]
    fn the_list_is_complete_and_ordered_by_severity() {
        assert!(Verdict::ALL.is_sorted());
        assert_eq!(Verdict::ALL.iter().max(), Some(&Verdict::Fail));
    }

    #[rstest]
    #[case("Pass")]
    #[case("xfail")]
    #[case("")]
    fn other_words_are_refused_with_the_words_to_use(#[case] word: &str) {
        let message = word.parse::<Verdict>().unwrap_err().to_string();
        assert!(message.starts_with(&format!("unknown verdict `{word}`: use one of pass, ")), "{message}");
    }
}
