//! Reading what this host has left for more clusters.

use std::fs;

use camino::Utf8Path;
use rustix::process::{Resource, geteuid, getrlimit};

use super::{Host, capacity::Room, system::disk};

/// What a link in `/proc/PID/fd` to an instance of inotify names.
const INOTIFY: &str = "anon_inode:inotify";

/// A v1 limit from here on is no limit: the kernel shows the largest number of pages that it can count.
const NO_LIMIT: u64 = 1 << 60;

impl Room {
    /// Reads the room that is left on `host`, with disk space where the state directory is.
    pub fn of(host: &Host, state: &Utf8Path) -> Self {
        let setting = |name: &str| host.settings.get(name).and_then(|value| value.parse::<u64>().ok());
        let used = InotifyUse::of_this_user();
        let open = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
        Self {
            memory: (host.memory.available > 0).then_some(host.memory.available),
            group_memory: group_memory(host),
            processors: host.processors,
            disk: Some(disk(state).available).filter(|bytes| *bytes > 0),
            inotify_instances: setting("fs.inotify.max_user_instances")
                .map(|limit| limit.saturating_sub(used.instances)),
            inotify_watches: setting("fs.inotify.max_user_watches").map(|limit| limit.saturating_sub(used.watches)),
            system_files: system_files(&text("/proc/sys/fs/file-nr")),
            harness_files: getrlimit(Resource::Nofile).current.map(|limit| limit.saturating_sub(open)),
        }
    }
}

/// What processes of this user hold of inotify; the kernel counts by user, whatever the program.
#[derive(Debug, Default)]
struct InotifyUse {
    instances: u64,
    watches: u64,
}

impl InotifyUse {
    fn of_this_user() -> Self {
        let own = geteuid().as_raw();
        let mut used = Self::default();
        for process in entries("/proc") {
            if !process.bytes().all(|byte| byte.is_ascii_digit()) || owner(&process) != Some(own) {
                continue;
            }
            // A process that ends meanwhile holds nothing.
            for number in entries(&format!("/proc/{process}/fd")) {
                let target = fs::read_link(format!("/proc/{process}/fd/{number}"));
                if target.is_ok_and(|target| target.as_os_str() == INOTIFY) {
                    used.instances += 1;
                    used.watches += watches(&text(format!("/proc/{process}/fdinfo/{number}")));
                }
            }
        }
        used
    }
}

fn owner(process: &str) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(format!("/proc/{process}")).ok().map(|data| data.uid())
}

/// Each watch has a line of its own that begins with `inotify wd:`.
fn watches(fdinfo: &str) -> u64 {
    fdinfo.lines().filter(|line| line.starts_with("inotify wd:")).count() as u64
}

/// The smallest room in the groups from this process's own up to the root of the memory hierarchy.
fn group_memory(host: &Host) -> Option<u64> {
    let hierarchy = host.hierarchies.iter().find(|hierarchy| hierarchy.has("memory"))?;
    let own = hierarchy.own_directory();
    own.ancestors()
        .take_while(|group| group.starts_with(&hierarchy.mount))
        .filter_map(|group| {
            let [limit, usage] = if hierarchy.unified {
                ["memory.max", "memory.current"]
            } else {
                ["memory.limit_in_bytes", "memory.usage_in_bytes"]
            };
            room_of_group(&text(group.join(limit)), &text(group.join(usage)), &text(group.join("memory.stat")))
        })
        .min()
}

/// What one group still allows; page cache that nobody has used lately is given back when it is needed.
fn room_of_group(limit: &str, usage: &str, statistics: &str) -> Option<u64> {
    let limit: u64 = limit.trim().parse().ok().filter(|limit| *limit < NO_LIMIT)?;
    let usage: u64 = usage.trim().parse().ok()?;
    // v1 has the sum over all groups beneath under a name of its own.
    let field = |name: &str| {
        statistics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse::<u64>().ok())
    };
    let idle = field("total_inactive_file").or_else(|| field("inactive_file")).unwrap_or_default();
    Some(limit.saturating_sub(usage.saturating_sub(idle)))
}

/// `/proc/sys/fs/file-nr` has the open files, a zero, and the limit.
fn system_files(file_nr: &str) -> Option<u64> {
    let mut numbers = file_nr.split_whitespace().map(|number| number.parse::<u64>().ok());
    let (open, limit) = (numbers.next()??, numbers.nth(1)??);
    // Some kernels show the largest number there is for "no limit".
    (limit < NO_LIMIT).then(|| limit.saturating_sub(open))
}

fn entries(directory: &str) -> Vec<String> {
    fs::read_dir(directory)
        .map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default()
}

fn text(path: impl AsRef<Utf8Path>) -> String {
    fs::read_to_string(path.as_ref()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("max\n", "1000\n", "", None)]
    #[case("9223372036854771712\n", "1000\n", "", None)]
    #[case("", "", "", None)]
    #[case("5000\n", "2000\n", "anon 900\ninactive_file 500\n", Some(3500))]
    #[case("5000\n", "2000\n", "inactive_file 1\ntotal_inactive_file 700\n", Some(3700))]
    #[case("1000\n", "2000\n", "", Some(0))]
    fn a_group_has_room_up_to_its_limit_without_idle_cache(
        #[case] limit: &str,
        #[case] usage: &str,
        #[case] statistics: &str,
        #[case] room: Option<u64>,
    ) {
        assert_eq!(room_of_group(limit, usage, statistics), room);
    }

    #[rstest]
    #[case("2144\t0\t2466177\n", Some(2_464_033))]
    #[case("2144\t0\t9223372036854775807\n", None)]
    #[case("", None)]
    fn open_files_are_counted_against_the_systems_limit(#[case] file_nr: &str, #[case] left: Option<u64>) {
        assert_eq!(system_files(file_nr), left);
    }

    #[test]
    fn each_watch_has_a_line() {
        assert_eq!(watches("pos:\t0\nflags:\t02004000\ninotify wd:2 ino:1\ninotify wd:1 ino:2\n"), 2);
    }
}
