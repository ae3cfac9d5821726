//! The mount a path is on, out of `/proc/self/mountinfo`.

use std::path::{Path, PathBuf};

use serde::Serialize;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mount {
    target: PathBuf,
    #[serde(rename = "type")]
    kind: String,
    /// The options of the mount itself, not those of its file system.
    options: Vec<String>,
    pub(crate) read_only: bool,
    noexec: bool,
}

/// The mount that holds a path.
pub(crate) fn holding(path: &Path) -> Option<Mount> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let resolved = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    find(&table, &resolved)
}

fn find(table: &str, path: &Path) -> Option<Mount> {
    // Of two mounts on one target the later one is seen.
    table
        .lines()
        .filter_map(parse)
        .filter(|mount| path.starts_with(&mount.target))
        .max_by_key(|mount| mount.target.components().count())
}

/// `36 35 98:0 /root /target rw,noatime master:1 - ext4 /dev/sda rw,errors=continue`
fn parse(line: &str) -> Option<Mount> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(4);
    let target = unescape(fields.next()?);
    let options: Vec<String> = fields.next()?.split(',').map(str::to_owned).collect();
    let mut fields = file_system.split(' ');
    let kind = fields.next()?.to_owned();
    let of_file_system = fields.nth(1).unwrap_or_default();
    let has = |option: &str| {
        options.iter().any(|known| known == option) || of_file_system.split(',').any(|known| known == option)
    };
    Some(Mount { read_only: has("ro"), noexec: has("noexec"), target: target.into(), kind, options })
}

/// The kernel writes blanks and backslashes as octal.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 0:20 / / rw,relatime - overlay overlay rw,lowerdir=a,upperdir=b
30 22 0:25 / /opt/openshell/bin ro,relatime - overlay overlay rw,lowerdir=c
31 22 8:1 /x /opt/openshell rw,relatime shared:1 master:2 - ext4 /dev/sda1 rw
32 22 0:30 / /with\\040blank rw,nosuid,noexec - tmpfs tmpfs ro,size=1k
";

    #[test]
    fn the_deepest_mount_holds_the_path() {
        let mount = find(TABLE, Path::new("/opt/openshell/bin/openshell-sandbox")).unwrap();
        assert_eq!(mount.target, Path::new("/opt/openshell/bin"));
        assert_eq!(mount.kind, "overlay");
        assert!(mount.read_only);
        assert!(!mount.noexec);
    }

    #[test]
    fn a_path_beside_it_is_on_another_mount() {
        assert_eq!(find(TABLE, Path::new("/opt/openshell/binary")).unwrap().target, Path::new("/opt/openshell"));
        assert_eq!(find(TABLE, Path::new("/etc")).unwrap().target, Path::new("/"));
    }

    #[test]
    fn a_read_only_file_system_counts_and_blanks_are_read() {
        let mount = find(TABLE, Path::new("/with blank/a")).unwrap();
        assert!(mount.read_only);
        assert!(mount.noexec);
    }
}
