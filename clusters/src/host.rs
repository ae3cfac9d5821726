//! What this host can run: one probe of the machine, with a reason and a command
//! for whatever is missing.
//!
//! The probe only reads. [`install_packages`] is the one thing here that changes the host.

mod capabilities;
mod capacity;
mod cgroups;
mod needs;
mod packages;
mod room;
mod system;

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

pub(crate) use self::system::{architecture, program};
pub use self::{
    capabilities::{Capabilities, Capability},
    capacity::{Capacity, CellNeeds, Limit, Resource, Room, capacity},
    cgroups::{CgroupHierarchy, CgroupLayout},
    needs::{Missing, Purpose},
    packages::{InstallError, install_packages},
    system::{Disk, Kernel, Memory},
};

/// The programs that the probe looks for, with the Debian package that has each.
pub const TOOLS: &[(&str, &str)] = &[
    ("conmon", "conmon"),
    ("conntrack", "conntrack"),
    ("gcc", "gcc"),
    ("go", "golang-go"),
    ("helm", ""),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("kind", ""),
    ("mmdebstrap", "mmdebstrap"),
    ("mount", "mount"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("pkg-config", "pkg-config"),
    ("podman", "podman"),
    ("runc", "runc"),
];

/// Kernel settings that bear on a cluster; absent ones are left out of [`Host::settings`].
const SETTINGS: &[&str] = &[
    "fs.inotify.max_user_instances",
    "fs.inotify.max_user_watches",
    "kernel.keys.maxkeys",
    "kernel.pid_max",
    "kernel.unprivileged_userns_clone",
    "net.ipv4.ip_forward",
    "user.max_net_namespaces",
    "vm.overcommit_memory",
    "vm.swappiness",
];

/// What was found on this host.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that the host has or has not")]
pub struct Host {
    /// Machine architecture as Go and OCI name it: `amd64`, `arm64`.
    pub architecture: String,
    /// The distribution's own name for itself, from `/etc/os-release` (`PRETTY_NAME`).
    pub distribution: Option<String>,
    /// Whether the effective user is root.
    pub root: bool,
    /// The running kernel.
    pub kernel: Kernel,
    /// How control groups are laid out.
    pub cgroup: CgroupLayout,
    /// Every mounted control-group hierarchy, with the caller's own group in it.
    pub hierarchies: Vec<CgroupHierarchy>,
    /// The effective capabilities.
    pub capabilities: Capabilities,
    /// Whether a hugepage limit can be set: a `hugetlb` controller is mounted (v1) or delegated (v2).
    pub hugetlb: bool,
    /// Whether the kernel has overlayfs.
    pub overlayfs: bool,
    /// Whether the kernel can filter system calls (seccomp mode 2).
    pub seccomp: bool,
    /// Whether `/` is a shared mount; a private one is remounted inside a cluster's own mount namespace.
    pub root_mount_shared: bool,
    /// Programs found on `PATH` (and in the `sbin` directories), by name; see [`TOOLS`].
    pub tools: BTreeMap<String, Utf8PathBuf>,
    /// Whether libseccomp's header and library are installed, which building CRI-O and runc needs.
    pub libseccomp_headers: bool,
    /// Path of a statically linked `busybox`, which guest images carry as their shell.
    pub busybox: Option<Utf8PathBuf>,
    /// Processors that this process may use.
    pub processors: usize,
    /// Memory, in bytes.
    pub memory: Memory,
    /// Free space where components and clusters are kept.
    pub disk: Disk,
    /// The hard limit of open files (`RLIMIT_NOFILE`); none when it is unlimited.
    pub open_files: Option<u64>,
    /// Kernel settings (`sysctl` names) as read from `/proc/sys`.
    pub settings: BTreeMap<String, String>,
    /// Whether packages can be installed with `apt-get`.
    pub apt: bool,
    /// What is missing, most important first; empty when everything can run.
    pub missing: Vec<Missing>,
}

impl Host {
    /// Probes this host, with free space measured where components are cached by default.
    pub fn probe() -> Self {
        Self::probe_at(&crate::components::default_cache())
    }

    /// Probes this host, with free space measured at `directory` (or its nearest existing parent).
    pub fn probe_at(directory: &Utf8Path) -> Self {
        system::read(directory)
    }

    /// The path of a program that the probe found.
    pub fn tool(&self, name: &str) -> Option<&Utf8Path> {
        self.tools.get(name).map(Utf8PathBuf::as_path)
    }

    /// Whether nothing that `purpose` needs is missing.
    pub fn ready_for(&self, purpose: Purpose) -> bool {
        !self.missing.iter().any(|missing| missing.purpose == purpose)
    }

    /// The Debian packages that would mend what native clusters lack, sorted and without repeats. A container engine is
    /// installed by whoever wants one, or by a run with cells of kind.
    pub fn packages_to_install(&self) -> Vec<String> {
        let native = self.missing.iter().filter(|missing| !missing.purpose.is_of_kind());
        let mut packages: Vec<String> = native.filter_map(|missing| missing.package.clone()).collect();
        packages.sort();
        packages.dedup();
        packages
    }
}

#[cfg(test)]
mod tests;
