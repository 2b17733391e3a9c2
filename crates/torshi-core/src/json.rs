//! Plain data of a stream to JSON, without building it: text, numbers, lists, tuples and dicts with keys of text. What JSON
//! has no form for is refused by its path; with `lossy`, what has an obvious one takes it. It names, calls and imports
//! nothing: an instance is refused, or known by the arguments of its class.

use crate::graph::{trace, Bounds, Graph, Role, Shape, Step, Value, What};
use crate::literal::small_integer;
use crate::opcode::{ArgumentKind, Opcode};
use crate::preview;
use crate::reader::{Argument, Reader};
use crate::symbolic::Settings;
use rustc_hash::FxHashMap;
use std::borrow::Cow;

/// Levels of nesting: most readers of JSON recurse.
const DEEPEST: usize = 500;
/// Digits of an integer that is written out: more cost the square of them.
const MOST_DIGITS: usize = 10_000;

/// What JSON has no form for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Where it stands.
    pub path: String,
    /// What it is, and what to do.
    pub what: String,
}

/// The value of a well-formed stream of protocol 4 or 5 as JSON, of at most `most` bytes.
pub fn json(data: &[u8], settings: &Settings<'_>, lossy: bool, most: usize) -> Result<String, Unfit> {
    let bounds = Bounds { nodes: data.len() + 1, edges: 2 * data.len() + 1, atoms: u64::MAX, calls: 0 };
    let trace = trace(data, settings, bounds, Vec::new());
    let Some(root) = trace.root else {
        return Err(Unfit { path: "$".into(), what: "it is no whole pickle".into() });
    };
    let mut text =
        Text { graph: &trace.graph, data, lossy, most, out: String::new(), path: Vec::new(), open: Vec::new() };
    text.value(root)?;
    Ok(text.out)
}

struct Text<'g, 'a, 's> {
    graph: &'g Graph<'a, 's>,
    data: &'a [u8],
    lossy: bool,
    most: usize,
    out: String,
    path: Vec<Step>,
    /// Nodes that the present one stands in.
    open: Vec<u32>,
}

type Done = Result<(), Unfit>;

impl<'a> Text<'_, 'a, '_> {
    fn unfit<T>(&self, what: impl Into<String>) -> Result<T, Unfit> {
        let steps = self.path.iter().map(|&step| self.graph.step_text(step));
        Err(Unfit { path: std::iter::once("$".to_owned()).chain(steps).collect(), what: what.into() })
    }

    /// Refuses what only a lossy conversion has a form for.
    fn lossy_only(&self, what: &str) -> Done {
        match self.lossy {
            true => Ok(()),
            false => self.unfit(format!("JSON has no form for {what}; a lossy conversion has one")),
        }
    }

    fn value(&mut self, value: Value) -> Done {
        if self.out.len() > self.most {
            return self.unfit("the text is many times as long as the pickle: shared parts are written each time");
        }
        match value.what() {
            What::Atom(at) => self.atom(at),
            What::Beyond(_) => self.unfit("the stream holds too many values"),
            What::Node(id) if self.open.contains(&id) => self.unfit("it contains itself, which JSON cannot say"),
            What::Node(_) if self.open.len() >= DEEPEST => {
                self.unfit(format!("it is nested more than {DEEPEST} levels deep"))
            }
            What::Node(id) => {
                self.open.push(id);
                self.node(id, value)?;
                self.open.pop();
                Ok(())
            }
        }
    }

    fn node(&mut self, id: u32, value: Value) -> Done {
        match self.graph.arena.node(id).shape {
            Shape::List | Shape::Tuple => self.array(id),
            Shape::Dict => self.object(id),
            Shape::Set | Shape::FrozenSet => {
                self.lossy_only("a set")?;
                self.array(id)
            }
            Shape::Call | Shape::Instance => self.instance(id, value),
            Shape::Global { .. } => self.unfit("JSON has no form for a class or function"),
            Shape::Persistent => self.unfit("JSON has no form for a persistent id"),
        }
    }

    fn array(&mut self, id: u32) -> Done {
        self.out.push('[');
        let items: Vec<Value> = self
            .graph
            .arena
            .parts(id)
            .filter(|(role, _)| matches!(role, Role::Item(_)))
            .map(|(_, item)| item)
            .collect();
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            self.path.push(Step::Item(at as u64));
            self.value(item)?;
            self.path.pop();
        }
        self.out.push(']');
        Ok(())
    }

    /// A dict; of equal keys the last has the value and the first the place, as in Python.
    fn object(&mut self, id: u32) -> Done {
        let mut pairs: Vec<(String, Value, Value)> = Vec::new();
        let mut places: FxHashMap<String, usize> = FxHashMap::default();
        for (role, item) in self.graph.arena.parts(id) {
            let Role::Entry(key) = role else { continue };
            self.path.push(Step::Entry(key));
            let name = self.key(key)?;
            self.path.pop();
            match places.get(&name) {
                Some(&at) => pairs[at].2 = item,
                None => {
                    places.insert(name.clone(), pairs.len());
                    pairs.push((name, key, item));
                }
            }
        }
        self.out.push('{');
        for (at, (name, key, item)) in pairs.into_iter().enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            self.out.push_str(&name);
            self.out.push(':');
            self.path.push(Step::Entry(key));
            self.value(item)?;
            self.path.pop();
        }
        self.out.push('}');
        Ok(())
    }

    fn key(&mut self, key: Value) -> Result<String, Unfit> {
        let What::Atom(at) = key.what() else {
            return self.unfit(format!("JSON has no form for a key that is a {}", self.graph.word(key)));
        };
        let before = self.out.len();
        self.atom(at)?;
        let text = self.out.split_off(before);
        if text.starts_with('"') {
            return Ok(text);
        }
        self.lossy_only("a key that is no text")?;
        Ok(format!("\"{text}\""))
    }

    fn atom(&mut self, at: usize) -> Done {
        use ArgumentKind as K;
        let Some((opcode, argument)) = self.instruction(at) else { return self.unfit("it cannot be read") };
        let text = match (opcode, opcode.row().argument, argument) {
            (Opcode::None, ..) => "null".to_owned(),
            (Opcode::Newtrue, ..) => "true".to_owned(),
            (Opcode::Newfalse, ..) => "false".to_owned(),
            (Opcode::EmptyTuple, ..) => "[]".to_owned(),
            (_, K::Long1 | K::Long4, Argument::Bytes(bytes)) => match small_integer(bytes) {
                Some(n) => n.to_string(),
                None if bytes.len() * 5 / 2 <= MOST_DIGITS => preview::long(bytes, MOST_DIGITS),
                None => return self.unfit(format!("it is an integer of {} bytes", bytes.len())),
            },
            (_, _, Argument::Int(n)) => n.to_string(),
            (_, _, Argument::Float(x)) if x.is_finite() => preview::float(x),
            (_, _, Argument::Float(_)) => {
                self.lossy_only("a number that is none (nan) or infinite")?;
                "null".to_owned()
            }
            (_, K::Unicode1 | K::Unicode4 | K::Unicode8, Argument::Bytes(bytes)) => self.quoted(bytes)?,
            (_, K::String1 | K::String4, Argument::Bytes(bytes)) if bytes.is_ascii() => self.quoted(bytes)?,
            (_, K::String1 | K::String4, _) => return self.unfit("it is text of Python 2 in an encoding nobody knows"),
            (_, K::Bytes1 | K::Bytes4 | K::Bytes8 | K::ByteArray8, Argument::Bytes(bytes)) => {
                self.lossy_only("bytes")?;
                format!("\"{}\"", base64(bytes))
            }
            (Opcode::NextBuffer, ..) => return self.unfit("it is a buffer that is not in the stream"),
            _ => return self.unfit("it is written in a form that only Python reads"),
        };
        self.out.push_str(&text);
        Ok(())
    }

    fn instruction(&self, at: usize) -> Option<(Opcode, Argument<'a>)> {
        let mut reader = Reader::from_offset(self.data, at);
        let opcode = reader.opcode().ok()?;
        Some((opcode, reader.argument().ok()?))
    }

    fn quoted(&self, utf8: &[u8]) -> Result<String, Unfit> {
        let text = match std::str::from_utf8(utf8) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => {
                self.lossy_only("half a character (a lone surrogate)")?;
                String::from_utf8_lossy(utf8)
            }
        };
        Ok(serde_json::to_string(&text).unwrap_or_default())
    }

    /// Instances whose arguments say what they are.
    fn instance(&mut self, id: u32, value: Value) -> Done {
        let name = self.graph.full_name(value).unwrap_or_else(|| "an unknown class".to_owned());
        let known = self.lossy && self.graph.arena.single(id, Role::State).is_none();
        let arguments = self.arguments(id);
        match (&*name, &arguments[..]) {
            ("collections.OrderedDict" | "collections.defaultdict" | "collections.Counter", _) if known => {
                self.object(id)
            }
            ("builtins.set" | "builtins.frozenset", [items]) if known => self.value(*items),
            ("decimal.Decimal" | "pathlib.Path" | "pathlib.PurePosixPath" | "pathlib.PosixPath", [text])
                if known && self.graph.word(*text) == "str" =>
            {
                self.value(*text)
            }
            ("datetime.date" | "datetime.datetime", [bytes]) if known => self.date(*bytes),
            _ => self.unfit(format!("JSON has no form for an instance of {}", preview::escaped(&name))),
        }
    }

    fn arguments(&self, id: u32) -> Vec<Value> {
        let arguments = self.graph.arena.single(id, Role::Arguments).and_then(Value::node);
        let items = arguments.map(|id| self.graph.arena.parts(id).map(|(_, item)| item).collect());
        items.unwrap_or_default()
    }

    /// A date or a naive time as ISO 8601 has it, from the bytes that Python keeps it in.
    fn date(&mut self, value: Value) -> Done {
        let bytes = match value.what() {
            What::Atom(at) => match self.instruction(at) {
                Some((_, Argument::Bytes(bytes))) => bytes,
                _ => &[],
            },
            _ => &[],
        };
        let text = match *bytes {
            [c, y, month @ 1..=12, day @ 1..=31] => format!("{:04}-{month:02}-{day:02}", year(c, y)),
            [c, y, month @ 1..=12, day @ 1..=31, hour @ 0..=23, minute @ 0..=59, second @ 0..=59, a, b, d] => {
                let micro = u32::from(a) << 16 | u32::from(b) << 8 | u32::from(d);
                let fraction = if micro > 0 { format!(".{micro:06}") } else { String::new() };
                let time = format!("{hour:02}:{minute:02}:{second:02}{fraction}");
                format!("{:04}-{month:02}-{day:02}T{time}", year(c, y))
            }
            _ => return self.unfit("it is no date that has a form in JSON"),
        };
        self.out.push_str(&format!("\"{text}\""));
        Ok(())
    }
}

fn year(century: u8, rest: u8) -> u32 {
    u32::from(century) << 8 | u32::from(rest)
}

/// Base64 (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = (0..3).fold(0u32, |word, at| word << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let digit = char::from(DIGITS[(word >> (18 - 6 * at) & 63) as usize]);
            text.push(if at <= three.len() { digit } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::test_settings;

    fn of(data: &[u8], lossy: bool) -> Result<String, (String, String)> {
        json(data, &test_settings(), lossy, 1000).map_err(|unfit| (unfit.path, unfit.what))
    }

    /// Data must come out as Python's own json writes it.
    #[test]
    fn plain_data() {
        let stream = b"\x80\x04}(\x8c\x01a](K\x01G@\x04\0\0\0\0\0\0N\x88\x8a\x09\0\0\0\0\0\0\0\0\x01e\x8c\x02\"b)\x8c\x01aK\x02u.";
        assert_eq!(of(stream, false).unwrap(), r#"{"a":2,"\"b":[]}"#);
        let stream = b"\x80\x04](K\x01G@\x04\0\0\0\0\0\0N\x88\x8a\x09\0\0\0\0\0\0\0\0\x01\x8c\x03\xe2\x82\xace.";
        assert_eq!(of(stream, false).unwrap(), "[1,2.5,null,true,18446744073709551616,\"\u{20ac}\"]");
    }

    /// What has no form in JSON must be named where it stands, and not be left out.
    #[test]
    fn what_does_not_fit_is_named() {
        let (path, what) = of(b"\x80\x04}\x8c\x01a]C\x01xas.", false).unwrap_err();
        assert_eq!((&*path, what.contains("bytes")), ("$.a[0]", true));
        assert_eq!(of(b"\x80\x04}\x8c\x01a]C\x01xas.", true).unwrap(), r#"{"a":["eA=="]}"#);
        assert!(of(b"\x80\x04}K\x01K\x02s.", false).is_err());
        assert_eq!(of(b"\x80\x04}K\x01K\x02s.", true).unwrap(), r#"{"1":2}"#);
        assert!(of(b"cos\nsystem\n(S'x'\ntR.", true).unwrap_err().1.contains("instance of os.system"));
        assert!(of(b"\x80\x04]\x94h\x00a.", false).unwrap_err().1.contains("contains itself"));
        assert_eq!(of(b"\x80\x04G\x7f\xf0\0\0\0\0\0\0.", true).unwrap(), "null");
        assert_eq!(of(b"\x80\x04cdatetime\ndate\nC\x04\x07\xe8\x02\x1d\x85R.", true).unwrap(), "\"2024-02-29\"");
    }

    /// A hundred bytes that share lists would make a text of gigabytes.
    #[test]
    fn shared_parts_do_not_grow_without_end() {
        let mut stream = b"\x80\x04]\x94".to_vec();
        for at in 0..40u8 {
            stream.extend_from_slice(&[b'h', at, b'h', at, 0x86, 0x94]);
        }
        stream.push(b'.');
        assert!(of(&stream, false).unwrap_err().1.contains("shared parts"));
    }

    #[test]
    fn base64_is_padded() {
        assert_eq!([base64(b""), base64(b"f"), base64(b"fo"), base64(b"foo")], ["", "Zg==", "Zm8=", "Zm9v"]);
    }
}
