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
    /// Spreads scenarios over cells. On minors past their end of life a quick look is enough, unless somebody chose the cells.
    pub(super) fn new(axes: &Axes, chosen: bool, cells: &[PlannedCell], scenarios: &[ScenarioInstance]) -> Self {
        let ended = |cell: &PlannedCell| !chosen && axes.minor(&cell.kubernetes).is_some_and(|axis| axis.ended);
        let ended: Vec<bool> = cells.iter().map(ended).collect();
        let runs = scenarios.iter().map(|scenario| {
            let looks = |entry: Option<&Variation>, cell: &PlannedCell| scenario.is_smoke() || is_about(entry, cell);
            let entries: Vec<Option<&Variation>> = match scenario.varies_with.as_slice() {
                [] => vec![None],
                entries => entries.iter().map(Some).collect(),
            };
            let runs = entries.into_iter().flat_map(|entry| {
                let candidates = cells.iter().enumerate().zip(&ended);
                let candidates = candidates.filter(|((_, cell), ended)| !**ended || looks(entry, cell));
                let candidates: Vec<(usize, &PlannedCell)> = candidates.map(|(cell, _)| cell).collect();
                spread(entry.map(Variation::axes).unwrap_or_default(), &candidates, &axes.defaults)
            });
            (scenario.key.clone(), runs.collect())
        });
        Self { runs: runs.collect() }
    }

    /// Whether the scenario runs in the cell at `position`.
    pub(super) fn runs(&self, scenario: &ScenarioInstance, position: usize) -> bool {
        self.runs.get(&scenario.key).is_some_and(|cells| cells.contains(&position))
    }
}

/// Whether a cell with gates of its own is there for what counts in combination with gates.
fn is_about(entry: Option<&Variation>, cell: &PlannedCell) -> bool {
    sets_gates(cell) && matches!(entry, Some(Variation::Together(axes)) if axes.contains(&Axis::Gates))
}

/// For each value of these axes, of the cells that have it the one nearest to the defaults.
fn spread(axes: &[Axis], cells: &[(usize, &PlannedCell)], defaults: &Defaults) -> BTreeSet<usize> {
    let nearest = |own: &PlannedCell| {
        let same = cells.iter().filter(|(_, cell)| is_same(axes, own, cell));
        same.min_by_key(|(position, cell)| (distance(cell, defaults), *position)).map(|(position, _)| *position)
    };
    cells.iter().filter_map(|(_, cell)| nearest(cell)).collect()
}

/// How far a cell is from the usual one; what is unusual in itself counts most.
fn distance(cell: &PlannedCell, defaults: &Defaults) -> [bool; 5] {
    [
        cell.skew.is_some(),
        sets_gates(cell),
        cell.agent_sandbox != defaults.agent_sandbox,
        series(&cell.kubernetes) != defaults.kubernetes,
        cell.runtime != defaults.runtime,
    ]
}

fn sets_gates(cell: &PlannedCell) -> bool {
    !(cell.gates.is_empty() && cell.kubelet_gates.is_empty())
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
