//! The disassembler: a stream in, one line an instruction out, laid out as `pickletools.dis` does. Made
//! from the opcode table; arguments are shortened and harmless on a terminal. It runs nothing, and
//! keeps what it has when the stream breaks.

use crate::error::FaultBox;
use crate::opcode::{Opcode, OpcodeRow};
use crate::preview;
use crate::reader::{Argument, Reader};

/// Characters of an argument that are shown.
const WIDTH: usize = 120;
/// Levels of marks that are indented: a stream of marks must not make a text of its square.
const DEEPEST: usize = 25;

/// The first pickle of some data, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disassembly {
    /// One line an instruction, then a line that sums up if there is a STOP.
    pub text: String,
    /// Why the stream cannot be read on, if so.
    pub fault: Option<FaultBox>,
    /// Bytes behind STOP.
    pub trailing: usize,
}

/// Takes a stream apart up to its STOP.
pub fn disassemble(data: &[u8]) -> Disassembly {
    let mut reader = Reader::new(data);
    let mut stack = Stack::default();
    let mut text = String::new();
    let mut highest = 0;
    let fault = loop {
        let read = reader.opcode().and_then(|opcode| Ok((opcode, reader.argument()?)));
        let (opcode, argument) = match read {
            Ok(instruction) => instruction,
            Err(fault) => break Some(fault),
        };
        let row = opcode.row();
        highest = highest.max(row.protocol);
        line(&mut text, reader.site().offset, row, argument, &mut stack);
        if opcode == Opcode::Stop {
            break None;
        }
    };
    let trailing = if fault.is_none() { data.len() - reader.offset() } else { 0 };
    if fault.is_none() {
        text.push_str(&format!("highest protocol among opcodes = {highest}\n"));
    }
    Disassembly { text, fault, trailing }
}

fn line(text: &mut String, offset: usize, row: &OpcodeRow, argument: Argument<'_>, stack: &mut Stack) {
    let byte = std::ascii::escape_default(row.byte).to_string();
    let indent = 4 * stack.marks.len().min(DEEPEST);
    let mut line = format!("{offset:5}: {byte:<4} {:indent$}{}", "", row.name);
    let note = stack.step(row, offset);
    let shown = preview_of(row, argument);
    if shown.is_some() || note.is_some() {
        line.extend(std::iter::repeat_n(' ', 10usize.saturating_sub(row.name.len())));
    }
    for part in [shown, note].into_iter().flatten() {
        line.push(' ');
        line.push_str(&part);
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

fn preview_of(row: &OpcodeRow, argument: Argument<'_>) -> Option<String> {
    match (row.opcode, argument) {
        (_, Argument::Nothing) => None,
        // A memo index in text looks like an integer, whatever it is.
        _ => preview::argument_text(row.opcode, argument, WIDTH),
    }
}

/// Depth of the stack and places of the marks, as far as the table tells them.
#[derive(Default)]
struct Stack {
    depth: usize,
    /// Offset of a mark, and the depth below it.
    marks: Vec<(usize, usize)>,
    /// Filled memo slots, for MEMOIZE, unless PUT left gaps.
    memo: u64,
}

impl Stack {
    /// Does what the row says; gives the note that goes with it.
    fn step(&mut self, row: &OpcodeRow, offset: usize) -> Option<String> {
        let mut note = None;
        let mut takes: Vec<&str> = row.takes.split_whitespace().collect();
        let on_mark = row.opcode == Opcode::Pop && self.marks.last().is_some_and(|&(_, depth)| depth == self.depth);
        let mark = takes.iter().position(|&word| word == "mark");
        if mark.is_some() || on_mark {
            takes.truncate(mark.unwrap_or(0));
            match self.marks.pop() {
                Some((at, depth)) => {
                    self.depth = depth;
                    note = Some(format!("(MARK at {at})"));
                }
                None => note = Some("(no MARK)".into()),
            }
        }
        self.depth = self.depth.saturating_sub(takes.len());
        match row.opcode {
            Opcode::Mark => self.marks.push((offset, self.depth)),
            _ => self.depth += row.leaves.split_whitespace().count(),
        }
        match row.opcode {
            Opcode::Memoize => {
                note = Some(format!("(as {})", self.memo));
                self.memo += 1;
            }
            Opcode::Put | Opcode::Binput | Opcode::LongBinput => self.memo += 1,
            _ => {}
        }
        note
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever knows pickletools.dis must be able to read this without learning anything.
    #[test]
    fn layout_is_that_of_pickletools() {
        let stream = b"\x80\x04\x95\x21\0\0\0\0\0\0\0}\x94\x8c\x01a\x94]\x94(K\x01G@\x04\0\0\0\0\0\0C\x01x\x94K\x01K\x02\x86\x94es.";
        let expected = "    0: \\x80 PROTO      4\n    2: \\x95 FRAME      33\n   11: }    EMPTY_DICT
   12: \\x94 MEMOIZE    (as 0)\n   13: \\x8c SHORT_BINUNICODE 'a'\n   16: \\x94 MEMOIZE    (as 1)
   17: ]    EMPTY_LIST\n   18: \\x94 MEMOIZE    (as 2)\n   19: (    MARK\n   20: K        BININT1    1
   22: G        BINFLOAT   2.5\n   31: C        SHORT_BINBYTES b'x'\n   34: \\x94     MEMOIZE    (as 3)
   35: K        BININT1    1\n   37: K        BININT1    2\n   39: \\x86     TUPLE2
   40: \\x94     MEMOIZE    (as 4)\n   41: e        APPENDS    (MARK at 19)\n   42: s    SETITEM\n   43: .    STOP
highest protocol among opcodes = 4\n";
        assert_eq!(disassemble(stream).text, expected);
    }

    /// A broken stream is when one needs a disassembler most.
    #[test]
    fn a_broken_stream_keeps_what_was_read() {
        let broken = disassemble(b"](K\x01X\xff\0\0\0abc");
        assert!(broken.text.starts_with("    0: ]    EMPTY_LIST\n    1: (    MARK\n    2: K        BININT1    1\n"));
        let fault = broken.fault.unwrap();
        assert!(fault.to_string().ends_with("255 bytes declared, 3 left (BINUNICODE at byte 4)"), "{fault}");
        assert_eq!(fault.offset, 4);
        assert!(disassemble(b"").fault.is_some());
    }

    /// Names and text of a stranger go to a terminal.
    #[test]
    fn control_characters_do_not_pass() {
        let text = disassemble(b"cos\x1b[2K\nsys\x07tem\n\x8c\x04\x1b[2K.").text;
        assert!(!text.contains('\x1b') && !text.contains('\x07'), "{text}");
    }

    /// A second pickle in the same file would go unnoticed.
    #[test]
    fn trailing_bytes_are_counted() {
        assert_eq!(disassemble(b"N.N.").trailing, 2);
    }

    /// Indentation by mark would make a text of the square of a stream of marks.
    #[test]
    fn marks_without_end_stay_linear() {
        let text = disassemble(&vec![b'('; 100_000]).text;
        assert!(text.len() < 100_000 * 140);
    }
}
