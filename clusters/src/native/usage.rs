//! What processes took, as their control groups counted.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

/// What a group and all groups beneath it took since they were made. What the kernel does not count is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Seconds of processor time.
    pub cpu_seconds: Option<f64>,
    /// The most bytes of memory at one time, with page cache and the kernel's own.
    pub peak_memory_bytes: Option<u64>,
}

impl Usage {
    /// Reads the counters from the directories of one group: one directory for each hierarchy of v1, the only one of v2.
    pub fn of(directories: &[Utf8PathBuf]) -> Self {
        let first = |read: &dyn Fn(&Utf8Path) -> Option<u64>| directories.iter().find_map(|directory| read(directory));
        let nanoseconds = first(&|directory| number(directory, "cpuacct.usage"));
        let microseconds = || first(&|directory| field(directory, "cpu.stat", "usage_usec"));
        #[expect(clippy::cast_precision_loss, reason = "a century in nanoseconds would still be exact to the second")]
        let cpu_seconds = nanoseconds
            .map(|nanoseconds| nanoseconds as f64 / 1e9)
            .or_else(|| microseconds().map(|microseconds| microseconds as f64 / 1e6));
        let v1 = first(&|directory| number(directory, "memory.max_usage_in_bytes"));
        Self { cpu_seconds, peak_memory_bytes: v1.or_else(|| first(&|directory| number(directory, "memory.peak"))) }
    }
}

fn number(directory: &Utf8Path, file: &str) -> Option<u64> {
    fs::read_to_string(directory.join(file)).ok()?.trim().parse().ok()
}

fn field(directory: &Utf8Path, file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(directory.join(file)).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(files: &[(&str, &str, &str)]) -> (tempfile::TempDir, Vec<Utf8PathBuf>) {
        let root = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(root.path().to_owned()).unwrap();
        let mut directories = Vec::new();
        for (group, file, content) in files {
            let directory = path.join(group);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join(file), content).unwrap();
            if !directories.contains(&directory) {
                directories.push(directory);
            }
        }
        (root, directories)
    }

    #[test]
    fn v1_counts_in_two_hierarchies() {
        let (_root, directories) =
            groups(&[("cpuacct", "cpuacct.usage", "2500000000\n"), ("memory", "memory.max_usage_in_bytes", "4096\n")]);
        assert_eq!(Usage::of(&directories), Usage { cpu_seconds: Some(2.5), peak_memory_bytes: Some(4096) });
    }

    #[test]
    fn v2_counts_in_one() {
        let (_root, directories) =
            groups(&[("one", "cpu.stat", "usage_usec 1500000\nuser_usec 1\n"), ("one", "memory.peak", "8192\n")]);
        assert_eq!(Usage::of(&directories), Usage { cpu_seconds: Some(1.5), peak_memory_bytes: Some(8192) });
    }

    #[test]
    fn what_is_not_counted_is_not_zero() {
        assert_eq!(Usage::of(&["/nonexistent".into()]), Usage::default());
    }
}
