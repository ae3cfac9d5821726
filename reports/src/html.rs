//! The record as one self-contained HTML file.
//!
//! The table is plain HTML, one small button for each scenario and cell.
//! Causes, evidence and the way to see a result again are in a JSON block and become elements when a cell is opened,
//! so a page with ten thousand results stays quick.
//! Nothing is loaded from anywhere: a content security policy in the page forbids it.

use std::fmt::Write as _;

use askama::Template;

use crate::matrix::{Finding, Matrix};
use crate::{ExitCode, Record, Verdict, text};

/// More findings than these are reached through the table only.
const FINDINGS: usize = 200;

/// Renders the record as one HTML file.
pub fn render(record: &Record) -> String {
    let page = Page {
        record,
        matrix: Matrix::of(record),
        summary: record.summary(),
        red: record.red_results().count(),
        findings: Finding::red(record),
        declared: Finding::declared(record),
        took: text::duration(record.run.finished_at.duration_since(record.run.started_at).as_secs_f64()),
        data: script_data(record),
        style: include_str!("../templates/matrix.css"),
        script: include_str!("../templates/matrix.js"),
    };
    fill(&page)
}

#[expect(clippy::expect_used, reason = "the writer is a string, and that does not fail")]
fn fill(page: &Page<'_>) -> String {
    page.render().expect("HTML is written to memory")
}

#[derive(Template)]
#[template(path = "matrix.html")]
struct Page<'r> {
    record: &'r Record,
    matrix: Matrix<'r>,
    summary: crate::Summary,
    red: usize,
    findings: Vec<Finding<'r>>,
    declared: Vec<Finding<'r>>,
    took: String,
    data: String,
    style: &'static str,
    script: &'static str,
}

impl Page<'_> {
    fn line(text: &str) -> String {
        text::single_line(text)
    }

    fn subject(&self) -> Option<String> {
        self.record.run.subject.as_ref().map(|subject| text::single_line(&subject.to_string()))
    }

    fn conformant(&self) -> bool {
        self.record.exit_code == ExitCode::CONFORMANT
    }

    /// The first of them, so that a page with thousands stays short.
    fn first<'f>(findings: &'f [Finding<'f>]) -> &'f [Finding<'f>] {
        &findings[..findings.len().min(FINDINGS)]
    }

    /// The address of a result within the page: `#CELL/SCENARIO`, as `sandproof repro` takes it.
    fn address(finding: &Finding<'_>) -> String {
        let (cell, result) = finding.results[0];
        format!("{}/{}", percent_encoded(&cell.id), percent_encoded(&result.scenario))
    }

    fn pairs(pairs: &[(String, String)]) -> String {
        let parts: Vec<String> = pairs.iter().map(|(name, value)| format!("{name} {value}")).collect();
        text::single_line(&parts.join(", "))
    }

    fn phases(cell: &crate::Cell) -> String {
        let parts: Vec<String> =
            cell.phases.iter().map(|phase| format!("{} {}", phase.name, text::duration(phase.seconds))).collect();
        text::single_line(&parts.join(" · "))
    }
}

/// What the page needs of the record beyond the table, as JSON that may stand in a `script` element.
///
/// Every `<` is written as an escape, so no text can end the element or open a comment.
fn script_data(record: &Record) -> String {
    #[expect(clippy::expect_used, reason = "the types have string keys only and memory does not fail")]
    let json = serde_json::to_string(&record.cells).expect("a record is always JSON");
    json.replace('<', "\\u003c")
}

/// Encodes what does not stand for itself in the fragment of an address, as `encodeURIComponent` does.
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cell, fixture};

    /// The page without what is the same in all pages.
    fn variable_part(page: &str) -> String {
        page.replace(include_str!("../templates/matrix.css"), "/* style */\n")
            .replace(include_str!("../templates/matrix.js"), "/* script */\n")
    }

    #[test]
    fn all_verdicts() {
        insta::assert_snapshot!(variable_part(&render(&fixture::record())));
    }

    #[test]
    fn text_of_the_record_makes_no_element() {
        let page = render(&fixture::record());
        assert_eq!(page.matches("<script").count(), 2);
        assert_eq!(page.matches("</script").count(), 2);
        assert!(!page.contains("<native>"));
        assert!(!include_str!("../templates/matrix.js").contains("</"));
    }

    #[test]
    fn the_data_block_holds_the_cells_of_the_record() {
        let record = fixture::record();
        let page = render(&record);
        let start = page.find("<script type=\"application/json\" id=\"data\">").unwrap();
        let block = &page[start..];
        let block = &block[block.find('>').unwrap() + 1..block.find("</script>").unwrap()];
        assert!(!block.contains('<'));
        assert_eq!(serde_json::from_str::<Vec<Cell>>(block).unwrap(), record.cells);
    }

    #[test]
    fn the_page_loads_nothing() {
        let page = variable_part(&render(&fixture::record()));
        assert!(page.contains("default-src 'none'"));
        for attribute in ["src=", "<link", "url(", "@import"] {
            let body = &page[..page.find("<script type=\"application/json\"").unwrap()];
            assert!(!body.contains(attribute), "{attribute}");
        }
        assert!(!include_str!("../templates/matrix.css").contains("url("));
    }

    #[test]
    fn ten_thousand_results_are_one_button_for_each_scenario_and_cell() {
        let page = render(&fixture::large(100, 20, 5));
        assert_eq!(page.matches("<td class=").count(), 2000);
        assert_eq!(page.matches("<button tabindex=-1").count(), 2000);
    }

    #[test]
    fn an_empty_record_is_a_page() {
        let page = render(&Record::new(fixture::run(), Vec::new(), false));
        assert!(page.contains("nothing ran"));
    }

    #[test]
    fn addresses_are_encoded_as_the_browser_does() {
        assert_eq!(percent_encoded("k1.36 a/b#ü"), "k1.36%20a%2Fb%23%C3%BC");
    }
}
