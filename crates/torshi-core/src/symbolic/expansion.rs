//! Expansion: how large a value is to whoever walks it without remembering what was seen. A few
//! dozen shared lists describe 10^29 elements in two hundred bytes; loading them is cheap, printing,
//! comparing or converting them never ends. Cycles are not counted: walkers must know those anyway.

use super::arena::Arena;
use super::value::Symbol;
use super::Symbolic;
use crate::error::{Fault, FaultBox, Site};

/// Containers met a second time before the reckoning is worth its while: fewer cannot multiply far.
const FEW: u64 = 40;

/// Sizes of nodes not looked at yet. Real ones are positive.
const NEW: f64 = -1.0;
/// What marks a node on the way back up.
const LEAVE: u32 = 1 << 31;

impl Symbolic<'_, '_> {
    /// Refuses a value that unfolds beyond the limit.
    pub(super) fn check_expansion(&self, value: Symbol, site: Site) -> Result<(), FaultBox> {
        let Symbol::Node(top) = value else { return Ok(()) };
        if self.arena.reused < FEW {
            return Ok(());
        }
        // Weights grow with what is put in, so where nothing grew after it was put elsewhere they say it all.
        let weight = self.arena.gist(top).weight;
        if !self.arena.grown_late && weight < u32::MAX && u64::from(weight) <= self.limits.expansion {
            return Ok(());
        }
        // Beyond so many nodes, of which each took a byte of the stream, none could be marked.
        let size = if self.arena.len() < LEAVE as usize { expanded(&self.arena, top) } else { f64::INFINITY };
        if size > self.limits.expansion as f64 {
            let detail = format!("the value unfolds to {size:.1e} elements through shared containers");
            return Err(Fault::limit(site, "expansion", self.limits.expansion, detail));
        }
        Ok(())
    }
}

/// Elements below a node, those of shared containers counted each time.
///
/// One walk over the edges: each node adds what it came to to whoever holds it when it is left, and at once where it is
/// met again. What is met within itself has no size yet that counts.
fn expanded(arena: &Arena, top: u32) -> f64 {
    let mut sizes = vec![NEW; arena.len()];
    let mut inside = vec![false; arena.len()];
    let mut todo = vec![(top, top)];
    while let Some((id, holder)) = todo.pop() {
        if id & LEAVE != 0 {
            let id = id & !LEAVE;
            inside[id as usize] = false;
            if id != top {
                sizes[holder as usize] += sizes[id as usize];
            }
        } else if sizes[id as usize] == NEW {
            sizes[id as usize] = 1.0 + f64::from(arena.node(id).count);
            inside[id as usize] = true;
            todo.push((id | LEAVE, holder));
            arena.each_part(id, |part| todo.push((part, id)));
        } else if !inside[id as usize] {
            sizes[holder as usize] += sizes[id as usize];
        }
    }
    sizes[top as usize]
}

#[cfg(test)]
mod tests {
    use super::super::arena::NodeKind;
    use super::*;

    /// Reckoned in the order of building, a bomb whose outer lists come first would pass.
    #[test]
    fn order_of_building_does_not_matter() {
        for outer_first in [true, false] {
            let mut arena = Arena::default();
            let lists: Vec<u32> = (0..50).map(|_| arena.container(NodeKind::List)).collect();
            let mut links: Vec<usize> = (0..49).collect();
            if !outer_first {
                links.reverse();
            }
            for at in links {
                let inner = Symbol::Node(lists[at + 1]);
                arena.fill(lists[at], &[inner; 10]);
            }
            assert!(expanded(&arena, lists[0]) > 1e40);
        }
    }

    /// A cycle has no unfolded size; refusing it would refuse every tree with parent pointers.
    #[test]
    fn cycles_are_counted_once() {
        let mut arena = Arena::default();
        let (a, b) = (arena.container(NodeKind::List), arena.container(NodeKind::List));
        arena.fill(a, &[Symbol::Node(b), Symbol::Node(b)]);
        arena.fill(b, &[Symbol::Node(a)]);
        assert!(expanded(&arena, a) < 10.0);
    }
}
