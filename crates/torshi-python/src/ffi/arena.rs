//! Fresh memory for the objects of a long stream, in huge pages: first touches of small pages are a third of the
//! time of loading a million numbers.
//!
//! Python takes the memory of small objects in arenas of one megabyte, from an allocator that may be wrapped. While a
//! [`Room`] lives, arenas come in pairs from one huge page; at all other times, and wherever the system has no huge
//! pages, from whatever allocator was there before. The wrapper stays once it is there, because it must take back what
//! it gave. It never keeps an arena that Python has given back, and never more than one that Python did not ask for.

#[cfg(all(target_os = "linux", target_pointer_width = "64", not(Py_GIL_DISABLED)))]
mod pairs {
    use pyo3::ffi::{PyObjectArenaAllocator, PyObject_GetArenaAllocator, PyObject_SetArenaAllocator};
    use rustc_hash::FxHashSet;
    use std::ffi::c_void;
    use std::ptr;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// What CPython 3.11 and later ask for at once (`ARENA_SIZE` in `pycore_obmalloc.h`).
    const ARENA: usize = 1 << 20;
    const HUGE_PAGE: usize = 2 * ARENA;

    /// How many loads want huge pages now.
    static WANTED: AtomicUsize = AtomicUsize::new(0);

    struct Arenas {
        /// The allocator that was there before; none while ours is not installed.
        before: Option<PyObjectArenaAllocator>,
        /// Addresses of the arenas that came from here and are in use.
        ours: Option<FxHashSet<usize>>,
        /// The second half of a pair.
        spare: Option<usize>,
    }

    // SAFETY: the allocator's `ctx` is only handed back to its own functions, which CPython calls from any thread.
    unsafe impl Send for Arenas {}

    static ARENAS: Mutex<Arenas> = Mutex::new(Arenas { before: None, ours: None, spare: None });

    fn arenas() -> MutexGuard<'static, Arenas> {
        ARENAS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn want() {
        install();
        WANTED.fetch_add(1, Ordering::Relaxed);
    }

    pub fn want_no_more() {
        WANTED.fetch_sub(1, Ordering::Relaxed);
    }

    fn install() {
        let mut arenas = arenas();
        if arenas.before.is_some() {
            return;
        }
        let mut before = PyObjectArenaAllocator { ctx: ptr::null_mut(), alloc: None, free: None };
        // SAFETY: the interpreter is attached (`Room::new` has its token), so no arena is being asked for; the
        // functions set here live as long as the process, and `before` is known to them from now on.
        unsafe {
            PyObject_GetArenaAllocator(&raw mut before);
            let mut wrapped = PyObjectArenaAllocator { ctx: ptr::null_mut(), alloc: Some(alloc), free: Some(free) };
            PyObject_SetArenaAllocator(&raw mut wrapped);
        }
        arenas.before = Some(before);
    }

    extern "C" fn alloc(_: *mut c_void, size: usize) -> *mut c_void {
        let mut arenas = arenas();
        if size == ARENA && WANTED.load(Ordering::Relaxed) > 0 {
            if let Some(arena) = arenas.arena() {
                return arena as *mut c_void;
            }
        }
        match arenas.before {
            // SAFETY: the arguments are CPython's own, meant for this function.
            Some(PyObjectArenaAllocator { ctx, alloc: Some(alloc), .. }) => alloc(ctx, size),
            _ => ptr::null_mut(),
        }
    }

    extern "C" fn free(_: *mut c_void, arena: *mut c_void, size: usize) {
        let mut arenas = arenas();
        if arenas.ours.as_mut().is_some_and(|ours| ours.remove(&(arena as usize))) {
            // SAFETY: a mapping of ours of that size, which CPython has done with.
            unsafe { libc::munmap(arena, size) };
        } else if let Some(PyObjectArenaAllocator { ctx, free: Some(free), .. }) = arenas.before {
            free(ctx, arena, size);
        }
    }

    impl Arenas {
        fn arena(&mut self) -> Option<usize> {
            let ours = self.ours.get_or_insert_default();
            ours.try_reserve(1).ok()?;
            let arena = match self.spare.take() {
                Some(spare) => spare,
                None => {
                    let pair = huge_page()?;
                    self.spare = Some(pair + ARENA);
                    pair
                }
            };
            ours.insert(arena);
            Some(arena)
        }
    }

    /// The address of two megabytes of fresh memory that the system may serve with one page.
    fn huge_page() -> Option<usize> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new anonymous mapping, of which all but one aligned huge page is given back before anyone
        // knows its address; the advice does not change what the memory holds.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let mapping = libc::mmap(ptr::null_mut(), 2 * HUGE_PAGE, protection, flags, -1, 0);
            if mapping == libc::MAP_FAILED {
                return None;
            }
            let start = mapping as usize;
            let page = start.next_multiple_of(HUGE_PAGE);
            let (before, after) = (page - start, start + HUGE_PAGE - page);
            if before > 0 {
                libc::munmap(mapping, before);
            }
            if after > 0 {
                libc::munmap((page + HUGE_PAGE) as *mut c_void, after);
            }
            if libc::madvise(page as *mut c_void, HUGE_PAGE, libc::MADV_HUGEPAGE) != 0 {
                libc::munmap(page as *mut c_void, HUGE_PAGE);
                return None;
            }
            Some(page)
        }
    }
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64", not(Py_GIL_DISABLED))))]
mod pairs {
    pub fn want() {}
    pub fn want_no_more() {}
}

use pyo3::prelude::*;

/// While it lives, new arenas come in huge pages.
pub struct Room(());

impl Room {
    /// Makes room.
    pub fn new(_: Python<'_>) -> Self {
        pairs::want();
        Room(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        pairs::want_no_more();
    }
}
