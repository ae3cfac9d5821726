//! The matrix of many cells: one line a cell, one sign a scenario.

use std::fmt::Write as _;

use owo_colors::Style;

use super::{TerminalOptions, paint};
use crate::matrix::{Entry, Matrix, Row};
use crate::{Verdict, text};

/// No name of a cell is shown longer than this.
const NAME_WIDTH: usize = 60;
/// What stands behind a cell's signs: `  99 red`.
const TAIL: usize = 9;

/// Writes the matrix as strips of signs, in as many parts as the width asks for, and what the signs mean.
pub(super) fn strips(page: &mut String, matrix: &Matrix<'_>, options: TerminalOptions) {
    let names = names(matrix);
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let groups = (0..matrix.rows.len()).filter(|position| begins_group(&matrix.rows, *position)).count();
    let spare = options.width.saturating_sub(matrix.rows.len() + groups + 2 + TAIL);
    let name_width = longest.min(NAME_WIDTH).min(spare.max(options.width / 2));
    let room = options.width.saturating_sub(name_width + 2 + TAIL).max(10);
    for rows in parts(&matrix.rows, room) {
        heading(page, rows, name_width);
        for (column, name) in names.iter().enumerate() {
            let name = text::shorten(name, name_width);
            let _ = write!(page, "{name:name_width$}  ");
            for (position, row) in rows.iter().enumerate() {
                if begins_group(rows, position) {
                    page.push(' ');
                }
                page.push_str(&sign(row.entries[column].as_ref(), options));
            }
            let red =
                matrix.rows.iter().filter_map(|row| row.entries[column].as_ref()).filter(|entry| entry.red).count();
            if red > 0 {
                let _ = write!(page, "  {}", paint(&format!("{red} red"), Style::new().red().bold(), options));
            }
            page.push('\n');
        }
        page.push('\n');
    }
    legend(page, matrix, options.width);
}

/// The cells' names without what all of them have in common.
fn names(matrix: &Matrix<'_>) -> Vec<String> {
    const BETWEEN: &str = " · ";
    let names: Vec<String> = matrix.cells.iter().map(|cell| text::single_line(&cell.name)).collect();
    let common = |part: &str| names.len() > 1 && names.iter().all(|name| name.split(BETWEEN).any(|own| own == part));
    let shortened = |name: &String| {
        let own: Vec<&str> = name.split(BETWEEN).filter(|part| !common(part)).collect();
        if own.is_empty() { name.clone() } else { own.join(BETWEEN) }
    };
    names.iter().map(shortened).collect()
}

/// The scenarios that fit into the width, as many as possible in each part.
fn parts<'m, 'r>(rows: &'m [Row<'r>], room: usize) -> Vec<&'m [Row<'r>]> {
    let mut parts = Vec::new();
    let mut rest = rows;
    while !rest.is_empty() {
        let mut width = 0;
        let mut end = 0;
        while end < rest.len() {
            width += 1 + usize::from(begins_group(rest, end));
            if width > room && end > 0 {
                break;
            }
            end += 1;
        }
        let (part, left) = rest.split_at(end);
        parts.push(part);
        rest = left;
    }
    parts
}

/// The areas on one line, and below it the numbers from top to bottom.
fn heading(page: &mut String, rows: &[Row<'_>], name_width: usize) {
    let mut lines = [String::new(), String::new(), String::new()];
    for (position, row) in rows.iter().enumerate() {
        let (area, number) = row.scenario.split_once('-').unwrap_or((row.scenario, ""));
        if begins_group(rows, position) {
            for line in &mut lines {
                line.push(' ');
            }
        }
        let digits: Vec<char> = number.chars().collect();
        let ones = digits.last().copied().unwrap_or(' ');
        let tens = digits.len().checked_sub(2).and_then(|at| digits.get(at)).copied().unwrap_or(' ');
        let first = position == 0 || begins_group(rows, position);
        // An area's name stands over its first scenarios; over a lone one there is room for its first letter.
        let within = rows[..position].iter().rev().take_while(|other| area_of(other) == area).count();
        let letter = area.chars().nth(within).filter(|_| first || within > 0).unwrap_or(' ');
        lines[0].push(letter);
        lines[1].push(tens);
        lines[2].push(ones);
    }
    for line in lines {
        let _ = writeln!(page, "{}", format!("{:name_width$}  {line}", "").trim_end());
    }
}

fn area_of<'r>(row: &Row<'r>) -> &'r str {
    row.scenario.split_once('-').map_or(row.scenario, |(area, _)| area)
}

fn begins_group(rows: &[Row<'_>], position: usize) -> bool {
    position > 0 && area_of(&rows[position]) != area_of(&rows[position - 1])
}

fn sign(entry: Option<&Entry<'_>>, options: TerminalOptions) -> String {
    let Some(entry) = entry else { return " ".to_owned() };
    let style = match (entry.red, entry.verdict) {
        (true, Verdict::Error) => Style::new().magenta().bold(),
        (true, _) => Style::new().red().bold(),
        (false, Verdict::Pass) => Style::new().green(),
        (false, Verdict::Flaky | Verdict::KnownGap | Verdict::UnsupportedSilent) => Style::new().yellow(),
        _ => Style::new().dimmed(),
    };
    paint(&entry.verdict.glyph().to_string(), style, options)
}

/// The signs that were used, with their words.
fn legend(page: &mut String, matrix: &Matrix<'_>, width: usize) {
    let entries = || matrix.rows.iter().flat_map(|row| row.entries.iter().flatten());
    let used = Verdict::ALL.into_iter().filter(|verdict| entries().any(|entry| entry.verdict == *verdict));
    let mut line = String::new();
    for verdict in used {
        let meaning = format!("{} {}", verdict.glyph(), verdict.name());
        if !line.is_empty() && line.chars().count() + 3 + meaning.chars().count() > width {
            let _ = writeln!(page, "{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push_str("   ");
        }
        line.push_str(&meaning);
    }
    let _ = writeln!(page, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn many_cells_are_one_line_each() {
        let record = fixture::large(30, 9, 2);
        let mut page = String::new();
        strips(&mut page, &Matrix::of(&record), TerminalOptions { color: false, width: 100 });
        insta::assert_snapshot!(page);
    }

    #[test]
    fn the_strips_stay_within_the_width() {
        let record = fixture::large(90, 12, 1);
        let mut page = String::new();
        strips(&mut page, &Matrix::of(&record), TerminalOptions { color: false, width: 80 });
        assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    }
}
