//! Reading the machine: `/proc`, `PATH`, file systems.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::{
    process::{Resource, geteuid, getrlimit},
    thread::sched_getaffinity,
};
use serde::Serialize;

use super::{
    Capabilities, Host, SETTINGS, TOOLS,
    cgroups::{CgroupLayout, hierarchies},
    needs,
};

/// Directories that a search path may lack, that of `sudo` for one: those of system programs, and Go's own.
const BEYOND: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/go/bin"];

/// Where distributions put `busybox`.
const BUSYBOX: &[&str] = &["/bin/busybox", "/usr/bin/busybox", "/bin/busybox.static"];

/// Headers of libseccomp, by where distributions put them.
const SECCOMP_HEADER: &str = "/usr/include/seccomp.h";

/// A kernel version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kernel {
    /// As `uname -r` prints it.
    pub release: String,
    /// The first number; 0 when the release has none.
    pub major: u32,
    /// The second number; 0 when the release has none.
    pub minor: u32,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// All of it (`MemTotal`).
    pub total: u64,
    /// What new programs can take without swapping (`MemAvailable`).
    pub available: u64,
}

/// Space on a file system, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// The directory that was measured.
    pub path: Utf8PathBuf,
    /// The file system's size.
    pub total: u64,
    /// What an unprivileged program can still write.
    pub available: u64,
}

impl Kernel {
    /// Reads the numbers off a release such as `6.1.0-18-amd64`.
    pub(super) fn parse(release: &str) -> Self {
        let mut numbers = release
            .split(|character: char| !character.is_ascii_digit())
            .map(|number| number.parse().unwrap_or_default());
        let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        Self { release: release.to_owned(), major, minor }
    }
}

impl Memory {
    /// Reads the text of `/proc/meminfo`, which counts in KiB.
    pub(super) fn parse(meminfo: &str) -> Self {
        let bytes = |field: &str| {
            meminfo
                .lines()
                .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
                .and_then(|value| value.trim().trim_end_matches(" kB").trim().parse::<u64>().ok())
                .map_or(0, |kibibytes| kibibytes * 1024)
        };
        Self { total: bytes("MemTotal"), available: bytes("MemAvailable") }
    }
}

/// Reads the whole machine.
pub(super) fn read(directory: &Utf8Path) -> Host {
    let status = text("/proc/self/status");
    let mountinfo = text("/proc/self/mountinfo");
    let hierarchies = hierarchies(&mountinfo, &text("/proc/self/cgroup"), |mount| {
        text(mount.join("cgroup.controllers")).split_whitespace().map(str::to_owned).collect()
    });
    let cgroup = CgroupLayout::of(&hierarchies);
    let hugetlb = hierarchies
        .iter()
        .any(|hierarchy| hierarchy.has("hugetlb") && (hierarchy.unified == (cgroup == CgroupLayout::V2)));
    let mut host = Host {
        architecture: architecture().to_owned(),
        distribution: distribution(&text("/etc/os-release")),
        root: geteuid().is_root(),
        kernel: Kernel::parse(&rustix::system::uname().release().to_string_lossy()),
        cgroup,
        hierarchies,
        capabilities: Capabilities::from_status(&status),
        hugetlb,
        overlayfs: has_filesystem(&text("/proc/filesystems"), "overlay"),
        seccomp: text("/proc/sys/kernel/seccomp/actions_avail").contains("errno"),
        root_mount_shared: root_is_shared(&mountinfo),
        tools: tools(),
        libseccomp_headers: Utf8Path::new(SECCOMP_HEADER).exists(),
        busybox: busybox(),
        processors: processors(),
        memory: Memory::parse(&text("/proc/meminfo")),
        disk: disk(directory),
        open_files: getrlimit(Resource::Nofile).maximum,
        settings: settings(),
        apt: which::which("apt-get").is_ok(),
        missing: Vec::new(),
    };
    host.missing = needs::missing(&host);
    host
}

/// The machine's architecture as Go and OCI name it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A file's text; nothing when it cannot be read, which a probe takes as "not there".
fn text(path: impl AsRef<Utf8Path>) -> String {
    fs_err::read_to_string(path.as_ref()).unwrap_or_default()
}

pub(super) fn distribution(os_release: &str) -> Option<String> {
    os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).map(|name| name.trim_matches('"').to_owned())
}

/// Whether `/proc/filesystems` lists `name`. A module that is not loaded yet is not listed,
/// and mounting loads it, so its file counts too.
fn has_filesystem(listed: &str, name: &str) -> bool {
    if listed.lines().any(|line| line.split_whitespace().last() == Some(name)) {
        return true;
    }
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let built_in = text(format!("/lib/modules/{release}/modules.builtin"));
    let loadable = text(format!("/lib/modules/{release}/modules.dep"));
    let module = format!("/{name}.ko");
    built_in.contains(&module) || loadable.contains(&module)
}

/// Whether the mount of `/` has a peer group (`shared:` among its optional fields).
pub(super) fn root_is_shared(mountinfo: &str) -> bool {
    mountinfo
        .lines()
        .rfind(|line| line.split(' ').nth(4) == Some("/"))
        .and_then(|line| line.split(" - ").next())
        .is_some_and(|fields| fields.split(' ').skip(6).any(|field| field.starts_with("shared:")))
}

fn tools() -> BTreeMap<String, Utf8PathBuf> {
    TOOLS.iter().filter_map(|(name, _)| Some(((*name).to_owned(), program(name)?))).collect()
}

/// A program of this host, on the search path or in a directory that it may lack.
pub(crate) fn program(name: &str) -> Option<Utf8PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let search = std::iter::once(path.as_str()).chain(BEYOND.iter().copied()).collect::<Vec<_>>().join(":");
    Utf8PathBuf::from_path_buf(which::which_in(name, Some(&search), "/").ok()?).ok()
}

/// A `busybox` without an ELF interpreter: one that needs the host's libraries does not run in a guest image.
fn busybox() -> Option<Utf8PathBuf> {
    BUSYBOX.iter().map(Utf8PathBuf::from).find(|path| fs_err::read(path).is_ok_and(|program| is_static(&program)))
}

/// Whether an ELF program (64 bit, little endian) has no `PT_INTERP` header.
pub(super) fn is_static(program: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let number = |at: usize, bytes: usize| -> Option<usize> {
        let slice = program.get(at..at.checked_add(bytes)?)?;
        let value = slice.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        usize::try_from(value).ok()
    };
    let headers = || -> Option<bool> {
        let (at, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        for index in 0..count {
            if number(at.checked_add(index * size)?, 4)? == PT_INTERP as usize {
                return Some(false);
            }
        }
        Some(count > 0)
    };
    program.starts_with(b"\x7fELF\x02\x01") && headers().unwrap_or(false)
}

fn processors() -> usize {
    sched_getaffinity(None).map_or(1, |set| usize::try_from(set.count()).unwrap_or(1))
}

/// Space at `directory` or at its nearest parent that exists.
pub(super) fn disk(directory: &Utf8Path) -> Disk {
    let existing = directory.ancestors().find(|path| path.exists()).unwrap_or(Utf8Path::new("/"));
    let (total, available) = rustix::fs::statvfs(existing.as_std_path())
        .map_or((0, 0), |space| (space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize));
    Disk { path: existing.to_owned(), total, available }
}

fn settings() -> BTreeMap<String, String> {
    SETTINGS
        .iter()
        .filter_map(|name| {
            let value = text(format!("/proc/sys/{}", name.replace('.', "/")));
            (!value.is_empty()).then(|| ((*name).to_owned(), value.trim().to_owned()))
        })
        .collect()
}
