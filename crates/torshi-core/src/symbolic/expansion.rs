//! Expansion: how large a value is to whoever walks it without remembering what was seen. A few
//! dozen shared lists describe 10^29 elements in two hundred bytes; loading them is cheap, printing,
//! comparing or converting them never ends. Cycles are not counted: walkers must know those anyway.

use super::arena::{Arena, NodeKind};
use super::value::Symbol;
use super::Symbolic;
use crate::error::{Fault, FaultBox, Site};

/// Containers met a second time before the reckoning is worth its while: fewer cannot multiply far.
const FEW: u64 = 40;

enum Mark {
    New,
    Open,
    Done(f64),
}

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
        let size = expanded(&self.arena, top);
        if size > self.limits.expansion as f64 {
            let detail = format!("the value unfolds to {size:.1e} elements through shared containers");
            return Err(Fault::limit(site, "expansion", self.limits.expansion, detail));
        }
        Ok(())
    }
}

/// Elements below a node, those of shared containers counted each time.
fn expanded(arena: &Arena, top: u32) -> f64 {
    let mut marks: Vec<Mark> = Vec::new();
    marks.resize_with(arena.len(), || Mark::New);
    let mut todo = vec![top];
    while let Some(&id) = todo.last() {
        match marks[id as usize] {
            Mark::New => {
                marks[id as usize] = Mark::Open;
                let parts = nodes(arena, id).filter(|&part| matches!(marks[part as usize], Mark::New));
                todo.extend(parts.collect::<Vec<_>>());
            }
            Mark::Open => {
                let mut size = 1.0 + f64::from(arena.node(id).count);
                for part in nodes(arena, id) {
                    size += if let Mark::Done(below) = marks[part as usize] { below } else { 0.0 };
                }
                marks[id as usize] = Mark::Done(size);
                todo.pop();
            }
            Mark::Done(_) => {
                todo.pop();
            }
        }
    }
    if let Mark::Done(size) = marks[top as usize] {
        size
    } else {
        0.0
    }
}

/// The nodes a node holds.
fn nodes(arena: &Arena, id: u32) -> impl Iterator<Item = u32> + '_ {
    let items = if arena.node(id).kind == NodeKind::Tuple { arena.items(id) } else { &[] };
    let made_of = [arena.arguments(id), arena.state(id)].into_iter().flatten();
    let symbols = items.iter().copied().chain(made_of).chain(arena.children(id));
    symbols.filter_map(|symbol| if let Symbol::Node(node) = symbol { Some(node) } else { None })
}

#[cfg(test)]
mod tests {
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
