//! The outer run: makes the PID namespace, waits for the cluster's end, removes what it held.

use std::{fs::File, os::fd::AsFd, process::Stdio, time::Duration};

use camino::Utf8Path;
use rustix::{
    process::{Signal, WaitOptions, pidfd_open, pidfd_send_signal, setsid, wait},
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space},
};

use super::{FIRST_PROCESS, processes::command, report};
use crate::native::{
    plan::{Event, IsolationPlan},
    teardown,
};

/// How long the removal of groups and of the link may take.
const REMOVAL: Duration = Duration::from_secs(5);

/// Starts the first process and outlives it.
pub(super) fn run(path: &Utf8Path) -> Result<(), String> {
    // A Ctrl-C in the harness's terminal is the harness's to handle: it still wants evidence.
    // Failing means that this process leads a session already.
    let _ = setsid();
    let text = std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let plan: IsolationPlan = serde_json::from_slice(&text).map_err(|error| format!("cannot parse {path}: {error}"))?;
    start_first_process(path)?;
    let dismissed = wait_for_first_process()?;
    let leftovers = remove(&plan, dismissed)?;
    report::send(&Event::Ended { leftovers });
    Ok(())
}

/// Starts this program again as PID 1 of a new PID namespace.
fn start_first_process(plan: &Utf8Path) -> Result<(), String> {
    let own = File::open("/proc/self/ns/pid").map_err(|error| format!("cannot open /proc/self/ns/pid: {error}"))?;
    #[expect(unsafe_code, reason = "unshare(2); the file descriptor table stays shared, which is what makes it unsafe")]
    // SAFETY: `CLONE_FILES` is not among the flags.
    let unshared = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWPID) };
    unshared.map_err(|error| format!("cannot make a PID namespace (needs root with CAP_SYS_ADMIN): {error}"))?;
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let child = command(&program)
        .arg(FIRST_PROCESS)
        .arg(plan)
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    // Later children belong to the host's namespace again: the other one dies with its PID 1.
    if let Err(error) = move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::ProcessID)) {
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = pidfd_open(pid, rustix::process::PidfdFlags::empty())
                .and_then(|handle| pidfd_send_signal(handle, Signal::KILL));
        }
        return Err(format!("cannot return to the host's PID namespace: {error}"));
    }
    Ok(())
}

/// Waits for the only child; whether it ended because its lifeline closed, and not by force.
fn wait_for_first_process() -> Result<bool, String> {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(status) => return Ok(status.is_some_and(|(_, status)| status.exit_status() == Some(0))),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(format!("cannot wait for the first process: {error}")),
        }
    }
}

/// Removes what the cluster held outside of its namespaces. When the first process ended by force
/// and the harness lives, the directory and the ledger entry are the harness's to remove: it may
/// want the logs first.
fn remove(plan: &IsolationPlan, dismissed: bool) -> Result<Vec<String>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let groups: Vec<_> = plan.cgroups.hierarchies.iter().map(|subtree| subtree.directory.clone()).collect();
    runtime.block_on(async {
        let mut leftovers = teardown::remove_groups(&groups, REMOVAL).await;
        leftovers.extend(teardown::remove_link(&plan.link).await);
        if leftovers.is_empty() && (dismissed || !plan.owner.is_alive()) {
            leftovers.extend(teardown::remove_directory(&plan.directory).await);
            if leftovers.is_empty() {
                let _ = std::fs::remove_file(&plan.ledger_entry);
            }
        }
        Ok(leftovers)
    })
}
