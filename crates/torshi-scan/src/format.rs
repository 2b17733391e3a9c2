//! What data is, by its contents: bytes in, a format out. A format told here says which taker-apart is
//! asked; it never says that data is harmless, and a file's name is never asked.

use memchr::memmem;

/// How data is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// RFC 1952, members in a row.
    Gzip,
    /// bzip2 streams in a row.
    Bzip2,
    /// xz streams.
    Xz,
    /// The `.lzma` format from before xz, which joblib writes.
    LzmaAlone,
    /// RFC 1950.
    Zlib,
    /// joblib before 0.10: a length in text, then zlib.
    JoblibZ,
    /// zstd frames.
    Zstd,
    /// lz4 frames.
    Lz4,
}

impl Codec {
    /// Its name in a chain of formats.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Gzip => "gzip",
            Codec::Bzip2 => "bzip2",
            Codec::Xz => "xz",
            Codec::LzmaAlone => "lzma",
            Codec::Zlib => "zlib",
            Codec::JoblibZ => "joblib-z",
            Codec::Zstd => "zstd",
            Codec::Lz4 => "lz4",
        }
    }
}

/// What the beginning of data says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// To be unpacked.
    Compressed(Codec),
    /// A zip archive begins here.
    Zip,
    /// A tar archive.
    Tar,
    /// A numpy array.
    Npy,
    /// An archive that nothing here unpacks, by its name.
    Unsupported(&'static str),
    /// Something else: a pickle, or a format without pickles.
    Other,
}

/// Bytes of the length field of joblib's old files.
const JOBLIB_Z_HEADER: usize = 2 + 19;

const UNSUPPORTED: &[(&[u8], &str)] = &[
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\xff\x06\0\0sNaPpY", "snappy"),
    (b"MSCF\0\0\0\0", "cab"),
    (b"LZIP\x01", "lzip"),
    (b"\x89LZO\0\r\n\x1a\n", "lzop"),
    (b"\x1f\x9d", "compress"),
];

/// Tells a format by the beginning of the data.
pub fn sniff(data: &[u8]) -> Format {
    use Codec as C;
    let compressed = |codec| Format::Compressed(codec);
    match data {
        [0x1f, 0x8b, 8, ..] => compressed(C::Gzip),
        [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..] if bzip2_block(rest) => compressed(C::Bzip2),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => compressed(C::Xz),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => compressed(C::Zstd),
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] if skippable(data) => compressed(C::Zstd),
        [0x04, 0x22, 0x4d, 0x18, ..] => compressed(C::Lz4),
        [b'Z', b'F', b'0', b'x', ..] if is_zlib(joblib_z_body(data)) => compressed(C::JoblibZ),
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Format::Zip,
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Format::Npy,
        _ if is_tar(data) => Format::Tar,
        _ if is_zlib(data) => compressed(C::Zlib),
        _ if is_lzma_alone(data) => compressed(C::LzmaAlone),
        _ => match UNSUPPORTED.iter().find(|(magic, _)| data.starts_with(magic)) {
            Some(&(_, name)) => Format::Unsupported(name),
            None => Format::Other,
        },
    }
}

/// Where joblib's old files have their zlib data: some versions left another blank before it.
pub fn joblib_z_body(data: &[u8]) -> &[u8] {
    let body = data.get(JOBLIB_Z_HEADER..).unwrap_or_default();
    body.strip_prefix(b" ").unwrap_or(body)
}

/// A first block, or the end of a stream without any.
fn bzip2_block(rest: &[u8]) -> bool {
    rest.starts_with(b"1AY&SY") || rest.starts_with(b"\x17\x72\x45\x38\x50\x90")
}

/// A skippable frame that a zstd frame follows.
fn skippable(data: &[u8]) -> bool {
    let Some(length) = data.get(4..8).and_then(|bytes| bytes.first_chunk::<4>()) else { return false };
    let next = 8 + u32::from_le_bytes(*length) as usize;
    data.get(next..).is_some_and(|rest| rest.starts_with(b"\x28\xb5\x2f\xfd"))
}

/// A header whose check is right, and a first block of a type there is.
fn is_zlib(data: &[u8]) -> bool {
    let &[method, flags, third, ..] = data else { return false };
    method & 0x0f == 8
        && method >> 4 <= 7
        && u16::from_be_bytes([method, flags]) % 31 == 0
        && flags & 0x20 == 0
        && third & 6 != 6
}

/// Properties every encoder writes, a dictionary size that is a power of two or the sum of two, and a length that
/// is unknown or thinkable.
fn is_lzma_alone(data: &[u8]) -> bool {
    let Some(&[0x5d, a, b, c, d, ref length @ ..]) = data.first_chunk::<13>() else { return false };
    let dictionary = u32::from_le_bytes([a, b, c, d]);
    let length = u64::from_le_bytes(*length);
    dictionary >= 1 << 12
        && (dictionary.count_ones() <= 2 || dictionary == u32::MAX)
        && (length == u64::MAX || length < 1 << 40)
}

/// The header's own checksum; the magic word is younger than the format.
fn is_tar(data: &[u8]) -> bool {
    let Some(header) = data.get(..512) else { return false };
    let field = header[148..156].trim_ascii();
    let digits = field.split(|&byte| byte == 0 || byte == b' ').next().unwrap_or_default();
    if digits.is_empty() || header[0] == 0 {
        return false;
    }
    let mut stated = 0u64;
    for &digit in digits {
        if !(b'0'..=b'7').contains(&digit) {
            return false;
        }
        stated = stated * 8 + u64::from(digit - b'0');
    }
    let sum: u64 = header.iter().map(|&byte| u64::from(byte)).sum();
    let blank: u64 = header[148..156].iter().map(|&byte| u64::from(byte)).sum();
    sum - blank + 8 * u64::from(b' ') == stated
}

/// Whether a zip directory ends the data: archives may stand behind anything. `loosely`: with anything behind it, as
/// some readers allow.
pub fn ends_in_zip(data: &[u8], loosely: bool) -> bool {
    let tail = &data[data.len().saturating_sub(22 + 65_535)..];
    memmem::rfind(tail, b"PK\x05\x06").is_some_and(|at| match tail[at..].first_chunk::<22>() {
        Some(end) => loosely || tail.len() - at == 22 + usize::from(u16::from_le_bytes([end[20], end[21]])),
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pickle taken for compressed data would go unread, and the other way round.
    #[test]
    fn formats_are_told_by_content() {
        assert_eq!(sniff(b"\x1f\x8b\x08\0"), Format::Compressed(Codec::Gzip));
        assert_eq!(sniff(b"BZh91AY&SY"), Format::Compressed(Codec::Bzip2));
        assert_eq!(sniff(b"BZh9 is a word"), Format::Other);
        assert_eq!(sniff(b"x\x9cKL\x04\0"), Format::Compressed(Codec::Zlib));
        assert_eq!(sniff(b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0"), Format::Compressed(Codec::LzmaAlone));
        assert_eq!(sniff(b"]q\0(K\x01K\x02e."), Format::Other);
        assert_eq!(sniff(b"\x80\x04N."), Format::Other);
        assert_eq!(sniff(b"7z\xbc\xaf\x27\x1c\0\x04"), Format::Unsupported("7z"));
        assert_eq!(sniff(b""), Format::Other);
    }

    /// A tar from before the magic word has only its checksum to show.
    #[test]
    fn tar_is_told_by_its_checksum() {
        let mut header = tar::Header::new_old();
        header.set_size(3);
        header.set_path("data.pkl").unwrap();
        header.set_cksum();
        assert_eq!(sniff(header.as_bytes()), Format::Tar);
        let mut wrong = header.as_bytes().to_vec();
        wrong[0] ^= 1;
        assert_eq!(sniff(&wrong), Format::Other);
    }
}
