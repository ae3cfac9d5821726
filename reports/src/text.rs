//! Text from clusters and logs, made fit for a page or a terminal.
//!
//! What a record quotes was written by drivers, kubelets and registries: it may hold escape sequences,
//! line breaks and characters that turn the direction of writing.

use std::fmt::Write as _;

/// The text on one line: escape sequences and control characters are gone, every run of white space is one space.
pub fn single_line(text: &str) -> String {
    let clean = block(text);
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text with its line breaks and tabs, but without escape sequences, other control characters
/// and characters that turn the direction of writing. Trailing white space is gone.
pub fn block(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => skip_escape(&mut characters),
            '\n' | '\t' => clean.push(character),
            '\r' if characters.peek() == Some(&'\n') => {}
            '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => clean.push('\n'),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{feff}' => {}
            _ if character.is_control() => {}
            _ => clean.push(character),
        }
    }
    clean.truncate(clean.trim_end().len());
    clean
}

/// Skips what follows an escape character: a control sequence, an operating system command or one character.
fn skip_escape(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match characters.peek() {
        Some('[') => {
            characters.next();
            while characters.next_if(|&next| ('\u{20}'..='\u{3f}').contains(&next)).is_some() {}
            characters.next_if(|&next| ('\u{40}'..='\u{7e}').contains(&next));
        }
        Some(']') => {
            // Ends with BEL or ESC \. One that never ends must not swallow the rest: it ends with its line.
            while let Some(next) = characters.next_if(|&next| next != '\n') {
                if next == '\u{7}' || (next == '\u{1b}' && characters.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
        }
        Some(next) if next.is_ascii_graphic() => {
            characters.next();
        }
        _ => {}
    }
}

/// At most `width` characters; a longer text ends with an ellipsis.
pub fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// A duration for people: `350 ms`, `3.9 s`, `2 min 05 s`, `1 h 02 min`.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 0.9995 {
        format!("{:.0} ms", seconds * 1000.0)
    } else if seconds < 59.95 {
        format!("{seconds:.1} s")
    } else if seconds < 3599.5 {
        let whole = seconds.round();
        format!("{:.0} min {:02.0} s", (whole / 60.0).floor(), whole % 60.0)
    } else {
        let minutes = (seconds / 60.0).round();
        format!("{:.0} h {:02.0} min", (minutes / 60.0).floor(), minutes % 60.0)
    }
}

/// The text without what changes from run to run: every word part with a digit in it becomes `#`.
///
/// Two causes that differ only in names of pods, digests, ports or times are one cause.
pub fn fingerprint(text: &str) -> String {
    let mut print = String::with_capacity(text.len());
    for part in single_line(text).split_inclusive(|character: char| !character.is_alphanumeric()) {
        let word = part.trim_end_matches(|character: char| !character.is_alphanumeric());
        if word.chars().any(|character| character.is_ascii_digit()) {
            let _ = write!(print, "#{}", &part[word.len()..]);
        } else {
            print.push_str(part);
        }
    }
    print
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::colour("\u{1b}[1;31mred\u{1b}[0m text", "red text")]
    #[case::title("\u{1b}]0;evil\u{7}shown", "shown")]
    #[case::title_with_terminator("\u{1b}]8;;http://x\u{1b}\\link", "link")]
    #[case::open_title("\u{1b}]0;never ends\nkept", "kept")]
    #[case::nul("a\0b\u{c}c", "abc")]
    #[case::lines("a\r\nb\rc\u{2028}d", "a b c d")]
    #[case::direction("user\u{202e}gpj.exe", "usergpj.exe")]
    #[case::unicode("grün 漢字 🦀", "grün 漢字 🦀")]
    #[case::cut_escape("end\u{1b}", "end")]
    #[case::spaces("  a \t b ", "a b")]
    fn one_line_of_plain_text(#[case] from: &str, #[case] to: &str) {
        assert_eq!(single_line(from), to);
    }

    #[test]
    fn a_block_keeps_lines_and_indentation() {
        assert_eq!(block("a\r\n  b\u{1b}[2K\n\tc \n"), "a\n  b\n\tc");
    }

    #[rstest]
    #[case(0.0, "0 ms")]
    #[case(0.35, "350 ms")]
    #[case(0.9999, "1.0 s")]
    #[case(3.94, "3.9 s")]
    #[case(59.99, "1 min 00 s")]
    #[case(125.4, "2 min 05 s")]
    #[case(3599.9, "1 h 00 min")]
    #[case(3720.0, "1 h 02 min")]
    #[case(-1.0, "0 ms")]
    fn durations_for_people(#[case] seconds: f64, #[case] text: &str) {
        assert_eq!(duration(seconds), text);
    }

    #[rstest]
    #[case("abc", 3, "abc")]
    #[case("abcd", 3, "ab…")]
    #[case("ab cd", 4, "ab…")]
    #[case("漢字漢字", 3, "漢字…")]
    fn long_text_ends_with_an_ellipsis(#[case] text: &str, #[case] width: usize, #[case] short: &str) {
        assert_eq!(shorten(text, width), short);
    }

    #[test]
    fn names_that_change_do_not_count() {
        assert_eq!(
            fingerprint("pod default--a1b2 got 403 for sandproof/ps-02/agent@sha256:9f8e"),
            "pod default--# got # for sandproof/ps-#/agent@#:#",
        );
        assert_eq!(fingerprint("no digit, no change"), "no digit, no change");
    }
}
