//! What a report says about the expectations: rows that are missing, out of date, or no longer needed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use camino::Utf8Path;
use jiff::civil::Date;
use jiff::{Span, ToSpan};
use sandproof_reports::{CaseResult, Verdict};

use super::condition::{each, of_subject, tell_apart};
use super::{Expectation, Expectations};
use crate::Facts;
use crate::language::{Parameters, ScenarioInstance};
use crate::source::{Document, Step};
use crate::suite::Suite;
use crate::suite_error::SuiteErrors;

/// How long a proposed row excuses something, in days.
const DAYS: i64 = 90;

/// One result of a report with what was probed of its cluster.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The result.
    pub result: &'a CaseResult,
    /// The facts of its cell.
    pub facts: &'a Facts,
}

/// An edited text of an expectations file, and what a person has to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The whole file.
    pub text: String,
    /// One sentence for each edit, and for each result that no row can excuse.
    pub notes: Vec<String>,
}

/// Proposes edits of the expectations file `file` with the text `text` so that it agrees with what was seen.
///
/// A result that failed gets a row with the simplest condition that tells the clusters where it failed from those where
/// it did not; a row that excuses what now passes is removed; an expired row that is still needed gets a new end.
pub fn propose(
    text: &str,
    file: &Utf8Path,
    suite: &Suite,
    seen: &[Seen<'_>],
    today: Date,
) -> Result<Proposal, SuiteErrors> {
    let document = Document::parse(file, text).map_err(|error| SuiteErrors::from(vec![error]))?;
    let expectations = Expectations::parse(text, file, suite, today)?;
    let mut edits = Edits { text, notes: Vec::new(), replacements: BTreeMap::new(), added: String::new() };
    let known = instances(suite, seen, &mut edits);
    existing_rows(&expectations, &known, &document, today, &mut edits);
    missing_rows(&expectations, &known, today, &mut edits);
    Ok(edits.finish())
}

/// A result, its instance in the suite, and its cluster.
type Known<'a> = (&'a ScenarioInstance, Seen<'a>);

/// The results that are still part of the suite.
fn instances<'a>(suite: &'a Suite, seen: &[Seen<'a>], edits: &mut Edits<'_>) -> Vec<Known<'a>> {
    let mut known = Vec::new();
    for one in seen {
        let key = one.result.key();
        match suite.instances().find(|instance| instance.key == key) {
            Some(instance) => known.push((instance, *one)),
            None => edits.note(format!("{key} is in the report and not in the suite; it is left out")),
        }
    }
    known
}

/// Rows that nothing needs any more, and expired ones that something still does.
fn existing_rows(
    expectations: &Expectations,
    known: &[Known<'_>],
    document: &Document,
    today: Date,
    edits: &mut Edits<'_>,
) {
    for (position, row) in expectations.rows().enumerate() {
        let fits = |(instance, seen): &&Known<'_>| expectations.find(instance, seen.facts) == Some(row);
        let verdicts: Vec<Verdict> = known.iter().filter(fits).map(|(_, seen)| seen.result.verdict).collect();
        let passed =
            verdicts.iter().filter(|verdict| matches!(verdict, Verdict::UnexpectedPass | Verdict::Pass)).count();
        let place = document.list_entry(&["expectations".into()], position);
        if passed == verdicts.len() && verdicts.contains(&Verdict::UnexpectedPass) {
            edits.note(format!("{} passes where a row says that it does not: the row is removed", row.scenario));
            edits.replace(place, String::new());
        } else if verdicts.contains(&Verdict::UnexpectedPass) {
            edits.note(format!(
                "{} passes in some of the places where a row says that it does not: narrow its condition",
                row.scenario
            ));
        } else if expectations.is_expired(row)
            && verdicts.iter().any(|verdict| excusable(*verdict) || *verdict == Verdict::KnownGap)
        {
            let at: [Step; 3] = ["expectations".into(), position.into(), "expires".into()];
            edits.note(format!(
                "{} is still as an expired row says: its end is moved, if nobody mends it",
                row.scenario
            ));
            edits.replace(document.place(&at), end(today).to_string());
        }
    }
}

/// Rows for what is red and excused by none.
fn missing_rows(expectations: &Expectations, known: &[Known<'_>], today: Date, edits: &mut Edits<'_>) {
    let unexcused = |(instance, seen): &&Known<'_>| {
        !seen.result.expected && excusable(seen.result.verdict) && expectations.find(instance, seen.facts).is_none()
    };
    let mut groups: BTreeMap<(&str, Verdict), Vec<&Known<'_>>> = BTreeMap::new();
    for found in known.iter().filter(unexcused) {
        groups.entry((found.0.id.as_str(), found.1.result.verdict)).or_default().push(found);
    }
    for ((id, verdict), red) in groups {
        let same: Vec<&Known<'_>> = known.iter().filter(|(instance, _)| instance.id == id).collect();
        for (parameters, red) in by_parameters(&red, &same) {
            let others: Vec<&Facts> = same
                .iter()
                .filter(|(instance, seen)| {
                    agree(&parameters, instance) && !excusable(seen.result.verdict) && seen.result.verdict.was_judged()
                })
                .map(|(_, seen)| seen.facts)
                .collect();
            let these: Vec<&Facts> = red.iter().map(|(_, seen)| seen.facts).collect();
            // A row without a condition would compete with every other one of its scenario.
            let has_row = || red.iter().any(|(instance, _)| expectations.rows().any(|row| row.names(instance)));
            let when = tell_apart(&these, &others)
                .or_else(|| if others.is_empty() && has_row() { each(&these) } else { None });
            if when.is_none() && !others.is_empty() {
                edits.note(format!("{id} is {verdict} in some places, and nothing that was probed tells them apart: no row can excuse it"));
                continue;
            }
            let when = match these.first() {
                Some(facts) => of_subject(when, facts),
                None => when,
            };
            let reason = red.iter().find_map(|(_, seen)| Some(seen.result.cause.as_ref()?.summary.clone()));
            edits.note(format!(
                "{id} is {verdict} and nothing says that it should be: write the reason and where it is tracked"
            ));
            edits.add(&Expectation {
                scenario: id.to_owned(),
                when,
                params: parameters,
                verdict: if verdict == Verdict::Fail { Verdict::KnownGap } else { verdict },
                reason: reason.unwrap_or_else(|| "no cause was found".to_owned()),
                issue: None,
                expires: Some(end(today)),
            });
        }
    }
}

/// One group where every set of parameters is red, else one for each set that is.
fn by_parameters<'k, 'a>(red: &[&'k Known<'a>], same: &[&Known<'a>]) -> Vec<(Parameters, Vec<&'k Known<'a>>)> {
    let is_red = |key: &str| red.iter().any(|(instance, _)| instance.key == key);
    if same.iter().all(|(instance, _)| is_red(&instance.key)) {
        return vec![(Parameters::new(), red.to_vec())];
    }
    let mut groups: Vec<(Parameters, Vec<&Known<'_>>)> = Vec::new();
    for found in red {
        match groups.iter_mut().find(|(parameters, _)| *parameters == found.0.parameters) {
            Some((_, group)) => group.push(found),
            None => groups.push((found.0.parameters.clone(), vec![found])),
        }
    }
    groups
}

fn agree(parameters: &Parameters, instance: &ScenarioInstance) -> bool {
    parameters.iter().all(|(name, value)| instance.parameters.get(name) == Some(value))
}

/// Whether a row can excuse such a verdict.
fn excusable(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Fail | Verdict::UnsupportedSilent | Verdict::Flaky)
}

fn end(today: Date) -> Date {
    let days: Span = DAYS.days();
    today.saturating_add(days)
}

/// Edits of a text, by the bytes that they replace.
struct Edits<'t> {
    text: &'t str,
    notes: Vec<String>,
    replacements: BTreeMap<usize, (Range<usize>, String)>,
    added: String,
}

impl Edits<'_> {
    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn replace(&mut self, place: Range<usize>, by: String) {
        self.replacements.insert(place.start, (place, by));
    }

    /// Adds a row at the end.
    fn add(&mut self, row: &Expectation) {
        let text = |value: &str| serde_json::Value::from(value).to_string();
        // Writing to a string cannot fail.
        let _ = writeln!(self.added, "  - scenario: {}", row.scenario);
        if let Some(when) = &row.when {
            let _ = writeln!(self.added, "    when: {}", text(when));
        }
        if !row.params.is_empty() {
            let _ = writeln!(self.added, "    params: {}", serde_json::Value::Object(row.params.clone()));
        }
        let _ = writeln!(self.added, "    verdict: {}", row.verdict);
        let _ = writeln!(self.added, "    reason: {}", text(&row.reason));
        if let Some(expires) = row.expires {
            let _ = writeln!(self.added, "    expires: {expires}");
        }
    }

    fn finish(self) -> Proposal {
        let mut text = String::with_capacity(self.text.len() + self.added.len());
        let mut done = 0;
        for (place, by) in self.replacements.into_values() {
            text.push_str(&self.text[done..place.start]);
            text.push_str(&by);
            done = place.end;
        }
        text.push_str(&self.text[done..]);
        if !self.added.is_empty() {
            // A list without rows is written `[]`, and rows cannot follow that.
            if let Some(head) = text.trim_end().strip_suffix("expectations: []") {
                text = format!("{head}expectations:\n");
            }
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&self.added);
        }
        Proposal { text, notes: self.notes }
    }
}
