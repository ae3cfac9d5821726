//! A control group of a measurement's own: the kernel counts in it what a run and everything beneath it takes.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use sandproof_clusters::{host::Host, provider::Usage};

/// What its name starts with. Not as clusters' groups do: an inventory would take it for a cluster's.
const PREFIX: &str = "bench-of-sandproof-";

/// Controllers that have to be handed down to the clusters in it on v2.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// This process is in it, and so is every process that it starts, until it is dropped.
#[derive(Debug)]
pub(super) struct Group {
    /// One directory for each hierarchy.
    directories: Vec<Utf8PathBuf>,
    /// The groups that this process goes back to.
    before: Vec<Utf8PathBuf>,
}

impl Group {
    /// Makes the group and enters it. An error says why nothing can be counted.
    pub(super) fn enter(host: &Host) -> Result<Self, String> {
        let name = format!("{PREFIX}{}", std::process::id());
        let mut group = Self { directories: Vec::new(), before: Vec::new() };
        for hierarchy in &host.hierarchies {
            let own = hierarchy.own_directory();
            let counts = ["cpuacct", "memory"].into_iter().any(|controller| hierarchy.has(controller));
            if host.cgroup.is_v1() && !hierarchy.unified && counts {
                group.enter_in(&own, &own.join(&name), None)?;
            } else if !host.cgroup.is_v1() && hierarchy.unified {
                // A group with processes hands nothing down, so this process is beside the clusters, not above them.
                let parent = own
                    .ancestors()
                    .take_while(|group| group.starts_with(&hierarchy.mount))
                    .find(|group| hands_down(group))
                    .ok_or_else(|| format!("no group above {own} hands down {}", CONTROLLERS.join(", ")))?;
                group.enter_in(&own, &parent.join(&name), Some("run"))?;
            }
        }
        if group.directories.is_empty() { Err("no hierarchy counts processor time".to_owned()) } else { Ok(group) }
    }

    /// What was taken since it was entered.
    pub(super) fn usage(&self) -> Usage {
        Usage::of(&self.directories)
    }

    fn enter_in(&mut self, own: &Utf8Path, directory: &Utf8Path, leaf: Option<&str>) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("cannot make the control group {directory}: {error}");
        if let Some(parent) = directory.parent() {
            clear(parent);
        }
        fs::create_dir(directory).map_err(failed)?;
        self.directories.push(directory.to_owned());
        self.before.push(own.to_owned());
        let mut inner = directory.to_owned();
        if let Some(leaf) = leaf {
            let wanted: Vec<String> = CONTROLLERS.iter().map(|controller| format!("+{controller}")).collect();
            fs::write(directory.join("cgroup.subtree_control"), wanted.join(" ")).map_err(failed)?;
            inner = directory.join(leaf);
            fs::create_dir(&inner).map_err(failed)?;
        }
        fs::write(inner.join("cgroup.procs"), "0").map_err(failed)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for before in &self.before {
            // Zero is the process that writes.
            let _ = fs::write(before.join("cgroup.procs"), "0");
        }
        self.directories.iter().for_each(|directory| remove(directory));
    }
}

/// Removes groups of measurements that were killed; one that is in use cannot be removed.
fn clear(parent: &Utf8Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if let Ok(path) = Utf8PathBuf::from_path_buf(entry.path())
            && path.file_name().is_some_and(|name| name.starts_with(PREFIX))
        {
            remove(&path);
        }
    }
}

fn remove(directory: &Utf8Path) {
    let _ = fs::remove_dir(directory.join("run"));
    let _ = fs::remove_dir(directory);
}

fn hands_down(group: &Utf8Path) -> bool {
    let enabled = fs::read_to_string(group.join("cgroup.subtree_control")).unwrap_or_default();
    CONTROLLERS.iter().all(|controller| enabled.split_whitespace().any(|enabled| enabled == *controller))
}
