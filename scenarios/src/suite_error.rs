//! Faults in scenario files, each with its file, line and caret.

use std::ops::Range;
use std::sync::Arc;

use camino::Utf8Path;
use miette::{Diagnostic, NamedSource, SourceSpan};
use thiserror::Error;

/// One fault in a file of the suite.
#[derive(Debug, Clone, Error, Diagnostic)]
#[error("{message}")]
pub struct SuiteError {
    message: String,
    file: Box<Utf8Path>,
    #[source_code]
    source_text: Option<Arc<NamedSource<Arc<str>>>>,
    #[label("here")]
    span: Option<SourceSpan>,
    #[help]
    help: Option<String>,
    #[related]
    related: Vec<SuiteError>,
}

/// All faults that were found in a suite.
#[derive(Debug, Clone, Error, Diagnostic)]
#[error("{}", counted(.errors.len()))]
pub struct SuiteErrors {
    #[related]
    errors: Vec<SuiteError>,
}

impl SuiteError {
    pub(crate) fn new(message: impl Into<String>, file: &Utf8Path) -> Self {
        Self {
            message: message.into(),
            file: file.into(),
            source_text: None,
            span: None,
            help: None,
            related: Vec::new(),
        }
    }

    pub(crate) fn at(mut self, text: &Arc<str>, span: Range<usize>) -> Self {
        self.source_text = Some(Arc::new(NamedSource::new(self.file.as_str(), Arc::clone(text)).with_language("yaml")));
        self.span = Some(span.into());
        self
    }

    /// Another fault at the same place.
    pub(crate) fn saying(&self, message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, related: Vec::new(), ..self.clone() }
    }

    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn with_optional_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    pub(crate) fn with_related(mut self, related: Self) -> Self {
        self.related.push(related);
        self
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub fn advice(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The file.
    pub fn file(&self) -> &Utf8Path {
        &self.file
    }

    /// The line and the column, both counted from 1.
    pub fn position(&self) -> Option<(usize, usize)> {
        let text = self.source_text.as_ref()?.inner();
        let before = text.get(..self.span?.offset())?;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
    }

    /// The text that the caret points at.
    #[cfg(test)]
    pub(crate) fn pointed_at(&self) -> &str {
        let span = self.span.unwrap();
        &self.source_text.as_ref().unwrap().inner()[span.offset()..span.offset() + span.len()]
    }

    /// Whether it is the same fault, found again for another set of parameters.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.message == other.message && self.span == other.span && self.file == other.file
    }
}

impl SuiteErrors {
    pub(crate) fn new(errors: Vec<SuiteError>) -> Self {
        Self { errors }
    }

    pub(crate) fn unreadable(file: &Utf8Path, error: &std::io::Error) -> Self {
        Self::new(vec![SuiteError::new(error.to_string(), file)])
    }

    /// The faults, by file and place.
    pub fn errors(&self) -> &[SuiteError] {
        &self.errors
    }
}

fn counted(number: usize) -> String {
    if number == 1 { "found 1 fault".to_owned() } else { format!("found {number} faults") }
}
