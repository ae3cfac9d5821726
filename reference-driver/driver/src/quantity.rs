//! Kubernetes' quantities: `500m`, `2`, `1.5Gi`, `1e3`.

use std::str::FromStr;

/// The longest quantity that is accepted, in bytes.
const LENGTH_LIMIT: usize = 64;
const PROBLEM: &str = "must be a quantity such as 500m, 2 or 1Gi, and not negative";

/// The power of ten that a unit stands for, and whether it is binary.
const DECIMAL_UNITS: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
/// The power of two that a binary unit stands for.
const BINARY_UNITS: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

/// A quantity that is not negative, in billionths: Kubernetes rounds up what is finer, and stops at 2^63 - 1 units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(u128);

const BILLION: u128 = 1_000_000_000;
const LARGEST: u128 = (i64::MAX as u128) * BILLION;

/// Why `text` is not a non-negative Kubernetes quantity, or nothing if it is one.
pub fn problem(text: &str) -> Option<&'static str> {
    text.parse::<Quantity>().err()
}

impl Quantity {
    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether it is a whole number of units.
    pub fn is_whole(self) -> bool {
        self.0.is_multiple_of(BILLION)
    }

    /// Whether it is a whole number of this many units.
    pub fn is_multiple_of(self, units: u64) -> bool {
        self.0.is_multiple_of(u128::from(units) * BILLION)
    }
}

impl FromStr for Quantity {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > LENGTH_LIMIT {
            return Err(PROBLEM);
        }
        let number = text.strip_prefix('+').unwrap_or(text);
        let end =
            number.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(number.len());
        let (digits, suffix) = number.split_at(end);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(PROBLEM);
        }
        if let Some((_, power)) = BINARY_UNITS.iter().find(|(unit, _)| *unit == suffix) {
            return Ok(scaled(whole, fraction, 0, 1 << power));
        }
        let power = match DECIMAL_UNITS.iter().find(|(unit, _)| *unit == suffix) {
            Some((_, power)) => *power,
            None => exponent(suffix).ok_or(PROBLEM)?,
        };
        Ok(scaled(whole, fraction, power, 1))
    }
}

/// `e3`, `E-3`; up to three digits.
fn exponent(suffix: &str) -> Option<i32> {
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let is_good = (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_good { exponent.parse().ok() } else { None }
}

/// `whole.fraction` times ten to the power, times the factor, rounded up and bounded.
fn scaled(whole: &str, fraction: &str, power: i32, factor: u128) -> Quantity {
    // Up to 64 digits do not fit into a number: those below a billionth only round up, those above the bound only reach it.
    let digits = whole.bytes().chain(fraction.bytes()).map(|byte| u128::from(byte - b'0'));
    let places = i32::try_from(fraction.len()).unwrap_or(i32::MAX);
    let mut value: u128 = 0;
    let mut shift = power + 9 - places;
    for digit in digits {
        match value.checked_mul(10).and_then(|value| value.checked_add(digit)) {
            Some(next) => value = next,
            None => shift += 1,
        }
    }
    let mut rest = false;
    while shift < 0 && value != 0 {
        rest |= !value.is_multiple_of(10);
        value /= 10;
        shift += 1;
    }
    while shift > 0 && value != 0 && value <= LARGEST {
        value = value.saturating_mul(10);
        shift -= 1;
    }
    let value = value.saturating_mul(factor).saturating_add(u128::from(rest));
    Quantity(value.min(LARGEST))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1", true)]
    #[case("500m", true)]
    #[case("1.5Gi", true)]
    #[case(".5", true)]
    #[case("5.", true)]
    #[case("1e3", true)]
    #[case("1E-3", true)]
    #[case("2E", true)]
    #[case("", false)]
    #[case("-1", false)]
    #[case(".", false)]
    #[case("1.2.3", false)]
    #[case("1 Gi", false)]
    #[case("1gb", false)]
    #[case("1e", false)]
    #[case("1e+-3", false)]
    #[case("1\n", false)]
    fn quantities_are_recognised(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(problem(text).is_none(), valid);
    }

    #[rstest]
    #[case("1", "1000m")]
    #[case("1.5Gi", "1536Mi")]
    #[case("1Ki", "1024")]
    #[case("1k", "1e3")]
    #[case("0.1n", "1n")]
    #[case("1e999", "9223372036854775807")]
    #[case("1e-999", "1n")]
    #[case("0e999", "0")]
    #[case("00001", "1")]
    fn equal_quantities(#[case] one: &str, #[case] other: &str) {
        assert_eq!(one.parse::<Quantity>(), other.parse::<Quantity>());
    }

    #[test]
    fn wholeness() {
        let quantity = |text: &str| text.parse::<Quantity>().unwrap();
        assert!(quantity("2000m").is_whole());
        assert!(!quantity("2500m").is_whole());
        assert!(quantity("4Mi").is_multiple_of(2 << 20));
        assert!(!quantity("3Mi").is_multiple_of(2 << 20));
        assert!(quantity("0Gi").is_zero());
    }

    proptest! {
        #[test]
        fn whole_numbers_are_ordered_as_they_are(one in 0..=i64::MAX, other in 0..=i64::MAX) {
            let quantity = |number: i64| number.to_string().parse::<Quantity>().unwrap();
            prop_assert_eq!(quantity(one).cmp(&quantity(other)), one.cmp(&other));
        }

        #[test]
        fn nothing_panics(text in "[0-9.eEnumkMGTPi+-]{0,70}") {
            let _ = text.parse::<Quantity>();
        }
    }
}
