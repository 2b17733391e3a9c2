//! Decompression: compressed bytes and a budget in, plain bytes out, with where the compressed part ends.
//! What was unpacked before a fault or a limit is kept: a loader would have seen it too. Never allocates
//! by what a header declares.

use crate::format::{joblib_z_body, Codec};
use crate::limits::FREE;
use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;
use std::io::Read;

/// Memory an lzma or zstd window may take: what their own command lines allow without being told.
const WINDOW_BITS: u32 = 27;
const LZMA_MEMORY: u64 = 256 << 20;

/// Why unpacking stopped early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// The total of unpacked bytes reached its limit.
    Budget,
    /// It came to too many times its own size.
    Ratio,
    /// The data is damaged or cut off.
    Damaged(String),
}

/// What unpacking gave.
#[derive(Debug, Default)]
pub struct Expanded {
    /// The plain bytes, up to the halt.
    pub data: Vec<u8>,
    /// Compressed bytes that were used.
    pub used: usize,
    /// Why it stopped early, if so.
    pub halt: Option<Halt>,
}

/// How much may be unpacked.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// Bytes.
    pub bytes: u64,
    /// Times the compressed size.
    pub ratio: u64,
}

/// Unpacks every stream of a codec that stands at the beginning of the input, one after another.
pub fn expand(codec: Codec, input: &[u8], allowance: Allowance) -> Expanded {
    let (mut out, body) = match codec {
        Codec::JoblibZ => (Expanded::default(), joblib_z_body(input)),
        _ => (Expanded::default(), input),
    };
    let skipped = input.len() - body.len();
    let mut rest = body;
    while out.halt.is_none() && !rest.is_empty() && (rest.len() == body.len() || follows(codec, rest)) {
        let before = rest.len();
        rest = member(codec, rest, &mut out, allowance, body.len() as u64);
        if rest.len() == before {
            break;
        }
    }
    out.used = skipped + body.len() - rest.len();
    out
}

/// Unpacks raw data of a zip entry. `None`: no such method.
pub fn expand_zip(method: u16, input: &[u8], plain: Option<u64>, allowance: Allowance) -> Option<Expanded> {
    let mut out = Expanded::default();
    let size = input.len() as u64;
    let mut rest = input;
    match method {
        8 => {
            let mut decoder = DeflateDecoder::new(rest);
            read(&mut decoder, &mut out, allowance, size);
            rest = decoder.into_inner();
        }
        12 => rest = member(Codec::Bzip2, rest, &mut out, allowance, size),
        14 => rest = zip_lzma(rest, plain, &mut out, allowance, size),
        93 | 20 => rest = member(Codec::Zstd, rest, &mut out, allowance, size),
        95 => rest = member(Codec::Xz, rest, &mut out, allowance, size),
        _ => return None,
    }
    out.used = input.len() - rest.len();
    Some(out)
}

/// Whether another stream of the codec comes next: only where its readers go on to it.
fn follows(codec: Codec, rest: &[u8]) -> bool {
    match codec {
        Codec::Zlib | Codec::JoblibZ | Codec::LzmaAlone => false,
        _ => crate::format::sniff(rest) == crate::format::Format::Compressed(codec),
    }
}

/// Unpacks one stream, and gives what stands behind it.
fn member<'a>(codec: Codec, input: &'a [u8], out: &mut Expanded, allowance: Allowance, size: u64) -> &'a [u8] {
    match codec {
        Codec::Gzip => {
            let mut decoder = GzDecoder::new(input);
            read(&mut decoder, out, allowance, size);
            decoder.into_inner()
        }
        Codec::Zlib | Codec::JoblibZ => {
            let mut decoder = ZlibDecoder::new(input);
            read(&mut decoder, out, allowance, size);
            decoder.into_inner()
        }
        Codec::Bzip2 => {
            let mut decoder = bzip2::bufread::BzDecoder::new(input);
            read(&mut decoder, out, allowance, size);
            decoder.into_inner()
        }
        Codec::Xz => lzma(Stream::new_stream_decoder(LZMA_MEMORY, 0), input, out, allowance, size),
        Codec::LzmaAlone => lzma(Stream::new_lzma_decoder(LZMA_MEMORY), input, out, allowance, size),
        Codec::Zstd => zstd(input, out, allowance, size),
        Codec::Lz4 => {
            let mut decoder = lz4_flex::frame::FrameDecoder::new(input);
            read(&mut decoder, out, allowance, size);
            decoder.into_inner()
        }
    }
}

fn lzma<'a>(
    stream: Result<Stream, liblzma::stream::Error>, input: &'a [u8], out: &mut Expanded, allowance: Allowance,
    size: u64,
) -> &'a [u8] {
    match stream {
        Ok(stream) => {
            let mut decoder = XzDecoder::new_stream(input, stream);
            read(&mut decoder, out, allowance, size);
            decoder.into_inner()
        }
        Err(error) => {
            out.halt = Some(Halt::Damaged(error.to_string()));
            input
        }
    }
}

fn zstd<'a>(input: &'a [u8], out: &mut Expanded, allowance: Allowance, size: u64) -> &'a [u8] {
    let made = zstd::stream::read::Decoder::with_buffer(input).and_then(|decoder| {
        let mut decoder = decoder.single_frame();
        decoder.window_log_max(WINDOW_BITS)?;
        Ok(decoder)
    });
    match made {
        Ok(mut decoder) => {
            read(&mut decoder, out, allowance, size);
            decoder.finish()
        }
        Err(error) => {
            out.halt = Some(Halt::Damaged(error.to_string()));
            input
        }
    }
}

/// Zip's method 14: a version, the length of the properties, the properties, then raw lzma.
fn zip_lzma<'a>(input: &'a [u8], plain: Option<u64>, out: &mut Expanded, allowance: Allowance, size: u64) -> &'a [u8] {
    let Some((&[_, _, 5, 0, ref properties @ ..], body)) = input.split_first_chunk::<9>() else {
        out.halt = Some(Halt::Damaged("no lzma properties".to_owned()));
        return input;
    };
    // Raw lzma may or may not have an end mark; the alone format takes both, given the length.
    let mut alone = properties.to_vec();
    alone.extend_from_slice(&plain.unwrap_or(u64::MAX).to_le_bytes());
    let stream = match Stream::new_lzma_decoder(LZMA_MEMORY) {
        Ok(stream) => stream,
        Err(error) => {
            out.halt = Some(Halt::Damaged(error.to_string()));
            return input;
        }
    };
    let chained = std::io::BufReader::new(alone.as_slice().chain(body));
    let mut decoder = XzDecoder::new_stream(chained, stream);
    read(&mut decoder, out, allowance, size);
    &[]
}

/// Reads to the end, a limit or a fault.
fn read(from: &mut impl Read, out: &mut Expanded, allowance: Allowance, compressed: u64) {
    const CHUNK: u64 = 1 << 20;
    let most_by_ratio = compressed.saturating_mul(allowance.ratio).max(FREE);
    let bound = allowance.bytes.min(most_by_ratio);
    loop {
        let have = out.data.len() as u64;
        if have >= bound {
            // A stream that ends just here is whole.
            let mut one = [0u8; 1];
            if matches!(from.read(&mut one), Ok(1)) {
                out.halt = Some(if have >= allowance.bytes { Halt::Budget } else { Halt::Ratio });
            }
            return;
        }
        // Room doubles with what is there: never more than twice of what was really unpacked.
        let ask = (bound - have).min(CHUNK.max(have));
        match from.by_ref().take(ask).read_to_end(&mut out.data) {
            Ok(_) if (out.data.len() as u64) < have + ask => return,
            Ok(_) => {}
            Err(error) => {
                out.halt = Some(Halt::Damaged(error.to_string()));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const ALL: Allowance = Allowance { bytes: 1 << 30, ratio: 1 << 20 };

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    /// A second member, or bytes behind the last, would go unseen.
    #[test]
    fn members_are_joined_and_the_rest_is_told() {
        let file = [gzip(b"one"), gzip(b"two"), b"rest".to_vec()].concat();
        let out = expand(Codec::Gzip, &file, ALL);
        assert_eq!((out.data.as_slice(), out.used, out.halt), (&b"onetwo"[..], file.len() - 4, None));
    }

    /// What a loader reads before it meets the damage must be seen here too.
    #[test]
    fn what_comes_before_damage_is_kept() {
        let mut file = gzip(&[b'a'; 100_000]);
        file.truncate(file.len() - 9);
        let out = expand(Codec::Gzip, &file, ALL);
        assert!(!out.data.is_empty() && matches!(out.halt, Some(Halt::Damaged(_))));
    }

    /// A bomb must cost the limit and no more.
    #[test]
    fn limits_stop_bombs() {
        let file = gzip(&vec![0; 10 << 20]);
        let out = expand(Codec::Gzip, &file, Allowance { bytes: 1 << 20, ratio: 10 });
        assert_eq!((out.data.len(), out.halt), (1 << 20, Some(Halt::Budget)));
        let whole = expand(Codec::Gzip, &file, Allowance { bytes: 10 << 20, ratio: 10 });
        assert_eq!((whole.data.len(), whole.halt), (10 << 20, None));
    }

    /// Every codec must give back what its own writer took, and say where it ends.
    #[test]
    fn every_codec_round_trips() {
        let plain: Vec<u8> = (0..50_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let packed = |codec| match codec {
            Codec::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(&plain).unwrap();
                encoder.finish().unwrap()
            }
            Codec::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
                encoder.write_all(&plain).unwrap();
                encoder.finish().unwrap()
            }
            Codec::Zstd => zstd::stream::encode_all(plain.as_slice(), 1).unwrap(),
            Codec::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(&plain).unwrap();
                encoder.finish().unwrap()
            }
            _ => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&plain).unwrap();
                encoder.finish().unwrap()
            }
        };
        for codec in [Codec::Bzip2, Codec::Xz, Codec::Zstd, Codec::Lz4, Codec::Zlib] {
            let mut file = packed(codec);
            let length = file.len();
            file.extend_from_slice(b"tail");
            let out = expand(codec, &file, ALL);
            assert_eq!(out.data, plain, "{codec:?}");
            assert_eq!((out.used, &out.halt), (length, &None), "{codec:?}");
        }
    }
}
