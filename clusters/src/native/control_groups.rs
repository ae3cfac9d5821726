//! Where a cluster's control groups go.

use std::fs;

use camino::Utf8Path;

use super::{
    GROUP_PREFIX, ProviderError,
    plan::{CgroupPlan, CgroupSubtree},
};
use crate::host::{CgroupHierarchy, Host};

/// Controllers without which neither the kubelet nor the runtime works (v1 names).
const REQUIRED_V1: [&str; 6] = ["cpu", "cpuacct", "cpuset", "memory", "pids", "devices"];

/// The same for v2; a cluster uses whatever else is handed down.
const REQUIRED_V2: [&str; 3] = ["cpu", "memory", "pids"];

/// Plans a subtree in each hierarchy for the cluster with this ID.
pub(crate) fn plan(host: &Host, id: &str) -> Result<CgroupPlan, ProviderError> {
    let name = format!("{GROUP_PREFIX}{id}");
    if host.cgroup.is_v1() { plan_v1(&host.hierarchies, &name) } else { plan_v2(&host.hierarchies, &name) }
}

/// On v1 the subtree lies beneath the caller's own group, whose limits it so obeys.
fn plan_v1(found: &[CgroupHierarchy], name: &str) -> Result<CgroupPlan, ProviderError> {
    let v1 = || found.iter().filter(|hierarchy| !hierarchy.unified);
    let missing: Vec<&str> =
        REQUIRED_V1.into_iter().filter(|controller| !v1().any(|hierarchy| hierarchy.has(controller))).collect();
    if !missing.is_empty() {
        return Err(ProviderError::ControlGroups {
            what: format!("no cgroup v1 hierarchy is mounted for {}", missing.join(", ")),
            remedy: "mount them beneath /sys/fs/cgroup, or start the host with systemd.unified_cgroup_hierarchy=1"
                .to_owned(),
        });
    }
    let hierarchies = v1()
        .map(|hierarchy| CgroupSubtree {
            controllers: hierarchy.controllers.clone(),
            mount_name: hierarchy.mount.file_name().unwrap_or(&hierarchy.controllers.join(",")).to_owned(),
            directory: hierarchy.own_directory().join(name),
        })
        .collect();
    Ok(CgroupPlan { unified: false, hierarchies })
}

/// On v2 a group with processes cannot hand controllers down, so the subtree lies beneath the
/// nearest group above the caller that does. Only where none does is one told to: what the host's own manager has set is
/// left as it is.
fn plan_v2(found: &[CgroupHierarchy], name: &str) -> Result<CgroupPlan, ProviderError> {
    let unsupported = |what: String| ProviderError::ControlGroups {
        what,
        remedy: "hand the controllers down: in a container, move its processes to a child group first \
                 (mkdir /sys/fs/cgroup/init; write their numbers to its cgroup.procs; \
                 echo '+cpu +memory +pids' > /sys/fs/cgroup/cgroup.subtree_control)"
            .to_owned(),
    };
    let Some(hierarchy) = found.iter().find(|hierarchy| hierarchy.unified) else {
        return Err(unsupported("no cgroup v2 hierarchy is mounted".to_owned()));
    };
    let own = hierarchy.own_directory();
    let groups = || own.ancestors().take_while(|group| group.starts_with(&hierarchy.mount));
    let parent = groups()
        .find(|group| hands_down(group))
        .or_else(|| groups().find(|group| told_to_hand_down(group)))
        .ok_or_else(|| {
        unsupported(format!("no group from {own} up to {} hands down {}", hierarchy.mount, REQUIRED_V2.join(", ")))
    })?;
    let subtree = CgroupSubtree {
        controllers: words(&parent.join("cgroup.subtree_control")),
        mount_name: String::new(),
        directory: parent.join(name),
    };
    Ok(CgroupPlan { unified: true, hierarchies: vec![subtree] })
}

/// Whether children of `group` get the required controllers.
fn hands_down(group: &Utf8Path) -> bool {
    let enabled = words(&group.join("cgroup.subtree_control"));
    REQUIRED_V2.iter().all(|name| enabled.iter().any(|enabled| enabled == name))
}

/// Whether they do once they are asked for.
fn told_to_hand_down(group: &Utf8Path) -> bool {
    let wanted: Vec<String> = REQUIRED_V2.iter().map(|name| format!("+{name}")).collect();
    fs::write(group.join("cgroup.subtree_control"), wanted.join(" ")).is_ok() && hands_down(group)
}

fn words(path: &Utf8Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    fn v1(controllers: &str, mount: &str, own: &str) -> CgroupHierarchy {
        CgroupHierarchy {
            controllers: controllers.split(',').map(str::to_owned).collect(),
            mount: Utf8PathBuf::from(mount),
            own: own.to_owned(),
            unified: false,
        }
    }

    fn usual() -> Vec<CgroupHierarchy> {
        vec![
            v1("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct", "/"),
            v1("cpuset", "/sys/fs/cgroup/cpuset", "/"),
            v1("memory", "/sys/fs/cgroup/memory", "/a/b"),
            v1("pids", "/sys/fs/cgroup/pids", "/"),
            v1("devices", "/sys/fs/cgroup/devices", "/"),
            v1("name=systemd", "/sys/fs/cgroup/systemd", "/"),
        ]
    }

    #[test]
    fn a_v1_subtree_lies_beneath_the_callers_own_group() {
        let plan = plan_v1(&usual(), "sandproof-x").unwrap();
        let memory = plan.hierarchies.iter().find(|subtree| subtree.mount_name == "memory").unwrap();
        assert_eq!(memory.directory, "/sys/fs/cgroup/memory/a/b/sandproof-x");
        assert_eq!(plan.hierarchies.len(), 6);
    }

    #[test]
    fn a_missing_controller_is_named() {
        let mut found = usual();
        found.remove(3);
        let error = plan_v1(&found, "sandproof-x").unwrap_err().to_string();
        assert!(error.contains("pids"), "{error}");
    }

    #[test]
    fn a_v2_subtree_lies_beneath_the_nearest_group_that_hands_controllers_down() {
        let directory = tempfile::tempdir().unwrap();
        let mount = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
        let own = mount.join("user.slice/session");
        fs::create_dir_all(&own).unwrap();
        // A directory in the file's place refuses to be written, as a busy group does.
        for group in [own.clone(), mount.join("user.slice")] {
            fs::create_dir(group.join("cgroup.subtree_control")).unwrap();
        }
        fs::write(mount.join("cgroup.subtree_control"), "cpu memory pids").unwrap();
        let hierarchy = |mount: &Utf8Path| CgroupHierarchy {
            controllers: vec![],
            mount: mount.to_owned(),
            own: "/user.slice/session".to_owned(),
            unified: true,
        };
        let plan = plan_v2(&[hierarchy(&mount)], "sandproof-x").unwrap();
        assert!(plan.unified);
        assert_eq!(plan.hierarchies[0].directory, mount.join("sandproof-x"));

        fs::remove_file(mount.join("cgroup.subtree_control")).unwrap();
        fs::create_dir(mount.join("cgroup.subtree_control")).unwrap();
        let error = plan_v2(&[hierarchy(&mount)], "sandproof-x").unwrap_err().to_string();
        assert!(error.contains("hands down cpu, memory, pids"), "{error}");
    }
}
