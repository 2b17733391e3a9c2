//! Large copies into memory that was just allocated. Pages nobody has touched yet cost more than the copy: under
//! megabytes the system is asked for huge pages, below that for all pages at once instead of one fault for each.
//!
//! It only ever advises: a system that does not know the advice copies as fast as it always did.

/// Bytes from which on huge pages are asked for.
pub const HUGE: usize = 4 << 20;
/// Bytes from which on asking for all pages at once takes less time than it saves.
pub const LARGE: usize = 32 << 10;
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
    if data.len() >= LARGE {
        expect(to, data.len());
    }
    // SAFETY: as the caller promises.
    unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), to, data.len()) };
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
