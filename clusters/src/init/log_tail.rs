//! The end of a component's log, and the line that says why it gave up.

use std::io::{Read, Seek, SeekFrom};

use camino::Utf8Path;

/// Lines of a tail.
const LINES: usize = 25;

/// Bytes read from the end of a log.
const BYTES: u64 = 64 * 1024;

/// Longest line of a report, in characters; longer ones are cut.
const WIDTH: usize = 600;

/// The first line that says the program gave up, and the last lines.
pub(crate) fn read(log: &Utf8Path) -> (Option<String>, Vec<String>) {
    let Ok(text) = last_bytes(log) else {
        return (None, Vec::new());
    };
    let lines: Vec<&str> = text.lines().collect();
    let fatal = lines.iter().find(|line| is_fatal(line)).map(|line| cut(line));
    let tail = lines[lines.len().saturating_sub(LINES)..].iter().map(|line| cut(line)).collect();
    (fatal, tail)
}

fn last_bytes(log: &Utf8Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// How klog, cobra, containerd, logrus, zap and the Go runtime say that they give up.
fn is_fatal(line: &str) -> bool {
    let klog =
        line.starts_with('F') && line.as_bytes().get(1..5).is_some_and(|digits| digits.iter().all(u8::is_ascii_digit));
    klog || line.starts_with("Error: ")
        || line.starts_with("panic: ")
        || line.starts_with("fatal error: ")
        || line.starts_with("containerd: ")
        || line.contains("level=fatal")
        || line.contains(r#""level":"fatal""#)
        || line.contains("\"command failed\" err=")
        || line.contains("\"Failed to run kubelet\" err=")
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("F1122 19:00:00.1 main.go:1] no", true)]
    #[case("E1122 19:00:00.1 run.go:72] \"command failed\" err=\"unknown flag\"", true)]
    #[case("Error: unknown flag: --x", true)]
    #[case("panic: runtime error", true)]
    #[case("containerd: failed to load TOML: no", true)]
    #[case("time=\"x\" level=info msg=\"starting containerd\"", false)]
    #[case(r#"{"level":"fatal","msg":"x"}"#, true)]
    #[case("time=\"x\" level=fatal msg=\"no\"", true)]
    #[case("Flag --x has been deprecated", false)]
    #[case("E1122 19:00:00.1 reflector.go:1] connection refused", false)]
    fn a_program_that_gives_up_says_so(#[case] line: &str, #[case] fatal: bool) {
        assert_eq!(is_fatal(line), fatal);
    }

    #[test]
    fn a_tail_has_the_last_lines_and_the_first_fatal_one() {
        let directory = tempfile::tempdir().unwrap();
        let log = camino::Utf8PathBuf::from_path_buf(directory.path().join("x.log")).unwrap();
        let lines: Vec<String> = (0..100).map(|number| format!("line {number}")).collect();
        let text = format!("Error: first\n{}\n", lines.join("\n"));
        std::fs::write(&log, text).unwrap();
        let (fatal, tail) = read(&log);
        assert_eq!(fatal.as_deref(), Some("Error: first"));
        assert_eq!(tail.len(), LINES);
        assert_eq!(tail.last().unwrap(), "line 99");
    }
}
