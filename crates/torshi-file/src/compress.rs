//! Bytes to frames of zstd, lz4 or gzip, and back. What does not get smaller is stored as it is, in a frame of its own:
//! the ordinary tools read frames in a row as one. It writes to and reads from what it is given, and never more of that
//! than it is told.

use crate::layout::Container;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use std::io::{self, Read, Write};

/// Level of zstd where none is given: its own default.
const ZSTD_LEVEL: i32 = 3;
/// Level at which zstd passes over what does not get smaller at the speed of copying.
const ZSTD_PASSING: i32 = -100;
/// The largest window a reader keeps in memory: 64 MiB.
const WINDOW_BITS: u32 = 26;
/// Level of gzip where none is given: its own default.
const GZIP_LEVEL: u32 = 6;
/// Samples of a buffer, and bytes of each.
const SAMPLES: usize = 8;
const SAMPLE: usize = 16 << 10;
/// What samples must shrink to for compression to be worth its time: so many hundredths.
const WORTH: usize = 97;

/// How to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The format.
    pub container: Container,
    /// Its level.
    pub level: Option<i32>,
}

impl Way {
    /// Levels a format has.
    pub fn levels(container: Container) -> std::ops::RangeInclusive<i32> {
        match container {
            // Beyond that readers need more memory than anyone should give a file he does not know.
            Container::Zstd => 1..=19,
            Container::Gzip => 1..=9,
            Container::Plain | Container::Lz4 => 0..=0,
        }
    }
}

enum Frame<W: Write> {
    Zstd(zstd::stream::write::Encoder<'static, W>),
    Lz4(Box<FrameEncoder<W>>),
    Gzip(GzEncoder<W>),
}

impl<W: Write> Frame<W> {
    fn begin(way: Way, passing: bool, to: W) -> io::Result<Self> {
        Ok(match way.container {
            Container::Gzip => {
                let level = if passing { 0 } else { way.level.map_or(GZIP_LEVEL, |level| level.unsigned_abs()) };
                Frame::Gzip(GzEncoder::new(to, flate2::Compression::new(level)))
            }
            Container::Lz4 => {
                // Stores by itself what does not get smaller.
                let info = FrameInfo::new().block_size(BlockSize::Max4MB).block_mode(BlockMode::Linked);
                Frame::Lz4(Box::new(FrameEncoder::with_frame_info(info.content_checksum(true), to)))
            }
            Container::Zstd | Container::Plain => {
                let level = if passing { ZSTD_PASSING } else { way.level.unwrap_or(ZSTD_LEVEL) };
                let mut encoder = zstd::stream::write::Encoder::new(to, level)?;
                encoder.include_checksum(true)?;
                Frame::Zstd(encoder)
            }
        })
    }

    fn end(self) -> io::Result<W> {
        match self {
            Frame::Zstd(encoder) => encoder.finish(),
            Frame::Lz4(encoder) => encoder.finish().map_err(io::Error::other),
            Frame::Gzip(encoder) => encoder.finish(),
        }
    }
}

/// A stream on its way into frames.
pub struct Packer<W: Write> {
    way: Way,
    passing: bool,
    frame: Option<Frame<W>>,
}

impl<W: Write> Packer<W> {
    /// Begins the first frame.
    pub fn new(way: Way, to: W) -> io::Result<Self> {
        Ok(Packer { way, passing: false, frame: Some(Frame::begin(way, false, to)?) })
    }

    /// Says whether what comes next is worth compressing; another frame begins where that changes.
    pub fn pass(&mut self, passing: bool) -> io::Result<()> {
        if passing != self.passing && self.way.container != Container::Lz4 {
            if let Some(frame) = self.frame.take() {
                self.frame = Some(Frame::begin(self.way, passing, frame.end()?)?);
            }
            self.passing = passing;
        }
        Ok(())
    }

    /// Ends the last frame.
    pub fn finish(mut self) -> io::Result<W> {
        match self.frame.take() {
            Some(frame) => frame.end(),
            None => Err(io::Error::other("an earlier write failed")),
        }
    }
}

impl<W: Write> Write for Packer<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match &mut self.frame {
            Some(Frame::Zstd(encoder)) => encoder.write(data),
            Some(Frame::Lz4(encoder)) => encoder.write(data),
            Some(Frame::Gzip(encoder)) => encoder.write(data),
            None => Err(io::Error::other("an earlier write failed")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether data gets smaller, by samples of it.
pub fn is_worth_compressing(data: &[u8]) -> bool {
    let stride = (data.len() / SAMPLES).max(1);
    let (mut before, mut after) = (0, 0);
    for start in (0..data.len()).step_by(stride).take(SAMPLES) {
        let sample = &data[start..data.len().min(start + SAMPLE)];
        before += sample.len();
        after += zstd::bulk::compress(sample, 1).map_or(sample.len(), |packed| packed.len());
    }
    after * 100 < before * WORTH
}

/// A stream on its way out of frames.
pub enum Unpacker<R: Read> {
    /// As it is.
    Plain(R),
    /// Frames of zstd, in a row.
    Zstd(Box<zstd::stream::read::Decoder<'static, io::BufReader<R>>>),
    /// Frames of lz4, in a row.
    Lz4(Box<FrameDecoder<io::BufReader<R>>>),
    /// Members of gzip, in a row.
    Gzip(Box<MultiGzDecoder<R>>),
}

impl<R: Read> Unpacker<R> {
    /// Begins with the first frame.
    pub fn new(container: Container, from: R) -> io::Result<Self> {
        Ok(match container {
            Container::Plain => Unpacker::Plain(from),
            Container::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(from)?;
                decoder.window_log_max(WINDOW_BITS)?;
                Unpacker::Zstd(Box::new(decoder))
            }
            Container::Lz4 => Unpacker::Lz4(Box::new(FrameDecoder::new(io::BufReader::with_capacity(1 << 16, from)))),
            Container::Gzip => Unpacker::Gzip(Box::new(MultiGzDecoder::new(from))),
        })
    }
}

impl<R: Read> Read for Unpacker<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Unpacker::Plain(from) => from.read(into),
            Unpacker::Zstd(decoder) => decoder.read(into),
            Unpacker::Gzip(decoder) => decoder.read(into),
            Unpacker::Lz4(decoder) => loop {
                // Nothing is the end of a frame; behind the last one comes nothing.
                let n = decoder.read(into)?;
                if n > 0 || into.is_empty() || io::BufRead::fill_buf(decoder.get_mut())?.is_empty() {
                    return Ok(n);
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"noise");
        let mut bytes = vec![0; length];
        hasher.finalize_xof().fill(&mut bytes);
        bytes
    }

    fn ways() -> Vec<Way> {
        let of = |container, level| Way { container, level };
        vec![
            of(Container::Zstd, None),
            of(Container::Zstd, Some(19)),
            of(Container::Lz4, None),
            of(Container::Gzip, None),
            of(Container::Gzip, Some(9)),
        ]
    }

    #[test]
    fn what_goes_in_comes_out() {
        for way in ways() {
            let (text, noise) = (b"some text ".repeat(100_000), noise(3 << 20));
            let mut packer = Packer::new(way, Vec::new()).unwrap();
            for part in [&text, &noise, &text] {
                packer.pass(!is_worth_compressing(part)).unwrap();
                packer.write_all(part).unwrap();
            }
            let packed = packer.finish().unwrap();
            assert_eq!(Container::sniff(&packed), way.container);
            assert!(packed.len() < noise.len() + text.len() / 10, "{way:?}");
            let mut back = Vec::new();
            Unpacker::new(way.container, &packed[..]).unwrap().read_to_end(&mut back).unwrap();
            assert!(back == [&text[..], &noise, &text].concat(), "{way:?}");
            for cut in [packed.len() - 1, packed.len() / 2] {
                let mut back = Vec::new();
                assert!(
                    Unpacker::new(way.container, &packed[..cut]).unwrap().read_to_end(&mut back).is_err(),
                    "{way:?}"
                );
            }
        }
    }

    #[test]
    fn noise_is_noticed() {
        assert!(!is_worth_compressing(&noise(1 << 20)));
        assert!(is_worth_compressing(&vec![0; 1 << 20]));
        let floats: Vec<u8> = (0..200_000).flat_map(|n| f64::from(n).to_le_bytes()).collect();
        assert!(is_worth_compressing(&floats));
        assert!(!is_worth_compressing(b""));
    }
}
