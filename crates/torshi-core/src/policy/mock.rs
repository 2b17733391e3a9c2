//! A small language of values for tests: Python literals, `module:name` for globals, `module:name(args)` for calls,
//! `NEW module:name(args)` for constructions, `<BUILD state>` after an instance, `BUFFER` for an out-of-band buffer.
//!
//! Evaluating a text asks the policy what the machine would ask: names, calls, constructions and states.
use super::pattern::{Mismatch, Shape, View};
use super::{Makes, Policy, Row, Verdict};

#[derive(Clone, Debug)]
enum Node {
    None,
    Bool(bool),
    Int(i64),
    Big(Vec<u8>),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    ByteArray(Vec<u8>),
    Buffer,
    List(Vec<usize>),
    Dict(Vec<(usize, usize)>),
    Set(bool),
    Tuple(Vec<usize>),
    Global { module: String, name: String, row: Option<&'static Row> },
    Instance { module: String, name: String, row: Option<&'static Row>, args: usize, state: Option<usize> },
    Opaque,
}

/// Values and the policy they are checked against.
pub(super) struct Mock {
    nodes: Vec<Node>,
    policy: Policy,
}

impl View for Mock {
    type V = usize;

    fn shape(&self, v: usize) -> Shape<'_, usize> {
        match &self.nodes[v] {
            Node::None => Shape::None,
            Node::Bool(value) => Shape::Bool(*value),
            Node::Int(value) => Shape::Int(*value),
            Node::Big(digits) => Shape::BigInt { bytes: digits.len() },
            Node::Float(value) => Shape::Float(*value),
            Node::Text(text) => Shape::Text(text),
            Node::Bytes(data) => Shape::Bytes(data),
            Node::ByteArray(data) => Shape::ByteArray(data),
            Node::Buffer => Shape::Buffer,
            Node::List(_) => Shape::List,
            Node::Dict(entries) => {
                let plain = |v: &usize| matches!(&self.nodes[*v], Node::Text(key) if !super::reserved(key));
                Shape::Dict { attrs: entries.iter().all(|(key, _)| plain(key)) }
            }
            Node::Set(true) => Shape::FrozenSet,
            Node::Set(false) => Shape::Set,
            Node::Tuple(items) => Shape::Tuple(items),
            Node::Global { module, name, row } => Shape::Global { module, name, row: *row },
            Node::Instance { module, name, row, args, state } => {
                Shape::Instance { module, name, row: *row, args: Some(*args), state: *state }
            }
            Node::Opaque => Shape::Opaque,
        }
    }

    fn children(&self, v: usize) -> Vec<usize> {
        let items: Vec<usize> = match &self.nodes[v] {
            Node::List(items) => items.clone(),
            Node::Dict(entries) => entries.iter().map(|(_, value)| *value).collect(),
            _ => Vec::new(),
        };
        let atom = |v: &usize| matches!(self.nodes[*v], Node::None | Node::Bool(_) | Node::Int(_) | Node::Text(_));
        items.into_iter().filter(|v| !atom(v)).collect()
    }

    fn elements(&self, v: usize) -> Option<Vec<usize>> {
        match &self.nodes[v] {
            Node::List(items) => Some(items.clone()),
            _ => None,
        }
    }

    fn pairs(&self, v: usize) -> Vec<(usize, usize)> {
        match &self.nodes[v] {
            Node::Dict(entries) => entries.iter().rev().copied().collect(),
            _ => Vec::new(),
        }
    }

    fn spend(&self, _: u64) -> bool {
        true
    }

    fn unrestricted(&self) -> bool {
        false
    }

    fn count(&self, v: usize) -> Option<u64> {
        match &self.nodes[v] {
            Node::List(items) => Some(items.len() as u64),
            Node::Dict(entries) => Some(entries.len() as u64),
            _ => None,
        }
    }

    fn entry(&self, v: usize, key: &str) -> Option<usize> {
        let Node::Dict(entries) = &self.nodes[v] else { return None };
        let found = entries.iter().rev().find(|(k, _)| matches!(&self.nodes[*k], Node::Text(text) if text == key));
        found.map(|(_, value)| *value)
    }

    fn whole(&self, _: usize) -> bool {
        true
    }

    fn reserved(&self, v: usize) -> bool {
        let Node::Dict(entries) = &self.nodes[v] else { return false };
        entries.iter().any(|(key, _)| matches!(&self.nodes[*key], Node::Text(key) if super::reserved(key)))
    }

    fn digits(&self, v: usize) -> Option<&[u8]> {
        match &self.nodes[v] {
            Node::Big(digits) => Some(digits),
            _ => None,
        }
    }
}

type Evaluated<T> = Result<T, String>;

/// Evaluates a text: `Ok` if the policy allows all of it.
pub(super) fn evaluate(policy: &Policy, text: &str) -> Evaluated<()> {
    let mut reader = Reader { mock: Mock { nodes: Vec::new(), policy: policy.clone() }, rest: text };
    reader.value()?;
    if reader.rest.trim().is_empty() {
        Ok(())
    } else {
        Err(format!("syntax: {:?} is left", reader.rest))
    }
}

/// Evaluates a text that needs no policy and matches its value against a pattern.
pub(super) fn matches(pattern: &str, text: &str) -> Evaluated<()> {
    let pattern = super::Pattern::parse(pattern).map_err(|error| error.to_string())?;
    let mut reader = Reader { mock: Mock { nodes: Vec::new(), policy: Policy::default() }, rest: text };
    let v = reader.value()?;
    pattern.matches(&reader.mock, v).map_err(|error| error.to_string())
}

struct Reader<'t> {
    mock: Mock,
    rest: &'t str,
}

impl Reader<'_> {
    fn add(&mut self, node: Node) -> usize {
        self.mock.nodes.push(node);
        self.mock.nodes.len() - 1
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

    fn need(&mut self, token: &str) -> Evaluated<()> {
        if self.eat(token) {
            Ok(())
        } else {
            Err(format!("syntax: {token} at {:.40}", self.rest))
        }
    }

    fn sequence(&mut self, close: &str) -> Evaluated<Vec<usize>> {
        let mut items = Vec::new();
        while !self.eat(close) {
            items.push(self.value()?);
            if !self.eat(",") {
                self.need(close)?;
                break;
            }
        }
        Ok(items)
    }

    fn tuple(&mut self) -> Evaluated<usize> {
        self.need("(")?;
        let items = self.sequence(")")?;
        Ok(self.add(Node::Tuple(items)))
    }

    fn dict(&mut self) -> Evaluated<usize> {
        let mut entries = Vec::new();
        while !self.eat("}") {
            let key = self.value()?;
            if !self.eat(":") {
                // A set literal.
                self.eat(",");
                self.sequence("}")?;
                return Ok(self.add(Node::Set(false)));
            }
            entries.push((key, self.value()?));
            if !self.eat(",") {
                self.need("}")?;
                break;
            }
        }
        Ok(self.add(Node::Dict(entries)))
    }

    fn value(&mut self) -> Evaluated<usize> {
        let mut v = self.atom()?;
        loop {
            if self.rest.starts_with('(') {
                let args = self.tuple()?;
                v = self.call(v, args)?;
            } else if self.eat("<BUILD ") {
                let state = self.value()?;
                self.need(">")?;
                self.build(v, state)?;
            } else if self.eat("<ITEMS>") {
                self.permit(v, "items", |row| row.items)?;
            } else if self.eat("<APPEND>") {
                self.permit(v, "append", |row| row.append)?;
            } else {
                return Ok(v);
            }
        }
    }

    fn atom(&mut self) -> Evaluated<usize> {
        for (word, node) in [
            ("None", Node::None),
            ("True", Node::Bool(true)),
            ("False", Node::Bool(false)),
            ("BUFFER", Node::Buffer),
            ("inf", Node::Float(f64::INFINITY)),
            ("nan", Node::Float(f64::NAN)),
            ("set()", Node::Set(false)),
        ] {
            if self.eat(word) {
                return Ok(self.add(node));
            }
        }
        if self.eat("NEW ") {
            let class = self.global()?;
            let args = self.tuple()?;
            return self.construct(class, args);
        }
        if self.eat("frozenset({") {
            self.sequence("})")?;
            return Ok(self.add(Node::Set(true)));
        }
        if self.eat("frozenset()") {
            return Ok(self.add(Node::Set(true)));
        }
        if self.eat("bytearray(b") {
            let data = self.quoted()?;
            self.need(")")?;
            return Ok(self.add(Node::ByteArray(data.chars().map(|c| c as u32 as u8).collect())));
        }
        match self.rest.as_bytes() {
            [b'(', ..] => self.tuple(),
            [b'[', rest @ ..] => {
                let _ = rest;
                self.need("[")?;
                let items = self.sequence("]")?;
                Ok(self.add(Node::List(items)))
            }
            [b'{', ..] => {
                self.need("{")?;
                self.dict()
            }
            [b'b', b'\'' | b'"', ..] => {
                self.need("b")?;
                let data = self.quoted()?;
                let bytes = data.chars().map(|c| c as u32 as u8).collect();
                Ok(self.add(Node::Bytes(bytes)))
            }
            [b'\'' | b'"', ..] => {
                let text = self.quoted()?;
                Ok(self.add(Node::Text(text)))
            }
            [b'-' | b'0'..=b'9', ..] => self.number(),
            _ => self.global(),
        }
    }

    fn quoted(&mut self) -> Evaluated<String> {
        let mut chars = self.rest.char_indices();
        let quote = chars.next().map(|(_, c)| c).filter(|c| matches!(c, '\'' | '"')).ok_or("syntax: a quote")?;
        let mut text = String::new();
        while let Some((at, c)) = chars.next() {
            if c == quote {
                self.rest = &self.rest[at + 1..];
                return Ok(text);
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            let (_, escape) = chars.next().ok_or("syntax: an escape")?;
            let width = match escape {
                'x' => 2,
                'u' => 4,
                'U' => 8,
                _ => 0,
            };
            if width == 0 {
                text.push(match escape {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    other => other,
                });
                continue;
            }
            let digits: String = chars.by_ref().take(width).map(|(_, c)| c).collect();
            let code = u32::from_str_radix(&digits, 16).map_err(|error| error.to_string())?;
            text.push(char::from_u32(code).ok_or("syntax: a character")?);
        }
        Err("syntax: an open string".to_owned())
    }

    fn number(&mut self) -> Evaluated<usize> {
        let end =
            self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        if let Ok(value) = text.parse::<i64>() {
            return Ok(self.add(Node::Int(value)));
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            // Digits of the decimal text, folded into base 256; the last byte leaves room for the sign.
            let mut digits = vec![0u8];
            for digit in text.bytes() {
                let mut carry = u32::from(digit - b'0');
                for byte in &mut digits {
                    carry += u32::from(*byte) * 10;
                    *byte = carry as u8;
                    carry >>= 8;
                }
                if carry > 0 {
                    digits.push(carry as u8);
                }
            }
            if digits.last().is_some_and(|top| *top >= 0x80) {
                digits.push(0);
            }
            return Ok(self.add(Node::Big(digits)));
        }
        let value = text.parse::<f64>().map_err(|error| format!("syntax: {text}: {error}"))?;
        Ok(self.add(Node::Float(value)))
    }

    fn global(&mut self) -> Evaluated<usize> {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || "._:".contains(c))).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        let (module, name) = text.split_once(':').ok_or(format!("syntax: a value at {:.40}", self.rest))?;
        self.rest = rest;
        self.lookup(module, name)
    }

    fn lookup(&mut self, module: &str, name: &str) -> Evaluated<usize> {
        match self.mock.policy.find(module, name) {
            Verdict::Allowed(row) => {
                Ok(self.add(Node::Global { module: module.to_owned(), name: name.to_owned(), row: Some(row) }))
            }
            Verdict::Denied(denial) => Err(format!("{module}.{name} is {denial}")),
        }
    }

    fn callee(&self, v: usize) -> Evaluated<(&'static Row, String, String)> {
        match &self.mock.nodes[v] {
            Node::Global { module, name, row: Some(row) } => Ok((row, module.clone(), name.clone())),
            _ => Err("only a global may be called".to_owned()),
        }
    }

    fn instance(&mut self, module: String, name: String, args: usize) -> usize {
        let row = match self.mock.policy.find(&module, &name) {
            Verdict::Allowed(row) => Some(row),
            Verdict::Denied(_) => None,
        };
        self.add(Node::Instance { module, name, row, args, state: None })
    }

    fn call(&mut self, v: usize, args: usize) -> Evaluated<usize> {
        let (row, module, name) = self.callee(v)?;
        let named = |error: Mismatch| format!("{module}.{name}: {error}");
        row.check_call(&self.mock, args).map_err(named)?;
        let Node::Tuple(items) = self.mock.nodes[args].clone() else { return Err("a tuple".to_owned()) };
        Ok(match &row.makes {
            Makes::Own => self.instance(module, name, args),
            Makes::Instance(name) => self.instance(name.module.clone(), name.qualname.clone(), args),
            Makes::Data => self.add(Node::Opaque),
            Makes::FirstArgument => {
                let (_, module, name) = self.callee(items[0])?;
                self.instance(module, name, args)
            }
            Makes::Attribute => {
                let (_, module, name) = self.callee(items[0])?;
                let Node::Text(attribute) = &self.mock.nodes[items[1]] else { return Err("an attribute".to_owned()) };
                let name = format!("{name}.{attribute}");
                self.lookup(&module, &name)?
            }
        })
    }

    fn construct(&mut self, v: usize, args: usize) -> Evaluated<usize> {
        let (row, module, name) = self.callee(v)?;
        row.check_construct(&self.mock, args, None).map_err(|error| format!("{module}.{name}: {error}"))?;
        Ok(self.instance(module, name, args))
    }

    fn build(&mut self, v: usize, given: usize) -> Evaluated<()> {
        let Node::Instance { module, name, row, .. } = self.mock.nodes[v].clone() else {
            return Err("only an instance takes a state".to_owned());
        };
        let row = row.ok_or(format!("{module}.{name} takes no state"))?;
        row.check_state(&self.mock, v, given).map_err(|error| format!("{module}.{name}: {error}"))?;
        if let Node::Instance { state, .. } = &mut self.mock.nodes[v] {
            *state = Some(given);
        }
        Ok(())
    }

    fn permit(&self, v: usize, what: &str, allowed: impl Fn(&Row) -> bool) -> Evaluated<()> {
        match &self.mock.nodes[v] {
            Node::Instance { row: Some(row), .. } if allowed(row) => Ok(()),
            node => Err(format!("{node:?} takes no {what}")),
        }
    }
}
