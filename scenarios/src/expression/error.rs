//! What is wrong with an expression, and where.

use std::ops::Range;

use miette::{Diagnostic, SourceSpan};
use thiserror::Error;

use crate::nearest::{did_you_mean, or_list};

/// An expression that cannot be read; the label points at the word.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
#[error("in {place}: {message}")]
pub struct ExpressionError {
    /// The whole expression.
    #[source_code]
    text: String,
    place: String,
    message: String,
    #[label("here")]
    span: SourceSpan,
    #[help]
    help: Option<String>,
}

impl ExpressionError {
    pub(super) fn new(text: &str, message: impl Into<String>, span: Range<usize>) -> Self {
        Self {
            text: text.to_owned(),
            place: "the expression".to_owned(),
            message: message.into(),
            span: span.into(),
            help: None,
        }
    }

    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn unknown_field(text: &str, field: &str, span: Range<usize>, known: &[&str]) -> Self {
        let help = did_you_mean(field, known.iter().copied())
            .unwrap_or_else(|| format!("the fields here are {}", or_list(known.iter().copied())));
        Self::new(text, format!("there is no field `{field}`"), span).with_help(help)
    }

    /// Says which argument of a command line the expression was given to, for example `--cell`.
    #[must_use]
    pub fn in_argument(mut self, argument: &str) -> Self {
        self.place = format!("the expression after {argument}");
        self
    }

    /// The whole expression.
    pub fn expression(&self) -> &str {
        &self.text
    }

    /// What is wrong, without the expression.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub fn advice(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The bytes of the expression that are wrong.
    pub fn span(&self) -> Range<usize> {
        self.span.offset()..self.span.offset() + self.span.len()
    }
}
