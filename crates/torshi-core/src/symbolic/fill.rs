//! Filling containers with symbols: what may stand as data, and what keys cost to hash. It keeps
//! what later rules look at, and never looks into instances.

use super::arena::{all_atoms, NodeKind, KEPT_PAIRS, NO_GLOBAL};
use super::globals::usage;
use super::value::Symbol;
use super::Symbolic;
use crate::error::{FaultBox, Site};
use crate::finding::FindingKind;
use crate::policy::{reserved, Row};

impl Symbolic<'_, '_> {
    /// Whether a symbol is, or a tuple of it holds, a global that may not stand as data.
    #[inline(always)]
    pub(super) fn is_raw(&self, symbol: Symbol) -> bool {
        match symbol {
            Symbol::Global(id) => !self.may_stand(id),
            Symbol::New(_) => !self.unrestricted,
            Symbol::Node(id) => self.arena.gist(id).holds_raw_global,
            _ => false,
        }
    }

    /// A denied global is a finding already; it is not one again for standing somewhere.
    fn may_stand(&self, id: u32) -> bool {
        let global = self.globals.get(id);
        self.unrestricted || global.row.is_none_or(|row| row.value)
    }

    /// A value comes to stand in a container, a state or the result.
    #[inline(always)]
    pub(super) fn place(&mut self, symbol: Symbol, site: Site) {
        match symbol {
            Symbol::Global(id) => self.place_global(id, site),
            Symbol::New(id) => self.place_new(id, site),
            Symbol::Node(id) if self.arena.gist(id).holds_raw_global => self.place_tuple(id, site),
            _ => {}
        }
    }

    #[inline(always)]
    pub(super) fn place_all(&mut self, symbols: &[Symbol], site: Site) {
        if all_atoms(symbols) {
            return;
        }
        for &symbol in symbols {
            self.place(symbol, site);
        }
    }

    fn place_global(&mut self, id: u32, site: Site) {
        self.globals.note(id, usage::VALUE);
        if !self.may_stand(id) {
            let name = self.globals.get(id).full_name();
            let message = format!("{name} may be used by the stream, but not stand as data");
            let remedy = Some(name.clone());
            self.report(FindingKind::Value, Some(name), message, remedy, site);
        }
    }

    fn place_new(&mut self, id: u32, site: Site) {
        if self.unrestricted {
            return;
        }
        let name = self.globals.get(id).full_name();
        let message = format!("{name}.__new__ may be used by the stream, but not stand as data");
        self.report(FindingKind::Value, Some(name), message, None, site);
    }

    fn place_tuple(&mut self, id: u32, site: Site) {
        self.arena.set_raw(id, false); // reported once
        for item in self.arena.items(id).to_vec() {
            self.place(item, site);
        }
    }

    /// Items come into a list.
    #[inline(always)]
    pub(super) fn fill_list(&mut self, id: u32, items: &[Symbol], site: Site) {
        self.thaw(id, site);
        let one = matches!(*items, [Symbol::Node(item)] if self.arena.append_node(id, item));
        if !one && !self.arena.fill_nodes(id, items) {
            self.place_all(items, site);
            self.arena.fill(id, items);
        }
    }

    /// A container that a checked state keeps by reference is changed behind its back.
    #[inline(always)]
    fn thaw(&mut self, id: u32, site: Site) {
        if self.arena.node(id).frozen && !self.unrestricted {
            let message = "a container is changed after it became part of a checked state".to_owned();
            self.report(FindingKind::State, None, message, None, site);
        }
    }

    /// Pairs come into a dict or a mapping instance.
    #[inline(always)]
    pub(super) fn fill_dict(&mut self, id: u32, pairs: &[Symbol], site: Site) -> Result<(), FaultBox> {
        self.thaw(id, site);
        if !all_atoms(pairs) {
            for &symbol in pairs {
                self.place(symbol, site);
            }
            self.hash(pairs.iter().copied().step_by(2), site)?;
        }
        let kept = KEPT_PAIRS.saturating_sub(self.arena.node(id).count as usize);
        if pairs.len() > 2 * kept && self.arena.node(id).attribute_keys {
            // Keys of pairs kept whole are looked at when somebody asks; these never again.
            let unkept = &pairs[2 * kept..];
            let sound = unkept.iter().step_by(2).all(|&key| self.is_attribute(key));
            self.arena.node_mut(id).attribute_keys = sound;
        }
        self.arena.fill_pairs(id, pairs);
        Ok(())
    }

    /// Whether pairs about to come into an empty dict are nothing but the attributes of a class that the user
    /// vouches for: no rule will ask for one of them by name, so they need not be kept.
    #[inline(always)]
    pub(super) fn is_plain_state(&self, target: Symbol, dict: Symbol, pairs: &[Symbol]) -> bool {
        let (Symbol::Node(target), Symbol::Node(dict)) = (target, dict) else { return false };
        let (target, dict) = (self.arena.node(target), self.arena.node(dict));
        target.global != NO_GLOBAL
            && target.open
            && dict.count == 0
            && self.globals.get(target.global).trusted()
            && pairs.chunks_exact(2).all(|pair| self.is_attribute(pair[0]))
    }

    /// Notes such pairs: that all keys are attributes' names, and the values with parts of their own.
    pub(super) fn fill_plain_state(&mut self, id: u32, pairs: &[Symbol], site: Site) -> Result<(), FaultBox> {
        self.thaw(id, site);
        if !self.arena.fill_value_nodes(id, pairs) {
            self.place_all(pairs, site);
            self.arena.fill_values(id, pairs);
        }
        Ok(())
    }

    /// Whether a key may name an attribute in a state.
    #[inline(always)]
    pub(super) fn is_attribute(&self, key: Symbol) -> bool {
        match key {
            // Most begin otherwise than reserved names do.
            Symbol::Text(span) if span.is_known() && self.data.get(span.offset()) != Some(&b'_') => true,
            Symbol::Text(span) => match span.get(self.data) {
                Some([b'_', b'_', ..]) => self.known_text(key).is_some_and(|text| !reserved(text)),
                Some(_) => true,
                None => false,
            },
            Symbol::DecodedText(_) => self.known_text(key).is_some_and(|text| !reserved(text)),
            _ => false,
        }
    }

    pub(super) fn fill_set(&mut self, id: u32, items: &[Symbol], site: Site) -> Result<(), FaultBox> {
        self.thaw(id, site);
        self.place_all(items, site);
        self.hash(items.iter().copied(), site)?;
        self.arena.fill(id, items);
        Ok(())
    }

    /// An instance is filled: its row must say that it may be.
    pub(super) fn may_fill(&mut self, target: Symbol, allowed: fn(&Row) -> bool, what: &str, site: Site) {
        if self.unrestricted {
            return;
        }
        match target {
            Symbol::Node(id) if self.arena.node(id).kind == NodeKind::Instance => {
                let node = self.arena.node(id);
                let (global, open) = (node.global, node.open);
                self.globals.note(global, usage::ITEMS);
                let Some(row) = self.globals.get(global).row else { return };
                if !open || !allowed(row) {
                    let name = self.globals.get(global).full_name();
                    let message = format!("an instance of {name} may not have {what}");
                    self.report(FindingKind::Items, Some(name.clone()), message, Some(name), site);
                }
            }
            _ => {
                let message = format!("an object of unknown type may not have {what}");
                self.report(FindingKind::Computed, None, message, None, site);
            }
        }
    }
}
