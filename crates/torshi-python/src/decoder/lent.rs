//! Payloads given as views of the stream itself, where the check says that whoever gets them copies them: one copy less.
//! Which those are it does not decide, and what cannot be viewed is copied as ever.

use super::{Object, Stream};
use pyo3::prelude::*;
use pyo3::types::{PyMemoryView, PySlice};

/// Payloads below this are as fast to copy.
const LITTLE: usize = 256;

/// The payloads of a stream that are lent, in the order in which they are met.
pub struct Lent<'py> {
    /// The whole object that the stream is, and where in it the stream begins.
    whole: Option<(Bound<'py, PyMemoryView>, usize)>,
    /// Offsets in the stream, the next one last.
    offsets: Vec<usize>,
    /// The address of the stream's first byte: only compared, never followed.
    start: usize,
}

impl<'py> Lent<'py> {
    /// Those at these offsets, which are in order, if the stream is an object of which views can be had.
    pub fn of(stream: &Stream<'py>, mut offsets: Vec<usize>) -> PyResult<Self> {
        let whole = match stream {
            Stream::Bytes(bytes, from) if !offsets.is_empty() => Some((PyMemoryView::from(bytes.as_any())?, *from)),
            _ => None,
        };
        if whole.is_none() {
            offsets.clear();
        }
        offsets.reverse();
        Ok(Lent { whole, offsets, start: stream.as_slice().as_ptr() as usize })
    }

    /// A view of a payload, if it is the next one that is lent.
    #[inline(always)]
    pub fn view(&mut self, bytes: &[u8]) -> Option<PyResult<Object<'py>>> {
        let next = *self.offsets.last()?;
        let at = (bytes.as_ptr() as usize).wrapping_sub(self.start);
        if at != next {
            return None;
        }
        self.offsets.pop();
        let (whole, from) = self.whole.as_ref()?;
        let (at, to) = (at + from, at + from + bytes.len());
        let slice = || whole.get_item(PySlice::new(whole.py(), at as isize, to as isize, 1));
        (bytes.len() >= LITTLE).then(slice)
    }
}
