//! Which of several cells a scenario runs in, where its result cannot depend on what they differ in.

use std::collections::{BTreeMap, BTreeSet};

use sandproof_clusters::components::{Axes, Defaults, series};
use sandproof_scenarios::{Axis, ScenarioInstance, Variation};

use super::PlannedCell;

/// Which cells run which scenario: one for every value, or every combination of values, that it varies with.
#[derive(Debug, Clone)]
pub(super) struct Spread {
    /// Positions of cells, by the scenario's key.
    runs: BTreeMap<String, BTreeSet<usize>>,
}

impl Spread {
    /// Spreads scenarios over cells. Minors past their end of life have the smoke scenarios alone, unless somebody chose the cells.
    pub(super) fn new(axes: &Axes, chosen: bool, cells: &[PlannedCell], scenarios: &[ScenarioInstance]) -> Self {
        let ended = |cell: &PlannedCell| !chosen && axes.minor(&cell.kubernetes).is_some_and(|axis| axis.ended);
        let all: Vec<(usize, &PlannedCell)> = cells.iter().enumerate().collect();
        let supported: Vec<(usize, &PlannedCell)> = all.iter().copied().filter(|(_, cell)| !ended(cell)).collect();
        let runs = scenarios.iter().map(|scenario| {
            let candidates = if scenario.is_smoke() { &all } else { &supported };
            (scenario.key.clone(), spread(scenario, candidates, &axes.defaults))
        });
        Self { runs: runs.collect() }
    }

    /// Whether the scenario runs in the cell at `position`.
    pub(super) fn runs(&self, scenario: &ScenarioInstance, position: usize) -> bool {
        self.runs.get(&scenario.key).is_some_and(|cells| cells.contains(&position))
    }
}

/// Of the cells that are the same to the scenario, the one nearest to the defaults, for each value of what it varies with.
fn spread(scenario: &ScenarioInstance, cells: &[(usize, &PlannedCell)], defaults: &Defaults) -> BTreeSet<usize> {
    let nearest = |axes: &[Axis], own: &PlannedCell| {
        let same = cells.iter().filter(|(_, cell)| is_same(axes, own, cell));
        same.min_by_key(|(position, cell)| (distance(cell, defaults), *position)).map(|(position, _)| *position)
    };
    let entries: Vec<&[Axis]> = scenario.varies_with.iter().map(Variation::axes).collect();
    let entries = if entries.is_empty() { vec![[].as_slice()] } else { entries };
    entries.iter().flat_map(|axes| cells.iter().filter_map(|(_, cell)| nearest(axes, cell))).collect()
}

/// How far a cell is from the usual one; what is unusual in itself counts most.
fn distance(cell: &PlannedCell, defaults: &Defaults) -> [bool; 5] {
    [
        cell.skew.is_some(),
        !(cell.gates.is_empty() && cell.kubelet_gates.is_empty()),
        cell.agent_sandbox != defaults.agent_sandbox,
        series(&cell.kubernetes) != defaults.kubernetes,
        cell.runtime != defaults.runtime,
    ]
}

/// Whether two cells differ in nothing of these axes. Cells of two providers are never the same.
pub(crate) fn is_same(axes: &[Axis], one: &PlannedCell, other: &PlannedCell) -> bool {
    one.provider == other.provider
        && axes.iter().all(|axis| match axis {
            Axis::Kubernetes => series(&one.kubernetes) == series(&other.kubernetes),
            Axis::Runtime => {
                one.runtime == other.runtime && series(&one.runtime_version) == series(&other.runtime_version)
            }
            Axis::Gates => one.gates == other.gates && one.kubelet_gates == other.kubelet_gates,
            Axis::AgentSandbox => one.agent_sandbox == other.agent_sandbox,
        })
}
