//! What happens during a run, as typed events.
//!
//! The runner prints nothing: it emits these, and sinks consume them with exhaustive
//! matches, so that a new event forces a decision in each of them.

use jiff::Timestamp;
use sandproof_reports::Verdict;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::runner::spent::Spent;

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "event")]
pub(crate) enum Event {
    /// The run begins.
    RunStarted { run: String, profile: String, cells: Vec<String>, results: usize, seed: u32 },
    /// How many cells run at once, and why; `clusters` may exist, with those that are being deleted.
    CellsAtOnce { cells: usize, at_once: usize, clusters: usize, reason: String },
    /// Debian packages that the host lacks are being installed.
    HostInstalling { packages: Vec<String> },
    /// A component is on its way.
    Component {
        component: String,
        version: String,
        step: String,
        elapsed: f64,
        detail: String,
        done: bool,
        remaining: usize,
    },
    /// A phase of a cell begins.
    PhaseStarted { cell: String, phase: &'static str },
    /// A phase of a cell is over.
    PhaseFinished { cell: String, phase: &'static str, seconds: f64 },
    /// A point of a cell's life, in seconds since its creation began.
    Milestone { cell: String, name: String, seconds: f64 },
    /// What a cell's cluster took in all, as its control groups counted before it was deleted.
    CellUsage { cell: String, cpu_seconds: Option<f64>, peak_memory_bytes: Option<u64> },
    /// Something about a cell that a reader of the report should know.
    CellNote { cell: String, text: String },
    /// A scenario begins.
    ScenarioStarted { cell: String, scenario: String, title: String },
    /// A step of a scenario begins.
    StepStarted { cell: String, scenario: String, step: String },
    /// A scenario has its verdict; `spent` is where its seconds went.
    ScenarioFinished {
        cell: String,
        scenario: String,
        verdict: Verdict,
        expected: bool,
        seconds: f64,
        spent: Spent,
        summary: String,
    },
    /// Something of a result that had its verdict did not go: the result is red for that.
    LeftBehind { cell: String, scenario: String, objects: Vec<String> },
    /// A program of a cluster ended while it was needed.
    ComponentDied { cell: String, component: String, log: Vec<String> },
    /// A signal asks the run to end.
    Interrupted { signal: String },
    /// Something went wrong that does not end the run.
    Warning { text: String },
    /// The record is written.
    RunFinished { exit_code: u8, seconds: f64, cpu_seconds: f64, peak_memory_bytes: u64, out: String },
}

/// An event with its time.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Stamped {
    /// When it happened.
    pub(crate) at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub(crate) event: Event,
}

/// Consumes events.
pub(crate) trait Sink: Send {
    /// Takes one event; a sink never fails the run.
    fn take(&mut self, event: &Stamped);

    /// The last event has been taken.
    fn finish(&mut self) {}
}

/// The sending end.
#[derive(Debug, Clone)]
pub(crate) struct Events(mpsc::UnboundedSender<Stamped>);

/// The task that feeds the sinks.
#[derive(Debug)]
pub(crate) struct EventPump(tokio::task::JoinHandle<()>);

impl Events {
    /// Starts the task that feeds `sinks`, in order, each event once.
    pub(crate) fn start(mut sinks: Vec<Box<dyn Sink>>) -> (Self, EventPump) {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Stamped>();
        let pump = tokio::spawn(async move {
            while let Some(event) = receiver.recv().await {
                for sink in &mut sinks {
                    sink.take(&event);
                }
            }
            for sink in &mut sinks {
                sink.finish();
            }
        });
        (Self(sender), EventPump(pump))
    }

    /// Emits an event.
    pub(crate) fn emit(&self, event: Event) {
        // Without a pump there is nobody left to tell.
        let _ = self.0.send(Stamped { at: Timestamp::now(), event });
    }
}

impl EventPump {
    /// Waits until every sink has seen the last event; all senders must be gone.
    pub(crate) async fn drain(self) {
        let wait = tokio::time::timeout(std::time::Duration::from_secs(5), self.0);
        let _ = wait.await;
    }
}
