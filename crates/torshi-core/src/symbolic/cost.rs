//! Costs: what keys take to hash, what calls allocate, how deep values nest that are freed
//! recursively. Everything is reckoned before it is done; nothing is believed that a stream declares.

use super::judged::Cost;
use super::value::Symbol;
use super::Symbolic;
use crate::error::{Fault, FaultBox, Site};
use rustc_hash::FxHashMap;

/// No limit lets hashing recurse deeper: no C stack bears it.
const MOST_DEPTH: u32 = 60_000;
/// Bytes an item of a collected range takes at most: an int object and a slot of a set.
const ITEM_BYTES: u64 = 64;

/// Bytes a call may copy uncounted.
const SMALL_COPY: u64 = 16;
/// Bytes an item takes in a copied container.
const SLOT_BYTES: u64 = 8;

impl Symbolic<'_, '_> {
    /// Charges the budget of hashing for keys about to be hashed.
    #[inline(always)]
    pub(super) fn hash(&mut self, keys: impl Iterator<Item = Symbol>, site: Site) -> Result<(), FaultBox> {
        for key in keys {
            if let Symbol::Node(id) = key {
                self.hash_node(id, site)?;
            }
        }
        Ok(())
    }

    fn hash_node(&mut self, id: u32, site: Site) -> Result<(), FaultBox> {
        let gist = self.arena.gist(id);
        if u32::from(gist.depth) > self.limits.depth.min(MOST_DEPTH) {
            let detail = format!("hashing a key nested {} deep", gist.depth);
            return Err(Fault::limit(site, "depth", self.limits.depth.into(), detail));
        }
        self.hash_steps = self.hash_steps.saturating_add(gist.weight.into());
        let allowed = self.limits.hash_steps.saturating_add(64 * self.size as u64);
        if self.hash_steps > allowed {
            let detail = format!("hashing keys would take over {allowed} steps");
            return Err(Fault::limit(site, "hash_steps", self.limits.hash_steps, detail));
        }
        Ok(())
    }

    /// Charges what a call costs beyond its arguments' own weight.
    pub(super) fn charge_call(&mut self, global: u32, arguments: Symbol, site: Site) -> Result<(), FaultBox> {
        self.charge_copies(arguments, site)?;
        let cost = self.globals.get(global).cost;
        if matches!(cost, Cost::Plain | Cost::Range) {
            return Ok(());
        }
        let Some(first) = self.tuple_items(arguments).first().copied() else { return Ok(()) };
        if let (Cost::Sized, Symbol::Int(size)) = (cost, first) {
            return self.charge_memory(size.max(0) as u64, site);
        }
        if let (Cost::Sized, Symbol::BigInt(_) | Symbol::BigHeld(_) | Symbol::BigText(_)) = (cost, first) {
            return self.charge_memory(u64::MAX, site);
        }
        if let Some(length) = self.range_length(first) {
            return self.charge_memory(length.saturating_mul(ITEM_BYTES), site);
        }
        match (cost, first) {
            (Cost::Hashes, Symbol::Node(id)) => self.hash_children(id, site),
            _ => Ok(()),
        }
    }

    /// Charges what a call or a state may copy of its arguments: the memo lets a few bytes ask for the same
    /// long ones again and again. What stands in the stream once is always within the bound.
    pub(super) fn charge_copies(&mut self, arguments: Symbol, site: Site) -> Result<(), FaultBox> {
        // So few bytes that the instruction of the call pays for them, whatever the memo does.
        let small = |symbol: &Symbol| match symbol {
            Symbol::Bytes(span) | Symbol::Text(span) => span.len() <= SMALL_COPY,
            Symbol::Node(_) | Symbol::HeldBytes(_) | Symbol::DecodedText(_) => false,
            Symbol::ByteArray(_) | Symbol::HeldByteArray(_) => false,
            _ => true,
        };
        let items = self.tuple_items(arguments);
        if matches!(items, [one] if small(one)) {
            return Ok(());
        }
        let extent = |argument: &Symbol| match *argument {
            Symbol::Bytes(span) | Symbol::Text(span) => span.len(),
            Symbol::None | Symbol::Bool(_) | Symbol::Int(_) | Symbol::Float(_) => 0,
            other => self.extent(other, 4),
        };
        let bytes: u64 = items.iter().map(extent).sum();
        self.copied = self.copied.saturating_add(bytes);
        let allowed = self.limits.memory_for(self.size).saturating_add(self.size as u64);
        if self.copied > allowed {
            let detail = format!("calls copy {} bytes", self.copied);
            return Err(Fault::limit(site, "memory", allowed, detail));
        }
        Ok(())
    }

    /// Bytes a copy of a value takes, without the parts of its parts. The call forms of bytes nest to `deep`.
    fn extent(&self, symbol: Symbol, deep: u32) -> u64 {
        match symbol {
            Symbol::Bytes(span) | Symbol::Text(span) | Symbol::ByteArray(span) => span.len(),
            Symbol::HeldBytes(at) | Symbol::HeldByteArray(at) => {
                self.held.get(at as usize).map_or(0, |bytes| bytes.len() as u64)
            }
            Symbol::DecodedText(at) => {
                self.texts.get(at as usize).and_then(|t| t.as_ref()).map_or(0, |t| t.len() as u64)
            }
            Symbol::Node(id) => match (self.arena.arguments(id), deep) {
                (Some(_), 0) => 0,
                (Some(made), _) => self.tuple_items(made).first().map_or(0, |&first| self.extent(first, deep - 1)),
                (None, _) => u64::from(self.arena.node(id).count) * SLOT_BYTES,
            },
            _ => 0,
        }
    }

    /// Items of an iterable about to be hashed; pairs count whole, as if both were keys.
    fn hash_children(&mut self, id: u32, site: Site) -> Result<(), FaultBox> {
        for child in self.arena.children(id) {
            match child {
                Symbol::Node(pair) if self.arena.node(pair).kind == super::arena::NodeKind::List => {
                    let keys = self.arena.children(pair);
                    self.hash(keys.into_iter(), site)?
                }
                _ => self.hash(std::iter::once(child), site)?,
            }
        }
        Ok(())
    }

    pub(super) fn charge_memory(&mut self, bytes: u64, site: Site) -> Result<(), FaultBox> {
        self.memory = self.memory.saturating_add(bytes);
        let allowed = self.limits.memory_for(self.size);
        if self.memory > allowed {
            let detail = format!("calls and names ask for {} bytes", self.memory);
            return Err(Fault::limit(site, "memory", allowed, detail));
        }
        Ok(())
    }

    /// How many items going through a range takes, if the symbol is one.
    fn range_length(&self, symbol: Symbol) -> Option<u64> {
        let Symbol::Node(id) = symbol else { return None };
        let global = self.arena.node(id).global;
        if global == super::arena::NO_GLOBAL || self.globals.get(global).cost != Cost::Range {
            return None;
        }
        let bounds = self.tuple_items(self.arena.arguments(id)?);
        let number = |at: usize| match bounds.get(at) {
            Some(Symbol::Int(n)) => Some(*n as i128),
            Some(Symbol::Bool(b)) => Some(i128::from(*b)),
            _ => None,
        };
        let (start, stop, step) = match bounds.len() {
            1 => (Some(0), number(0), Some(1)),
            2 => (number(0), number(1), Some(1)),
            _ => (number(0), number(1), number(2)),
        };
        let (Some(start), Some(stop), Some(step)) = (start, stop, step) else { return Some(u64::MAX) };
        if step == 0 {
            return Some(0);
        }
        let length = (stop - start + step - step.signum()) / step;
        Some(length.clamp(0, u64::MAX as i128) as u64)
    }

    /// Refuses values whose freeing would recurse deeper than the C stack is sure to bear: chains of
    /// types without CPython's trashcan (`deque`, `defaultdict`, `slice`, object arrays).
    pub(super) fn check_freeing(&self, site: Site) -> Result<(), FaultBox> {
        let limit = self.limits.depth as usize;
        if !self.arena.grown_late && usize::from(self.arena.deepest) <= limit {
            return Ok(()); // no chain of anything is that long
        }
        let row = |global: u32| self.globals.get(global).row;
        let is_fragile =
            |global| global != super::arena::NO_GLOBAL && row(global).is_some_and(|r| r.fragile && !r.trusted);
        let fragile: Vec<u32> =
            self.arena.instances().filter(|(_, n)| is_fragile(n.global)).map(|(id, _)| id).collect();
        if fragile.len() <= limit {
            return Ok(());
        }
        let place: FxHashMap<u32, usize> = fragile.iter().enumerate().map(|(i, &id)| (id, i)).collect();
        let edges: Vec<Vec<usize>> =
            fragile.iter().map(|&id| self.held(id).filter_map(|held| place.get(&held).copied()).collect()).collect();
        match longest_chain(&edges) {
            depth if depth > limit => {
                let detail = format!("values freed recursively nest {depth} deep");
                Err(Fault::limit(site, "depth", limit as u64, detail))
            }
            _ => Ok(()),
        }
    }

    /// The nodes an instance holds directly: arguments, items, and the items of its state.
    fn held(&self, id: u32) -> impl Iterator<Item = u32> {
        let mut found = Vec::new();
        let mut gather = |symbols: &[Symbol]| {
            found.extend(symbols.iter().filter_map(|s| if let Symbol::Node(n) = s { Some(*n) } else { None }))
        };
        gather(&self.arena.children(id));
        for parts in [self.arena.arguments(id), self.arena.state(id)].into_iter().flatten() {
            for part in self.tuple_items(parts) {
                gather(std::slice::from_ref(part));
                if let Symbol::Node(n) = *part {
                    gather(&self.arena.children(n));
                }
            }
        }
        found.into_iter()
    }
}

/// Nodes on the longest chain of a graph; those on a cycle, or behind one, count together.
fn longest_chain(edges: &[Vec<usize>]) -> usize {
    let mut incoming = vec![0usize; edges.len()];
    edges.iter().flatten().for_each(|&to| incoming[to] += 1);
    let mut depth = vec![1usize; edges.len()];
    let mut ready: Vec<usize> = (0..edges.len()).filter(|&n| incoming[n] == 0).collect();
    let (mut longest, mut done) = (0, 0);
    while let Some(node) = ready.pop() {
        done += 1;
        longest = longest.max(depth[node]);
        for &to in &edges[node] {
            depth[to] = depth[to].max(depth[node] + 1);
            incoming[to] -= 1;
            if incoming[to] == 0 {
                ready.push(to);
            }
        }
    }
    longest.max(edges.len() - done)
}

#[cfg(test)]
mod tests {
    use super::longest_chain;

    /// A miscounted chain overflows the C stack when the value is freed, or refuses honest data.
    #[test]
    fn chains_are_measured() {
        assert_eq!(longest_chain(&[vec![1], vec![2], vec![], vec![2]]), 3);
        assert_eq!(longest_chain(&[vec![1, 2, 3], vec![], vec![], vec![]]), 2);
        assert_eq!(longest_chain(&[vec![1], vec![2], vec![0]]), 3);
    }
}
