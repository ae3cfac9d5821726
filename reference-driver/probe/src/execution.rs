//! Runs a program to see whether it can be run.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Serialize;
use tokio::process::Command;
use tokio::time::timeout;

/// How long a program may take to print its version.
const DEADLINE: Duration = Duration::from_secs(5);
/// The most output that is reported, in characters.
const OUTPUT_LIMIT: usize = 2000;

/// How running a program with `--version` ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Execution {
    ok: bool,
    exit_code: Option<i32>,
    stdout: String,
    error: Option<String>,
}

/// Runs `program --version`.
pub(crate) async fn of(program: &Path) -> Execution {
    #[expect(clippy::disallowed_methods, reason = "a guest program; the process wrapper belongs to the host side")]
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
    match timeout(DEADLINE, command.output()).await {
        Err(_) => failed(format!("did not end within {} s", DEADLINE.as_secs())),
        Ok(Err(error)) => failed(error.to_string()),
        Ok(Ok(output)) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().chars().take(OUTPUT_LIMIT).collect();
            let complaint: String = text(&output.stderr);
            Execution {
                ok: output.status.success(),
                exit_code: output.status.code(),
                stdout: text(&output.stdout),
                error: Some(complaint).filter(|complaint| !complaint.is_empty()),
            }
        }
    }
}

fn failed(error: String) -> Execution {
    Execution { ok: false, exit_code: None, stdout: String::new(), error: Some(error) }
}
