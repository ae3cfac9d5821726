//! The plan: axes × pins × filters give cells, and each cell has scenarios.

mod cells;
mod custom;
mod spread;

use sandproof_clusters::{
    components::{Pins, nearest},
    existing::Survey,
    provider::Provider,
};
use sandproof_scenarios::{Expression, ScenarioInstance, Suite};

use self::spread::Spread;
pub(crate) use self::{
    cells::{PlannedCell, cells, found, release_name},
    spread::is_same,
};

use crate::{
    cli::{Profile, SelectionArguments},
    failure::Failure,
    paths::Paths,
};

/// What a run will do.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The profile's name.
    pub(crate) profile: Profile,
    /// The cells, oldest first.
    pub(crate) cells: Vec<PlannedCell>,
    /// The scenarios that run on them.
    pub(crate) scenarios: Vec<ScenarioInstance>,
    /// Not every scenario runs in every cell: who decides where; none where each does.
    spread: Option<Spread>,
    /// How many of the first cells' results belong to this shard: (part, of).
    pub(crate) shard: Option<(usize, usize)>,
}

impl Plan {
    /// Makes the plan for a selection. An empty one is an error: it must not look like success.
    pub(crate) fn make(selection: &SelectionArguments, pins: &Pins, suite: &Suite) -> Result<Self, Failure> {
        if selection.provider == Some(Provider::Existing) {
            return Err(Failure::usage(
                "the cells of provider existing are found, and cannot be chosen here",
                "`./sandproof run --provider existing --context NAME` runs on a cluster that is already there",
            ));
        }
        Self::with(selection, pins, suite, None)
    }

    /// Makes the plan for the one cell that a cluster of the user's is.
    pub(crate) fn for_existing(
        selection: &SelectionArguments,
        pins: &Pins,
        suite: &Suite,
        survey: &Survey,
    ) -> Result<Self, Failure> {
        if selection.cell.is_some() || !selection.custom_cells.is_empty() {
            return Err(Failure::usage(
                "--cell and --custom-cell choose clusters to make, and provider existing makes none",
                "leave them out: the cell is the cluster of the context",
            ));
        }
        Self::with(selection, pins, suite, Some(survey))
    }

    fn with(
        selection: &SelectionArguments,
        pins: &Pins,
        suite: &Suite,
        existing: Option<&Survey>,
    ) -> Result<Self, Failure> {
        let cells = if let Some(survey) = existing {
            vec![found(&pins.axes, survey)]
        } else if selection.custom_cells.is_empty() {
            select_cells(selection, pins)?
        } else {
            custom_cells(selection, pins)?
        };
        let scenarios = select_scenarios(selection, suite)?;
        // Whoever names scenarios wants them in every cell that is chosen.
        let spreads = selection.profile == Profile::Full && selection.scenario.is_none();
        let spread = spreads.then(|| Spread::new(&pins.axes, selection.cell.is_some(), &cells, &scenarios));
        Ok(Self { profile: selection.profile, cells, scenarios, spread, shard: selection.shard })
    }

    /// The scenarios of the cell at `position` that belong to this shard.
    pub(crate) fn scenarios_of(&self, position: usize) -> Vec<ScenarioInstance> {
        let all = self.run_in(position);
        let Some((part, of)) = self.shard else { return all.cloned().collect() };
        let before: usize = (0..position).map(|earlier| self.run_in(earlier).count()).sum();
        all.enumerate()
            .filter(|(index, _)| (before + index) % of == part - 1)
            .map(|(_, scenario)| scenario.clone())
            .collect()
    }

    /// The scenarios of the cell at `position`, in whichever shard.
    fn run_in(&self, position: usize) -> impl Iterator<Item = &ScenarioInstance> {
        self.scenarios.iter().filter(move |scenario| self.spread.as_ref().is_none_or(|s| s.runs(scenario, position)))
    }

    /// How many results are left out because another cell's cannot differ.
    pub(crate) fn judged_elsewhere(&self) -> usize {
        let run: usize = (0..self.cells.len()).map(|position| self.run_in(position).count()).sum();
        self.cells.len() * self.scenarios.len() - run
    }

    /// The same for a subject that gives the agent container this name.
    pub(crate) fn calling_agent(mut self, name: &str) -> Self {
        self.scenarios = self.scenarios.into_iter().map(|scenario| scenario.calling_agent(name)).collect();
        self
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

/// The words of a profile.
pub(crate) fn profile_name(profile: Profile) -> &'static str {
    match profile {
        Profile::Smoke => "smoke",
        Profile::Pr => "pr",
        Profile::Full => "full",
        Profile::Release => "release",
    }
}

/// The cells that the user put together; those of the pins are left out.
fn custom_cells(selection: &SelectionArguments, pins: &Pins) -> Result<Vec<PlannedCell>, Failure> {
    if selection.cell.is_some() {
        return Err(Failure::usage(
            "--cell selects among the cells of the pins, and --custom-cell makes one beside them",
            "give one of the two",
        ));
    }
    let mut cells: Vec<PlannedCell> = Vec::new();
    for text in &selection.custom_cells {
        let cell = custom::cell(text, pins, selection.allow_skew)?;
        // Asked for twice, it is run once: two cells of one name would be one to every reader.
        if cells.iter().all(|known| known.id != cell.id) {
            cells.push(cell);
        }
    }
    Ok(cells)
}

fn select_cells(selection: &SelectionArguments, pins: &Pins) -> Result<Vec<PlannedCell>, Failure> {
    let all = cells(pins);
    let choice = choice(&all);
    let provider = selection.provider.unwrap_or(selection.usual_provider);
    let of_provider: Vec<PlannedCell> = all.iter().filter(|cell| cell.provider == provider).cloned().collect();
    let of_profile = profile_cells(selection.profile, &of_provider, pins);
    let expression = selection.cell.as_deref().map(|text| parse("--cell", text, PlannedCell::FIELDS)).transpose()?;
    // Whoever names the provider, or a cell, chooses among all; the others among the cells of one provider.
    let free = selection.provider.is_none()
        && expression.as_ref().is_some_and(|expression| expression.reads("provider") || expression.reads("id"));
    let selected: Vec<PlannedCell> = all
        .into_iter()
        .filter(|cell| free || cell.provider == provider || selection.cell.as_ref() == Some(&cell.id))
        .filter(|cell| match &expression {
            Some(expression) => cell_matches(expression, selection.cell.as_deref(), cell),
            None => of_profile.contains(&cell.id),
        })
        .collect();
    if selected.is_empty() {
        let text = selection.cell.as_deref().unwrap_or("the profile");
        let hint = unpinned_version(text, pins).unwrap_or(choice);
        return Err(Failure::NothingSelected { message: format!("no cell matches {text}"), hint: Some(hint) });
    }
    Ok(selected)
}

/// What there is to choose from, by axis.
fn choice(cells: &[PlannedCell]) -> String {
    let values = |of: fn(&PlannedCell) -> &String| {
        let mut values: Vec<&str> = Vec::new();
        for cell in cells {
            if !values.contains(&of(cell).as_str()) {
                values.push(of(cell));
            }
        }
        values.join(", ")
    };
    format!(
        "there are kubernetes {}; runtime {}; runtimeVersion {}; agentSandbox {}; `./sandproof list cells` shows all {} cells",
        values(|cell| &cell.kubernetes),
        values(|cell| &cell.runtime),
        values(|cell| &cell.runtime_version),
        values(|cell| &cell.agent_sandbox),
        cells.len(),
    )
}

/// The cells of a profile, where no expression says which.
fn profile_cells(profile: Profile, all: &[PlannedCell], pins: &Pins) -> Vec<String> {
    let defaults = &pins.axes.defaults;
    let plain = |cell: &&PlannedCell| cell.gates.is_empty() && cell.agent_sandbox == defaults.agent_sandbox;
    // The nodes of kind have one runtime.
    let has_default = all.iter().any(|cell| cell.runtime == defaults.runtime);
    let with_default_runtime = |cell: &&PlannedCell| plain(cell) && (cell.runtime == defaults.runtime || !has_default);
    let id = |cell: Option<&PlannedCell>| cell.map(|cell| cell.id.clone());
    let mut cells: Vec<String> = match profile {
        Profile::Smoke => {
            let own = pins.axes.minor(&defaults.kubernetes).map(|axis| axis.kubernetes.clone());
            let default = all.iter().filter(with_default_runtime).find(|cell| Some(&cell.kubernetes) == own.as_ref());
            id(default).into_iter().collect()
        }
        Profile::Pr => {
            let oldest = all.iter().find(plain);
            // The newest minor on which nobody has switched image volumes on.
            let gate_off = all
                .iter()
                .filter(with_default_runtime)
                .rfind(|cell| cell.effective_gates.get("ImageVolume") == Some(&false));
            let newest = all.iter().rfind(with_default_runtime);
            [oldest, gate_off, newest].into_iter().filter_map(id).collect()
        }
        Profile::Full | Profile::Release => all.iter().map(|cell| cell.id.clone()).collect(),
    };
    cells.dedup();
    cells
}

/// Where an expression names a version that is not pinned: which, and the nearest that is.
fn unpinned_version(text: &str, pins: &Pins) -> Option<String> {
    let known = |component: &str| pins.component(component).map(|pin| pin.versions.clone()).unwrap_or_default();
    let fields = [
        ("kubernetes", known("kubernetes")),
        ("agentSandbox", known("agent-sandbox")),
        ("runtimeVersion", [known("cri-o"), known("containerd-1"), known("containerd")].concat()),
    ];
    for (field, versions) in fields {
        for (at, _) in text.match_indices(field) {
            let rest = text[at + field.len()..].trim_start().trim_start_matches(['=', '<', '>', '!']).trim_start();
            let rest = rest.trim_start_matches(['"', 'v']);
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let wanted = &rest[..end];
            let pinned = versions.iter().any(|version| version == wanted || version.starts_with(&format!("{wanted}.")));
            if let (false, false, Some(nearest)) =
                (wanted.is_empty(), pinned, nearest(wanted, versions.iter().map(String::as_str)))
            {
                return Some(format!(
                    "{field} {wanted} is not pinned in clusters/pins.yaml; the nearest that is: {nearest} (of {})",
                    versions.join(", "),
                ));
            }
        }
    }
    None
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
        .filter(|scenario| !quick || scenario.is_smoke())
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

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use camino::Utf8PathBuf;
    use rstest::rstest;

    use super::*;
    use crate::failure::Failure;

    /// The plan for a selection, of the pins and the suite as they are.
    pub(crate) fn plan(selection: &SelectionArguments) -> Result<Plan, Failure> {
        let home = Utf8PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let pins = Pins::load(home.join("clusters/pins.yaml")).unwrap();
        Plan::make(selection, &pins, &crate::commands::suite::shipped())
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
    #[case(Some("id ~ \"^k1.3[56]-crio1.3[56]-native$\""), Some("id ~ \"^PS-0[57]$\""), 4)]
    fn a_selection_gives_so_many_results(
        #[case] cell: Option<&str>,
        #[case] scenario: Option<&str>,
        #[case] results: usize,
    ) {
        assert_eq!(plan(&with(cell, scenario)).unwrap().results(), results);
    }

    #[rstest]
    #[case(Profile::Smoke, &["k1.36-crio1.36-native"])]
    #[case(Profile::Pr, &["k1.31-containerd1.7-native", "k1.34-crio1.34-native", "k1.37-crio1.36-native"])]
    fn a_profile_has_its_cells(#[case] profile: Profile, #[case] cells: &[&str]) {
        let selection = SelectionArguments { profile, ..SelectionArguments::default() };
        let planned = plan(&selection).unwrap();
        assert_eq!(planned.cells.iter().map(|cell| cell.id.as_str()).collect::<Vec<_>>(), cells);
    }

    /// The cells in which the full profile runs a scenario, among those that are chosen.
    #[rstest]
    #[case::everywhere("runtime==cri-o && kubernetes>=1.35", "SL-01", &["k1.35-crio1.35-native", "k1.35-crio1.35-native-imagevolume-off", "k1.36-crio1.36-native", "k1.36-crio1.34-native", "k1.36-crio1.36-native-as0.4", "k1.36-crio1.36-native-as0.5", "k1.37-crio1.36-native"])]
    #[case::once("kubernetes>=1.35", "DC-07", &["k1.36-crio1.36-native"])]
    #[case::once_without_the_default_cell("kubernetes==1.33", "DC-07", &["k1.33-containerd2.1-native"])]
    #[case::each_minor("kubernetes>=1.35", "RB-01", &["k1.35-crio1.35-native", "k1.36-crio1.36-native", "k1.37-crio1.36-native"])]
    #[case::each_minor_and_each_runtime("kubernetes>=1.35 && skew==false", "PS-05", &["k1.35-crio1.35-native", "k1.35-containerd2.1-native", "k1.35-containerd1.7-native", "k1.36-crio1.36-native", "k1.36-containerd2.2-native", "k1.36-containerd2.3-native"])]
    #[case::each_combination("kubernetes>=1.35 && skew==false && runtime==containerd", "PS-19", &["k1.35-containerd2.1-native", "k1.35-containerd2.2-native", "k1.35-containerd2.3-native", "k1.35-containerd1.7-native", "k1.36-containerd2.2-native", "k1.36-containerd2.3-native"])]
    #[case::each_release_of_agent_sandbox("kubernetes==1.36", "DC-05", &["k1.36-crio1.36-native", "k1.36-crio1.36-native-as0.4", "k1.36-crio1.36-native-as0.5"])]
    fn the_full_profile_runs_a_scenario_where_its_result_can_differ(
        #[case] cell: &str,
        #[case] scenario: &str,
        #[case] expected: &[&str],
    ) {
        let selection = SelectionArguments { profile: Profile::Full, ..with(Some(cell), None) };
        let plan = plan(&selection).unwrap();
        let runs: Vec<&str> = (0..plan.cells.len())
            .filter(|position| plan.scenarios_of(*position).iter().any(|planned| planned.id == scenario))
            .map(|position| plan.cells[position].id.as_str())
            .collect();
        assert_eq!(runs, expected);
        assert_eq!(plan.judged_elsewhere() + plan.results(), plan.cells.len() * plan.scenarios.len());
    }

    #[rstest]
    #[case::not_smoke(None, "RB-01", &["1.33.13", "1.34.10", "1.35.8", "1.36.4", "1.37.2"])]
    #[case::about_gates(None, "SL-07", &["1.31.1", "1.32.5", "1.33.13", "1.34.10", "1.35.8", "1.36.4", "1.37.2"])]
    #[case::smoke(None, "PS-05", &["1.31.1", "1.32.5", "1.33.13", "1.34.10", "1.35.8", "1.36.4", "1.37.2"])]
    #[case::chosen(Some("kubernetes<=1.33"), "RB-01", &["1.31.1", "1.32.5", "1.33.13"])]
    fn the_full_profile_only_looks_at_a_minor_past_its_end_unless_it_was_chosen(
        #[case] cell: Option<&str>,
        #[case] scenario: &str,
        #[case] expected: &[&str],
    ) {
        let plan = plan(&SelectionArguments { profile: Profile::Full, ..with(cell, None) }).unwrap();
        let minors: BTreeSet<&str> = (0..plan.cells.len())
            .filter(|position| plan.scenarios_of(*position).iter().any(|planned| planned.id == scenario))
            .map(|position| plan.cells[position].kubernetes.as_str())
            .collect();
        assert_eq!(minors.into_iter().collect::<Vec<_>>(), expected);
    }

    #[rstest]
    #[case(Profile::Release, None)]
    #[case(Profile::Full, Some("DC-07"))]
    fn nothing_is_left_out_where_everything_is_asked_for(#[case] profile: Profile, #[case] scenario: Option<&str>) {
        let plan = plan(&SelectionArguments { profile, ..with(None, scenario) }).unwrap();
        assert_eq!(plan.judged_elsewhere(), 0);
        assert!((0..plan.cells.len()).all(|position| plan.scenarios_of(position).len() == plan.scenarios.len()));
    }

    #[test]
    fn every_cell_has_a_name_of_its_own() {
        let selection = SelectionArguments { profile: Profile::Full, ..SelectionArguments::default() };
        let cells = plan(&selection).unwrap().cells;
        let ids: BTreeSet<&str> = cells.iter().map(|cell| cell.id.as_str()).collect();
        assert_eq!(ids.len(), cells.len());
        insta::assert_snapshot!(ids.into_iter().collect::<Vec<_>>().join("\n"));
    }

    #[rstest]
    #[case("kubernetes==1.36.9", "kubernetes 1.36.9 is not pinned in clusters/pins.yaml; the nearest that is: 1.36.4")]
    #[case("runtimeVersion==2.4", "runtimeVersion 2.4 is not pinned in clusters/pins.yaml; the nearest that is: 2.3.5")]
    #[case("kubernetes==1.36 && runtime==docker", "there are kubernetes 1.31.1, 1.32.5,")]
    fn a_version_that_cannot_be_had_comes_with_the_nearest(#[case] expression: &str, #[case] expected: &str) {
        match plan(&with(Some(expression), None)).unwrap_err() {
            Failure::NothingSelected { hint, .. } => assert!(hint.as_ref().unwrap().starts_with(expected), "{hint:?}"),
            other => panic!("{other}"),
        }
    }

    #[rstest]
    #[case("gates.ImageVolume==false && runtime==cri-o", &["1.33.13", "1.34.10", "1.35.8"])]
    #[case("skew==true && runtime==cri-o && gates.ImageVolume==true", &["1.33.13", "1.36.4", "1.37.2"])]
    #[case("kubeletGates.ImageVolume==false && gates.ImageVolume==true", &["1.34.10"])]
    fn expressions_read_gates_and_skew(#[case] expression: &str, #[case] kubernetes: &[&str]) {
        let planned = plan(&with(Some(expression), None)).unwrap();
        assert_eq!(planned.cells.iter().map(|cell| cell.kubernetes.as_str()).collect::<Vec<_>>(), kubernetes);
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
    #[case(Profile::Smoke, 1)]
    #[case(Profile::Smoke, 2)]
    #[case(Profile::Smoke, 5)]
    #[case(Profile::Smoke, 40)]
    #[case(Profile::Full, 3)]
    fn every_result_is_in_exactly_one_shard(#[case] profile: Profile, #[case] shards: usize) {
        let all = SelectionArguments { profile, ..SelectionArguments::default() };
        let whole = plan(&all).unwrap();
        let mut seen = BTreeSet::new();
        for part in 1..=shards {
            let plan = plan(&SelectionArguments { shard: Some((part, shards)), ..all.clone() }).unwrap();
            for position in 0..plan.cells.len() {
                for scenario in plan.scenarios_of(position) {
                    let result = (position, scenario.key);
                    assert!(!seen.contains(&result), "{result:?} is in two shards");
                    seen.insert(result);
                }
            }
        }
        assert_eq!(seen.len(), whole.results());
    }
}
