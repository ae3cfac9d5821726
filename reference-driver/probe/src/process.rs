//! What `/proc` tells of process 1.

use std::fs;

use serde::Serialize;

/// By their numbers (linux/capability.h).
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Process 1 as the kernel shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Process {
    command: Vec<String>,
    seccomp: Option<u8>,
    /// The capabilities that it effectively has, by name.
    capabilities: Vec<String>,
}

/// Process 1 of this container.
pub(crate) fn first() -> Process {
    let command = fs::read("/proc/1/cmdline").unwrap_or_default();
    let capabilities = status("1", "CapEff:").map(|mask| capabilities(&mask)).unwrap_or_default();
    Process { command: words(&command), seccomp: seccomp("1"), capabilities }
}

/// Who the probe itself is, as every process of its container's user.
#[derive(Debug, Serialize)]
pub(crate) struct Own {
    user: Option<u32>,
    /// The capabilities that it effectively has, by name.
    capabilities: Vec<String>,
}

/// This process.
pub(crate) fn own() -> Own {
    let user = status("self", "Uid:").and_then(|numbers| numbers.split_whitespace().nth(1)?.parse().ok());
    Own { user, capabilities: status("self", "CapEff:").map(|mask| capabilities(&mask)).unwrap_or_default() }
}

/// The seccomp mode of a process: 0 is none, 1 strict, 2 a filter.
pub(crate) fn seccomp(process: &str) -> Option<u8> {
    status(process, "Seccomp:")?.parse().ok()
}

fn status(process: &str, key: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim().to_owned())
}

/// The names of the bits of a mask as the kernel prints it; one that has no name here is told by its number.
fn capabilities(mask: &str) -> Vec<String> {
    let mask = u64::from_str_radix(mask, 16).unwrap_or(0);
    let name = |bit: usize| CAPABILITIES.get(bit).map_or_else(|| bit.to_string(), |name| (*name).to_owned());
    (0..64).filter(|bit| (mask >> bit) & 1 == 1).map(name).collect()
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
    fn a_mask_has_the_names_of_its_bits() {
        assert_eq!(capabilities("0000000000201000"), ["NET_ADMIN", "SYS_ADMIN"]);
        assert_eq!(capabilities("20000000000"), ["41"]);
        assert!(capabilities("0").is_empty());
    }

    #[test]
    fn words_are_separated_by_nul() {
        assert_eq!(words(b"/opt/a\0--workdir\0/sandbox\0"), ["/opt/a", "--workdir", "/sandbox"]);
        assert!(words(b"").is_empty());
    }
}
