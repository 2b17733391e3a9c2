//! The domain of a rewrite: runs a stream on values that are known by what they are alone, and keeps one number of
//! all that is made, filled, named and called. Two streams with the same number build the same. Beside that it notes
//! what the writer must know: the plain data that an instruction pushed, which memo slots are read, and which texts serve
//! renamed names only. It judges nothing, imports nothing and builds nothing.

use crate::domain::{Constant, Domain, Items, Kind};
use crate::error::{Fault, FaultBox, FaultKind, Site};
use crate::literal::{decimal_bytes, raw_unicode_escape, small_integer, unescape};
use crate::opcode::Opcode;
use crate::symbolic::modern;
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;

/// Plain data, in the form in which it is written best.
#[derive(Clone, Debug, PartialEq)]
pub enum Atom<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// Little-endian two's complement.
    Long(Cow<'a, [u8]>),
    Float(f64),
    /// UTF-8, with surrogates passed through.
    Text(Cow<'a, [u8]>),
    Bytes(&'a [u8]),
    ByteArray(&'a [u8]),
    /// A Python 2 `str`.
    String(Cow<'a, [u8]>),
}

/// A text as the stream has it, from which a name may be read.
#[derive(Clone, Copy, Debug)]
enum Spelling<'a> {
    Utf8(&'a [u8]),
    Escaped(&'a [u8]),
    String(&'a [u8]),
    StringEscaped(&'a [u8]),
}

impl<'a> Spelling<'a> {
    fn read(self) -> Option<Cow<'a, str>> {
        let owned = |bytes: Vec<u8>| String::from_utf8(bytes).ok().map(Cow::Owned);
        match self {
            Spelling::Utf8(bytes) | Spelling::String(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Spelling::Escaped(raw) => raw_unicode_escape(raw).map(Cow::Owned),
            Spelling::StringEscaped(raw) => unescape(raw).and_then(owned),
        }
    }
}

/// A value: what it is, or of things with an identity, which one.
#[derive(Clone, Copy, Debug)]
pub struct Value {
    /// A digest of plain data; the number of anything else.
    word: u64,
    /// Its text, if it is one.
    origin: u32,
    kind: Kind,
    counted: bool,
}

const NO_TEXT: u32 = u32::MAX;

impl Value {
    /// The place of its text among the texts of the stream.
    pub fn text(self) -> Option<usize> {
        (self.origin != NO_TEXT).then_some(self.origin as usize)
    }

    /// Its number, if it is no plain data.
    pub fn number(self) -> Option<u64> {
        self.counted.then_some(self.word)
    }
}

/// A value in the memo, and which of all the puts it is of.
pub struct Slot {
    value: Value,
    put: u32,
}

/// A name the stream gives, and the one it is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Module and qualified name, as today's Python has them.
    pub old: (String, String),
    /// The same after renaming.
    pub new: (String, String),
    /// Whether the stream spells the new name already.
    pub spelled: bool,
}

/// What a name is to be called; `None` if it stays.
pub type Naming<'s> = &'s dyn Fn(&str, &str) -> Option<(String, String)>;

/// What each text of a stream is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Use {
    pushed: u32,
    replaced: u32,
}

/// The domain.
pub struct Meaning<'a, 's> {
    naming: Naming<'s>,
    /// Payloads that the stream lacks.
    payloads: &'s [&'a [u8]],
    hasher: DefaultHasher,
    made: u64,
    texts: Vec<Spelling<'a>>,
    uses: Vec<Use>,
    puts: Cell<u32>,
    /// Whether the value of each put is read again.
    read: Vec<bool>,
    /// What the instruction at hand pushed, if that is plain data that can be written in another form.
    pub pushed: Option<Atom<'a>>,
    /// The put whose value it fetched, and that value.
    pub fetched: Option<(usize, Value)>,
    /// The name it gave.
    pub named: Option<Named>,
    /// Which operands of a STACK_GLOBAL were texts.
    pub operands: [Option<usize>; 2],
}

type Made = Result<Value, FaultBox>;

impl<'a, 's> Meaning<'a, 's> {
    /// Nothing so far.
    pub fn new(naming: Naming<'s>, payloads: &'s [&'a [u8]]) -> Self {
        Meaning {
            naming,
            payloads,
            hasher: DefaultHasher::new(),
            made: 0,
            texts: Vec::new(),
            uses: Vec::new(),
            puts: Cell::new(0),
            read: Vec::new(),
            pushed: None,
            fetched: None,
            named: None,
            operands: [None; 2],
        }
    }

    /// Before each instruction.
    pub fn begin(&mut self) {
        (self.pushed, self.fetched, self.named, self.operands) = (None, None, None, [None; 2]);
    }

    /// One number of all that happened.
    pub fn digest(&self) -> u64 {
        self.hasher.finish()
    }

    /// Whether each put is read again, and whether each text serves renamed names alone.
    pub fn into_notes(self) -> (Vec<bool>, Vec<bool>) {
        let idle = self.uses.iter().map(|of| of.pushed == of.replaced).collect();
        let mut read = self.read;
        read.resize(self.puts.get() as usize, false);
        (read, idle)
    }

    fn event(&mut self, what: u8, operands: &[Value]) {
        self.hasher.write_u8(what);
        self.hasher.write_usize(operands.len());
        for value in operands {
            self.hasher.write_u8(u8::from(value.counted));
            self.hasher.write_u64(value.word);
        }
    }

    fn make(&mut self, kind: Kind, what: u8, operands: &[Value]) -> Value {
        self.event(what, operands);
        self.made += 1;
        Value { word: self.made, origin: NO_TEXT, kind, counted: true }
    }

    fn atom(&mut self, kind: Kind, what: u8, content: &[u8]) -> Value {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(what);
        hasher.write(content);
        Value { word: hasher.finish(), origin: NO_TEXT, kind, counted: false }
    }

    fn spelled(&mut self, value: Value, spelling: Spelling<'a>) -> Value {
        let origin = self.texts.len() as u32;
        self.texts.push(spelling);
        self.uses.push(Use { pushed: 1, replaced: 0 });
        Value { origin, ..value }
    }

    fn again(&mut self, value: Value) {
        if let Some(at) = value.text() {
            self.uses[at].pushed = self.uses[at].pushed.saturating_add(1);
        }
    }

    /// A global by what the stream calls it.
    fn name(&mut self, module: &str, name: &str, python2: bool, site: Site) -> Made {
        let (today, qualname) = if python2 { modern(module, name) } else { (module, name) };
        let old = (today.to_owned(), qualname.to_owned());
        let new = (self.naming)(today, qualname).unwrap_or_else(|| old.clone());
        for part in [&new.0, &new.1] {
            self.hasher.write_usize(part.len());
            self.hasher.write(part.as_bytes());
        }
        let spelled = (module, name) == (&new.0, &new.1);
        self.named = Some(Named { old, new, spelled });
        let what = if site.opcode == Opcode::Inst { b'i' } else { b'c' };
        Ok(self.make(Kind::Global, what, &[]))
    }
}

fn read_name(bytes: &[u8], site: Site) -> Result<&str, FaultBox> {
    std::str::from_utf8(bytes).map_err(|_| Fault::new(site, FaultKind::BadText("a name that is not UTF-8".into())))
}

/// A float text that means the same to every reader of it.
fn plain_float(text: &[u8]) -> Option<f64> {
    match text {
        b"inf" => return Some(f64::INFINITY),
        b"-inf" => return Some(f64::NEG_INFINITY),
        b"nan" => return Some(f64::NAN),
        _ => {}
    }
    let plain = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    let text = std::str::from_utf8(text).ok().filter(|text| text.as_bytes().iter().all(plain))?;
    // What overflows is an error of stock pickle's.
    text.parse().ok().filter(|x: &f64| x.is_finite())
}

/// A decimal that means the same to every reader: one that begins with a nought may be octal to some.
fn plain_integer(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    decimal_bytes(text).filter(|_| digits.first() != Some(&b'0'))
}

impl<'a> Domain<'a> for Meaning<'a, '_> {
    type Value = Value;
    type Slot = Slot;
    type Error = FaultBox;

    fn kind(&self, value: &Value) -> Kind {
        value.kind
    }

    fn keep(&self, value: &Value) -> Slot {
        let put = self.puts.get();
        self.puts.set(put + 1);
        Slot { value: *value, put }
    }

    fn restore(&mut self, slot: &Slot, stack: &mut Vec<Value>) {
        let put = slot.put as usize;
        if self.read.len() <= put {
            self.read.resize(self.puts.get() as usize, false);
        }
        self.read[put] = true;
        self.fetched = Some((put, slot.value));
        self.again(slot.value);
        stack.push(slot.value);
    }

    fn duplicate(&mut self, value: &Value) -> Made {
        self.again(*value);
        Ok(*value)
    }

    fn constant(&mut self, constant: Constant) -> Value {
        let (atom, byte) = match constant {
            Constant::None => (Atom::None, b'N'),
            Constant::False => (Atom::Bool(false), b'0'),
            Constant::True => (Atom::Bool(true), b'1'),
        };
        self.pushed = Some(atom);
        self.atom(Kind::Plain, byte, b"")
    }

    fn integer(&mut self, value: i64) -> Made {
        self.pushed = Some(Atom::Int(value));
        Ok(self.atom(Kind::Plain, b'I', &value.to_le_bytes()))
    }

    fn long(&mut self, bytes: &'a [u8]) -> Made {
        self.pushed = Some(Atom::Long(Cow::Borrowed(bytes)));
        Ok(self.atom(Kind::Plain, b'L', shortest(bytes)))
    }

    fn integer_text(&mut self, text: &'a [u8], _: Site) -> Made {
        let Some(bytes) = plain_integer(text) else { return Ok(self.atom(Kind::Plain, b'l', text)) };
        if let Some(small) = small_integer(shortest(&bytes)) {
            return self.integer(small);
        }
        let value = self.atom(Kind::Plain, b'L', shortest(&bytes));
        self.pushed = Some(Atom::Long(Cow::Owned(bytes)));
        Ok(value)
    }

    fn float(&mut self, value: f64) -> Made {
        self.pushed = Some(Atom::Float(value));
        Ok(self.atom(Kind::Plain, b'F', &value.to_bits().to_le_bytes()))
    }

    fn float_text(&mut self, text: &'a [u8], _: Site) -> Made {
        match plain_float(text) {
            Some(value) => self.float(value),
            None => Ok(self.atom(Kind::Plain, b'f', text)),
        }
    }

    fn text(&mut self, utf8: &'a [u8]) -> Made {
        let value = self.atom(Kind::Text, b'U', utf8);
        self.pushed = Some(Atom::Text(Cow::Borrowed(utf8)));
        Ok(self.spelled(value, Spelling::Utf8(utf8)))
    }

    fn text_escaped(&mut self, raw: &'a [u8], _: Site) -> Made {
        let value = match raw_unicode_escape(raw) {
            Some(text) => {
                let value = self.atom(Kind::Text, b'U', text.as_bytes());
                self.pushed = Some(Atom::Text(Cow::Owned(text.into_bytes())));
                value
            }
            None => self.atom(Kind::Text, b'u', raw),
        };
        Ok(self.spelled(value, Spelling::Escaped(raw)))
    }

    fn bytes(&mut self, bytes: &'a [u8]) -> Made {
        self.pushed = Some(Atom::Bytes(bytes));
        Ok(self.atom(Kind::Plain, b'B', bytes))
    }

    fn bytearray(&mut self, bytes: &'a [u8]) -> Made {
        self.pushed = Some(Atom::ByteArray(bytes));
        let content = self.atom(Kind::Plain, b'A', bytes);
        Ok(self.make(Kind::Plain, b'A', &[content]))
    }

    fn payload(&mut self, place: usize, site: Site) -> Made {
        let Some(&payload) = self.payloads.get(place) else {
            return Err(Fault::malformed(site, "a payload is not in the stream"));
        };
        match site.opcode {
            Opcode::Bytearray8 => self.bytearray(payload),
            _ => self.bytes(payload),
        }
    }

    fn string(&mut self, bytes: &'a [u8], _: Site) -> Made {
        let value = self.atom(Kind::Text, b'S', bytes);
        self.pushed = Some(Atom::String(Cow::Borrowed(bytes)));
        Ok(self.spelled(value, Spelling::String(bytes)))
    }

    fn string_escaped(&mut self, raw: &'a [u8], _: Site) -> Made {
        let value = match unescape(raw) {
            Some(bytes) => {
                let value = self.atom(Kind::Text, b'S', &bytes);
                self.pushed = Some(Atom::String(Cow::Owned(bytes)));
                value
            }
            None => self.atom(Kind::Text, b's', raw),
        };
        Ok(self.spelled(value, Spelling::StringEscaped(raw)))
    }

    fn next_buffer(&mut self, _: Site) -> Made {
        Ok(self.make(Kind::Unknown, b'n', &[]))
    }

    fn readonly_buffer(&mut self, buffer: Value, _: Site) -> Made {
        Ok(self.make(Kind::Unknown, b'r', &[buffer]))
    }

    fn empty_list(&mut self) -> Made {
        Ok(self.make(Kind::List, b'[', &[]))
    }

    fn empty_dict(&mut self) -> Made {
        Ok(self.make(Kind::Dict, b'{', &[]))
    }

    fn empty_set(&mut self) -> Made {
        Ok(self.make(Kind::Set, b'%', &[]))
    }

    fn tuple(&mut self, items: Items<'_, Value>, _: Site) -> Made {
        Ok(self.make(Kind::Tuple, b't', items.as_slice()))
    }

    fn list(&mut self, items: Items<'_, Value>, site: Site) -> Made {
        let list = self.empty_list()?;
        if !items.is_empty() {
            self.list_extend(&list, items, site)?;
        }
        Ok(list)
    }

    fn dict(&mut self, pairs: Items<'_, Value>, site: Site) -> Made {
        let dict = self.empty_dict()?;
        if !pairs.is_empty() {
            self.dict_update(&dict, pairs, site)?;
        }
        Ok(dict)
    }

    fn frozenset(&mut self, items: Items<'_, Value>, _: Site) -> Made {
        Ok(self.make(Kind::Plain, b'z', items.as_slice()))
    }

    fn list_extend(&mut self, list: &Value, items: Items<'_, Value>, _: Site) -> Result<(), FaultBox> {
        self.event(b'e', &[*list]);
        self.event(b'e', items.as_slice());
        Ok(())
    }

    fn dict_update(&mut self, dict: &Value, pairs: Items<'_, Value>, _: Site) -> Result<(), FaultBox> {
        self.event(b'd', &[*dict]);
        self.event(b'd', pairs.as_slice());
        Ok(())
    }

    fn set_update(&mut self, set: &Value, items: Items<'_, Value>, _: Site) -> Result<(), FaultBox> {
        self.event(b'a', &[*set]);
        self.event(b'a', items.as_slice());
        Ok(())
    }

    fn instance_extend(&mut self, target: &Value, items: Items<'_, Value>, site: Site) -> Result<(), FaultBox> {
        self.list_extend(target, items, site)
    }

    fn instance_update(&mut self, target: &Value, pairs: Items<'_, Value>, site: Site) -> Result<(), FaultBox> {
        self.dict_update(target, pairs, site)
    }

    fn instance_add(&mut self, target: &Value, items: Items<'_, Value>, site: Site) -> Result<(), FaultBox> {
        self.set_update(target, items, site)
    }

    fn global(&mut self, module: &'a [u8], name: &'a [u8], python2: bool, site: Site) -> Made {
        let (module, name) = (read_name(module, site)?, read_name(name, site)?);
        self.name(module, name, python2, site)
    }

    fn stack_global(&mut self, module: Value, name: Value, python2: bool, site: Site) -> Made {
        let spelled = |value: Value| value.text().and_then(|at| self.texts[at].read());
        let (Some(first), Some(second)) = (spelled(module), spelled(name)) else {
            return Err(Fault::malformed(site, "STACK_GLOBAL with names that cannot be read"));
        };
        let global = self.name(&first, &second, python2, site)?;
        self.operands = [module.text(), name.text()];
        if self.named.as_ref().is_some_and(|named| !named.spelled) {
            for at in self.operands.into_iter().flatten() {
                self.uses[at].replaced += 1;
            }
        }
        Ok(global)
    }

    fn extension(&mut self, code: i64, python2: bool, site: Site) -> Made {
        if python2 {
            let what = "an extension code is looked up in another way where the protocol is above 2";
            return Err(Fault::malformed(site, what));
        }
        let code = self.atom(Kind::Plain, b'x', &code.to_le_bytes());
        Ok(self.make(Kind::Global, b'x', &[code]))
    }

    fn call(&mut self, callable: Value, arguments: Value, _: Site) -> Made {
        Ok(self.make(Kind::Unknown, b'R', &[callable, arguments]))
    }

    fn construct(&mut self, class: Value, arguments: Value, keywords: Option<Value>, _: Site) -> Made {
        match keywords {
            Some(keywords) => Ok(self.make(Kind::Instance, b'k', &[class, arguments, keywords])),
            None => Ok(self.make(Kind::Instance, b'w', &[class, arguments])),
        }
    }

    fn instantiate(&mut self, class: Value, arguments: Items<'_, Value>, _: Site) -> Made {
        self.event(b'o', arguments.as_slice());
        Ok(self.make(Kind::Instance, b'o', &[class]))
    }

    fn set_state(&mut self, target: &Value, state: Value, _: Site) -> Result<(), FaultBox> {
        self.event(b'b', &[*target, state]);
        Ok(())
    }

    fn persistent_line(&mut self, id: &'a [u8], _: Site) -> Made {
        let id = self.atom(Kind::Plain, b'p', id);
        Ok(self.make(Kind::Unknown, b'P', &[id]))
    }

    fn persistent(&mut self, id: Value, _: Site) -> Made {
        Ok(self.make(Kind::Unknown, b'Q', &[id]))
    }

    fn stop(&mut self, value: Value, _: Site) -> Made {
        self.event(b'.', &[value]);
        Ok(value)
    }
}

/// Two's complement without bytes that say nothing.
pub fn shortest(bytes: &[u8]) -> &[u8] {
    let mut end = bytes.len();
    while end > 1 {
        let idle = if bytes[end - 2] >= 0x80 { 0xff } else { 0 };
        if bytes[end - 1] != idle {
            break;
        }
        end -= 1;
    }
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number that stock pickle reads as octal, or refuses, would become another one.
    #[test]
    fn only_plain_numbers_change_their_form() {
        assert_eq!(plain_integer(b"0123456789012345678901"), None);
        assert!(plain_integer(b"-123456789012345678901").is_some());
        assert_eq!(plain_float(b"1e999"), None);
        assert_eq!(plain_float(b"1_0.0"), None);
        assert_eq!(plain_float(b"-0.5"), Some(-0.5));
        assert_eq!(plain_float(b"infinity"), None);
    }

    /// A long with a byte too many would otherwise not equal itself.
    #[test]
    fn longs_are_shortened_with_their_sign() {
        assert_eq!(shortest(&[1, 0, 0]), [1]);
        assert_eq!(shortest(&[0x80, 0]), [0x80, 0]);
        assert_eq!(shortest(&[0xff, 0xff]), [0xff]);
        assert_eq!(shortest(&[0x7f, 0xff]), [0x7f, 0xff]);
        assert!(shortest(&[]).is_empty());
    }
}
