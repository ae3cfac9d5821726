//! How long each kind of operation may take: what a step may write itself, and what is the same for all.
//!
//! These are ends of waits for what goes wrong, and no measure of speed: what goes well ends long before.

use std::time::Duration;

use crate::language::{AwaitStep, EventsStep, Period, QuietStep, Step};

/// One call of the compute-driver protocol. A driver that cannot reach its API server answers within 30 s itself.
pub const CALL: Duration = Duration::from_secs(40);

/// One program run of Helm: it renders, and creates a handful of objects.
pub const HELM: Duration = Duration::from_mins(1);

/// From the driver's installation until its pod runs or has ended: it pulls one small image.
pub const DRIVER_START: Duration = Duration::from_mins(1);

/// One run of the probe in a sandbox.
pub const PROBE: Duration = Duration::from_secs(20);

/// Agent Sandbox after a change of it, until it works again; its controller's image may have to be pulled.
pub const CHANGE: Duration = Duration::from_secs(90);

/// An answer of the API server, which itself waits up to 30 s for a converter.
pub const API_ANSWER: Duration = Duration::from_secs(45);

/// A pull by the node's runtime, past the kubelet.
pub const NODE_PULL: Duration = Duration::from_secs(30);

/// A namespace that is being deleted, until it is gone.
pub const NAMESPACE_GONE: Duration = Duration::from_mins(1);

/// An object that the driver has answered for, until it is seen.
pub const OBJECT_SEEN: Duration = Duration::from_secs(10);

/// The driver's Unix socket, until it is there and listens.
pub const SOCKET: Duration = Duration::from_secs(20);

/// A pod past the driver, with its pull, until the image's own program has ended.
pub const IMAGE_RUN: Duration = Duration::from_mins(1);

/// The API server, until it goes by a changed schema.
pub const SCHEMA: Duration = Duration::from_secs(20);

/// A volume, until the cluster knows of it or has bound its claim: two rounds of its controller, and a little.
pub const VOLUME: Duration = Duration::from_secs(40);

/// What `within` of a wait may be: less ends before anything can have happened, more is a scenario that hangs.
pub const WAIT: (Period, Period) = (Period::seconds(1), Period::seconds(300));

/// What `for` of `quiet` may be: less is no time in which something could be seen, more is lost by everybody who waits.
pub const QUIET: (Period, Period) = (Period(Duration::from_millis(100)), Period::seconds(60));

/// A kind of operation, and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeLimit {
    /// The operation, in words.
    pub operation: &'static str,
    /// How long it may take.
    pub limit: Duration,
}

/// The operations of a step that can take time, in their order; none for one that only reads what is at hand.
pub fn of(step: &Step) -> Vec<TimeLimit> {
    let one = |operation, limit| vec![TimeLimit { operation, limit }];
    match step {
        Step::Driver(_) | Step::Upgrade(_) => {
            let helm = TimeLimit { operation: "a run of Helm", limit: HELM };
            vec![helm, TimeLimit { operation: "the start of the driver", limit: DRIVER_START }]
        }
        Step::Render(_) => one("a run of Helm", HELM),
        Step::Capabilities(_)
        | Step::Validate(_)
        | Step::Create(_)
        | Step::Get(_)
        | Step::List(_)
        | Step::Delete(_)
        | Step::Watch(_)
        | Step::Stop(_)
        | Step::Start(_)
        | Step::EnsureWorkspace(_)
        | Step::DeleteWorkspace(_) => one("a call of the driver", CALL),
        Step::Await(AwaitStep { within, .. }) => one("the wait for a state of a pod", within.0),
        Step::Events(EventsStep { until: Some(_), within, .. }) => one("the wait for an event of the driver", within.0),
        Step::Quiet(QuietStep { period, .. }) => one("a stated time, which always passes", period.0),
        Step::Probe(_) => one("a run of the probe", PROBE),
        Step::Change(_) => one("a change of Agent Sandbox", CHANGE),
        Step::Store(_) | Step::Read(_) => one("an answer of the API server", API_ANSWER),
        Step::Preload(_) => one("a pull by the node's runtime", NODE_PULL),
        Step::Schema(_) => one("a change of the schema", SCHEMA),
        Step::LookAt(_) => one("the end of a namespace", NAMESPACE_GONE),
        Step::Volume(_) => one("the binding of a volume", VOLUME),
        Step::Socket(_) => one("the driver's socket", SOCKET),
        Step::Run(_) => one("a run of an image's own program", IMAGE_RUN),
        Step::Remove(remove) if remove.driver || remove.process => one("the start of the driver", DRIVER_START),
        Step::Remove(_) => one("the wait for an object", OBJECT_SEEN),
        Step::Image(_)
        | Step::Secret(_)
        | Step::Inspect(_)
        | Step::Requests(_)
        | Step::Events(_)
        | Step::Installation(_)
        | Step::Rights(_)
        | Step::ServiceAccount(_)
        | Step::Namespace(_)
        | Step::Use(_)
        | Step::ApiServer(_)
        | Step::Taint(_)
        | Step::Rotate(_) => Vec::new(),
    }
}
