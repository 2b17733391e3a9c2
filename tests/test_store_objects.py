"""Stores in a bucket: the contract of every store on a real server of S3, and what only a bucket's neighbours can do.

If these failed, two writers would lose a change to one another, a writer that died would leave a part of one, or an
object planted in the bucket would be loaded.
"""

from __future__ import annotations

import contextlib
import itertools
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

import store_contract
import store_contract_rows
import torshi
from store_contract import MakeStore, TestComparing, TestEvicting, TestPuttingOver, store
from store_servers import make_bucket, s3_server
from torshi._store import object_changes, object_rows
from torshi._urls import store_of

obstore: Any = pytest.importorskip("obstore", reason="obstore is not installed")

__all__ = ["TestComparing", "TestEvicting", "TestPuttingOver", "store"]


# Fewer of everything, and more time: a request takes some milliseconds.
class TestBackend(store_contract_rows.TestBackend):
    TICK = 0.5


class TestExpiry(store_contract.TestExpiry):
    TICK = 0.5


class TestQueue(store_contract.TestQueue):
    TICK = 0.3


class TestMapping(store_contract.TestMapping):
    MANY = 150


class TestSeals(store_contract_rows.TestSeals):
    FLAGS = range(0, 256, 15)


class TestProcesses(store_contract_rows.TestProcesses):
    TURNS = 4


_numbers = itertools.count()


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("seaweedfs")) as address:
        make_bucket("stores")
        yield address


@pytest.fixture
def place_of() -> Callable[[str], str]:
    number = next(_numbers)
    return lambda name: f"s3://stores/{number}/{name}"


# -- what others can do to a bucket

RAN: list[Any] = []


def act(*args: Any) -> None:
    """What a stranger would like to have called."""
    RAN.append(args)


class Acting:
    def __reduce__(self) -> Any:
        return act, ("x",)


def raw(store: torshi.Store[Any]) -> Any:
    """The bucket below the store, as a stranger has it."""
    return store_of(store.where, {})


def test_planted_objects_are_not_loaded(make_store: MakeStore) -> None:
    """An object planted in the bucket that is loaded, runs something, or keeps others from being read."""
    store, other = make_store(), make_store("other")
    store.update({f"k{number}": number for number in range(40)})
    other.update(k1=b"from elsewhere", k2=2)
    below, elsewhere = raw(store), raw(other)
    names = sorted(meta["path"] for page in obstore.list(below, prefix="rows") for meta in page)
    assert names[0] == "rows/d-02k0-00"
    contents = {name: bytes(obstore.get(below, name).bytes()) for name in names}
    attack = torshi.dumps(Acting())
    first, second, third = names[:3]
    line, _, value = contents[first].partition(b"\n")
    flipped = bytearray(contents[first])
    flipped[-1] ^= 1
    strange = {
        "an attack alone": attack,
        "an attack behind a true line": line + b"\n" + attack,
        "an attack in a true envelope": line + b"\n" + value[:18] + attack,
        "an attack of an unsealed store": line + b"\n" + b"\x01\x00" + attack,
        "that of another key": contents[second],
        "that of another store": bytes(obstore.get(elsewhere, "rows/d-02k1-00").bytes()),
        "a changed bit": bytes(flipped),
        "nothing": b"",
        "half of it": contents[first][: len(line) + 10],
        "a claim of a change that is made": object_rows.claim("a" * 32, contents[first], line + b"\n" + attack),
        "a claim of none": object_rows.claim("b" * 32, contents[second], contents[first]),
        "a claim that claims itself": object_rows.claim("a" * 32, b"", object_rows.claim("a" * 32, b"", attack)),
        "brackets": b'{"torshi":' + b"[" * 60_000 + b"\n" + attack,
    }
    obstore.put(below, f"changes/{'a' * 32}", b'{"torshi":"change","state":"made","mark":"","names":["../../x"]}')
    for what, data in strange.items():
        obstore.put(below, first, data)
        obstore.put(below, third, attack)
        with pytest.raises(torshi.SealError):
            pytest.fail(f"{what}: {store['k0']!r}")
        rest = {key: store[key] for key in store if key not in ("k0", "k10")}
        assert rest == {f"k{number}": number for number in range(40) if number not in (0, 10)}, what
        assert [problem.name for problem in store.check() if problem.kind == "seal"] == ["'k0'", "'k10'"], what
        assert store.add("k0", 1) is False
    for name in ("rows/planted.pkl", "rows/a b", "rows/" + "x" * 30 + "~~" + "0" * 64, "rows/D-2F", "other/x"):
        obstore.put(below, name, attack)
    assert len(store) == 40
    assert sum(problem.kind == "place" for problem in store.check()) == 5  # four objects, and the planted change
    store["k0"] = 0
    assert store["k0"] == 0
    assert RAN == []


def test_replayed_objects(make_store: MakeStore) -> None:
    """What a seal cannot say: whoever can write there can bring back an older value of the same key, and no other."""
    store = make_store()
    store["a"] = 1
    below = raw(store)
    old = bytes(obstore.get(below, "rows/d-02a-00").bytes())
    store["a"] = 2
    obstore.put(below, "rows/d-02a-00", old)
    assert store["a"] == 1
    obstore.put(below, "rows/d-02b-00", old)
    with pytest.raises(torshi.SealError):
        store["b"]


_WRITER = """
import sys, itertools
import torshi
from torshi._store import optimistic
optimistic._LEASE = 0.5
store = torshi.Store(sys.argv[1])
print("ready", flush=True)
for number in itertools.count(int(sys.argv[2])):
    with store.transaction():
        for key in range(12):
            store[key] = number
    print(number, flush=True)
"""


def test_writers_that_are_killed(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction of which a part is there after its writer was killed, or one that was answered for and is not."""
    monkeypatch.setattr(object_changes, "_LEASE", 0.5)
    store = make_store()
    done = 0
    for turn in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, store.where, str(done + 1)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        written = [int(writer.stdout.readline())]
        time.sleep(0.03 * turn)
        writer.kill()
        written += map(int, writer.stdout.read().split())
        writer.wait()
        writer.stdout.close()
        values = set(store.values())
        assert len(values) == 1, values
        (done,) = values
        assert done >= written[-1]
        # Rows that it had claimed are free again soon.
        store.update(dict.fromkeys(range(12), done + 1))
        done += 1
    assert set(store.values()) == {done}
    assert len(store) == 12


# -- the place itself


class Line:
    """A line to a server that can be cut."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._to = (parts.hostname, parts.port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.is_cut = False
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                here, _ = self._server.accept()
            except OSError:
                return
            if self.is_cut:
                here.close()
                continue
            there = socket.create_connection(self._to)
            self._open += [here, there]
            for source, target in ((here, there), (there, here)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        self.is_cut = True
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.close()
        self.cut()
        for one in self._open:
            one.close()


def test_a_lost_connection(server: str) -> None:
    """A store that cannot be used any more after its line was cut, or that gives up what it had been given."""
    line = Line(server)
    options = {"endpoint": line.address, "retry_config": {"max_retries": 1, "retry_timeout": timedelta(seconds=2)}}
    try:
        with torshi.Store("s3://stores/lost", storage_options=options) as store:
            store.update(a=1, b=2)
            line.cut()
            for fails in (
                lambda: store["a"],
                lambda: store.set("a", 3),
                lambda: store.update(a=4, b=4),
                lambda: list(store),
            ):
                with pytest.raises(torshi.StoreError, match="s3://stores/lost: the store does not answer") as raised:
                    fails()
                assert isinstance(raised.value, OSError)
            line.is_cut = False
            assert dict(store) == {"a": 1, "b": 2}
            store["a"] = 5
            assert store["a"] == 5
    finally:
        line.close()


def test_places_that_are_no_stores(server: str, make_store: MakeStore) -> None:
    """A bucket that is taken for a store, or an error without the way out, or with a secret."""
    with pytest.raises(torshi.StoreError, match="s3://nowhere/x: there is no such bucket: make it first"):
        torshi.Store("s3://nowhere/x")
    options = {"access_key_id": "test", "secret_access_key": "not-the-secret"}
    with pytest.raises(torshi.StoreError, match="refuses the login") as raised:
        torshi.Store("s3://stores/x", storage_options=options)
    assert "not-the-secret" not in str(raised.value)
    store = make_store()
    below = raw(store)
    for text, message in (
        (b"{}", "not of a store"),
        (b'{"format":9,"id":"00"}', "format 9, which a later torshi reads"),
    ):
        obstore.put(below, "store.json", text)
        with pytest.raises(torshi.StoreError, match=message):
            torshi.Store(store.where)
    for url in ("http://stores/x", "s4://stores/x"):
        with pytest.raises(ValueError, match="no store has the scheme"):
            torshi.Store(url)


def test_a_store_that_ignores_conditions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket in which two writers would write over one another, and be told that all is well."""
    real = obstore.put

    def put(*args: Any, mode: Any = None, **options: Any) -> Any:
        return real(*args, **options)

    monkeypatch.setattr(obstore, "put", put)
    with pytest.raises(torshi.StoreError, match="ignores conditions"):
        torshi.Store("s3://stores/unconditional")


def test_a_forked_process_is_told_what_to_do(make_store: MakeStore) -> None:
    """A forked process that waits for ever for threads which it has not got."""
    store = make_store()
    store["a"] = 1
    code = f"""
import os
import torshi
store = torshi.Store({store.where!r})
if not os.fork():
    for fails in (lambda: store["a"], lambda: torshi.Store({store.where!r})):
        try:
            fails()
            os._exit(1)
        except torshi.StoreError as error:
            if "spawn" not in str(error):
                os._exit(2)
    os._exit(7)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
assert store["a"] == 1
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_namespaces(make_store: MakeStore) -> None:
    """Two stores of one bucket that see one another's rows, or a store that is another one when it is reopened."""
    one = torshi.Store("s3://stores/shared", storage_options={"namespace": "one"})
    two = torshi.Store("s3://stores/shared", storage_options={"namespace": "two"})
    one["a"], two["a"] = 1, 2
    assert (one.where, two["a"]) == ("s3://stores/shared/one", 2)
    again = pickle.loads(pickle.dumps(one))
    assert (again.where, again["a"]) == (one.where, 1)
    for opened in (one, two, again):
        opened.close()
