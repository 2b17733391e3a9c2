//! Previews: a piece of a stream in, a short text fit for a terminal out. Looks at a bounded number of
//! bytes whatever their length, and lets no control or format character through. It never decides what
//! a value means to a load.

use crate::literal::{raw_unicode_escape, unescape};
use crate::opcode::{ArgumentKind, Opcode};
use crate::reader::{Argument, Reader};

/// Bytes of a value that are looked at: a preview of a gigabyte must not cost a gigabyte.
const WINDOW: usize = 2048;

/// An instruction and its argument; a line longer than the window is cut. `None` if it is broken.
pub fn instruction(data: &[u8], offset: usize) -> Option<(Opcode, Argument<'_>)> {
    let mut reader = Reader::from_offset(data, offset);
    let opcode = reader.opcode().ok()?;
    if !is_line(opcode.row().argument) {
        return Some((opcode, reader.argument().ok()?));
    }
    let window = &data[offset..data.len().min(offset.saturating_add(WINDOW))];
    let mut reader = Reader::new(window);
    reader.opcode().ok()?;
    let argument = reader.argument().unwrap_or_else(|_| cut_lines(&window[1..], opcode));
    Some((opcode, argument))
}

/// Where the instruction at `offset` ends.
pub fn instruction_end(data: &[u8], offset: usize) -> usize {
    let mut reader = Reader::from_offset(data, offset);
    let _ = reader.opcode().and_then(|_| reader.argument());
    reader.offset()
}

fn is_line(kind: ArgumentKind) -> bool {
    use ArgumentKind as K;
    matches!(kind, K::DecimalLine | K::FloatLine | K::UnicodeLine | K::QuotedLine | K::RawLine | K::NamePair)
}

fn cut_lines(window: &[u8], opcode: Opcode) -> Argument<'_> {
    if opcode.row().argument != ArgumentKind::NamePair {
        return Argument::Line(window);
    }
    match memchr::memchr(b'\n', window) {
        Some(at) => Argument::Pair(&window[..at], &window[at + 1..]),
        None => Argument::Pair(window, b""),
    }
}

/// The word for the kind of value an opcode of plain data pushes.
pub fn kind_word(opcode: Opcode, argument: &Argument<'_>) -> &'static str {
    match opcode {
        Opcode::None => "none",
        Opcode::Newtrue | Opcode::Newfalse => "bool",
        Opcode::Int if matches!(argument, Argument::Line(b"00" | b"01")) => "bool",
        Opcode::NextBuffer => "buffer",
        _ => match opcode.row().leaves {
            "text" => "str",
            word => word,
        },
    }
}

/// The text that a text instruction pushes, as far as the window goes; `None` for other instructions.
pub fn text(data: &[u8], offset: usize) -> Option<String> {
    let (opcode, argument) = instruction(data, offset)?;
    text_of(opcode, argument)
}

fn text_of(opcode: Opcode, argument: Argument<'_>) -> Option<String> {
    use ArgumentKind as K;
    match (opcode.row().argument, argument) {
        (K::Unicode1 | K::Unicode4 | K::Unicode8, Argument::Bytes(bytes)) => Some(utf8(bytes)),
        (K::UnicodeLine, Argument::Line(raw)) => Some(raw_unicode_escape(raw).unwrap_or_else(|| utf8(raw))),
        (K::String1 | K::String4, Argument::Bytes(bytes)) => Some(latin1(bytes)),
        (K::QuotedLine, Argument::Line(raw)) => {
            let quote = raw.first().copied().unwrap_or(b'\'');
            let inner = raw.strip_prefix(&[quote]).unwrap_or(raw);
            let inner = inner.strip_suffix(&[quote]).unwrap_or(inner);
            Some(unescape(inner).map_or_else(|| latin1(inner), |bytes| latin1(&bytes)))
        }
        _ => None,
    }
}

fn utf8(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(WINDOW)];
    match std::str::from_utf8(head) {
        // A character cut by the window is no damage.
        Err(fault) if head.len() < bytes.len() && fault.error_len().is_none() => {
            String::from_utf8_lossy(&head[..fault.valid_up_to()]).into_owned()
        }
        _ => String::from_utf8_lossy(head).into_owned(),
    }
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().take(WINDOW).map(|&b| char::from(b)).collect()
}

/// A value of plain data as Python would show it, at most about `most` characters.
pub fn value(data: &[u8], offset: usize, most: usize) -> Option<String> {
    let (opcode, argument) = instruction(data, offset)?;
    argument_text(opcode, argument, most)
}

/// The argument of an instruction as Python would show it, at most about `most` characters.
pub fn argument_text(opcode: Opcode, argument: Argument<'_>, most: usize) -> Option<String> {
    use ArgumentKind as K;
    if let Some(text) = text_of(opcode, argument) {
        let whole = match argument {
            Argument::Bytes(bytes) | Argument::Line(bytes) => bytes.len(),
            _ => 0,
        };
        let (shown, cut) = quoted(&text, most);
        return Some(if cut || whole > WINDOW { format!("{shown}... ({whole} bytes)") } else { shown });
    }
    Some(match (opcode.row().argument, argument) {
        (K::Long1 | K::Long4, Argument::Bytes(bytes)) => long(bytes, most),
        (_, Argument::Bytes(bytes)) => {
            let wrapped = if opcode == Opcode::Bytearray8 { ("bytearray(", ")") } else { ("", "") };
            format!("{}{}{}", wrapped.0, quoted_bytes(bytes, most), wrapped.1)
        }
        (_, Argument::Int(n)) => n.to_string(),
        (_, Argument::Uint(n)) => n.to_string(),
        (_, Argument::Float(x)) => float(x),
        (_, Argument::Pair(module, name)) => quoted(&format!("{} {}", utf8(module), utf8(name)), most).0,
        (K::DecimalLine, Argument::Line(b"00")) if opcode == Opcode::Int => "False".into(),
        (K::DecimalLine, Argument::Line(b"01")) if opcode == Opcode::Int => "True".into(),
        (K::DecimalLine, Argument::Line(line)) => plain(line.strip_suffix(b"L").unwrap_or(line), most),
        (K::FloatLine, Argument::Line(line)) => {
            let parsed = std::str::from_utf8(line).ok().and_then(|text| text.trim().parse().ok());
            parsed.map_or_else(|| plain(line, most), float)
        }
        (_, Argument::Line(line)) => quoted(&latin1(line), most).0,
        (_, Argument::Nothing) => match opcode {
            Opcode::None => "None".into(),
            Opcode::Newtrue => "True".into(),
            Opcode::Newfalse => "False".into(),
            Opcode::EmptyTuple => "()".into(),
            _ => return None,
        },
    })
}

fn plain(line: &[u8], most: usize) -> String {
    escaped(&latin1(&line[..line.len().min(most)])) + if line.len() > most { "..." } else { "" }
}

/// A float as Python's `repr` writes it, in all but rare cases of exponents.
pub fn float(x: f64) -> String {
    if x.is_nan() {
        return "nan".into();
    }
    let text = format!("{x:?}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => {
            format!("{}e+{exponent:0>2}", digits.strip_suffix(".0").unwrap_or(digits))
        }
        Some((digits, exponent)) => format!("{}e-{:0>2}", digits.strip_suffix(".0").unwrap_or(digits), &exponent[1..]),
        None => text,
    }
}

/// Decimal where it fits; a longer integer is only measured, since decimal digits cost the square of them.
pub fn long(bytes: &[u8], most: usize) -> String {
    let negative = bytes.last().is_some_and(|&b| b >= 0x80);
    // 2.41 decimal digits a byte.
    if bytes.len() * 5 / 2 > most {
        return format!("<integer of {} bytes>", bytes.len());
    }
    let mut magnitude = bytes.to_vec();
    if negative {
        magnitude.iter_mut().for_each(|byte| *byte = !*byte);
        let carry = magnitude.iter().take_while(|&&byte| byte == 0xff).count();
        magnitude[..carry].fill(0);
        match magnitude.get_mut(carry) {
            Some(byte) => *byte += 1,
            None => magnitude.push(1),
        }
    }
    let mut digits = Vec::new();
    while digits.is_empty() || magnitude.iter().any(|&byte| byte != 0) {
        let mut rest = 0u32;
        for byte in magnitude.iter_mut().rev() {
            let n = rest << 8 | u32::from(*byte);
            (*byte, rest) = ((n / 10) as u8, n % 10);
        }
        digits.push(char::from(b'0' + rest as u8));
    }
    let sign = if negative { "-" } else { "" };
    format!("{sign}{}", digits.iter().rev().collect::<String>())
}

/// Text as a Python literal, cut after `most` characters; whether it was cut.
pub fn quoted(text: &str, most: usize) -> (String, bool) {
    let head: String = text.chars().take(most).collect();
    let quote = if head.contains('\'') && !head.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(head.len() + 2);
    out.push(quote);
    head.chars().for_each(|c| push_escaped(&mut out, c, quote));
    out.push(quote);
    (out, head.len() < text.len())
}

/// Bytes as a Python literal, cut after `most` bytes.
pub fn quoted_bytes(bytes: &[u8], most: usize) -> String {
    let head = &bytes[..bytes.len().min(most)];
    let quote = if head.contains(&b'\'') && !head.contains(&b'"') { '"' } else { '\'' };
    let mut out = String::from("b");
    out.push(quote);
    for &byte in head {
        match byte {
            b'\t' | b'\n' | b'\r' | b'\\' | b' '..=b'~' => push_escaped(&mut out, char::from(byte), quote),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push(quote);
    if head.len() < bytes.len() {
        out.push_str(&format!("... ({} bytes)", bytes.len()));
    }
    out
}

/// Text as it stands, with everything that steers a terminal or hides escaped.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push(c),
            _ => push_escaped(&mut out, c, '\0'),
        }
    }
    out
}

fn push_escaped(out: &mut String, c: char, quote: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        _ if c == quote && quote != '\0' => out.extend(['\\', c]),
        ' '..='~' => out.push(c),
        _ if printable(c) => out.push(c),
        _ => out.push_str(&match u32::from(c) {
            n @ 0..=0xff => format!("\\x{n:02x}"),
            n @ 0x100..=0xffff => format!("\\u{n:04x}"),
            n => format!("\\U{n:08x}"),
        }),
    }
}

/// Whether a character beyond ASCII shows as itself. The letter before it lets combining marks pass.
fn printable(c: char) -> bool {
    let mut pair = String::from("a");
    pair.push(c);
    !c.is_control() && pair.escape_debug().count() == 2
}

/// A name, short enough for a report whatever the stream says.
pub fn name(text: &str) -> String {
    const LONGEST: usize = 300;
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stranger's text could rewrite the terminal, or read backwards and show another name.
    #[test]
    fn control_and_format_characters_are_escaped() {
        assert_eq!(quoted("a\x1b[2K\u{202e}b'\u{e9}", 60).0, "\"a\\x1b[2K\\u202eb'\u{e9}\"");
        assert_eq!(escaped("os\u{200b}\n"), "os\\u200b\\n");
        assert_eq!(quoted_bytes(b"\0'a", 9), "b\"\\x00'a\"");
    }

    /// A preview that reads all of a value would make a report cost the size of the stream many times.
    #[test]
    fn long_values_are_cut() {
        let mut stream = b"X\x00\x00\x10\x00".to_vec();
        stream.resize(5 + 0x10_0000, b'x');
        let shown = value(&stream, 0, 20).unwrap();
        assert_eq!(shown, "'xxxxxxxxxxxxxxxxxxxx'... (1048576 bytes)");
        stream[0] = b'V';
        assert!(text(&stream, 0).unwrap().len() <= WINDOW);
    }

    /// Numbers must read as Python writes them, or a report and a session disagree.
    #[test]
    fn numbers_are_python_numbers() {
        assert_eq!(value(b"\x8a\x01\xff", 0, 60).unwrap(), "-1");
        assert_eq!(value(b"\x8a\0", 0, 60).unwrap(), "0");
        assert_eq!(value(b"\x8a\x09\0\0\0\0\0\0\0\0\xff", 0, 60).unwrap(), "-18446744073709551616");
        assert_eq!(value(b"\x8a\x09\0\0\0\0\0\0\0\x80\0", 0, 60).unwrap(), "9223372036854775808");
        assert_eq!(value(b"\x8a\x01\x80", 0, 60).unwrap(), "-128");
        assert_eq!(value(b"I01\n", 0, 60).unwrap(), "True");
        assert_eq!(value(b"L12L\n", 0, 60).unwrap(), "12");
        assert_eq!(float(1e100), "1e+100");
        assert_eq!(float(2.5), "2.5");
        assert_eq!(float(1e-7), "1e-07");
    }
}
