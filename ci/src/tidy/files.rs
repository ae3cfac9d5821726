//! Sizes and names of files.

use crate::tally::Tally;
use crate::workspace::TextFile;

/// Lines that a Rust file may have, tests included.
const LINES: usize = 600;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 9] = ["common", "helper", "helpers", "imp", "manager", "mgr", "misc", "util", "utils"];

pub(super) fn check(files: &[TextFile], tally: &mut Tally) {
    tally.add("Rust files have at most 600 lines", files.iter().filter_map(too_long).collect());
    tally.add("file names say what is inside", files.iter().filter_map(empty_name).collect());
    tally.add("no snapshot waits for its review", files.iter().filter_map(pending_snapshot).collect());
    tally.add("text files end with one newline and have no trailing spaces", files.iter().filter_map(untidy).collect());
}

fn too_long(file: &TextFile) -> Option<String> {
    let lines = file.text.lines().count();
    (file.path.extension() == Some("rs") && lines > LINES)
        .then(|| format!("{}: {lines} lines; give one of its subjects a file of its own", file.path))
}

fn empty_name(file: &TextFile) -> Option<String> {
    file.path
        .components()
        .map(|component| component.as_str().split('.').next().unwrap_or_default())
        .find(|name| EMPTY_NAMES.contains(name))
        .map(|name| format!("{}: `{name}` does not say what is inside", file.path))
}

fn pending_snapshot(file: &TextFile) -> Option<String> {
    let pending = [".snap.new", ".pending-snap"].iter().any(|ending| file.path.as_str().ends_with(ending));
    pending.then(|| format!("{}: accept it or remove it", file.path))
}

fn untidy(file: &TextFile) -> Option<String> {
    // Snapshots hold what was printed; the licence is as its author wrote it.
    let exempt = file.path.extension() == Some("snap") || file.path == "LICENSE" || file.text.is_empty();
    if exempt {
        return None;
    }
    if let Some(index) = file.text.lines().position(|line| line.ends_with([' ', '\t'])) {
        return Some(format!("{}:{}: spaces at the end of the line", file.path, index + 1));
    }
    let one_newline = file.text.ends_with('\n') && !file.text.ends_with("\n\n");
    (!one_newline).then(|| format!("{}: does not end with one newline", file.path))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::good("harness/src/plan.rs", "fn a() {}\n", None)]
    #[case::name("harness/src/util.rs", "\n\n", Some("does not say what is inside"))]
    #[case::folder("harness/src/helpers/plan.rs", "a\n", Some("does not say what is inside"))]
    #[case::part_of_a_word("harness/src/utilization.rs", "a\n", None)]
    #[case::spaces("README.md", "a \n", Some("README.md:1"))]
    #[case::no_newline("README.md", "a", Some("one newline"))]
    #[case::pending("a.snap.new", "a\n", Some("accept it"))]
    #[case::snapshot("a.snap", "a ", None)]
    #[case::long("a.rs", &"a\n".repeat(601), Some("601 lines"))]
    #[case::long_text("a.md", &"a\n".repeat(601), None)]
    fn a_file_is_judged_by_name_and_size(#[case] path: &str, #[case] text: &str, #[case] finding: Option<&str>) {
        let mut tally = Tally::default();
        check(&[TextFile { path: path.into(), text: text.to_owned() }], &mut tally);
        let findings = tally.findings();
        match finding {
            Some(finding) => assert!(findings.iter().any(|found| found.contains(finding)), "{findings:?}"),
            None => assert!(findings.is_empty(), "{findings:?}"),
        }
    }
}
