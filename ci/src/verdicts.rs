//! What a run must have found, result by result: a report of a driver that lacks things is right when it says so.

use anyhow::{Context, Result, bail};
use camino::Utf8Path;
use sandproof_reports::{CaseResult, Record, Verdict};

use crate::tally::Tally;

/// A result and the verdict that it must have, for example `PS-02[registry=plain]=pass`.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    key: String,
    verdict: Verdict,
}

/// Compares the record's verdicts with `wanted`, in every cell of the record.
pub(crate) fn check(path: &Utf8Path, wanted: &[&str]) -> Result<Tally> {
    let record = Record::read(path)?;
    let wanted: Vec<Wanted> = wanted.iter().map(|text| parse(text)).collect::<Result<_>>()?;
    if wanted.is_empty() {
        bail!("no verdict was named; write RESULT=VERDICT, for example SL-05=unsupported-silent");
    }
    let mut tally = Tally::default();
    tally.expect("there is a cell", !record.cells.is_empty(), || "the record has none".to_owned());
    for cell in &record.cells {
        tally.add(format!("{}: nothing is left behind", cell.name), cell.leftovers.clone());
        for wanted in &wanted {
            tally.add(
                format!("{}: {} is {}", cell.name, wanted.key, wanted.verdict),
                findings(&cell.results, wanted).into_iter().collect(),
            );
        }
    }
    Ok(tally)
}

fn findings(results: &[CaseResult], wanted: &Wanted) -> Option<String> {
    let Some(result) = results.iter().find(|result| result.key() == wanted.key) else {
        return Some("it has no result".to_owned());
    };
    (result.verdict != wanted.verdict).then(|| format!("its verdict is {}", result.verdict))
}

/// The verdict stands behind the last equals sign; a key has such signs too.
fn parse(text: &str) -> Result<Wanted> {
    let (key, verdict) = text.rsplit_once('=').with_context(|| format!("`{text}` is not RESULT=VERDICT"))?;
    let verdict = serde_json::from_value(verdict.into()).with_context(|| format!("`{verdict}` is no verdict"))?;
    Ok(Wanted { key: key.to_owned(), verdict })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("SL-05=unsupported-silent", "SL-05", Verdict::UnsupportedSilent)]
    #[case(
        "PS-02[givenAs=strings,registry=secure]=skipped",
        "PS-02[givenAs=strings,registry=secure]",
        Verdict::Skipped
    )]
    fn a_result_and_its_verdict(#[case] text: &str, #[case] key: &str, #[case] verdict: Verdict) {
        assert_eq!(parse(text).unwrap(), Wanted { key: key.to_owned(), verdict });
    }

    #[rstest]
    #[case("SL-05", "is not RESULT=VERDICT")]
    #[case("SL-05=green", "`green` is no verdict")]
    fn what_is_neither_is_refused(#[case] text: &str, #[case] said: &str) {
        assert!(parse(text).unwrap_err().to_string().contains(said));
    }

    #[rstest]
    #[case("SL-05=pass", None)]
    #[case("SL-05=fail", Some("its verdict is pass"))]
    #[case("SL-06=pass", Some("it has no result"))]
    fn another_verdict_is_found(#[case] wanted: &str, #[case] finding: Option<&str>) {
        let results = [CaseResult::new("SL-05", "a title", Verdict::Pass)];
        assert_eq!(findings(&results, &parse(wanted).unwrap()).as_deref(), finding);
    }
}
