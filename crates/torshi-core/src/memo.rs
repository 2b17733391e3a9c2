//! The memo: slots that PUT fills and GET reads. Indexes come from the stream, so an index never
//! sizes an allocation: slots filled in order stand in a vector, any others in a map. It never
//! decides what a slot means.

use rustc_hash::FxHashMap;

/// Which memo slots a stream reads; the builder keeps only those.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotSet {
    words: Vec<u64>,
    /// Slots out of order are read too; they are always kept, and not told apart.
    others: bool,
}

impl SlotSet {
    /// Whether a slot is read.
    #[inline(always)]
    pub fn contains(&self, index: usize) -> bool {
        self.words.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    /// How many different slots are read.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether none is read.
    pub fn is_empty(&self) -> bool {
        !self.others && self.words.iter().all(|word| *word == 0)
    }
}

/// Marks of slots that are read, a byte each: a bit would have to be read before it can be written.
#[derive(Clone, Debug, Default)]
struct Marks {
    slots: Vec<u8>,
    /// As in the set.
    others: bool,
}

impl Marks {
    /// Room for the marks of slots below `end`. Only slots that exist are marked, so there is no more than the memo has.
    #[inline(always)]
    fn reach(&mut self, end: usize) {
        if self.slots.len() < end {
            self.slots.resize(end, 0);
        }
    }

    /// The slots marked.
    fn set(&self) -> SlotSet {
        // Eight bytes of nought and one become eight bits: the product moves each to a place of its own in the top byte.
        let bits = |eight: &[u8]| {
            let mut bytes = [0; 8];
            bytes[..eight.len()].copy_from_slice(eight);
            u64::from_le_bytes(bytes).wrapping_mul(0x0102_0408_1020_4080) >> 56
        };
        let word = |part: &[u8]| part.chunks(8).enumerate().fold(0, |word, (at, eight)| word | bits(eight) << (8 * at));
        SlotSet { words: self.slots.chunks(64).map(word).collect(), others: self.others }
    }
}

/// What a memo keeps.
#[derive(Clone, Debug)]
enum Keeping {
    /// Everything, noting what is read.
    Noting(Marks),
    /// Only these slots; the others are counted.
    Only(SlotSet),
    /// Everything.
    All,
    /// Nothing: no slot is read.
    Nothing,
}

/// The memo of one machine.
#[derive(Clone, Debug)]
pub struct Memo<V> {
    /// Slots 0.. without a gap; `None` is a slot that is counted but never read.
    dense: Vec<Option<V>>,
    sparse: FxHashMap<u64, V>,
    /// Slots 0.. that an earlier pickle filled and this memo does not hold.
    elsewhere: u64,
    /// How many slots are filled, those elsewhere included.
    len: u64,
    /// Slots are kept, and all that are filled stand in order: the next one goes to the end of the vector.
    in_order: bool,
    /// The highest slot that was filled with a gap before it; 0 if none was.
    farthest: u64,
    /// Whether a slot was filled a second time.
    refilled: bool,
    keeping: Keeping,
}

impl<V> Memo<V> {
    /// A memo that keeps everything and notes which slots are read.
    pub fn noting() -> Self {
        Memo::with(Keeping::Noting(Marks::default()))
    }

    /// A memo that keeps everything.
    pub fn keeping_all() -> Self {
        Memo::with(Keeping::All)
    }

    /// A memo that keeps only the slots a plan says are read.
    pub fn keeping_only(reads: SlotSet) -> Self {
        Memo::with(if reads.is_empty() { Keeping::Nothing } else { Keeping::Only(reads) })
    }

    fn with(keeping: Keeping) -> Self {
        Memo {
            dense: Vec::new(),
            sparse: FxHashMap::default(),
            elsewhere: 0,
            len: 0,
            in_order: !matches!(keeping, Keeping::Nothing),
            farthest: 0,
            refilled: false,
            keeping,
        }
    }

    /// The same memo, with room for what a stream of this many bytes commonly fills.
    pub fn with_room_for(mut self, stream: usize) -> Self {
        if !matches!(self.keeping, Keeping::Nothing) {
            self.dense.reserve((stream / 12).min(1024));
        }
        self
    }

    /// The same memo, in memory that was used before.
    pub fn in_memory_of(mut self, mut slots: Vec<Option<V>>) -> Self {
        slots.clear();
        self.dense = slots;
        self
    }

    /// Takes the memory of the slots, and which of them were read if this memo notes them.
    pub fn take_parts(&mut self) -> (Vec<Option<V>>, SlotSet) {
        let reads = match &self.keeping {
            Keeping::Noting(reads) => reads.set(),
            _ => SlotSet::default(),
        };
        (std::mem::take(&mut self.dense), reads)
    }

    /// The same memo, going on behind `filled` slots that another memo holds. Of a memo that pickles share everything is
    /// kept, so none of its reads are noted: the next pickle may read what this one does not.
    pub fn behind(mut self, filled: u64) -> Self {
        (self.elsewhere, self.len) = (filled, filled);
        if filled > 0 && matches!(self.keeping, Keeping::Noting(_)) {
            self.keeping = Keeping::All;
        }
        self
    }

    /// How many slots are filled: the index MEMOIZE uses next.
    #[inline(always)]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The highest slot that was filled with a gap before it; 0 if none was. A reader that keeps its slots in an array, as
    /// stock pickle does, makes room for so many.
    pub fn farthest(&self) -> u64 {
        self.farthest
    }

    /// Whether all reads are noted, of slots that hold now what they held then.
    pub fn notes_slots_filled_once(&self) -> bool {
        let all_noted = matches!(&self.keeping, Keeping::Noting(reads) if !reads.others);
        all_noted && !self.refilled && self.sparse.is_empty()
    }

    /// Whether no slot is filled.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills a slot. `value` is only asked for if the slot is kept.
    #[inline(always)]
    pub fn put(&mut self, index: u64, value: impl FnOnce() -> V) {
        if index == self.len && self.in_order {
            let kept = match &self.keeping {
                Keeping::Only(reads) => reads.contains(index as usize),
                _ => true,
            };
            self.dense.push(kept.then(value));
            self.len += 1;
        } else if !matches!(self.keeping, Keeping::Nothing) {
            self.put_anywhere(index, value());
        }
    }

    #[cold]
    fn put_anywhere(&mut self, index: u64, value: V) {
        let end = self.elsewhere + self.dense.len() as u64;
        let known = index < end || self.sparse.contains_key(&index);
        self.len += u64::from(!known);
        self.refilled |= known;
        if (self.elsewhere..end).contains(&index) {
            self.dense[(index - self.elsewhere) as usize] = Some(value);
        } else if index == end {
            self.sparse.remove(&index);
            self.dense.push(Some(value));
        } else {
            self.farthest = self.farthest.max(index);
            self.sparse.insert(index, value);
        }
        self.in_order = self.sparse.is_empty() && self.len == self.elsewhere + self.dense.len() as u64;
    }

    /// How many slots are filled, if all were filled in order so that the next ones can be taken back by `rewind`.
    #[inline(always)]
    pub fn in_order(&self) -> Option<u64> {
        self.in_order.then_some(self.len)
    }

    /// Takes back the slots filled since `in_order` gave this number, of which none was read.
    #[cold]
    pub fn rewind(&mut self, len: u64) {
        self.dense.truncate((len - self.elsewhere) as usize);
        self.len = len;
    }

    /// Fills so many slots in order with values that nobody asks for; `false` where one of them is asked for, and nothing
    /// has been done then.
    pub fn pass(&mut self, slots: usize) -> bool {
        match &self.keeping {
            Keeping::Nothing => true,
            Keeping::Only(reads) if self.in_order => {
                let next = self.len as usize;
                if (next..next + slots).any(|slot| reads.contains(slot)) {
                    return false;
                }
                self.dense.resize_with(self.dense.len() + slots, || None);
                self.len += slots as u64;
                true
            }
            _ => false,
        }
    }

    /// Whether what is put into a slot can be read again.
    #[inline(always)]
    pub fn keeps(&self, index: u64) -> bool {
        match &self.keeping {
            Keeping::Nothing => false,
            Keeping::Only(reads) => reads.others || reads.contains(index as usize),
            Keeping::Noting(_) | Keeping::All => true,
        }
    }

    /// The value of a slot.
    #[inline(always)]
    pub fn get(&mut self, index: u64) -> Option<&V> {
        let at = index.wrapping_sub(self.elsewhere);
        if at < self.dense.len() as u64 {
            if let Keeping::Noting(reads) = &mut self.keeping {
                if index as usize >= reads.slots.len() {
                    reads.reach(self.elsewhere as usize + self.dense.len());
                }
                reads.slots[index as usize] = 1;
            }
            self.dense[at as usize].as_ref()
        } else {
            if let Keeping::Noting(reads) = &mut self.keeping {
                reads.others |= !self.sparse.is_empty();
            }
            self.sparse.get(&index)
        }
    }

    /// Reading slots in a row: what a read needs is looked up once.
    #[inline(always)]
    pub fn reads(&mut self) -> Reads<'_, V> {
        let marks: &mut [u8] = match &mut self.keeping {
            Keeping::Noting(reads) => {
                reads.reach(self.elsewhere as usize + self.dense.len());
                &mut reads.slots
            }
            _ => &mut [],
        };
        Reads { dense: &self.dense, elsewhere: self.elsewhere, marks }
    }

    /// The value of a slot, without noting that it is read.
    pub fn peek(&self, index: u64) -> Option<&V> {
        match self.dense.get(usize::try_from(index.checked_sub(self.elsewhere)?).ok()?) {
            Some(slot) => slot.as_ref(),
            None => self.sparse.get(&index),
        }
    }

    /// What stands in slots that are read, if this memo notes them and they were filled in order.
    pub fn slots_read(&self) -> impl Iterator<Item = V> + '_
    where
        V: Copy,
    {
        let marks = match &self.keeping {
            Keeping::Noting(reads) => &reads.slots[..],
            _ => &[],
        };
        marks.iter().zip(&self.dense).filter_map(|(mark, value)| value.filter(|_| *mark != 0))
    }

    /// Every kept slot, in order of index.
    pub fn entries(&self) -> Vec<(u64, &V)> {
        let dense = (self.elsewhere..).zip(&self.dense);
        let mut all: Vec<_> = dense.filter_map(|(i, v)| v.as_ref().map(|v| (i, v))).collect();
        let mut rest: Vec<_> = self.sparse.iter().map(|(&i, v)| (i, v)).collect();
        rest.sort_by_key(|&(i, _)| i);
        all.extend(rest);
        all
    }

    /// The slots read so far, if this memo notes them.
    pub fn into_reads(self) -> SlotSet {
        match self.keeping {
            Keeping::Noting(reads) => reads.set(),
            _ => SlotSet::default(),
        }
    }
}

/// Slots where most are: in order, and filled by this pickle.
pub struct Reads<'m, V> {
    dense: &'m [Option<V>],
    elsewhere: u64,
    /// The marks of slots that are read; none where that is not noted.
    marks: &'m mut [u8],
}

impl<'m, V> Reads<'m, V> {
    /// What stands in a slot; nothing if it is not in here.
    #[inline(always)]
    pub fn get(&mut self, slot: u32) -> &'m Option<V> {
        let index = u64::from(slot);
        let Some(value) = self.dense.get(index.wrapping_sub(self.elsewhere) as usize) else { return &None };
        if let Some(mark) = self.marks.get_mut(index as usize) {
            *mark = 1;
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seven bytes of stream (`]r\0\0\0\x10.`) would cost gigabytes if an index sized the memo.
    #[test]
    fn an_index_allocates_nothing() {
        let mut memo = Memo::keeping_all();
        memo.put(1 << 40, || 7);
        assert_eq!(memo.len(), 1);
        assert_eq!(memo.get(1 << 40), Some(&7));
        assert!(memo.dense.capacity() < 16);
    }

    /// MEMOIZE after a sparse PUT must count slots as stock pickle does, or later GETs go astray.
    #[test]
    fn memoize_counts_filled_slots() {
        let mut memo = Memo::keeping_all();
        memo.put(1, || 10);
        memo.put(memo.len(), || 11); // one slot filled, so this overwrites slot 1
        assert_eq!(memo.len(), 1);
        assert_eq!(memo.get(1), Some(&11));
        memo.put(0, || 12);
        memo.put(memo.len(), || 13);
        assert_eq!(memo.entries(), [(0, &12), (1, &11), (2, &13)]);
    }

    /// A plan that forgets a read slot would make a valid stream fail to build.
    #[test]
    fn a_noted_read_is_kept_by_the_next_pass() {
        let mut first = Memo::noting();
        (0..200).for_each(|i| first.put(i, || i));
        first.get(130);
        let mut second = Memo::keeping_only(first.into_reads());
        (0..200).for_each(|i| second.put(i, || i));
        assert_eq!(second.get(130), Some(&130));
        assert_eq!(second.get(131), None);
        assert_eq!(second.len(), 200);
    }

    /// Slots out of order were once forgotten where no others were read.
    #[test]
    fn a_read_out_of_order_is_kept_by_the_next_pass() {
        let mut first = Memo::noting();
        first.put(100_000, || 'a');
        assert_eq!(first.get(100_000), Some(&'a'));
        let mut second = Memo::keeping_only(first.take_parts().1);
        second.put(100_000, || 'b');
        assert_eq!(second.get(100_000), Some(&'b'));
    }

    /// Marks for all slots of earlier pickles, made anew for each pickle of a long file, once took time in the square
    /// of their number.
    #[test]
    fn a_memo_behind_another_marks_nothing() {
        let mut memo = Memo::noting().behind(1 << 40);
        memo.put(memo.len(), || 'a');
        assert_eq!(memo.get(1 << 40), Some(&'a'));
        assert_eq!(memo.reads().marks.len(), 0);
        assert!(memo.keeps(1 << 40));
        assert!(memo.into_reads().is_empty());
    }

    /// A second pickle of one unpickler counts on from the first, or its MEMOIZE would overwrite.
    #[test]
    fn a_memo_behind_another_counts_on() {
        let mut memo = Memo::noting().behind(3);
        memo.put(memo.len(), || 'a');
        memo.put(1, || 'b');
        assert_eq!(memo.len(), 4);
        assert_eq!(memo.get(3), Some(&'a'));
        assert_eq!(memo.get(1), Some(&'b'));
        assert_eq!(memo.get(0), None);
    }
}
