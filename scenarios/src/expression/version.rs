//! Versions as people write them: `1.35`, `v1.36.4`, `v1.34.6+k3s1`, `2.2.0-rc.1`; a plain number is one too.

use std::cmp::Ordering;

/// Numbers between dots, and what follows a hyphen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    numbers: Vec<u64>,
    pre_release: Option<String>,
}

impl Version {
    /// Reads a version; a leading `v` and what follows `+` say nothing about order.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split('+').next().unwrap_or(text);
        let (numbers, pre_release) = match text.split_once('-') {
            Some((numbers, pre_release)) if !pre_release.is_empty() => (numbers, Some(pre_release.to_owned())),
            Some(_) => return None,
            None => (text, None),
        };
        let numbers = numbers
            .split('.')
            .map(|part| part.chars().all(|digit| digit.is_ascii_digit()).then(|| part.parse().ok()).flatten())
            .collect::<Option<Vec<u64>>>()?;
        Some(Self { numbers, pre_release })
    }

    /// How it stands to `bound`, looking no further than `bound` is precise:
    /// against 1.36 it is 1.36.4's minor that counts, and a pre-release only counts against a full version.
    pub(super) fn compare(&self, bound: &Self) -> Ordering {
        for (position, number) in bound.numbers.iter().enumerate() {
            let own = self.numbers.get(position).copied().unwrap_or(0);
            match own.cmp(number) {
                Ordering::Equal => {}
                different => return different,
            }
        }
        if bound.numbers.len() < 3 && bound.pre_release.is_none() {
            return Ordering::Equal;
        }
        match (&self.pre_release, &bound.pre_release) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(own), Some(other)) => compare_identifiers(own, other),
        }
    }
}

/// The rule of semver: numbers by value and before words, words by letters, more identifiers after fewer.
fn compare_identifiers(left: &str, right: &str) -> Ordering {
    let mut left = left.split('.');
    let mut right = right.split('.');
    loop {
        let (own, other) = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(own), Some(other)) => (own, other),
        };
        let order = match (own.parse::<u64>(), other.parse::<u64>()) {
            (Ok(own), Ok(other)) => own.cmp(&other),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => own.cmp(other),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}
