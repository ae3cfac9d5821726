//! The caller's effective capabilities, from `/proc/self/status`.

use serde::{Serialize, Serializer};

/// A set of Linux capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(u64);

/// A capability that clusters use, with its bit number (`linux/capability.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Capability {
    /// Network interfaces, routes and firewall rules.
    NetAdmin = 12,
    /// Changing the root directory.
    SysChroot = 18,
    /// Tracing other processes.
    SysPtrace = 19,
    /// Mounts, namespaces, control groups.
    SysAdmin = 21,
    /// Negative OOM scores and resource limits above the hard limit.
    SysResource = 24,
    /// Device nodes.
    Mknod = 27,
}

impl Capabilities {
    /// The set with the bits of `bits`.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits of the set.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether `capability` is in the set.
    pub const fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }

    /// The `CapEff` line of a `/proc/<pid>/status` text; nothing when there is none.
    pub(super) fn from_status(status: &str) -> Self {
        let bits = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .and_then(|value| u64::from_str_radix(value.trim(), 16).ok());
        Self(bits.unwrap_or_default())
    }
}

impl Capability {
    /// Every capability that the probe reports.
    pub const ALL: &'static [Self] =
        &[Self::NetAdmin, Self::SysChroot, Self::SysPtrace, Self::SysAdmin, Self::SysResource, Self::Mknod];

    /// The kernel's name, such as `CAP_SYS_ADMIN`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::SysChroot => "CAP_SYS_CHROOT",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::SysResource => "CAP_SYS_RESOURCE",
            Self::Mknod => "CAP_MKNOD",
        }
    }
}

impl Serialize for Capabilities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            Capability::ALL.iter().filter(|capability| self.has(**capability)).map(|capability| capability.name()),
        )
    }
}
