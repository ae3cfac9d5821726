//! The cluster's end of the link, set up from inside its network namespace.

use std::{fs, io::Write, process::Stdio};

use super::processes::command;
use crate::native::plan::StartPlan;

/// Settings of the network namespace: routing between the pods' bridge and the link.
const SETTINGS: [(&str, &str); 2] = [
    ("/proc/sys/net/ipv4/ip_forward", "1"),
    ("/proc/sys/net/ipv4/conf/all/rp_filter", "0"),
];

/// Name of the link inside.
pub(crate) const LINK: &str = "eth0";

/// Brings `lo` and the link up with the node's address and a default route.
pub(super) fn configure(plan: &StartPlan) -> Result<(), String> {
    for (path, value) in SETTINGS {
        fs::write(path, value).map_err(|error| format!("cannot write {value} to {path}: {error}"))?;
    }
    let batch = format!(
        "link set lo up\naddress add {}/{} dev {LINK}\nlink set {LINK} up\nroute add default via {}\n",
        plan.node_address, plan.prefix, plan.host_address
    );
    let failed = |what: String| format!("cannot set up the cluster's network with `ip -batch -`: {what}");
    let mut child = command("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(batch.as_bytes()).map_err(|error| failed(error.to_string()))?;
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
