//! Checks: what must be true of the observations.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

/// One check: a place in the observations, one matcher, and why it matters.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// The path of what is looked at; its first key is the name of an observation.
    pub at: String,
    /// What must be true of it.
    pub matcher: Matcher,
    /// Why, in words that make sense in a report.
    pub because: Option<String>,
    /// An expression on the probed facts and on `param.NAME`; where it does not hold, the check is left out.
    pub when: Option<String>,
}

impl Check {
    /// Puts the name that a subject gives the agent container in place of the one that scenarios use.
    pub(crate) fn call_agent(&mut self, usual: &str, name: &str) {
        let renamed = |path: &str| path.replace(&format!("[name={usual}]"), &format!("[name={name}]"));
        self.at = renamed(&self.at);
        match &mut self.matcher {
            Matcher::SameAs(path) | Matcher::Mentions(path) => *path = renamed(path),
            Matcher::Equals(value) if self.at.ends_with(".container") && *value == usual => *value = name.into(),
            _ => {}
        }
    }
}

/// What must be true of the value at a path.
#[derive(Debug, Clone, PartialEq)]
pub enum Matcher {
    /// It equals this.
    Equals(Value),
    /// It does not equal this.
    NotEquals(Value),
    /// It equals one of these.
    OneOf(Vec<Value>),
    /// A text contains this text, a list this element, an object these fields.
    Contains(Value),
    /// It exists and does not contain this.
    NotContains(Value),
    /// A text matches this regular expression (unanchored).
    Matches(String),
    /// It exists and is not null.
    Present,
    /// It is missing or null.
    Absent,
    /// It is missing, null, or has no elements.
    Empty,
    /// A list or an object has exactly this many elements.
    Count(u64),
    /// A number is at least this.
    AtLeast(f64),
    /// A number is at most this.
    AtMost(f64),
    /// It equals the value at this other path.
    SameAs(String),
    /// Somewhere in it is a text that contains the text at this other path.
    Mentions(String),
}

/// A check: a place in the observations, exactly one matcher, and why it matters.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Check")]
struct CheckFields {
    /// The path of what is looked at; its first key is the name of an observation.
    at: String,
    /// It equals this.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    equals: Option<Value>,
    /// It does not equal this.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    not_equals: Option<Value>,
    /// It equals one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    one_of: Option<Vec<Value>>,
    /// A text contains this text, a list this element, an object these fields.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    contains: Option<Value>,
    /// It exists and does not contain this.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    not_contains: Option<Value>,
    /// A text matches this regular expression (unanchored).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    matches: Option<String>,
    /// It exists and is not null. Only `true` can be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    present: Option<OnlyTrue>,
    /// It is missing or null. Only `true` can be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    absent: Option<OnlyTrue>,
    /// It is missing, null, or has no elements. Only `true` can be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    empty: Option<OnlyTrue>,
    /// A list or an object has exactly this many elements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// A number is at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_least: Option<f64>,
    /// A number is at most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_most: Option<f64>,
    /// It equals the value at this other path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    same_as: Option<String>,
    /// Somewhere in it is a text that contains the text at this other path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mentions: Option<String>,
    /// Why, in words that make sense in a report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    because: Option<String>,
    /// An expression on the probed facts and on `param.NAME`; where it does not hold, the check is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    when: Option<String>,
}

/// A matcher without an argument is written `present: true`; `false` would read as its opposite and is refused.
#[derive(Debug, Clone, Copy)]
struct OnlyTrue;

impl Matcher {
    /// The other path that it refers to.
    pub(crate) fn other_path(&self) -> Option<&str> {
        match self {
            Self::SameAs(path) | Self::Mentions(path) => Some(path),
            _ => None,
        }
    }

    /// Whether it says that something is *not* there: then it must hold for every element that a filter selects.
    pub fn is_negative(&self) -> bool {
        matches!(self, Self::NotEquals(_) | Self::NotContains(_) | Self::Absent | Self::Empty)
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equals(value) => write!(formatter, "{}", Plain(value)),
            Self::NotEquals(value) => write!(formatter, "anything but {}", Plain(value)),
            Self::OneOf(values) => {
                formatter.write_str("one of ")?;
                for (position, value) in values.iter().enumerate() {
                    let separator = if position == 0 { "" } else { ", " };
                    write!(formatter, "{separator}{}", Plain(value))?;
                }
                Ok(())
            }
            Self::Contains(value) => write!(formatter, "something with {}", Plain(value)),
            Self::NotContains(value) => write!(formatter, "something without {}", Plain(value)),
            Self::Matches(pattern) => write!(formatter, "a text that matches /{pattern}/"),
            Self::Present => formatter.write_str("a value"),
            Self::Absent => formatter.write_str("nothing"),
            Self::Empty => formatter.write_str("nothing or something empty"),
            Self::Count(1) => formatter.write_str("1 element"),
            Self::Count(number) => write!(formatter, "{number} elements"),
            Self::AtLeast(number) => write!(formatter, "at least {number}"),
            Self::AtMost(number) => write!(formatter, "at most {number}"),
            Self::SameAs(path) => write!(formatter, "the same as at {path}"),
            Self::Mentions(path) => write!(formatter, "a mention of what is at {path}"),
        }
    }
}

/// A value as a sentence shows it: a text that is one word without quotes, everything else as JSON.
pub(crate) struct Plain<'a>(pub(crate) &'a Value);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::String(text) if !text.is_empty() && !text.contains(char::is_whitespace) => formatter.write_str(text),
            other => write!(formatter, "{other}"),
        }
    }
}

impl<'de> Deserialize<'de> for Check {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = CheckFields::deserialize(deserializer)?;
        let mut matchers = [
            fields.equals.map(Matcher::Equals),
            fields.not_equals.map(Matcher::NotEquals),
            fields.one_of.map(Matcher::OneOf),
            fields.contains.map(Matcher::Contains),
            fields.not_contains.map(Matcher::NotContains),
            fields.matches.map(Matcher::Matches),
            fields.present.map(|OnlyTrue| Matcher::Present),
            fields.absent.map(|OnlyTrue| Matcher::Absent),
            fields.empty.map(|OnlyTrue| Matcher::Empty),
            fields.count.map(Matcher::Count),
            fields.at_least.map(Matcher::AtLeast),
            fields.at_most.map(Matcher::AtMost),
            fields.same_as.map(Matcher::SameAs),
            fields.mentions.map(Matcher::Mentions),
        ]
        .into_iter()
        .flatten();
        match (matchers.next(), matchers.next()) {
            (Some(matcher), None) => Ok(Self { at: fields.at, matcher, because: fields.because, when: fields.when }),
            (None, _) => Err(de::Error::custom("a check needs a matcher, for example `equals`")),
            (Some(_), Some(_)) => {
                Err(de::Error::custom("a check has exactly one matcher, write a second check for the other one"))
            }
        }
    }
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = CheckFields {
            at: self.at.clone(),
            because: self.because.clone(),
            when: self.when.clone(),
            ..Default::default()
        };
        match self.matcher.clone() {
            Matcher::Equals(value) => fields.equals = Some(value),
            Matcher::NotEquals(value) => fields.not_equals = Some(value),
            Matcher::OneOf(values) => fields.one_of = Some(values),
            Matcher::Contains(value) => fields.contains = Some(value),
            Matcher::NotContains(value) => fields.not_contains = Some(value),
            Matcher::Matches(pattern) => fields.matches = Some(pattern),
            Matcher::Present => fields.present = Some(OnlyTrue),
            Matcher::Absent => fields.absent = Some(OnlyTrue),
            Matcher::Empty => fields.empty = Some(OnlyTrue),
            Matcher::Count(number) => fields.count = Some(number),
            Matcher::AtLeast(number) => fields.at_least = Some(number),
            Matcher::AtMost(number) => fields.at_most = Some(number),
            Matcher::SameAs(path) => fields.same_as = Some(path),
            Matcher::Mentions(path) => fields.mentions = Some(path),
        }
        fields.serialize(serializer)
    }
}

impl JsonSchema for Check {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Check".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        CheckFields::json_schema(generator)
    }
}

/// Keeps `equals: null` apart from an `equals` that is not there.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for OnlyTrue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if bool::deserialize(deserializer)? {
            Ok(Self)
        } else {
            Err(de::Error::custom("only `true` can be given; write the opposite matcher instead of `false`"))
        }
    }
}

impl Serialize for OnlyTrue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

impl JsonSchema for OnlyTrue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OnlyTrue".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"const": true})
    }
}
