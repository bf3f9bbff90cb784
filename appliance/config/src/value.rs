//! A value as somebody wrote it, in a file or on the command line.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// What an option's reader gets.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Quoted text of a file.
    Text(String),
    /// A whole number of a file.
    Integer(i64),
    /// Text of the command line, which stands for any kind.
    Flag(String),
    /// A list of texts.
    List(Vec<String>),
    /// Anything else, by the name of its type.
    Other(&'static str),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => write!(f, "{:?}", shortened(text)),
            Value::Flag(text) => write!(f, "{:?}", shortened(text)),
            Value::Integer(number) => write!(f, "{number}"),
            Value::List(texts) => write!(f, "a list of {}", texts.len()),
            Value::Other(kind) => write!(f, "a {kind}"),
        }
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= 60 {
        text.to_owned()
    } else {
        text.chars().take(57).chain("...".chars()).collect()
    }
}

impl Value {
    /// Any text.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) | Value::Flag(text) => Some(text),
            _ => None,
        }
    }

    /// Text that a type can read.
    pub(crate) fn parse<T: FromStr>(&self) -> Option<T> {
        self.text()?.parse().ok()
    }

    /// A number in a range.
    pub(crate) fn number<T: TryFrom<i64> + PartialOrd>(&self, range: RangeInclusive<T>) -> Option<T> {
        let number = match self {
            Value::Integer(number) => *number,
            Value::Flag(text) => text.parse().ok()?,
            _ => return None,
        };
        T::try_from(number).ok().filter(|number| range.contains(number))
    }

    /// One of some names.
    pub(crate) fn one_of<T: Copy>(&self, names: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        names.iter().find(|(name, _)| *name == text).map(|(_, value)| *value)
    }
}
