//! The two directories of a zip archive: bytes in, what the central directory lists and what stands before
//! each entry out. It believes neither of them; comparing them is the caller's.

use memchr::memmem;

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
/// The value of a 32-bit field whose true value is in the zip64 extra field.
const ELSEWHERE: u64 = u32::MAX as u64;

/// A little-endian field.
fn le(data: &[u8], at: usize, width: usize) -> Option<u64> {
    let bytes = data.get(at..at.checked_add(width)?)?;
    Some(bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

/// What one header says of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub flags: u16,
    pub method: u16,
    pub crc: u32,
    pub compressed: u64,
    pub plain: u64,
    pub name: Vec<u8>,
    /// Central: the offset of the local header as written. Local: where the contents begin.
    pub offset: u64,
}

impl Header {
    /// The flag for encryption.
    pub fn encrypted(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Sizes and checksum stand behind the contents, and may be nought in the header before.
    pub fn deferred(&self) -> bool {
        self.flags & 8 != 0
    }
}

/// The central directory.
#[derive(Debug, Default)]
pub(super) struct Directory {
    pub entries: Vec<Header>,
    /// Bytes in front of the archive, by which offsets are off.
    pub prefix: u64,
    /// Where the directory begins.
    pub start: usize,
    /// Where the archive ends, comment and all.
    pub end: usize,
    /// It could not be read to its end.
    pub damaged: bool,
}

/// Reads the central directory, if there is one: the last end record counts, as with every reader.
pub(super) fn directory(data: &[u8]) -> Option<Directory> {
    let from = data.len().saturating_sub(22 + 65_535);
    let end = from + memmem::rfind(&data[from..], END)?;
    let (mut size, mut offset) = (le(data, end + 12, 4)?, le(data, end + 16, 4)?);
    let mut count = le(data, end + 10, 2)?;
    let mut record = end;
    if let Some(zip64) = zip64_end(data, end) {
        (size, offset, count) = (le(data, zip64 + 40, 8)?, le(data, zip64 + 48, 8)?, le(data, zip64 + 32, 8)?);
        record = zip64;
    }
    // The directory ends where its end record begins, wherever the archive was moved to.
    let start = (record as u64).checked_sub(size).filter(|start| central(data, *start as usize) || size == 0);
    let start = start.or_else(|| Some(offset).filter(|offset| central(data, *offset as usize)))?;
    let comment = le(data, end + 20, 2).unwrap_or(0) as usize;
    let mut directory = Directory {
        prefix: start.saturating_sub(offset),
        start: start as usize,
        end: (end + 22 + comment).min(data.len()),
        ..Directory::default()
    };
    let mut at = start as usize;
    // Some readers go by the count, others by the size: whoever lists more entries is followed.
    while at < record && central(data, at) {
        match central_header(data, at) {
            Some((header, next)) => {
                directory.entries.push(header);
                at = next;
            }
            None => {
                directory.damaged = true;
                break;
            }
        }
    }
    directory.damaged |= (directory.entries.len() as u64) < count;
    Some(directory)
}

fn central(data: &[u8], at: usize) -> bool {
    data.get(at..).is_some_and(|rest| rest.starts_with(CENTRAL))
}

/// Where the zip64 end record stands, by its locator or right before it.
fn zip64_end(data: &[u8], end: usize) -> Option<usize> {
    let locator = end.checked_sub(20)?;
    data[locator..].starts_with(b"PK\x06\x07").then_some(())?;
    let stated = le(data, locator + 8, 8)? as usize;
    let near = locator.checked_sub(56);
    let is_record = |at: &usize| data.get(*at..).is_some_and(|rest| rest.starts_with(b"PK\x06\x06"));
    near.filter(is_record).or(Some(stated).filter(is_record))
}

fn central_header(data: &[u8], at: usize) -> Option<(Header, usize)> {
    let field = |offset, width| le(data, at + offset, width);
    let (name, extra, comment) = (field(28, 2)? as usize, field(30, 2)? as usize, field(32, 2)? as usize);
    let mut header = Header {
        flags: field(8, 2)? as u16,
        method: field(10, 2)? as u16,
        crc: field(16, 4)? as u32,
        compressed: field(20, 4)?,
        plain: field(24, 4)?,
        name: data.get(at + 46..at + 46 + name)?.to_vec(),
        offset: field(42, 4)?,
    };
    let extras = data.get(at + 46 + name..at + 46 + name + extra)?;
    widen(extras, [&mut header.plain, &mut header.compressed, &mut header.offset]);
    Some((header, at + 46 + name + extra + comment))
}

/// The header before an entry.
pub(super) fn local_header(data: &[u8], at: usize) -> Option<Header> {
    data.get(at..)?.starts_with(LOCAL).then_some(())?;
    let field = |offset, width| le(data, at + offset, width);
    let (name, extra) = (field(26, 2)? as usize, field(28, 2)? as usize);
    let mut header = Header {
        flags: field(6, 2)? as u16,
        method: field(8, 2)? as u16,
        crc: field(14, 4)? as u32,
        compressed: field(18, 4)?,
        plain: field(22, 4)?,
        name: data.get(at + 30..at + 30 + name)?.to_vec(),
        offset: (at + 30 + name + extra) as u64,
    };
    // An extra field that is cut off leaves the rest readable.
    let extras = data.get(at + 30 + name..(at + 30 + name + extra).min(data.len())).unwrap_or_default();
    widen(extras, [&mut header.plain, &mut header.compressed, &mut 0]);
    Some(header)
}

/// Takes from the zip64 extra field the values that did not fit.
fn widen(mut extras: &[u8], fields: [&mut u64; 3]) {
    while let (Some(id), Some(length)) = (le(extras, 0, 2), le(extras, 2, 2)) {
        let Some(body) = extras.get(4..4 + length as usize) else { return };
        if id == 1 {
            let mut at = 0;
            for field in fields {
                if *field == ELSEWHERE {
                    let Some(value) = le(body, at, 8) else { return };
                    *field = value;
                    at += 8;
                }
            }
            return;
        }
        extras = &extras[4 + length as usize..];
    }
}

/// Places of local headers in a part of the archive.
pub(super) fn local_places(part: &[u8]) -> impl Iterator<Item = usize> + '_ {
    memmem::find_iter(part, LOCAL)
}
