//! What is known of a subject before it is run: how it is told things, and what it does not have.
//!
//! A profile is written beforehand. A feature that it declares absent keeps the scenarios that need it from being run;
//! one that it does not declare is tried, and red where it is missing.

mod settings;

use std::collections::BTreeSet;

use camino::Utf8Path;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use settings::{ChartSettings, ChartValues, ImageOrigin, ProcessSettings, Told};

use crate::expectations::{Expectation, Expectations};
use crate::language::Feature;
use crate::nearest::{did_you_mean, or_list};
use crate::source::Document;
use crate::suite_error::{SuiteError, SuiteErrors};

/// A subject profile, as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "sandproof subject profile")]
pub struct SubjectProfileFile {
    /// Its name, for reports and for `subject.name` in expressions.
    pub name: String,
    /// What kind of subject it is for, in words for a report.
    pub about: String,
    /// The subject that is run unless the command line names one, for example `reference`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Faults of the reference driver that are switched on; no other subject has any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// The name of the container in a sandbox's pod that runs the sandbox; scenarios call it `agent`.
    #[serde(default = "agent")]
    pub agent_container: String,
    /// How a chart is told what scenarios need.
    #[serde(default)]
    pub chart: ChartSettings,
    /// How a process on the host is told what scenarios need.
    #[serde(default)]
    pub process: ProcessSettings,
    /// What the subject does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Absence>,
    /// What the subject is known to do otherwise; these rows go before those of `expectations.yaml`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expectations: Vec<Expectation>,
}

/// A feature that a subject does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Absence {
    /// Which.
    pub feature: Feature,
    /// Why, in words for a report.
    pub reason: String,
}

/// A subject profile that was read and found without fault.
#[derive(Debug, Clone, PartialEq)]
pub struct SubjectProfile {
    /// Its name.
    pub name: String,
    /// What kind of subject it is for.
    pub about: String,
    /// The subject that is run unless the command line names one.
    pub subject: Option<String>,
    /// Faults of the reference driver that are switched on.
    pub faults: Vec<String>,
    /// The name of the container in a sandbox's pod that runs the sandbox.
    pub agent_container: String,
    /// How a chart is told what scenarios need.
    pub chart: ChartSettings,
    /// How a process on the host is told what scenarios need.
    pub process: ProcessSettings,
    /// What the subject does not have, each once.
    pub absent: Vec<Absence>,
    /// What the subject is known to do otherwise.
    pub expectations: Expectations,
}

impl SubjectProfile {
    /// Reads a file and judges expiry by the current date. `known_faults` are the names that `faults:` may list.
    pub fn load(file: &Utf8Path, known_faults: &[&str]) -> Result<Self, SuiteErrors> {
        let text = fs_err::read_to_string(file).map_err(|error| SuiteErrors::unreadable(file, &error))?;
        Self::parse(&text, file, known_faults, jiff::Zoned::now().date())
    }

    /// Reads the text of a file and judges expiry by `as_of`.
    pub fn parse(text: &str, file: &Utf8Path, known_faults: &[&str], as_of: Date) -> Result<Self, SuiteErrors> {
        let one = |error| SuiteErrors::from(vec![error]);
        let document = Document::parse(file, text).map_err(one)?;
        let written: SubjectProfileFile = document.read(document.value()).map_err(one)?;
        let mut errors = Vec::new();
        words(&written, &document, &mut errors);
        faults(&written, known_faults, &document, &mut errors);
        absences(&written.absent, &document, &mut errors);
        let expectations = match Expectations::checked(written.expectations, &document, as_of) {
            Ok(expectations) if errors.is_empty() => expectations,
            Ok(_) => return Err(errors.into()),
            Err(found) => {
                errors.extend(found);
                return Err(errors.into());
            }
        };
        Ok(Self {
            name: written.name,
            about: written.about,
            subject: written.subject,
            faults: written.faults,
            agent_container: written.agent_container,
            chart: written.chart,
            process: written.process,
            absent: written.absent,
            expectations,
        })
    }

    /// The reason why the subject does not have a feature; none where the profile does not declare it absent.
    pub fn absence(&self, feature: Feature) -> Option<&str> {
        self.absent.iter().find(|absence| absence.feature == feature).map(|absence| absence.reason.as_str())
    }

    /// The facts about the subject that expressions and the judge read: `name`, `features`, `absent`.
    pub fn facts(&self) -> Value {
        let features: Map<String, Value> = Feature::ALL
            .iter()
            .map(|feature| (feature.name().to_owned(), json!(self.absence(*feature).is_none())))
            .collect();
        let absent: Map<String, Value> =
            self.absent.iter().map(|absence| (absence.feature.name().to_owned(), json!(absence.reason))).collect();
        json!({ "name": self.name, "features": features, "absent": absent })
    }
}

fn agent() -> String {
    "agent".to_owned()
}

fn words(written: &SubjectProfileFile, document: &Document, errors: &mut Vec<SuiteError>) {
    for (field, text) in
        [("name", &written.name), ("about", &written.about), ("agentContainer", &written.agent_container)]
    {
        if text.trim().is_empty() {
            errors.push(document.error(format!("`{field}` is empty"), &[field.into()]));
        }
    }
}

fn faults(written: &SubjectProfileFile, known: &[&str], document: &Document, errors: &mut Vec<SuiteError>) {
    for (position, fault) in written.faults.iter().enumerate() {
        if !known.contains(&fault.as_str()) {
            let names = known.iter().copied();
            let help =
                did_you_mean(fault, names.clone()).unwrap_or_else(|| format!("the faults are {}", or_list(names)));
            let at = ["faults".into(), position.into()];
            errors.push(document.error(format!("unknown fault `{fault}`"), &at).with_help(help));
        }
    }
}

fn absences(absent: &[Absence], document: &Document, errors: &mut Vec<SuiteError>) {
    let mut seen = BTreeSet::new();
    for (position, absence) in absent.iter().enumerate() {
        let at = |field: &str| vec!["absent".into(), position.into(), field.into()];
        if absence.reason.trim().is_empty() {
            errors.push(document.error("an absence needs a reason", &at("reason")));
        }
        if !seen.insert(absence.feature) {
            errors.push(document.error(format!("`{}` is declared above", absence.feature), &at("feature")));
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn parse(text: &str) -> Result<SubjectProfile, SuiteErrors> {
        let day = jiff::civil::date(2026, 1, 1);
        SubjectProfile::parse(text, Utf8Path::new("profile.yaml"), &["merge-override"], day)
    }

    #[test]
    fn what_is_not_written_is_as_upstream_has_it() {
        let profile = parse("name: mine\nabout: my driver\n").unwrap();
        assert_eq!(profile.agent_container, "agent");
        assert_eq!(profile.chart.values.pull_secrets.as_deref(), Some("server.sandboxImagePullSecrets"));
        assert_eq!(profile.process.socket, Told::Flag("--bind-socket".to_owned()));
        assert_eq!(profile.facts()["features"]["chart"], true);
    }

    #[test]
    fn what_is_declared_absent_is_told_with_its_reason() {
        let profile =
            parse("name: own\nabout: a\nabsent:\n- {feature: pull-secret-override, reason: never shipped}\n").unwrap();
        assert_eq!(profile.facts()["features"]["pull-secret-override"], false);
        assert_eq!(profile.facts()["absent"], json!({ "pull-secret-override": "never shipped" }));
    }

    #[test]
    fn a_value_or_a_flag_can_be_said_not_to_be_there() {
        let text =
            "name: own\nabout: a\nchart: {values: {sideload: null}}\nprocess: {sideload: null, pullSecrets: SECRETS}\n";
        let profile = parse(text).unwrap();
        assert_eq!(profile.chart.values.sideload, None);
        assert_eq!(profile.chart.values.environment.as_deref(), Some("extraEnv"));
        assert_eq!(profile.process.sideload, None);
        assert_eq!(profile.process.pull_secrets, Some(Told::Environment("SECRETS".to_owned())));
    }

    #[rstest]
    #[case("name: own\nabout: a\nabsnt: []\n", (3, 1), "unknown field `absnt`")]
    #[case("name: own\nabout: a\nabsent:\n- {feature: telepathy, reason: r}\n", (4, 13), "unknown value `telepathy`")]
    #[case("name: own\nabout: a\nabsent:\n- {feature: chart, reason: ' '}\n", (4, 28), "an absence needs a reason")]
    #[case(
        "name: own\nabout: a\nabsent:\n- {feature: chart, reason: r}\n- {feature: chart, reason: r}\n",
        (5, 13),
        "`chart` is declared above"
    )]
    #[case("name: own\nabout: a\nfaults: [merge-overide]\n", (3, 10), "unknown fault `merge-overide`")]
    #[case("name: ''\nabout: a\n", (1, 7), "`name` is empty")]
    #[case("name: own\nabout: a\nprocess: {socket: '-b'}\n", (3, 19), "is neither a flag")]
    #[case("name: own\nabout: a\nchart: {port: 70000}\n", (3, 15), "expected u16")]
    #[case(
        "name: own\nabout: a\nexpectations:\n- {scenario: PS-01, verdict: known-gap, reason: r}\n",
        (4, 30),
        "needs an end"
    )]
    #[case("name: [\n", (1, 7), "unclosed bracket")]
    fn a_mistake_is_at_its_place(#[case] text: &str, #[case] place: (usize, usize), #[case] message: &str) {
        let errors = parse(text).unwrap_err();
        let error = &errors.errors()[0];
        assert!(error.message().contains(message), "{}", error.message());
        assert_eq!(error.position(), Some(place), "{}", error.message());
    }
}
