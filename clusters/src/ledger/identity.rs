//! Telling a process from a later one with the same number.

use std::{io, os::fd::OwnedFd};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::io::{Interest, unix::AsyncFd};

/// A process number and when the process started; unique until the host restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessIdentity {
    /// The process number.
    pub pid: i32,
    /// When it started, in clock ticks since the host started (field 22 of `/proc/<pid>/stat`).
    pub started: u64,
}

impl ProcessIdentity {
    /// This process.
    pub fn own() -> Self {
        let pid = i32::try_from(std::process::id()).unwrap_or_default();
        Self::of(pid).unwrap_or(Self { pid, started: 0 })
    }

    /// The living process with this number.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        started(&stat).map(|started| Self { pid, started })
    }

    /// The living process that a child is, by the identifier that the child has until it was waited for.
    pub(crate) fn of_child(id: Option<u32>) -> Option<Self> {
        Self::of(i32::try_from(id?).ok()?)
    }

    /// Whether it still runs; a zombie does not.
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Kills it unless it has ended; a successor with the same number is left alone.
    /// Returns a handle that becomes readable when the process ends.
    pub fn kill(self) -> Option<OwnedFd> {
        // The handle pins the process, so what is checked after opening is what is killed.
        let handle = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        if !self.is_alive() {
            return None;
        }
        pidfd_send_signal(&handle, Signal::KILL).ok()?;
        Some(handle)
    }

    /// A handle that becomes readable when the process ends.
    pub fn watch(self) -> Option<OwnedFd> {
        let handle = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        self.is_alive().then_some(handle)
    }
}

/// Waits until the process of a handle has ended; an error says that this cannot be seen.
pub(crate) async fn end_of(handle: OwnedFd) -> io::Result<()> {
    #[expect(unsafe_code, reason = "the runtime cannot see that the descriptor stays open")]
    // SAFETY: the `AsyncFd` owns the descriptor, and nothing else closes it.
    let handle = unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) }?;
    handle.readable().await.map(drop)
}

/// The start time in a line of `/proc/<pid>/stat`; none for a zombie. The program's name, in
/// parentheses, may have blanks and parentheses of its own.
fn started(stat: &str) -> Option<u64> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    if matches!(*fields.first()?, "Z" | "X") {
        return None;
    }
    fields.get(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_matter() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1";
        assert_eq!(started(stat), Some(987_654));
        assert_eq!(started(&stat.replace(" S ", " Z ")), None);
    }

    #[test]
    fn this_process_lives_and_its_predecessor_does_not() {
        let own = ProcessIdentity::own();
        assert!(own.is_alive());
        assert!(!ProcessIdentity { started: own.started + 1, ..own }.is_alive());
    }
}
