//! The scanner: where a pickle ends, in bytes that arrive in pieces. It reads opcodes and arguments by the reader and
//! gives them no meaning.

use super::{Argument, Reader, APART};
use crate::error::{FaultBox, FaultKind, Site};
use crate::opcode::Opcode;

/// What is still missing before a stream is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The pickle ends before this offset, right after its STOP.
    Complete(usize),
    /// At least this many more bytes are needed.
    Bytes(u64),
    /// The rest of a line is needed.
    Line,
    /// A long payload outside frames is not there yet, or not whole. It may be fetched as other bytes are, or be
    /// kept apart: then what came of it is to be taken away, and the scanner told.
    Payload {
        /// BINBYTES, BINBYTES8 or BYTEARRAY8.
        opcode: Opcode,
        /// Where it begins.
        start: usize,
        /// The bytes it is said to have.
        length: u64,
    },
}

/// Finds the end of a pickle in bytes that arrive in pieces, so that a file is read exactly up to
/// the byte after STOP and no further.
#[derive(Clone, Debug, Default)]
pub struct Scanner {
    resume: usize,
    /// Where the last frame ends: payloads within frames stay there.
    frame_end: usize,
}

impl Scanner {
    /// Looks at all bytes read so far; goes on where the last call stopped.
    pub fn advance(&mut self, data: &[u8]) -> Result<Progress, FaultBox> {
        let mut reader = Reader::from_offset(data, self.resume);
        loop {
            self.resume = reader.offset();
            let step = reader.opcode().and_then(|opcode| Ok((opcode, reader.argument()?)));
            match step {
                Ok((Opcode::Stop, _)) => return Ok(Progress::Complete(reader.offset())),
                Ok((Opcode::Frame, Argument::Uint(length))) => {
                    // A frame is fetched whole: one read instead of one for each opcode.
                    let have = (data.len() - reader.offset()) as u64;
                    let length_here = usize::try_from(length).unwrap_or(usize::MAX);
                    self.frame_end = self.frame_end.max(reader.offset().saturating_add(length_here));
                    if length > have {
                        self.resume = reader.offset();
                        return Ok(Progress::Bytes(length - have));
                    }
                }
                Ok(_) => {}
                Err(fault) => {
                    return match fault.kind {
                        FaultKind::EndOfStream => Ok(Progress::Bytes(1)),
                        FaultKind::Truncated { need, .. } if need >= APART && self.may_be_apart(reader.site()) => {
                            let (opcode, start) = (reader.site().opcode, reader.offset());
                            Ok(Progress::Payload { opcode, start, length: need })
                        }
                        FaultKind::Truncated { need, have } => Ok(Progress::Bytes(need - have)),
                        FaultKind::UnendedLine => Ok(Progress::Line),
                        _ => Err(fault),
                    }
                }
            }
        }
    }

    fn may_be_apart(&self, site: Site) -> bool {
        matches!(site.opcode, Opcode::Binbytes | Opcode::Binbytes8 | Opcode::Bytearray8)
            && site.offset >= self.frame_end
    }

    /// The payload that begins at `start` is kept apart: the bytes now end there, and go on behind it.
    pub fn kept_apart(&mut self, start: usize) {
        self.resume = start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::{whole_offset, Gap, Payload};

    /// The file position after a load would be wrong if the scanner asked for one byte too many.
    #[test]
    fn scanner_stops_after_stop() {
        let stream = b"\x80\x04\x95\x03\0\0\0\0\0\0\0K\x01.rest";
        let mut scanner = Scanner::default();
        let mut have = 0;
        loop {
            match scanner.advance(&stream[..have]).unwrap() {
                Progress::Complete(end) => {
                    assert_eq!((end, have), (14, 14));
                    break;
                }
                Progress::Bytes(n) => have += n as usize,
                other => unreachable!("{other:?}"),
            }
        }
    }

    /// Lines are asked for as lines: a text pickle on a terminal or socket must not block for more.
    #[test]
    fn scanner_asks_for_lines() {
        let mut scanner = Scanner::default();
        assert_eq!(scanner.advance(b"I").unwrap(), Progress::Line);
        assert_eq!(scanner.advance(b"I12\n").unwrap(), Progress::Bytes(1));
        assert_eq!(scanner.advance(b"I12\n.").unwrap(), Progress::Complete(5));
    }

    /// A payload kept apart that stock pickle would see within a frame, or one of text, would be read another way.
    #[test]
    fn only_long_bytes_outside_frames_may_be_apart() {
        let long = (APART as u32).to_le_bytes();
        let ask = |stream: &[u8]| Scanner::default().advance(stream).unwrap();
        let outside = [b"NB", &long[..], b"xy"].concat();
        assert_eq!(ask(&outside), Progress::Payload { opcode: Opcode::Binbytes, start: 6, length: APART });
        assert_eq!(ask(&[b"NX", &long[..], b"xy"].concat()), Progress::Bytes(APART - 2)); // text
        let short = (APART as u32 - 1).to_le_bytes();
        assert_eq!(ask(&[b"NB", &short[..], b"xy"].concat()), Progress::Bytes(APART - 3));
        let frame = |length: u8| [0x95, length, 0, 0, 0, 0, 0, 0, 0];
        let reaching_over = [&frame(8)[..], b"NB", &long[..], b"xy"].concat();
        assert_eq!(ask(&reaching_over), Progress::Bytes(APART - 2));
        let nested = [&frame(17)[..], &frame(0)[..], b"NB", &long[..], b"xy"].concat();
        assert_eq!(ask(&nested), Progress::Bytes(APART - 2));
        let behind = [&frame(1)[..], b"NB", &long[..]].concat();
        assert_eq!(ask(&behind), Progress::Payload { opcode: Opcode::Binbytes, start: 15, length: APART });
    }

    /// A gap that is met where none is, or missed, would make the machine read one stream as another.
    #[test]
    fn gaps_are_met_at_their_place_alone() {
        let length = APART as usize;
        let one = [b"B", &(APART as u32).to_le_bytes()[..]].concat();
        let stream = [&one[..], &one, b"."].concat();
        let gaps = [Gap { at: 5, length }, Gap { at: 10, length }];
        let read = |gaps: &[Gap]| -> Result<Vec<usize>, FaultBox> {
            let mut reader = Reader::new(&stream).with_gaps(gaps);
            let mut places = Vec::new();
            while reader.opcode()? != Opcode::Stop {
                match reader.payload()? {
                    Payload::Apart(place) => places.push(place),
                    Payload::Here(_) => unreachable!(),
                }
            }
            Ok(places)
        };
        assert_eq!(read(&gaps).unwrap(), [0, 1]);
        for wrong in [&gaps[..1], &[gaps[0], Gap { at: 9, length }], &[gaps[0], Gap { at: 10, length: length + 1 }]] {
            assert!(matches!(read(wrong).unwrap_err().kind, FaultKind::Truncated { have: 1, .. }));
        }
        assert_eq!([0, 4, 5, 9, 10].map(|at| whole_offset(&gaps, at)), [0, 4, length + 5, length + 9, 2 * length + 10]);
    }
}
