//! Entering the cluster's own control groups, and the view of them inside.

use std::fs;

use camino::Utf8Path;
use rustix::mount::{MountFlags, mount};

use crate::native::plan::CgroupPlan;

/// Where the system expects control groups.
const ROOT: &str = "/sys/fs/cgroup";

/// The group of the cluster's own processes where a group with children must not hold any (v2).
const LEAF: &str = "cluster";

/// v1 hierarchies without which neither the kubelet nor runc works.
const REQUIRED: [&str; 6] = ["cpu", "cpuacct", "cpuset", "memory", "pids", "devices"];

/// Creates the subtree in each hierarchy and moves this process there.
pub(super) fn enter(plan: &CgroupPlan) -> Result<(), String> {
    for subtree in &plan.hierarchies {
        let directory = &subtree.directory;
        fs::create_dir_all(directory)
            .map_err(|error| format!("cannot create the control group {directory}: {error}"))?;
        if !plan.unified && subtree.controllers.iter().any(|name| name == "cpuset") {
            inherit_cpuset(directory)?;
        }
        write(&directory.join("cgroup.procs"), "0")?;
    }
    Ok(())
}

/// A new v1 cpuset is empty and refuses processes until it has processors and memory nodes.
fn inherit_cpuset(directory: &Utf8Path) -> Result<(), String> {
    let parent = directory.parent().unwrap_or(directory);
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let value = fs::read_to_string(parent.join(file))
            .map_err(|error| format!("cannot read {}: {error}", parent.join(file)))?;
        write(&directory.join(file), value.trim())?;
    }
    Ok(())
}

/// Mounts the hierarchies over the host's, so that the subtree looks like the root.
pub(super) fn mount_view(plan: &CgroupPlan) -> Result<(), String> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    if plan.unified {
        mount("cgroup2", ROOT, "cgroup2", flags, None)
            .map_err(|error| format!("cannot mount cgroup2 at {ROOT}: {error}"))?;
        return delegate();
    }
    mount("tmpfs", ROOT, "tmpfs", flags, Some(c"mode=755"))
        .map_err(|error| format!("cannot mount a tmpfs at {ROOT}: {error}"))?;
    for subtree in &plan.hierarchies {
        let target = format!("{ROOT}/{}", subtree.mount_name);
        fs::create_dir_all(&target).map_err(|error| format!("cannot create {target}: {error}"))?;
        let mut options = subtree.controllers.join(",");
        if options.starts_with("name=") {
            options = format!("none,{options}");
        }
        let options = std::ffi::CString::new(options).map_err(|error| error.to_string())?;
        if let Err(error) = mount("cgroup", target.as_str(), "cgroup", flags, Some(options.as_c_str())) {
            let needed = subtree.controllers.iter().any(|name| REQUIRED.contains(&name.as_str()));
            if needed {
                return Err(format!("cannot mount the control groups {options:?} at {target}: {error}"));
            }
            let _ = fs::remove_dir(&target);
            continue;
        }
        // Programs look for each controller under its own name.
        for controller in &subtree.controllers {
            if *controller != subtree.mount_name && !controller.starts_with("name=") {
                let _ = std::os::unix::fs::symlink(&subtree.mount_name, format!("{ROOT}/{controller}"));
            }
        }
    }
    Ok(())
}

/// Moves this process to a leaf and hands every controller down (v2).
fn delegate() -> Result<(), String> {
    let root = Utf8Path::new(ROOT);
    let leaf = root.join(LEAF);
    fs::create_dir_all(&leaf).map_err(|error| format!("cannot create {leaf}: {error}"))?;
    write(&leaf.join("cgroup.procs"), "0")?;
    let offered = fs::read_to_string(root.join("cgroup.controllers"))
        .map_err(|error| format!("cannot read {ROOT}/cgroup.controllers: {error}"))?;
    for controller in offered.split_whitespace() {
        let written = write(&root.join("cgroup.subtree_control"), &format!("+{controller}"));
        if ["cpu", "memory", "pids"].contains(&controller) {
            written?;
        }
    }
    Ok(())
}

fn write(file: &Utf8Path, value: &str) -> Result<(), String> {
    fs::write(file, value).map_err(|error| format!("cannot write {value:?} to {file}: {error}"))
}
