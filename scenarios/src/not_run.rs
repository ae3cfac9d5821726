//! Clauses of the contract that no scenario runs, each with the reason.

use std::collections::BTreeSet;

use camino::Utf8Path;
use serde::Deserialize;

use crate::source::{Document, Step};
use crate::suite::{Suite, is_id};
use crate::suite_error::{SuiteError, SuiteErrors};

/// The file as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NotRunFile {
    not_run: Vec<NotRun>,
}

/// A clause that no scenario runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NotRun {
    /// The ID that it would have.
    pub id: String,
    /// What it is about, in one line.
    pub title: String,
    /// Why it is not run, and where it is seen instead if anywhere.
    pub reason: String,
}

impl NotRun {
    /// Reads a file, and holds it against the suite: what is run is not also said not to be.
    pub fn load(file: &Utf8Path, suite: &Suite) -> Result<Vec<Self>, SuiteErrors> {
        let text = fs_err::read_to_string(file).map_err(|error| SuiteErrors::unreadable(file, &error))?;
        Self::parse(&text, file, suite)
    }

    /// Reads the text of a file.
    pub fn parse(text: &str, file: &Utf8Path, suite: &Suite) -> Result<Vec<Self>, SuiteErrors> {
        let one = |error| SuiteErrors::from(vec![error]);
        let document = Document::parse(file, text).map_err(one)?;
        let NotRunFile { not_run } = document.read(document.value()).map_err(one)?;
        let mut errors = Vec::new();
        let mut seen = BTreeSet::new();
        for (position, clause) in not_run.iter().enumerate() {
            let at = |field: &str| vec![Step::from("notRun"), position.into(), field.into()];
            let mut complain = |field: &str, message: String, help: &str| {
                let error: SuiteError = document.error(message, &at(field));
                errors.push(error.with_help(help));
            };
            let id = &clause.id;
            if !is_id(id) {
                let help = "an ID is two capital letters, a hyphen and two or more digits, for example `PS-02`";
                complain("id", format!("`{id}` is not an ID"), help);
            } else if !seen.insert(id.as_str()) {
                complain("id", format!("`{id}` is listed above"), "remove one of them");
            } else if suite.scenario(id).is_some() {
                complain("id", format!("there is a scenario {id}"), "remove the entry: it is run");
            }
            for (field, text) in [("title", &clause.title), ("reason", &clause.reason)] {
                if text.trim().is_empty() {
                    complain(field, format!("`{field}` is empty"), "say it in one line");
                }
            }
        }
        if errors.is_empty() { Ok(not_run) } else { Err(errors.into()) }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("notRun: [{id: DC-3, title: t, reason: r}]", (1, 15), "is not an ID")]
    #[case("notRun:\n- {id: DC-03, title: t, reason: r}\n- {id: DC-03, title: t, reason: r}", (3, 8), "is listed above")]
    #[case("notRun: [{id: DC-03, title: t, reason: ' '}]", (1, 40), "`reason` is empty")]
    #[case("notRun: [{id: DC-03, title: t, why: r}]", (1, 32), "unknown field `why`")]
    fn a_mistake_is_at_its_place(#[case] text: &str, #[case] place: (usize, usize), #[case] message: &str) {
        let suite = Suite { scenarios: Vec::new() };
        let errors = NotRun::parse(text, "not-run.yaml".into(), &suite).unwrap_err();
        let error = &errors.errors()[0];
        assert!(error.message().contains(message), "{}", error.message());
        assert_eq!(error.position(), Some(place), "{}", error.message());
    }
}
