//! A length of time as scenario files write it: `500ms`, `2s`, `1m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// A length of time, written as a whole number with `ms`, `s` or `m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// A text that is not a [`Period`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a length of time, write a whole number and `ms`, `s` or `m`, for example `20s`")]
pub struct ParsePeriodError {
    text: String,
}

impl Period {
    /// A period of whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl FromStr for Period {
    type Err = ParsePeriodError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParsePeriodError { text: text.to_owned() };
        let split = text.find(|character: char| !character.is_ascii_digit()).ok_or_else(error)?;
        let (digits, unit) = text.split_at(split);
        let number: u64 = digits.parse().map_err(|_| error())?;
        let milliseconds = match unit {
            "ms" => Some(number),
            "s" => number.checked_mul(1_000),
            "m" => number.checked_mul(60_000),
            _ => None,
        };
        milliseconds.map(|milliseconds| Self(Duration::from_millis(milliseconds))).ok_or_else(error)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        if milliseconds.is_multiple_of(1_000) {
            write!(formatter, "{}s", milliseconds / 1_000)
        } else {
            write!(formatter, "{milliseconds}ms")
        }
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = Period;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a length of time such as `20s`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Period, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl schemars::JsonSchema for Period {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A length of time: a whole number and `ms`, `s` or `m`.",
            "pattern": "^[0-9]+(ms|s|m)$",
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("500ms", 500)]
    #[case("2s", 2_000)]
    #[case("1m", 60_000)]
    fn reads_what_scenario_files_write(#[case] text: &str, #[case] milliseconds: u64) {
        assert_eq!(text.parse(), Ok(Period(Duration::from_millis(milliseconds))));
    }

    #[rstest]
    #[case("")]
    #[case("20")]
    #[case("s")]
    #[case("-1s")]
    #[case("1.5s")]
    #[case("2 s")]
    #[case("1h")]
    #[case("99999999999999999999s")]
    #[case("18446744073709551615m")]
    fn refuses_anything_else(#[case] text: &str) {
        assert!(text.parse::<Period>().is_err());
    }
}
