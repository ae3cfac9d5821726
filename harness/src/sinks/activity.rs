//! What a run is doing at this moment, in one line.

/// Everything that is under way.
#[derive(Debug, Default)]
pub(super) struct Activity {
    total: usize,
    finished: usize,
    cells: Vec<CellActivity>,
    component: Option<String>,
}

/// What one cell is doing.
#[derive(Debug)]
struct CellActivity {
    cell: String,
    phases: Vec<&'static str>,
    scenarios: Vec<String>,
}

impl Activity {
    /// The run begins with so many results to come.
    pub(super) fn expect(&mut self, results: usize) {
        self.total = results;
    }

    /// A component is on its way, or no longer.
    pub(super) fn component(&mut self, doing: Option<String>) {
        self.component = doing;
    }

    /// A cell enters a phase.
    pub(super) fn begin(&mut self, cell: &str, phase: &'static str) {
        self.cell(cell).phases.push(phase);
    }

    /// A cell leaves a phase.
    pub(super) fn end(&mut self, cell: &str, phase: &str) {
        let activity = self.cell(cell);
        activity.phases.retain(|begun| *begun != phase);
        if activity.phases.is_empty() && activity.scenarios.is_empty() {
            self.cells.retain(|activity| activity.cell != cell);
        }
    }

    /// A scenario of a cell begins.
    pub(super) fn scenario(&mut self, cell: &str, scenario: &str) {
        self.cell(cell).scenarios.push(scenario.to_owned());
    }

    /// A scenario of a cell has its verdict. Returns `done/all`.
    pub(super) fn verdict(&mut self, cell: &str, scenario: &str) -> String {
        self.finished += 1;
        self.cell(cell).scenarios.retain(|running| running != scenario);
        format!("{}/{}", self.finished, self.total)
    }

    /// The line.
    pub(super) fn text(&self) -> String {
        let mut parts = Vec::new();
        if self.finished > 0 || self.cells.iter().any(|cell| !cell.scenarios.is_empty()) {
            parts.push(format!("{} of {} scenarios", self.finished, self.total));
        }
        parts.extend(self.component.clone());
        let several = self.cells.len() > 1;
        parts.extend(self.cells.iter().filter_map(|cell| cell.text(several)));
        parts.join("; ")
    }

    fn cell(&mut self, cell: &str) -> &mut CellActivity {
        let position = self.cells.iter().position(|activity| activity.cell == cell).unwrap_or_else(|| {
            self.cells.push(CellActivity { cell: cell.to_owned(), phases: Vec::new(), scenarios: Vec::new() });
            self.cells.len() - 1
        });
        &mut self.cells[position]
    }
}

impl CellActivity {
    /// With several cells there is no room to name what runs on each.
    fn text(&self, several: bool) -> Option<String> {
        if self.scenarios.is_empty() {
            return self.phases.last().map(|phase| format!("{}: {phase}", self.cell));
        }
        Some(if several {
            format!("{}: {} running", self.cell, self.scenarios.len())
        } else {
            format!("running {}", self.scenarios.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cell_names_its_scenarios() {
        let mut activity = Activity::default();
        activity.expect(3);
        activity.begin("a", "create");
        assert_eq!(activity.text(), "a: create");
        activity.end("a", "create");
        activity.begin("a", "scenarios");
        activity.scenario("a", "PS-01");
        activity.scenario("a", "PS-02");
        assert_eq!(activity.text(), "0 of 3 scenarios; running PS-01, PS-02");
        assert_eq!(activity.verdict("a", "PS-01"), "1/3");
        assert_eq!(activity.text(), "1 of 3 scenarios; running PS-02");
    }

    #[test]
    fn several_cells_are_told_apart() {
        let mut activity = Activity::default();
        activity.expect(6);
        activity.begin("a", "scenarios");
        activity.begin("b", "scenarios");
        // The same scenario runs on both.
        activity.scenario("a", "PS-01");
        activity.scenario("b", "PS-01");
        activity.verdict("a", "PS-01");
        activity.component(Some("runc: compiling".to_owned()));
        assert_eq!(activity.text(), "1 of 6 scenarios; runc: compiling; a: scenarios; b: 1 running");
        activity.component(None);
        activity.end("a", "scenarios");
        assert_eq!(activity.text(), "1 of 6 scenarios; running PS-01");
    }
}
