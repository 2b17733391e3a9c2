//! Hidden pickles: data of another format in, the pickles with findings that stand somewhere in it out. Only
//! what comes to a STOP, or acts before it breaks, under a name that could be one, counts: data that looks
//! like a pickle by chance is no finding. The work is bounded by the length of the data.

use crate::code::Code;
use crate::pickles::{broken, check, has_header, is_plausible, Broken, Checked};
use crate::result::{statement, Statement};
use crate::walk::{Place, Walk};
use torshi_core::symbolic::usage;

/// The longest hidden pickle that is read to its end; of a longer one, what it does up to there is seen.
const WINDOW: usize = 1 << 20;
/// The longest line taken for a name.
const LONGEST_NAME: usize = 100;
/// Places in one line at which a GLOBAL may begin.
const MOST_STARTS: usize = 4;
/// What a check costs at least, in bytes read.
const LEAST_WORK: u64 = 256;
/// Bytes passed at a time.
const BLOCK: usize = 128;

/// Programs. They are not searched: who runs one needs no pickle, and tests compiled to bytecode hold many.
fn is_program(data: &[u8]) -> bool {
    const MAGIC: &[&[u8]] =
        &[b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"BC\xc0\xde"];
    let bytecode = matches!(data, [_, 0x0a..=0x0f, b'\r', b'\n', ..]); // CPython 3
    bytecode || MAGIC.iter().any(|magic| data.starts_with(magic))
}

/// Searches data for pickles with findings; gives how many there are.
pub(crate) fn search(walk: &mut Walk<'_>, data: &[u8], place: &Place) -> u64 {
    if place.base == 0 && is_program(data) {
        return 0;
    }
    let mut search = Search { found: 0, from: 0 };
    // A place in a block is looked at only where the block has one: most have none, and are passed many bytes at a time.
    for start in (0..data.len()).step_by(BLOCK) {
        let end = data.len().min(start + BLOCK);
        if end - start == BLOCK && start > 0 && end < data.len() && !is_likely(&data[start - 1..=end]) {
            continue;
        }
        for at in start..end {
            if matches!(data[at], 0x80 | b'\n') && at >= search.from && !search.look(walk, data, place, at) {
                return search.found;
            }
        }
    }
    search.found
}

/// Whether a block, with the byte before it and the one behind it, has a place where a pickle may begin.
fn is_likely(around: &[u8]) -> bool {
    let (before, here, behind) = (around, &around[1..], &around[2..]);
    let word = |byte: u8| byte.wrapping_sub(b'.') <= b'z' - b'.';
    let likely = |((before, here), behind): ((&u8, &u8), &u8)| {
        (*here == 0x80) & (behind.wrapping_sub(2) < 4) | (*here == b'\n') & word(*before) & word(*behind)
    };
    before.iter().zip(here).zip(behind).fold(false, |any, place| any | likely(place))
}

/// Whether data has any place where a pickle may begin that has a header, or names something in lines: where it has
/// none, no value in it can be such a pickle.
pub(crate) fn has_likely_place(data: &[u8]) -> bool {
    (0..data.len()).step_by(BLOCK).any(|start| {
        let around = &data[start.saturating_sub(1)..data.len().min(start + BLOCK + 1)];
        around.len() > 2 && is_likely(around)
    })
}

struct Search {
    found: u64,
    /// Where the last pickle found ends.
    from: usize,
}

impl Search {
    /// Looks at one place; `false`: the work is done, or too much.
    fn look(&mut self, walk: &mut Walk<'_>, data: &[u8], place: &Place, at: usize) -> bool {
        let mut starts = [at; MOST_STARTS];
        let count = match data[at] {
            0x80 if begins(&data[at..]) => 1,
            b'\n' => globals(data, at, &mut starts),
            _ => 0,
        };
        for &start in starts[..count].iter().filter(|start| **start >= self.from) {
            let window = &data[start..data.len().min(start + WINDOW)];
            let checked = check(window, &walk.settings.policy, &walk.settings.limits.load, place.torch);
            if !walk.work(LEAST_WORK + checked.read as u64, place, start as u64) {
                return false;
            }
            if is_pickle(window, &checked) {
                self.found += 1;
                self.from = start + checked.read.max(1);
                tell(walk, &checked, place, start);
                break;
            }
        }
        true
    }
}

/// PROTO and another opcode.
fn begins(data: &[u8]) -> bool {
    has_header(data)
        && data[1] >= 2
        && data.get(2).is_some_and(|&byte| torshi_core::opcode::Opcode::from_byte(byte).is_some())
}

/// Where a GLOBAL may begin whose first line ends at `at`.
fn globals(data: &[u8], at: usize, starts: &mut [usize; MOST_STARTS]) -> usize {
    let word = |&&byte: &&u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    let line = data[at.saturating_sub(LONGEST_NAME)..at].iter().rev().take_while(word).count();
    let rest = &data[at + 1..data.len().min(at + 1 + LONGEST_NAME)];
    let name = rest.iter().take_while(word).count();
    if line < 3 || name == 0 || rest.get(name) != Some(&b'\n') {
        return 0;
    }
    let mut count = 0;
    for start in (at - line..at - 1).filter(|&start| data[start] == b'c').take(MOST_STARTS) {
        starts[count] = start;
        count += 1;
    }
    count
}

fn is_pickle(window: &[u8], checked: &Checked) -> bool {
    let outcome = &checked.outcome;
    // Something with a name is called that may not be: bytes that only happen to be instructions name nothing.
    let mut called = outcome.plan.globals.iter().filter(|global| global.uses & (usage::CALL | usage::CONSTRUCT) != 0);
    if outcome.findings.is_empty() || !called.any(is_plausible) {
        return false;
    }
    match &outcome.fault {
        None => true,
        Some(fault) => has_header(window) && broken(window, outcome, fault) == Broken::Acts,
    }
}

fn tell(walk: &mut Walk<'_>, checked: &Checked, place: &Place, start: usize) {
    for finding in &checked.outcome.findings {
        let message = format!("a pickle stands at byte {} in which {}", place.base + start as u64, finding.message);
        let told = Statement {
            offset: Some(place.base + (start + finding.offset) as u64),
            opcode: Some(finding.opcode),
            name: finding.name.clone(),
            remedy: finding.remedy.clone(),
            ..statement(Code::Hidden, message)
        };
        walk.add(told, place);
    }
}
