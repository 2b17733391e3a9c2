//! Pattern texts in, [`Pattern`]s out, and back for messages.
//!
//! ```text
//! pattern   = option { "|" option }
//! option    = any | none | bool | int | int[lo..hi] | float | number      int[..]: 64 bits
//!           | str | str[max] | str{a-z0-9} | str[max]{...} | 'literal'
//!           | bytes | bytes[n] | bytes[lo..hi] | bytearray | buffer
//!           | list | list(pattern) | dict | set | frozenset | tuple | tuple(pattern)
//!           | "(" item { "," item } ")"            item = pattern [ "?" | "*" ]
//!           | @class | @any | @module:name         a global: constructible, any, that very one
//!           | #any | #trusted | #module:name       an instance: any, of a user's class, of that class
//!           | attrs | slots | !rule
//! arguments = pattern [ ";" ( "**any" | name "=" pattern { "," name "=" pattern } ) ]
//! ```
//! `?` and `*` stand after a whole item and apply to all its alternatives. Never matches anything itself.
use std::fmt;

use super::pattern::{Arguments, Item, Keywords, Pattern, Repeat};
use super::rules::Rule;

/// A pattern text that does not parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// What is wrong, with the rest of the text.
    pub message: String,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PatternError {}

/// Words that stand for a pattern without parts.
const WORDS: &[(&str, Pattern)] = &[
    ("any", Pattern::Any),
    ("none", Pattern::None),
    ("bool", Pattern::Bool),
    ("float", Pattern::Float),
    ("number", Pattern::Number),
    ("bytearray", Pattern::ByteArray),
    ("buffer", Pattern::Buffer),
    ("dict", Pattern::Dict),
    ("set", Pattern::Set),
    ("frozenset", Pattern::FrozenSet),
    ("attrs", Pattern::Attrs),
    ("slots", Pattern::Slots),
];

type Parsed<T> = Result<T, PatternError>;

impl Pattern {
    /// Parses a pattern text.
    pub fn parse(text: &str) -> Parsed<Pattern> {
        let mut cursor = Cursor { rest: text };
        let pattern = cursor.pattern()?;
        cursor.end()?;
        Ok(pattern)
    }
}

impl Arguments {
    /// Parses an arguments text.
    pub fn parse(text: &str) -> Parsed<Arguments> {
        let mut cursor = Cursor { rest: text };
        let positional = cursor.pattern()?;
        let mut keywords = Keywords::Empty;
        if cursor.eat(";") {
            keywords = if cursor.eat("**any") { Keywords::Any } else { cursor.keywords()? };
        }
        cursor.end()?;
        Ok(Arguments { positional, keywords })
    }
}

struct Cursor<'t> {
    rest: &'t str,
}

impl<'t> Cursor<'t> {
    fn fail<T>(&self, expected: &str) -> Parsed<T> {
        Err(PatternError { message: format!("expected {expected} at {:?}", self.rest) })
    }

    fn eat(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn need(&mut self, token: &str) -> Parsed<()> {
        if self.eat(token) {
            Ok(())
        } else {
            self.fail(token)
        }
    }

    fn end(&mut self) -> Parsed<()> {
        self.rest = self.rest.trim_start();
        if self.rest.is_empty() {
            Ok(())
        } else {
            self.fail("the end")
        }
    }

    /// The longest run of characters that `keep` accepts.
    fn take(&mut self, keep: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !keep(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn until(&mut self, close: char) -> Parsed<&'t str> {
        match self.rest.split_once(close) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => self.fail(&close.to_string()),
        }
    }

    fn pattern(&mut self) -> Parsed<Pattern> {
        let mut options = vec![self.option()?];
        while self.eat("|") {
            options.push(self.option()?);
        }
        Ok(if options.len() == 1 { options.remove(0) } else { Pattern::OneOf(options) })
    }

    fn option(&mut self) -> Parsed<Pattern> {
        if self.eat("(") {
            return self.items();
        }
        if self.eat("'") {
            return Ok(Pattern::Literal(self.until('\'')?.to_owned()));
        }
        if self.eat("!") {
            let name = self.take(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '_');
            return Rule::parse(name).map(Pattern::Rule).ok_or(PatternError { message: format!("no rule {name:?}") });
        }
        if self.eat("@") {
            return Ok(match self.name()? {
                (Some(module), name) => Pattern::Global { module, name },
                (None, word) if word == "class" => Pattern::Class,
                (None, word) if word == "any" => Pattern::AnyGlobal,
                _ => return self.fail("class, any or module:name"),
            });
        }
        if self.eat("#") {
            return Ok(match self.name()? {
                (Some(module), name) => Pattern::Instance { module, name },
                (None, word) if word == "any" => Pattern::AnyInstance,
                (None, word) if word == "trusted" => Pattern::TrustedInstance,
                _ => return self.fail("any, trusted or module:name"),
            });
        }
        self.word()
    }

    fn word(&mut self) -> Parsed<Pattern> {
        let word = self.take(|c| c.is_ascii_lowercase());
        if let Some((_, pattern)) = WORDS.iter().find(|(known, _)| *known == word) {
            return Ok(pattern.clone());
        }
        match word {
            "int" => {
                let bounded = self.rest.starts_with('[');
                let (low, high) = self.range()?;
                // A range of any kind excludes integers wider than 64 bits.
                Ok(Pattern::Int { low: if bounded { low.or(Some(i64::MIN)) } else { None }, high })
            }
            "bytes" => {
                let (low, high) = self.range()?;
                let low = u64::try_from(low.unwrap_or(0)).or_else(|_| self.fail("a length"))?;
                let high = high.map(u64::try_from).transpose().or_else(|_| self.fail("a length"))?;
                Ok(Pattern::Bytes { low, high })
            }
            "str" => self.string(),
            "list" => Ok(Pattern::List(self.each()?)),
            "tuple" => Ok(Pattern::Tuple(self.each()?)),
            _ => self.fail("a pattern"),
        }
    }

    /// `[n]`, `[lo..hi]` with either side open, or nothing.
    fn range(&mut self) -> Parsed<(Option<i64>, Option<i64>)> {
        if !self.eat("[") {
            return Ok((None, None));
        }
        let inside = self.until(']')?;
        let number = |text: &str| -> Parsed<Option<i64>> {
            let text = text.trim();
            if text.is_empty() {
                return Ok(None);
            }
            text.parse().map(Some).map_err(|_| PatternError { message: format!("not a number: {text:?}") })
        };
        match inside.split_once("..") {
            Some((low, high)) => Ok((number(low)?, number(high)?)),
            None => match number(inside)? {
                Some(exact) => Ok((Some(exact), Some(exact))),
                None => self.fail("a range"),
            },
        }
    }

    fn string(&mut self) -> Parsed<Pattern> {
        let max = match self.range()? {
            (_, None) => None,
            (_, Some(high)) => Some(usize::try_from(high).or_else(|_| self.fail("a length"))?),
        };
        let mut charset = None;
        if self.rest.starts_with('{') {
            self.rest = &self.rest[1..];
            charset = Some(ranges(self.until('}')?));
        }
        Ok(Pattern::Str { max, charset })
    }

    fn each(&mut self) -> Parsed<Option<Box<Pattern>>> {
        if !self.rest.starts_with('(') {
            return Ok(None);
        }
        self.need("(")?;
        let pattern = self.pattern()?;
        self.need(")")?;
        Ok(Some(Box::new(pattern)))
    }

    fn items(&mut self) -> Parsed<Pattern> {
        let mut items: Vec<Item> = Vec::new();
        while !self.eat(")") {
            if let Some(last) = items.last() {
                self.need(",")?;
                if last.repeat == Repeat::Many {
                    return self.fail("nothing after a repeated item, but )");
                }
            }
            let pattern = self.pattern()?;
            let repeat = if self.eat("?") {
                Repeat::Optional
            } else if self.eat("*") {
                Repeat::Many
            } else {
                Repeat::Once
            };
            if repeat == Repeat::Once && items.last().is_some_and(|last| last.repeat == Repeat::Optional) {
                return self.fail("only optional items after an optional one");
            }
            items.push(Item { pattern, repeat });
        }
        Ok(Pattern::Items(items))
    }

    /// `module:name`, or a single word.
    fn name(&mut self) -> Parsed<(Option<String>, String)> {
        let ident = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        let first = self.take(ident);
        if !self.rest.starts_with(':') {
            return Ok((None, first.to_owned()));
        }
        self.rest = &self.rest[1..];
        let name = self.take(ident);
        if first.is_empty() || name.is_empty() {
            return self.fail("module:name");
        }
        Ok((Some(first.to_owned()), name.to_owned()))
    }

    fn keywords(&mut self) -> Parsed<Keywords> {
        let mut names = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            let name = self.take(|c| c.is_alphanumeric() || c == '_').to_owned();
            self.need("=")?;
            names.push((name, self.pattern()?));
            if !self.eat(",") {
                return Ok(Keywords::Named(names));
            }
        }
    }
}

/// `a-z0-9_` as ranges; a dash first or last stands for itself.
fn ranges(text: &str) -> Vec<(char, char)> {
    let chars: Vec<char> = text.chars().collect();
    let mut set = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if at + 2 < chars.len() && chars[at + 1] == '-' {
            set.push((chars[at], chars[at + 2]));
            at += 3;
        } else {
            set.push((chars[at], chars[at]));
            at += 1;
        }
    }
    set
}

impl fmt::Display for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.positional)?;
        match &self.keywords {
            Keywords::Empty => Ok(()),
            Keywords::Any => f.write_str("; **any"),
            Keywords::Named(names) => {
                for (at, (name, pattern)) in names.iter().enumerate() {
                    write!(f, "{}{name}={pattern}", if at == 0 { "; " } else { ", " })?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = |value: &Option<i64>| value.map_or_else(String::new, |value| value.to_string());
        match self {
            Pattern::Int { low: None, high: None } => f.write_str("int"),
            Pattern::Int { low, high } => write!(f, "int[{}..{}]", bound(low), bound(high)),
            Pattern::Str { max, charset } => {
                f.write_str("str")?;
                if let Some(max) = max {
                    write!(f, "[{max}]")?;
                }
                let Some(set) = charset else { return Ok(()) };
                let each = set.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") });
                write!(f, "{{{}}}", each.collect::<String>())
            }
            Pattern::Literal(text) => write!(f, "'{text}'"),
            Pattern::Bytes { low: 0, high: None } => f.write_str("bytes"),
            Pattern::Bytes { low, high: Some(high) } if low == high => write!(f, "bytes[{low}]"),
            Pattern::Bytes { low, high } => {
                write!(f, "bytes[{low}..{}]", high.map_or_else(String::new, |high| high.to_string()))
            }
            Pattern::List(None) => f.write_str("list"),
            Pattern::List(Some(each)) => write!(f, "list({each})"),
            Pattern::Tuple(None) => f.write_str("tuple"),
            Pattern::Tuple(Some(each)) => write!(f, "tuple({each})"),
            Pattern::Items(items) => {
                f.write_str("(")?;
                for (at, item) in items.iter().enumerate() {
                    let suffix = match item.repeat {
                        Repeat::Once => "",
                        Repeat::Optional => "?",
                        Repeat::Many => "*",
                    };
                    write!(f, "{}{}{suffix}", if at == 0 { "" } else { ", " }, item.pattern)?;
                }
                f.write_str(")")
            }
            Pattern::Class => f.write_str("@class"),
            Pattern::AnyGlobal => f.write_str("@any"),
            Pattern::Global { module, name } => write!(f, "@{module}:{name}"),
            Pattern::AnyInstance => f.write_str("#any"),
            Pattern::TrustedInstance => f.write_str("#trusted"),
            Pattern::Instance { module, name } => write!(f, "#{module}:{name}"),
            Pattern::State => f.write_str("attrs | slots | any"),
            Pattern::Rule(rule) => write!(f, "!{}", rule.name()),
            Pattern::OneOf(options) => {
                for (at, option) in options.iter().enumerate() {
                    write!(f, "{}{option}", if at == 0 { "" } else { " | " })?;
                }
                Ok(())
            }
            plain => f.write_str(WORDS.iter().find(|(_, known)| known == plain).map_or("?", |(word, _)| word)),
        }
    }
}
