//! The record as Markdown, for the step summary of a CI system.
//!
//! A step summary may hold 1 MiB; what does not fit is counted, and the other files of the report have it all.

use std::fmt::Write as _;

use crate::matrix::{Finding, Matrix};
use crate::{Record, Verdict, text};

/// Room for what follows the findings, in bytes.
const MARGIN: usize = 16 * 1024;
/// The size that matrix and findings stay below, in bytes.
const LIMIT: usize = 1024 * 1024 - MARGIN;

/// Renders the record as Markdown.
pub fn render(record: &Record) -> String {
    let mut page = String::new();
    let _ = writeln!(page, "# sandproof: {}\n", record.exit_code.meaning());
    let _ = writeln!(page, "{}.\n", record.summary());
    let took = record.run.finished_at.duration_since(record.run.started_at).as_secs_f64();
    let _ = writeln!(
        page,
        "Profile {}, run {}{}, started {}, took {}, exit code {}.\n",
        code(&record.run.profile),
        code(&record.run.id),
        record.run.seed.map(|seed| format!(", seed {seed}")).unwrap_or_default(),
        record.run.started_at,
        text::duration(took),
        record.exit_code.code(),
    );
    if let Some(subject) = &record.run.subject {
        let _ = writeln!(page, "Subject: {}.\n", code(&subject.to_string()));
    }
    matrix(&mut page, record);
    leftovers(&mut page, record);
    findings(&mut page, record);
    for part in [declared(record), cells(record)] {
        if page.len() + part.len() <= LIMIT + MARGIN {
            page.push_str(&part);
        }
    }
    page
}

/// Text that Markdown and HTML show as it is, on one line, also within a table.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text::single_line(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '~' | '#' | '$' => {
                escaped.push('\\');
                escaped.push(character);
            }
            // No mention of a person, and no link that nobody wrote.
            '@' => escaped.push_str("&#64;"),
            _ => escaped.push(character),
        }
    }
    escaped.replace("://", "&#58;//")
}

/// Text as code, on one line, also within a table.
fn code(text: &str) -> String {
    let escaped: String = text::single_line(text)
        .chars()
        .map(|character| match character {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            // These still mean something to Markdown within an HTML element.
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '~' | '#' | '$' | '@' | ':' => {
                format!("&#{};", u32::from(character))
            }
            _ => character.to_string(),
        })
        .collect();
    format!("<code>{escaped}</code>")
}

/// A fenced block. The fence is longer than any in the text, so the text cannot end it.
fn fenced(text: &str) -> String {
    let clean = text::block(text);
    let longest = clean.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{clean}\n{fence}\n")
}

fn matrix(page: &mut String, record: &Record) {
    let matrix = Matrix::of(record);
    if matrix.rows.is_empty() {
        page.push_str("No results.\n\n");
        return;
    }
    page.push_str("| Scenario |");
    for cell in matrix.cells {
        let _ = write!(page, " {} |", escape(&cell.name));
    }
    page.push_str("\n|---|");
    page.push_str(&"---|".repeat(matrix.cells.len()));
    page.push('\n');
    for (shown, row) in matrix.rows.iter().enumerate() {
        if page.len() > LIMIT / 2 {
            let _ = writeln!(page, "\n{} more scenarios are left out for size.", matrix.rows.len() - shown);
            break;
        }
        let _ = write!(page, "| {} {} |", escape(row.scenario), escape(&text::shorten(row.title, 80)));
        for entry in &row.entries {
            match entry {
                Some(entry) if entry.red => {
                    let _ = write!(page, " **{entry}** |");
                }
                Some(entry) => {
                    let _ = write!(page, " {entry} |");
                }
                None => page.push_str("  |"),
            }
        }
        page.push('\n');
    }
    page.push('\n');
}

fn leftovers(page: &mut String, record: &Record) {
    for cell in record.cells.iter().filter(|cell| !cell.leftovers.is_empty()) {
        let _ = writeln!(page, "## Left behind by {}\n", escape(&cell.name));
        for leftover in &cell.leftovers {
            let _ = writeln!(page, "- {}", code(leftover));
        }
        page.push_str("\n`sandproof sweep` removes it.\n\n");
    }
}

fn findings(page: &mut String, record: &Record) {
    let findings = Finding::red(record);
    if findings.is_empty() {
        return;
    }
    page.push_str("## Findings\n\n");
    for (shown, finding) in findings.iter().enumerate() {
        let block = details(finding);
        if page.len() + block.len() > LIMIT {
            let _ = writeln!(page, "{} more findings are left out for size.\n", findings.len() - shown);
            return;
        }
        page.push_str(&block);
    }
}

fn details(finding: &Finding<'_>) -> String {
    let result = finding.example();
    let mut block = String::new();
    let _ = writeln!(
        block,
        "<details><summary><b>{}</b> {} in {}</summary>\n",
        result.verdict,
        // Within an HTML element on its own lines, Markdown's backslashes would be shown.
        html_escape(&finding.label()),
        html_escape(&finding.cells_text(6)),
    );
    if let Some(title) = finding.title() {
        let _ = writeln!(block, "{}\n", escape(title));
    }
    if let Some(cause) = &result.cause {
        let _ = writeln!(block, "**{}** ({})\n", escape(&cause.summary), escape(&cause.rule));
        let chain: Vec<String> = cause
            .chain
            .iter()
            .map(|link| {
                let at = link.at.as_ref().map(|at| format!(" [{}]", text::single_line(at))).unwrap_or_default();
                format!("{}{at}: {}", text::single_line(&link.source), text::block(&link.text))
            })
            .collect();
        if !chain.is_empty() {
            let _ = writeln!(block, "{}", fenced(&chain.join("\n")));
        }
    }
    if !result.repro.is_empty() {
        let _ = writeln!(block, "Reproduce it:\n\n{}", fenced(&text::single_line(&result.repro)));
    }
    if !result.evidence.is_empty() {
        let files: Vec<String> = result.evidence.iter().map(|file| code(file)).collect();
        let _ = writeln!(block, "Evidence: {}\n", files.join(", "));
    }
    block.push_str("</details>\n\n");
    block
}

fn html_escape(text: &str) -> String {
    text::single_line(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What is no pass and does not count against the run, with the reason.
fn declared(record: &Record) -> String {
    let findings = Finding::declared(record);
    if findings.is_empty() {
        return String::new();
    }
    let mut page = String::from("<details><summary>No pass, but declared or retried</summary>\n\n");
    for finding in &findings {
        let result = finding.example();
        let _ = writeln!(
            page,
            "- **{}** {} in {}: {}",
            result.verdict,
            escape(&finding.label()),
            escape(&finding.cells_text(6)),
            escape(&finding.reason()),
        );
    }
    page.push_str("\n</details>\n\n");
    page
}

fn cells(record: &Record) -> String {
    let mut page = String::new();
    page.push_str("<details><summary>Cells: what was asked for, what was reached, and the time it took</summary>\n\n");
    page.push_str("| Cell | Asked for | Reached | Phases |\n|---|---|---|---|\n");
    for cell in &record.cells {
        let pairs = |pairs: Vec<(String, String)>| {
            pairs
                .iter()
                .map(|(name, value)| format!("{} {}", escape(name), escape(value)))
                .collect::<Vec<_>>()
                .join("<br>")
        };
        let phases: Vec<String> = cell
            .phases
            .iter()
            .map(|phase| format!("{} {}", escape(&phase.name), text::duration(phase.seconds)))
            .collect();
        let _ = writeln!(
            page,
            "| {}<br>{} | {} | {} | {} |",
            escape(&cell.name),
            code(&cell.id),
            pairs(cell.axes.pairs()),
            pairs(cell.observed.pairs()),
            phases.join("<br>"),
        );
    }
    page.push_str("\n</details>\n\n<details><summary>What the words mean</summary>\n\n");
    for verdict in Verdict::ALL {
        let _ = writeln!(page, "- **{verdict}**: {}", verdict.meaning());
    }
    page.push_str("\n</details>\n");
    page
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{CaseResult, Cause, ChainLink, fixture};

    #[test]
    fn all_verdicts() {
        insta::assert_snapshot!(render(&fixture::record()));
    }

    #[rstest]
    #[case("a|b", "a\\|b")]
    #[case("a\nb", "a b")]
    #[case("<img src=x>", "&lt;img src=x&gt;")]
    #[case("*b* _i_ `c` [l](u)", "\\*b\\* \\_i\\_ \\`c\\` \\[l\\](u)")]
    #[case("@someone https://x", "&#64;someone https&#58;//x")]
    fn text_is_shown_as_it_is(#[case] text: &str, #[case] escaped: &str) {
        assert_eq!(escape(text), escaped);
    }

    #[rstest]
    #[case("plain", "```text\nplain\n```\n")]
    #[case("a ``` b", "````text\na ``` b\n````\n")]
    #[case("`````", "``````text\n`````\n``````\n")]
    fn no_text_ends_its_fence(#[case] text: &str, #[case] block: &str) {
        assert_eq!(fenced(text), block);
    }

    #[test]
    fn the_subject_is_named() {
        let mut record = fixture::record();
        record.run.subject = Some(fixture::subject());
        assert!(render(&record).contains("Subject: <code>reference, profile upstream-like, faults a b</code>.\n"));
    }

    #[test]
    fn every_row_of_a_table_has_the_same_columns() {
        let page = render(&fixture::record());
        let table = page.split("\n\n").find(|part| part.starts_with("| Scenario")).unwrap();
        for line in table.lines() {
            assert_eq!(line.replace("\\|", "").matches('|').count(), 4, "{line}");
        }
    }

    #[test]
    fn a_large_report_fits_into_a_step_summary() {
        let mut cell = fixture::bare_cell("c");
        for index in 0..10_000 {
            let mut result = CaseResult::new(format!("S-{index}"), "title ".repeat(20), Verdict::Fail);
            result.cause = Some(Cause::new("rule", "why").link(ChainLink::new("kubelet", "said ".repeat(40))));
            cell.results.push(result);
        }
        let page = render(&Record::new(fixture::run(), vec![cell], false));
        assert!(page.len() <= 1024 * 1024, "{}", page.len());
        assert!(page.contains("more findings are left out for size"));
        assert!(page.contains("more scenarios are left out for size"));
    }
}
