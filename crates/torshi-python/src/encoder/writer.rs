//! Opcodes into frames, frames into a result or a file.
//!
//! Frames are cut where C pickle cuts them: at the first object boundary past 64 KiB, and around every large
//! run of bytes, which stands outside frames. In files of `save` long runs of bytes are aligned: a value that is dropped
//! at once stands before them.
use super::failure::Failed;
use crate::ffi::output::{self, Buffer, Payload};
use crate::ffi::{call, peek};
use crate::file::{FileSink, Run};
use pyo3::prelude::*;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::opcode::{BINBYTES, BINBYTES8, BYTEARRAY8, FRAME, POP, SHORT_BINBYTES};

/// A frame is closed at the first boundary past this size; runs of at least this size stand outside frames.
pub const FRAME_TARGET: usize = 64 * 1024;
const HEADER: usize = 9;
const SMALLEST: usize = 4;
const NEVER: usize = usize::MAX;

/// Where the bytes of one dump go.
pub struct Writer<'py> {
    pub buffer: Buffer,
    framing: bool,
    /// Where the open frame's header lies in the buffer.
    frame: usize,
    /// Buffer length from which on a boundary closes the frame.
    limit: usize,
    /// The file's `write`, if there is a file.
    sink: Option<Bound<'py, PyAny>>,
    /// The file of a `save`, if it is one.
    file: Option<Rc<RefCell<FileSink>>>,
    /// Is a large run the buffer of an object, which may come back as another buffer?
    pub lent: bool,
    /// If only a stream of one frame is wanted: whether it was given up, since there is more.
    only_short: Option<Rc<Cell<bool>>>,
}

impl<'py> Writer<'py> {
    /// A writer into memory, or into the file that `sink` writes to.
    pub fn new(sink: Option<Bound<'py, PyAny>>) -> Self {
        Writer {
            buffer: Buffer::new(),
            framing: false,
            frame: NEVER,
            limit: NEVER,
            sink,
            file: None,
            lent: false,
            only_short: None,
        }
    }

    /// A writer into the file of a `save`.
    pub fn saving(file: Rc<RefCell<FileSink>>) -> Self {
        Writer { file: Some(file), ..Writer::new(None) }
    }

    /// A writer into memory that gives up where the first frame ends before the stream does.
    pub fn short(given_up: Rc<Cell<bool>>) -> Self {
        Writer { only_short: Some(given_up), ..Writer::new(None) }
    }

    /// Fails if the stream need not be written any further.
    fn go_on(&self) -> Result<(), Failed> {
        match &self.only_short {
            None => Ok(()),
            Some(given_up) => {
                given_up.set(true);
                Err(pyo3::exceptions::PyOverflowError::new_err("the stream is longer than a frame").into())
            }
        }
    }

    /// From here on the output is framed.
    pub fn start_framing(&mut self) {
        self.framing = true;
        self.open_frame();
    }

    fn open_frame(&mut self) {
        self.frame = self.buffer.len();
        self.limit = self.frame + HEADER + FRAME_TARGET;
        self.buffer.put([0; HEADER]);
    }

    fn close_frame(&mut self) {
        if !self.framing {
            return;
        }
        let size = self.buffer.len() - self.frame - HEADER;
        if size < SMALLEST {
            self.buffer.close_gap(self.frame, self.frame + HEADER);
        } else {
            let mut header = [FRAME; HEADER];
            header[1..].copy_from_slice(&(size as u64).to_le_bytes());
            self.buffer.patch(self.frame, &header);
        }
    }

    /// Has the open frame reached its size? To be asked at every object boundary.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= self.limit
    }

    /// Does a boundary or a large run hand bytes to a file, that is, run foreign code?
    pub fn has_file(&self) -> bool {
        self.sink.is_some() || self.file.is_some()
    }

    /// Closes the full frame and begins another.
    pub fn turn_frame(&mut self, py: Python<'py>) -> Result<(), Failed> {
        self.check(py)?;
        self.go_on()?;
        self.close_frame();
        self.flush(py)?;
        self.open_frame();
        Ok(())
    }

    /// Hands what is buffered to the file, if there is one.
    fn flush(&mut self, py: Python<'py>) -> Result<(), Failed> {
        if let Some(file) = &self.file {
            file.borrow_mut().part(py, self.buffer.bytes())?;
            self.buffer.clear();
            return Ok(());
        }
        let Some(sink) = &self.sink else { return Ok(()) };
        let chunk = output::copied(py, &self.buffer)?;
        call::call1(sink, &chunk)?;
        self.buffer.clear();
        Ok(())
    }

    /// Fails if memory has run out in an earlier write.
    pub fn check(&self, py: Python<'py>) -> Result<(), Failed> {
        if self.buffer.is_exhausted() {
            return Err(call::no_memory(py).into());
        }
        Ok(())
    }

    #[inline(always)]
    pub fn op(&mut self, opcode: u8) {
        self.buffer.put([opcode]);
    }

    /// An opcode and a 32-bit number.
    #[inline(always)]
    pub fn op_u32(&mut self, opcode: u8, n: u32) {
        let [a, b, c, d] = n.to_le_bytes();
        self.buffer.put([opcode, a, b, c, d]);
    }

    /// An opcode and a 64-bit number.
    pub fn op_u64(&mut self, opcode: u8, n: u64) {
        self.buffer.put([opcode]);
        self.buffer.put(n.to_le_bytes());
    }

    /// A large run of bytes after its opcode, outside frames. For a file, `whole` is the object given to `write`.
    pub fn large(
        &mut self, py: Python<'py>, header: &[u8], payload: Payload<'py>, whole: &Bound<'py, PyAny>,
    ) -> Result<(), Failed> {
        self.check(py)?;
        self.go_on()?;
        self.close_frame();
        if let Some(file) = self.file.clone() {
            self.run(py, &mut file.borrow_mut(), header, payload)?;
        } else if let Some(sink) = &self.sink {
            self.buffer.put_slice(header);
            let chunk = output::copied(py, &self.buffer)?;
            call::call1(sink, &chunk)?;
            self.buffer.clear();
            drop(payload);
            call::call1(sink, whole)?;
        } else {
            self.buffer.put_slice(header);
            self.buffer.put_large(payload.bytes());
        }
        if self.framing {
            self.open_frame();
        }
        Ok(())
    }

    /// Long text after its opcode, outside frames, where there is no file; `size` is its length in UTF-8.
    pub fn large_text(&mut self, header: &[u8], text: peek::Text<'_>, size: usize) -> Result<(), Failed> {
        self.go_on()?;
        self.close_frame();
        self.buffer.put_slice(header);
        match text {
            peek::Text::Ascii(bytes) => self.buffer.put_large(bytes),
            _ => self.buffer.put_utf8(text, size),
        }
        if self.framing {
            self.open_frame();
        }
        Ok(())
    }

    /// A large run into the file of a `save`, at a place where it can be mapped if it is long enough for that.
    fn run(
        &mut self, py: Python<'py>, file: &mut FileSink, header: &[u8], payload: Payload<'py>,
    ) -> Result<(), Failed> {
        let is_bytes = matches!(header.first(), Some(&(BINBYTES | BINBYTES8 | BYTEARRAY8)));
        let long = is_bytes && payload.bytes().len() >= FileSink::LONG;
        if long {
            // A run of bytes and the order to drop it: three bytes or more.
            if let Some(rest) = file.filler(self.buffer.len() + header.len()).checked_sub(3) {
                self.buffer.put([SHORT_BINBYTES, rest as u8]);
                self.buffer.put_slice(&[0; 255][..rest]);
                self.buffer.put([POP]);
            }
        }
        self.buffer.put_slice(header);
        self.check(py)?;
        file.part(py, self.buffer.bytes())?;
        self.buffer.clear();
        let run = match long {
            true => Run::Buffer { lent: self.lent },
            false => Run::Part,
        };
        Ok(file.run(py, payload.bytes(), run)?)
    }

    /// Ends the stream: the bytes, or `None` once they are in the file.
    pub fn finish(&mut self, py: Python<'py>) -> Result<Option<Bound<'py, PyAny>>, Failed> {
        self.close_frame();
        self.check(py)?;
        if self.has_file() {
            self.flush(py)?;
            return Ok(None);
        }
        Ok(Some(self.buffer.take_object(py)?))
    }
}

/// The object a file gets for a large str: its UTF-8.
pub fn encoded<'py>(text: &Bound<'py, PyAny>, size: usize) -> Result<Bound<'py, PyAny>, Failed> {
    let py = text.py();
    let mut buffer = Buffer::new();
    match peek::text(text) {
        Some(points) => buffer.put_utf8(points, size),
        None => return Err(call::no_memory(py).into()),
    }
    if buffer.is_exhausted() {
        return Err(call::no_memory(py).into());
    }
    Ok(output::copied(py, &buffer)?)
}
