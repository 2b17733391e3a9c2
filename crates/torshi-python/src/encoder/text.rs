//! str into UNICODE, BINUNICODE and the like, memoized.
use super::failure::{Done, Failed};
use super::memo::Full;
use super::opcode::*;
use super::writer::{encoded, FRAME_TARGET};
use super::{Encoder, Ways};
use crate::ffi::call;
use crate::ffi::output::{utf8_len, Payload};
use crate::ffi::peek::{self, Text};
use pyo3::prelude::*;

/// Objects in the memo of a dump that is not short.
const LONG: usize = 32;

impl<'py> Encoder<'py> {
    #[inline(always)]
    pub(super) fn save_str(&mut self, object: &Bound<'py, PyAny>, ways: Ways) -> Done {
        let shared = ways != Ways::Counted || peek::references(object) != 2;
        // In a long dump most text that others hold was met before; in a short one hardly any, and is looked for once.
        if shared && self.memo.len() >= LONG {
            if let Some(index) = self.memo.get(object) {
                self.get(index);
                return Ok(());
            }
        }
        match (self.protocol, peek::text(object)) {
            (4.., Some(Text::Ascii(bytes))) if bytes.len() < 256 && !self.fast => {
                return self.save_short(object, bytes, ways, shared);
            }
            _ => {}
        }
        if shared {
            if let Some(index) = self.memo.get(object) {
                self.get(index);
                return Ok(());
            }
        }
        let epoch = self.memo.epoch();
        self.write_str(object)?;
        self.memoize_late(object, ways, shared, epoch)
    }

    /// Short ASCII, the commonest of all: one look into the memo, and one at the room in the output.
    #[inline(always)]
    fn save_short(&mut self, object: &Bound<'py, PyAny>, bytes: &[u8], ways: Ways, shared: bool) -> Done {
        let known = match shared {
            true => self.memo.get_or_put(object),
            false => self.memo.put(object, false).map(|_| None),
        };
        match known {
            Ok(None) => self.out.buffer.put_between([SHORT_BINUNICODE, bytes.len() as u8], bytes, MEMOIZE),
            Ok(Some(index)) => {
                self.get(index);
                return Ok(());
            }
            Err(Full) => return Err(self.full()),
        }
        if shared && (ways == Ways::Passing || peek::references(object) < 2) {
            self.settle()?;
        }
        Ok(())
    }

    #[inline(never)]
    fn write_str(&mut self, object: &Bound<'py, PyAny>) -> Done {
        let Some(text) = peek::text(object) else {
            return Err(call::no_memory(self.py).into());
        };
        if self.protocol == 0 {
            self.write_escaped(text);
            return Ok(());
        }
        let size = utf8_len(text);
        let mut header = [BINUNICODE8; 9];
        let header = match size {
            0..256 if self.protocol >= 4 => {
                header[..2].copy_from_slice(&[SHORT_BINUNICODE, size as u8]);
                &header[..2]
            }
            0..=0xffff_ffff => {
                header[0] = BINUNICODE;
                header[1..5].copy_from_slice(&(size as u32).to_le_bytes());
                &header[..5]
            }
            _ if self.protocol >= 4 => {
                header[1..].copy_from_slice(&(size as u64).to_le_bytes());
                &header[..]
            }
            _ => {
                return Err(
                    self.overflow("serializing a string larger than 4 GiB requires pickle protocol 4 or higher")
                );
            }
        };
        if size < FRAME_TARGET {
            self.out.buffer.put_slice(header);
            self.out.buffer.put_utf8(text, size);
            return Ok(());
        }
        if self.out.has_file() {
            let whole = encoded(object, size)?;
            self.foreign()?;
            return self.out.large(self.py, header, Payload::Bytes(whole.clone()), &whole);
        }
        self.out.large_text(header, text, size)?;
        Ok(())
    }

    #[cold]
    pub(super) fn overflow(&self, message: &str) -> Failed {
        let class = self.py.get_type::<pyo3::exceptions::PyOverflowError>().into_any();
        call::error(&class, message).into()
    }

    /// Protocol 0: Latin-1, with what could be mistaken and what does not fit written as `\uXXXX`.
    fn write_escaped(&mut self, text: Text<'_>) {
        self.out.op(UNICODE);
        match text {
            Text::Ascii(units) | Text::Latin1(units) => units.iter().for_each(|&u| self.write_escaped_point(u.into())),
            Text::Ucs2(units) => units.iter().for_each(|&u| self.write_escaped_point(u.into())),
            Text::Ucs4(units) => units.iter().for_each(|&u| self.write_escaped_point(u)),
        }
        self.out.op(b'\n');
    }

    fn write_escaped_point(&mut self, point: u32) {
        match point {
            0 | 0x0a | 0x0d | 0x1a | 0x5c | 0x100..=0xffff => {
                self.out.buffer.put_slice(format!("\\u{point:04x}").as_bytes())
            }
            0x10000.. => self.out.buffer.put_slice(format!("\\U{point:08x}").as_bytes()),
            _ => self.out.op(point as u8),
        }
    }
}
