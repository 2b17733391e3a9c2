//! The walk: bytes in, every container in them opened and every pickle handed to `pickles`. It decides by
//! content which taker-apart is asked, counts what is unpacked against the limits, and never judges.

use crate::code::Code;
use crate::expand::{expand, Allowance, Expanded, Halt};
use crate::format::{ends_in_zip, sniff, Codec, Format};
use crate::limits::ScanLimits;
use crate::result::{statement, Entry, FileResult, Statement};
use crate::{hidden, npy, pickles, tarball, zip};
use std::panic::{catch_unwind, AssertUnwindSafe};
use torshi_core::policy::Policy;

/// Bytes that checks may read, once for each byte of what is looked at and more: data can be such that each of many
/// beginnings of pickles leads through all that follows.
const WORK: u64 = 256 << 20;
const WORK_PER_BYTE: u64 = 16;

/// What every file of a scan is judged by.
#[derive(Clone)]
pub struct Settings {
    /// What is allowed.
    pub policy: Policy,
    /// How much is unpacked.
    pub limits: ScanLimits,
}

/// A pickle of a file: not one that is hidden in other data, or breaks off.
pub struct FoundPickle {
    /// Which entry of the file, as in results; empty for the file itself.
    pub entry: String,
    /// Offset in the entry, unpacked.
    pub offset: u64,
    /// Its bytes, up to and including STOP, with the arrays that joblib's layout has between them.
    pub data: Vec<u8>,
}

/// Scans bytes as a file of that name.
pub fn scan_bytes(data: &[u8], name: &str, settings: &Settings) -> FileResult {
    scan_within(data, name, settings, None).0
}

/// The same, with the pickles themselves, for whoever learns from a file.
pub fn pickles_of(data: &[u8], name: &str, settings: &Settings) -> (FileResult, Vec<FoundPickle>) {
    scan_within(data, name, settings, Some(Vec::new()))
}

fn scan_within(
    data: &[u8], name: &str, settings: &Settings, kept: Option<Vec<FoundPickle>>,
) -> (FileResult, Vec<FoundPickle>) {
    let size = data.len() as u64;
    if size > settings.limits.file {
        let message = format!("{size} bytes: over the limit file={}", settings.limits.file);
        return (FileResult::unread(name, size, Code::FileSize, &message), Vec::new());
    }
    // A bug in a library that unpacks must not end the scan of other files, nor pass for a verdict.
    let scanned = catch_unwind(AssertUnwindSafe(|| scan_all(data, name, settings, kept)));
    scanned.unwrap_or_else(|_| {
        let failed = "the scan of this file failed: please report it";
        (FileResult::unread(name, size, Code::Failed, failed), Vec::new())
    })
}

fn scan_all(
    data: &[u8], name: &str, settings: &Settings, kept: Option<Vec<FoundPickle>>,
) -> (FileResult, Vec<FoundPickle>) {
    let mut result = FileResult::new(name, data.len() as u64);
    result.blake3 = Some(blake3::hash(data).to_hex().to_string());
    let limits = &settings.limits;
    let mut walk = Walk {
        settings,
        result,
        expanded_left: limits.expanded,
        entries_left: limits.entries,
        work_left: WORK + WORK_PER_BYTE * data.len() as u64,
        top: String::new(),
        kept,
    };
    walk.walk(data, &Place::default());
    walk.result.format = walk.top;
    walk.result.conclude();
    (walk.result, walk.kept.unwrap_or_default())
}

/// Where in a file the walk is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// Names of entries, joined by `!`.
    pub name: String,
    /// Formats so far.
    pub format: String,
    /// How many containers were opened.
    pub depth: u32,
    /// Part of a PyTorch file, whose loader answers persistent ids with storages.
    pub torch: bool,
    /// Raw numbers: what begins like a pickle there does so by chance, unless it does something.
    pub raw: bool,
    /// Offset of what is looked at in the entry.
    pub base: u64,
}

impl Place {
    /// One container further in, with the same name.
    pub fn inside(&self, format: &str) -> Place {
        Place { depth: self.depth + 1, format: self.chain(format), base: 0, ..self.clone() }
    }

    /// An entry of the archive that this is the inside of.
    pub fn named(&self, name: &str) -> Place {
        let name = if self.name.is_empty() { name.to_owned() } else { format!("{}!{name}", self.name) };
        Place { name, ..self.clone() }
    }

    /// The formats so far and one more.
    pub fn chain(&self, format: &str) -> String {
        if self.format.is_empty() {
            format.to_owned()
        } else {
            format!("{} > {format}", self.format)
        }
    }

    /// The same place, further on.
    pub fn at(&self, offset: usize) -> Place {
        Place { base: self.base + offset as u64, ..self.clone() }
    }
}

/// The scan of one file.
pub(crate) struct Walk<'s> {
    pub settings: &'s Settings,
    pub result: FileResult,
    pub expanded_left: u64,
    pub entries_left: u64,
    pub work_left: u64,
    /// What the file itself is.
    pub top: String,
    /// The pickles, where somebody wants them.
    pub kept: Option<Vec<FoundPickle>>,
}

impl Walk<'_> {
    /// Looks at data of any format; gives how many pickles it found.
    pub fn walk(&mut self, data: &[u8], place: &Place) -> u64 {
        if place.depth > self.settings.limits.nesting {
            let message =
                format!("containers inside containers: over the limit nesting={}", self.settings.limits.nesting);
            self.say(Code::Nesting, message, place, None);
            return 0;
        }
        let format = sniff(data);
        let mut found = match format {
            Format::Compressed(codec) => self.compressed(codec, data, place),
            Format::Zip => zip::scan(self, data, place),
            Format::Tar => tarball::scan(self, data, place),
            Format::Npy => npy::scan(self, data, place),
            Format::Unsupported(name) => {
                self.say(Code::Unsupported, format!("{name} archives are not unpacked"), place, None);
                self.entry(place, name, data.len(), 0);
                0
            }
            Format::Other => self.plain(data, place),
        };
        // Whatever else a file is, stock pickle begins at its first byte.
        if format != Format::Other {
            found += pickles::row(self, data, place, true).unwrap_or(0);
        }
        if format != Format::Zip && ends_in_zip(data, format == Format::Other) {
            found += zip::scan(self, data, place);
        }
        found
    }

    /// Pickles, or a format in which none are.
    fn plain(&mut self, data: &[u8], place: &Place) -> u64 {
        let torch = place.torch || torshi_core::sniff::row_of_pickles(data).is_some();
        if let Some(found) = pickles::row(self, data, &Place { torch, ..place.clone() }, place.raw) {
            return found;
        }
        let what = torshi_core::sniff::sniff(data).unwrap_or("data");
        let what = what.split(" (").next().unwrap_or(what);
        let what = what.strip_prefix("an ").or_else(|| what.strip_prefix("a ")).unwrap_or(what);
        let found = hidden::search(self, data, place);
        self.entry(place, what, data.len(), found);
        found
    }

    fn compressed(&mut self, codec: Codec, data: &[u8], place: &Place) -> u64 {
        let out = expand(codec, data, self.allowance());
        self.spend(&out);
        let weak = matches!(codec, Codec::Zlib | Codec::LzmaAlone);
        if weak && out.data.is_empty() && out.halt.is_some() {
            return self.plain(data, place); // a few bytes fitted by chance
        }
        let inner = place.inside(codec.name());
        self.halted(&out, &inner);
        let found = self.walk(&out.data, &inner);
        found + self.behind(&data[out.used..], place, out.used, out.halt.is_some())
    }

    /// What stands behind the end of a format. Where the end was not found there is nothing to say.
    pub fn behind(&mut self, tail: &[u8], place: &Place, offset: usize, broken: bool) -> u64 {
        if broken || tail.iter().all(|&byte| byte == 0) {
            return 0;
        }
        let place = place.at(offset);
        match sniff(tail) {
            Format::Other | Format::Unsupported(_) => match pickles::row(self, tail, &place, true) {
                Some(found) => found,
                None => hidden::search(self, tail, &place),
            },
            Format::Zip => 0, // the directory at the end leads there
            _ => self.walk(tail, &Place { depth: place.depth + 1, ..place }),
        }
    }

    /// What may be unpacked yet.
    pub fn allowance(&self) -> Allowance {
        Allowance { bytes: self.expanded_left, ratio: self.settings.limits.ratio }
    }

    /// Counts what was unpacked.
    pub fn spend(&mut self, out: &Expanded) {
        let unpacked = out.data.len() as u64;
        self.expanded_left = self.expanded_left.saturating_sub(unpacked);
        self.work_left += WORK_PER_BYTE * unpacked;
    }

    /// Counts bytes that were read; `false`, and says so, if that was too much.
    pub fn work(&mut self, bytes: u64, place: &Place, at: u64) -> bool {
        if bytes < self.work_left {
            self.work_left -= bytes;
            return true;
        }
        if self.work_left > 0 {
            self.work_left = 0;
            let message = format!("stopped at byte {}: too many overlapping beginnings of pickles", place.base + at);
            self.say(Code::Work, message, place, Some(at));
        }
        false
    }

    /// Notes why unpacking stopped early.
    pub fn halted(&mut self, out: &Expanded, place: &Place) {
        let limits = &self.settings.limits;
        let unpacked = out.data.len();
        match &out.halt {
            None => {}
            Some(Halt::Budget) => {
                let message = format!("unpacks to more than the limit expanded={}", limits.expanded);
                self.say(Code::Expanded, message, place, None);
            }
            Some(Halt::Ratio) => {
                let message = format!("unpacks to more than {unpacked} bytes: over the limit ratio={}", limits.ratio);
                self.say(Code::Ratio, message, place, None);
            }
            Some(Halt::Damaged(why)) => {
                let message = format!("damaged or cut off after {unpacked} unpacked bytes: {why}");
                self.say(Code::Damaged, message, place, None);
            }
        }
    }

    /// Takes one from the count of entries; `false`, and says so, if none is left.
    pub fn count_entry(&mut self, place: &Place) -> bool {
        if self.entries_left == 0 {
            let message = format!("more entries than the limit entries={}", self.settings.limits.entries);
            self.say(Code::Entries, message, place, None);
            return false;
        }
        self.entries_left -= 1;
        true
    }

    /// Notes what stands at the end of a chain.
    pub fn entry(&mut self, place: &Place, format: &str, size: usize, pickles: u64) {
        let format = place.chain(format);
        self.is(&format, place);
        self.result.add_entry(Entry { name: place.name.clone(), format, size: size as u64, pickles });
    }

    /// Notes what the file itself is, once.
    pub fn is(&mut self, format: &str, place: &Place) {
        if self.top.is_empty() && place.name.is_empty() {
            self.top = format.to_owned();
        }
    }

    /// Notes a finding or a reason, with its place.
    pub fn say(&mut self, code: Code, message: String, place: &Place, offset: Option<u64>) {
        let offset = offset.map(|offset| place.base + offset);
        self.add(Statement { offset, ..statement(code, message) }, place);
    }

    /// The same, of a statement already made.
    pub fn add(&mut self, statement: Statement, place: &Place) {
        let (entry, format) = (torshi_core::finding::shown(&place.name), place.format.clone());
        self.result.add(Statement { entry, format, ..statement });
    }
}
