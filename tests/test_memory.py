"""Memory: a thousand rounds of everything leave nothing behind, and no error leaks what it interrupted.

If these failed, a server that pickles would grow until it is killed, or free what is still in use.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import gc
import io
import pickle
import sys
import types
import uuid
from collections.abc import Callable
from typing import Any

import pytest

import torshi
from typed_models import Point

ROUNDS = 1000


class Node:
    def __init__(self, value: Any = None) -> None:
        self.value = value


class Slotted:
    __slots__ = ("a",)


class Reduced:
    def __reduce__(self) -> Any:
        return Node, (1,), {"x": [1]}


Row = collections.namedtuple("Row", "a b")


def ring() -> Any:
    nodes = [Node(), Node()]
    nodes[0].value, nodes[1].value = nodes[1], nodes[0]
    return nodes


def slotted() -> Slotted:
    value = Slotted()
    value.a = "attribute"  # type: ignore[attr-defined]
    return value


VALUES: dict[str, Any] = {
    "none": None,
    "numbers": [1, 10**9, 10**40, -5, 1.5, 2j, True],
    "text": ["ascii", "é", "€", "\U0001f600", "x" * 5000],
    "bytes": [b"", b"x", b"y" * 5000, bytearray(b"z" * 300)],
    "containers": {"list": [1, [2]], "tuple": (1, (2, 3), ()), "set": {1, 2}, "frozen": frozenset({3}), 5: {}},
    "shared": [[1, 2]] * 5,
    "ring": ring(),
    "nodes": [Node(i) for i in range(20)],
    "slots": slotted(),
    "reduced": Reduced(),
    "row": Row(1, "b"),
    "dataclass": Point(1, 2),
    "dates": [datetime.datetime(2024, 1, 2), datetime.timedelta(5), datetime.date(2024, 1, 2)],
    "library": [decimal.Decimal("1.5"), uuid.UUID(int=5), collections.deque([1]), collections.OrderedDict(a=1)],
    "defaults": collections.defaultdict(list, {1: [2]}),
    "namespace": types.SimpleNamespace(a=[1]),
    "exception": ValueError("x", [1]),
    "types": [int, Node, list[int]],
}
TRUST = [Node, Slotted, Row, Point]


def blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()


def assert_flat(action: Callable[[], object], rounds: int = ROUNDS) -> None:
    """Runs the action until caches are warm, then measures what many more rounds leave behind."""
    for _ in range(300):
        action()
    before = blocks()
    for _ in range(rounds):
        action()
    kept = blocks() - before
    # A leak is a block a round at least; cycles come and go in generations, which leaves some dozens, and more where
    # other tests have left much for the collector to look at.
    assert kept < rounds // 3, f"{kept} blocks left by {rounds} rounds"


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("name", VALUES)
def test_a_thousand_rounds_leave_nothing(name: str, protocol: int) -> None:
    """If this fails, dumps or loads of this value leaks."""
    value = VALUES[name]
    policy = torshi.Policy.default().allow(*TRUST)
    if name == "slots" and protocol < 2:
        pytest.skip("slots need protocol 2")

    def there_and_back() -> None:
        torshi.loads(torshi.dumps(value, protocol), trust=policy)

    assert_flat(there_and_back, ROUNDS if protocol else 300)


@pytest.mark.parametrize("name", VALUES)
def test_files_and_classes_leave_nothing(name: str) -> None:
    """If this fails, Pickler, Unpickler, dump or load leaks what its function does not."""
    value = VALUES[name]
    policy = torshi.Policy.default().allow(*TRUST)

    def there_and_back() -> None:
        file = io.BytesIO()
        pickler = torshi.Pickler(file)
        pickler.dump(value)
        torshi.dump(value, file)
        file.seek(0)
        torshi.Unpickler(file, trust=policy).load()
        torshi.load(file, trust=policy)

    assert_flat(there_and_back, 300)


@pytest.mark.parametrize("protocol", range(6))
def test_reference_counts_are_unchanged(protocol: int) -> None:
    """If this fails, an object is freed while in use, or never."""
    inner, text, node = [1, 2], "a text of some length" * 2, Node()
    value = {"inner": inner, "text": text, "again": [inner, text, node]}
    policy = torshi.Policy.default().allow(Node)
    watched = (inner, text, node, value, Node, None, True, datetime.date, policy)
    torshi.loads(torshi.dumps(value, protocol), trust=policy)
    gc.collect()
    before = [sys.getrefcount(item) for item in watched]
    for _ in range(100):
        torshi.loads(torshi.dumps(value, protocol), trust=policy)
    gc.collect()
    after = [sys.getrefcount(item) for item in watched]
    drift = [abs(b - a) for a, b in zip(before, after, strict=True)]
    assert all(change < 50 for change in drift), drift


def failing(error: type[BaseException], action: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        try:
            action()
        except error as caught:
            caught.__traceback__ = None
        else:
            raise AssertionError("it did not fail")

    return run


class BadPersistent(torshi.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        raise KeyError(pid)


class BadFind(torshi.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise KeyError(name)


class BadId(torshi.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        if obj == 3:
            raise KeyError(obj)
        return None


class BadOverride(torshi.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Node):
            raise KeyError("override")
        return NotImplemented


class BadReduce:
    def __reduce__(self) -> Any:
        raise KeyError("reduce")


class BadState:
    def __getstate__(self) -> Any:
        raise KeyError("state")


class BadSetState:
    def __setstate__(self, state: Any) -> None:
        raise KeyError("setstate")

    def __reduce__(self) -> Any:
        return BadSetState, (), [1]


class BadNew:
    def __new__(cls, *args: Any) -> Any:
        if args:
            raise KeyError("new")
        return object.__new__(cls)

    def __getnewargs__(self) -> Any:
        return (1,)


class BadHash:
    def __hash__(self) -> int:
        if getattr(self, "ready", False):
            return 1
        raise KeyError("hash")


class BadWriter:
    def write(self, data: Any) -> int:
        raise OSError("full")


class BadReader:
    def read(self, size: int) -> bytes:
        raise OSError("gone")

    readline = read


def bad_hash_stream() -> bytes:
    value = BadHash()
    value.ready = True  # type: ignore[attr-defined]
    data = pickle.dumps([1, {value: 2}], 4)
    return data.replace(b"\x8c\x05ready", b"\x8c\x05reads")


AROUND = [[1, "some text that is long enough"], {"k": (1.5, b"bytes")}]
BY = pickle.dumps(AROUND, 3)[:-1]
EVERYTHING = torshi.Policy.default().allow(BadSetState, BadNew, BadHash, Node)

FAILURES: dict[str, tuple[type[BaseException], Callable[[], object]]] = {
    "persistent_load": (KeyError, lambda: BadPersistent(io.BytesIO(BY + b"Px\n.")).load()),
    "find_class": (KeyError, lambda: BadFind(io.BytesIO(BY + b"(cdatetime\ndate\nt.")).load()),
    "persistent_id": (KeyError, lambda: BadId(io.BytesIO()).dump([*AROUND, 3])),
    "reducer_override": (KeyError, lambda: BadOverride(io.BytesIO()).dump([*AROUND, Node()])),
    "reduce": (KeyError, lambda: torshi.dumps([*AROUND, BadReduce()])),
    "getstate": (KeyError, lambda: torshi.dumps([*AROUND, BadState()])),
    "setstate": (KeyError, lambda: torshi.loads(torshi.dumps([*AROUND, BadSetState()]), trust=EVERYTHING)),
    "new": (KeyError, lambda: torshi.loads(torshi.dumps([*AROUND, BadNew()]), trust=EVERYTHING)),
    "hash": (KeyError, lambda: torshi.loads(bad_hash_stream(), trust=EVERYTHING)),
    "write": (OSError, lambda: torshi.dump(AROUND, BadWriter())),
    "read": (OSError, lambda: torshi.load(BadReader())),
    "not_picklable": (Exception, lambda: torshi.dumps([*AROUND, lambda: 0])),
    "untrusted": (torshi.UntrustedError, lambda: torshi.loads(torshi.dumps([*AROUND, Node()]))),
    "malformed": (torshi.MalformedError, lambda: torshi.loads(BY + b"\xff")),
    "truncated": (EOFError, lambda: torshi.loads(BY)),
    "literal": (ValueError, lambda: torshi.loads(BY + b"Fx\n.")),
    "missing_buffer": (torshi.UnpicklingError, lambda: torshi.loads(BY + b"(\x97t.", buffers=[])),
    "bad_buffers": (TypeError, lambda: torshi.loads(BY + b".", buffers=5)),
    "limit": (torshi.LimitError, lambda: torshi.loads(BY + b".", limits=torshi.Limits(stream=5))),
    "type": (torshi.ValidationError, lambda: torshi.loads(BY + b".", dict[str, int])),
    "import": (ImportError, lambda: torshi.loads(BY + b"cno_such_module\nx\n.", trust=["no_such_module.*"])),
    "attribute": (AttributeError, lambda: torshi.loads(BY + b"cdecimal\nno_such\n.", trust=["decimal.no_such"])),
}


@pytest.mark.parametrize("name", FAILURES)
def test_errors_leave_nothing(name: str) -> None:
    """If this fails, what a failing hook interrupted is never freed."""
    error, action = FAILURES[name]
    assert_flat(failing(error, action), 300)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_resident_memory_stays_flat() -> None:
    """If this fails, memory that Python's allocator does not count leaks."""

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    value = [b"x" * 200_000, "y" * 200_000, list(range(20_000)), bytearray(100_000)]

    def there_and_back() -> None:
        torshi.loads(torshi.dumps(value))

    for _ in range(30):
        there_and_back()
    gc.collect()
    before = resident()
    for _ in range(200):
        there_and_back()
    gc.collect()
    assert resident() - before < 8 << 20


def test_loading_hands_the_collector_back() -> None:
    """If this fails, one load, or one that fails, switches the cyclic collector off for the program."""
    assert gc.isenabled()
    torshi.loads(torshi.dumps([Node() for _ in range(100)]), trust=[Node])
    assert gc.isenabled()
    for error, action in FAILURES.values():
        failing(error, action)()
        assert gc.isenabled()
    gc.disable()
    try:
        torshi.loads(torshi.dumps([[]] * 100))
        assert not gc.isenabled()
    finally:
        gc.enable()
