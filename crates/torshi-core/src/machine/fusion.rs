//! Steps in one: instructions that mostly follow each other, done together so that a value need not go over the
//! stack or into a container in between. Each comes to just what its instructions come to one by one, and
//! `advance`, which goes instruction by instruction, does none of them.

use super::rows::KnownAtoms;
use super::Machine;
use crate::domain::{Constant, Domain, Items, Kind};
use crate::reader::{Atoms, Reader, Row, StateForm};

/// Memo reads behind another that are taken one by one before the rest is taken for a row.
const FEW: usize = 3;

impl<'a, D: Domain<'a>> Machine<'a, D> {
    /// Pushes a value, and at once does the PUT or MEMOIZE that mostly follows: the value is still in
    /// registers then, and need not be read back from the stack.
    #[inline(always)]
    pub(super) fn push_kept<const FUSE: bool>(&mut self, value: D::Value, reader: &mut Reader<'a>) {
        if FUSE {
            if let Some(index) = reader.following_put(self.memo.len()) {
                self.memo.put(index, || self.domain.keep(&value));
            }
        }
        self.stack.push(value);
    }

    /// The integers that follow: numbers come in rows, of many widths in turn, and a row needs no dispatch
    /// between them.
    #[inline(always)]
    pub(super) fn integer_run<const FUSE: bool>(&mut self, reader: &mut Reader<'a>) -> Result<(), D::Error> {
        if FUSE && reader.integer_follows() {
            let row = self.integer_row(reader.row())?;
            reader.leave_row(row);
        }
        Ok(())
    }

    #[inline(never)] // as for `fetch_row`
    fn integer_row(&mut self, mut row: Row<'a>) -> Result<Row<'a>, D::Error> {
        let mut small = u8::MAX; // a bit for each of the last eight: was it a BININT1?
        loop {
            if small == u8::MAX {
                // So the next ones will be too, and where each is need not be read from the one before.
                for n in row.following_small() {
                    let value = self.domain.integer(n.into())?;
                    self.stack.push(value);
                }
            }
            let Some(n) = row.following_integer(&mut small) else { return Ok(row) };
            let value = self.domain.integer(n)?;
            self.stack.push(value);
        }
    }

    /// Pushes a constant, and those that follow: which comes next is for no processor to foretell, so that a row of
    /// them is better off without a dispatch for each.
    #[inline(always)]
    pub(super) fn push_constant<const FUSE: bool>(&mut self, constant: Constant, reader: &mut Reader<'a>) {
        let value = self.domain.constant(constant);
        self.stack.push(value);
        if FUSE && reader.constant_follows() {
            let row = self.constant_row(reader.row());
            reader.leave_row(row);
        }
    }

    #[inline(never)] // as for `fetch_row`
    fn constant_row(&mut self, mut row: Row<'a>) -> Row<'a> {
        while let Some(constant) = row.following_constant() {
            let value = self.domain.constant(constant);
            self.stack.push(value);
        }
        row
    }

    /// The memo reads that follow a first one: a few, which are done sooner than a row is begun, or a row of them.
    #[inline(always)]
    pub(super) fn fetch_run<const FUSE: bool>(&mut self, reader: &mut Reader<'a>) -> Result<(), D::Error> {
        if FUSE {
            for _ in 0..FEW {
                let Some(index) = reader.following_get()? else { return Ok(()) };
                self.fetch(index.into(), reader.site())?;
            }
            if reader.get_follows() {
                return self.fetch_whole_row(reader);
            }
        }
        Ok(())
    }

    /// The memo reads that follow: they come in rows, and a row needs no dispatch between them.
    #[inline(always)]
    fn fetch_whole_row(&mut self, reader: &mut Reader<'a>) -> Result<(), D::Error> {
        let (row, missing) = self.fetch_row(reader.row());
        reader.leave_row(row);
        if let Some(index) = missing {
            self.fetch(index, reader.site())?; // in another place, or nowhere
        }
        Ok(())
    }

    /// Behind a MARK: atoms or memo reads, and at once the APPENDS that gives all of them to a list, where the domain can
    /// do that.
    #[inline(always)]
    pub(super) fn list_run<const FUSE: bool>(&mut self, reader: &mut Reader<'a>) -> Result<(), D::Error> {
        if FUSE && D::ATOM_ROWS && reader.atom_follows() && self.rows.may_be_long() && self.fills_list() {
            if let Some(row) = self.atom_row(reader.row())? {
                reader.leave_row(row);
                self.pop_mark(reader.site())?;
            }
            return Ok(());
        }
        if FUSE && D::ATOM_ROWS && reader.integer_follows() && self.fills_list() {
            if let Some(row) = self.integer_list(reader.row()) {
                reader.leave_row(row);
                self.pop_mark(reader.site())?;
            }
            return Ok(());
        }
        if FUSE {
            if let Some(known) = self.rows.known_atoms(reader.offset()) {
                if self.known_atom_row(known)? {
                    reader.leap(known.atoms.to);
                }
                return Ok(());
            }
        }
        if !FUSE || !reader.get_follows() || !self.fills_list() {
            return Ok(());
        }
        if D::LIST_ROWS {
            if let Some(row) = self.list_row(reader.row()) {
                reader.leave_row(row);
                self.pop_mark(reader.site())?;
                return Ok(());
            }
        }
        self.fetch_whole_row(reader)
    }

    /// Whether what comes above the mark made last may go to a list below it.
    #[inline(always)]
    fn fills_list(&self) -> bool {
        let below = self.marks.len().checked_sub(2).map_or(0, |outer| self.marks[outer]);
        self.stack.len() > below && self.stack.last().is_some_and(|list| self.domain.kind(list) == Kind::List)
    }

    /// A row of atoms and APPENDS, if that is what follows and the domain takes it; else nothing has been done.
    #[inline(never)] // as for `fetch_row`
    fn atom_row(&mut self, mut row: Row<'a>) -> Result<Option<Row<'a>>, D::Error> {
        let Some(before) = self.memo.in_order() else { return Ok(None) };
        let (memo, domain, mut failed) = (&mut self.memo, &mut self.domain, None);
        let atoms = self.rows.pass(&mut row, |utf8| match domain.text(utf8) {
            Ok(text) => memo.put(memo.len(), || domain.keep(&text)),
            Err(error) => failed = Some(error),
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let list = self.stack.last().filter(|_| row.following_appends());
        let taken = list.is_some_and(|list| self.domain.atom_row(list, atoms));
        self.rows.settle(atoms, taken);
        if !taken {
            self.memo.rewind(before);
        }
        Ok(taken.then_some(row))
    }

    /// The same for a row of nothing but integers: where rows are short, mixed ones are not looked for, and these are
    /// passed over sooner than they are read.
    #[inline(never)] // as for `fetch_row`
    fn integer_list(&mut self, mut row: Row<'a>) -> Option<Row<'a>> {
        let (from, count, list) = (row.at(), row.pass_integers(), self.stack.last()?);
        let atoms = Atoms { from, to: row.at(), count, memoized: 0, has_none: false, are_mixed: false };
        (row.following_appends() && self.domain.atom_row(list, atoms)).then_some(row)
    }

    /// Pushes the atoms of a row that the check wrote down, all of one kind after the other; `false` where one of its
    /// texts is read again, and nothing has been done then.
    #[cold] // once for a thousand items
    fn known_atom_row(&mut self, known: KnownAtoms) -> Result<bool, D::Error> {
        if !self.memo.pass(known.atoms.memoized) {
            return Ok(false);
        }
        for chunk in self.rows.chunks_of(known) {
            self.domain.atoms(&mut self.stack, self.data, chunk)?;
        }
        Ok(true)
    }

    /// A row of memo reads and APPENDS, if that is what follows and the domain takes it; else nothing has been done.
    #[inline(never)] // as for `fetch_row`
    fn list_row(&mut self, mut row: Row<'a>) -> Option<Row<'a>> {
        let list = self.stack.last()?;
        let slots = self.rows.take(&mut row);
        if !row.following_appends() {
            return None;
        }
        let mut reads = self.memo.reads();
        self.domain.list_row(list, slots, move |slot| reads.get(slot)).then_some(row)
    }

    /// A row of memo reads, up to one that is not where most are, which is given back; a function of its own, so
    /// that its loops have the registers to themselves: one reads the slots' numbers, one the slots.
    #[inline(never)]
    fn fetch_row(&mut self, start: Row<'a>) -> (Row<'a>, Option<u64>) {
        let mut row = start;
        let slots = self.rows.take(&mut row);
        let mut reads = self.memo.reads();
        let count = self.domain.restore_row(&mut self.stack, slots, move |slot| reads.get(slot).as_ref());
        let missing = slots.get(count).copied();
        if missing.is_some() {
            // The reader stands behind the one that is missing.
            row = start;
            row.following_gets(&mut vec![0; count + 1]);
        }
        (row, missing.map(u64::from))
    }

    /// SETITEMS and the BUILD that follows it in one step, where the domain can: the BUILD is then taken.
    #[inline(always)]
    pub(super) fn fill_state(&mut self, from: usize, reader: &mut Reader<'a>) -> Result<bool, D::Error> {
        match reader.following_build(self.memo.len()) {
            None => Ok(false),
            Some(StateForm::Dict) => self.fill_dict_state(from, reader),
            Some(StateForm::Slots(slot)) => self.fill_slot_state(from, slot, reader),
        }
    }

    /// Whether `pairs` values behind a dict, `below` places above an object, may be the state of that object.
    #[inline(always)]
    fn is_state_of(&self, from: usize, below: usize) -> bool {
        let pairs = self.stack.len().saturating_sub(from);
        from >= self.fence + below
            && pairs > 0
            && pairs % 2 == 0
            && self.domain.kind(&self.stack[from - below]) == Kind::Instance
            && self.domain.kind(&self.stack[from - 1]) == Kind::Dict
    }

    #[inline(always)]
    fn fill_dict_state(&mut self, from: usize, reader: &mut Reader<'a>) -> Result<bool, D::Error> {
        if !self.is_state_of(from, 2) {
            return Ok(false);
        }
        let (target, dict) = (&self.stack[from - 2], &self.stack[from - 1]);
        if !self.domain.takes_pairs(target, dict, &self.stack[from..]) {
            return Ok(false);
        }
        reader.opcode()?;
        let (target, dict) = (target.clone(), dict.clone());
        self.domain.set_state_pairs(&target, dict, Items::new(&mut self.stack, from), reader.site())?;
        self.stack.truncate(from - 1);
        Ok(true)
    }

    /// `slot` is where the tuple `(None, dict)` is put, if anywhere.
    #[inline(always)]
    fn fill_slot_state(&mut self, from: usize, slot: Option<u64>, reader: &mut Reader<'a>) -> Result<bool, D::Error> {
        if !self.is_state_of(from, 3) || !self.domain.is_none(&self.stack[from - 2]) {
            return Ok(false);
        }
        let (target, dict) = (&self.stack[from - 3], &self.stack[from - 1]);
        let is_read = slot.is_some_and(|slot| self.memo.keeps(slot));
        if !self.domain.takes_slot_pairs(target, dict, &self.stack[from..], is_read) {
            return Ok(false);
        }
        reader.opcode()?;
        if slot.is_some() {
            reader.following_put(self.memo.len());
        }
        reader.opcode()?;
        let (target, none, dict) = (target.clone(), self.stack[from - 2].clone(), dict.clone());
        let pairs = Items::new(&mut self.stack, from);
        let state = self.domain.set_slot_pairs(&target, none, dict, pairs, reader.site())?;
        if let Some(slot) = slot {
            let none = &self.stack[from - 2];
            self.memo.put(slot, || self.domain.keep(state.as_ref().unwrap_or(none)));
        }
        self.stack.truncate(from - 2);
        Ok(true)
    }
}
