//! The clauses of the contract, and that each of them is run or said not to be.

use std::collections::BTreeSet;

use camino::Utf8Path;

use super::suite::shipped;
use crate::NotRun;

/// Every clause by its area and its number. A new clause is added here first.
const CLAUSES: &[(&str, &[u8])] = &[
    ("AV", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("DC", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
    ("OP", &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ("OV", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
    ("PS", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23]),
    ("RB", &[1, 2]),
    ("RT", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("SL", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 23]),
    ("ST", &[1, 2, 3, 4]),
];

#[test]
fn every_clause_is_run_or_said_not_to_be() {
    let suite = shipped();
    let file = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("not-run.yaml");
    let not_run = NotRun::load(&file, &suite).unwrap_or_else(|errors| panic!("{}", super::rendered(&errors)));
    let run = suite.scenarios.iter().map(|scenario| scenario.id.clone());
    let found: BTreeSet<String> = run.chain(not_run.into_iter().map(|clause| clause.id)).collect();
    let clauses: BTreeSet<String> = CLAUSES
        .iter()
        .flat_map(|(area, numbers)| numbers.iter().map(move |number| format!("{area}-{number:02}")))
        .collect();
    assert_eq!(found, clauses);
}
