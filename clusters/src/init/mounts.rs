//! The cluster's own view of the file system.
//!
//! Programs keep their usual paths; what they write lands in the cluster's private directory,
//! and what they would change of the host is out of their reach.

use std::{
    fs,
    os::fd::{AsRawFd, OwnedFd},
};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::{
    fs::{Mode, OFlags, open},
    mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change},
};

use crate::native::plan::INSIDE;

/// Directories in which mount points may have to be made; an overlay keeps those off the host.
const OVERLAID: [&str; 3] = ["/etc", "/var/lib", "/var/log"];

/// Directories that are the cluster's own, each beneath the same path in the private directory.
const PRIVATE: [&str; 11] = [
    "/etc/cni",
    "/etc/containerd",
    "/etc/containers",
    "/etc/crio",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/crio",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
];

/// Kernel settings of the whole host that the kubelet sets when they differ, with what it wants.
/// It finds these values already there and leaves the host alone.
const SETTINGS: [(&str, &str); 6] = [
    ("/proc/sys/vm/overcommit_memory", "1"),
    ("/proc/sys/vm/panic_on_oom", "0"),
    ("/proc/sys/kernel/panic", "10"),
    ("/proc/sys/kernel/panic_on_oops", "1"),
    ("/proc/sys/kernel/keys/root_maxkeys", "1000000"),
    ("/proc/sys/kernel/keys/root_maxbytes", "25000000"),
];

/// Builds the view; this process must be in a mount namespace of its own.
pub(super) fn build(directory: &Utf8Path) -> Result<(), String> {
    // Private first, so that nothing reaches the host; then shared, because the kubelet's and the
    // runtime's mounts have to reach each other.
    propagation(MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
    propagation(MountPropagationFlags::REC | MountPropagationFlags::SHARED)?;
    let private = open(directory.as_str(), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| format!("cannot open {directory}: {error}"))?;
    let harmless = MountFlags::NOSUID | MountFlags::NODEV;
    mounted("tmpfs", "/run", "tmpfs", harmless, "mode=755")?;
    own_directory(&private)?;
    overlays()?;
    for path in PRIVATE {
        let source = format!("{INSIDE}/root{path}");
        make_directory(Utf8Path::new(&source))?;
        make_directory(Utf8Path::new(path))?;
        bind(&source, path)?;
    }
    let strict = harmless | MountFlags::NOEXEC;
    mounted("proc", "/proc", "proc", strict, "")?;
    // The old one shows the host's network devices.
    mounted("sysfs", "/sys", "sysfs", strict, "")?;
    settings()
}

fn propagation(flags: MountPropagationFlags) -> Result<(), String> {
    mount_change("/", flags).map_err(|error| format!("cannot change the propagation of / to {flags:?}: {error}"))
}

/// Mounts the private directory where it can be found whatever its path on the host is.
fn own_directory(private: &OwnedFd) -> Result<(), String> {
    make_directory(Utf8Path::new(INSIDE))?;
    bind(&format!("/proc/self/fd/{}", private.as_raw_fd()), INSIDE)?;
    for directory in ["logs", "temporary", "root"] {
        make_directory(&Utf8Path::new(INSIDE).join(directory))?;
    }
    Ok(())
}

fn overlays() -> Result<(), String> {
    for lower in OVERLAID {
        let store = Utf8PathBuf::from(format!("/run/overlays{lower}"));
        let (upper, work) = (store.join("upper"), store.join("work"));
        make_directory(&upper)?;
        make_directory(&work)?;
        let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
        mounted("overlay", lower, "overlay", MountFlags::empty(), &options)?;
    }
    Ok(())
}

fn settings() -> Result<(), String> {
    let store = Utf8Path::new("/run/settings");
    make_directory(store)?;
    for (path, value) in SETTINGS {
        if !Utf8Path::new(path).exists() {
            continue;
        }
        let file = store.join(path.rsplit('/').next().unwrap_or(path));
        fs::write(&file, format!("{value}\n")).map_err(|error| format!("cannot write {file}: {error}"))?;
        bind(file.as_str(), path)?;
    }
    Ok(())
}

fn mounted(source: &str, target: &str, kind: &str, flags: MountFlags, options: &str) -> Result<(), String> {
    let data = std::ffi::CString::new(options).map_err(|error| error.to_string())?;
    mount(source, target, kind, flags, Some(data.as_c_str()))
        .map_err(|error| format!("cannot mount {kind} at {target} with options {options:?}: {error}"))
}

fn bind(source: &str, target: &str) -> Result<(), String> {
    mount_bind(source, target).map_err(|error| format!("cannot bind {source} at {target}: {error}"))
}

fn make_directory(path: &Utf8Path) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|error| format!("cannot create {path}: {error}"))
}
