//! The cluster's end of the link, set up from inside its network namespace.

use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpStream},
    process::Stdio,
    time::Duration,
};

use super::processes::command;
use crate::native::plan::StartPlan;

/// Settings of the network namespace: routing between the pods' bridge and the link.
const SETTINGS: [(&str, &str); 2] =
    [("/proc/sys/net/ipv4/ip_forward", "1"), ("/proc/sys/net/ipv4/conf/all/rp_filter", "0")];

/// How long a connection to the host may take to open; it takes less than a millisecond.
const REACH: Duration = Duration::from_secs(5);

/// Name of the link inside.
pub(crate) const LINK: &str = "eth0";

/// Brings `lo` and the link up with the node's address and a default route, and lets pods out
/// under the node's address, as clusters usually do: the host knows no way back to a pod.
pub(super) fn configure(plan: &StartPlan) -> Result<(), String> {
    for (path, value) in SETTINGS {
        fs::write(path, value).map_err(|error| format!("cannot write {value} to {path}: {error}"))?;
    }
    let addresses = format!(
        "link set lo up\naddress add {}/{} dev {LINK}\nlink set {LINK} up\nroute add default via {}\n",
        plan.node_address, plan.prefix, plan.host_address
    );
    feed("ip", &["-batch", "-"], &addresses)?;
    let masquerade = format!(
        "table ip sandproof {{ chain out {{ type nat hook postrouting priority srcnat; \
         ip saddr {} oifname \"{LINK}\" masquerade; }}; }}\n",
        plan.pod_range
    );
    feed("nft", &["-f", "-"], &masquerade)
}

/// Connects to the registries on the host: what keeps the node from them would show only as pulls that time out.
pub(super) fn reaches_registries(plan: &StartPlan) -> Result<(), String> {
    for registry in &plan.registries {
        let failed = |found: String| {
            format!(
                "the node cannot reach this host's registry at {registry}: {found}; a firewall of the host may drop what \
                 comes from the cluster's link"
            )
        };
        let address: SocketAddr = registry.parse().map_err(|_| failed("it is no address and port".to_owned()))?;
        TcpStream::connect_timeout(&address, REACH).map_err(|error| failed(error.to_string()))?;
    }
    Ok(())
}

/// Runs a program with `text` on its standard input.
fn feed(program: &str, arguments: &[&str], text: &str) -> Result<(), String> {
    let failed =
        |what: String| format!("cannot set up the cluster's network with `{program} {}`: {what}", arguments.join(" "));
    let mut child = command(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(text.as_bytes()).map_err(|error| failed(error.to_string()))?;
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
