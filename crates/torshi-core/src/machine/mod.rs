//! The machine: the one definition of what each opcode does to stack, marks and memo. It is generic
//! over its domain, so that checking, inspecting and building cannot come to mean different things.
//! The type rules of the format are written here, once. It never imports, calls or allocates by itself.

mod fusion;
mod rows;

pub use rows::Rows;

use crate::domain::{Constant, Domain, Items, Kind};
use crate::error::{Fault, FaultBox, FaultKind, Site};
use crate::literal::{excerpt, plain_decimal, small_integer};
use crate::memo::Memo;
use crate::opcode::Opcode;
use crate::reader::{Gap, Payload, Reader};

/// The highest protocol the machine understands.
pub const HIGHEST_PROTOCOL: u8 = 5;

/// A pickle machine over a complete stream.
pub struct Machine<'a, D: Domain<'a>> {
    data: &'a [u8],
    /// Payloads that are not in `data`.
    gaps: &'a [Gap],
    end: usize,
    stack: Vec<D::Value>,
    marks: Vec<usize>,
    /// Items below the innermost mark are out of reach.
    fence: usize,
    /// The memo; kept by the caller from one pickle to the next where pickles share it.
    pub memo: Memo<D::Slot>,
    /// The domain.
    pub domain: D,
    protocol: u8,
    fix_imports: bool,
    /// Rows of memo reads.
    pub rows: Rows,
    /// How many instructions were run by `advance`.
    pub steps: u64,
}

enum Flow<V> {
    Next,
    Stop(V),
}

impl<'a, D: Domain<'a>> Machine<'a, D> {
    /// A machine at the start of `data`.
    pub fn new(data: &'a [u8], domain: D, memo: Memo<D::Slot>, fix_imports: bool) -> Self {
        Machine {
            data,
            gaps: &[],
            end: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            fence: 0,
            memo,
            domain,
            protocol: 0,
            fix_imports,
            rows: Rows::default(),
            steps: 0,
        }
    }

    /// Gives stack and marks, while they are empty, memory used before.
    pub fn set_memory(&mut self, mut stack: Vec<D::Value>, mut marks: Vec<usize>) {
        stack.clear();
        marks.clear();
        (self.stack, self.marks) = (stack, marks);
    }

    /// The stream lacks the payloads of these gaps; the domain is asked for them.
    pub fn set_gaps(&mut self, gaps: &'a [Gap]) {
        self.gaps = gaps;
    }

    /// The memory of stack and marks, after a run.
    pub fn take_memory(&mut self) -> (Vec<D::Value>, Vec<usize>) {
        (std::mem::take(&mut self.stack), std::mem::take(&mut self.marks))
    }

    /// The offset right behind STOP, after a run.
    pub fn offset(&self) -> usize {
        self.end
    }

    /// The protocol the stream declares.
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Runs to STOP and returns the value of the pickle.
    pub fn run(&mut self) -> Result<D::Value, D::Error> {
        // The reader stays a local whose address nobody takes: its position then lives in a register,
        // and the next opcode need not wait for a store.
        let mut reader = Reader::new(self.data).with_gaps(self.gaps);
        loop {
            if let Flow::Stop(value) = self.step::<true>(&mut reader)? {
                self.end = reader.offset();
                return Ok(value);
            }
        }
    }

    /// Runs one instruction of a reader over the same stream, for who must know where each one ends;
    /// gives the value of the pickle if that was its STOP.
    pub fn advance(&mut self, reader: &mut Reader<'a>) -> Result<Option<D::Value>, D::Error> {
        self.steps += 1;
        Ok(match self.step::<false>(reader)? {
            Flow::Stop(value) => Some(value),
            Flow::Next => None,
        })
    }

    /// What stands on the stack, deepest first: of a broken stream, all there is.
    pub fn stack(&self) -> &[D::Value] {
        &self.stack
    }

    /// Where the marks stand on the stack, outermost first.
    pub fn marks(&self) -> &[usize] {
        &self.marks
    }

    /// Puts another value in the place of the top of the stack, for layouts in which more than instructions make one.
    pub fn replace_top(&mut self, value: D::Value) {
        if let Some(top) = self.stack.last_mut() {
            *top = value;
        }
    }

    #[inline(always)]
    fn step<const FUSE: bool>(&mut self, reader: &mut Reader<'a>) -> Result<Flow<D::Value>, D::Error> {
        let opcode = reader.opcode()?;
        let site = reader.site();
        match opcode {
            // -- plain data
            Opcode::None => self.push_constant::<FUSE>(Constant::None, reader),
            Opcode::Newtrue => self.push_constant::<FUSE>(Constant::True, reader),
            Opcode::Newfalse => self.push_constant::<FUSE>(Constant::False, reader),
            Opcode::Binint1 | Opcode::Binint2 | Opcode::Binint => {
                let n = reader.number()?;
                self.push_integer(n)?;
                self.integer_run::<FUSE>(reader)?
            }
            Opcode::Int => {
                let line = reader.line()?;
                self.int_line(line, site)?
            }
            Opcode::Long => {
                let line = reader.line()?;
                self.push_decimal(line.strip_suffix(b"L").unwrap_or(line), site)?
            }
            Opcode::Long1 => {
                let bytes = reader.counted1()?;
                self.push_long(bytes)?;
                self.integer_run::<FUSE>(reader)?
            }
            Opcode::Long4 => {
                let bytes = reader.counted4_signed()?;
                self.push_long(bytes)?
            }
            Opcode::Binfloat => {
                let x = reader.float8()?;
                let value = self.domain.float(x)?;
                self.push(value)
            }
            Opcode::Float => {
                let line = reader.line()?;
                let value = self.domain.float_text(line, site)?;
                self.push(value)
            }
            Opcode::ShortBinunicode => {
                let utf8 = reader.counted1()?;
                let value = self.domain.text(utf8)?;
                self.push_kept::<FUSE>(value, reader)
            }
            Opcode::Binunicode | Opcode::Binunicode8 => {
                let utf8 = reader.counted()?;
                let value = self.domain.text(utf8)?;
                self.push_kept::<FUSE>(value, reader)
            }
            Opcode::Unicode => {
                let line = reader.line()?;
                let value = self.domain.text_escaped(line, site)?;
                self.push(value)
            }
            Opcode::ShortBinbytes | Opcode::Binbytes | Opcode::Binbytes8 => {
                let value = match reader.payload()? {
                    Payload::Here(bytes) => self.domain.bytes(bytes)?,
                    Payload::Apart(place) => self.domain.payload(place, site)?,
                };
                self.push_kept::<FUSE>(value, reader)
            }
            Opcode::Bytearray8 => {
                let value = match reader.payload()? {
                    Payload::Here(bytes) => self.domain.bytearray(bytes)?,
                    Payload::Apart(place) => self.domain.payload(place, site)?,
                };
                self.push(value)
            }
            Opcode::ShortBinstring => {
                let bytes = reader.counted1()?;
                let value = self.domain.string(bytes, site)?;
                self.push(value)
            }
            Opcode::Binstring => {
                let bytes = reader.counted4_signed()?;
                let value = self.domain.string(bytes, site)?;
                self.push(value)
            }
            Opcode::String => {
                let line = reader.line()?;
                self.quoted_line(line, site)?
            }
            Opcode::NextBuffer => {
                let value = self.domain.next_buffer(site)?;
                self.push(value)
            }
            Opcode::ReadonlyBuffer => {
                let buffer = self.pop(site)?;
                let value = self.domain.readonly_buffer(buffer, site)?;
                self.push(value)
            }

            // -- containers
            Opcode::EmptyTuple if FUSE && reader.newobj_follows() && self.stack.len() > self.fence => {
                reader.opcode()?;
                let class = self.pop(site)?;
                let value = self.domain.construct_bare(class, reader.site())?;
                self.push_kept::<FUSE>(value, reader)
            }
            Opcode::EmptyTuple => {
                let from = self.stack.len();
                let value = self.domain.tuple(Items::new(&mut self.stack, from), site)?;
                self.push(value)
            }
            Opcode::Tuple1 => {
                let from = self.reach(1, site)?;
                let value = self.domain.tuple(Items::new(&mut self.stack, from), site)?;
                self.push_kept::<FUSE>(value, reader)
            }
            Opcode::Tuple2 => {
                let from = self.reach(2, site)?;
                let value = self.domain.tuple(Items::new(&mut self.stack, from), site)?;
                self.push_kept::<FUSE>(value, reader)
            }
            Opcode::Tuple3 => {
                let from = self.reach(3, site)?;
                let value = self.domain.tuple(Items::new(&mut self.stack, from), site)?;
                self.push_kept::<FUSE>(value, reader)
            }
            Opcode::Tuple => {
                let from = self.pop_mark(site)?;
                let value = self.domain.tuple(Items::new(&mut self.stack, from), site)?;
                self.push_kept::<FUSE>(value, reader)
            }
            Opcode::EmptyList => {
                let value = self.domain.empty_list()?;
                self.push_kept::<FUSE>(value, reader)
            }
            Opcode::EmptyDict => {
                let value = self.domain.empty_dict()?;
                self.push_kept::<FUSE>(value, reader)
            }
            Opcode::EmptySet => {
                let value = self.domain.empty_set()?;
                self.push_kept::<FUSE>(value, reader)
            }
            Opcode::List => {
                let from = self.pop_mark(site)?;
                let value = self.domain.list(Items::new(&mut self.stack, from), site)?;
                self.push(value)
            }
            Opcode::Dict => {
                let from = self.pop_mark(site)?;
                let site = self.even(from, site)?;
                let value = self.domain.dict(Items::new(&mut self.stack, from), site)?;
                self.push(value)
            }
            Opcode::Frozenset => {
                let from = self.pop_mark(site)?;
                let value = self.domain.frozenset(Items::new(&mut self.stack, from), site)?;
                self.push(value)
            }
            Opcode::Append => {
                let from = self.reach(2, site)? + 1;
                self.extend(from, site)?
            }
            Opcode::Appends => {
                let from = self.pop_mark(site)?;
                self.extend(from, site)?
            }
            Opcode::Setitem => {
                let from = self.reach(3, site)? + 1;
                if !(FUSE && self.fill_state(from, reader)?) {
                    self.update(from, site)?
                }
            }
            Opcode::Setitems => {
                let from = self.pop_mark(site)?;
                if !(FUSE && self.fill_state(from, reader)?) {
                    self.update(from, site)?
                }
            }
            Opcode::Additems => {
                let from = self.pop_mark(site)?;
                self.add(from, site)?
            }

            // -- stack and memo
            Opcode::Mark => {
                self.marks.push(self.stack.len());
                self.fence = self.stack.len();
                self.list_run::<FUSE>(reader)?
            }
            Opcode::Pop => {
                if self.marks.last() == Some(&self.stack.len()) {
                    self.pop_mark(site)?;
                } else {
                    self.pop(site)?;
                }
            }
            Opcode::PopMark => {
                let from = self.pop_mark(site)?;
                self.stack.truncate(from);
            }
            Opcode::Dup => {
                let top = self.top(site)?.clone();
                let value = self.domain.duplicate(&top)?;
                self.push(value)
            }
            // Where one width is by far the commonest it has an arm of its own: the processor then
            // foretells the width, and need not wait for the opcode to know where the next one is.
            Opcode::Binget => {
                let index = reader.uint1()?;
                self.fetch(index.into(), site)?;
                self.fetch_run::<FUSE>(reader)?
            }
            Opcode::LongBinget => {
                let index = reader.uint4()?;
                self.fetch(index.into(), site)?;
                self.fetch_run::<FUSE>(reader)?
            }
            Opcode::Get => {
                let index = index_of(reader.line()?, site)?;
                self.fetch(index, site)?
            }
            Opcode::Memoize => {
                let index = self.memo.len();
                self.store(index, site)?
            }
            Opcode::Binput | Opcode::LongBinput => {
                let index = reader.number()?;
                self.store(index as u64, site)?
            }
            Opcode::Put => {
                let index = index_of(reader.line()?, site)?;
                self.store(index, site)?
            }

            // -- names and calls
            Opcode::Global => {
                let (module, name) = names(reader.line()?, reader.line()?, site)?;
                let value = self.domain.global(module, name, self.python2(), site)?;
                self.push(value)
            }
            Opcode::StackGlobal => self.stack_global(site)?,
            Opcode::Ext1 | Opcode::Ext2 | Opcode::Ext4 => {
                let code = reader.number()?;
                self.extension(code, site)?
            }
            Opcode::Reduce => {
                let value = self.reduce(site)?;
                self.push_kept::<FUSE>(value, reader)
            }
            Opcode::Newobj => {
                let value = self.newobj(site)?;
                self.push_kept::<FUSE>(value, reader)
            }
            Opcode::NewobjEx => self.newobj_ex(site)?,
            Opcode::Inst => {
                let (module, name) = names(reader.line()?, reader.line()?, site)?;
                self.inst(module, name, site)?
            }
            Opcode::Obj => self.obj(site)?,
            Opcode::Build => self.build(site)?,
            Opcode::Persid => {
                let line = reader.line()?;
                let value = self.domain.persistent_line(line, site)?;
                self.push(value)
            }
            Opcode::Binpersid => {
                let id = self.pop(site)?;
                let value = self.domain.persistent(id, site)?;
                self.push(value)
            }

            // -- the stream itself
            Opcode::Proto => {
                let protocol = reader.uint1()?;
                self.declare_protocol(protocol, site)?
            }
            Opcode::Frame => {
                let length = reader.uint8()?;
                reader.enter_frame(length)?;
            }
            Opcode::Stop => {
                let value = self.pop(site)?;
                let value = self.domain.stop(value, site)?;
                return Ok(Flow::Stop(value));
            }
        }
        Ok(Flow::Next)
    }

    // -- the stack

    #[inline(always)]
    fn push(&mut self, value: D::Value) {
        self.stack.push(value);
    }

    #[cold]
    fn underflow(&self, site: Site) -> FaultBox {
        let what = if self.stack.is_empty() || self.marks.is_empty() {
            "unpickling stack underflow"
        } else {
            "unexpected MARK found"
        };
        Fault::malformed(site, what)
    }

    /// Checks that `n` items are within reach; gives the position of the deepest.
    #[inline(always)]
    fn reach(&self, n: usize, site: Site) -> Result<usize, FaultBox> {
        if self.stack.len() < self.fence + n {
            return Err(self.underflow(site));
        }
        Ok(self.stack.len() - n)
    }

    #[inline(always)]
    fn pop(&mut self, site: Site) -> Result<D::Value, FaultBox> {
        self.reach(1, site)?;
        match self.stack.pop() {
            Some(value) => Ok(value),
            None => Err(self.underflow(site)),
        }
    }

    fn top(&self, site: Site) -> Result<&D::Value, FaultBox> {
        let at = self.reach(1, site)?;
        Ok(&self.stack[at])
    }

    /// Takes the innermost mark away; gives where its items begin.
    #[inline(always)]
    fn pop_mark(&mut self, site: Site) -> Result<usize, FaultBox> {
        match self.marks.pop() {
            Some(from) => {
                self.fence = self.marks.last().copied().unwrap_or(0);
                Ok(from)
            }
            None => Err(Fault::malformed(site, "could not find MARK")),
        }
    }

    #[inline(always)]
    fn push_boolean(&mut self, value: bool) {
        let value = self.domain.constant(if value { Constant::True } else { Constant::False });
        self.push(value)
    }

    #[inline(always)]
    fn push_integer(&mut self, n: i64) -> Result<(), D::Error> {
        let value = self.domain.integer(n)?;
        self.push(value);
        Ok(())
    }

    #[inline(always)]
    fn push_long(&mut self, bytes: &'a [u8]) -> Result<(), D::Error> {
        let value = match small_integer(bytes) {
            Some(n) => self.domain.integer(n)?,
            None => self.domain.long(bytes)?,
        };
        self.push(value);
        Ok(())
    }

    // -- lines

    /// INT: an integer, or a bool: nought or one spelled with two characters, as `00` or `01`.
    fn int_line(&mut self, line: &'a [u8], site: Site) -> Result<(), D::Error> {
        match line {
            b"00" | b"-0" | b"+0" | b" 0" => self.push_boolean(false),
            b"01" | b"+1" | b" 1" => self.push_boolean(true),
            _ => self.push_decimal(line, site)?,
        }
        Ok(())
    }

    fn push_decimal(&mut self, text: &'a [u8], site: Site) -> Result<(), D::Error> {
        let value = match plain_decimal(text) {
            Some(n) => self.domain.integer(n)?,
            None => self.domain.integer_text(text, site)?,
        };
        self.push(value);
        Ok(())
    }

    /// STRING: a Python 2 string literal between matching quotes.
    fn quoted_line(&mut self, line: &'a [u8], site: Site) -> Result<(), D::Error> {
        let value = match line {
            [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => self.domain.string_escaped(inner, site)?,
            _ => {
                let what = "the STRING opcode argument must be quoted";
                return Err(Fault::malformed(site, what).into());
            }
        };
        self.push(value);
        Ok(())
    }

    // -- the memo

    #[inline(always)]
    fn fetch(&mut self, index: u64, site: Site) -> Result<(), D::Error> {
        match self.memo.get(index) {
            Some(slot) => {
                self.domain.restore(slot, &mut self.stack);
                Ok(())
            }
            None => self.recall(index, site),
        }
    }

    #[cold]
    fn recall(&mut self, index: u64, site: Site) -> Result<(), D::Error> {
        match self.domain.recall(index) {
            Some(value) => {
                self.push(value);
                Ok(())
            }
            None => {
                let what = format!("Memo value not found at index {index}");
                Err(Fault::malformed(site, what).into())
            }
        }
    }

    #[inline(always)]
    fn store(&mut self, index: u64, site: Site) -> Result<(), D::Error> {
        let at = self.reach(1, site)?;
        self.memo.put(index, || self.domain.keep(&self.stack[at]));
        Ok(())
    }

    // -- containers

    /// The pairs from `from` on must be pairs.
    #[inline(always)]
    fn even(&self, from: usize, site: Site) -> Result<Site, FaultBox> {
        if (self.stack.len() - from) % 2 != 0 {
            let what = format!("odd number of items for {}", site.opcode.name());
            return Err(Fault::malformed(site, what));
        }
        Ok(site)
    }

    /// The container below `from`, and its kind. `None`: there is nothing to add.
    #[inline(always)]
    fn target(&self, from: usize, site: Site) -> Result<Option<(D::Value, Kind)>, FaultBox> {
        if from <= self.fence || from > self.stack.len() {
            return Err(self.underflow(site));
        }
        if from == self.stack.len() {
            return Ok(None);
        }
        let target = self.stack[from - 1].clone();
        let kind = self.domain.kind(&target);
        Ok(Some((target, kind)))
    }

    #[cold]
    fn misfit(&self, verb: &str, kind: Kind, site: Site) -> FaultBox {
        Fault::malformed(site, format!("cannot {verb} {}", kind.word()))
    }

    #[inline(always)]
    fn extend(&mut self, from: usize, site: Site) -> Result<(), D::Error> {
        let Some((target, kind)) = self.target(from, site)? else { return Ok(()) };
        match kind {
            Kind::List => self.domain.list_extend(&target, Items::new(&mut self.stack, from), site),
            Kind::Instance | Kind::Unknown => {
                self.domain.instance_extend(&target, Items::new(&mut self.stack, from), site)
            }
            _ => Err(self.misfit("append to", kind, site).into()),
        }
    }

    #[inline(always)]
    fn update(&mut self, from: usize, site: Site) -> Result<(), D::Error> {
        let Some((target, kind)) = self.target(from, site)? else { return Ok(()) };
        let site = self.even(from, site)?;
        match kind {
            Kind::Dict => self.domain.dict_update(&target, Items::new(&mut self.stack, from), site),
            Kind::Instance | Kind::Unknown => {
                self.domain.instance_update(&target, Items::new(&mut self.stack, from), site)
            }
            _ => Err(self.misfit("set items of", kind, site).into()),
        }
    }

    fn add(&mut self, from: usize, site: Site) -> Result<(), D::Error> {
        let Some((target, kind)) = self.target(from, site)? else { return Ok(()) };
        match kind {
            Kind::Set => self.domain.set_update(&target, Items::new(&mut self.stack, from), site),
            Kind::Instance | Kind::Unknown => {
                self.domain.instance_add(&target, Items::new(&mut self.stack, from), site)
            }
            _ => Err(self.misfit("add items to", kind, site).into()),
        }
    }

    // -- names and calls

    /// Names of protocols below 3 are Python 2 names.
    fn python2(&self) -> bool {
        self.fix_imports && self.protocol < 3
    }

    fn stack_global(&mut self, site: Site) -> Result<(), D::Error> {
        let name = self.pop(site)?;
        let module = self.pop(site)?;
        for value in [&module, &name] {
            if !matches!(self.domain.kind(value), Kind::Text | Kind::Unknown) {
                return Err(Fault::malformed(site, "STACK_GLOBAL requires str").into());
            }
        }
        let value = self.domain.stack_global(module, name, self.python2(), site)?;
        self.push(value);
        Ok(())
    }

    fn extension(&mut self, code: i64, site: Site) -> Result<(), D::Error> {
        if code <= 0 {
            return Err(Fault::malformed(site, "EXT specifies code <= 0").into());
        }
        let value = self.domain.extension(code, self.python2(), site)?;
        self.push(value);
        Ok(())
    }

    fn reduce(&mut self, site: Site) -> Result<D::Value, D::Error> {
        let arguments = self.pop(site)?;
        let callable = self.pop(site)?;
        self.must_be_tuple(&arguments, site)?;
        self.domain.call(callable, arguments, site)
    }

    fn newobj(&mut self, site: Site) -> Result<D::Value, D::Error> {
        let arguments = self.pop(site)?;
        let class = self.pop(site)?;
        self.must_be_tuple(&arguments, site)?;
        self.domain.construct(class, arguments, None, site)
    }

    fn newobj_ex(&mut self, site: Site) -> Result<(), D::Error> {
        let keywords = self.pop(site)?;
        let arguments = self.pop(site)?;
        let class = self.pop(site)?;
        self.must_be_tuple(&arguments, site)?;
        let kind = self.domain.kind(&keywords);
        if !matches!(kind, Kind::Dict | Kind::Unknown) {
            let what = format!("NEWOBJ_EX keywords must be a dict, not {}", kind.word());
            return Err(Fault::malformed(site, what).into());
        }
        let value = self.domain.construct(class, arguments, Some(keywords), site)?;
        self.push(value);
        Ok(())
    }

    #[inline(always)]
    fn must_be_tuple(&self, arguments: &D::Value, site: Site) -> Result<(), FaultBox> {
        match self.domain.kind(arguments) {
            Kind::Tuple | Kind::Unknown => Ok(()),
            kind => {
                let opcode = site.opcode.name();
                let what = format!("{opcode} arguments must be a tuple, not {}", kind.word());
                Err(Fault::new(site, FaultKind::BadType(what)))
            }
        }
    }

    fn inst(&mut self, module: &'a [u8], name: &'a [u8], site: Site) -> Result<(), D::Error> {
        let from = self.pop_mark(site)?;
        let class = self.domain.global(module, name, self.python2(), site)?;
        let value = self.domain.instantiate(class, Items::new(&mut self.stack, from), site)?;
        self.push(value);
        Ok(())
    }

    fn obj(&mut self, site: Site) -> Result<(), D::Error> {
        let from = self.pop_mark(site)?;
        if from >= self.stack.len() {
            return Err(self.underflow(site).into());
        }
        let class = self.stack[from].clone();
        let value = self.domain.instantiate(class, Items::new(&mut self.stack, from + 1), site)?;
        self.stack[from] = value;
        Ok(())
    }

    fn build(&mut self, site: Site) -> Result<(), D::Error> {
        self.reach(2, site)?;
        let state = self.pop(site)?;
        let target = self.top(site)?.clone();
        match self.domain.kind(&target) {
            Kind::Global => {
                let what = "BUILD needs an instance, not a class, function or module";
                Err(Fault::malformed(site, what).into())
            }
            _ => self.domain.set_state(&target, state, site),
        }
    }

    fn declare_protocol(&mut self, protocol: u8, site: Site) -> Result<(), FaultBox> {
        if protocol > HIGHEST_PROTOCOL {
            let what = format!("unsupported pickle protocol: {protocol}");
            return Err(Fault::bad_value(site, what));
        }
        self.protocol = protocol;
        Ok(())
    }
}

/// The two lines of a name; an empty one is the mark of a file cut off.
fn names<'a>(module: &'a [u8], name: &'a [u8], site: Site) -> Result<(&'a [u8], &'a [u8]), FaultBox> {
    if module.is_empty() || name.is_empty() {
        return Err(Fault::malformed(site, "pickle data was truncated: an empty name"));
    }
    Ok((module, name))
}

/// A memo index written as text.
fn index_of(line: &[u8], site: Site) -> Result<u64, FaultBox> {
    match plain_decimal(line.trim_ascii()) {
        Some(n) if n >= 0 => Ok(n as u64),
        Some(_) if site.opcode == Opcode::Put => Err(Fault::bad_value(site, "negative PUT argument")),
        Some(_) => Err(Fault::bad_value(site, "negative GET argument")),
        None => Err(Fault::bad_value(site, format!("invalid memo index '{}'", excerpt(line)))),
    }
}
