//! bytes, bytearray and PickleBuffer: in band, or handed to the buffer callback.
use super::failure::Done;
use super::opcode::*;
use super::writer::FRAME_TARGET;
use super::{Encoder, Ways};
use crate::ffi::call;
use crate::ffi::output::{self, Payload};
use crate::ffi::peek::{self, Export};
use pyo3::prelude::*;

/// What a run of bytes is loaded as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum As {
    Bytes,
    ByteArray,
}

impl<'py> Encoder<'py> {
    pub(super) fn save_bytes(&mut self, object: &Bound<'py, PyAny>, ways: Ways, shared: bool) -> Done {
        let epoch = self.memo.epoch();
        let bytes = peek::bytes(object);
        if self.protocol >= 3 {
            if bytes.len() < 256 {
                self.out.buffer.put([SHORT_BINBYTES, bytes.len() as u8]);
                self.out.buffer.put_slice(bytes);
                return self.memoize(object, ways, shared);
            }
            if bytes.len() < FRAME_TARGET {
                self.out.op_u32(BINBYTES, bytes.len() as u32);
                self.out.buffer.put_slice(bytes);
            } else {
                self.write_large(object, bytes.len(), Payload::Bytes(object.clone()), As::Bytes)?;
            }
            return self.memoize_late(object, ways, shared, epoch);
        }
        // Python 2 had no bytes: Latin-1 text, to be encoded again.
        self.settle()?;
        if bytes.is_empty() {
            let args = call::tuple(self.py, &[])?;
            return self.save_call(self.imports.bytes.bind(self.py), &args, object, ways, shared);
        }
        let text = call::text_from_latin1(self.py, bytes)?;
        let args = call::tuple(self.py, &[&text, self.imports.names.latin1.bind(self.py).as_any()])?;
        drop(text);
        self.save_call(self.imports.codecs_encode.bind(self.py), &args, object, ways, shared)
    }

    pub(super) fn save_bytearray(&mut self, object: &Bound<'py, PyAny>, ways: Ways, shared: bool) -> Done {
        let epoch = self.memo.epoch();
        let export = call::without_collection(self.py, || Export::new(object))?;
        if self.protocol >= 5 {
            self.write_export(object, export, As::ByteArray)?;
            return self.memoize_late(object, ways, shared, epoch);
        }
        self.settle()?;
        let class = self.imports.bytearray.bind(self.py);
        if export.bytes().is_empty() {
            drop(export);
            let args = call::tuple(self.py, &[])?;
            return self.save_call(class, &args, object, ways, shared);
        }
        // Always a new object, as in C pickle: Python's own single bytes would be found in the memo.
        let bytes = output::bytes_of(self.py, export.bytes())?;
        drop(export);
        let args = call::tuple(self.py, &[&bytes])?;
        drop(bytes);
        self.save_call(class, &args, object, ways, shared)
    }

    pub(super) fn save_picklebuffer(&mut self, object: &Bound<'py, PyAny>, ways: Ways, shared: bool) -> Done {
        if self.protocol < 5 {
            let be = if self.imports.version < (3, 12) { "" } else { "be " };
            return Err(self.refuse(&format!("PickleBuffer can only {be}pickled with protocol >= 5")));
        }
        let epoch = self.memo.epoch();
        self.settle()?;
        // An export of our own: the callback may release the one in the PickleBuffer.
        let export = Export::new(object)?;
        if !export.is_contiguous() {
            return Err(self.refuse("PickleBuffer can not be pickled when pointing to a non-contiguous buffer"));
        }
        if let Some(callback) = self.hooks.buffer_callback.clone() {
            self.foreign()?;
            if !call::truth(&call::call1(&callback, object)?)? {
                self.out.op(NEXT_BUFFER);
                if export.is_readonly() {
                    self.out.op(READONLY_BUFFER);
                }
                return Ok(());
            }
        }
        let kind = if export.is_readonly() { As::Bytes } else { As::ByteArray };
        self.out.lent = true;
        let written = self.write_export(object, export, kind);
        self.out.lent = false;
        written?;
        self.memoize_late(object, ways, shared, epoch)
    }

    fn write_export(&mut self, object: &Bound<'py, PyAny>, export: Export, kind: As) -> Done {
        let len = export.bytes().len();
        if len >= FRAME_TARGET {
            return self.write_large(object, len, Payload::Export(export), kind);
        }
        match kind {
            As::ByteArray => self.out.op_u64(BYTEARRAY8, len as u64),
            As::Bytes if len < 256 => self.out.buffer.put([SHORT_BINBYTES, len as u8]),
            As::Bytes => self.out.op_u32(BINBYTES, len as u32),
        }
        self.out.buffer.put_slice(export.bytes());
        Ok(())
    }

    fn write_large(&mut self, object: &Bound<'py, PyAny>, len: usize, payload: Payload<'py>, kind: As) -> Done {
        let mut header = [0; 9];
        header[1..].copy_from_slice(&(len as u64).to_le_bytes());
        let size = match kind {
            As::ByteArray => {
                header[0] = BYTEARRAY8;
                9
            }
            As::Bytes if len <= 0xffff_ffff => {
                header[0] = BINBYTES;
                5
            }
            As::Bytes if self.protocol >= 4 => {
                header[0] = BINBYTES8;
                9
            }
            As::Bytes => {
                return Err(
                    self.overflow("serializing a bytes object larger than 4 GiB requires pickle protocol 4 or higher")
                );
            }
        };
        if self.out.has_file() {
            self.foreign()?;
        }
        self.out.large(self.py, &header[..size], payload, object)
    }
}
