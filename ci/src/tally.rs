//! What a task checked and what it found, in the form that `ci/test` counts.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task of the repository talks to the terminal")]

use std::process::ExitCode;

/// The checks of a task, each with what it found.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    checks: Vec<(String, Vec<String>)>,
}

impl Tally {
    /// Adds a check that passed if `findings` is empty.
    pub(crate) fn add(&mut self, check: impl Into<String>, findings: Vec<String>) {
        self.checks.push((check.into(), findings));
    }

    /// Adds a check that passed if `holds`.
    pub(crate) fn expect(&mut self, check: impl Into<String>, holds: bool, finding: impl FnOnce() -> String) {
        self.add(check, if holds { Vec::new() } else { vec![finding()] });
    }

    /// What was found by all checks.
    #[cfg(test)]
    pub(crate) fn findings(&self) -> Vec<&str> {
        self.checks.iter().flat_map(|(_, findings)| findings).map(String::as_str).collect()
    }

    /// Prints every check and, as the last line, how many passed and failed.
    pub(crate) fn report(&self) -> ExitCode {
        for (check, findings) in &self.checks {
            println!("{} {check}", if findings.is_empty() { "ok    " } else { "FAILED" });
            for finding in findings {
                println!("       {finding}");
            }
        }
        let failed = self.checks.iter().filter(|(_, findings)| !findings.is_empty()).count();
        println!("{} passed, {failed} failed", self.checks.len() - failed);
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Says why a task could not be done.
pub(crate) fn report_error(error: &anyhow::Error) -> ExitCode {
    eprintln!("xtask: {error:#}");
    ExitCode::from(2)
}
