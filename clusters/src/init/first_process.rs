//! The inner run: PID 1 of the cluster.

use std::{fs, io::BufRead, thread, time::Instant};

use camino::Utf8Path;
use rustix::{
    process::{Signal, set_parent_process_death_signal},
    system::sethostname,
    thread::UnshareFlags,
};
use tokio::sync::mpsc;

use super::{cgroups, mounts, network, orchestration, report};
use crate::native::plan::{Command, Event, INSIDE, IsolationPlan, Milestone, START_PLAN, StartPlan};

/// What the harness's end of the lifeline said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lifeline {
    /// A command.
    Says(Command),
    /// The harness has ended or let go.
    Closed,
}

/// Isolates this process, then runs the cluster until the lifeline closes.
pub(super) fn run(plan: &Utf8Path) -> Result<(), String> {
    let began = Instant::now();
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| format!("cannot ask to die with the parent process: {error}"))?;
    let plan: IsolationPlan = read_json(plan)?;
    let pid = own_number()?;
    cgroups::enter(&plan.cgroups)?;
    unshare()?;
    sethostname(plan.host_name.as_bytes()).map_err(|error| format!("cannot set the host name: {error}"))?;
    mounts::build(&plan.directory)?;
    cgroups::mount_view(&plan.cgroups)?;
    report::send(&Event::Isolated { pid });
    report::send(&reached(Milestone::Isolated, began));

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let result = runtime.block_on(live(began));
    // Blocked threads must not hold up the end.
    runtime.shutdown_background();
    result
}

pub(super) fn reached(milestone: Milestone, began: Instant) -> Event {
    let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Event::Reached { milestone, milliseconds }
}

async fn live(began: Instant) -> Result<(), String> {
    let mut lifeline = lifeline();
    let mut kept = false;
    let mut cluster = None;
    loop {
        match lifeline.recv().await {
            Some(Lifeline::Says(Command::Keep)) => kept = true,
            Some(Lifeline::Says(Command::Start)) if cluster.is_none() => {
                let plan: StartPlan = read_json(&Utf8Path::new(INSIDE).join(START_PLAN))?;
                network::configure(&plan)?;
                network::reaches_registries(&plan)?;
                cluster = Some(tokio::spawn(orchestration::run(plan, began)));
            }
            Some(Lifeline::Says(Command::Start)) => {}
            Some(Lifeline::Closed) | None if kept => std::future::pending::<()>().await,
            Some(Lifeline::Closed) | None => return Ok(()),
        }
    }
}

/// Reads standard input in a thread of its own, because such a read cannot be cancelled.
fn lifeline() -> mpsc::UnboundedReceiver<Lifeline> {
    let (sender, receiver) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if let Some(command) = Command::parse(&line)
                && sender.send(Lifeline::Says(command)).is_err()
            {
                return;
            }
        }
        let _ = sender.send(Lifeline::Closed);
    });
    receiver
}

/// This process's number as the host counts, which the host's `/proc` knows.
fn own_number() -> Result<i32, String> {
    fs::read_link("/proc/self")
        .ok()
        .and_then(|target| target.to_str()?.parse().ok())
        .ok_or_else(|| "cannot read /proc/self: is /proc mounted?".to_owned())
}

fn unshare() -> Result<(), String> {
    let flags = UnshareFlags::NEWNS
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWCGROUP
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWIPC;
    #[expect(unsafe_code, reason = "unshare(2); the file descriptor table stays shared, which is what makes it unsafe")]
    // SAFETY: `CLONE_FILES` is not among the flags.
    let result = unsafe { rustix::thread::unshare_unsafe(flags) };
    result.map_err(|error| format!("cannot make namespaces (needs root with CAP_SYS_ADMIN): {error}"))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Utf8Path) -> Result<T, String> {
    let text = fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    serde_json::from_slice(&text).map_err(|error| format!("cannot parse {path}: {error}"))
}
