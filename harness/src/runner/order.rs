//! The order in which the results of a cell begin.
//!
//! Results that run side by side begin in an order that a seed decides, so that what depends on the order shows sooner
//! or later, and shows again with the same seed. Those that are tagged as slow begin before the others: nothing is to wait
//! for them at the end. The names of what a result makes do not depend on it.

use sandproof_clusters::registry::random_word;
use sandproof_scenarios::ScenarioInstance;
use sha2::{Digest, Sha256};

/// The positions of a cell's scenarios, in the order in which they begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Those that run side by side.
    pub(crate) together: Vec<usize>,
    /// Those that run one after the other when all others are over, in the order of the plan.
    pub(crate) alone: Vec<usize>,
}

impl Order {
    /// The order that `seed` gives: side by side the slow ones first, and otherwise by the SHA-256 of the seed and the
    /// result's key.
    pub(crate) fn of(scenarios: &[ScenarioInstance], seed: u32) -> Self {
        let (alone, mut together): (Vec<usize>, Vec<usize>) =
            (0..scenarios.len()).partition(|position| scenarios[*position].alone);
        together.sort_by_cached_key(|position| {
            let scenario = &scenarios[*position];
            (!scenario.is_slow(), rank(seed, &scenario.key))
        });
        Self { together, alone }
    }
}

/// A seed that nobody gave.
pub(crate) fn drawn_seed() -> u32 {
    first_bytes(&Sha256::digest(random_word()))
}

fn rank(seed: u32, key: &str) -> [u8; 32] {
    Sha256::digest(format!("{seed}/{key}")).into()
}

fn first_bytes(digest: &[u8]) -> u32 {
    digest.iter().take(4).fold(0, |number, byte| (number << 8) | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite() -> Vec<ScenarioInstance> {
        crate::commands::suite::shipped().instances().cloned().collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_order_and_another_one_another() {
        let suite = suite();
        assert_eq!(Order::of(&suite, 7), Order::of(&suite, 7));
        assert_ne!(Order::of(&suite, 7).together, Order::of(&suite, 8).together);
    }

    #[test]
    fn an_order_has_everything_once_and_leaves_what_runs_alone_in_its_place() {
        let suite = suite();
        let Order { together, alone } = Order::of(&suite, 7);
        assert!(alone.is_sorted() && alone.iter().all(|position| suite[*position].alone));
        let mut all = [together, alone].concat();
        all.sort_unstable();
        assert_eq!(all, (0..suite.len()).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_slow_begins_first() {
        let suite = suite();
        let Order { together, .. } = Order::of(&suite, 7);
        assert!(together.iter().map(|position| !suite[*position].is_slow()).is_sorted());
        assert!(suite[together[0]].is_slow());
    }

    /// A part of the suite runs in the order of the whole, so that a shard or a filter shows what the whole did.
    #[test]
    fn a_part_has_the_order_of_the_whole() {
        let suite = suite();
        let keys = |scenarios: &[ScenarioInstance]| -> Vec<String> {
            Order::of(scenarios, 7).together.iter().map(|position| scenarios[*position].key.clone()).collect()
        };
        let part: Vec<ScenarioInstance> = suite.iter().step_by(3).cloned().collect();
        let of_part = keys(&part);
        let of_whole: Vec<String> = keys(&suite).into_iter().filter(|key| of_part.contains(key)).collect();
        assert_eq!(of_part, of_whole);
    }

    #[test]
    fn a_seed_is_drawn_from_all_numbers() {
        assert_eq!(first_bytes(&[1, 2, 3, 4, 5]), 0x0102_0304);
        assert_eq!(first_bytes(&[0xff; 32]), u32::MAX);
    }
}
