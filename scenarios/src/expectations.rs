//! What a suite's results should be where that is not a pass.
//!
//! A row says for which scenarios and under which condition on the probed facts a verdict is expected, and why,
//! where it is tracked and until when it holds.
//! The first row that fits wins; what an expired one does is told by [`Expiry`].

mod condition;
mod dead;
mod proposal;
mod suitability;

use camino::Utf8Path;
use jiff::civil::Date;
use sandproof_reports::Verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Facts;
use crate::expression::Expression;
use crate::language::{Parameters, ScenarioInstance};
use crate::source::Document;
use crate::suite::Suite;
use crate::suite_error::{SuiteError, SuiteErrors};

pub use dead::DeadRow;
pub use proposal::{Proposal, Seen, propose};

/// The rows of an expectations file, as of a date.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectations {
    rows: Vec<Row>,
    as_of: Date,
    expiry: Expiry,
}

/// What becomes of a row whose last day is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expiry {
    /// It goes on excusing, and whoever runs the suite is to warn of it: nobody's change gets red by the date alone.
    #[default]
    Warns,
    /// It excuses nothing any more.
    Counts,
}

/// One row of an expectations file, as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expectation {
    /// A scenario's ID; `*` stands for any characters, so `SL-*` is every side-load scenario.
    pub scenario: String,
    /// An expression on the probed facts and on `param.NAME`; without it the row holds everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Only instances with these values of their parameters.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub params: Parameters,
    /// The verdict to expect. `known-gap` and `fail` excuse a failure, `skipped` keeps the scenario from being run,
    /// `pass` ends the search, so that a later row does not apply.
    pub verdict: Verdict,
    /// Why, in words for a report.
    pub reason: String,
    /// Where it is tracked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<String>,
    /// The last day on which the row holds; needed for everything but `pass` and `skipped`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub expires: Option<Date>,
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    expectation: Expectation,
    when: Option<Expression>,
    place: Place,
}

/// Where a row is written.
#[derive(Debug, Clone)]
struct Place(SuiteError);

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_same(&other.0)
    }
}

/// The file: `expectations:` with its rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "sandproof expectations")]
pub struct ExpectationsFile {
    /// The rows; the first that fits wins.
    #[serde(default)]
    pub expectations: Vec<Expectation>,
}

impl Expectations {
    /// No row at all: everything should pass.
    pub fn none() -> Self {
        Self { rows: Vec::new(), as_of: Date::MAX, expiry: Expiry::default() }
    }

    /// Reads the file of a suite's expectations and judges expiry by the current date.
    /// A row that can never be used, and two rows that could both be meant, are faults.
    pub fn load(file: &Utf8Path, suite: &Suite) -> Result<Self, SuiteErrors> {
        let text = fs_err::read_to_string(file).map_err(|error| SuiteErrors::unreadable(file, &error))?;
        Self::parse(&text, file, suite, jiff::Zoned::now().date())
    }

    /// Reads the text of a file and judges expiry by `as_of`; otherwise as [`Expectations::load`].
    pub fn parse(text: &str, file: &Utf8Path, suite: &Suite, as_of: Date) -> Result<Self, SuiteErrors> {
        let document = Document::parse(file, text).map_err(|error| SuiteErrors::from(vec![error]))?;
        let expectations = Self::read(&document, as_of)?;
        let errors = suitability::faults(&expectations, suite, &document);
        if errors.is_empty() { Ok(expectations) } else { Err(errors.into()) }
    }

    /// The rows of a file, whatever suite they are about.
    fn read(document: &Document, as_of: Date) -> Result<Self, SuiteErrors> {
        let parsed: ExpectationsFile =
            document.read(document.value()).map_err(|error| SuiteErrors::from(vec![error]))?;
        Self::checked(parsed.expectations, document, as_of).map_err(SuiteErrors::from)
    }

    /// Checks rows that stand under `expectations` in a document.
    pub(crate) fn checked(
        written: Vec<Expectation>,
        document: &Document,
        as_of: Date,
    ) -> Result<Self, Vec<SuiteError>> {
        let mut errors = Vec::new();
        let mut rows = Vec::new();
        for (position, expectation) in written.into_iter().enumerate() {
            let at = |field: &str| vec!["expectations".into(), position.into(), field.into()];
            if expectation.reason.trim().is_empty() {
                errors.push(document.error("an expectation needs a reason", &at("reason")));
            }
            let needs_expiry = !matches!(expectation.verdict, Verdict::Pass | Verdict::Skipped);
            if needs_expiry && expectation.expires.is_none() {
                errors.push(
                    document
                        .error(format!("an expected `{}` needs an end", expectation.verdict), &at("verdict"))
                        .with_help("add `expires: YYYY-MM-DD`, the last day on which it is excused"),
                );
            }
            let when = match expectation.when.as_deref().map(|text| when_expression(text, None)) {
                None => None,
                Some(Ok(expression)) => Some(expression),
                Some(Err(error)) => {
                    errors.push(document.expression_error(&error, &at("when")));
                    None
                }
            };
            let place = Place(document.error("this row", &at("scenario")));
            rows.push(Row { expectation, when, place });
        }
        if errors.is_empty() { Ok(Self { rows, as_of, expiry: Expiry::default() }) } else { Err(errors) }
    }

    /// The same rows, with what becomes of them when their last day is over.
    #[must_use]
    pub fn with_expiry(mut self, expiry: Expiry) -> Self {
        self.expiry = expiry;
        self
    }

    /// These rows, behind those of the profile of the subject `subject`, which win.
    /// A row of the profile and one of these that could both be meant for a result of that subject are a fault.
    pub fn behind(mut self, first: &Self, suite: &Suite, subject: &str) -> Result<Self, SuiteErrors> {
        let errors = suitability::rivals_of_profile(first, &self, suite, subject);
        if !errors.is_empty() {
            return Err(errors.into());
        }
        self.rows.splice(0..0, first.rows.iter().cloned());
        Ok(self)
    }

    /// The rows, in order.
    pub fn rows(&self) -> impl Iterator<Item = &Expectation> {
        self.rows.iter().map(|row| &row.expectation)
    }

    /// The rows whose last day is over.
    pub fn expired(&self) -> impl Iterator<Item = &Expectation> {
        self.rows().filter(|row| self.is_expired(row))
    }

    /// The first row that fits an instance under these facts.
    pub fn find(&self, instance: &ScenarioInstance, facts: &Facts) -> Option<&Expectation> {
        self.rows
            .iter()
            .find(|row| {
                row.expectation.names(instance) && row.when.as_ref().is_none_or(|when| facts.hold(when, instance))
            })
            .map(|row| &row.expectation)
    }

    /// The row that keeps an instance from being run: the first that fits, if it expects `skipped` and still excuses.
    pub fn skip(&self, instance: &ScenarioInstance, facts: &Facts) -> Option<&Expectation> {
        self.find(instance, facts).filter(|row| row.verdict == Verdict::Skipped && !self.is_over(row))
    }

    /// Whether a row's last day is over.
    pub fn is_expired(&self, expectation: &Expectation) -> bool {
        expectation.expires.is_some_and(|last_day| last_day < self.as_of)
    }

    /// Whether a row excuses nothing any more: its last day is over, and that counts.
    pub fn is_over(&self, expectation: &Expectation) -> bool {
        self.expiry == Expiry::Counts && self.is_expired(expectation)
    }

    /// The rows whose last day is over and that some result on these clusters still relies on, with their places.
    pub fn relied_on_though_expired(&self, suite: &Suite, clusters: &[Facts]) -> Vec<(String, &Expectation)> {
        let expired = self.rows.iter().filter(|row| self.is_expired(&row.expectation));
        expired
            .filter(|row| self.is_used(row, suite, clusters))
            .map(|row| (row.place.text(), &row.expectation))
            .collect()
    }

    fn is_used(&self, row: &Row, suite: &Suite, clusters: &[Facts]) -> bool {
        suite.instances().any(|instance| {
            clusters.iter().any(|facts| self.find(instance, facts).is_some_and(|found| *found == row.expectation))
        })
    }
}

impl Expectation {
    /// Whether it is about this instance, whatever the facts.
    fn names(&self, instance: &ScenarioInstance) -> bool {
        fits(&self.scenario, &instance.id)
            && self.params.iter().all(|(name, value)| instance.parameters.get(name) == Some(value))
    }
}

impl Place {
    /// `FILE:LINE`.
    fn text(&self) -> String {
        match self.0.position() {
            Some((line, _)) => format!("{}:{line}", self.0.file()),
            None => self.0.file().to_string(),
        }
    }
}

/// Whether `text` fits `glob`, in which `*` stands for any characters.
fn fits(glob: &str, text: &str) -> bool {
    let mut parts = glob.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(position) => rest = &rest[position + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A `when:` expression; where the names of the parameters are known, others are refused.
pub(crate) fn when_expression(
    text: &str,
    parameters: Option<&Parameters>,
) -> Result<Expression, crate::expression::ExpressionError> {
    let parameters: Vec<String> = match parameters {
        Some(parameters) => parameters.keys().map(|name| format!("param.{name}")).collect(),
        None => vec!["param.*".to_owned()],
    };
    let facts = Facts::fields();
    let known: Vec<&str> = facts.iter().chain(&parameters).map(String::as_str).collect();
    Expression::parse(text, &known)
}

impl From<Vec<SuiteError>> for SuiteErrors {
    fn from(errors: Vec<SuiteError>) -> Self {
        Self::new(errors)
    }
}
