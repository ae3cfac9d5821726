//! `expectations update`: what a report says about the expectations, as a diff.

use camino::Utf8Path;
use sandproof_reports::ExitCode;
use sandproof_scenarios::{Facts, Seen, propose};
use similar::TextDiff;

use super::{report, suite};
use crate::{cli::UpdateArguments, failure::Failure, paths::Paths, runner::facts_of, terminal};

/// A file without rows, for a suite of one's own that has none.
const EMPTY: &str = "expectations: []\n";

/// Shows the edits; a person applies them, and writes the reasons.
pub(super) fn update(arguments: &UpdateArguments) -> Result<ExitCode, Failure> {
    let paths = Paths::find()?;
    let directory = arguments.suite.as_deref();
    let suite = suite::load(&paths, directory)?;
    let record = report::read(&arguments.from)?;
    let file = suite::expectations_file(&paths, directory);
    let text = if file.exists() {
        fs_err::read_to_string(&file).map_err(|error| Failure::environment("read the expectations", error))?
    } else {
        EMPTY.to_owned()
    };
    let clusters: Vec<Facts> = record.cells.iter().map(|cell| facts_of(&record.run, cell)).collect();
    let seen: Vec<Seen> = record
        .cells
        .iter()
        .zip(&clusters)
        .flat_map(|(cell, facts)| cell.results.iter().map(move |result| Seen { result, facts }))
        .collect();
    let proposal = propose(&text, &file, &suite, &seen, jiff::Zoned::now().date()).map_err(Failure::source)?;
    for note in &proposal.notes {
        terminal::progress(note);
    }
    if proposal.text == text {
        terminal::progress("the expectations agree with this report: nothing to propose");
        return Ok(ExitCode::CONFORMANT);
    }
    terminal::result(difference(&text, &proposal.text, name(&paths, &file)).trim_end());
    Ok(ExitCode::CONFORMANT)
}

/// The file as `git apply` wants it: relative to the clone, where it is in one.
fn name<'a>(paths: &Paths, file: &'a Utf8Path) -> &'a Utf8Path {
    file.strip_prefix(&paths.home).unwrap_or(file)
}

fn difference(old: &str, new: &str, name: &Utf8Path) -> String {
    let name = name.as_str().trim_start_matches('/');
    TextDiff::from_lines(old, new).unified_diff().header(&format!("a/{name}"), &format!("b/{name}")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_is_one_that_git_applies() {
        let old = "expectations:\n  - scenario: PS-01\n    verdict: skipped\n    reason: r\n";
        insta::assert_snapshot!(difference(old, "expectations:\n", "scenarios/expectations.yaml".into()));
    }
}
