//! The plan: axes × pins × filters give cells, and each cell has scenarios.

use std::collections::BTreeMap;

use sandproof_clusters::components::Pins;
use sandproof_reports::Axes;
use sandproof_scenarios::{Expression, ScenarioInstance, Suite};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    cli::{Profile, SelectionArguments},
    failure::Failure,
    paths::Paths,
};

/// The fields that `--cell` expressions may read.
pub(crate) const CELL_FIELDS: &[&str] =
    &["id", "kubernetes", "runtime", "runtimeVersion", "provider", "agentSandbox", "gates.*"];

/// One point in all axes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlannedCell {
    /// Stable from run to run.
    pub(crate) id: String,
    /// For people.
    pub(crate) name: String,
    /// The Kubernetes version.
    pub(crate) kubernetes: String,
    /// The runtime's name.
    pub(crate) runtime: String,
    /// The runtime's version.
    pub(crate) runtime_version: String,
    /// Who makes the cluster.
    pub(crate) provider: String,
    /// The Agent Sandbox release.
    pub(crate) agent_sandbox: String,
    /// Feature gates that are set.
    pub(crate) gates: BTreeMap<String, bool>,
}

/// What a run will do.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The profile's name.
    pub(crate) profile: Profile,
    /// The cells, oldest first.
    pub(crate) cells: Vec<PlannedCell>,
    /// The scenarios that run on each of them.
    pub(crate) scenarios: Vec<ScenarioInstance>,
    /// How many of the first cells' results belong to this shard: (part, of).
    pub(crate) shard: Option<(usize, usize)>,
}

impl Plan {
    /// Makes the plan for a selection. An empty one is an error: it must not look like success.
    pub(crate) fn make(selection: &SelectionArguments, pins: &Pins, suite: &Suite) -> Result<Self, Failure> {
        let cells = select_cells(selection, cells(pins))?;
        let scenarios = select_scenarios(selection, suite)?;
        Ok(Self { profile: selection.profile, cells, scenarios, shard: selection.shard })
    }

    /// The scenarios of the cell at `position` that belong to this shard.
    pub(crate) fn scenarios_of(&self, position: usize) -> Vec<ScenarioInstance> {
        let all = self.scenarios.iter().enumerate();
        let Some((part, of)) = self.shard else { return self.scenarios.clone() };
        all.filter(|(index, _)| (position * self.scenarios.len() + index) % of == part - 1)
            .map(|(_, scenario)| scenario.clone())
            .collect()
    }

    /// How many results the plan gives.
    pub(crate) fn results(&self) -> usize {
        (0..self.cells.len()).map(|position| self.scenarios_of(position).len()).sum()
    }
}

/// Loads the pins.
pub(crate) fn load_pins(paths: &Paths) -> Result<Pins, Failure> {
    Pins::load(paths.home.join("clusters/pins.yaml"))
        .map_err(|error| Failure::usage(error.to_string(), "clusters/pins.yaml is the one place that versions live in"))
}

/// Every cell that the pins make possible.
pub(crate) fn cells(pins: &Pins) -> Vec<PlannedCell> {
    let agent_sandbox = &pins.axes.defaults.agent_sandbox;
    pins.axes
        .kubernetes
        .iter()
        .filter_map(|axis| {
            let crio = axis.cri_o.as_ref()?;
            Some(PlannedCell {
                id: format!("k{}-crio{}-native", axis.minor, series(crio)),
                name: format!("Kubernetes {} · CRI-O {} · native", axis.minor, series(crio)),
                kubernetes: axis.kubernetes.clone(),
                runtime: "cri-o".to_owned(),
                runtime_version: crio.clone(),
                provider: "native".to_owned(),
                agent_sandbox: agent_sandbox.clone(),
                gates: BTreeMap::new(),
            })
        })
        .collect()
}

impl PlannedCell {
    /// What `--cell` expressions read.
    pub(crate) fn fields(&self) -> Value {
        json!({
            "id": self.id,
            "kubernetes": self.kubernetes,
            "runtime": self.runtime,
            "runtimeVersion": self.runtime_version,
            "provider": self.provider,
            "agentSandbox": self.agent_sandbox,
            "gates": self.gates,
        })
    }

    /// The record's axes.
    pub(crate) fn axes(&self) -> Axes {
        Axes {
            kubernetes: self.kubernetes.clone(),
            runtime: format!("{} {}", self.runtime, self.runtime_version),
            provider: self.provider.clone(),
            agent_sandbox: format!("v{}", self.agent_sandbox),
            gates: self.gates.clone(),
        }
    }
}

/// The words of a profile.
pub(crate) fn profile_name(profile: Profile) -> &'static str {
    match profile {
        Profile::Smoke => "smoke",
        Profile::Pr => "pr",
        Profile::Full => "full",
        Profile::Release => "release",
    }
}

fn select_cells(selection: &SelectionArguments, all: Vec<PlannedCell>) -> Result<Vec<PlannedCell>, Failure> {
    let known: Vec<String> = all.iter().map(|cell| cell.id.clone()).collect();
    let newest = all.last().map(|cell| cell.id.clone());
    let expression = selection.cell.as_deref().map(|text| parse("--cell", text, CELL_FIELDS)).transpose()?;
    let selected: Vec<PlannedCell> = all
        .into_iter()
        .filter(|cell| match &expression {
            Some(expression) => cell_matches(expression, selection.cell.as_deref(), cell),
            // Without a word on cells, the quick profile takes the newest one.
            None => selection.profile != Profile::Smoke || Some(&cell.id) == newest.as_ref(),
        })
        .collect();
    if selected.is_empty() {
        return Err(Failure::NothingSelected {
            message: format!("no cell matches {}", selection.cell.as_deref().unwrap_or("the profile")),
            hint: Some(format!("the cells are: {}", known.join(", "))),
        });
    }
    Ok(selected)
}

fn cell_matches(expression: &Expression, text: Option<&str>, cell: &PlannedCell) -> bool {
    text == Some(cell.id.as_str()) || expression.matches(&cell.fields())
}

fn select_scenarios(selection: &SelectionArguments, suite: &Suite) -> Result<Vec<ScenarioInstance>, Failure> {
    let wanted = selection.scenario.as_deref();
    // A key, as reports print it, names one result; it has characters that an expression would want in quotes.
    let key = wanted.filter(|text| suite.instances().any(|scenario| scenario.key == *text));
    let expression =
        wanted.filter(|_| key.is_none()).map(|text| parse("--scenario", text, ScenarioInstance::FIELDS)).transpose()?;
    let quick = selection.profile == Profile::Smoke && selection.scenario.is_none();
    let selected: Vec<ScenarioInstance> = suite
        .scenarios
        .iter()
        .flat_map(sandproof_scenarios::Scenario::instances)
        .filter(|scenario| {
            key.is_none_or(|key| key == scenario.key)
                && expression.as_ref().is_none_or(|expression| expression.matches(&scenario.fields()))
        })
        .filter(|scenario| !quick || scenario.tags.iter().any(|tag| tag == "smoke"))
        .collect();
    if selected.is_empty() {
        let mut ids: Vec<&str> = suite.scenarios.iter().map(|scenario| scenario.id.as_str()).collect();
        ids.sort_unstable();
        return Err(Failure::NothingSelected {
            message: format!("no scenario matches {}", selection.scenario.as_deref().unwrap_or("the profile")),
            hint: Some(format!("the scenarios are: {}", ids.join(", "))),
        });
    }
    Ok(selected)
}

/// Parses an expression; a mistake is shown at its word.
fn parse(flag: &str, text: &str, fields: &[&str]) -> Result<Expression, Failure> {
    Expression::parse(text, fields).map_err(|error| Failure::source(error.in_argument(flag)))
}

/// `1.36.4` as `1.36`.
fn series(version: &str) -> String {
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use camino::Utf8PathBuf;
    use rstest::rstest;

    use super::*;
    use crate::failure::Failure;

    fn plan(selection: &SelectionArguments) -> Result<Plan, Failure> {
        let home = Utf8PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let pins = Pins::load(home.join("clusters/pins.yaml")).unwrap();
        let faults: Vec<&str> = sandproof_protocol::faults::FAULTS.iter().map(|fault| fault.name).collect();
        let suite = Suite::load(&home.join("scenarios/suite"), &faults).unwrap();
        Plan::make(selection, &pins, &suite)
    }

    fn with(cell: Option<&str>, scenario: Option<&str>) -> SelectionArguments {
        SelectionArguments {
            cell: cell.map(str::to_owned),
            scenario: scenario.map(str::to_owned),
            ..SelectionArguments::default()
        }
    }

    #[rstest]
    #[case(None, Some("PS-07"), 1)]
    #[case(None, Some("PS-02"), 3)]
    #[case(None, Some("PS-02[givenAs=strings,registry=secure]"), 1)]
    #[case(Some("runtime==cri-o"), Some("id ~ \"^PS-0[57]$\""), 2)]
    fn a_selection_gives_so_many_results(
        #[case] cell: Option<&str>,
        #[case] scenario: Option<&str>,
        #[case] results: usize,
    ) {
        assert_eq!(plan(&with(cell, scenario)).unwrap().results(), results);
    }

    #[rstest]
    #[case(Some("kubernetes<1.20"), None)]
    #[case(None, Some("PS-99"))]
    fn nothing_selected_is_an_error_of_its_own(#[case] cell: Option<&str>, #[case] scenario: Option<&str>) {
        let error = plan(&with(cell, scenario)).unwrap_err();
        assert!(matches!(error, Failure::NothingSelected { .. }), "{error}");
    }

    #[rstest]
    #[case(Some("kubernets>=1.35"), None)]
    #[case(None, Some("id =="))]
    fn a_mistake_in_an_expression_is_a_usage_error(#[case] cell: Option<&str>, #[case] scenario: Option<&str>) {
        assert_eq!(plan(&with(cell, scenario)).unwrap_err().exit_code(), 2);
    }

    #[rstest]
    #[case(1)]
    #[case(2)]
    #[case(5)]
    #[case(40)]
    fn every_result_is_in_exactly_one_shard(#[case] shards: usize) {
        let whole = plan(&SelectionArguments::default()).unwrap();
        let mut seen = BTreeSet::new();
        for part in 1..=shards {
            let selection = SelectionArguments { shard: Some((part, shards)), ..SelectionArguments::default() };
            for scenario in plan(&selection).unwrap().scenarios_of(0) {
                assert!(seen.insert(scenario.key.clone()), "{} is in two shards", scenario.key);
            }
        }
        assert_eq!(seen.len(), whole.results());
    }
}
