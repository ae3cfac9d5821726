//! What became of a creation or a deletion, and what it left behind.

use std::fmt;

use serde::{Serialize, Serializer};

/// What is still there of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LeftBehind {
    /// Nothing: it was looked for.
    #[default]
    Nothing,
    /// This, one line each, in words that a person can act on.
    These(Vec<String>),
    /// It could not be looked for, for this reason. The ledger keeps the entry, and a sweep tries again.
    Unknown(String),
}

/// What a deletion left.
#[derive(Debug, Clone, PartialEq)]
pub struct Deletion {
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What could not be removed.
    pub left: LeftBehind,
}

/// Why something failed, and what is there of it all the same.
#[derive(Debug)]
pub struct Failed<E> {
    /// Why.
    pub reason: E,
    /// What was made before and could not be removed again.
    pub left: LeftBehind,
}

impl LeftBehind {
    /// Whether nothing is left for certain.
    pub const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// One line for each thing; what is not known is a line too.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Nothing => Vec::new(),
            Self::These(lines) => lines.clone(),
            Self::Unknown(reason) => vec![format!("perhaps everything: {reason}")],
        }
    }

    /// This and that. What is not known stays unknown, whatever else is.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, left) | (left, Self::Nothing) => left,
            (Self::These(mut lines), Self::These(others)) => {
                lines.extend(others);
                Self::These(lines)
            }
            (Self::Unknown(reason), other) | (other, Self::Unknown(reason)) => {
                Self::Unknown([vec![reason], other.lines()].concat().join("; "))
            }
        }
    }
}

impl From<Vec<String>> for LeftBehind {
    fn from(lines: Vec<String>) -> Self {
        if lines.is_empty() { Self::Nothing } else { Self::These(lines) }
    }
}

impl Serialize for LeftBehind {
    /// Its lines.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.lines().serialize(serializer)
    }
}

impl fmt::Display for LeftBehind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => formatter.write_str("nothing"),
            other => formatter.write_str(&other.lines().join(", ")),
        }
    }
}

impl<E> Failed<E> {
    /// A failure before anything was made, or after all of it was removed again.
    pub const fn cleanly(reason: E) -> Self {
        Self { reason, left: LeftBehind::Nothing }
    }

    /// The same with another reason.
    pub fn map<T>(self, map: impl FnOnce(E) -> T) -> Failed<T> {
        Failed { reason: map(self.reason), left: self.left }
    }
}

impl<E: fmt::Display> fmt::Display for Failed<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(formatter)?;
        if !self.left.is_nothing() {
            write!(formatter, "; left behind: {}", self.left)?;
        }
        Ok(())
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for Failed<E> {}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn these(line: &str) -> LeftBehind {
        LeftBehind::These(vec![line.to_owned()])
    }

    fn unknown(reason: &str) -> LeftBehind {
        LeftBehind::Unknown(reason.to_owned())
    }

    #[rstest]
    #[case(LeftBehind::Nothing, LeftBehind::Nothing, "nothing")]
    #[case(LeftBehind::Nothing, these("link a"), "link a")]
    #[case(these("link a"), these("link b"), "link a, link b")]
    #[case(these("link a"), unknown("the engine is gone"), "perhaps everything: the engine is gone; link a")]
    #[case(unknown("one"), unknown("two"), "perhaps everything: one; perhaps everything: two")]
    fn what_is_unknown_stays_unknown(#[case] one: LeftBehind, #[case] other: LeftBehind, #[case] shown: &str) {
        assert_eq!(one.and(other).to_string(), shown);
    }

    #[test]
    fn a_failure_says_what_it_left() {
        assert_eq!(Failed::cleanly("no disk").to_string(), "no disk");
        let failed = Failed { reason: "no disk", left: these("link a") };
        assert_eq!(failed.to_string(), "no disk; left behind: link a");
    }
}
