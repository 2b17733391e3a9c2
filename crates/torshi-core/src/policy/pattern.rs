//! Argument patterns: a small language for what a call, a construction or a state may be given.
//!
//! A pattern text from a table is parsed once and then matched against values seen through [`View`], which the
//! symbolic machine implements. Matching never builds anything and fails closed: what a view cannot show
//! (contents of opaque text, an unknown count) matches only patterns that do not ask for it. `syntax.rs` has the parser.
use super::row::Row;
use super::rules::{content, Rule};

pub use super::syntax::PatternError;

/// What a rule or a pattern can see of a value.
#[derive(Debug)]
pub enum Shape<'a, V> {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(i64),
    /// A wider integer: the length of its two's complement form, or an upper bound of it.
    BigInt {
        /// Length in bytes.
        bytes: usize,
    },
    /// A float.
    Float(f64),
    /// A string whose characters the stream holds as UTF-8 (or as ASCII or latin-1 of a Python 2 string).
    Text(&'a str),
    /// A string whose characters are not known here (surrogates, other decodings).
    OpaqueText,
    /// Immutable bytes in the stream.
    Bytes(&'a [u8]),
    /// A bytearray in the stream.
    ByteArray(&'a [u8]),
    /// An out-of-band buffer.
    Buffer,
    /// A list.
    List,
    /// A dict; `attrs`: all keys so far are plain strings that are not [reserved](super::reserved).
    Dict {
        /// See the variant.
        attrs: bool,
    },
    /// A set.
    Set,
    /// A frozenset.
    FrozenSet,
    /// A tuple and its items.
    Tuple(&'a [V]),
    /// A global that was named, not called.
    Global {
        /// Python 3 module name.
        module: &'a str,
        /// Qualified name.
        name: &'a str,
        /// Its row, if it is allowed.
        row: Option<&'a Row>,
    },
    /// What a call or a construction made.
    Instance {
        /// Module of its class (or of the function that made it).
        module: &'a str,
        /// Qualified name of its class.
        name: &'a str,
        /// Row of its class.
        row: Option<&'a Row>,
        /// The tuple of arguments it was made with.
        args: Option<V>,
        /// The last state BUILD gave it.
        state: Option<V>,
    },
    /// Anything else.
    Opaque,
}

impl<V> Shape<'_, V> {
    /// What the value is, for messages.
    pub fn describe(&self) -> String {
        match self {
            Shape::None => "None".to_owned(),
            Shape::Bool(value) => if *value { "True" } else { "False" }.to_owned(),
            Shape::Int(value) => format!("the integer {value}"),
            Shape::BigInt { bytes } => format!("an integer of {bytes} bytes"),
            Shape::Float(value) => format!("the float {value}"),
            Shape::Text(text) if text.len() <= 40 => format!("the string {text:?}"),
            Shape::Text(text) => format!("a string of {} bytes", text.len()),
            Shape::OpaqueText => "a string".to_owned(),
            Shape::Bytes(data) => format!("{} bytes", data.len()),
            Shape::ByteArray(data) => format!("a bytearray of {}", data.len()),
            Shape::Buffer => "a buffer".to_owned(),
            Shape::List => "a list".to_owned(),
            Shape::Dict { .. } => "a dict".to_owned(),
            Shape::Set => "a set".to_owned(),
            Shape::FrozenSet => "a frozenset".to_owned(),
            Shape::Tuple(items) => format!("a tuple of {}", items.len()),
            Shape::Global { module, name, .. } => format!("{module}.{name} itself"),
            Shape::Instance { module, name, .. } => format!("an instance of {module}.{name}"),
            Shape::Opaque => "a value of unknown type".to_owned(),
        }
    }
}

/// How patterns and rules look at values. The symbolic machine implements it over its tags.
pub trait View {
    /// A handle to a value.
    type V: Copy;

    /// What the value is.
    fn shape(&self, v: Self::V) -> Shape<'_, Self::V>;

    /// The elements of a list or a set, or the values of a dict, that are not atoms (None, numbers, text, bytes).
    fn children(&self, v: Self::V) -> Vec<Self::V>;

    /// All elements of a list in their order. `None` where they are not all known: numbers and texts of lists are let
    /// go, and a None of all but the shortest.
    fn elements(&self, v: Self::V) -> Option<Vec<Self::V>>;

    /// The pairs of a dict that are known, the last written first.
    fn pairs(&self, v: Self::V) -> Vec<(Self::V, Self::V)>;

    /// Accounts for so many steps of looking at contents, which the memo lets a few bytes ask for again and again.
    /// False once they are more than the stream's size allows; then whoever asked last refuses.
    fn spend(&self, steps: u64) -> bool;

    /// Tells that a buffer without content is an array of floats, which are no index into anything.
    fn holds_floats(&self, buffer: Self::V) {
        let _ = buffer;
    }

    /// How many bytes a buffer without content has, where that is known.
    fn extent(&self, buffer: Self::V) -> Option<u64> {
        let _ = buffer;
        None
    }

    /// Tells that a rule has to see what is in a buffer without content, and refuses because it cannot.
    fn wants(&self, buffer: Self::V) {
        let _ = buffer;
    }

    /// Whether something holds of a value that cannot change any more: `see` says so, unless it is known. `fact` tells
    /// apart what is asked.
    fn holds(&self, v: Self::V, fact: usize, see: impl FnOnce() -> bool) -> bool {
        let _ = (v, fact);
        see()
    }

    /// Tells that the class of a state that is allowed copies this array of it, and keeps neither.
    fn copied(&self, state: Self::V, array: Self::V) {
        let _ = (state, array);
    }

    /// Does the policy allow everything? Then the machine asks neither patterns nor rules.
    fn unrestricted(&self) -> bool;

    /// How many elements a list, set or dict has got so far (for a dict: entries written, equal keys counted
    /// again). `None`: not known, and whoever needs it refuses.
    fn count(&self, v: Self::V) -> Option<u64> {
        let _ = v;
        None
    }

    /// The value last written under the string `key` of a dict. `None`: no such key, or not recorded.
    /// Enough for the rules if the first 128 string-keyed entries of a dict are recorded, atoms included.
    fn entry(&self, v: Self::V, key: &str) -> Option<Self::V> {
        let _ = (v, key);
        None
    }

    /// Is every pair of a dict known, so that `entry` sees all there is? A rule that lets an entry be absent must ask.
    fn whole(&self, v: Self::V) -> bool;

    /// Does a dict have a key that is a [reserved](super::reserved) string? Finer than `attrs`, which also says no for
    /// keys that are not strings; without it, states of trusted classes that have such keys are refused.
    fn reserved(&self, v: Self::V) -> bool {
        matches!(self.shape(v), Shape::Dict { attrs: false })
    }

    /// The little-endian two's complement bytes of an integer wider than 64 bits.
    fn digits(&self, v: Self::V) -> Option<&[u8]> {
        let _ = v;
        None
    }
}

/// Why a value does not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What was expected, in the language of patterns or in words.
    pub expected: String,
    /// What was there.
    pub got: String,
}

impl Mismatch {
    /// From both texts.
    pub fn new(expected: impl Into<String>, got: impl Into<String>) -> Mismatch {
        Mismatch { expected: expected.into(), got: got.into() }
    }
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "expected {}, got {}", self.expected, self.got)
    }
}

/// An item of a tuple pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub(super) pattern: Pattern,
    pub(super) repeat: Repeat,
}

/// How often an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Once.
    Once,
    /// Once or not at all.
    Optional,
    /// Any number of times; only the last item.
    Many,
}

/// A parsed pattern. The variants follow the grammar in `syntax.rs`.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Pattern {
    Any,
    None,
    Bool,
    Int { low: Option<i64>, high: Option<i64> },
    Float,
    Number,
    Str { max: Option<usize>, charset: Option<Vec<(char, char)>> },
    Literal(String),
    Bytes { low: u64, high: Option<u64> },
    ByteArray,
    Buffer,
    List(Option<Box<Pattern>>),
    Dict,
    Set,
    FrozenSet,
    Tuple(Option<Box<Pattern>>),
    Items(Vec<Item>),
    Class,
    AnyGlobal,
    Global { module: String, name: String },
    AnyInstance,
    TrustedInstance,
    Instance { module: String, name: String },
    Attrs,
    Slots,
    State,
    Rule(Rule),
    OneOf(Vec<Pattern>),
}

impl Pattern {
    /// Does the value match?
    pub fn matches<W: View>(&self, w: &W, v: W::V) -> Result<(), Mismatch> {
        self.matches_for(w, v, None)
    }

    /// As [`Pattern::matches`], for a state: `target` is the instance the state is for.
    pub fn matches_for<W: View>(&self, w: &W, v: W::V, target: Option<W::V>) -> Result<(), Mismatch> {
        match self {
            Pattern::Rule(rule) => return rule.check(w, v, target),
            Pattern::OneOf(options) => return one_of(options, self, w, v, target),
            Pattern::Items(items) => return items_match(items, self, w, v),
            Pattern::Tuple(Some(each)) => {
                if let Shape::Tuple(values) = w.shape(v) {
                    return values.iter().try_for_each(|value| each.matches(w, *value));
                }
            }
            Pattern::List(Some(each)) => {
                if let Shape::List = w.shape(v) {
                    // Atoms are not among the children, so the counts must agree before the children speak for all.
                    let children = w.children(v);
                    if w.count(v) == Some(children.len() as u64) {
                        return children.iter().try_for_each(|value| each.matches(w, *value));
                    }
                }
            }
            plain if plain.holds(w, v) => return Ok(()),
            _ => {}
        }
        Err(Mismatch { expected: self.to_string(), got: w.shape(v).describe() })
    }

    /// As [`Pattern::matches`] for the items of a tuple that is not a value itself (the rest of an argument
    /// tuple). Patterns that are not about items refuse.
    pub(crate) fn matches_slice<W: View>(&self, w: &W, values: &[W::V]) -> Result<(), Mismatch> {
        match self {
            Pattern::Items(items) => slice_matches(items, self, w, values),
            Pattern::Tuple(None) => Ok(()),
            Pattern::Tuple(Some(each)) => values.iter().try_for_each(|value| each.matches(w, *value)),
            Pattern::OneOf(options) if options.iter().any(|option| option.matches_slice(w, values).is_ok()) => Ok(()),
            _ => Err(Mismatch::new(self.to_string(), format!("a tuple of {}", values.len()))),
        }
    }

    /// Does matching it mean matching other patterns, or a rule?
    fn has_parts(&self) -> bool {
        matches!(
            self,
            Pattern::Rule(_) | Pattern::OneOf(_) | Pattern::Items(_) | Pattern::Tuple(Some(_)) | Pattern::List(Some(_))
        )
    }

    /// The patterns without parts.
    fn holds<W: View>(&self, w: &W, v: W::V) -> bool {
        let shape = w.shape(v);
        match (self, &shape) {
            (Pattern::Any | Pattern::State, Shape::Global { row, .. }) => row.is_some_and(|row| row.value),
            (Pattern::Any, _) => true,
            // What a class makes of its state is its own affair, but the default way, which sets attributes, must
            // never meet a reserved one: in a dict, or in either half of (dict, slots).
            (Pattern::State, Shape::Dict { .. }) => !w.reserved(v),
            (Pattern::State, Shape::Tuple([first, second])) => !w.reserved(*first) && !w.reserved(*second),
            (Pattern::State, _) => true,
            (Pattern::None, Shape::None) | (Pattern::Bool, Shape::Bool(_)) => true,
            (Pattern::Int { low, high }, Shape::Int(value)) => within(*value, *low, *high),
            (Pattern::Int { low, high }, Shape::Bool(value)) => within(i64::from(*value), *low, *high),
            (Pattern::Int { low: None, high: None }, Shape::BigInt { .. }) => true,
            (Pattern::Float, Shape::Float(_)) => true,
            (Pattern::Number, Shape::Int(_) | Shape::BigInt { .. } | Shape::Float(_) | Shape::Bool(_)) => true,
            (Pattern::Str { max: None, charset: None }, Shape::Text(_) | Shape::OpaqueText) => true,
            (Pattern::Str { max, charset }, Shape::Text(text)) => {
                max.is_none_or(|max| text.len() <= max || text.chars().count() <= max)
                    && charset
                        .as_ref()
                        .is_none_or(|set| text.chars().all(|c| set.iter().any(|(a, b)| (*a..=*b).contains(&c))))
            }
            (Pattern::Literal(literal), Shape::Text(text)) => literal == text,
            (
                Pattern::Bytes { low, high },
                Shape::Bytes(_) | Shape::Instance { module: "builtins", name: "bytes", .. },
            ) => {
                (*low == 0 && high.is_none())
                    || content::length(w, v).is_some_and(|n| n >= *low && high.is_none_or(|high| n <= high))
            }
            (Pattern::ByteArray, Shape::ByteArray(_)) | (Pattern::Buffer, Shape::Buffer) => true,
            (Pattern::List(None), Shape::List) | (Pattern::Dict, Shape::Dict { .. }) => true,
            (Pattern::Set, Shape::Set) | (Pattern::FrozenSet, Shape::FrozenSet) => true,
            (Pattern::Tuple(None), Shape::Tuple(_)) => true,
            // Protocols 0 to 3 (and the call forms of every protocol) write these types as calls.
            (Pattern::ByteArray, Shape::Instance { module: "builtins", name: "bytearray", .. })
            | (Pattern::List(None), Shape::Instance { module: "builtins", name: "list", .. })
            | (Pattern::Set, Shape::Instance { module: "builtins", name: "set", .. })
            | (Pattern::FrozenSet, Shape::Instance { module: "builtins", name: "frozenset", .. }) => true,
            (Pattern::Class, Shape::Global { row: Some(row), .. }) => row.construct.is_some(),
            (Pattern::AnyGlobal, Shape::Global { .. }) => true,
            (Pattern::Global { module, name }, Shape::Global { module: m, name: n, row: Some(_) }) => {
                same_module(module, m) && name == n
            }
            (Pattern::AnyInstance, Shape::Instance { .. }) => true,
            (Pattern::TrustedInstance, Shape::Instance { row: Some(row), .. }) => row.trusted,
            (Pattern::Instance { module, name }, Shape::Instance { module: m, name: n, .. }) => {
                same_module(module, m) && name == n
            }
            (Pattern::Attrs, Shape::Dict { attrs }) => *attrs,
            (Pattern::Slots, Shape::Tuple([first, second])) => {
                matches!(w.shape(*first), Shape::None | Shape::Dict { attrs: true })
                    && matches!(w.shape(*second), Shape::None | Shape::Dict { attrs: true })
            }
            _ => false,
        }
    }
}

fn within(value: i64, low: Option<i64>, high: Option<i64>) -> bool {
    low.is_none_or(|low| value >= low) && high.is_none_or(|high| value <= high)
}

/// Are these two spellings of one module?
pub(crate) fn same_module(a: &str, b: &str) -> bool {
    a == b || crate::compat::moved(a).is_some_and(|other| other == b)
}

fn one_of<W: View>(options: &[Pattern], whole: &Pattern, w: &W, v: W::V, target: Option<W::V>) -> Result<(), Mismatch> {
    // Plain options first and without words: an explanation costs more than all the questions.
    if options.iter().any(|option| !option.has_parts() && option.holds(w, v)) {
        return Ok(());
    }
    let mut last = None;
    for option in options.iter().filter(|option| option.has_parts()) {
        match option.matches_for(w, v, target) {
            Ok(()) => return Ok(()),
            Err(mismatch) => last = Some(mismatch.got),
        }
    }
    Err(Mismatch { expected: whole.to_string(), got: last.unwrap_or_else(|| w.shape(v).describe()) })
}

fn items_match<W: View>(items: &[Item], whole: &Pattern, w: &W, v: W::V) -> Result<(), Mismatch> {
    let Shape::Tuple(values) = w.shape(v) else {
        return Err(Mismatch { expected: whole.to_string(), got: w.shape(v).describe() });
    };
    slice_matches(items, whole, w, values)
}

fn slice_matches<W: View>(items: &[Item], whole: &Pattern, w: &W, values: &[W::V]) -> Result<(), Mismatch> {
    let mut rest = values;
    for item in items {
        match (item.repeat, rest) {
            (Repeat::Many, _) => return rest.iter().try_for_each(|value| item.pattern.matches(w, *value)),
            (_, [first, others @ ..]) => {
                item.pattern.matches(w, *first)?;
                rest = others;
            }
            (Repeat::Optional, []) => {}
            (Repeat::Once, []) => {
                return Err(Mismatch { expected: whole.to_string(), got: format!("a tuple of {}", values.len()) });
            }
        }
    }
    match rest {
        [] => Ok(()),
        _ => Err(Mismatch { expected: whole.to_string(), got: format!("a tuple of {}", values.len()) }),
    }
}

/// What the keywords of a NEWOBJ_EX may be.
#[derive(Clone, Debug, PartialEq)]
pub enum Keywords {
    /// None at all.
    Empty,
    /// Any plain names.
    Any,
    /// These names, each optional, and no others.
    Named(Vec<(String, Pattern)>),
}

/// A pattern for an argument tuple, and for keywords.
#[derive(Clone, Debug, PartialEq)]
pub struct Arguments {
    pub(super) positional: Pattern,
    pub(super) keywords: Keywords,
}

impl Arguments {
    /// Any arguments.
    pub fn any() -> Arguments {
        Arguments { positional: Pattern::Tuple(Some(Box::new(Pattern::Any))), keywords: Keywords::Any }
    }

    /// Do these positional arguments match, without keywords?
    pub(crate) fn matches_slice<W: View>(&self, w: &W, args: &[W::V]) -> Result<(), Mismatch> {
        self.positional.matches_slice(w, args)
    }

    /// Do the arguments match?
    pub fn matches<W: View>(&self, w: &W, args: W::V, keywords: Option<W::V>) -> Result<(), Mismatch> {
        self.positional.matches(w, args)?;
        let Some(given) = keywords else { return Ok(()) };
        let count = w.count(given);
        let refuse = |expected: &str| Err(Mismatch::new(expected, w.shape(given).describe()));
        match &self.keywords {
            _ if matches!(w.shape(given), Shape::Dict { .. }) && count == Some(0) => Ok(()),
            Keywords::Any if matches!(w.shape(given), Shape::Dict { attrs: true }) => Ok(()),
            Keywords::Named(names) if matches!(w.shape(given), Shape::Dict { attrs: true }) => {
                let mut found = 0;
                for (name, pattern) in names {
                    if let Some(value) = w.entry(given, name) {
                        pattern.matches(w, value)?;
                        found += 1;
                    }
                }
                // Equal keys count again, so a repeated key refuses too: nothing unseen can stand in the dict.
                if count == Some(found) {
                    Ok(())
                } else {
                    refuse("known keywords")
                }
            }
            Keywords::Empty => refuse("no keywords"),
            _ => refuse("a dict of keywords"),
        }
    }
}
