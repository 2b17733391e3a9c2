//! The globals of a stream: each name once, with what is known of it and what the stream does with it.

use super::judged::{judged, Judged, Origin};
use crate::error::Site;
use crate::policy::Policy;
use crate::symbolic::Renamed;
use rustc_hash::FxHashMap;
use std::ops::Deref;
use std::sync::Arc;

/// What a stream does with a global, as bits.
pub mod usage {
    /// REDUCE.
    pub const CALL: u8 = 1;
    /// NEWOBJ, NEWOBJ_EX, OBJ, INST.
    pub const CONSTRUCT: u8 = 2;
    /// BUILD on an instance.
    pub const STATE: u8 = 4;
    /// APPEND(S), SETITEM(S), ADDITEMS on an instance.
    pub const ITEMS: u8 = 8;
    /// Stands in the result as data.
    pub const VALUE: u8 = 16;

    /// The words for the bits, for reports.
    pub const WORDS: [(u8, &str); 5] =
        [(CALL, "call"), (CONSTRUCT, "construct"), (STATE, "state"), (ITEMS, "items"), (VALUE, "value")];
}

/// One global of the stream.
#[derive(Clone, Debug)]
pub struct GlobalUse {
    /// What is known of the name.
    pub judged: Arc<Judged>,
    /// Where it is named first.
    pub site: Site,
    /// What is done with it: bits of [`usage`].
    pub uses: u8,
}

impl Deref for GlobalUse {
    type Target = Judged;

    #[inline(always)]
    fn deref(&self) -> &Judged {
        &self.judged
    }
}

/// Globals that are looked through one by one: most streams have no more.
const FEW: usize = 8;

/// All globals of a stream, by first use.
#[derive(Default)]
pub struct Globals {
    all: Vec<GlobalUse>,
    /// By name, once there are more than a few.
    ids: FxHashMap<Vec<u8>, u32>,
    key: Vec<u8>,
}

impl Globals {
    /// The global of these names; adds it if it is new, and says so. Judged by a policy, and what was renamed.
    pub fn find(
        &mut self, by: (&Policy, Option<&Renamed<'_>>), module: &str, name: &str, python2: bool, origin: Origin,
        site: Site,
    ) -> (u32, bool) {
        if let Some(id) = self.known(module, name, python2, origin) {
            return (id, false);
        }
        let id = self.all.len() as u32;
        self.all.push(GlobalUse { judged: judged(by, module, name, python2, origin), site, uses: 0 });
        if self.all.len() > FEW {
            let first = if self.ids.is_empty() { 0 } else { id as usize };
            for (id, global) in self.all.iter().enumerate().skip(first) {
                let (module, name) = global.spelled();
                set_key(&mut self.key, module, name, global.python2, global.origin);
                self.ids.insert(self.key.clone(), id as u32);
            }
        }
        (id, true)
    }

    fn known(&mut self, module: &str, name: &str, python2: bool, origin: Origin) -> Option<u32> {
        if self.all.len() <= FEW {
            let is_it = |known: &GlobalUse| known.is_of(module, name, python2, origin);
            return self.all.iter().position(is_it).map(|id| id as u32);
        }
        set_key(&mut self.key, module, name, python2, origin);
        self.ids.get(&self.key).copied()
    }

    /// One of them.
    #[inline(always)]
    pub fn get(&self, id: u32) -> &GlobalUse {
        &self.all[id as usize]
    }

    /// Notes what is done with one.
    #[inline(always)]
    pub fn note(&mut self, id: u32, uses: u8) {
        self.all[id as usize].uses |= uses;
    }

    /// Takes all of them, by first use.
    pub fn take(&mut self) -> Vec<GlobalUse> {
        std::mem::take(&mut self.all)
    }
}

fn set_key(key: &mut Vec<u8>, module: &str, name: &str, python2: bool, origin: Origin) {
    key.clear();
    for part in [module.as_bytes(), b"\0", name.as_bytes(), &[0, python2.into(), origin as u8]] {
        key.extend_from_slice(part);
    }
}
