//! Runs: paths in, one result a file out, in the order of the paths whatever thread was first. Threads share
//! the files; a file is read whole, and a failure in one never ends the others.

use crate::code::Code;
use crate::paths::{files, Found};
use crate::result::FileResult;
use crate::walk::{scan_bytes, Settings};
use rayon::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError};
use std::sync::Arc;
use std::time::Duration;

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files to scan; 0 while folders are still being listed.
    pub files: u64,
    /// Files done.
    pub done: u64,
    /// Bytes of the files done.
    pub bytes: u64,
}

#[derive(Default)]
struct Counters {
    files: AtomicU64,
    done: AtomicU64,
    bytes: AtomicU64,
    stopped: AtomicBool,
}

/// Told of memory that is about to be written: fresh pages cost more than reading a file into them, and only who may
/// speak to the system can ask for larger ones.
pub type Expect = fn(*mut u8, usize);

/// A scan that goes on in threads of its own.
pub struct Run {
    results: Receiver<(u64, FileResult)>,
    waiting: BTreeMap<u64, FileResult>,
    next: u64,
    counters: Arc<Counters>,
}

/// What asking for the next result gave.
pub enum Next {
    /// The next result.
    Result(Box<FileResult>),
    /// Not yet.
    Wait,
    /// There are no more.
    End,
}

impl Run {
    /// Starts scanning in `jobs` threads, or as many as there are processors.
    ///
    /// # Errors
    /// The system gave no thread.
    pub fn start(paths: Vec<PathBuf>, settings: Settings, jobs: Option<usize>, expect: Expect) -> std::io::Result<Run> {
        let counters = Arc::new(Counters::default());
        let (sender, results) = channel();
        let shared = Arc::clone(&counters);
        let threads = jobs.unwrap_or(0);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|at| format!("torshi-scan-{at}"))
            .build()
            .map_err(std::io::Error::other)?;
        std::thread::Builder::new().name("torshi-scan".to_owned()).spawn(move || {
            let mut all: Vec<Found> = Vec::new();
            for path in &paths {
                if shared.stopped.load(Ordering::Relaxed) {
                    return;
                }
                files(path, &mut |found| all.push(found));
            }
            shared.files.store(all.len() as u64, Ordering::Relaxed);
            pool.install(|| {
                // One at a time to whoever is free: files differ in size by orders of magnitude.
                all.into_par_iter().enumerate().with_max_len(1).for_each_with(sender, |sender, (at, found)| {
                    if shared.stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let result = scan_found(found, &settings, expect);
                    shared.bytes.fetch_add(result.size, Ordering::Relaxed);
                    shared.done.fetch_add(1, Ordering::Relaxed);
                    // Nobody listens any more: then nobody wants the rest either.
                    if sender.send((at as u64, result)).is_err() {
                        shared.stopped.store(true, Ordering::Relaxed);
                    }
                });
            });
        })?;
        Ok(Run { results, waiting: BTreeMap::new(), next: 0, counters })
    }

    /// The next result in the order of the paths, if it comes within the time.
    pub fn next(&mut self, within: Duration) -> Next {
        loop {
            if let Some(result) = self.waiting.remove(&self.next) {
                self.next += 1;
                return Next::Result(Box::new(result));
            }
            match self.results.recv_timeout(within) {
                Ok((at, result)) => {
                    self.waiting.insert(at, result);
                }
                Err(RecvTimeoutError::Timeout) => return Next::Wait,
                Err(RecvTimeoutError::Disconnected) => return Next::End,
            }
        }
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Progress {
            files: read(&self.counters.files),
            done: read(&self.counters.done),
            bytes: read(&self.counters.bytes),
        }
    }
}

impl Drop for Run {
    /// Files not begun yet are left.
    fn drop(&mut self) {
        self.counters.stopped.store(true, Ordering::Relaxed);
    }
}

thread_local! {
    /// The memory of the last file of a thread, for its next: fresh pages cost more than reading them.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Memory a thread keeps from one file to the next.
const MOST_KEPT: usize = 64 << 20;

fn scan_found(found: Found, settings: &Settings, expect: Expect) -> FileResult {
    let path = match found {
        Ok(path) => path,
        Err((path, message)) => {
            return FileResult::unread(&path.to_string_lossy(), 0, Code::Unreadable, &message);
        }
    };
    scan_file(&path, settings, expect)
}

fn scan_file(path: &Path, settings: &Settings, expect: Expect) -> FileResult {
    let name = path.to_string_lossy();
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        let result = match read(path, buffer, settings.limits.file, expect) {
            Ok(()) => scan_bytes(buffer, &name, settings),
            Err(error) => FileResult::unread(&name, buffer.len() as u64, Code::Unreadable, &error.to_string()),
        };
        if buffer.capacity() > MOST_KEPT {
            *buffer = Vec::new();
        }
        result
    })
}

/// Reads a file up to one byte beyond the limit, which is enough to be refused.
fn read(path: &Path, buffer: &mut Vec<u8>, limit: u64, expect: Expect) -> std::io::Result<()> {
    let file = std::fs::File::open(path)?;
    let size = file.metadata()?.len();
    // Of a size that is there; what is not yet allocated is when it is read.
    buffer.try_reserve_exact(size.min(limit).saturating_add(1) as usize).map_err(std::io::Error::other)?;
    if buffer.capacity() > MOST_KEPT {
        expect(buffer.as_mut_ptr(), buffer.capacity());
    }
    file.take(limit.saturating_add(1)).read_to_end(buffer)?;
    Ok(())
}
