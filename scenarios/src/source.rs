//! A YAML file as a tree that remembers where everything was written.
//!
//! Scenario files are read in two steps: to this tree, and from it (with parameters in place) to typed values.
//! An error of the second step names a path, and the tree turns the path into a line and a caret.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use serde::de::{self, DeserializeOwned, MapAccess, SeqAccess};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};
use serde_path_to_error::Segment;
use serde_saphyr::{Location, Spanned};

use crate::expression::ExpressionError;
use crate::nearest::did_you_mean;
use crate::suite_error::SuiteError;
use crate::yaml;

/// A parsed YAML file.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    file: Utf8PathBuf,
    text: Arc<str>,
    root: Node,
    value: Value,
}

/// A step from a node to one inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

#[derive(Debug, Clone)]
struct Node {
    span: Range<usize>,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(String, Range<usize>, Node)>),
}

impl Document {
    pub(crate) fn parse(file: &Utf8Path, text: &str) -> Result<Self, SuiteError> {
        let text: Arc<str> = Arc::from(text);
        let root: Spanned<Content> = yaml::from_str(&text).map_err(|error| {
            let span = error.location().map_or(0..0, |location| place_of(&location, &text));
            SuiteError::new(yaml_message(&error), file).at(&text, span)
        })?;
        let root = Node::from(root);
        let value = root.value();
        Ok(Self { file: file.to_owned(), text, root, value })
    }

    /// The file's content without places.
    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    /// Reads a type from `value`, which has the shape of this document.
    pub(crate) fn read<T: DeserializeOwned>(&self, value: &Value) -> Result<T, SuiteError> {
        serde_path_to_error::deserialize(value).map_err(|error| {
            let mut path: Vec<Step> = error
                .path()
                .iter()
                .map_while(|segment| match segment {
                    Segment::Seq { index } => Some(Step::Index(*index)),
                    Segment::Map { key } => Some(Step::Key(key.clone())),
                    Segment::Enum { variant } => Some(Step::Key(variant.clone())),
                    Segment::Unknown => None,
                })
                .collect();
            let text = error.into_inner().to_string();
            let (message, help) = explain(&text);
            let unknown_key = ["unknown field `", "unknown step `"].iter().find_map(|kind| message.strip_prefix(kind));
            if let Some(key) = unknown_key.and_then(|rest| rest.split('`').next()) {
                // The key itself is wrong, not what it holds.
                if path.last() != Some(&Step::Key(key.to_owned())) {
                    path.push(Step::Key(key.to_owned()));
                }
                let span = self.key_span(&path);
                return SuiteError::new(message, &self.file).at(&self.text, span).with_optional_help(help);
            }
            self.error(message, &path).with_optional_help(help)
        })
    }

    /// An error at what `path` leads to; where the path leads to nothing, at the last part of it that exists.
    pub(crate) fn error(&self, message: impl Into<String>, path: &[Step]) -> SuiteError {
        SuiteError::new(message, &self.file).at(&self.text, self.span(path))
    }

    /// An error inside the text at `path`, at the word that is wrong.
    pub(crate) fn expression_error(&self, error: &ExpressionError, path: &[Step]) -> SuiteError {
        let mut span = self.span(path);
        let inside = self.text.get(span.clone()).and_then(|written| written.find(error.expression()));
        if let Some(offset) = inside {
            let start = span.start + offset;
            span = start + error.span().start..start + error.span().end;
        }
        SuiteError::new(error.message(), &self.file)
            .at(&self.text, span)
            .with_optional_help(error.advice().map(str::to_owned))
    }

    /// The bytes of the scalar that `path` leads to.
    pub(crate) fn place(&self, path: &[Step]) -> Range<usize> {
        self.span(path)
    }

    /// The lines of an entry of a list in block style, from its hyphen up to the next entry's, or to what is written
    /// between the two.
    pub(crate) fn list_entry(&self, list: &[Step], position: usize) -> Range<usize> {
        let first_line = |position: usize| {
            let path = [list, &[position.into()]].concat();
            let (_, node) = self.locate(&path);
            let is_entry = matches!(&self.locate(list).1.content, Content::List(entries) if position < entries.len());
            is_entry.then(|| self.text[..node.span.start].rfind('\n').map_or(0, |newline| newline + 1))
        };
        let start = first_line(position).unwrap_or(self.text.len());
        let mut end = first_line(position + 1).unwrap_or(self.text.len());
        // Comments and empty lines in front of the next entry are about that one.
        while let Some(line) = self.text[start..end].lines().next_back() {
            if !(line.trim().is_empty() || line.trim_start().starts_with('#')) {
                break;
            }
            let before = &self.text[..end];
            let before = before.strip_suffix('\n').unwrap_or(before);
            end = before.rfind('\n').map_or(start, |newline| newline + 1).max(start);
        }
        start..end
    }

    fn key_span(&self, path: &[Step]) -> Range<usize> {
        self.locate(path).0
    }

    fn span(&self, path: &[Step]) -> Range<usize> {
        let (key, node) = self.locate(path);
        match (&node.content, key.is_empty()) {
            (Content::Scalar(_), _) if !node.span.is_empty() => node.span.clone(),
            // An entry of a list has no key of its own: its first key stands for it.
            (Content::Map(entries), true) => entries.first().map_or(node.span.clone(), |(_, span, _)| span.clone()),
            (_, true) => node.span.clone(),
            (_, false) => key,
        }
    }

    /// The last node on the path that exists, and the place of its key; an entry of a list has an empty one.
    fn locate(&self, path: &[Step]) -> (Range<usize>, &Node) {
        let mut key = 0..0;
        let mut node = &self.root;
        for step in path {
            let inner = match (step, &node.content) {
                (Step::Key(wanted), Content::Map(entries)) => {
                    entries.iter().find(|(key, _, _)| key == wanted).map(|(_, span, inner)| (span.clone(), inner))
                }
                (Step::Index(position), Content::List(elements)) => elements.get(*position).map(|inner| (0..0, inner)),
                _ => None,
            };
            let Some(inner) = inner else { break };
            (key, node) = inner;
        }
        (key, node)
    }
}

/// What serde says, in the words of this language, and what to do about it.
fn explain(text: &str) -> (String, Option<String>) {
    if let Some((unknown, known)) = text.split_once(", expected ") {
        let word = unknown.split('`').nth(1).unwrap_or_default();
        let words = || known.split('`').skip(1).step_by(2);
        let kind = if let Some(rest) = unknown.strip_prefix("unknown field") {
            Some(format!("unknown field{rest}"))
        } else if let Some(rest) = unknown.strip_prefix("unknown variant") {
            // The only set of variants with this one is that of the verbs.
            let what = if words().any(|word| word == "capabilities") { "step" } else { "value" };
            Some(format!("unknown {what}{rest}"))
        } else {
            None
        };
        if let Some(message) = kind {
            let help = did_you_mean(word, words()).unwrap_or_else(|| match words().count() {
                0 => "nothing can be given here".to_owned(),
                _ => format!("known here: {}", words().collect::<Vec<_>>().join(", ")),
            });
            return (message, Some(help));
        }
        if known == "map with a single key" {
            return ("a step is a map with one key, its verb".to_owned(), None);
        }
        return (text.replacen(": map,", ": a map,", 1), None);
    }
    (text.to_owned(), None)
}

fn yaml_message(error: &serde_saphyr::Error) -> String {
    let message = error.without_snippet().to_string();
    // The place is shown by the diagnostic itself, and the parser's options are not the reader's to set.
    let end = [" at line ", ", set DuplicateKeyPolicy"].iter().filter_map(|tail| message.find(tail)).min();
    message[..end.unwrap_or(message.len())].to_owned()
}

/// A place in the text; an error of the parser itself may know the line and the column only.
fn place_of(location: &Location, text: &str) -> Range<usize> {
    if location.span().byte_offset().is_some() {
        return byte_range(location);
    }
    let number = |value: u64| usize::try_from(value).unwrap_or(1).saturating_sub(1);
    let start: usize = text.split_inclusive('\n').take(number(location.line())).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    let start = start + rest.chars().take(number(location.column())).map(char::len_utf8).sum::<usize>();
    start..start
}

/// The bytes of a place in the text; both ends are on character boundaries, as the parser counts whole characters.
fn byte_range(location: &Location) -> Range<usize> {
    let span = location.span();
    let offset = |bytes: Option<u64>| bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
    let start = offset(span.byte_offset());
    start..start + offset(span.byte_len())
}

impl From<Spanned<Content>> for Node {
    fn from(spanned: Spanned<Content>) -> Self {
        Self { span: byte_range(&spanned.referenced), content: spanned.value }
    }
}

impl Node {
    fn value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(elements) => elements.iter().map(Self::value).collect(),
            Content::Map(entries) => {
                Value::Object(entries.iter().map(|(key, _, node)| (key.clone(), node.value())).collect::<Map<_, _>>())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Anything;

        impl<'de> de::Visitor<'de> for Anything {
            type Value = Content;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("YAML")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
                Ok(Content::Scalar(Value::Bool(value)))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
                Ok(Content::Scalar(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
                Ok(Content::Scalar(value.into()))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Content, E> {
                let number =
                    Number::from_f64(value).ok_or_else(|| E::custom("this number cannot be written in JSON"))?;
                Ok(Content::Scalar(Value::Number(number)))
            }

            fn visit_str<E>(self, value: &str) -> Result<Content, E> {
                Ok(Content::Scalar(value.into()))
            }

            fn visit_unit<E>(self) -> Result<Content, E> {
                Ok(Content::Scalar(Value::Null))
            }

            fn visit_none<E>(self) -> Result<Content, E> {
                Ok(Content::Scalar(Value::Null))
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
                Content::deserialize(deserializer)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Content, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = elements.next_element::<Spanned<Content>>()? {
                    list.push(Node::from(element));
                }
                Ok(Content::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Content, A::Error> {
                let mut map = Vec::new();
                while let Some((key, value)) = entries.next_entry::<Spanned<String>, Spanned<Content>>()? {
                    map.push((key.value, byte_range(&key.referenced), Node::from(value)));
                }
                Ok(Content::Map(map))
            }
        }

        deserializer.deserialize_any(Anything)
    }
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(position: usize) -> Self {
        Self::Index(position)
    }
}
