//! Scenarios, and what becomes of one for each set of its parameters.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Axis, Check, Feature, Step, Variation};

/// What scenarios call the container in a sandbox's pod that runs the sandbox.
const AGENT: &str = "agent";

/// The values of a scenario's parameters for one instance.
pub type Parameters = Map<String, Value>;

/// A scenario file, as it is written. `${param.NAME}` may stand in any string of `title`, `applies`, `unsupported`, `steps` and `expect`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "sandproof scenario")]
pub struct ScenarioFile {
    /// The catalogue ID: two capital letters, a hyphen, a number.
    pub id: String,
    /// One line for tables.
    pub title: String,
    /// What a driver promises, and this scenario proves or disproves.
    pub promise: String,
    /// Where the promise comes from.
    pub source: String,
    /// Words to select it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The reference driver's faults that must turn it red.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// What the subject must be able to do, beside what the steps tell it; where a profile declares one absent, it is `skipped`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<Feature>,
    /// Each entry is one instance with a result of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameters>,
    /// Where the scenario makes sense at all; anywhere else it is `skipped`, which is expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applies: Option<Applies>,
    /// What its result can depend on; everything, where it does not say. Where a run spreads its scenarios (profile `full`),
    /// it runs in one cell for each value of each of these axes, and for each combination of those that are in a list of
    /// their own; an empty list makes that one cell in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub varies_with: Option<Vec<Variation>>,
    /// It changes what all scenarios of a cluster share: it runs after all others, and nothing runs beside it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alone: bool,
    /// Where a cluster cannot do it: the refusal that must be seen instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsupported: Vec<Unsupported>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// What must be true of what was observed.
    pub expect: Vec<Check>,
}

/// Where a scenario makes sense, declared beforehand; what a driver must refuse belongs under `unsupported` instead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Applies {
    /// An expression on the probed facts and on `param.NAME`.
    pub when: String,
    /// Why it makes no sense elsewhere, in words for a report.
    pub reason: String,
}

/// A condition under which a scenario cannot be fulfilled, and the documented refusal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Unsupported {
    /// An expression on the probed facts and on `param.NAME`.
    pub when: String,
    /// What must be observed then.
    pub refusal: Vec<Check>,
}

/// A scenario that was read and found without fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// The catalogue ID.
    pub id: String,
    /// One line for tables; `${param.NAME}` is not replaced in it.
    pub title: String,
    /// What a driver promises.
    pub promise: String,
    /// Where the promise comes from.
    pub source: String,
    /// Words to select it by.
    pub tags: Vec<String>,
    /// The reference driver's faults that must turn it red.
    pub faults: Vec<String>,
    /// What the subject must be able to do, in any of the instances.
    pub features: BTreeSet<Feature>,
    /// The parameters of each instance; one empty entry where there are none.
    pub parameters: Vec<Parameters>,
    /// The file it was read from.
    pub file: Utf8PathBuf,
    pub(crate) instances: Vec<ScenarioInstance>,
}

/// A scenario with the values of one set of parameters in place: what is run and judged.
#[derive(Debug, Clone, PartialEq)]
pub struct ScenarioInstance {
    /// The catalogue ID.
    pub id: String,
    /// The ID with the parameters, for example `PS-02[registry=plain]`; the ID alone where there are none.
    pub key: String,
    /// One line for tables.
    pub title: String,
    /// What a driver promises.
    pub promise: String,
    /// Where the promise comes from.
    pub source: String,
    /// Words to select it by.
    pub tags: Vec<String>,
    /// The reference driver's faults that must turn it red.
    pub faults: Vec<String>,
    /// What the subject must be able to do: what the scenario says, and what its steps tell the driver.
    pub features: BTreeSet<Feature>,
    /// The values of this instance's parameters.
    pub parameters: Parameters,
    /// Where it makes sense at all; everywhere if it does not say.
    pub applies: Option<Applies>,
    /// What its result can depend on.
    pub varies_with: Vec<Variation>,
    /// It runs after all others, and nothing runs beside it.
    pub alone: bool,
    /// Where a cluster cannot do it: the refusal that must be seen instead.
    pub unsupported: Vec<Unsupported>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// What must be true of what was observed.
    pub expect: Vec<Check>,
}

impl Scenario {
    /// One instance for each set of parameters; exactly one where there are none.
    pub fn instances(&self) -> Vec<ScenarioInstance> {
        self.instances.clone()
    }

    /// What `--scenario` expressions read: `id`, `title`, `promise`, `source`, `tags`, `faults`, `features`.
    pub fn fields(&self) -> Value {
        json!({
            "id": self.id,
            "title": self.title,
            "promise": self.promise,
            "source": self.source,
            "tags": self.tags,
            "faults": self.faults,
            "features": self.features,
        })
    }
}

impl ScenarioInstance {
    /// Whether it is one of those that a quick look is made of.
    pub fn is_smoke(&self) -> bool {
        self.tags.iter().any(|tag| tag == "smoke")
    }

    /// Whether it takes much longer than most, so that it should begin before them.
    pub fn is_slow(&self) -> bool {
        self.tags.iter().any(|tag| tag == "slow")
    }

    /// The axes that its result can depend on.
    pub fn axes(&self) -> Vec<Axis> {
        self.varies_with.iter().flat_map(Variation::axes).copied().collect()
    }

    /// The fields that `--scenario` expressions may read.
    pub const FIELDS: &'static [&'static str] =
        &["id", "key", "title", "promise", "source", "tags", "faults", "features", "param.*"];

    /// Puts the parameters in place of nothing: `file` has none of `${param.NAME}` left.
    pub(crate) fn new(file: ScenarioFile, parameters: Parameters) -> Self {
        let mut features = Feature::of_steps(&file.steps);
        features.extend(file.features);
        Self {
            key: sandproof_reports::result_key(&file.id, &parameters),
            id: file.id,
            title: file.title,
            promise: file.promise,
            source: file.source,
            tags: file.tags,
            faults: file.faults,
            features,
            parameters,
            applies: file.applies,
            varies_with: file.varies_with.unwrap_or_else(Variation::everything),
            alone: file.alone,
            unsupported: file.unsupported,
            steps: file.steps,
            expect: file.expect,
        }
    }

    /// The same for a subject that gives the agent container another name than scenarios do.
    #[must_use]
    pub fn calling_agent(mut self, name: &str) -> Self {
        if name == AGENT {
            return self;
        }
        for step in &mut self.steps {
            if let Step::Await(step) = step
                && step.container.as_deref() == Some(AGENT)
            {
                step.container = Some(name.to_owned());
            }
        }
        let refusals = self.unsupported.iter_mut().flat_map(|block| &mut block.refusal);
        for check in self.expect.iter_mut().chain(refusals) {
            check.call_agent(AGENT, name);
        }
        self
    }

    /// What `--scenario` expressions read: the fields of [`Scenario::fields`], `key`, and `param.NAME`.
    pub fn fields(&self) -> Value {
        json!({
            "id": self.id,
            "key": self.key,
            "title": self.title,
            "promise": self.promise,
            "source": self.source,
            "tags": self.tags,
            "faults": self.faults,
            "features": self.features,
            "param": self.parameters,
        })
    }
}
