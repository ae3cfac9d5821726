//! Tokens to a tree.

use std::fmt;
use std::ops::Range;

use regex::Regex;

use super::ExpressionError;
use super::lexer::{Comparison, Token, is_bare, tokens};
use super::version::Version;

/// A tree of an expression. Two trees are equal when they say the same, wherever they were written.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Any(Vec<Node>),
    All(Vec<Node>),
    Not(Box<Node>),
    /// A word alone.
    Id(String),
    Compare {
        field: String,
        span: Range<usize>,
        comparison: Comparison,
        value: Operand,
    },
}

/// The right side of a comparison, prepared.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    pub(super) text: String,
    pub(super) version: Option<Version>,
    /// Present exactly when the comparison is `~`.
    pub(super) pattern: Option<Regex>,
}

pub(super) fn parse(text: &str) -> Result<Node, ExpressionError> {
    let mut parser = Parser { text, tokens: tokens(text)?, position: 0, depth: 0 };
    if parser.tokens.is_empty() {
        return Err(ExpressionError::new(text, "it is empty", 0..text.len())
            .with_help("write a comparison such as `kubernetes>=1.35`, or an ID"));
    }
    let root = parser.any()?;
    match parser.peek() {
        None => Ok(root),
        Some(Token::Close) => Err(parser.error_here("this parenthesis was never opened")),
        Some(_) => Err(parser.error_here("`&&` or `||` is missing before this")),
    }
}

/// Deeper nesting than anyone writes, and far less than a stack holds.
const DEEPEST: usize = 64;

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(Token, Range<usize>)>,
    position: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.position).map(|(token, _)| token)
    }

    fn next(&mut self) -> Option<(Token, Range<usize>)> {
        let next = self.tokens.get(self.position).cloned();
        self.position += 1;
        next
    }

    fn skip(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.position += usize::from(found);
        found
    }

    fn error_here(&self, message: &str) -> ExpressionError {
        let end = self.text.trim_end().len();
        let span = self.tokens.get(self.position).map_or(end..end, |(_, span)| span.clone());
        ExpressionError::new(self.text, message, span)
    }

    fn any(&mut self) -> Result<Node, ExpressionError> {
        let mut terms = vec![self.all()?];
        while self.skip(&Token::Or) {
            terms.push(self.all()?);
        }
        Ok(single_or(terms, Node::Any))
    }

    fn all(&mut self) -> Result<Node, ExpressionError> {
        let mut terms = vec![self.term()?];
        while self.skip(&Token::And) {
            terms.push(self.term()?);
        }
        Ok(single_or(terms, Node::All))
    }

    fn term(&mut self) -> Result<Node, ExpressionError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error_here("it is nested too deeply"));
        }
        let term = self.term_within_depth();
        self.depth -= 1;
        term
    }

    fn term_within_depth(&mut self) -> Result<Node, ExpressionError> {
        if self.skip(&Token::Not) {
            return Ok(Node::Not(Box::new(self.term()?)));
        }
        if self.peek() == Some(&Token::Open) {
            let opened = self.position;
            self.position += 1;
            let inner = self.any()?;
            if self.skip(&Token::Close) {
                return Ok(inner);
            }
            self.position = opened;
            return Err(self.error_here("this parenthesis is not closed"));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Node, ExpressionError> {
        let (field, span) = match self.peek() {
            Some(Token::Word(_) | Token::Quoted(_)) => match self.next() {
                Some((Token::Word(text) | Token::Quoted(text), span)) => (text, span),
                _ => return Err(self.error_here("a field or an ID is missing here")),
            },
            _ => return Err(self.error_here("a field or an ID is missing here")),
        };
        let Some(Token::Compare(comparison)) = self.peek() else { return Ok(Node::Id(field)) };
        let comparison = *comparison;
        self.position += 1;
        if !matches!(self.peek(), Some(Token::Word(_) | Token::Quoted(_))) {
            return Err(self.error_here(&format!("a value is missing after `{}`", comparison.symbol())));
        }
        let Some((Token::Word(text) | Token::Quoted(text), at)) = self.next() else {
            return Err(self.error_here("a value is missing here"));
        };
        let value = self.operand(comparison, text, at)?;
        Ok(Node::Compare { field, span, comparison, value })
    }

    fn operand(&self, comparison: Comparison, text: String, at: Range<usize>) -> Result<Operand, ExpressionError> {
        let version = Version::parse(&text);
        if comparison.is_order() && version.is_none() {
            let message = format!("`{}` compares versions and numbers, and `{text}` is neither", comparison.symbol());
            return Err(ExpressionError::new(self.text, message, at));
        }
        let pattern = if comparison == Comparison::Matches {
            Some(Regex::new(&text).map_err(|error| {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or("").trim_start_matches("error: ").to_owned();
                ExpressionError::new(self.text, format!("`{text}` is not a regular expression: {reason}"), at)
            })?)
        } else {
            None
        };
        Ok(Operand { text, version, pattern })
    }
}

fn single_or(mut terms: Vec<Node>, several: fn(Vec<Node>) -> Node) -> Node {
    match terms.pop() {
        Some(term) if terms.is_empty() => term,
        Some(term) => {
            terms.push(term);
            several(terms)
        }
        None => several(terms),
    }
}

impl Node {
    pub(super) fn collect_fields<'a>(&'a self, into: &mut Vec<(&'a str, Range<usize>)>) {
        match self {
            Self::Any(terms) | Self::All(terms) => terms.iter().for_each(|term| term.collect_fields(into)),
            Self::Not(term) => term.collect_fields(into),
            Self::Id(_) => {}
            Self::Compare { field, span, .. } => into.push((field, span.clone())),
        }
    }

    /// Whether a bare ID is in it.
    pub(super) fn names_an_id(&self) -> bool {
        match self {
            Self::Any(terms) | Self::All(terms) => terms.iter().any(Self::names_an_id),
            Self::Not(term) => term.names_an_id(),
            Self::Id(_) => true,
            Self::Compare { .. } => false,
        }
    }

    /// Shows every comparison: its field, how it compares, and the text on its right side.
    pub(super) fn visit<'a>(&'a self, show: &mut impl FnMut(&'a str, Comparison, &'a str)) {
        match self {
            Self::Any(terms) | Self::All(terms) => terms.iter().for_each(|term| term.visit(show)),
            Self::Not(term) => term.visit(show),
            Self::Id(_) => {}
            Self::Compare { field, comparison, value, .. } => show(field, *comparison, &value.text),
        }
    }

    /// How tightly it binds.
    fn rank(&self) -> u8 {
        match self {
            Self::Any(_) => 0,
            Self::All(_) => 1,
            Self::Not(_) | Self::Id(_) | Self::Compare { .. } => 2,
        }
    }

    fn fmt_inside(&self, formatter: &mut fmt::Formatter<'_>, rank: u8) -> fmt::Result {
        if self.rank() <= rank { write!(formatter, "({self})") } else { write!(formatter, "{self}") }
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any(left), Self::Any(right)) | (Self::All(left), Self::All(right)) => left == right,
            (Self::Not(left), Self::Not(right)) => left == right,
            (Self::Id(left), Self::Id(right)) => left == right,
            (
                Self::Compare { field, comparison, value, .. },
                Self::Compare { field: other_field, comparison: other_comparison, value: other_value, .. },
            ) => field == other_field && comparison == other_comparison && value.text == other_value.text,
            _ => false,
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (terms, separator) = match self {
            Self::Any(terms) => (terms, " || "),
            Self::All(terms) => (terms, " && "),
            Self::Not(term) => {
                formatter.write_str("!")?;
                return term.fmt_inside(formatter, 1);
            }
            Self::Id(id) => return write_word(formatter, id),
            Self::Compare { field, comparison, value, .. } => {
                write_word(formatter, field)?;
                write!(formatter, " {} ", comparison.symbol())?;
                return write_word(formatter, &value.text);
            }
        };
        for (position, term) in terms.iter().enumerate() {
            if position > 0 {
                formatter.write_str(separator)?;
            }
            term.fmt_inside(formatter, self.rank())?;
        }
        Ok(())
    }
}

fn write_word(formatter: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    if is_bare(text) {
        formatter.write_str(text)
    } else {
        write!(formatter, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    }
}
