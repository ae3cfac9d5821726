//! Text to tokens.

use std::ops::Range;

use super::ExpressionError;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Quoted(String),
    Compare(Comparison),
    And,
    Or,
    Not,
    Open,
    Close,
}

/// An operator between a field and a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    AtLeast,
    AtMost,
    Greater,
    Less,
    Matches,
}

impl Comparison {
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::Less => "<",
            Self::Matches => "~",
        }
    }

    pub(super) fn is_order(self) -> bool {
        matches!(self, Self::AtLeast | Self::AtMost | Self::Greater | Self::Less)
    }
}

/// Two-character symbols come first, so that the first that fits is the longest.
const SYMBOLS: [(&str, Token); 11] = [
    ("==", Token::Compare(Comparison::Equal)),
    ("!=", Token::Compare(Comparison::NotEqual)),
    (">=", Token::Compare(Comparison::AtLeast)),
    ("<=", Token::Compare(Comparison::AtMost)),
    ("&&", Token::And),
    ("||", Token::Or),
    (">", Token::Compare(Comparison::Greater)),
    ("<", Token::Compare(Comparison::Less)),
    ("~", Token::Compare(Comparison::Matches)),
    ("!", Token::Not),
    ("(", Token::Open),
];

pub(super) fn tokens(text: &str) -> Result<Vec<(Token, Range<usize>)>, ExpressionError> {
    let mut found = Vec::new();
    let mut position = 0;
    while let Some(character) = text[position..].chars().next() {
        let rest = &text[position..];
        let (token, length) = if character.is_whitespace() {
            position += character.len_utf8();
            continue;
        } else if let Some((symbol, token)) = SYMBOLS.iter().find(|(symbol, _)| rest.starts_with(symbol)) {
            (token.clone(), symbol.len())
        } else if character == ')' {
            (Token::Close, 1)
        } else if character == '"' || character == '\'' {
            quoted(text, position, character)?
        } else if is_bare_character(character) {
            let length = rest.find(|character| !is_bare_character(character)).unwrap_or(rest.len());
            (Token::Word(rest[..length].to_owned()), length)
        } else {
            return Err(unexpected(text, position, character));
        };
        found.push((token, position..position + length));
        position += length;
    }
    Ok(found)
}

/// The text in quotes at `start`, and the length including the quotes. A backslash keeps the quote or backslash after it.
fn quoted(text: &str, start: usize, quote: char) -> Result<(Token, usize), ExpressionError> {
    let mut value = String::new();
    let mut characters = text[start + 1..].char_indices().peekable();
    while let Some((offset, character)) = characters.next() {
        match character {
            '\\' if characters.peek().is_some_and(|(_, next)| *next == quote || *next == '\\') => {
                if let Some((_, next)) = characters.next() {
                    value.push(next);
                }
            }
            _ if character == quote => return Ok((Token::Quoted(value), offset + 2)),
            _ => value.push(character),
        }
    }
    Err(ExpressionError::new(text, "the quote is not closed", start..text.len()))
}

fn unexpected(text: &str, position: usize, character: char) -> ExpressionError {
    let span = position..position + character.len_utf8();
    let error = ExpressionError::new(text, format!("`{character}` has no meaning here"), span);
    match character {
        '=' => error.with_help("equality is written `==`"),
        '&' => error.with_help("both is written `&&`"),
        '|' => error.with_help("either is written `||`"),
        _ => error.with_help("put a value with other characters than letters, digits and `.-_+/:*@` in quotes"),
    }
}

fn is_bare_character(character: char) -> bool {
    character.is_alphanumeric() || ".-_+/:*@".contains(character)
}

/// Whether a value needs no quotes.
pub(super) fn is_bare(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_bare_character)
}
