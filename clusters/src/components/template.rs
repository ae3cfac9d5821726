//! The placeholders of `pins.yaml`: `{version}`, `{arch}` and the like.

use thiserror::Error;

use crate::host::architecture;

/// Why a template could not be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum TemplateError {
    #[error("`{0}` is not a version of three numbers")]
    Version(String),
    #[error("`{text}` has the unknown placeholder `{{{placeholder}}}`")]
    Unknown { text: String, placeholder: String },
    #[error("`{0}` has a brace that is not closed")]
    Open(String),
}

/// The values of the placeholders for one version.
#[derive(Debug, Clone)]
pub(super) struct Template {
    values: Vec<(&'static str, String)>,
}

impl Template {
    pub(super) fn new(version: &str) -> Result<Self, TemplateError> {
        let parsed = semver::Version::parse(version).map_err(|_| TemplateError::Version(version.to_owned()))?;
        Ok(Self {
            values: vec![
                ("version", version.to_owned()),
                ("series", format!("{}.{}", parsed.major, parsed.minor)),
                ("major", parsed.major.to_string()),
                ("minor", parsed.minor.to_string()),
                ("patch", parsed.patch.to_string()),
                ("arch", architecture().to_owned()),
            ],
        })
    }

    /// Adds the program's name.
    pub(super) fn program(&self, name: &str) -> Self {
        let mut values = self.values.clone();
        values.push(("program", name.to_owned()));
        Self { values }
    }

    /// Replaces every placeholder in `text`.
    pub(super) fn expand(&self, text: &str) -> Result<String, TemplateError> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (placeholder, after) = after.split_once('}').ok_or_else(|| TemplateError::Open(text.to_owned()))?;
            let (_, value) = self
                .values
                .iter()
                .find(|(name, _)| *name == placeholder)
                .ok_or_else(|| TemplateError::Unknown { text: text.to_owned(), placeholder: placeholder.to_owned() })?;
            expanded.push_str(before);
            expanded.push_str(value);
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }
}
