//! What of sandproof exists on this host, whoever made it.

use std::{collections::BTreeSet, fs};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::ProcessIdentity;
use crate::native::{GROUP_PREFIX, is_link_name};

/// Everything found; each set has text that a person can act on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// Network links on the host's side.
    pub links: BTreeSet<String>,
    /// Network namespaces of sandproof's processes.
    pub network_namespaces: BTreeSet<String>,
    /// Control groups, one path for each subtree.
    pub groups: BTreeSet<Utf8PathBuf>,
    /// Mount points beneath the state directory, in the host's mount namespace.
    pub mounts: BTreeSet<Utf8PathBuf>,
    /// Processes of clusters, as `pid program of cluster`.
    pub processes: BTreeSet<String>,
    /// Clusters' directories.
    pub directories: BTreeSet<Utf8PathBuf>,
    /// Ledger entries.
    pub entries: BTreeSet<String>,
}

/// Looks at the host; the state directory is `state`.
pub fn inventory(state: &Utf8Path) -> Inventory {
    let mut found = Inventory {
        links: names("/sys/class/net").into_iter().filter(|name| is_link_name(name)).collect(),
        mounts: mounts_beneath(state),
        directories: names(state.join("clusters").as_str())
            .into_iter()
            .map(|name| state.join("clusters").join(name))
            .collect(),
        entries: names(state.join("ledger").as_str())
            .into_iter()
            .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
            .collect(),
        ..Inventory::default()
    };
    for hierarchy in group_hierarchies() {
        collect_groups(&hierarchy, &mut found.groups);
    }
    let own = fs::read_link("/proc/self/ns/net").unwrap_or_default();
    for pid in names("/proc").into_iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
        let Some(cluster) = cluster_of(&pid) else { continue };
        let program = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        found.processes.insert(format!("{pid} {} of {cluster}", program.trim()));
        match fs::read_link(format!("/proc/{pid}/ns/net")) {
            Ok(namespace) if namespace != own => {
                found.network_namespaces.insert(namespace.to_string_lossy().into_owned());
            }
            _ => {}
        }
    }
    found
}

impl Inventory {
    /// What is here and was not in `before`, one line each.
    pub fn since(&self, before: &Self) -> Vec<String> {
        fn added<T: Ord + std::fmt::Display>(kind: &str, now: &BTreeSet<T>, before: &BTreeSet<T>) -> Vec<String> {
            now.difference(before).map(|thing| format!("{kind} {thing}")).collect()
        }
        [
            added("network link", &self.links, &before.links),
            added("network namespace", &self.network_namespaces, &before.network_namespaces),
            added("control group", &self.groups, &before.groups),
            added("mount", &self.mounts, &before.mounts),
            added("process", &self.processes, &before.processes),
            added("directory", &self.directories, &before.directories),
            added("ledger entry", &self.entries, &before.entries),
        ]
        .concat()
    }

    /// What belongs to the clusters with these ledger IDs, one line each.
    ///
    /// Other runs may create and delete clusters on the same host at any time: what is theirs is not a leftover of this one.
    pub fn of(&self, ids: &[String]) -> Vec<String> {
        let everything = self.since(&Self::default());
        everything.into_iter().filter(|line| ids.iter().any(|id| line.contains(id.as_str()))).collect()
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.since(&Self::default()).is_empty()
    }
}

/// The kernel's name for `sandproof-cluster-init`: fifteen bytes of it.
const SUPERVISOR: &str = "sandproof-clust";

/// The cluster that a process belongs to: by its control group, or because it watches over one.
/// A zombie holds nothing.
fn cluster_of(pid: &str) -> Option<String> {
    ProcessIdentity::of(pid.parse().unwrap_or_default())?;
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let marker = format!("/{GROUP_PREFIX}");
    if let Some((_, rest)) = groups.split_once(&marker) {
        let id: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        return Some(format!("{GROUP_PREFIX}{id}"));
    }
    let program = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    (program.trim() == SUPERVISOR).then(|| "a cluster".to_owned())
}

fn mounts_beneath(state: &Utf8Path) -> BTreeSet<Utf8PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(Utf8PathBuf::from)
        .filter(|mount| mount.starts_with(state))
        .collect()
}

fn group_hierarchies() -> Vec<Utf8PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table
        .lines()
        .filter(|line| line.contains(" - cgroup ") || line.contains(" - cgroup2 "))
        .filter_map(|line| line.split(' ').nth(4))
        .map(Utf8PathBuf::from)
        .collect()
}

/// Collects the tops of subtrees that carry the prefix; what is beneath them goes with them.
fn collect_groups(directory: &Utf8Path, found: &mut BTreeSet<Utf8PathBuf>) {
    let Ok(children) = fs::read_dir(directory) else { return };
    for child in children.flatten() {
        if !child.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let Ok(path) = Utf8PathBuf::from_path_buf(child.path()) else { continue };
        if path.file_name().is_some_and(|name| name.starts_with(GROUP_PREFIX)) {
            found.insert(path);
        } else {
            collect_groups(&path, found);
        }
    }
}

fn names(directory: &str) -> Vec<String> {
    fs::read_dir(directory)
        .map(|entries| entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
        .unwrap_or_default()
}
