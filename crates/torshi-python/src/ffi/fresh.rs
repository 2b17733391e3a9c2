//! Large copies into memory that was just allocated. Pages nobody has touched yet cost more than the copy: under
//! megabytes the system is asked for huge pages, below that for all pages at once instead of one fault for each.
//!
//! It only ever advises: a system that does not know the advice copies as fast as it always did.

/// Bytes from which on huge pages are asked for.
pub const HUGE: usize = 4 << 20;
/// Bytes from which on asking for all pages at once takes less time than it saves.
pub const LARGE: usize = 32 << 10;
/// Bytes copied between two looks at the clock. Huge pages take a third of a nanosecond for each, small ones up to one.
const STEP: usize = 16 << 20;
/// The end of the heap is untouched at most this far down: what the C library asks for beyond what it needs (128 kB).
#[cfg(target_os = "linux")]
const PADDING: usize = 160 << 10;
#[cfg(target_os = "linux")]
const PAGE: usize = 4096;

/// Copies `data` to `to`.
///
/// # Safety
///
/// `to` is room for all of `data`, in an object that nobody else has seen, and `data` is not in it.
pub unsafe fn copy(data: &[u8], to: *mut u8) {
    // SAFETY: as the caller promises.
    unsafe { Filling::new(to, data.len()).put(data) };
}

/// Copies `data` to `to`, which the system was told of before.
///
/// # Safety
///
/// As for `copy`.
pub unsafe fn fill(data: &[u8], to: *mut u8) {
    // SAFETY: as the caller promises.
    unsafe { Filling { at: to, left: data.len(), huge: data.len() >= HUGE, small: false, late: 0 }.put(data) };
}

/// New memory that is filled from its beginning.
///
/// Where memory is in small pieces, the system may work long on each huge page it is asked for. So the first steps are
/// timed, and where they take longer than small pages would, the rest is had in small pages.
pub struct Filling {
    at: *mut u8,
    left: usize,
    huge: bool,
    small: bool,
    /// By how many nanoseconds this took longer than one for each byte.
    late: i64,
}

impl Filling {
    /// # Safety
    ///
    /// `to` is room for `length` bytes, in an object that nobody else has seen, as long as this is used.
    pub unsafe fn new(to: *mut u8, length: usize) -> Self {
        if length >= LARGE {
            expect(to, length);
        }
        Filling { at: to, left: length, huge: length >= HUGE, small: false, late: 0 }
    }

    /// Copies `data` behind what was put there before.
    ///
    /// # Safety
    ///
    /// There is room left for it, and it is not in there itself.
    pub unsafe fn put(&mut self, data: &[u8]) {
        for step in data.chunks(STEP) {
            let begun = (self.huge && step.len() >= HUGE).then(worked);
            #[cfg(target_os = "linux")]
            if self.small && step.len() >= LARGE {
                advise(self.at as usize, step.len(), libc::MADV_POPULATE_WRITE);
            }
            // SAFETY: as the caller promises, here and of `new`.
            unsafe {
                std::ptr::copy_nonoverlapping(step.as_ptr(), self.at, step.len());
                self.at = self.at.add(step.len());
            }
            self.left -= step.len();
            if let Some(begun) = begun {
                self.late += worked() - begun - step.len() as i64;
                if self.late > STEP as i64 {
                    self.give_up_huge();
                }
            }
        }
    }

    #[cold]
    fn give_up_huge(&mut self) {
        (self.huge, self.small) = (false, true);
        #[cfg(target_os = "linux")]
        advise(self.at as usize, self.left, libc::MADV_NOHUGEPAGE);
    }
}

/// Tells the system that memory of ours is about to be written.
pub fn expect(start: *mut u8, len: usize) {
    #[cfg(target_os = "linux")]
    if len >= HUGE {
        advise(start as usize, len, libc::MADV_HUGEPAGE);
    } else if is_untouched(start as usize + len) {
        advise(start as usize, len, libc::MADV_POPULATE_WRITE);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, len);
}

/// Nanoseconds that this thread has worked, in the system too. Not how late it is: the thread may have had to wait.
#[cfg(target_os = "linux")]
fn worked() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock is written to a place of ours; where there is none, the place stays as it is.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Where nothing is advised, nothing is given up.
#[cfg(not(target_os = "linux"))]
fn worked() -> i64 {
    0
}

/// Whether memory that ends there is likely to be fresh: at the end of the heap, or mapped for itself, beyond it. Asking
/// for pages that are there already would cost a tenth of the copy.
#[cfg(target_os = "linux")]
fn is_untouched(end: usize) -> bool {
    // SAFETY: an increment of zero moves nothing, and only tells where the heap ends.
    let heap = unsafe { libc::sbrk(0) } as usize;
    end > heap || heap - end < PADDING
}

#[cfg(target_os = "linux")]
fn advise(start: usize, len: usize, advice: libc::c_int) {
    let from = start.next_multiple_of(PAGE);
    let to = (start + len) & !(PAGE - 1);
    if to > from {
        // SAFETY: whole pages inside one allocation of ours; neither advice changes what they hold.
        unsafe { libc::madvise(from as *mut _, to - from, advice) };
    }
}
