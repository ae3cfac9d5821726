//! The layout of control groups, from `/proc/self/mountinfo` and `/proc/self/cgroup`.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

/// Where the system expects control groups.
pub(super) const ROOT: &str = "/sys/fs/cgroup";

/// How control groups are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CgroupLayout {
    /// Only v1 hierarchies.
    V1,
    /// v1 hierarchies with a v2 one beside them; the kubelet takes it for v1.
    V1Hybrid,
    /// The unified hierarchy at `/sys/fs/cgroup`.
    V2,
}

/// One mounted control-group hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CgroupHierarchy {
    /// Its controllers: for v1 those of the mount (`name=systemd` for the named one), for v2 those
    /// that `cgroup.controllers` of its root offers.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: Utf8PathBuf,
    /// The caller's own group in it, such as `/` or `/user.slice/session-1.scope`.
    pub own: String,
    /// Whether it is a v2 hierarchy.
    pub unified: bool,
}

impl CgroupLayout {
    /// Whether the kubelet sees cgroup v1.
    pub const fn is_v1(self) -> bool {
        matches!(self, Self::V1 | Self::V1Hybrid)
    }

    /// The layout that these hierarchies make. A v2 hierarchy counts as the layout only when it is
    /// at `/sys/fs/cgroup`, which is how the kubelet and the runtimes decide.
    pub(super) fn of(hierarchies: &[CgroupHierarchy]) -> Self {
        let unified_root = hierarchies.iter().any(|hierarchy| hierarchy.unified && hierarchy.mount == ROOT);
        let unified = hierarchies.iter().any(|hierarchy| hierarchy.unified);
        let v1 = hierarchies.iter().any(|hierarchy| !hierarchy.unified);
        match (unified_root, v1, unified) {
            (true, _, _) => Self::V2,
            (false, true, true) => Self::V1Hybrid,
            _ => Self::V1,
        }
    }
}

impl CgroupHierarchy {
    /// The directory of the caller's own group.
    pub fn own_directory(&self) -> Utf8PathBuf {
        self.mount.join(self.own.trim_start_matches('/'))
    }

    /// Whether it has `controller`.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

/// Reads the hierarchies from the text of `/proc/self/mountinfo` and `/proc/self/cgroup`;
/// `unified_controllers` reads `cgroup.controllers` of a v2 mount.
pub(super) fn hierarchies(
    mountinfo: &str,
    membership: &str,
    unified_controllers: impl Fn(&Utf8Path) -> Vec<String>,
) -> Vec<CgroupHierarchy> {
    let mut found: Vec<CgroupHierarchy> =
        mountinfo.lines().filter_map(|line| hierarchy(line, membership, &unified_controllers)).collect();
    // A hierarchy that is bind-mounted elsewhere (containers, chroots) is listed again.
    found.sort_by_key(|hierarchy| !hierarchy.mount.starts_with(ROOT));
    let mut unique: Vec<CgroupHierarchy> = Vec::new();
    for hierarchy in found {
        let known =
            |other: &CgroupHierarchy| other.unified == hierarchy.unified && other.controllers == hierarchy.controllers;
        if !unique.iter().any(known) {
            unique.push(hierarchy);
        }
    }
    unique
}

fn hierarchy(
    line: &str,
    membership: &str,
    unified_controllers: impl Fn(&Utf8Path) -> Vec<String>,
) -> Option<CgroupHierarchy> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mount = Utf8PathBuf::from(mount.split(' ').nth(4)?);
    let mut filesystem = filesystem.split(' ');
    let unified = match filesystem.next()? {
        "cgroup" => false,
        "cgroup2" => true,
        _ => return None,
    };
    let controllers = if unified {
        unified_controllers(&mount)
    } else {
        let options = filesystem.nth(1)?;
        options
            .split(',')
            .filter(|option| !matches!(*option, "rw" | "ro" | "xattr" | "clone_children"))
            .filter(|option| !option.starts_with("release_agent="))
            .map(str::to_owned)
            .collect()
    };
    let own = own_group(membership, &controllers, unified).unwrap_or("/").to_owned();
    Some(CgroupHierarchy { controllers, mount, own, unified })
}

/// The path in the line of `/proc/self/cgroup` (`id:controllers:path`) for this hierarchy.
fn own_group<'a>(membership: &'a str, controllers: &[String], unified: bool) -> Option<&'a str> {
    membership.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, names, path) = (fields.next()?, fields.next()?, fields.next()?);
        let this = if unified {
            names.is_empty()
        } else {
            names.split(',').any(|name| controllers.iter().any(|controller| controller == name))
        };
        this.then_some(path)
    })
}
