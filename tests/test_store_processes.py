"""Stores under processes that are killed, forked and many: what was committed is there, and nothing is lost.

If these failed, a crash at the wrong moment would take data along, or a child would break its parent's store.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import torshi
from store_contract import MakeStore
from torshi._store import link as links

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and fork are not there")

LARGE = b"x" * 100_000


def counting(store: torshi.Store[Any], count: int) -> None:
    """Stays within SQLite for as long as it takes to count."""
    direct = store._direct
    assert direct is not None
    numbers = f"WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {count})"
    statement = f"{numbers} SELECT COUNT(*), ?, ?, ?, ? FROM n"
    assert direct._page(statement, (), b"a", b"b", 1)[0][0] == count


def child(store: torshi.Store[Any], target: Any, *args: Any) -> multiprocessing.process.BaseProcess:
    """A forked process, which has inherited the store's connections."""
    process = multiprocessing.get_context("fork").Process(target=target, args=(store, *args))
    process.start()
    return process


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
class TestFork:
    """A child of a fork has the store as well, and leaves the parent's alone."""

    def test_both_go_on(self, make_store: MakeStore) -> None:
        """A connection used by two processes, which SQLite does not survive."""
        store = make_store()
        store["parent"] = LARGE
        for _ in range(10):
            assert store["parent"] == LARGE  # so that there is a snapshot when the process forks

        def work(store: torshi.Store[Any], number: int) -> None:
            for turn in range(30):
                store[(number, turn)] = store["parent"][:turn]
                store.incr("count")

        children = [child(store, work, number) for number in range(4)]
        for turn in range(30):
            store[("here", turn)] = turn
            store.incr("count")
        for process in children:
            process.join(60)
        assert [process.exitcode for process in children] == [0] * 4
        assert store["count"] == 150
        assert len(store) == 152
        assert store.check() == []

    def test_a_fork_within_a_transaction(self, make_store: MakeStore) -> None:
        """A child that commits, undoes or sees what its parent has begun."""
        store = make_store()

        def look(store: torshi.Store[Any]) -> None:
            found = []
            for use in (lambda: store["a"], lambda: store.set("a", 7), lambda: torshi.Store(store.where)["a"]):
                try:
                    use()
                except torshi.StoreError as error:
                    found.append("forked in the middle" in str(error))
            os._exit(7 if found == [True] * 3 else 1)

        with store.transaction():
            store["a"] = 1
            process = child(store, look)
            process.join(60)
            assert process.exitcode == 7
            store["b"] = 2
        assert dict(store) == {"a": 1, "b": 2}
        process = child(store, lambda store: store.set("c", 3))
        process.join(60)
        assert dict(store) == {"a": 1, "b": 2, "c": 3}

    def test_a_fork_while_other_threads_use_it(self, make_store: MakeStore) -> None:
        """A child that waits for ever for a lock that a thread of its parent had, or goes on without it."""
        store = make_store()
        over = threading.Event()
        failed: list[BaseException] = []

        def busy(number: int) -> None:
            try:
                while not over.is_set():
                    store.get(number)
                    store[number] = 1
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=busy, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()

        def work(store: torshi.Store[Any]) -> None:
            try:
                for turn in range(20):
                    store[("child", turn)] = store.get("a")
            except torshi.StoreError as error:
                os._exit(5 if "was using the store" in str(error) else 1)

        processes = [child(store, work) for _ in range(30)]
        for process in processes:
            process.join(60)
        over.set()
        for thread in threads:
            thread.join()
        assert {process.exitcode for process in processes} <= {0, 5}
        assert failed == []
        assert store.check() == []

    def test_a_fork_waits_for_threads_that_are_within(self, make_store: MakeStore, tmp_path: Path) -> None:
        """A child that cannot use the store since a thread was within SQLite for a moment, or hangs since it was."""
        store = make_store()
        store["a"] = 1
        over = threading.Event()
        failed: list[BaseException] = []

        def read() -> None:
            try:
                while not over.is_set():
                    assert store["a"] == 1
                    counting(store, 30_000)
            except BaseException as error:
                failed.append(error)

        def work(store: torshi.Store[Any]) -> None:
            store["child"] = store["a"]
            with torshi.Store(tmp_path / "another.db") as another:
                another["b"] = 2
            os._exit(3)

        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        for _ in range(25):
            process = child(store, work)
            process.join(60)
            assert process.exitcode == 3
        over.set()
        for reader in readers:
            reader.join()
        assert failed == []
        assert store["child"] == 1

    def test_a_thread_that_stays_within(
        self, make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A child that waits for ever for what a thread of its parent had in its hands, whatever file it opens."""
        monkeypatch.setattr(links, "_WAIT", 0.05)
        store = make_store()
        store["a"] = 1
        begun = threading.Event()

        def stay() -> None:
            begun.set()
            counting(store, 6_000_000)

        def look(store: torshi.Store[Any]) -> None:
            told = 0
            for use in (
                lambda: store["a"],
                lambda: torshi.Store(tmp_path / "another.db"),
                lambda: torshi.Store(":memory:")["a"],
            ):
                try:
                    use()
                except torshi.StoreError as error:
                    told += "forked in the middle" in str(error)
            os._exit(told)

        thread = threading.Thread(target=stay)
        thread.start()
        begun.wait(10)
        time.sleep(0.05)
        process = child(store, look)
        process.join(60)
        assert thread.is_alive()
        thread.join()
        assert process.exitcode == 3
        assert store["a"] == 1
        process = child(store, lambda store: os._exit(store["a"]))
        process.join(60)
        assert process.exitcode == 1

    def test_a_consumer_that_waits_is_in_nobodys_way(self, make_store: MakeStore) -> None:
        """A child that cannot use the store since a thread of its parent waits for messages; or a fork that waits."""
        store = make_store()
        store["a"] = 1
        got: list[Any] = []

        def consume() -> None:
            with store.queue("jobs").get(timeout=60) as message:
                got.append(message.value)

        consumer = threading.Thread(target=consume)
        consumer.start()
        time.sleep(0.2)
        began = time.monotonic()
        for _ in range(5):
            process = child(store, lambda store: os._exit(store["a"] + 6))
            process.join(60)
            assert process.exitcode == 7
        assert time.monotonic() - began < 5
        store.queue("jobs").put("work")
        consumer.join(30)
        assert got == ["work"]

    def test_another_process_that_closes_the_file(self, make_store: MakeStore) -> None:
        """A log that the last one to close removes, although this process is at work on it.

        It would be, if this process had opened and closed the file by other ways than SQLite's: that ends its locks.
        """
        store = make_store()
        store["a"] = 1
        make_store().close()
        code = "import sys, torshi\nwith torshi.Store(sys.argv[1]) as store: store['b'] = 2"
        subprocess.run([sys.executable, "-c", code, store.where], check=True)
        assert os.path.exists(store.where + "-wal")
        store["c"] = 3
        assert dict(store) == dict(make_store()) == {"a": 1, "b": 2, "c": 3}
        assert store.check() == []


class TestSnapshots:
    """Reads in a row are of one snapshot as long as nobody writes, and never older than their call."""

    def test_what_others_commit_is_seen_at_once(self, make_store: MakeStore) -> None:
        """A read that is older than a change that somebody else has made before it."""
        store, other = make_store(), make_store()
        store["a"] = 0
        for number in range(1, 200):
            for _ in range(random.Random(number).randrange(8)):
                assert store["a"] == number - 1
            other["a"] = number
            assert store["a"] == number

    def test_what_other_processes_commit_is_seen_at_once(self, make_store: MakeStore) -> None:
        """The same of another process, which says through a pipe that it has committed."""
        store = make_store()
        store["a"] = 0
        code = (
            "import sys, torshi\n"
            "store = torshi.Store(sys.argv[1])\n"
            "for line in sys.stdin:\n"
            "    store['a'] = int(line); print('done', flush=True)\n"
        )
        writer = subprocess.Popen(
            [sys.executable, "-c", code, store.where],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert writer.stdin is not None
        assert writer.stdout is not None
        with writer:
            for number in range(1, 300):
                for _ in range(6):
                    assert store["a"] == number - 1
                writer.stdin.write(f"{number}\n")
                assert writer.stdout.readline() == "done\n"
                assert store["a"] == number
            writer.stdin.close()

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="snapshots are taken on Linux alone")
    def test_they_end_by_themselves(self, make_store: MakeStore) -> None:
        """A reader that has gone to sleep, behind which the log grows without end."""
        store = make_store()
        store["a"] = 1
        for _ in range(10):
            store["a"]
        link = store._direct._local.link  # type: ignore[union-attr]
        assert link.snapshot
        assert link.connection.in_transaction
        end = time.monotonic() + 10
        while link.snapshot and time.monotonic() < end:
            time.sleep(0.01)
        assert not link.snapshot
        assert not link.connection.in_transaction
        for _ in range(10):
            store["a"]
        assert link.snapshot
        store["b"] = 1  # a write ends it
        assert not link.snapshot
        for _ in range(10):
            store["a"]
        store.compact()
        assert os.stat(store.where + "-wal").st_size == 0

    def test_threads_that_read_and_write(self, make_store: MakeStore) -> None:
        """A snapshot that is ended while its thread begins to write."""
        store = make_store()
        failed: list[BaseException] = []

        def work(number: int) -> None:
            chance = random.Random(number)
            try:
                for turn in range(60):
                    store[number] = turn
                    for _ in range(chance.randrange(12)):
                        assert store[number] == turn
                    time.sleep(chance.choice([0, 0, 0, 0.02, links._IDLE, links._IDLE * 1.5]) / 4)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []


def write_for_ever(store: torshi.Store[Any], number: int, pipe: Any) -> None:
    """Batches, each a transaction over several rows, small and large; told of when they are committed."""
    for batch in range(10**9):
        with store.transaction():
            for row in range(4):
                store[(number, row)] = (batch, LARGE if row == batch % 4 else b"small")
            store[(number, "batch")] = batch
        pipe.send(batch)


class TestKills:
    """Whoever is killed, committed rows are whole and there, and others go on."""

    def test_writers_that_are_killed(self, make_store: MakeStore) -> None:
        """A committed batch that is gone, a part of one that is there, a missing side file, or a lock that stays."""
        store = make_store()
        chance = random.Random(7)
        last: dict[int, int] = {}
        for turn in range(12):
            pipes = [multiprocessing.Pipe(duplex=False) for _ in range(2)]
            writers = [child(store, write_for_ever, number, pipe) for number, (_, pipe) in enumerate(pipes)]
            assert all(receiver.poll(30) for receiver, _ in pipes)
            time.sleep(chance.random() * 0.05)
            for writer in writers:
                os.kill(writer.pid or 0, signal.SIGKILL)
                writer.join(30)
            for number, (receiver, sender) in enumerate(pipes):
                sender.close()
                try:
                    while receiver.poll():
                        last[number] = receiver.recv()
                except EOFError:
                    pass
                receiver.close()
            opened = make_store()
            assert opened.check() == [], turn
            for number, told in last.items():
                batch = opened[(number, "batch")]
                assert batch in (told, told + 1), "committed, and gone"
                rows = [opened[(number, row)] for row in range(4)]
                assert [row[0] for row in rows] == [batch] * 4
                assert rows[batch % 4][1] == LARGE
            last.clear()
        store.compact()
        assert store.stats().unnamed == 0

    def test_consumers_that_are_killed(self, make_store: MakeStore) -> None:
        """A message that is lost with its consumer, or delivered twice although it was acknowledged."""
        store = make_store()
        jobs = store.queue("jobs")
        for number in range(40):
            jobs.put(number)

        def consume(store: torshi.Store[Any], is_killed: bool) -> None:
            jobs = store.queue("jobs")
            for turn in range(10**9):
                try:
                    message = jobs.get(timeout=3, lease=1.0)
                except queue.Empty:
                    return
                if is_killed and turn == 2:
                    os.kill(os.getpid(), signal.SIGKILL)
                with store.transaction():
                    if message.ack():
                        store.incr(("done", message.value))

        consumers = [child(store, consume, number < 4) for number in range(6)]
        for consumer in consumers:
            consumer.join(60)
        ended = [consumer.exitcode for consumer in consumers]
        assert set(ended) == {-signal.SIGKILL, 0}
        assert ended[4:] == [0, 0]
        assert list(store.items()) == [(("done", number), 1) for number in range(40)]
        assert len(jobs) == 0

    def test_a_full_disk(self, make_store: MakeStore) -> None:
        """A disk that is full while values and side files are written, after which something committed is gone.

        A limit on the size of files stands for it, as the system sets it for one process.
        """
        store = make_store()
        store["kept"] = LARGE
        code = (
            "import resource, signal, sys, torshi\n"
            "store = torshi.Store(sys.argv[1])\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)\n"
            "done = failed = 0\n"
            "for turn in range(60):\n"
            "    try:\n"
            "        with store.transaction():\n"
            "            store[turn] = b'y' * int(sys.argv[3])\n"
            "            store['last'] = turn\n"
            "        done = turn\n"
            "    except torshi.StoreError: failed += 1\n"
            "assert store['kept'] == b'x' * 100_000\n"
            "assert store['last'] == done and store[done] == b'y' * int(sys.argv[3])\n"
            "print(done, failed)\n"
        )
        for limit, size in ((200_000, 8_000), (90_000, 120_000)):
            with torshi.Store(store.where) as first:
                first["last"] = 0
                first[0] = b"y" * size
            done = subprocess.run(
                [sys.executable, "-c", code, store.where, str(limit), str(size)], capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            last, failed = map(int, done.stdout.split())
            assert failed > 0
            assert store["last"] == last
            assert store["kept"] == LARGE
            assert store.check() == []
            store["after"] = LARGE
            assert store["after"] == LARGE
