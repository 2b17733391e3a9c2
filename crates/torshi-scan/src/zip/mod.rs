//! Zip archives: every reading of every entry, handed back to the walk. Readers differ in which header they
//! believe, whether they check sums, and from where they count; whatever one of them would load is looked at,
//! and where they differ in an archive with pickles, that is a finding. It unpacks within the walk's limits.

mod directory;

use crate::code::Code;
use crate::expand::{expand_zip, Expanded};
use crate::format::{sniff, Format};
use crate::hidden;
use crate::walk::{Place, Walk};
use directory::{directory, local_header, local_places, Directory, Header};
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

/// Local headers of one archive that are looked at without a directory listing them.
const MOST_UNLISTED: usize = 10_000;

/// Oddities of an archive, told only if there are pickles in it.
#[derive(Default)]
struct Oddities(Vec<(Code, String, Place, u64)>);

/// Looks at every entry of an archive, by both directories.
pub(crate) fn scan(walk: &mut Walk<'_>, data: &[u8], place: &Place) -> u64 {
    let listed = directory(data);
    if listed.is_none() && sniff(data) != Format::Zip {
        return 0; // the end mark of an archive by chance, as in programs that read archives
    }
    let inner = place.inside("zip");
    walk.is(&inner.format, place);
    let known = listed.is_some();
    let listed =
        listed.unwrap_or(Directory { start: data.len(), end: data.len(), damaged: true, ..Directory::default() });
    if listed.damaged {
        let what = if known { "is cut short" } else { "is missing" };
        let message = format!("the directory of the archive {what}; entries were looked for one by one");
        walk.say(Code::Damaged, message, &inner, None);
    }
    // Every byte in two readings, and the small rest of those that overlap by chance.
    let stored_left = 2 * data.len() as u64 + 4096;
    let mut archive = Archive {
        stored_left,
        data,
        torch: is_torch(&listed),
        oddities: Oddities::default(),
        covered: Vec::new(),
        inner,
    };
    let mut found = archive.listed(walk, &listed);
    found += archive.gaps(walk, &listed);
    if found > 0 {
        if listed.prefix > 0 && listed.start > 0 {
            let message = format!("{} bytes stand in front of the archive", listed.prefix);
            archive.oddities.0.push((Code::ZipPrefix, message, archive.inner.clone(), 0));
        }
        for (code, message, place, offset) in archive.oddities.0 {
            walk.say(code, message, &place, Some(offset));
        }
    }
    found
}

/// PyTorch's archives: their loader answers persistent ids with storages.
fn is_torch(listed: &Directory) -> bool {
    let has = |end: &[u8]| listed.entries.iter().any(|entry| entry.name.ends_with(end));
    has(b"/data.pkl") && (has(b"/version") || has(b"/byteorder"))
}

/// `NAME/data/NUMBER`: the numbers of a tensor.
fn is_storage(name: &[u8]) -> bool {
    let mut parts = name.rsplit(|&byte| byte == b'/');
    parts.next().is_some_and(|last| last.iter().all(u8::is_ascii_digit)) && parts.next() == Some(b"data")
}

struct Archive<'d> {
    data: &'d [u8],
    torch: bool,
    /// Bytes that may yet be read without being unpacked: entries that overlap come to any number of them.
    stored_left: u64,
    oddities: Oddities,
    /// Parts that entries take up.
    covered: Vec<Range<usize>>,
    inner: Place,
}

impl Archive<'_> {
    fn odd(&mut self, code: Code, message: String, place: &Place, offset: usize) {
        if self.oddities.0.len() < 100 {
            self.oddities.0.push((code, message, place.clone(), offset as u64));
        }
    }

    /// The entries of the central directory.
    fn listed(&mut self, walk: &mut Walk<'_>, listed: &Directory) -> u64 {
        let mut names = HashSet::new();
        let mut found = 0;
        for central in &listed.entries {
            if !walk.count_entry(&self.inner) {
                break;
            }
            let name = String::from_utf8_lossy(&central.name).into_owned();
            let raw = self.torch && is_storage(&central.name);
            let place = Place { torch: self.torch, raw, ..self.inner.named(&name) };
            if !names.insert(&central.name) {
                self.odd(Code::ZipDuplicate, format!("the name {name} stands twice in the directory"), &place, 0);
            }
            found += self.entry(walk, central, listed, &place);
        }
        found
    }

    /// One entry of the central directory, wherever readers look for it.
    fn entry(&mut self, walk: &mut Walk<'_>, central: &Header, listed: &Directory, place: &Place) -> u64 {
        let moved = central.offset.saturating_add(listed.prefix);
        let mut starts = vec![moved];
        if listed.prefix > 0 {
            starts.push(central.offset);
        }
        let mut found = 0;
        let mut any = false;
        for start in starts {
            let Some(local) = usize::try_from(start).ok().and_then(|start| local_header(self.data, start)) else {
                continue;
            };
            any = true;
            found += self.readings(walk, central, &local, start as usize, place);
        }
        if !any && central.compressed > 0 {
            let message = format!("no header stands at byte {moved}, where the directory says");
            walk.say(Code::Damaged, message, place, Some(moved));
        }
        found
    }

    /// What the central directory says of an entry, and what the header before it says, if that is another thing.
    fn readings(&mut self, walk: &mut Walk<'_>, central: &Header, local: &Header, start: usize, place: &Place) -> u64 {
        let from = local.offset as usize;
        let extent = |size: u64| from..from.saturating_add(size as usize).min(self.data.len());
        let whole = extent(central.compressed);
        if (from as u64).saturating_add(central.compressed) > self.data.len() as u64 {
            walk.say(Code::Damaged, "the entry reaches over the end of the archive".to_owned(), place, None);
        }
        self.cover(start..whole.end.max(from.min(self.data.len())), place);
        let mut found = self.contents(walk, central, whole.clone(), place);
        let sized = !local.deferred() || local.compressed != 0;
        let second = Header { compressed: if sized { local.compressed } else { central.compressed }, ..local.clone() };
        let same_contents = second.method == central.method && second.compressed == central.compressed;
        let mut disagree = Vec::new();
        if local.name != central.name {
            disagree.push(format!("name {:?}", String::from_utf8_lossy(&local.name)));
        }
        if local.method != central.method {
            disagree.push(format!("method {} and not {}", local.method, central.method));
        }
        if sized && local.compressed != central.compressed {
            disagree.push(format!("{} compressed bytes and not {}", local.compressed, central.compressed));
        }
        if sized && local.plain != central.plain {
            disagree.push(format!("{} bytes and not {}", local.plain, central.plain));
        }
        if sized && local.crc != central.crc {
            disagree.push("another checksum".to_owned());
        }
        if local.encrypted() != central.encrypted() {
            disagree.push("another flag for encryption".to_owned());
        }
        if !same_contents {
            let range = extent(second.compressed);
            found += self.contents(walk, &Header { crc: local.crc, ..second }, range, place);
        }
        if !disagree.is_empty() {
            let message = format!("the header before the entry says {}", disagree.join(", "));
            self.odd(Code::ZipHeaders, message, place, start);
        }
        found
    }

    /// Unpacks one reading of an entry and walks on.
    fn contents(&mut self, walk: &mut Walk<'_>, header: &Header, range: Range<usize>, place: &Place) -> u64 {
        let raw = self.data.get(range.clone()).unwrap_or_default();
        if header.method == 0 {
            if raw.len() as u64 > self.stored_left {
                let message = "entries that overlap come to more than twice the archive".to_owned();
                walk.say(Code::Expanded, message, place, None);
                return 0;
            }
            self.stored_left -= raw.len() as u64;
        }
        let unpacked = match header.method {
            0 => Some((Cow::Borrowed(raw), None)),
            method => expand_zip(method, raw, Some(header.plain), walk.allowance()).map(|out| {
                walk.spend(&out);
                let Expanded { data, halt, used } = out;
                (Cow::Owned(data), Some((halt, used)))
            }),
        };
        let inner = place.clone();
        let Some((plain, state)) = unpacked else {
            if header.encrypted() {
                walk.say(Code::Encrypted, "the entry is encrypted".to_owned(), &inner, None);
            } else {
                let message = format!("compression method {} is not supported", header.method);
                walk.say(Code::Unsupported, message, &inner, None);
            }
            return hidden::search(walk, raw, &inner);
        };
        let halt = state.as_ref().and_then(|(halt, _)| halt.clone());
        let sound = crc32fast::hash(&plain) == header.crc;
        if header.encrypted() {
            if !sound
                && (halt.is_some() || header.method == 0 || plain.len() as u64 != header.plain)
                && !shows_pickle(&plain)
            {
                walk.say(Code::Encrypted, "the entry is encrypted".to_owned(), &inner, None);
                return hidden::search(walk, raw, &inner);
            }
            self.odd(Code::ZipFlag, "the entry says it is encrypted, and is not".to_owned(), place, range.start);
        }
        if halt.is_some() {
            walk.halted(&Expanded { data: Vec::new(), used: plain.len(), halt: halt.clone() }, &inner);
        } else if !sound {
            self.odd(Code::ZipCrc, "the checksum of the entry is wrong".to_owned(), place, range.start);
        }
        let mut found = walk.walk(&plain, &inner);
        if let Some((None, used)) = state {
            found += walk.behind(&raw[used.min(raw.len())..], &inner, used, false);
        }
        found
    }

    /// Notes that an entry takes up a part, which no other may.
    fn cover(&mut self, range: Range<usize>, place: &Place) {
        if range.start < range.end {
            if self.covered.len() < 100_000 {
                self.covered.push(range);
            } else {
                self.odd(Code::ZipOverlap, "too many entries to compare".to_owned(), place, range.start);
            }
        }
    }

    /// What lies between the entries, in front of them and behind the archive.
    fn gaps(&mut self, walk: &mut Walk<'_>, listed: &Directory) -> u64 {
        self.covered.sort_by_key(|range| (range.start, range.end));
        let mut found = 0;
        let mut end = 0;
        let covered = std::mem::take(&mut self.covered);
        let mut unlisted = 0;
        for range in covered.into_iter().chain(std::iter::once(listed.start..listed.end)) {
            if range.start > end {
                found += self.gap(walk, listed, end..range.start, &mut unlisted);
            } else if range.start < end && range.start < listed.start {
                let message = format!("the entry at byte {} begins within the one before", range.start);
                let inner = self.inner.clone();
                self.odd(Code::ZipOverlap, message, &inner, range.start);
            }
            end = end.max(range.end);
        }
        found += self.gap(walk, listed, end..self.data.len(), &mut unlisted);
        if listed.end > listed.start {
            // Names, extra fields and comments can hold anything.
            found += hidden::search(walk, &self.data[listed.start..listed.end], &self.inner.at(listed.start));
        }
        found
    }

    fn gap(&mut self, walk: &mut Walk<'_>, listed: &Directory, range: Range<usize>, unlisted: &mut usize) -> u64 {
        let part = &self.data[range.clone()];
        let mut found = 0;
        let mut read = 0;
        for at in local_places(part) {
            if at < read {
                continue;
            }
            let Some(local) = local_header(self.data, range.start + at) else { continue };
            if *unlisted >= MOST_UNLISTED || !walk.count_entry(&self.inner) {
                break;
            }
            *unlisted += 1;
            let name = String::from_utf8_lossy(&local.name).into_owned();
            let place = Place { torch: self.torch, ..self.inner.named(&name) };
            let from = local.offset as usize;
            let size = if local.deferred() && local.compressed == 0 { range.end as u64 } else { local.compressed };
            let extent = from.min(self.data.len())
                ..from.saturating_add(size as usize).min(range.end).max(from.min(self.data.len()));
            let before = (walk.result.undecided.len(), walk.result.entries.len());
            let inside = self.contents(walk, &local, extent.clone(), &place);
            if inside == 0 {
                // By chance, or left over from an update: nothing that a reader could load.
                walk.result.undecided.truncate(before.0);
                walk.result.entries.truncate(before.1);
                continue;
            }
            found += inside;
            read = extent.end.saturating_sub(range.start);
            let message = "the directory does not list this entry".to_owned();
            if !listed.entries.is_empty() {
                self.odd(Code::ZipUnlisted, message, &place, range.start + at);
            }
        }
        found + hidden::search(walk, part, &self.inner.at(range.start))
    }
}

/// Whether bytes that are said to be encrypted begin like something a loader could read.
fn shows_pickle(plain: &[u8]) -> bool {
    crate::pickles::has_header(plain) || sniff(plain) != Format::Other
}
