//! The record on a terminal: the matrix, the findings with their causes, the phases, the summary.

mod strip;

use std::fmt::Write as _;

use comfy_table::{Attribute, Cell as TableCell, Color, ColumnConstraint, Table, Width, presets};
use owo_colors::{OwoColorize as _, Style};

use crate::matrix::{Entry, Finding, Matrix, Row};
use crate::{CaseResult, ExitCode, Record, Verdict, text};

/// How to show a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalOptions {
    /// Whether to use colours. Nothing is told by colour alone.
    pub color: bool,
    /// The width to stay within, in columns. A matrix that is wider is shown in several parts.
    pub width: usize,
}

impl Default for TerminalOptions {
    /// No colour, 100 columns: for a file or a pipe.
    fn default() -> Self {
        Self { color: false, width: 100 }
    }
}

/// More findings than these are counted, not shown: the other forms of the report have them all.
const FINDINGS: usize = 30;
/// With more cells than these, a matrix that is too wide is shown as one line a cell instead of in several tables.
const SPLIT: usize = 6;
/// No column of the matrix is wider because of its cell's name alone.
const NAME_WIDTH: usize = 20;
/// A column's borders and padding, as far as they count for that column.
const FRAME: usize = 3;

/// Renders the record for a terminal. The text ends with a line break.
pub fn render(record: &Record, options: TerminalOptions) -> String {
    let mut page = String::new();
    if let Some(subject) = &record.run.subject {
        let _ = writeln!(page, "subject: {}", text::single_line(&subject.to_string()));
    }
    let matrix = Matrix::of(record);
    if matrix.rows.is_empty() {
        page.push_str("no results\n");
    } else {
        tables(&mut page, &matrix, options);
    }
    findings(&mut page, record, options);
    declared(&mut page, record);
    phases(&mut page, record);
    leftovers(&mut page, record, options);
    let seed = record.run.seed.map(|seed| format!(" (seed {seed})")).unwrap_or_default();
    let _ = writeln!(page, "\n{}{seed}", record.summary());
    let style = if record.exit_code == ExitCode::CONFORMANT { Style::new().green() } else { Style::new().red() };
    let _ = writeln!(page, "exit code {}", paint(&record.exit_code.to_string(), style, options));
    page
}

/// The matrix, in as many tables as the width asks for.
fn tables(page: &mut String, matrix: &Matrix<'_>, options: TerminalOptions) {
    let widths: Vec<usize> = (0..matrix.cells.len()).map(|column| column_width(matrix, column)).collect();
    let longest = matrix.rows.iter().map(|row| label(row, usize::MAX).chars().count()).max().unwrap_or(0);
    let label_width = longest.min((options.width * 2 / 5).clamp(20, 56));
    let whole = label_width + FRAME + 1 + widths.iter().map(|width| width + FRAME).sum::<usize>();
    if whole > options.width && matrix.cells.len() > SPLIT {
        strip::strips(page, matrix, options);
        return;
    }
    let mut columns = 0..0;
    while columns.end < matrix.cells.len() {
        columns = columns.end..columns.end + 1;
        let mut width = label_width + FRAME + 1 + widths[columns.start] + FRAME;
        while columns.end < matrix.cells.len() && width + widths[columns.end] + FRAME <= options.width {
            width += widths[columns.end] + FRAME;
            columns.end += 1;
        }
        let _ = writeln!(page, "{}", table(matrix, columns.clone(), label_width, &widths, options));
    }
}

fn table(
    matrix: &Matrix<'_>,
    columns: std::ops::Range<usize>,
    label_width: usize,
    widths: &[usize],
    options: TerminalOptions,
) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.force_no_tty();
    if options.color {
        table.enforce_styling();
    }
    let mut header = vec![TableCell::new("scenario").add_attribute(Attribute::Bold)];
    header.extend(matrix.cells[columns.clone()].iter().zip(&widths[columns.clone()]).map(|(cell, width)| {
        TableCell::new(wrap(&text::single_line(&cell.name), *width)).add_attribute(Attribute::Bold)
    }));
    table.set_header(header);
    // A scenario that was planned in none of these cells would be an empty line.
    for row in matrix.rows.iter().filter(|row| row.entries[columns.clone()].iter().any(Option::is_some)) {
        let mut line = vec![TableCell::new(label(row, label_width))];
        line.extend(row.entries[columns.clone()].iter().map(|entry| match entry {
            Some(entry) => styled(entry),
            None => TableCell::new(""),
        }));
        table.add_row(line);
    }
    let constraints = std::iter::once(label_width).chain(widths[columns].iter().copied());
    // The table counts the padding of one on either side as part of the width.
    table.set_constraints(
        constraints
            .filter_map(|width| Some(ColumnConstraint::LowerBoundary(Width::Fixed(u16::try_from(width + 2).ok()?)))),
    );
    table
}

/// The ID and as much of the title as fits.
fn label(row: &Row<'_>, width: usize) -> String {
    text::shorten(&format!("{} {}", text::single_line(row.scenario), text::single_line(row.title)), width)
}

fn entry_text(entry: &Entry<'_>) -> String {
    format!("{} {entry}", entry.verdict.glyph())
}

fn column_width(matrix: &Matrix<'_>, column: usize) -> usize {
    let entries = matrix.rows.iter().filter_map(|row| row.entries[column].as_ref());
    let entries = entries.map(|entry| entry_text(entry).chars().count()).max().unwrap_or(0);
    let name = text::single_line(&matrix.cells[column].name).chars().count();
    entries.max(name.min(NAME_WIDTH))
}

/// Breaks a name into lines: at spaces where it has them, else where the width ends.
fn wrap(name: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in name.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    let cut = |line: String| -> Vec<String> {
        let characters: Vec<char> = line.chars().collect();
        characters.chunks(width.max(1)).map(|chunk| chunk.iter().collect()).collect()
    };
    lines.into_iter().flat_map(cut).collect::<Vec<_>>().join("\n")
}

fn styled(entry: &Entry<'_>) -> TableCell {
    let cell = TableCell::new(entry_text(entry));
    if entry.red {
        let color = if entry.verdict == Verdict::Error { Color::Magenta } else { Color::Red };
        return cell.fg(color).add_attribute(Attribute::Bold);
    }
    match entry.verdict {
        Verdict::Pass => cell.fg(Color::Green),
        Verdict::Flaky | Verdict::KnownGap | Verdict::UnsupportedSilent => cell.fg(Color::Yellow),
        Verdict::Unsupported | Verdict::Skipped | Verdict::NotRun => cell.fg(Color::DarkGrey),
        Verdict::UnexpectedPass | Verdict::Fail | Verdict::Error => cell,
    }
}

fn paint(words: &str, style: Style, options: TerminalOptions) -> String {
    if options.color { words.style(style).to_string() } else { words.to_owned() }
}

fn findings(page: &mut String, record: &Record, options: TerminalOptions) {
    let findings = Finding::red(record);
    for finding in findings.iter().take(FINDINGS) {
        let result = finding.example();
        let style = if result.verdict == Verdict::Error { Style::new().magenta() } else { Style::new().red() };
        let _ = writeln!(
            page,
            "\n{} {} in {}",
            paint(result.verdict.name(), style.bold(), options),
            paint(&text::single_line(&finding.label()), Style::new().bold(), options),
            finding.cells_text(6),
        );
        if let Some(title) = finding.title() {
            let _ = writeln!(page, "  {}", text::single_line(title));
        }
        cause(page, result);
        if !result.repro.is_empty() {
            let repro = text::single_line(&result.repro);
            let _ = writeln!(page, "  reproduce: {}", paint(&repro, Style::new().bold(), options));
        }
        if !result.evidence.is_empty() {
            let files: Vec<String> = result.evidence.iter().map(|file| text::single_line(file)).collect();
            let _ = writeln!(page, "  evidence:  {}", files.join("\n             "));
        }
    }
    let more = findings.len().saturating_sub(FINDINGS);
    if more > 0 {
        let _ = writeln!(page, "\nand {more} more findings: the other files of the report show them all");
    }
}

/// One line for each reason why something is no pass and yet does not count against the run.
fn declared(page: &mut String, record: &Record) {
    let findings = Finding::declared(record);
    if findings.is_empty() {
        return;
    }
    page.push('\n');
    for finding in findings.iter().take(FINDINGS) {
        let result = finding.example();
        let label = text::single_line(&finding.label());
        let _ = writeln!(page, "{} {label} in {}: {}", result.verdict, finding.cells_text(3), finding.reason());
    }
    let more = findings.len().saturating_sub(FINDINGS);
    if more > 0 {
        let _ = writeln!(page, "and {more} more results that are no pass and do not count against the run");
    }
}

fn cause(page: &mut String, result: &CaseResult) {
    let Some(cause) = &result.cause else {
        return;
    };
    let _ = writeln!(page, "  cause: {} ({})", text::single_line(&cause.summary), text::single_line(&cause.rule));
    let width = cause.chain.iter().map(|link| text::single_line(&link.source).chars().count()).max().unwrap_or(0);
    for link in &cause.chain {
        let source = text::single_line(&link.source);
        let at = link.at.as_ref().map(|at| format!("[{}] ", text::single_line(at))).unwrap_or_default();
        let said = text::block(&link.text).replace('\n', &format!("\n{:width$}", "", width = width + 8));
        let _ = writeln!(page, "    → {source:width$}  {at}{said}");
    }
}

fn phases(page: &mut String, record: &Record) {
    let cells: Vec<_> = record.cells.iter().filter(|cell| !cell.phases.is_empty()).collect();
    if cells.is_empty() {
        return;
    }
    page.push('\n');
    for cell in cells {
        let phases: Vec<String> = cell
            .phases
            .iter()
            .map(|phase| format!("{} {}", text::single_line(&phase.name), text::duration(phase.seconds)))
            .collect();
        let _ = writeln!(page, "{}: {}", text::single_line(&cell.name), phases.join(" · "));
    }
}

fn leftovers(page: &mut String, record: &Record, options: TerminalOptions) {
    for cell in record.cells.iter().filter(|cell| !cell.leftovers.is_empty()) {
        let heading = format!("left behind by {}:", text::single_line(&cell.name));
        let _ = writeln!(page, "\n{}", paint(&heading, Style::new().red().bold(), options));
        for leftover in &cell.leftovers {
            let _ = writeln!(page, "  {}", text::single_line(leftover));
        }
        page.push_str("  remove it with: sandproof sweep\n");
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::fixture;

    #[test]
    fn all_verdicts_without_colour() {
        insta::assert_snapshot!(render(&fixture::record(), TerminalOptions { color: false, width: 120 }));
    }

    #[test]
    fn colours_are_escape_sequences_of_ours_only() {
        insta::assert_snapshot!(
            render(&fixture::record(), TerminalOptions { color: true, width: 120 }).replace('\u{1b}', "<ESC>")
        );
    }

    #[test]
    fn the_seed_is_in_the_line_of_the_summary() {
        let mut run = fixture::run();
        run.seed = Some(7);
        let page = render(&Record::new(run, Vec::new(), false), TerminalOptions::default());
        assert!(page.contains("\n0 results (seed 7)\n"), "{page}");
    }

    #[test]
    fn an_empty_record_says_so() {
        let record = Record::new(fixture::run(), Vec::new(), false);
        assert_eq!(render(&record, TerminalOptions::default()), "no results\n\n0 results\nexit code 4 (nothing ran)\n");
    }

    #[rstest]
    #[case(80)]
    #[case(100)]
    #[case(200)]
    fn the_matrix_stays_within_the_width(#[case] width: usize) {
        let page = render(&fixture::large(12, 9, 2), TerminalOptions { color: false, width });
        for line in page.lines().filter(|line| line.starts_with(['┌', '│', '╞', '└'])) {
            assert!(line.chars().count() <= width, "{line}");
        }
    }

    #[test]
    fn many_findings_are_counted() {
        let page = render(&fixture::large(400, 2, 1), TerminalOptions::default());
        assert!(page.contains("more findings: the other files of the report show them all"));
        assert_eq!(page.matches("reproduce:").count(), FINDINGS);
    }

    #[test]
    fn nothing_hostile_reaches_the_terminal() {
        let page = render(&fixture::record(), TerminalOptions { color: false, width: 120 });
        assert!(!page.chars().any(|character| character.is_control() && character != '\n'));
        assert!(!page.contains('\u{202e}'));
    }
}
