//! The expression language of `--cell`, `--scenario` and `when:`.
//!
//! ```text
//! kubernetes>=1.35 && runtime.name==cri-o
//! id ~ "^PS-" && !(tags ~ slow)
//! PS-02
//! ```
//!
//! - A field is a dotted name; a value is a word or a text in quotes.
//! - `==` `!=` `>=` `<=` `>` `<` compare versions with the precision of the right side: 1.36.4 is `==1.36` and `<=1.36`.
//! - `~` is a regular expression, unanchored.
//! - A list is equal to, or matched by, a value when one of its elements is.
//! - A word alone is an ID: it means `id == word`, or `key == word` for one instance such as `"PS-02[registry=plain]"`.
//! - `!` binds tightest, then `&&`, then `||`.
//! - A field that is missing equals nothing, matches nothing and is neither smaller nor greater.

mod error;
mod evaluate;
mod lexer;
mod overlap;
mod parser;
mod version;

#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;

pub use error::ExpressionError;
use parser::Node;

/// A parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    text: String,
    root: Node,
}

impl Expression {
    /// Parses an expression that may read the `known` fields; the error points at the word that is wrong.
    /// `gates.*` in `known` stands for any field below `gates`.
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, ExpressionError> {
        let root = parser::parse(text)?;
        let mut fields = Vec::new();
        root.collect_fields(&mut fields);
        match fields.into_iter().find(|(field, _)| !known.iter().any(|known| is_known(field, known))) {
            Some((field, span)) => Err(ExpressionError::unknown_field(text, field, span, known)),
            None => Ok(Self { text: text.to_owned(), root }),
        }
    }

    /// Whether it holds for these fields.
    pub fn matches(&self, fields: &Value) -> bool {
        evaluate::holds(&self.root, fields)
    }

    /// Whether it reads a field. A bare ID reads `id`.
    pub fn reads(&self, field: &str) -> bool {
        self.fields().contains(&field) || (field == "id" && self.root.names_an_id())
    }

    /// The fields that it reads, in its order.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let mut fields = Vec::new();
        self.root.collect_fields(&mut fields);
        fields.into_iter().map(|(field, _)| field).collect()
    }

    /// Whether it reads any field below `parent`, for example `subject.name` below `subject`.
    pub(crate) fn reads_below(&self, parent: &str) -> bool {
        self.fields().iter().any(|read| read.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.')))
    }

    /// Whether it can hold where these fields are known and nothing is known of all others. What is not decided can.
    pub(crate) fn can_hold_with(&self, known: &Value) -> bool {
        overlap::can_hold(&[&self.root], known).unwrap_or(true)
    }

    /// The text it was parsed from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether some fields fulfil both, where these fields are known; none stands for a condition that always holds.
    /// Two of which that is not decided are taken for excluding each other.
    pub(crate) fn overlap(left: Option<&Self>, right: Option<&Self>, known: &Value) -> bool {
        let nodes: Vec<_> = [left, right].into_iter().flatten().map(|expression| &expression.root).collect();
        overlap::can_hold(&nodes, known).unwrap_or(false)
    }
}

fn is_known(field: &str, known: &str) -> bool {
    match known.strip_suffix(".*") {
        Some(parent) => field.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.')),
        None => field == known,
    }
}

/// The expression in its canonical form, which parses to the same expression.
impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(formatter)
    }
}
