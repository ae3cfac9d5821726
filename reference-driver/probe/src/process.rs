//! What `/proc` tells of process 1.

use std::fs;

use serde::Serialize;

/// Process 1 as the kernel shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Process {
    command: Vec<String>,
    seccomp: Option<u8>,
}

/// Process 1 of this container.
pub(crate) fn first() -> Process {
    let command = fs::read("/proc/1/cmdline").unwrap_or_default();
    Process { command: words(&command), seccomp: seccomp("1") }
}

/// The seccomp mode of a process: 0 is none, 1 strict, 2 a filter.
pub(crate) fn seccomp(process: &str) -> Option<u8> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Seccomp:"))?.trim().parse().ok()
}

fn words(command: &[u8]) -> Vec<String> {
    let command = command.strip_suffix(b"\0").unwrap_or(command);
    if command.is_empty() {
        return Vec::new();
    }
    command.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_separated_by_nul() {
        assert_eq!(words(b"/opt/a\0--workdir\0/sandbox\0"), ["/opt/a", "--workdir", "/sandbox"]);
        assert!(words(b"").is_empty());
    }
}
