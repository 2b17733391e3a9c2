//! The end that a broken stream is given. The stack is gone through from its top, mark by mark: what is not whole is
//! dropped, what is whole is put into the container that waits for it.
//!
//! What stands on top may be items, or parts of a small tuple that are still to become one item; no mark tells these
//! apart. So the last few values count as items only if values like them came before.

use super::parts::{Parts, Type};
use super::{Incomplete, Kept};
use crate::graph::{Shape, Trace, Value};
use crate::opcode::Opcode;
use rustc_hash::FxHashSet;
use std::rc::Rc;

/// Parts of a tuple that stand on the stack without a mark.
const LOOSE: usize = 3;
/// Values that something unfinished may have on the stack without a mark, tuples within tuples and the like.
const DEEP: usize = 16;
/// Where values at the bottom of the stack are kept meanwhile: slots that no stream has.
const SHELF: u32 = 0x7fff_0000;

/// Steps of a path that are written, and bytes from which on it is not made longer.
const MOST_STEPS: usize = 40;
const LONG_PATH: usize = 400;

/// An end and what it comes to.
#[derive(Default)]
pub struct Done {
    /// Instructions; none if nothing is whole.
    pub suffix: Option<Vec<u8>>,
    pub kept: Vec<Kept>,
    pub dropped: Option<String>,
    pub guesses: Vec<String>,
}

/// What has become of the value on top.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Top {
    /// It is whole, as far as anyone can tell.
    Whole,
    /// A container that is perhaps not whole, with so many items.
    Open(u64),
}

struct Closing<'p, 't> {
    parts: &'p Parts<'t, 't, 't>,
    incomplete: Incomplete,
    suffix: Vec<u8>,
    done: Done,
}

/// The end for a stream whose stack is left as a trace says.
pub fn close(trace: &Trace<'_, '_>, incomplete: Incomplete) -> Done {
    let parts = Parts::of(trace);
    let mut closing = Closing { parts: &parts, incomplete, suffix: Vec::new(), done: Done::default() };
    let mut bounds = vec![0];
    bounds.extend(&trace.marks);
    bounds.push(trace.stack.len());
    let segments: Vec<&[Value]> = bounds.windows(2).map(|pair| &trace.stack[pair[0]..pair[1]]).collect();
    let paths = closing.paths(&segments);
    let mut top = closing.left(segments[segments.len() - 1]);
    for at in (1..segments.len()).rev() {
        let below = segments[at - 1].last().copied();
        let inner = paths.get(at + 1).map_or("", |path| path);
        top = closing.segment(segments[at], below, top, &paths[at], inner);
    }
    closing.bottom(segments[0], top, &paths);
    closing.done.kept.reverse();
    closing.done
}

impl Closing<'_, '_> {
    /// What the stream left on top.
    fn left(&self, values: &[Value]) -> Top {
        match values.last() {
            Some(&last) if self.parts.filler(last).is_some() => Top::Open(self.parts.count(last)),
            _ => Top::Whole,
        }
    }

    /// For each segment the path of what waits below its mark, and behind these that of what stands on top.
    fn paths(&self, segments: &[&[Value]]) -> Vec<Rc<str>> {
        let mut path: Rc<str> = "$".into();
        let mut all = vec![Rc::clone(&path)];
        for (at, segment) in segments.iter().enumerate() {
            let step = match at.checked_sub(1).and_then(|below| segments[below].last()) {
                _ if path.len() > LONG_PATH => String::new(),
                None => written(&self.nesting(segment))[1..].to_owned(),
                Some(_) if segment.is_empty() => String::new(),
                Some(&owner) => self.step(owner, segment, segment.len() - 1),
            };
            if !step.is_empty() {
                path = format!("{path}{step}{}", if path.len() + step.len() > LONG_PATH { "..." } else { "" }).into();
            }
            all.push(Rc::clone(&path));
        }
        all
    }

    /// The step from a container to a value that is to be put into it.
    fn step(&self, owner: Value, values: &[Value], at: usize) -> String {
        match self.parts.filler(owner) {
            Some(Opcode::Setitems) => self.parts.step(values[at - at % 2]),
            _ => format!("[{}]", self.parts.count(owner) + at as u64),
        }
    }

    /// The steps from the bottom of the stack to the last value of the lowest segment, one for each value that is put
    /// into what stands before it.
    fn nesting(&self, values: &[Value]) -> Vec<String> {
        let mut puts = Vec::new();
        let mut count = values.len();
        while let Some(put) = self.put(&values[..count]) {
            puts.push((count, put));
            count -= if put == Opcode::Setitem { 2 } else { 1 };
        }
        let step = |(at, (count, put))| match put {
            _ if at > MOST_STEPS => String::new(), // nobody reads that far
            Opcode::Setitem => self.parts.step(values[count - 2]),
            Opcode::Append => format!("[{}]", self.parts.count(values[count - 2])),
            _ => String::new(),
        };
        puts.into_iter().rev().enumerate().map(step).collect()
    }

    /// How the last value gets into what stands before it; by POP if it is a key without a value.
    fn put(&self, values: &[Value]) -> Option<Opcode> {
        let waits = |back: usize, shape| {
            let at = values.len().checked_sub(back);
            at.is_some_and(|at| self.parts.is_waiting(values[at], shape))
        };
        match () {
            () if waits(3, Shape::Dict) => Some(Opcode::Setitem),
            () if waits(2, Shape::Dict) => Some(Opcode::Pop),
            () if waits(2, Shape::List) => Some(Opcode::Append),
            () => None,
        }
    }

    fn op(&mut self, opcode: Opcode) {
        self.suffix.push(opcode as u8);
    }

    fn pop(&mut self, count: usize) {
        self.suffix.extend(std::iter::repeat_n(Opcode::Pop as u8, count));
    }

    /// All that was kept so far stands in what is dropped now.
    fn drop_at(&mut self, path: String) {
        self.done.kept.clear();
        self.done.guesses.clear();
        self.done.dropped = Some(path);
    }

    /// Puts what is whole of the values above a mark into what waits below it.
    fn segment(&mut self, values: &[Value], below: Option<Value>, top: Top, path: &str, inner: &str) -> Top {
        let filler = below.and_then(|below| Some((below, self.parts.filler(below)?)));
        let Some((below, filler)) = filler else {
            self.op(Opcode::PopMark); // a tuple, or arguments: half of these is nothing
            self.drop_at(path.to_owned());
            return Top::Whole;
        };
        let is_pairs = filler == Opcode::Setitems;
        let earlier = self.done.guesses.len();
        let whole = if is_pairs { self.whole_pairs(values, top, inner) } else { self.whole_items(values, top, inner) };
        if whole < values.len() {
            let guesses = self.done.guesses.split_off(earlier);
            self.drop_at(format!("{path}{}", self.step(below, values, whole)));
            self.done.guesses = guesses;
        }
        self.pop(values.len() - whole);
        self.op(if whole > 0 { filler } else { Opcode::PopMark });
        Top::Open(self.parts.count(below) + if is_pairs { whole / 2 } else { whole } as u64)
    }

    /// Whether what stands on top is to be put where it belongs: into a dict as a value, or as an item.
    fn takes(&self, top: Top, is_value: bool) -> bool {
        match (top, self.incomplete) {
            (Top::Whole, _) => true,
            (Top::Open(items), Incomplete::Keep) => items > 0,
            (Top::Open(items), Incomplete::Usual) => is_value && items > 0,
            (Top::Open(_), Incomplete::Drop) => false,
        }
    }

    /// Puts down that a container is kept which is not whole.
    fn note(&mut self, top: Top, path: &str) {
        if let Top::Open(items) = top {
            self.done.kept.push(Kept { path: path.to_owned(), items });
        }
    }

    /// Values up to the first that needs more to be one.
    fn up_to_begun<'v>(&self, values: &'v [Value], top: Top) -> &'v [Value] {
        let begun = |at: &usize| {
            let is_open = at + 1 == values.len() && top != Top::Whole;
            !is_open && self.parts.is_begun(values[*at])
        };
        &values[..(0..values.len()).find(begun).unwrap_or(values.len())]
    }

    /// How many of the values are items of a list or set.
    fn whole_items(&mut self, all: &[Value], top: Top, inner: &str) -> usize {
        let values = self.up_to_begun(all, top);
        let mut whole = values.len();
        let mut open = None;
        if whole == all.len() && top != Top::Whole {
            if self.takes(top, false) {
                self.note(top, inner);
                return whole;
            }
            whole -= 1;
            open = Some(self.parts.type_of(values[whole]));
        }
        // An empty container right before something unfinished may be waiting for it.
        while whole > 0 && whole < all.len() && self.parts.filler(values[whole - 1]).is_some() {
            whole -= 1;
        }
        let values = &values[..whole];
        if whole > DEEP {
            let like: FxHashSet<Type> = values[..whole - DEEP].iter().map(|value| self.parts.type_of(*value)).collect();
            let is_like = |value: &&Value| {
                like.contains(&self.parts.type_of(**value)) || open == Some(self.parts.type_of(**value))
            };
            return whole - DEEP + values[whole - DEEP..].iter().take_while(is_like).count();
        }
        let Some(first) = values.first().map(|value| self.parts.type_of(*value)) else { return 0 };
        let run = values.iter().take_while(|value| self.parts.type_of(**value) == first).count();
        let begun = all.get(values.len()).filter(|_| open.is_none() && whole == self.up_to_begun(all, top).len());
        let goes_on = open.as_ref() == Some(&first) || begun.is_some_and(|begun| self.parts.is_of(*begun, &first));
        let is_all = run == whole && (goes_on || whole == all.len());
        let is_data = values[0].node().is_none();
        match run {
            _ if run > LOOSE => run,
            // So few may be parts of one small tuple; of plain data they often are.
            _ if is_all && !is_data && (goes_on || run > 1) => {
                self.done.guesses.push(format!("{inner}: it may be a part of a tuple with what stands before it"));
                run
            }
            _ => 0,
        }
    }

    /// How many of the values are pairs of a dict: an even number.
    fn whole_pairs(&mut self, all: &[Value], top: Top, inner: &str) -> usize {
        let values = self.up_to_begun(all, top);
        let key = values.first().map(|key| self.parts.type_of(*key));
        let is_key = |value: &&Value| self.parts.is_hashable(**value) && Some(self.parts.type_of(**value)) == key;
        let keys = values.iter().step_by(2).take_while(is_key).count();
        let mut pairs = keys.min(values.len() / 2);
        if values.len() == all.len() && top != Top::Whole {
            if 2 * pairs == values.len() && self.takes(top, true) {
                self.note(top, inner);
                if pairs > 1 && self.parts.filler(values[2 * pairs - 3]).is_some() {
                    let guess = "an empty container stands right before it, and may be what it was to be put into";
                    self.done.guesses.push(format!("{inner}: {guess}"));
                }
                return values.len();
            }
            pairs = pairs.min((values.len() - 1) / 2);
            if values.len() % 2 == 0 && pairs == values.len() / 2 - 1 {
                let waits = pairs > 0 && self.parts.filler(values[2 * pairs - 1]).is_some();
                return 2 * (pairs - usize::from(waits));
            }
        }
        let kinds = |pair: &[Value]| (self.parts.type_of(pair[0]), self.parts.type_of(pair[1]));
        let unsure = if values.len() > 2 * DEEP { DEEP } else { LOOSE + 1 };
        let sure = pairs.min(values.len().saturating_sub(unsure) / 2);
        let like: FxHashSet<(Type, Type)> = values[..2 * sure].chunks_exact(2).map(kinds).collect();
        let loose = values[2 * sure..2 * pairs].chunks_exact(2).take_while(|pair| like.contains(&kinds(pair)));
        let mut whole = 2 * (sure + loose.count());
        while whole > 0 && whole < all.len() && self.parts.filler(values[whole - 1]).is_some() {
            whole -= 2;
        }
        if whole > 0 && unsure < DEEP {
            self.done.guesses.push(format!("{inner}: the pair before it may belong to what is not whole"));
        }
        whole
    }

    /// Ends the pickle with what stands below the first mark. In the end that is one value: so what stands above a
    /// container which waits was to be put into it.
    fn bottom(&mut self, values: &[Value], mut top: Top, paths: &[Rc<str>]) {
        let mut count = values.len();
        let mut steps = self.nesting(values);
        while let Some(put) = self.put(&values[..count]) {
            // What stands on top of a broken stream may be a part of something.
            let is_sure = top != Top::Whole || paths.len() > 2;
            let taken = put != Opcode::Pop
                && is_sure
                && !(top == Top::Whole && self.parts.is_begun(values[count - 1]))
                && self.takes(top, put == Opcode::Setitem);
            match taken {
                true => {
                    self.note(top, &written(&steps));
                    self.op(put);
                }
                false => {
                    self.drop_at(written(&steps));
                    self.pop(if put == Opcode::Setitem { 2 } else { 1 });
                }
            }
            count -= if put == Opcode::Setitem { 2 } else { 1 };
            steps.pop();
            top = Top::Open(self.parts.count(values[count - 1]) + u64::from(taken));
        }
        let is_whole = |at: usize| match top {
            Top::Open(items) if at + 1 == count => count == 1 || items > 0,
            _ => !self.parts.is_begun(values[at]) && (count == 1 || values[at].node().is_some()),
        };
        let kept: Vec<usize> = (0..count).filter(|&at| is_whole(at)).collect();
        match kept[..] {
            [] => return,
            [0] if count == 1 => {}
            _ => self.gather(count, &kept),
        }
        self.note(top, &written(&steps));
        self.op(Opcode::Stop);
        self.done.suffix = Some(std::mem::take(&mut self.suffix));
    }

    /// Leaves some of the values at the bottom: the one, or a list of them.
    fn gather(&mut self, count: usize, kept: &[usize]) {
        for at in (0..count).rev() {
            if kept.binary_search(&at).is_ok() {
                self.op(Opcode::LongBinput);
                self.suffix.extend_from_slice(&(SHELF + at as u32).to_le_bytes());
            }
            self.pop(1);
        }
        if kept.len() > 1 {
            self.done.guesses.push("what it belongs to is missing: its parts are given as a list".to_owned());
            self.suffix.extend_from_slice(&[Opcode::EmptyList as u8, Opcode::Mark as u8]);
        } else {
            self.done.guesses.push("what it belongs to is missing: it is given by itself".to_owned());
        }
        for at in kept {
            self.op(Opcode::LongBinget);
            self.suffix.extend_from_slice(&(SHELF + *at as u32).to_le_bytes());
        }
        if kept.len() > 1 {
            self.op(Opcode::Appends);
        }
    }
}

/// A path; of a long one the beginning.
fn written(steps: &[String]) -> String {
    let dots = if steps.len() > MOST_STEPS { "..." } else { "" };
    format!("${}{dots}", steps[..steps.len().min(MOST_STEPS)].concat())
}
