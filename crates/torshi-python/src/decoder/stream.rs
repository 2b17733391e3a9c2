//! The bytes of a stream, as a load holds them: nobody can change them while it runs. Long payloads may wait beside them,
//! in the very objects that the load will give; it reads nothing and decides nothing.

use super::Object;
use crate::ffi::blank::Payload;
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use torshi_core::reader::{whole_offset, Gap};

/// The bytes of a stream.
pub enum Stream<'py> {
    /// A `bytes` object from an offset on.
    Bytes(Bound<'py, PyBytes>, usize),
    /// A copy.
    Owned(Vec<u8>),
    /// A copy without its long payloads.
    Parted(Parted<'py>),
}

/// A copy without its long payloads, and these.
#[derive(Default)]
pub struct Parted<'py> {
    pub data: Vec<u8>,
    gaps: Vec<Gap>,
    payloads: Vec<Payload<'py>>,
    /// Bytes of all payloads.
    apart: usize,
}

impl<'py> Parted<'py> {
    /// The bytes, and no payload yet.
    pub fn of(data: Vec<u8>) -> Self {
        Parted { data, ..Parted::default() }
    }

    /// Adds a payload behind the bytes.
    pub fn push(&mut self, payload: Payload<'py>) {
        let length = payload.len();
        self.gaps.push(Gap { at: self.data.len(), length });
        self.apart = self.apart.saturating_add(length);
        self.payloads.push(payload);
    }

    /// How many bytes the whole stream has so far.
    pub fn len(&self) -> u64 {
        self.data.len().saturating_add(self.apart) as u64
    }

    /// Where an offset of the bytes lies in the whole stream.
    pub fn offset(&self, at: usize) -> usize {
        whole_offset(&self.gaps, at)
    }

    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// The content of the payloads, as far as a check may go by it.
    pub fn contents(&self) -> Vec<Option<&[u8]>> {
        self.payloads.iter().map(|payload| (!payload.is_mapped()).then(|| payload.as_slice())).collect()
    }

    /// The payloads with their places in the whole stream.
    pub fn payloads(&self) -> impl Iterator<Item = (u64, &Payload<'py>)> {
        let mut before = 0;
        self.gaps.iter().zip(&self.payloads).map(move |(gap, payload)| {
            let offset = gap.at as u64 + before;
            before += gap.length as u64;
            (offset, payload)
        })
    }

    /// Copies some of the mapped payloads, so that a check may go by their content; whether there were any.
    fn pin(&mut self, py: Python<'py>, is_meant: impl Fn(u32) -> bool) -> PyResult<bool> {
        let mut any = false;
        let payloads = self.payloads.iter_mut().enumerate();
        for (_, payload) in payloads.filter(|(place, payload)| payload.is_mapped() && is_meant(*place as u32)) {
            *payload = payload.copied(py)?;
            any = true;
        }
        Ok(any)
    }

    /// All in one piece.
    fn join(self) -> PyResult<Vec<u8>> {
        let mut whole = Vec::new();
        if whole.try_reserve_exact(self.data.len().saturating_add(self.apart)).is_err() {
            return Err(PyMemoryError::new_err(()));
        }
        let mut from = 0;
        for (gap, payload) in self.gaps.iter().zip(self.payloads) {
            whole.extend_from_slice(&self.data[from..gap.at]);
            whole.extend_from_slice(payload.as_slice());
            from = gap.at;
        }
        whole.extend_from_slice(&self.data[from..]);
        Ok(whole)
    }
}

impl<'py> From<Parted<'py>> for Stream<'py> {
    fn from(parted: Parted<'py>) -> Self {
        match parted.gaps.is_empty() {
            true => Stream::Owned(parted.data),
            false => Stream::Parted(parted),
        }
    }
}

impl<'py> Stream<'py> {
    /// The bytes, without payloads kept apart.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Stream::Bytes(bytes, from) => &bytes.as_bytes()[*from..],
            Stream::Owned(data) => data,
            Stream::Parted(parted) => &parted.data,
        }
    }

    /// Where payloads kept apart belong.
    pub fn gaps(&self) -> &[Gap] {
        match self {
            Stream::Parted(parted) => parted.gaps(),
            _ => &[],
        }
    }

    /// The objects of these payloads, in the same order. Their content cannot be asked for any more.
    pub fn take_payloads(&mut self) -> Vec<Option<Object<'py>>> {
        let Stream::Parted(parted) = self else { return Vec::new() };
        let payloads = std::mem::take(&mut parted.payloads);
        payloads.into_iter().map(|payload| Some(payload.into_object())).collect()
    }

    /// Copies the mapped payloads that are meant; whether there were any.
    pub fn pin(&mut self, py: Python<'py>, is_meant: impl Fn(u32) -> bool) -> PyResult<bool> {
        match self {
            Stream::Parted(parted) => parted.pin(py, is_meant),
            _ => Ok(false),
        }
    }

    /// Brings everything into one piece.
    pub fn join(&mut self) -> PyResult<()> {
        if let Stream::Parted(parted) = self {
            *self = Stream::Owned(std::mem::take(parted).join()?);
        }
        Ok(())
    }
}
