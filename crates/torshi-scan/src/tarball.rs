//! tar archives: the entries' bytes, where they lie in the file. Links, folders and devices have none. It
//! writes nothing and follows no link.

use crate::code::Code;
use crate::walk::{Place, Walk};
use std::io::Read;
use tar::EntryType;

/// Looks at every entry of an archive.
pub(crate) fn scan(walk: &mut Walk<'_>, data: &[u8], place: &Place) -> u64 {
    let inner = place.inside("tar");
    walk.is(&inner.format, place);
    let mut found = 0;
    let mut archive = tar::Archive::new(std::io::Cursor::new(data));
    archive.set_ignore_zeros(true); // entries behind the end mark are seen too
    let entries = match archive.entries_with_seek() {
        Ok(entries) => entries,
        Err(error) => {
            walk.say(Code::Damaged, error.to_string(), &inner, None);
            return 0;
        }
    };
    let mut end = 0;
    for entry in entries {
        let mut entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let message = format!("the archive cannot be read on from byte {end}: {error}");
                walk.say(Code::Damaged, message, &inner, Some(end as u64));
                found += walk.behind(&data[end.min(data.len())..], &inner, end, false);
                break;
            }
        };
        if !walk.count_entry(&inner) {
            break;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let (at, size) = (entry.raw_file_position() as usize, entry.size() as usize);
        let here = inner.named(&name);
        match entry.header().entry_type() {
            EntryType::GNUSparse => {
                let mut whole = Vec::new();
                let most = walk.expanded_left;
                let read = entry.by_ref().take(most).read_to_end(&mut whole);
                walk.expanded_left -= (whole.len() as u64).min(most);
                if read.is_err() || whole.len() < size {
                    walk.say(Code::Expanded, format!("{size} bytes in a sparse entry"), &here, None);
                }
                found += walk.walk(&whole, &here);
                end = at;
            }
            _ => {
                let body = data.get(at..).unwrap_or_default();
                if body.len() < size {
                    walk.say(Code::Damaged, format!("{size} bytes declared, {} left", body.len()), &here, None);
                }
                let body = &body[..size.min(body.len())];
                if !body.is_empty() {
                    found += walk.walk(body, &here);
                }
                end = at.saturating_add(size.div_ceil(512).saturating_mul(512)).min(data.len());
            }
        }
    }
    found
}
