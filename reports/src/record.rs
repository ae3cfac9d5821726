//! The record: what a run found, in the form that is written to `report.json`.
//!
//! Changing a field here changes a format that other tools read.
//! A change that an existing reader cannot take needs a new [`SCHEMA`] string and a new file in `schema/`.

mod observed;
mod subject;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::observed::{Adaptation, AgentSandboxParts, Observed};
pub use self::subject::{ObservedSubject, Subject};
use crate::{ExitCode, Verdict};

/// The value of [`Record::schema`] that this crate reads and writes.
pub const SCHEMA: &str = "sandproof.report/v1";

/// The parameters of one result, sorted by name.
pub type Params = BTreeMap<String, Value>;

/// What a run found. Everything shown of a run is rendered from this alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// The name and version of this format: [`SCHEMA`].
    pub schema: String,
    /// When, by what and how the run was made.
    pub run: Run,
    /// The cells, in the order of the plan.
    pub cells: Vec<Cell>,
    /// How many results got each verdict.
    pub summary: Summary,
    /// The exit code of the run.
    pub exit_code: ExitCode,
}

/// When, by what and how a run was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Run {
    /// The identifier of the run, unique on the machine that made it.
    pub id: String,
    /// When the run began.
    pub started_at: Timestamp,
    /// When the run ended, clean-up included.
    pub finished_at: Timestamp,
    /// The profile: `smoke`, `pr`, `full` or `release`.
    pub profile: String,
    /// The command line, the program's name first.
    pub argv: Vec<String>,
    /// The harness that made the run.
    pub harness: Harness,
    /// The driver under test; absent in records of harnesses that knew one subject only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// What the order was drawn from in which results that ran side by side began; absent in records of harnesses that
    /// began them in the order of the suite, and where merged shards had several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
}

/// The harness that made a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Harness {
    /// Its version, such as `0.1.0`.
    pub version: String,
    /// The commit it was built from, where that is known.
    #[serde(default)]
    pub commit: Option<String>,
}

/// One point in all axes of compatibility, and what was found there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cell {
    /// The identifier, stable from run to run: what `--cell` and `repro` take and what two reports are compared by.
    pub id: String,
    /// The name shown to people.
    pub name: String,
    /// What was asked for.
    pub axes: Axes,
    /// What was reached, as probed in the running cluster.
    #[serde(default)]
    pub observed: Observed,
    /// How long each phase took, in order: create, install, probe, scenarios, collect, delete.
    #[serde(default)]
    pub phases: Vec<Phase>,
    /// What the inventory found after the cell was deleted. Empty when nothing was left behind.
    #[serde(default)]
    pub leftovers: Vec<String>,
    /// One result for each scenario and set of parameters.
    pub results: Vec<CaseResult>,
}

/// What was asked for: one value of every axis.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Axes {
    /// The version of Kubernetes, such as `1.36.4`.
    pub kubernetes: String,
    /// The container runtime, such as `cri-o`.
    pub runtime: String,
    /// What made the cluster: `native`, `kind` or `existing`.
    pub provider: String,
    /// The release of Agent Sandbox, such as `v0.5.6`.
    pub agent_sandbox: String,
    /// The feature gates that were set, such as `ImageVolume`.
    #[serde(default)]
    pub gates: BTreeMap<String, bool>,
    /// The feature gates that the kubelet got instead.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kubelet_gates: BTreeMap<String, bool>,
    /// Why the versions are outside of what their projects support together; absent where they are inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skew: Option<String>,
}

/// How long one phase of a cell took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Phase {
    /// The phase: create, install, probe, scenarios, collect or delete.
    pub name: String,
    /// Its wall time, in seconds. Finite.
    pub seconds: f64,
}

/// The result of one scenario with one set of parameters in one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaseResult {
    /// The scenario's catalogue ID, such as `PS-05`.
    pub scenario: String,
    /// The scenario's title.
    pub title: String,
    /// The parameters of this result. Empty for a scenario that has none.
    #[serde(default)]
    pub params: Params,
    /// The judgement.
    pub verdict: Verdict,
    /// Whether the suite or an expectation says that this verdict is to be expected here.
    pub expected: bool,
    /// Why the verdict is what it is. Every red result has one.
    #[serde(default)]
    pub cause: Option<Cause>,
    /// How often the scenario was tried. 0 when it was not run; more than 1 only where retries are on.
    pub attempts: u32,
    /// The wall time of all attempts, in seconds. Finite.
    pub seconds: f64,
    /// The one command that rebuilds this cell and runs this scenario.
    pub repro: String,
    /// The files that show what was seen, relative to the directory of the report.
    #[serde(default)]
    pub evidence: Vec<String>,
}

/// Why a verdict is what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cause {
    /// The cause in one sentence.
    pub summary: String,
    /// The name of the rule that found it, such as `expectation` or `pull-denied`.
    pub rule: String,
    /// What was seen, in the order of cause and effect: spec, kubelet event, runtime error, registry response.
    #[serde(default)]
    pub chain: Vec<ChainLink>,
}

/// One thing that was seen, as a link in the chain of a cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChainLink {
    /// Who said it: `spec`, `driver`, `kubelet`, `runtime`, `registry` and the like.
    pub source: String,
    /// When it was seen (RFC 3339) or where (a path in an observation or an object); `null` where neither is known.
    #[serde(default)]
    pub at: Option<String>,
    /// What was said.
    pub text: String,
}

/// How many results got each verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "each field counts the verdict of its name")]
pub struct Summary {
    pub pass: usize,
    pub fail: usize,
    pub flaky: usize,
    pub known_gap: usize,
    pub unexpected_pass: usize,
    pub unsupported: usize,
    pub unsupported_silent: usize,
    pub skipped: usize,
    pub error: usize,
    pub not_run: usize,
}

impl Record {
    /// A record of a finished run: the summary and the exit code are computed.
    ///
    /// `interrupted` says that the run was told to stop before all results were in.
    pub fn new(run: Run, cells: Vec<Cell>, interrupted: bool) -> Self {
        let mut record = Self {
            schema: SCHEMA.to_owned(),
            run,
            cells,
            summary: Summary::default(),
            exit_code: ExitCode::CONFORMANT,
        };
        record.summary = record.summary();
        record.exit_code = record.exit_code(interrupted);
        record
    }

    /// Counts the verdicts of all results.
    pub fn summary(&self) -> Summary {
        self.results().map(|(_, result)| result.verdict).collect()
    }

    /// All results with their cells, in the order of the record.
    pub fn results(&self) -> impl Iterator<Item = (&Cell, &CaseResult)> {
        self.cells.iter().flat_map(|cell| cell.results.iter().map(move |result| (cell, result)))
    }

    /// The results that count against the run, with their cells, in the order of the record.
    pub fn red_results(&self) -> impl Iterator<Item = (&Cell, &CaseResult)> {
        let strict = self.run.is_strict();
        self.results().filter(move |(_, result)| result.is_red(strict))
    }

    /// Whether the run was interrupted, as its exit code says.
    pub fn was_interrupted(&self) -> bool {
        self.exit_code == ExitCode::INTERRUPTED
    }
}

impl Run {
    /// Whether a flaky result is red: it is in the profile `release`.
    pub fn is_strict(&self) -> bool {
        self.profile == "release"
    }
}

impl Cell {
    /// A cell without results, in which nothing was observed yet.
    pub fn new(id: impl Into<String>, name: impl Into<String>, axes: Axes) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            axes,
            observed: Observed::default(),
            phases: Vec::new(),
            leftovers: Vec::new(),
            results: Vec::new(),
        }
    }
}

/// How a result is called: `ID`, or `ID[name=value,name=value]` with the names in alphabetical order.
pub fn result_key<'a>(scenario: &str, parameters: impl IntoIterator<Item = (&'a String, &'a Value)>) -> String {
    let mut pairs: Vec<String> = parameters
        .into_iter()
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            other => format!("{name}={other}"),
        })
        .collect();
    if pairs.is_empty() {
        return scenario.to_owned();
    }
    pairs.sort_unstable();
    format!("{scenario}[{}]", pairs.join(","))
}

impl CaseResult {
    /// How the result is called; see [`result_key`].
    pub fn key(&self) -> String {
        result_key(&self.scenario, &self.params)
    }

    /// A result with one attempt, no cause and no evidence; `expected` holds for a pass.
    pub fn new(scenario: impl Into<String>, title: impl Into<String>, verdict: Verdict) -> Self {
        Self {
            scenario: scenario.into(),
            title: title.into(),
            params: Params::new(),
            verdict,
            expected: verdict == Verdict::Pass,
            cause: None,
            attempts: u32::from(verdict.was_judged()),
            seconds: 0.0,
            repro: String::new(),
            evidence: Vec::new(),
        }
    }

    /// Whether the result counts against the run.
    ///
    /// An `error` always does: nobody may expect the environment to fail.
    /// A `pass` and an expected verdict never do.
    /// `flaky` does where `strict` holds ([`Run::is_strict`]).
    /// `not-run` does not, because nothing is known; the exit code tells of it.
    /// Whatever is left (`fail`, `known-gap`, `unexpected-pass`, `unsupported`, `unsupported-silent`, `skipped`)
    /// does where it was not expected: a gap or an omission that nobody declared is a finding.
    pub fn is_red(&self, strict: bool) -> bool {
        match self.verdict {
            Verdict::Error => true,
            Verdict::Pass | Verdict::NotRun => false,
            Verdict::Flaky => strict && !self.expected,
            Verdict::Fail
            | Verdict::KnownGap
            | Verdict::UnexpectedPass
            | Verdict::Unsupported
            | Verdict::UnsupportedSilent
            | Verdict::Skipped => !self.expected,
        }
    }

    /// The parameters as `registry=plain, sideload=image-volume`; empty where there are none.
    pub fn params_text(&self) -> String {
        params_text(&self.params)
    }

    /// The scenario and its parameters, as `PS-02 [registry=plain]`.
    pub fn label(&self) -> String {
        if self.params.is_empty() {
            self.scenario.clone()
        } else {
            format!("{} [{}]", self.scenario, self.params_text())
        }
    }
}

/// Parameters as `registry=plain, sideload=image-volume`. A string value is shown without quotes.
pub(crate) fn params_text(params: &Params) -> String {
    let parts: Vec<String> = params
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            other => format!("{name}={other}"),
        })
        .collect();
    parts.join(", ")
}

impl Cause {
    /// A cause without a chain.
    pub fn new(rule: impl Into<String>, summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), rule: rule.into(), chain: Vec::new() }
    }

    /// The same cause with one more link at the end of its chain.
    #[must_use]
    pub fn link(mut self, link: ChainLink) -> Self {
        self.chain.push(link);
        self
    }
}

impl ChainLink {
    /// A link without a time or a place.
    pub fn new(source: impl Into<String>, text: impl Into<String>) -> Self {
        Self { source: source.into(), at: None, text: text.into() }
    }

    /// The same link with the time or the place it was seen at.
    #[must_use]
    pub fn at(mut self, at: impl Into<String>) -> Self {
        self.at = Some(at.into());
        self
    }
}

impl Phase {
    /// A phase that took so many seconds.
    pub fn new(name: impl Into<String>, seconds: f64) -> Self {
        Self { name: name.into(), seconds }
    }
}

impl Axes {
    /// The axes as pairs of name and value, in the order in which people read them; a gate as `on` or `off`.
    pub fn pairs(&self) -> Vec<(String, String)> {
        let mut pairs: Vec<(String, String)> = [
            ("kubernetes", &self.kubernetes),
            ("runtime", &self.runtime),
            ("provider", &self.provider),
            ("agentSandbox", &self.agent_sandbox),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect();
        pairs.extend(gate_pairs("gates", &self.gates));
        pairs.extend(gate_pairs("kubeletGates", &self.kubelet_gates));
        pairs.extend(self.skew.iter().map(|skew| ("skew".to_owned(), skew.clone())));
        pairs
    }
}

/// As `reference`, `chart:PATH, profile reference` or `reference, profile upstream-like, faults a b`.
impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reference)?;
        if self.profile != self.reference {
            write!(formatter, ", profile {}", self.profile)?;
        }
        match self.faults.as_slice() {
            [] => Ok(()),
            [fault] => write!(formatter, ", fault {fault}"),
            faults => write!(formatter, ", faults {}", faults.join(" ")),
        }
    }
}

fn gate_pairs<'a>(group: &'a str, gates: &'a BTreeMap<String, bool>) -> impl Iterator<Item = (String, String)> + 'a {
    gates.iter().map(move |(name, on)| (format!("{group}.{name}"), if *on { "on" } else { "off" }.to_owned()))
}

impl Summary {
    /// The number of results with this verdict.
    pub const fn count(&self, verdict: Verdict) -> usize {
        match verdict {
            Verdict::Pass => self.pass,
            Verdict::Fail => self.fail,
            Verdict::Flaky => self.flaky,
            Verdict::KnownGap => self.known_gap,
            Verdict::UnexpectedPass => self.unexpected_pass,
            Verdict::Unsupported => self.unsupported,
            Verdict::UnsupportedSilent => self.unsupported_silent,
            Verdict::Skipped => self.skipped,
            Verdict::Error => self.error,
            Verdict::NotRun => self.not_run,
        }
    }

    /// Counts one more result.
    pub const fn add(&mut self, verdict: Verdict) {
        let count = match verdict {
            Verdict::Pass => &mut self.pass,
            Verdict::Fail => &mut self.fail,
            Verdict::Flaky => &mut self.flaky,
            Verdict::KnownGap => &mut self.known_gap,
            Verdict::UnexpectedPass => &mut self.unexpected_pass,
            Verdict::Unsupported => &mut self.unsupported,
            Verdict::UnsupportedSilent => &mut self.unsupported_silent,
            Verdict::Skipped => &mut self.skipped,
            Verdict::Error => &mut self.error,
            Verdict::NotRun => &mut self.not_run,
        };
        *count += 1;
    }

    /// The number of results.
    pub fn total(&self) -> usize {
        Verdict::ALL.into_iter().map(|verdict| self.count(verdict)).sum()
    }

    /// The verdicts that occur with their numbers, the mildest first.
    pub fn counts(&self) -> impl Iterator<Item = (Verdict, usize)> {
        Verdict::ALL.into_iter().map(|verdict| (verdict, self.count(verdict))).filter(|(_, count)| *count > 0)
    }
}

impl FromIterator<Verdict> for Summary {
    fn from_iter<I: IntoIterator<Item = Verdict>>(verdicts: I) -> Self {
        let mut summary = Self::default();
        verdicts.into_iter().for_each(|verdict| summary.add(verdict));
        summary
    }
}

/// As `12 results: 10 pass, 1 known-gap, 1 fail`.
impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        write!(formatter, "{total} {}", if total == 1 { "result" } else { "results" })?;
        for (index, (verdict, count)) in self.counts().enumerate() {
            write!(formatter, "{} {count} {verdict}", if index == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}
