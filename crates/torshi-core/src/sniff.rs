//! What data is that is not a pickle: its first bytes in, a name a person knows out. Asked only after a
//! stream failed to parse near its beginning; it never decides that something is a pickle.

use crate::opcode::ArgumentKind;
use crate::reader::{Argument, Progress, Reader, Scanner};

/// Signatures: offset, bytes, what has them there. The first that fits counts.
const SIGNATURES: &[(usize, &[u8], &str)] = &[
    (0, b"PK\x03\x04", "a zip archive (PyTorch and npz files are zip archives)"),
    (0, b"PK\x05\x06", "an empty zip archive"),
    (0, b"\x1f\x8b", "gzip data"),
    (0, b"BZh", "bzip2 data"),
    (0, b"\xfd7zXZ\0", "xz data"),
    (0, b"\x5d\0\0", "lzma data"),
    (0, b"\x28\xb5\x2f\xfd", "zstandard data"),
    (0, b"\x04\x22\x4d\x18", "lz4 data"),
    (0, b"\x02\x21\x4c\x18", "lz4 data (legacy frame)"),
    (0, b"\xff\x06\0\0sNaPpY", "snappy data"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a rar archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x93NUMPY", "a numpy .npy file"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"PAR1", "a parquet file"),
    (0, b"ARROW1", "an arrow file"),
    (0, b"ORC", "an ORC file"),
    (0, b"Obj\x01", "an avro file"),
    (0, b"CDF\x01", "a netCDF file"),
    (0, b"CDF\x02", "a netCDF file"),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file"),
    (0, b"GGUF", "a GGUF model file"),
    (0, b"RDX2", "an R data file"),
    (0, b"RDX3", "an R data file"),
    (0, b"SQLite format 3\0", "an SQLite database"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF8", "a GIF image"),
    (0, b"RIFF", "a RIFF file (WAV, AVI or WebP)"),
    (0, b"%PDF-", "a PDF document"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
    (0, b"\x7fELF", "an ELF program or library"),
    (0, b"MZ\x90\0\x03\0", "a Windows program or library"),
    (0, b"\xcf\xfa\xed\xfe", "a macOS program or library"),
    (0, b"\xca\xfe\xba\xbe", "a macOS library or Java class"),
    (0, b"version https://git-lfs.github.com/spec/", "a git-lfs pointer (run git lfs pull to get the file)"),
    (0, b"-----BEGIN ", "PEM text (a key or certificate)"),
    (0, b"\xff\xfe\0\0", "UTF-32 text"),
    (0, b"\xff\xfe", "UTF-16 text"),
    (0, b"\xfe\xff", "UTF-16 text"),
];

/// Bytes that are looked at.
const WINDOW: usize = 4096;

/// The first of the pickles that make up a PyTorch file from before it was a zip archive: a number.
const TORCH_MAGIC: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// What the data is, if it is a row of pickles of which the first says nothing: loading it alone
/// would answer a number for a model, and let the rest pass unchecked.
pub fn row_of_pickles(data: &[u8]) -> Option<&'static str> {
    (data.len() > TORCH_MAGIC.len() && data.starts_with(TORCH_MAGIC))
        .then_some("a PyTorch file of the old layout, several pickles in a row")
}

/// What the data is, if it is something known.
pub fn sniff(data: &[u8]) -> Option<&'static str> {
    if data.is_empty() {
        return Some("an empty file");
    }
    let signed = SIGNATURES.iter().find(|(at, magic, _)| data.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    if let Some(&(_, _, what)) = signed {
        return Some(what);
    }
    // What follows fits by chance more easily than a signature: whatever comes to a STOP is a pickle.
    if matches!(Scanner::default().advance(data), Ok(Progress::Complete(_))) {
        return None;
    }
    let window = &data[..data.len().min(WINDOW)];
    if window.iter().all(|&byte| byte == 0) {
        return Some("nothing but zero bytes (a file that was not written to its end?)");
    }
    safetensors(data).or_else(|| zlib(data)).or_else(|| text(window))
}

/// Eight bytes of length, then a JSON object of that length.
fn safetensors(data: &[u8]) -> Option<&'static str> {
    let (length, rest) = data.split_first_chunk::<8>()?;
    let length = u64::from_le_bytes(*length);
    (rest.starts_with(b"{\"") && length <= rest.len() as u64).then_some("a safetensors file")
}

/// A deflate method with a header whose check is right; two bytes alone would fit too much.
fn zlib(data: &[u8]) -> Option<&'static str> {
    let &[method, flags, third, ..] = data else { return None };
    let sound = u16::from_be_bytes([method, flags]) % 31 == 0 && flags & 0x20 == 0;
    (method == 0x78 && sound && third & 6 != 6).then_some("zlib data")
}

fn text(window: &[u8]) -> Option<&'static str> {
    if let Some(wide) = utf16(window) {
        return Some(wide);
    }
    let bytes = window.strip_prefix(b"\xef\xbb\xbf").unwrap_or(window);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(fault) if fault.error_len().is_none() => std::str::from_utf8(&bytes[..fault.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\x0c')) {
        return None;
    }
    let head = text.trim_start();
    let lower: String = head.chars().take(64).collect::<String>().to_ascii_lowercase();
    let starts = |words: &[&str]| words.iter().any(|word| lower.starts_with(word));
    if starts(&["<!doctype html", "<html", "<head", "<body"]) {
        return Some("HTML (an error or login page instead of the file?)");
    }
    if starts(&["<?xml", "<"]) {
        return Some("XML");
    }
    if is_json(head, bytes.len() == WINDOW) {
        return Some("JSON");
    }
    // From here on, words and lines: a damaged text pickle has those too.
    if reads_like_a_pickle(bytes) {
        return None;
    }
    if starts(&["#!"]) {
        return Some("a script");
    }
    let line_of = |words: &[&str]| head.lines().take(40).any(|line| words.iter().any(|word| line.starts_with(word)));
    if line_of(&["import ", "from __future__", "def ", "class ", "@dataclass", "if __name__"]) {
        return Some("Python source");
    }
    if is_table(head) {
        return Some("CSV text");
    }
    // A word or two may be the beginning of a text pickle with a spelling mistake.
    (head.len() >= 8 && head.contains([' ', '\n'])).then_some("plain text")
}

/// Whether the beginning makes sense as instructions: five of them, or all there is.
fn reads_like_a_pickle(data: &[u8]) -> bool {
    let mut reader = Reader::new(data);
    let word = |line: &[u8]| !line.is_empty() && line.iter().all(|b| b.is_ascii_alphanumeric() || b"._".contains(b));
    for sensible in 0..5 {
        if sensible > 0 && reader.offset() == data.len() {
            return true;
        }
        let argument = reader.opcode().and_then(|_| reader.argument());
        let kind = reader.site().opcode.row().argument;
        let sound = match argument {
            Ok(Argument::Pair(module, name)) => word(module) && word(name),
            Ok(Argument::Line(line)) if kind == ArgumentKind::DecimalLine => {
                line.iter().all(|b| b.is_ascii_digit() || b"-L".contains(b))
            }
            Ok(_) => true,
            Err(_) => false,
        };
        if !sound {
            return false;
        }
    }
    true
}

/// Latin text in two bytes a character, without the mark that usually tells.
fn utf16(window: &[u8]) -> Option<&'static str> {
    let zeros = |from: usize| window.iter().skip(from).step_by(2).filter(|&&byte| byte == 0).count();
    let half = window.len() / 2;
    let plain =
        |from: usize| window.iter().skip(from).step_by(2).all(|&b| matches!(b, b'\t' | b'\n' | b'\r' | b' '..=b'~'));
    let wide = half >= 8 && ((zeros(1) == half && plain(0)) || (zeros(0) == half && plain(1)));
    wide.then_some("UTF-16 text")
}

fn is_json(head: &str, cut: bool) -> bool {
    if !head.starts_with(['{', '[', '"']) {
        return false;
    }
    match serde_json::from_str::<serde::de::IgnoredAny>(head) {
        Ok(_) => true,
        Err(fault) if fault.is_eof() => cut || head.len() > 8,
        // Lines of JSON are JSON, a line that begins with a quoted word need not be.
        Err(fault) => fault.to_string().starts_with("trailing") && !head.starts_with('"'),
    }
}

/// Lines of the same number of fields, three at least.
fn is_table(head: &str) -> bool {
    let mut lines: Vec<&str> = head.lines().take(8).collect();
    if lines.len() > 3 {
        lines.pop(); // it may be cut
    }
    [',', ';', '\t'].into_iter().any(|comma| {
        let mut fields = lines.iter().map(|line| line.matches(comma).count());
        let first = fields.next().unwrap_or(0);
        first > 0 && lines.len() >= 2 && fields.all(|n| n == first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `invalid load key, '<'` helps nobody; the name of the format does.
    #[test]
    fn formats_are_named() {
        let mut tar = vec![b'a'; 600];
        tar[257..262].copy_from_slice(b"ustar");
        let header = br#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
        let tensors = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 4]].concat();
        let cases: &[(&[u8], &str)] = &[
            (b"", "an empty file"),
            (b"PK\x03\x04\x14\0", "a zip archive"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"BZh91AY", "bzip2"),
            (b"\xfd7zXZ\0\0", "xz"),
            (b"\x28\xb5\x2f\xfd\x04", "zstandard"),
            (b"\x04\x22\x4d\x18d", "lz4"),
            (b"x\x9c\xcbH\xcd\xc9", "zlib"),
            (&tar, "a tar archive"),
            (&tensors, "a safetensors file"),
            (b"\x93NUMPY\x01\0v\0", "a numpy .npy"),
            (b"\x89HDF\r\n\x1a\n\0", "an HDF5"),
            (b"PAR1\x15\x04", "a parquet"),
            (b"SQLite format 3\0\x10\0", "an SQLite"),
            (b"%PDF-1.7\n", "a PDF"),
            (b"\x89PNG\r\n\x1a\n", "a PNG"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "a git-lfs pointer"),
            (b"\n<!DOCTYPE html><html>", "HTML"),
            (b"<?xml version='1.0'?>", "XML"),
            (b"{\"a\": [1, 2]}", "JSON"),
            (b"[1, 2, 3]\n", "JSON"),
            (b"#!/bin/sh\necho\n", "a script"),
            (b"\"\"\"Doc.\"\"\"\n\nimport os\n\nprint(os)\n", "Python source"),
            (b"name,age\nJohn,30\nJane,31\n", "CSV"),
            (b"Dear reader, this is no pickle.\n", "plain text"),
            (b"Not Found\n", "plain text"),
            (b"\xff\xfea\0b\0", "UTF-16"),
            (b"a\0,\0b\0\n\0a\0,\0b\0\n\0a\0", "UTF-16"),
            (&[0; 512], "nothing but zero"),
        ];
        for (data, expected) in cases {
            let found = sniff(data);
            assert!(found.is_some_and(|what| what.starts_with(expected)), "{expected}: {found:?}");
        }
    }

    /// The number at the head of an old PyTorch file, taken for its content, would hide the rest.
    #[test]
    fn old_torch_files_are_known() {
        let file = [TORCH_MAGIC, b"\x80\x02M\xe9\x03."].concat();
        assert!(row_of_pickles(&file).is_some());
        assert_eq!(row_of_pickles(TORCH_MAGIC), None);
        assert_eq!(row_of_pickles(b"I1\n.I2\n."), None);
    }

    /// A damaged pickle called by another name sends its owner the wrong way.
    #[test]
    fn damaged_pickles_have_no_other_name() {
        let cases: &[&[u8]] = &[
            b"\x80\x04\x95\x21\0\0\0\0\0\0\0}\x94",
            b"\x80\x02}q\x00(X\x01\0\0\0aK\x01",
            b"(dp0\nVa\np1\n(lp2\nI1\n",
            b"(lp0\n",
            b"]q\0(K\x01K\x02",
            b"}q\0",
            b"cos\nsystem\n(S'echo hello world'\ntR",
            b"ccopy_reg\n_reconstructor\np0\n(c__main__\nPoint\np1\nc__builtin__\nobject\np2\nNtp3\nRp4\n",
            b"(iPoint\nx\n",
            b"MZ\x90.",
            b"\x8c\x05hello.",
            b"cbuiltins\neval\n(Vimport os\ntR.",
        ];
        for data in cases {
            assert_eq!(sniff(data), None, "{}", data.escape_ascii());
        }
    }
}
