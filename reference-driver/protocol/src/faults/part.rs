//! What can have a fault, and what it takes to give it one.

/// What has a fault: a part of the reference driver, or what it stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The driver's program, which is told of it.
    Driver,
    /// The supervisor's program, which finds its faults in a file beside itself.
    Supervisor,
    /// The chart: a copy of it with these edits.
    Chart(&'static [Edit]),
    /// Agent Sandbox: what is installed of it has this defect.
    AgentSandbox(Defect),
}

/// A defect of what is installed of Agent Sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// The definition of the Sandbox serves an API version that the release does not have, as a copy of the stored one.
    ServesAnotherVersion,
    /// Nothing converts between the API versions of the Sandbox.
    ConvertsNothing,
}

/// An edit of a file of the chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit {
    /// The file, beneath the chart's directory.
    pub file: &'static str,
    /// A text that is in it exactly once.
    pub find: &'static str,
    /// What takes its place.
    pub replace: &'static str,
}
