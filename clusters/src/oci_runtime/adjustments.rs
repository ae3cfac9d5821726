//! Changes to an OCI bundle that make it acceptable to a limited host.

use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which changes to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Adjustments {
    /// Drop `linux.resources.hugepageLimits`, where no hugetlb controller is mounted.
    pub drop_hugepage_limits: bool,
    /// Raise a negative `process.oomScoreAdj` to 0, where root lacks `CAP_SYS_RESOURCE`.
    pub raise_oom_scores: bool,
    /// Lower `process.rlimits` to the hard limits of the caller, for the same reason.
    pub clamp_resource_limits: bool,
}

/// The resource limits of OCI with the kernel's.
const RESOURCES: [(&str, Resource); 16] = [
    ("RLIMIT_AS", Resource::As),
    ("RLIMIT_CORE", Resource::Core),
    ("RLIMIT_CPU", Resource::Cpu),
    ("RLIMIT_DATA", Resource::Data),
    ("RLIMIT_FSIZE", Resource::Fsize),
    ("RLIMIT_LOCKS", Resource::Locks),
    ("RLIMIT_MEMLOCK", Resource::Memlock),
    ("RLIMIT_MSGQUEUE", Resource::Msgqueue),
    ("RLIMIT_NICE", Resource::Nice),
    ("RLIMIT_NOFILE", Resource::Nofile),
    ("RLIMIT_NPROC", Resource::Nproc),
    ("RLIMIT_RSS", Resource::Rss),
    ("RLIMIT_RTPRIO", Resource::Rtprio),
    ("RLIMIT_RTTIME", Resource::Rttime),
    ("RLIMIT_SIGPENDING", Resource::Sigpending),
    ("RLIMIT_STACK", Resource::Stack),
];

impl Adjustments {
    /// Whether there is anything to adjust.
    pub const fn any(self) -> bool {
        self.drop_hugepage_limits || self.raise_oom_scores || self.clamp_resource_limits
    }

    /// Adjusts a bundle's `config.json`; tells whether it changed.
    pub fn adjust_bundle(self, bundle: &mut Value) -> bool {
        let mut changed = false;
        if self.drop_hugepage_limits
            && let Some(resources) = bundle.pointer_mut("/linux/resources").and_then(Value::as_object_mut)
        {
            changed |= resources.remove("hugepageLimits").is_some();
        }
        if let Some(process) = bundle.get_mut("process") {
            changed |= self.adjust_process(process);
        }
        changed
    }

    /// Adjusts a process, of a bundle or of an `exec`; tells whether it changed.
    pub fn adjust_process(self, process: &mut Value) -> bool {
        let mut changed = false;
        if self.raise_oom_scores
            && let Some(score) = process.get_mut("oomScoreAdj")
            && score.as_i64().is_some_and(|score| score < 0)
        {
            *score = Value::from(0);
            changed = true;
        }
        if self.clamp_resource_limits
            && let Some(limits) = process.get_mut("rlimits").and_then(Value::as_array_mut)
        {
            for limit in limits {
                changed |= clamp(limit, hard_limit);
            }
        }
        changed
    }
}

/// Lowers one limit to the hard limit of its resource; none is unlimited.
fn clamp(limit: &mut Value, hard_limit: impl Fn(&str) -> Option<u64>) -> bool {
    let Some(highest) = limit["type"].as_str().and_then(hard_limit) else {
        return false;
    };
    let mut changed = false;
    for end in ["hard", "soft"] {
        if limit[end].as_u64().is_some_and(|value| value > highest) {
            limit[end] = Value::from(highest);
            changed = true;
        }
    }
    changed
}

fn hard_limit(name: &str) -> Option<u64> {
    RESOURCES.iter().find(|(known, _)| *known == name).and_then(|(_, resource)| getrlimit(*resource).maximum)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALL: Adjustments =
        Adjustments { drop_hugepage_limits: true, raise_oom_scores: true, clamp_resource_limits: true };
    const NONE: Adjustments =
        Adjustments { drop_hugepage_limits: false, raise_oom_scores: false, clamp_resource_limits: false };

    fn bundle() -> Value {
        json!({
            "process": {"oomScoreAdj": -998, "args": ["/pause"], "rlimits": []},
            "linux": {"resources": {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}], "memory": {"limit": 1}}}
        })
    }

    #[test]
    fn a_bundle_loses_what_the_host_refuses_and_nothing_else() {
        let mut bundle = bundle();
        assert!(ALL.adjust_bundle(&mut bundle));
        assert_eq!(
            bundle,
            json!({
                "process": {"oomScoreAdj": 0, "args": ["/pause"], "rlimits": []},
                "linux": {"resources": {"memory": {"limit": 1}}}
            })
        );
        assert!(!ALL.adjust_bundle(&mut bundle), "a second time changes nothing");
    }

    #[test]
    fn nothing_enabled_changes_nothing() {
        let mut adjusted = bundle();
        assert!(!NONE.adjust_bundle(&mut adjusted));
        assert_eq!(adjusted, bundle());
        assert!(!NONE.any());
    }

    #[test]
    fn a_positive_oom_score_stays() {
        let mut process = json!({"oomScoreAdj": 1000});
        assert!(!ALL.adjust_process(&mut process));
        assert_eq!(process["oomScoreAdj"], 1000);
    }

    #[test]
    fn limits_are_lowered_to_the_hard_limit() {
        let mut limit = json!({"type": "RLIMIT_NOFILE", "hard": 1_048_576, "soft": 1024});
        assert!(clamp(&mut limit, |_| Some(20_000)));
        assert_eq!(limit, json!({"type": "RLIMIT_NOFILE", "hard": 20_000, "soft": 1024}));
        assert!(!clamp(&mut limit, |_| None), "unlimited");
        assert!(!clamp(&mut json!({"hard": 1}), |_| Some(0)), "no type");
    }
}
