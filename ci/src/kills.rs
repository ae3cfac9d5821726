//! What `selftest kills` found: whatever kills the harness, and when, nothing is left behind.

use anyhow::{Context, Result};
use camino::Utf8Path;
use serde::Deserialize;

use crate::tally::Tally;

#[derive(Deserialize)]
struct Kills {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    provider: String,
    phase: String,
    signal: String,
    leftovers: Vec<String>,
    /// Whether the run ended as the signal demands, too: with its exit code and its record.
    ok: bool,
}

pub(crate) fn check(path: &Utf8Path) -> Result<Tally> {
    let text = fs_err::read_to_string(path)?;
    let found: Kills = serde_json::from_str(&text).with_context(|| format!("reading {path}"))?;
    Ok(judge(found))
}

fn judge(found: Kills) -> Tally {
    let mut tally = Tally::default();
    tally.expect("the harness was killed at all", !found.cases.is_empty(), || "there is no case".to_owned());
    for case in found.cases {
        let name = format!("{}, {} during {}", case.provider, case.signal, case.phase);
        tally.expect(format!("{name}: the run ended as it should"), case.ok || !case.leftovers.is_empty(), || {
            "it did not: `selftest kills` without --json shows how".to_owned()
        });
        tally.add(format!("{name}: nothing is left"), case.leftovers);
    }
    tally
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::clean(r#"[{"provider": "native", "phase": "create", "signal": "SIGKILL", "leftovers": [], "ok": true}]"#, &[])]
    #[case::left(r#"[{"provider": "native", "phase": "create", "signal": "SIGKILL", "leftovers": ["veth x"], "ok": false}]"#, &["veth x"])]
    #[case::wrong_exit(
        r#"[{"provider": "native", "phase": "create", "signal": "SIGINT", "leftovers": [], "ok": false}]"#,
        &["it did not: `selftest kills` without --json shows how"]
    )]
    #[case::none("[]", &["there is no case"])]
    fn what_is_left_is_a_finding(#[case] cases: &str, #[case] findings: &[&str]) {
        let found = serde_json::from_str(&format!(r#"{{"cases": {cases}}}"#)).unwrap();
        assert_eq!(judge(found).findings(), findings);
    }
}
