//! The processes of a node, as this host sees them: they are its own, in namespaces beneath the node's first one.

use std::{
    fs,
    io::{self, ErrorKind},
};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal, kill_process};

/// How many steps up from a process its node's first one may be: a shim, a monitor, a few shells.
const DEPTH: usize = 16;

/// The processes beneath a node's first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeProcesses {
    /// The number of the first process, as this host counts.
    first: i32,
}

impl NodeProcesses {
    /// Those beneath this process.
    pub const fn beneath(first: i32) -> Self {
        Self { first }
    }

    /// The first processes of a pod's containers, by the pod's UID; not the one that only holds the pod's namespaces.
    pub fn of_pod(self, uid: &str) -> Vec<i32> {
        // The kubelet names a pod's control group after it; systemd has underscores in place of hyphens.
        let names = [format!("pod{uid}"), format!("pod{}", uid.replace('-', "_"))];
        let is_in = |process: i32| {
            let groups = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
            names.iter().any(|name| groups.contains(name.as_str()))
        };
        let is_pause = |process: i32| program_names(process).next().is_some_and(|name| name == "pause");
        let found = self.all().filter(|process| is_in(*process) && is_first(*process) && !is_pause(*process));
        found.collect()
    }

    /// Kills a process: it ends at once and cannot clean up.
    pub fn kill(process: i32) -> io::Result<()> {
        let pid = Pid::from_raw(process).ok_or_else(|| io::Error::from(ErrorKind::NotFound))?;
        Ok(kill_process(pid, Signal::KILL)?)
    }

    /// A path of a process's file system, as a path of this host.
    pub fn path(process: i32, path: &Utf8Path) -> Utf8PathBuf {
        format!("/proc/{process}/root{path}").into()
    }

    fn all(self) -> impl Iterator<Item = i32> {
        let first = self.first;
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter(move |process| is_beneath(*process, first))
    }
}

fn is_beneath(process: i32, first: i32) -> bool {
    let mut current = process;
    for _ in 0..DEPTH {
        match parent(current) {
            Some(parent) if parent == first => return true,
            Some(parent) if parent > 1 => current = parent,
            _ => return false,
        }
    }
    false
}

fn parent(process: i32) -> Option<i32> {
    status(process, "PPid:")?.parse().ok()
}

/// Whether a process is number 1 in its own namespace.
fn is_first(process: i32) -> bool {
    status(process, "NSpid:").is_some_and(|numbers| numbers.split_whitespace().next_back() == Some("1"))
}

fn status(process: i32, key: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim().to_owned())
}

/// The file names of the first two words of a process's command line: some programs are several in one.
fn program_names(process: i32) -> impl Iterator<Item = String> {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let words: Vec<String> = line
        .split(|byte| *byte == 0)
        .take(2)
        .map(|word| String::from_utf8_lossy(word).rsplit('/').next().unwrap_or_default().to_owned())
        .collect();
    words.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_beneath_its_parent_and_not_beneath_itself() {
        let own = i32::try_from(std::process::id()).unwrap();
        let above = parent(own).unwrap();
        assert!(is_beneath(own, above));
        assert!(!is_beneath(own, own));
        assert!(NodeProcesses::beneath(above).all().any(|process| process == own));
    }
}
