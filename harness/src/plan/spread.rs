//! Which of several cells a scenario runs in, where its result cannot depend on what they differ in.

use sandproof_clusters::components::{Defaults, series};
use sandproof_scenarios::{Axis, ScenarioInstance};

use super::PlannedCell;

/// Spreads scenarios over cells: each runs once for every combination of the axes that it varies with.
#[derive(Debug, Clone)]
pub(crate) struct Spread {
    /// Of cells that are the same to a scenario, the one nearest to these runs it.
    defaults: Defaults,
}

impl Spread {
    pub(super) fn new(defaults: &Defaults) -> Self {
        Self { defaults: defaults.clone() }
    }

    /// Whether the scenario runs in the cell at `position`.
    pub(super) fn runs(&self, scenario: &ScenarioInstance, position: usize, cells: &[PlannedCell]) -> bool {
        let Some(own) = cells.get(position) else { return false };
        let same = cells.iter().enumerate().filter(|(_, cell)| is_same(&scenario.varies_with, own, cell));
        same.min_by_key(|(other, cell)| (self.distance(cell), *other)).is_some_and(|(nearest, _)| nearest == position)
    }

    /// How far a cell is from the usual one; what is unusual in itself counts most.
    fn distance(&self, cell: &PlannedCell) -> [bool; 5] {
        [
            cell.skew.is_some(),
            !(cell.gates.is_empty() && cell.kubelet_gates.is_empty()),
            cell.agent_sandbox != self.defaults.agent_sandbox,
            series(&cell.kubernetes) != self.defaults.kubernetes,
            cell.runtime != self.defaults.runtime,
        ]
    }
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
