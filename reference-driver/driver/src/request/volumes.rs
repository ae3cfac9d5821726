//! Claims of the user that are mounted into the agent: `volumes` and `containers.agent.volume_mounts` of the driver block.

use std::collections::BTreeSet;

use super::fields::Fields;
use super::{InvalidRequest, quoted};
use crate::names;
use crate::pod::{self, RESERVED_VOLUMES, WORK_DIRECTORY};

/// The longest path, in bytes (Linux' `PATH_MAX`, with its final NUL).
const PATH_LIMIT: usize = 4095;

/// A claim of the sandbox's namespace as a volume of its pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimVolume {
    /// The volume's name in the pod.
    pub name: String,
    /// The claim.
    pub claim_name: String,
    /// Whether no mount of it may write.
    pub read_only: bool,
}

/// Where the agent sees a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimMount {
    /// The volume.
    pub name: String,
    /// The directory, without a final slash.
    pub mount_path: String,
    /// The part of the volume; none means all of it.
    pub sub_path: Option<String>,
    /// Whether it may not be written to.
    pub read_only: bool,
}

impl ClaimMount {
    /// Whether it takes the place of the workspace, or of a part of it.
    pub fn is_in_workspace(&self) -> bool {
        is_within(&self.mount_path, WORK_DIRECTORY)
    }

    /// Whether it would hide something in a directory, or put something there.
    pub(crate) fn meets(&self, directory: &str) -> bool {
        is_within(&self.mount_path, directory) || is_within(directory, &self.mount_path)
    }
}

/// The volumes under `volumes`.
pub(super) fn volumes(fields: &Fields<'_>) -> Result<Vec<ClaimVolume>, InvalidRequest> {
    let mut volumes: Vec<ClaimVolume> = Vec::new();
    for entry in fields.objects("volumes")? {
        entry.only(&["name", "persistent_volume_claim"])?;
        let name = entry.required(entry.checked_text("name", names::label_problem)?, "name")?;
        if RESERVED_VOLUMES.contains(&name.as_str()) {
            return Err(entry.invalid("name", format!("{} is reserved by the driver", quoted(&name))));
        }
        if volumes.iter().any(|known| known.name == name) {
            return Err(entry.invalid("name", format!("{} is given a second time", quoted(&name))));
        }
        let claim = entry.required(entry.object("persistent_volume_claim")?, "persistent_volume_claim")?;
        claim.only(&["claim_name", "read_only"])?;
        let claim_name = claim.required(claim.checked_text("claim_name", names::subdomain_problem)?, "claim_name")?;
        volumes.push(ClaimVolume { name, claim_name, read_only: claim.boolean("read_only")?.unwrap_or(true) });
    }
    Ok(volumes)
}

/// The mounts under `volume_mounts`; each is of one of the volumes.
pub(super) fn mounts(agent: &Fields<'_>, volumes: &[ClaimVolume]) -> Result<Vec<ClaimMount>, InvalidRequest> {
    let mut mounts = Vec::new();
    let mut targets = BTreeSet::new();
    for (index, entry) in agent.objects("volume_mounts")?.iter().enumerate() {
        let mount = mount(entry, volumes)?;
        if let Some(directory) = pod::PROTECTED_DIRECTORIES.iter().find(|directory| mount.meets(directory)) {
            return Err(InvalidRequest::protected_mount(index, &mount, directory));
        }
        if !targets.insert(mount.mount_path.clone()) {
            let path = quoted(&mount.mount_path);
            return Err(entry.invalid("mount_path", format!("{path} is a mount's target already")));
        }
        mounts.push(mount);
    }
    Ok(mounts)
}

fn mount(entry: &Fields<'_>, volumes: &[ClaimVolume]) -> Result<ClaimMount, InvalidRequest> {
    entry.only(&["name", "mount_path", "sub_path", "read_only"])?;
    let name = entry.required(entry.text("name")?, "name")?;
    let Some(volume) = volumes.iter().find(|volume| volume.name == name) else {
        return Err(entry.invalid("name", format!("{} is none of the volumes that are listed", quoted(name))));
    };
    let mount_path = entry.required(entry.checked_text("mount_path", target_problem)?, "mount_path")?;
    let read_only = entry.boolean("read_only")?.unwrap_or(true);
    if volume.read_only && !read_only {
        return Err(entry.invalid("read_only", format!("must not be false: volume {} is read-only", quoted(name))));
    }
    Ok(ClaimMount {
        name: name.to_owned(),
        mount_path: mount_path.trim_end_matches('/').to_owned(),
        sub_path: entry.checked_text("sub_path", sub_path_problem)?,
        read_only,
    })
}

/// Why a path cannot be a mount's target, or nothing if it can.
fn target_problem(path: &str) -> Option<&'static str> {
    let Some(inner) = path.strip_prefix('/') else {
        return Some("must be an absolute path");
    };
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if inner.is_empty() {
        return Some("must not be the root directory");
    }
    parts_problem(inner).or_else(|| inner.contains(':').then_some("must not contain ':'"))
}

/// Why a path cannot be a part of a volume, or nothing if it can.
fn sub_path_problem(path: &str) -> Option<&'static str> {
    match path {
        "" => Some("must not be empty; leave it out for the whole volume"),
        path if path.starts_with('/') => Some("must be relative to the volume"),
        path => parts_problem(path),
    }
}

fn parts_problem(path: &str) -> Option<&'static str> {
    if path.len() > PATH_LIMIT {
        return Some("must be no more than 4095 bytes");
    }
    if path.contains(char::is_control) {
        return Some("must not contain control characters");
    }
    let is_plain = |part: &str| !matches!(part, "" | "." | "..");
    (!path.split('/').all(is_plain)).then_some("must not contain empty parts, '.' or '..'")
}

/// Whether a path is a directory or lies in it.
fn is_within(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain("/data", true)]
    #[case::deep("/a/b c/d", true)]
    #[case::final_slash("/data/", true)]
    #[case::root("/", false)]
    #[case::roots("//", false)]
    #[case::relative("data", false)]
    #[case::empty("", false)]
    #[case::parent("/data/../etc", false)]
    #[case::dot("/./data", false)]
    #[case::double_slash("/data//x", false)]
    #[case::colon("/data:rw", false)]
    #[case::newline("/data\n", false)]
    #[case::nul("/da\0ta", false)]
    #[case::too_long(&format!("/{}", "a".repeat(4096)), false)]
    fn targets(#[case] path: &str, #[case] valid: bool) {
        assert_eq!(target_problem(path).is_none(), valid);
    }

    #[rstest]
    #[case::plain("a", true)]
    #[case::deep("a/b", true)]
    #[case::absolute("/a", false)]
    #[case::empty("", false)]
    #[case::parent("a/..", false)]
    #[case::final_slash("a/", false)]
    fn sub_paths(#[case] path: &str, #[case] valid: bool) {
        assert_eq!(sub_path_problem(path).is_none(), valid);
    }

    #[rstest]
    #[case::itself("/sandbox", true)]
    #[case::inside("/sandbox/cache", true)]
    #[case::beside("/sandbox2", false)]
    #[case::elsewhere("/data", false)]
    fn the_workspace(#[case] path: &str, #[case] expected: bool) {
        let mount = ClaimMount { name: "v".to_owned(), mount_path: path.to_owned(), sub_path: None, read_only: true };
        assert_eq!(mount.is_in_workspace(), expected);
    }
}
