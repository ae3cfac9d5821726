//! How many clusters this host can run at once, and which of its resources decides that.

use serde::Serialize;

/// What one cell keeps for itself while its scenarios run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CellNeeds {
    /// Bytes of memory.
    pub memory: u64,
    /// Thousandths of a processor that it keeps busy on average.
    pub milliprocessors: u64,
    /// Bytes on disk.
    pub disk: u64,
    /// Instances of inotify.
    pub inotify_instances: u64,
    /// Watches of inotify.
    pub inotify_watches: u64,
    /// Files that all processes together hold open.
    pub system_files: u64,
    /// Files that the harness itself holds open for it.
    pub harness_files: u64,
}

/// What a host has left; none where there is no limit, or none that can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    /// Bytes of memory that new programs can take: of the whole host.
    pub memory: Option<u64>,
    /// Bytes of memory that this process's control group still allows.
    pub group_memory: Option<u64>,
    /// Processors that this process may use.
    pub processors: usize,
    /// Bytes that are free where clusters are kept.
    pub disk: Option<u64>,
    /// Instances of inotify that this user can still make.
    pub inotify_instances: Option<u64>,
    /// Watches of inotify that this user can still add.
    pub inotify_watches: Option<u64>,
    /// Files that the system can still open.
    pub system_files: Option<u64>,
    /// Files that this process can still open.
    pub harness_files: Option<u64>,
}

/// A resource that cells share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Resource {
    /// Memory of the host.
    Memory,
    /// Memory that the control group of this process may take.
    GroupMemory,
    /// Processors.
    Processors,
    /// Disk space.
    Disk,
    /// Instances of inotify, counted by user.
    InotifyInstances,
    /// Watches of inotify, counted by user.
    InotifyWatches,
    /// Files open in the whole system.
    SystemFiles,
    /// Files open in the harness.
    HarnessFiles,
}

/// How far one resource goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    /// Which one.
    pub resource: Resource,
    /// What the numbers count: `bytes`, `milliprocessors` or `pieces`.
    pub unit: &'static str,
    /// What there is.
    pub available: u64,
    /// What one cell takes.
    pub per_cell: u64,
    /// How many cells that is enough for.
    pub allows: usize,
}

/// How many cells can run at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// The number of cells; at least one, because a run that is asked for is tried.
    pub cells: usize,
    /// Every resource that has a limit.
    pub limits: Vec<Limit>,
    /// The resource that is used up first.
    pub deciding: Option<Resource>,
}

impl CellNeeds {
    /// As measured with the smoke scenarios, eight of them at a time, and rounded up.
    ///
    /// The control group of a cluster reached 1020 MB with its page cache and 580 MB without; the registry and its
    /// images took another 115 MB. Images and etcd's files took 250 MB of disk.
    /// docs/performance.md has the rest.
    pub const MEASURED: Self = Self {
        memory: 1_152 << 20,
        milliprocessors: 1_200,
        disk: 512 << 20,
        inotify_instances: 16,
        inotify_watches: 600,
        system_files: 1_500,
        harness_files: 100,
    };
}

/// How many cells with these needs fit into this room.
pub fn capacity(room: &Room, needs: &CellNeeds) -> Capacity {
    let processors = u64::try_from(room.processors).unwrap_or(1) * 1000;
    let whole = |available: u64, per_cell: u64| available.checked_div(per_cell).unwrap_or(u64::MAX);
    // Rounded up: a cell waits now and then, for a back-off or a deadline, and the next one fills the gaps.
    let filled = |available: u64, per_cell: u64| match per_cell {
        0 => u64::MAX,
        per_cell => available.div_ceil(per_cell),
    };
    let limit = |resource, unit, available: Option<u64>, per_cell, count: &dyn Fn(u64, u64) -> u64| {
        available.map(|available| Limit {
            resource,
            unit,
            available,
            per_cell,
            allows: usize::try_from(count(available, per_cell)).unwrap_or(usize::MAX),
        })
    };
    let limits: Vec<Limit> = [
        limit(Resource::Processors, "milliprocessors", Some(processors), needs.milliprocessors, &filled),
        limit(Resource::Memory, "bytes", room.memory, needs.memory, &whole),
        limit(Resource::GroupMemory, "bytes", room.group_memory, needs.memory, &whole),
        limit(Resource::Disk, "bytes", room.disk, needs.disk, &whole),
        limit(Resource::InotifyInstances, "pieces", room.inotify_instances, needs.inotify_instances, &whole),
        limit(Resource::InotifyWatches, "pieces", room.inotify_watches, needs.inotify_watches, &whole),
        limit(Resource::SystemFiles, "pieces", room.system_files, needs.system_files, &whole),
        limit(Resource::HarnessFiles, "pieces", room.harness_files, needs.harness_files, &whole),
    ]
    .into_iter()
    .flatten()
    .collect();
    let tightest = limits.iter().min_by_key(|limit| limit.allows);
    let (cells, deciding) = tightest.map_or((1, None), |limit| (limit.allows.max(1), Some(limit.resource)));
    Capacity { cells, limits, deciding }
}

impl Capacity {
    /// The limit that decides.
    pub fn deciding_limit(&self) -> Option<&Limit> {
        self.limits.iter().find(|limit| Some(limit.resource) == self.deciding)
    }

    /// How many clusters may exist while `running` of them run scenarios: one more, which is being deleted, where
    /// everything but the processors has room for it.
    pub fn clusters(&self, running: usize) -> usize {
        let room = self.limits.iter().filter(|limit| limit.resource != Resource::Processors);
        let room = room.map(|limit| limit.allows).min().unwrap_or(usize::MAX);
        (running + 1).min(room.max(running))
    }

    /// What decides, in a few words: `the processors decide`.
    pub fn reason(&self) -> String {
        match self.deciding {
            Some(resource) => format!("{} decide{}", resource.name(), if resource.is_plural() { "" } else { "s" }),
            None => "nothing is known of this host's limits".to_owned(),
        }
    }
}

impl Resource {
    /// Its name in a sentence.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "the host's memory",
            Self::GroupMemory => "the control group's memory",
            Self::Processors => "the processors",
            Self::Disk => "the disk space",
            Self::InotifyInstances => "the instances of inotify",
            Self::InotifyWatches => "the watches of inotify",
            Self::SystemFiles => "the system's open files",
            Self::HarnessFiles => "this process's open files",
        }
    }

    /// What to change where it decides and more is wanted.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Memory => "end other programs, or use a host with more memory",
            Self::GroupMemory => "give the container or service that runs this more memory",
            Self::Processors => "use a host with more processors; `--cells N` can be tried, but gains little",
            Self::Disk => "free some, or point SANDPROOF_STATE at a larger file system",
            Self::InotifyInstances => "sysctl fs.inotify.max_user_instances=1024",
            Self::InotifyWatches => "sysctl fs.inotify.max_user_watches=1048576",
            Self::SystemFiles => "sysctl fs.file-max=1000000",
            Self::HarnessFiles => "ulimit -n 65536",
        }
    }

    const fn is_plural(self) -> bool {
        !matches!(self, Self::Memory | Self::GroupMemory | Self::Disk)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const GIB: u64 = 1 << 30;

    const NEEDS: CellNeeds = CellNeeds {
        memory: GIB,
        milliprocessors: 1_200,
        disk: GIB / 2,
        inotify_instances: 16,
        inotify_watches: 500,
        system_files: 1_000,
        harness_files: 100,
    };

    /// A host on which nothing but the processors decides.
    fn roomy(processors: usize) -> Room {
        Room {
            memory: Some(1_000 * GIB),
            group_memory: None,
            processors,
            disk: Some(1_000 * GIB),
            inotify_instances: Some(100_000),
            inotify_watches: Some(10_000_000),
            system_files: Some(10_000_000),
            harness_files: Some(1_000_000),
        }
    }

    #[rstest]
    #[case(1, 1)]
    #[case(2, 2)]
    #[case(4, 4)]
    #[case(6, 5)]
    #[case(8, 7)]
    #[case(64, 54)]
    fn processors_are_filled(#[case] processors: usize, #[case] cells: usize) {
        let found = capacity(&roomy(processors), &NEEDS);
        assert_eq!((found.cells, found.deciding), (cells, Some(Resource::Processors)));
    }

    #[rstest]
    #[case(Room { memory: Some(3 * GIB - 1), ..roomy(16) }, 2, Resource::Memory)]
    #[case(Room { memory: Some(GIB / 2), ..roomy(16) }, 1, Resource::Memory)]
    #[case(Room { group_memory: Some(4 * GIB), ..roomy(16) }, 4, Resource::GroupMemory)]
    #[case(Room { disk: Some(GIB), ..roomy(16) }, 2, Resource::Disk)]
    #[case(Room { inotify_instances: Some(128), ..roomy(16) }, 8, Resource::InotifyInstances)]
    #[case(Room { inotify_watches: Some(8_192 / 2), ..roomy(16) }, 8, Resource::InotifyWatches)]
    #[case(Room { system_files: Some(3_000), ..roomy(16) }, 3, Resource::SystemFiles)]
    #[case(Room { harness_files: Some(1_024), ..roomy(16) }, 10, Resource::HarnessFiles)]
    // Where two allow the same number, the processors are named: more of the other would not help.
    #[case(Room { memory: Some(2 * GIB), ..roomy(2) }, 2, Resource::Processors)]
    // What cannot be read limits nothing.
    #[case(Room { processors: 2, ..Room::default() }, 2, Resource::Processors)]
    fn the_resource_that_is_used_up_first_decides(
        #[case] room: Room,
        #[case] cells: usize,
        #[case] deciding: Resource,
    ) {
        let found = capacity(&room, &NEEDS);
        assert_eq!((found.cells, found.deciding), (cells, Some(deciding)));
        assert_eq!(found.deciding_limit().map(|limit| limit.allows.max(1)), Some(cells));
    }

    #[rstest]
    #[case(roomy(2), 2, 3)]
    #[case(Room { memory: Some(2 * GIB), ..roomy(2) }, 2, 2)]
    #[case(Room { memory: Some(3 * GIB), ..roomy(2) }, 2, 3)]
    // Whoever asks for more than fits gets it, and nothing on top.
    #[case(Room { memory: Some(2 * GIB), ..roomy(2) }, 4, 4)]
    fn one_more_cluster_may_exist_where_there_is_room(
        #[case] room: Room,
        #[case] running: usize,
        #[case] clusters: usize,
    ) {
        assert_eq!(capacity(&room, &NEEDS).clusters(running), clusters);
    }

    #[test]
    fn the_reason_is_a_sentence() {
        assert_eq!(capacity(&roomy(2), &NEEDS).reason(), "the processors decide");
        let small = Room { memory: Some(GIB), ..roomy(2) };
        assert_eq!(capacity(&small, &NEEDS).reason(), "the host's memory decides");
    }
}
