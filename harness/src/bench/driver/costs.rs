//! What the driver's process and the API server's took, as the kernel counts it for them.

use std::{collections::BTreeSet, fs};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use crate::{scene::Stage, subject::Deployed};

/// The kernel's name of the API server's process.
const API_SERVER: &str = "kube-apiserver";

/// The two processes, where they were found on this host.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Costs {
    driver: Option<u32>,
    api_server: Option<u32>,
}

/// Processor time of both, in seconds; what is not known is none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spent {
    pub(super) driver: Option<f64>,
    pub(super) api_server: Option<f64>,
}

impl Costs {
    /// Looks for them among the processes of a native cluster.
    pub(super) fn find(groups: &[Utf8PathBuf], stage: &Stage, namespace: &str, deployed: &Deployed) -> Self {
        let mut processes = BTreeSet::new();
        for group in groups {
            collect(group, &mut processes);
        }
        let api_server = processes.iter().copied().find(|id| name(*id).as_deref() == Some(API_SERVER));
        let driver = deployed.process().or_else(|| {
            let pod = stage.state.pod(namespace, deployed.pod()?)?;
            let uid = pod.pointer("/metadata/uid").and_then(Value::as_str)?.to_owned();
            // The pod's other process, the one that holds its namespaces, is the smaller one.
            processes.iter().copied().filter(|id| belongs(*id, &uid)).max_by_key(|id| status(*id, "VmRSS"))
        });
        Self { driver, api_server }
    }

    /// What they have spent so far.
    pub(super) fn spent(self) -> Spent {
        Spent { driver: self.driver.and_then(cpu_seconds), api_server: self.api_server.and_then(cpu_seconds) }
    }

    /// The most memory that the driver held so far, in bytes.
    pub(super) fn driver_peak_bytes(self) -> Option<u64> {
        status(self.driver?, "VmHWM")
    }
}

impl Spent {
    /// What was spent since.
    pub(super) fn since(self, before: Self) -> Self {
        let less = |now: Option<f64>, before: Option<f64>| Some(now? - before?);
        Self { driver: less(self.driver, before.driver), api_server: less(self.api_server, before.api_server) }
    }
}

/// The processes in a control group and in all beneath it.
fn collect(group: &Utf8Path, into: &mut BTreeSet<u32>) {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    into.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
    for entry in group.read_dir_utf8().into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(entry.path(), into);
        }
    }
}

fn name(id: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{id}/comm")).ok().map(|text| text.trim().to_owned())
}

/// Whether a process is in a control group of that pod; systemd's names have underscores.
fn belongs(id: u32, uid: &str) -> bool {
    let text = fs::read_to_string(format!("/proc/{id}/cgroup")).unwrap_or_default();
    text.contains(uid) || text.contains(&uid.replace('-', "_"))
}

/// A field of `/proc/ID/status` that counts kibibytes, in bytes.
fn status(id: u32, field: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Processor time of a process with all its threads, in seconds: `utime` and `stime` of proc(5).
fn cpu_seconds(id: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The second field is the program's name, which may hold anything but ends with the last `)`.
    let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    #[expect(clippy::cast_precision_loss, reason = "the tick rate is 100")]
    let rate = rustix::param::clock_ticks_per_second() as f64;
    Some((ticks(11)? + ticks(12)?) / rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_read() {
        let own = std::process::id();
        assert!(cpu_seconds(own).is_some());
        assert!(status(own, "VmRSS").unwrap() > 0);
        // The two are not compared: other tests take memory between the two readings.
        assert!(status(own, "VmHWM").unwrap() > 0);
        assert!(name(own).is_some());
    }

    #[test]
    fn what_was_spent_is_a_difference() {
        let before = Spent { driver: Some(1.0), api_server: None };
        let after = Spent { driver: Some(1.5), api_server: Some(3.0) }.since(before);
        assert!((after.driver.unwrap() - 0.5).abs() < 1e-9);
        assert_eq!(after.api_server, None);
    }
}
