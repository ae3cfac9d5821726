//! The reference driver with faults in its parts: which part is told what, and a chart that is edited.

use camino::{Utf8Path, Utf8PathBuf};
use sandproof_protocol::faults::{self, Defect, Edit, Part};

use crate::failure::Failure;

/// Faults by the part that has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FaultyParts {
    /// Names that the driver's program is told.
    pub(crate) driver: Vec<String>,
    /// Names that are written beside the supervisor's program.
    pub(crate) supervisor: Vec<String>,
    /// Edits of the chart.
    pub(crate) chart: Vec<Edit>,
    /// Defects of what is installed of Agent Sandbox.
    pub(crate) agent_sandbox: Vec<Defect>,
}

impl FaultyParts {
    /// The faults of these names; a name that is none is nobody's.
    pub(crate) fn of(names: &[String]) -> Self {
        let mut parts = Self::default();
        for fault in names.iter().filter_map(|name| faults::find(name)) {
            match fault.part {
                Part::Driver => parts.driver.push(fault.name.to_owned()),
                Part::Supervisor => parts.supervisor.push(fault.name.to_owned()),
                Part::Chart(edits) => parts.chart.extend_from_slice(edits),
                Part::AgentSandbox(defect) => parts.agent_sandbox.push(defect),
            }
        }
        parts
    }

    /// A copy of the chart with the edits, at `target`; the chart itself where there are none.
    pub(crate) fn chart(&self, chart: &Utf8Path, target: &Utf8Path) -> Result<Utf8PathBuf, Failure> {
        if self.chart.is_empty() {
            return Ok(chart.to_owned());
        }
        let failed = |found: String| Failure::environment("make a faulty copy of the chart", found);
        copy(chart, target).map_err(|error| failed(error.to_string()))?;
        for edit in &self.chart {
            let file = target.join(edit.file);
            let text = fs_err::read_to_string(&file).map_err(|error| failed(error.to_string()))?;
            let edited = edited(&text, edit).ok_or_else(|| {
                failed(format!(
                    "{} does not have the text exactly once that the fault replaces: {}",
                    edit.file, edit.find
                ))
            })?;
            fs_err::write(&file, edited).map_err(|error| failed(error.to_string()))?;
        }
        Ok(target.to_owned())
    }
}

/// The text with the edit, if what it replaces is there exactly once.
fn edited(text: &str, edit: &Edit) -> Option<String> {
    (text.matches(edit.find).count() == 1).then(|| text.replacen(edit.find, edit.replace, 1))
}

fn copy(from: &Utf8Path, to: &Utf8Path) -> std::io::Result<()> {
    fs_err::create_dir_all(to)?;
    for entry in from.read_dir_utf8()? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(entry.path(), &target)?;
        } else {
            fs_err::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sandproof_protocol::faults::FAULTS;

    use super::*;

    #[test]
    fn every_edit_fits_the_chart_that_is_shipped() {
        let chart = Utf8PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../reference-driver/chart");
        let scratch = tempfile::tempdir().unwrap();
        let scratch = Utf8Path::from_path(scratch.path()).unwrap();
        for fault in FAULTS {
            let parts = FaultyParts::of(&[fault.name.to_owned()]);
            let made = parts.chart(&chart, &scratch.join(fault.name)).unwrap();
            assert_eq!(made == chart, !matches!(fault.part, Part::Chart(_)), "{}", fault.name);
        }
    }

    #[test]
    fn a_fault_is_told_to_the_part_that_has_it() {
        let names = ["merge-override", "copy-privately", "wide-rights"].map(str::to_owned);
        let parts = FaultyParts::of(&names);
        assert_eq!((parts.driver, parts.supervisor), (vec![names[0].clone()], vec![names[1].clone()]));
        assert_eq!(parts.chart.len(), 1);
    }
}
