"""A thread's connection to a store's file, and the snapshot it reads from while nobody writes.

Each read of SQLite by itself takes and gives back a lock, which costs more than the read. So after some reads in a row
the thread keeps its read transaction open, and looks before each further one whether anything was committed since: in
the head of the write-ahead log's index, which SQLite keeps in shared memory and itself goes by. If anything was, or
the thread writes, or reads no more for a moment, the transaction ends. So no read is ever older than its call, and no
log grows behind a reader that has gone to sleep. Where that memory cannot be seen, each read is by itself.

SQLite keeps in memory which locks a process has on a file, and a child of a fork gets that memory without the locks. So
before a fork whoever begins to use a connection waits, whoever is at it is waited for, and every connection is closed
that no thread is in the middle of using; threads open theirs anew. A child with one that could not be closed does not
touch that file, and one whose parent had a thread within SQLite all the same, none at all: it might hold SQLite's own
locks, and nobody would ever give them back.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import threading
import time
import types
import weakref
from typing import Final

from torshi import _native

__all__ = ["EPOCH", "EVERY_FILE", "FORBIDDEN", "GATE", "Link"]

# Reads in a row after which the next are of one snapshot.
_STREAK: Final = 4
# Seconds in which a thread that has a snapshot must read again, or it ends.
_IDLE: Final = 0.05
# Such spans without any snapshot, after which nobody looks any more.
_PATIENCE: Final = 20


EPOCH: Final = [0]
"""How many forks lead to this process: asking that takes a tenth of asking for the number of the process."""


class _Gate:
    """Held by a thread that opens a connection, and during a fork.

    Opening takes locks of SQLite that all files have in common: a child that was forked meanwhile would wait for them
    for ever, whatever it opens.

    Attributes:
        waiting: threads that wait for it, and so are in the middle of nothing.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.waiting: set[int] = set()

    def __enter__(self) -> None:
        if self.lock.acquire(blocking=False):
            return
        me = threading.get_ident()
        self.waiting.add(me)
        try:
            self.lock.acquire()
        finally:
            self.waiting.discard(me)

    def __exit__(self, *_: object) -> None:
        self.lock.release()


GATE: Final = _Gate()

FORBIDDEN: Final[set[str]] = set()
"""Files that this process must not open, since it was forked while a thread was in the middle of using them; with
`EVERY_FILE` among them, none."""

EVERY_FILE: Final = "*"

# Connections to files; and those of a parent, which are kept, since to close one could change what the parent does.
_OPEN: Final[weakref.WeakSet[Link]] = weakref.WeakSet()
_INHERITED: Final[list[Link]] = []

_RETIRED: Final = -1
# Seconds that a fork waits for threads to come out of SQLite; most are in it for some microseconds.
_WAIT: Final = 2.0
_stuck = False
# The code that has connections in its hands; everything else only calls that, and may take its time.
_HERE: Final = frozenset(
    os.path.join(os.path.dirname(__file__), name) for name in ("sqlite.py", "sqlite_file.py", "link.py", "foreign.py")
)


class Link:
    """A connection, and what its open transaction has made and superseded."""

    __slots__ = (
        "__weakref__",
        "connection",
        "epoch",
        "execute",
        "file",
        "gone",
        "is_open",
        "is_over",
        "latest",
        "locked",
        "made",
        "path",
        "pid",
        "reads",
        "run",
        "seen",
        "snapshot",
        "thread",
        "turn",
        "watch",
    )

    def __init__(self, connection: sqlite3.Connection, path: str | None) -> None:
        self.connection = connection
        self.execute = connection.execute
        # By one cursor, which takes half the time of one for each statement. Rows are fetched at once, all of them.
        self.run = connection.cursor().execute
        self.pid = os.getpid()
        self.epoch = EPOCH[0]
        self.thread = threading.get_ident()
        self.file = path
        # Of a transaction: whether there is one, side files it has made and superseded, and the lock on these.
        self.is_open = False
        self.made: list[str] = []
        self.gone: list[str] = []
        self.locked: int | None = None
        # Of the last put: whether there was a row before, and the number of the last one that there was none of.
        self.is_over = False
        self.latest: int | None = None
        # Of a snapshot: the file it is of, whether there is one, reads in a row, what the caretaker has seen of them.
        self.path = path
        self.snapshot = False
        self.reads = 0
        self.seen = 0
        self.watch: _native.Watch | None = None
        self.turn = threading.Lock()
        if path is not None:
            _OPEN.add(self)

    def read(self, statement: str, key: bytes) -> tuple[object, ...] | None:
        """The row of a statement about one key, as it is now.

        Raises:
            sqlite3.Error: it cannot be read.
        """
        self.reads += 1
        if self.snapshot:
            if self.watch.is_same():  # type: ignore[union-attr]
                return self.run(statement, (key,)).fetchone()  # type: ignore[no-any-return]
            self.leave()
        elif self.reads > _STREAK and not self.is_open and self.path is not None:
            self._enter()
        return self.run(statement, (key,)).fetchone()  # type: ignore[no-any-return]

    def _enter(self) -> None:
        """Begins a snapshot, which the next read fixes. What is watched is noted before that: better too early."""
        watch = self.watch
        if watch is None:
            watch = self.watch = _watch_of(self.path) if self.path is not None else None
            if watch is None:
                self.path = None  # not to be tried again
                return
        watch.note()
        self.execute("BEGIN").close()
        self.snapshot = True
        self.seen = self.reads
        _CARETAKER.mind(self)

    def leave(self) -> None:
        """Ends the snapshot, if there is one.

        By this thread or by the caretaker: until it has ended, it is still said to be there, so that this thread begins
        nothing else meanwhile.

        Raises:
            sqlite3.Error: it cannot be ended.
        """
        with self.turn:
            self.reads = 0
            if self.snapshot:
                self.execute("COMMIT").close()
                self.snapshot = False

    def close(self) -> None:
        """Closes the connection, if it is of this process; whoever has it opens another one."""
        if self.pid == os.getpid():
            with self.turn:
                self.epoch = _RETIRED
                self.snapshot = False
                self.connection.close()

    def __del__(self) -> None:
        self.close()


def _is_within(frame: types.FrameType | None) -> bool:
    """Whether a thread is in the middle of using a connection."""
    while frame is not None:
        if _is_here(frame):
            return True
        frame = frame.f_back
    return False


def _is_here(frame: types.FrameType) -> bool:
    """Whether what runs is such code, and so perhaps SQLite, of which there is no frame."""
    return frame.f_code.co_filename in _HERE


def _others() -> list[tuple[int, types.FrameType]]:
    """What the other threads do, but those that wait for the fork."""
    me = threading.get_ident()
    frames = sys._current_frames().items()
    return [(ident, frame) for ident, frame in frames if ident != me and ident not in GATE.waiting]


def _before_fork() -> None:
    global _stuck
    GATE.__enter__()  # whose connection is closed now opens another one behind the fork
    # First, so that whoever begins from here on finds his connection retired, and waits; and only then a look at who
    # has begun before. A connection with a transaction is its thread's until that has ended.
    links = [link for link in _OPEN.copy() if not link.is_open and link.locked is None and link.epoch == EPOCH[0]]
    for link in links:
        link.epoch = _RETIRED
    end = time.monotonic() + _WAIT
    while (_stuck := any(_is_here(frame) for _, frame in _others())) and time.monotonic() < end:
        time.sleep(0.0005)
    # To fork with a thread more than the program has would be to be warned of it.
    _CARETAKER.stop()
    busy = {ident for ident, frame in _others() if _is_within(frame)}
    for link in links:
        if link.thread in busy:
            link.epoch = EPOCH[0]  # it is still used, and goes on being
        else:
            link.close()


def _in_child() -> None:
    GATE.__init__()  # type: ignore[misc]
    EPOCH[0] += 1
    if _stuck:
        FORBIDDEN.add(EVERY_FILE)
    for link in _OPEN.copy():
        if link.epoch != _RETIRED and link.file is not None:
            FORBIDDEN.add(os.path.realpath(link.file))
            _INHERITED.append(link)
    _OPEN.clear()


def _in_parent() -> None:
    GATE.__exit__()
    _CARETAKER.resume()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_in_child, after_in_parent=_in_parent)


def _watch_of(path: str) -> _native.Watch | None:
    """Looks at the index of a store's log through the descriptor that SQLite has of it; None where there is no way.

    A descriptor of our own would not do: to close it would be to drop the locks that SQLite has on that file.
    """
    if not sys.platform.startswith("linux"):
        return None
    try:
        index = os.stat(os.path.realpath(path) + "-shm")
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(int(name)), index):
                    return _native.Watch(int(name))
    except OSError:
        return None
    return None


class _Caretaker:
    """A thread that ends the snapshots of threads that read no more; it runs as long as there are any."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._pid = os.getpid()
        self._guard = threading.Lock()
        self._links: set[Link] = set()
        self._is_running = False

    def mind(self, link: Link) -> None:
        """Has a link that has a snapshot looked after."""
        if self._pid != os.getpid():  # a fork leaves threads behind
            self._begin()
        with self._guard:
            self._links.add(link)
        self.resume()

    def resume(self) -> None:
        """Begins the thread, if it is needed."""
        with self._guard:
            if self._is_running or not self._links:
                return
            self._is_running = True
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, name="torshi-store-snapshots", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Ends the thread, until it is needed again."""
        thread = self._thread
        if thread is not None and self._pid == os.getpid():
            self._stopping.set()
            thread.join(1.0)
            self._thread = None

    def _run(self) -> None:
        idle = 0
        while True:
            is_stopping = self._stopping.wait(_IDLE)
            idle = 0 if self._look() else idle + 1
            if idle < _PATIENCE and not is_stopping:
                continue
            with self._guard:
                if not self._links or is_stopping:
                    self._is_running = False
                    return

    def _look(self) -> bool:
        """Ends what is idle; whether there was anything to look after."""
        with self._guard:
            links = list(self._links)
        for link in links:
            if link.snapshot and link.seen != link.reads:
                link.seen = link.reads
                continue
            with contextlib.suppress(sqlite3.Error):
                link.leave()
            with self._guard:
                self._links.discard(link)
        return bool(links)


_CARETAKER: Final = _Caretaker()
