//! What policies allowed of names, remembered: a program that loads the same kind of small object again and again asks
//! the same of the same policy each time. It holds nothing that a policy would not say again, and no denial.

use super::{Inner, Matched, Row};
use rustc_hash::FxHasher;
use std::cell::RefCell;
use std::hash::Hasher;
use std::sync::Arc;

/// Names remembered by a thread.
const SLOTS: usize = 64;
/// Bytes of the longest name remembered.
const LONGEST: usize = 256;

type Said = (&'static Row, Matched);

struct Slot {
    /// Kept, so that no other policy ever stands where this one does.
    policy: Arc<Inner>,
    module: Box<str>,
    name: Box<str>,
    said: Said,
}

thread_local! {
    static KNOWN: RefCell<[Option<Slot>; SLOTS]> = const { RefCell::new([const { None }; SLOTS]) };
}

fn place(policy: &Arc<Inner>, module: &str, name: &str) -> usize {
    let mut hasher = FxHasher::default();
    hasher.write_usize(Arc::as_ptr(policy) as usize);
    hasher.write(module.as_bytes());
    hasher.write_u8(0);
    hasher.write(name.as_bytes());
    (hasher.finish().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58) as usize % SLOTS
}

/// What this very policy said of a name before, if that is remembered.
pub(super) fn recall(policy: &Arc<Inner>, module: &str, name: &str) -> Option<Said> {
    let find = |known: &RefCell<[Option<Slot>; SLOTS]>| {
        let known = known.try_borrow().ok()?;
        let slot = known[place(policy, module, name)].as_ref()?;
        let same = Arc::ptr_eq(&slot.policy, policy) && *slot.module == *module && *slot.name == *name;
        same.then(|| slot.said.clone())
    };
    KNOWN.try_with(find).ok().flatten() // at the end of a thread nothing is remembered
}

/// Remembers what a policy said of a name, in the place of another one.
pub(super) fn note(policy: &Arc<Inner>, module: &str, name: &str, said: &Said) {
    if module.len() + name.len() > LONGEST {
        return;
    }
    let slot = Slot { policy: policy.clone(), module: module.into(), name: name.into(), said: said.clone() };
    let _ = KNOWN.try_with(|known| {
        if let Ok(mut known) = known.try_borrow_mut() {
            known[place(policy, module, name)] = Some(slot);
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::policy::{Policy, Verdict};

    /// What one policy allows must not be what the next one says, wherever in memory it stands.
    #[test]
    fn a_policy_says_what_it_says() {
        for round in 0..2000 {
            let policy = match round % 2 {
                0 => Policy::default().allow("app:f").unwrap(),
                _ => Policy::default(),
            };
            let allows = |name: &str| matches!(policy.find("app", name), Verdict::Allowed(_));
            assert_eq!([allows("f"), allows("f"), allows("g")], [round % 2 == 0, round % 2 == 0, false]);
        }
    }
}
