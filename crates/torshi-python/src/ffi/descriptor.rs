//! File descriptors that Python opened: writing to one, and reading from a place in one. They stay Python's, which
//! closes them; nothing here opens, closes or keeps one.

use std::io;
use std::os::raw::c_int;

/// Writes some of the bytes; how many.
pub fn write(fd: c_int, data: &[u8]) -> io::Result<usize> {
    // SAFETY: the pointer is good for that many bytes while the call runs; a descriptor that is closed gives an error.
    let written = unsafe { libc::write(fd, data.as_ptr().cast(), data.len()) };
    usize::try_from(written).map_err(|_| io::Error::last_os_error())
}

/// Has the system begin to write to the disk what it holds of a part of a file, and does not wait for that. It may decline,
/// and where there is no such request it is none: whoever wants to be sure syncs the file.
#[cfg(target_os = "linux")]
pub fn begin_to_store(fd: c_int, offset: u64, length: u64) {
    let (Ok(offset), Ok(length)) = (libc::off64_t::try_from(offset), libc::off64_t::try_from(length)) else { return };
    // SAFETY: no memory is involved; a descriptor that is closed or no file gives an error, which says nothing new.
    unsafe { libc::sync_file_range(fd, offset, length, libc::SYNC_FILE_RANGE_WRITE) };
}

/// Other systems begin when they see fit.
#[cfg(not(target_os = "linux"))]
pub fn begin_to_store(_: c_int, _: u64, _: u64) {}

/// Fills the slice from an offset of the file; an end of file before that is an error.
pub fn read_at(fd: c_int, offset: u64, into: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < into.len() {
        let rest = &mut into[filled..];
        let at = libc::off_t::try_from(offset + filled as u64).map_err(io::Error::other)?;
        // SAFETY: the pointer is good for that many bytes, and nobody else has the slice.
        let read = unsafe { libc::pread(fd, rest.as_mut_ptr().cast(), rest.len(), at) };
        match usize::try_from(read) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => filled += n,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}
