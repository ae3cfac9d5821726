use rstest::rstest;

use super::{
    cgroups::hierarchies,
    system::{distribution, is_static, root_is_shared},
    *,
};

const HYBRID: &str = include_str!("fixtures/hybrid.mountinfo");
const HYBRID_MEMBERSHIP: &str = include_str!("fixtures/hybrid.cgroup");
const SYSTEMD_V1: &str = include_str!("fixtures/systemd-v1.mountinfo");
const UNIFIED: &str = include_str!("fixtures/unified.mountinfo");

fn read(mountinfo: &str, membership: &str, controllers: &[&str]) -> Vec<CgroupHierarchy> {
    hierarchies(mountinfo, membership, |_| controllers.iter().map(|name| (*name).to_owned()).collect())
}

/// A host that lacks nothing.
fn complete() -> Host {
    let tools =
        TOOLS.iter().map(|(name, _)| ((*name).to_owned(), Utf8PathBuf::from(format!("/usr/bin/{name}")))).collect();
    Host {
        architecture: "amd64".to_owned(),
        distribution: Some("Debian GNU/Linux 12 (bookworm)".to_owned()),
        root: true,
        kernel: Kernel::parse("6.1.0-18-amd64"),
        cgroup: CgroupLayout::V2,
        hierarchies: read(UNIFIED, "0::/user.slice\n", &["cpuset", "cpu", "io", "memory", "hugetlb", "pids"]),
        capabilities: Capabilities::from_bits(u64::MAX),
        hugetlb: true,
        overlayfs: true,
        seccomp: true,
        root_mount_shared: true,
        tools,
        libseccomp_headers: true,
        busybox: Some("/bin/busybox".into()),
        processors: 2,
        memory: Memory { total: 8 << 30, available: 4 << 30 },
        disk: Disk { path: "/".into(), total: 100 << 30, available: 50 << 30 },
        open_files: Some(1_048_576),
        settings: BTreeMap::new(),
        apt: true,
        missing: Vec::new(),
    }
}

#[test]
fn a_hybrid_layout_has_its_v1_controllers_and_the_v2_mount_beside_them() {
    let found = read(HYBRID, HYBRID_MEMBERSHIP, &["hugetlb"]);
    assert_eq!(CgroupLayout::of(&found), CgroupLayout::V1Hybrid);
    assert!(CgroupLayout::of(&found).is_v1());
    let lines: Vec<String> = found
        .iter()
        .map(|hierarchy| {
            format!("{} {} {}", hierarchy.controllers.join(","), hierarchy.mount, hierarchy.own_directory())
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    cpu /sys/fs/cgroup/cpu /sys/fs/cgroup/cpu/
    memory /sys/fs/cgroup/memory /sys/fs/cgroup/memory/build/1
    pids /sys/fs/cgroup/pids /sys/fs/cgroup/pids/
    name=systemd /sys/fs/cgroup/systemd /sys/fs/cgroup/systemd/
    hugetlb /sys/fs/cgroup/unified /sys/fs/cgroup/unified/
    ");
}

#[test]
fn controllers_that_share_a_mount_are_one_hierarchy() {
    let found = read(SYSTEMD_V1, "4:cpu,cpuacct:/user.slice\n1:name=systemd:/user.slice/session-1.scope\n", &[]);
    assert_eq!(CgroupLayout::of(&found), CgroupLayout::V1);
    assert_eq!(found[0].controllers, ["cpu", "cpuacct"]);
    assert_eq!(found[0].own, "/user.slice");
    assert_eq!(found[1].own, "/user.slice/session-1.scope");
    assert_eq!(found.len(), 2, "the bind mount in a container's directory is no hierarchy of its own");
}

#[test]
fn a_unified_hierarchy_at_the_usual_place_is_v2() {
    let found = read(UNIFIED, "0::/user.slice/user-0.slice\n", &["cpu", "memory", "pids"]);
    assert_eq!(CgroupLayout::of(&found), CgroupLayout::V2);
    assert!(!CgroupLayout::of(&found).is_v1());
    assert_eq!(found[0].own_directory(), "/sys/fs/cgroup/user.slice/user-0.slice");
}

#[rstest]
#[case("Name:\tx\nCapEff:\t000001ffffffffff\n", true, true)]
#[case("CapEff:\t000001fffeffffff\n", true, false)]
#[case("CapEff:\t0000000000000000\n", false, false)]
#[case("", false, false)]
#[case("CapEff:\tnonsense\n", false, false)]
fn capabilities_are_read_from_the_effective_set(#[case] status: &str, #[case] admin: bool, #[case] resource: bool) {
    let capabilities = Capabilities::from_status(status);
    assert_eq!(capabilities.has(Capability::SysAdmin), admin);
    assert_eq!(capabilities.has(Capability::SysResource), resource);
}

#[rstest]
#[case("6.1.0-18-amd64", 6, 1)]
#[case("5.13", 5, 13)]
#[case("6.18.0+", 6, 18)]
#[case("nonsense", 0, 0)]
fn kernel_releases_are_read(#[case] release: &str, #[case] major: u32, #[case] minor: u32) {
    let kernel = Kernel::parse(release);
    assert_eq!((kernel.major, kernel.minor), (major, minor));
}

#[test]
fn memory_is_counted_in_bytes() {
    let memory = Memory::parse("MemTotal:       24617232 kB\nMemFree: 1 kB\nMemAvailable:   23000000 kB\n");
    assert_eq!(memory, Memory { total: 24_617_232 * 1024, available: 23_000_000 * 1024 });
    assert_eq!(Memory::parse(""), Memory { total: 0, available: 0 });
}

#[test]
fn the_last_mount_of_the_root_decides_whether_it_is_shared() {
    let private = "20 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n";
    let shared = "21 20 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n";
    assert!(!root_is_shared(private));
    assert!(root_is_shared(shared));
    assert!(root_is_shared(&format!("{private}{shared}")));
    assert!(!root_is_shared(&format!("{shared}{private}")));
}

#[test]
fn the_distribution_names_itself() {
    let text = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
    assert_eq!(distribution(text).as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
    assert_eq!(distribution(""), None);
}

/// An ELF header with one program header of this type.
fn program(header_type: u8) -> Vec<u8> {
    let mut program = vec![0; 64 + 56];
    program[..6].copy_from_slice(b"\x7fELF\x02\x01");
    program[32] = 64;
    program[54] = 56;
    program[56] = 1;
    program[64] = header_type;
    program
}

#[test]
fn a_program_with_an_interpreter_is_not_static() {
    assert!(is_static(&program(1)));
    assert!(!is_static(&program(3)));
    assert!(!is_static(&program(1)[..60]));
    assert!(!is_static(b"#!/bin/sh\n"));
}

#[test]
fn a_complete_host_lacks_nothing() {
    assert_eq!(needs::missing(&complete()), []);
}

#[test]
fn what_is_missing_says_why_and_what_to_do() {
    let mut host = complete();
    for tool in ["conmon", "go", "gcc"] {
        host.tools.remove(tool);
    }
    host.busybox = None;
    host.kernel = Kernel::parse("5.10.0-28-amd64");
    host.capabilities = Capabilities::from_bits(!(1 << Capability::SysAdmin as u8));
    host.disk.available = 1_000_000_000;
    host.missing = needs::missing(&host);
    let lines: Vec<String> =
        host.missing.iter().map(|missing| format!("{}: {}; {}", missing.what, missing.why, missing.remedy)).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    CAP_SYS_ADMIN: root without it cannot make namespaces, mounts and links; give the container or service that runs this the capability (docker run --privileged)
    kernel 5.13 or newer: kube-proxy's nftables mode needs it, and this is 5.10.0-28-amd64; boot a newer kernel
    disk space: components and a cluster take about 3000 MB, and / has 1000 MB free; free some, or point SANDPROOF_CACHE and SANDPROOF_STATE at a larger file system
    conmon: CRI-O starts every container through it; apt-get install --no-install-recommends conmon
    a static BusyBox: guest images carry it as their shell; apt-get install --no-install-recommends busybox-static
    gcc: CRI-O and runc have C parts; apt-get install --no-install-recommends gcc
    Go: Agent Sandbox is built from its pinned module, and all else where downloads are out of reach; install Go 1.26 or newer from https://go.dev/dl
    ");
    assert_eq!(host.packages_to_install(), ["busybox-static", "conmon", "gcc"]);
    assert!(!host.ready_for(Purpose::NativeCluster));
}

#[test]
fn a_missing_compiler_does_not_keep_a_cluster_from_running() {
    let mut host = complete();
    host.tools.remove("gcc");
    host.missing = needs::missing(&host);
    assert!(host.ready_for(Purpose::NativeCluster));
    assert!(!host.ready_for(Purpose::Builds));
}

#[test]
fn only_cri_o_needs_conmon() {
    let mut host = complete();
    host.tools.remove("conmon");
    host.missing = needs::missing(&host);
    assert!(host.ready_for(Purpose::NativeCluster));
    assert!(!host.ready_for(Purpose::CriO));
}

#[test]
fn without_root_nothing_else_about_privileges_is_said() {
    let mut host = complete();
    host.root = false;
    host.capabilities = Capabilities::from_bits(0);
    let what: Vec<String> = needs::missing(&host).into_iter().map(|missing| missing.what).collect();
    assert_eq!(what, ["root"]);
}

#[test]
fn every_needed_package_is_pinned() {
    let pins = crate::components::Pins::load(concat!(env!("CARGO_MANIFEST_DIR"), "/pins.yaml")).unwrap();
    let mut host = complete();
    host.tools.clear();
    host.busybox = None;
    host.libseccomp_headers = false;
    host.missing = needs::missing(&host);
    for package in host.packages_to_install() {
        assert!(pins.packages.iter().any(|pinned| pinned.name == package), "{package} is not in pins.yaml");
    }
}

#[test]
fn this_host_can_be_probed() {
    let host = Host::probe();
    assert!(host.kernel.major >= 3, "{host:?}");
    assert!(host.processors > 0 && host.memory.total > 0 && host.disk.total > 0, "{host:?}");
    assert!(!host.hierarchies.is_empty(), "{host:?}");
}
