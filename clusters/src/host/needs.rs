//! What a native cluster and the builds need, and what to do where it is missing.

use serde::Serialize;

use super::{Capability, Host};

/// The oldest kernel that kube-proxy's nftables mode supports.
const OLDEST_KERNEL: (u32, u32) = (5, 13);

/// Memory that one native cluster takes, in bytes: 720 MB measured, with room for its pods.
const CLUSTER_MEMORY: u64 = 1_000_000_000;

/// Free space that the components of one cell and a cluster take, in bytes.
const CLUSTER_DISK: u64 = 3_000_000_000;

/// What a missing thing would be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Running a cluster as host processes.
    NativeCluster,
    /// CRI-O as the runtime of such a cluster.
    #[serde(rename = "cri-o")]
    CriO,
    /// Guest images for the scenarios.
    GuestImages,
    /// Running a cluster in containers.
    KindCluster,
    /// Assembling the image of such a cluster's node, where no registry is within reach.
    NodeImage,
    /// Building components from their pinned Go modules, where downloads are out of reach.
    Builds,
}

impl Purpose {
    /// Whether only clusters of kind need it.
    pub const fn is_of_kind(self) -> bool {
        matches!(self, Self::KindCluster | Self::NodeImage)
    }
}

/// Something that this host lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// The thing, such as `conmon` or `CAP_SYS_ADMIN`.
    pub what: String,
    /// What cannot be done without it.
    pub why: String,
    /// What to do: a command that one can paste, or a sentence where no command does.
    pub remedy: String,
    /// The Debian package that has it.
    pub package: Option<String>,
    /// What it would be used for.
    pub purpose: Purpose,
}

struct Need {
    tool: &'static str,
    package: &'static str,
    purpose: Purpose,
    why: &'static str,
}

const NEEDED_TOOLS: &[Need] = &[
    Need { tool: "conmon", package: "conmon", purpose: Purpose::CriO, why: "CRI-O starts every container through it" },
    Need {
        tool: "ip",
        package: "iproute2",
        purpose: Purpose::NativeCluster,
        why: "a cluster has its own network namespace and link",
    },
    Need {
        tool: "nsenter",
        package: "util-linux",
        purpose: Purpose::NativeCluster,
        why: "a shell in a running cluster enters its namespaces",
    },
    Need {
        tool: "mount",
        package: "mount",
        purpose: Purpose::NativeCluster,
        why: "the kubelet mounts volumes with it",
    },
    Need {
        tool: "nft",
        package: "nftables",
        purpose: Purpose::NativeCluster,
        why: "kube-proxy programs Services with it",
    },
    Need {
        tool: "iptables",
        package: "iptables",
        purpose: Purpose::NativeCluster,
        why: "the CNI bridge plugin masquerades with it",
    },
    Need {
        tool: "conntrack",
        package: "conntrack",
        purpose: Purpose::NativeCluster,
        why: "kube-proxy clears stale connections with it",
    },
    Need { tool: "gcc", package: "gcc", purpose: Purpose::Builds, why: "CRI-O and runc have C parts" },
    Need {
        tool: "pkg-config",
        package: "pkg-config",
        purpose: Purpose::Builds,
        why: "it tells the compiler where libseccomp is",
    },
];

/// Everything that `host` lacks, what a cluster needs first.
pub(super) fn missing(host: &Host) -> Vec<Missing> {
    let mut missing = Vec::new();
    privileges(host, &mut missing);
    kernel(host, &mut missing);
    space(host, &mut missing);
    tools(host, &mut missing);
    kind(host, &mut missing);
    missing.sort_by_key(|missing| missing.purpose);
    missing
}

fn cluster(what: &str, why: &str, remedy: &str) -> Missing {
    Missing {
        what: what.to_owned(),
        why: why.to_owned(),
        remedy: remedy.to_owned(),
        package: None,
        purpose: Purpose::NativeCluster,
    }
}

fn privileges(host: &Host, missing: &mut Vec<Missing>) {
    if !host.root {
        missing.push(cluster(
            "root",
            "a native cluster makes network namespaces, mounts and control groups",
            "run it as root, for example with sudo",
        ));
        return;
    }
    for capability in [Capability::SysAdmin, Capability::NetAdmin, Capability::SysChroot] {
        if !host.capabilities.has(capability) {
            missing.push(cluster(
                capability.name(),
                "root without it cannot make namespaces, mounts and links",
                "give the container or service that runs this the capability (docker run --privileged)",
            ));
        }
    }
}

fn kernel(host: &Host, missing: &mut Vec<Missing>) {
    if (host.kernel.major, host.kernel.minor) < OLDEST_KERNEL {
        missing.push(Missing {
            what: format!("kernel {}.{} or newer", OLDEST_KERNEL.0, OLDEST_KERNEL.1),
            why: format!("kube-proxy's nftables mode needs it, and this is {}", host.kernel.release),
            remedy: "boot a newer kernel".to_owned(),
            package: None,
            purpose: Purpose::NativeCluster,
        });
    }
    if !host.overlayfs {
        missing.push(cluster("overlayfs", "the container runtime stores images with it", "modprobe overlay"));
    }
    if !host.seccomp {
        missing.push(cluster(
            "seccomp",
            "containers run under a system-call filter",
            "boot a kernel with CONFIG_SECCOMP_FILTER=y",
        ));
    }
    for controller in ["cpu", "memory", "pids"] {
        if !host.hierarchies.iter().any(|hierarchy| hierarchy.has(controller)) {
            missing.push(cluster(
                &format!("cgroup controller {controller}"),
                "the kubelet needs it for pods' limits",
                "enable it on the kernel's command line, or let the service manager delegate it",
            ));
        }
    }
}

fn space(host: &Host, missing: &mut Vec<Missing>) {
    if host.memory.available < CLUSTER_MEMORY {
        missing.push(Missing {
            what: "memory".to_owned(),
            why: format!(
                "one cluster takes about {} MB, and {} MB are available",
                CLUSTER_MEMORY / 1_000_000,
                host.memory.available / 1_000_000
            ),
            remedy: "end other programs, or run where more is free".to_owned(),
            package: None,
            purpose: Purpose::NativeCluster,
        });
    }
    if host.disk.available < CLUSTER_DISK {
        missing.push(Missing {
            what: "disk space".to_owned(),
            why: format!(
                "components and a cluster take about {} MB, and {} has {} MB free",
                CLUSTER_DISK / 1_000_000,
                host.disk.path,
                host.disk.available / 1_000_000
            ),
            remedy: "free some, or point SANDPROOF_CACHE and SANDPROOF_STATE at a larger file system".to_owned(),
            package: None,
            purpose: Purpose::NativeCluster,
        });
    }
}

fn tools(host: &Host, missing: &mut Vec<Missing>) {
    for need in NEEDED_TOOLS {
        if host.tool(need.tool).is_none() {
            missing.push(packaged(host, need.tool, need.package, need.purpose, need.why));
        }
    }
    if host.busybox.is_none() {
        missing.push(packaged(
            host,
            "a static BusyBox",
            "busybox-static",
            Purpose::GuestImages,
            "guest images carry it as their shell",
        ));
    }
    if !host.libseccomp_headers {
        missing.push(packaged(
            host,
            "libseccomp's headers",
            "libseccomp-dev",
            Purpose::Builds,
            "CRI-O and runc built without them silently apply no seccomp profile",
        ));
    }
    if host.tool("go").is_none() {
        missing.push(Missing {
            what: "Go".to_owned(),
            why: "Agent Sandbox is built from its pinned module, and all else where downloads are out of reach"
                .to_owned(),
            remedy: "install Go 1.26 or newer from https://go.dev/dl".to_owned(),
            package: None,
            purpose: Purpose::Builds,
        });
    }
}

/// What podman needs beside itself, where no other engine is here.
const PODMAN_PARTS: &[(&str, &str, &str)] = &[
    ("netavark", "netavark", "podman makes networks with it"),
    ("aardvark-dns", "aardvark-dns", "names of containers resolve with it"),
];

/// Where distributions put podman's own programs.
const PODMAN_PROGRAMS: &[&str] = &["/usr/lib/podman", "/usr/libexec/podman", "/usr/local/libexec/podman"];

fn kind(host: &Host, missing: &mut Vec<Missing>) {
    let engine = crate::kind::candidates().unwrap_or_default();
    let docker = engine.iter().any(|way| matches!(way, crate::kind::Candidate::Socket { flavor: None, .. }));
    if !docker {
        if engine.is_empty() {
            let why = "nodes of kind are containers, and there is neither Docker nor podman";
            missing.push(packaged(host, "a container engine", "podman", Purpose::KindCluster, why));
        }
        for (program, package, why) in PODMAN_PARTS {
            if !PODMAN_PROGRAMS.iter().any(|directory| camino::Utf8Path::new(directory).join(program).exists()) {
                missing.push(packaged(host, program, package, Purpose::KindCluster, why));
            }
        }
        if host.tool("iptables").is_none() {
            let why = "podman's networks are made with it";
            missing.push(packaged(host, "iptables", "iptables", Purpose::KindCluster, why));
        }
    }
    if host.root && host.tool("mmdebstrap").is_none() {
        let why = "it makes the root file system of a node";
        missing.push(packaged(host, "mmdebstrap", "mmdebstrap", Purpose::NodeImage, why));
    }
}

fn packaged(host: &Host, what: &str, package: &str, purpose: Purpose, why: &str) -> Missing {
    let remedy = if host.apt {
        format!("apt-get install --no-install-recommends {package}")
    } else {
        format!("install the equivalent of Debian's package {package}")
    };
    Missing { what: what.to_owned(), why: why.to_owned(), remedy, package: Some(package.to_owned()), purpose }
}
