//! What has to differ from an ordinary cluster because of the host.
//!
//! An adaptation is part of what was tested: it is made only where the probe shows the need, and
//! named in the report.

use serde::{Deserialize, Serialize};

use crate::{
    host::{Capability, Host},
    oci_runtime::Adjustments,
};

/// A difference from an ordinary cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Adaptation {
    /// Its name, such as `drop-hugepage-limits`.
    pub name: String,
    /// What of the host made it necessary.
    pub reason: String,
}

/// Which bundle adjustments this host needs.
pub(crate) fn adjustments(host: &Host) -> Adjustments {
    // What a user other than root lacks says nothing of the engine that runs the nodes for it.
    let limited = host.root && !host.capabilities.has(Capability::SysResource);
    Adjustments { drop_hugepage_limits: !host.hugetlb, raise_oom_scores: limited, clamp_resource_limits: limited }
}

/// The adaptations that a cluster on this host has.
pub(crate) fn named(host: &Host) -> Vec<Adaptation> {
    let mut named = named_adjustments(adjustments(host));
    if host.cgroup.is_v1() {
        named.push(adaptation(
            "allow-cgroup-v1",
            "the host has cgroup v1, which the kubelet of 1.35 and later refuses unless failCgroupV1 is false",
        ));
    }
    named
}

/// The adaptations that adjusted bundles are.
pub(crate) fn named_adjustments(adjustments: Adjustments) -> Vec<Adaptation> {
    let mut named = Vec::new();
    if adjustments.drop_hugepage_limits {
        named.push(adaptation(
            "drop-hugepage-limits",
            "no hugetlb controller is mounted, so a hugepage limit cannot be set",
        ));
    }
    if adjustments.raise_oom_scores {
        named.push(adaptation("raise-oom-scores", "root lacks CAP_SYS_RESOURCE, so a negative OOM score is refused"));
    }
    if adjustments.clamp_resource_limits {
        named.push(adaptation(
            "clamp-resource-limits",
            "root lacks CAP_SYS_RESOURCE, so a limit above the hard limit is refused",
        ));
    }
    named
}

fn adaptation(name: &str, reason: &str) -> Adaptation {
    Adaptation { name: name.to_owned(), reason: reason.to_owned() }
}
