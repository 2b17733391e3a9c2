//! Instructions out: plain data in its shortest form, memo reads and writes by number, names, and frames around whole
//! instructions. Long payloads are not copied: the stream has gaps there. It decides nothing about what to write.

use super::meaning::{shortest, Atom};
use crate::opcode::Opcode;
use crate::reader::{Gap, APART};

/// A frame is closed at the first instruction past this size; runs of at least this size stand outside frames.
const FRAME_TARGET: usize = 64 << 10;
const HEADER: usize = 9;
/// Bytes for which a frame is not worth its header.
const SMALLEST: usize = 4;

/// What was written last, where that can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Mark(usize),
    Atom(usize),
}

/// A stream that is being written.
pub struct Output<'a> {
    /// The stream without its long payloads.
    pub bytes: Vec<u8>,
    /// Where these belong.
    pub gaps: Vec<Gap>,
    /// These.
    pub payloads: Vec<&'a [u8]>,
    frame: usize,
    last: Option<Last>,
    /// Memo slots filled.
    memo: u32,
}

impl<'a> Output<'a> {
    /// A stream of that protocol, 4 or 5.
    pub fn new(protocol: u8) -> Self {
        let bytes = vec![Opcode::Proto as u8, protocol];
        let mut output = Output { bytes, gaps: Vec::new(), payloads: Vec::new(), frame: 0, last: None, memo: 0 };
        output.open();
        output
    }

    fn open(&mut self) {
        self.frame = self.bytes.len();
        self.bytes.extend_from_slice(&[Opcode::Frame as u8; HEADER]);
        self.last = None;
    }

    fn close(&mut self) {
        let size = self.bytes.len() - self.frame - HEADER;
        if size < SMALLEST {
            self.bytes.drain(self.frame..self.frame + HEADER);
        } else {
            self.bytes[self.frame + 1..self.frame + HEADER].copy_from_slice(&(size as u64).to_le_bytes());
        }
        self.last = None;
    }

    /// Before each instruction: a frame that is long enough ends.
    pub fn turn(&mut self) {
        if self.bytes.len() - self.frame - HEADER >= FRAME_TARGET {
            self.close();
            self.open();
        }
    }

    /// Ends the stream.
    pub fn finish(&mut self) {
        self.bytes.push(Opcode::Stop as u8);
        self.close();
    }

    /// An opcode without argument.
    pub fn op(&mut self, opcode: Opcode) {
        self.last = (opcode == Opcode::Mark).then_some(Last::Mark(self.bytes.len()));
        self.bytes.push(opcode as u8);
    }

    /// An instruction as it stands in another stream.
    pub fn verbatim(&mut self, instruction: &[u8]) {
        match instruction {
            [mark] if *mark == Opcode::Mark as u8 => self.op(Opcode::Mark),
            _ if instruction.len() >= FRAME_TARGET => {
                self.outside(|output| output.bytes.extend_from_slice(instruction))
            }
            _ => {
                self.last = None;
                self.bytes.extend_from_slice(instruction);
            }
        }
    }

    fn outside(&mut self, write: impl FnOnce(&mut Self)) {
        self.close();
        write(self);
        self.open();
    }

    /// Takes a MARK back that was written last.
    pub fn take_mark(&mut self) -> bool {
        match self.last.take() {
            Some(Last::Mark(at)) => {
                self.bytes.truncate(at);
                true
            }
            _ => false,
        }
    }

    /// Takes plain data back that was written last.
    pub fn take_atom(&mut self) -> bool {
        match self.last.take() {
            Some(Last::Atom(at)) => {
                self.bytes.truncate(at);
                true
            }
            _ => false,
        }
    }

    /// Puts the top into a new slot; its number.
    pub fn put(&mut self) -> u32 {
        self.op(Opcode::Memoize);
        self.memo += 1;
        self.memo - 1
    }

    /// Fetches the value of a slot.
    pub fn get(&mut self, slot: u32) {
        self.last = None;
        match u8::try_from(slot) {
            Ok(slot) => self.bytes.extend_from_slice(&[Opcode::Binget as u8, slot]),
            Err(_) => {
                self.bytes.push(Opcode::LongBinget as u8);
                self.bytes.extend_from_slice(&slot.to_le_bytes());
            }
        }
    }

    /// A line of an argument.
    pub fn line(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.bytes.push(b'\n');
    }

    /// A global by its names.
    pub fn global(&mut self, module: &str, name: &str) {
        self.text(module.as_bytes());
        self.text(name.as_bytes());
        self.op(Opcode::StackGlobal);
    }

    fn text(&mut self, utf8: &[u8]) {
        self.run([Opcode::ShortBinunicode, Opcode::Binunicode, Opcode::Binunicode8], utf8, None);
    }

    /// Plain data.
    pub fn atom(&mut self, atom: &Atom<'a>) {
        use Opcode as O;
        let start = self.bytes.len();
        match atom {
            Atom::None => self.bytes.push(O::None as u8),
            Atom::Bool(true) => self.bytes.push(O::Newtrue as u8),
            Atom::Bool(false) => self.bytes.push(O::Newfalse as u8),
            Atom::Int(n) => self.integer(*n),
            Atom::Long(bytes) => self.long(shortest(bytes)),
            Atom::Float(x) => {
                self.bytes.push(O::Binfloat as u8);
                self.bytes.extend_from_slice(&x.to_be_bytes());
            }
            Atom::Text(text) => self.text(text),
            Atom::Bytes(bytes) => self.run([O::ShortBinbytes, O::Binbytes, O::Binbytes8], bytes, Some(bytes)),
            Atom::ByteArray(bytes) => self.run([O::Bytearray8; 3], bytes, Some(bytes)),
            Atom::String(bytes) => self.run([O::ShortBinstring, O::Binstring, O::Binstring], bytes, None),
        }
        let within = start >= self.frame + HEADER;
        self.last = (within && !matches!(atom, Atom::ByteArray(_))).then_some(Last::Atom(start));
    }

    fn integer(&mut self, n: i64) {
        let bytes = n.to_le_bytes();
        let (opcode, width) = match n {
            0..=0xff => (Opcode::Binint1, 1),
            0x100..=0xffff => (Opcode::Binint2, 2),
            -0x8000_0000..=-1 | 0x1_0000..=0x7fff_ffff => (Opcode::Binint, 4),
            _ => return self.long(shortest(&bytes)),
        };
        self.bytes.push(opcode as u8);
        self.bytes.extend_from_slice(&bytes[..width]);
    }

    fn long(&mut self, bytes: &[u8]) {
        match u8::try_from(bytes.len()) {
            Ok(length) => self.bytes.extend_from_slice(&[Opcode::Long1 as u8, length]),
            Err(_) => {
                self.bytes.push(Opcode::Long4 as u8);
                self.bytes.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            }
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes behind their length, of one, four or eight bytes.
    fn run(&mut self, opcodes: [Opcode; 3], content: &[u8], payload: Option<&'a [u8]>) {
        let length = content.len() as u64;
        let (opcode, width) = match length {
            _ if opcodes[0] == Opcode::Bytearray8 => (opcodes[2], 8),
            0..=0xff => (opcodes[0], 1),
            0x100..=0xffff_ffff => (opcodes[1], 4),
            _ => (opcodes[2], 8),
        };
        let header = |output: &mut Self| {
            output.bytes.push(opcode as u8);
            output.bytes.extend_from_slice(&length.to_le_bytes()[..width]);
        };
        if content.len() < FRAME_TARGET {
            header(self);
            self.bytes.extend_from_slice(content);
            return;
        }
        self.outside(|output| {
            header(output);
            match payload.filter(|payload| payload.len() as u64 >= APART) {
                Some(payload) => {
                    output.gaps.push(Gap { at: output.bytes.len(), length: payload.len() });
                    output.payloads.push(payload);
                }
                None => output.bytes.extend_from_slice(content),
            }
        });
    }
}
