"""torshi.guard: the gate under code that calls pickle itself.

If these failed, a library's own load would run what a stranger's file says although a guard is on, a guard would
leave traces behind, or it would apply to the wrong code.
"""

from __future__ import annotations

import _pickle
import asyncio
import contextlib
import functools
import io
import os
import pickle
import shelve
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest

import torshi
from typed_models import Bare, Point

PAYLOAD = """
import os
def note(text):
    with open(os.environ["GUARD_CANARY"], "a") as file:
        file.write(text)
note("imported ")
def run(*args):
    note("ran ")
"""
EVIL = b"cguard_payload\nrun\n(tR."
HELD = [pickle.load, pickle.loads, pickle.Unpickler]  # a list, into which no guard looks

# What code may have imported or taken before any guard.
load_taken, loads_taken, Taken = pickle.load, pickle.loads, pickle.Unpickler


def default_taken(data: bytes, loads: Callable[[bytes], Any] = pickle.loads) -> Any:
    return loads(data)


def keyword_taken(data: bytes, *, loads: Callable[[bytes], Any] = pickle.loads) -> Any:
    return loads(data)


class Holder:
    loads = pickle.loads

    class Inner:
        loads = staticmethod(pickle.loads)


class Early(pickle.Unpickler):
    """Made from the C unpickler before any guard."""

    asked: list[str]

    def find_class(self, module: str, name: str) -> Any:
        self.__dict__.setdefault("asked", []).append(f"{module}.{name}")
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        return ("persistent", pid)


class EarlySlots(pickle.Unpickler):
    __slots__ = ()


class Pure(pickle._Unpickler):  # type: ignore[name-defined,misc]
    """Made from the pure unpickler, opcodes as they are."""


class Dialect(pickle._Unpickler):  # type: ignore[name-defined,misc]
    """Made from the pure unpickler, with an opcode of its own, as pandas does."""

    dispatch = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]

    def load_reduce(self) -> None:
        pickle._Unpickler.load_reduce(self)  # type: ignore[attr-defined]
        self.reduced = True

    dispatch[pickle.REDUCE[0]] = load_reduce


def pure(data: bytes) -> Any:
    return pickle._loads(data)  # type: ignore[attr-defined]


WAYS: dict[str, Callable[[bytes], Any]] = {
    "pickle.loads": lambda data: pickle.loads(data),
    "pickle.loads of a bytearray": lambda data: pickle.loads(bytearray(data)),
    "pickle.load": lambda data: pickle.load(io.BytesIO(data)),
    "pickle.load of a stream": lambda data: pickle.load(io.BufferedReader(io.BytesIO(data))),  # type: ignore[arg-type]
    "pickle.Unpickler": lambda data: pickle.Unpickler(io.BytesIO(data)).load(),
    "_pickle.loads": lambda data: _pickle.loads(data),
    "_pickle.load": lambda data: _pickle.load(io.BytesIO(data)),
    "_pickle.Unpickler": lambda data: _pickle.Unpickler(io.BytesIO(data)).load(),
    "pickle._loads": pure,
    "pickle._load": lambda data: pickle._load(io.BytesIO(data)),  # type: ignore[attr-defined]
    "pickle._Unpickler": lambda data: pickle._Unpickler(io.BytesIO(data)).load(),  # type: ignore[attr-defined]
    "an imported loads": lambda data: loads_taken(data),
    "an imported load": lambda data: load_taken(io.BytesIO(data)),
    "an imported Unpickler": lambda data: Taken(io.BytesIO(data)).load(),
    "a default argument": default_taken,
    "a keyword's default": keyword_taken,
    "a class attribute": lambda data: Holder.loads(data),
    "a static method": lambda data: Holder.Inner.loads(data),
    "a subclass": lambda data: Early(io.BytesIO(data)).load(),
    "a pure subclass": lambda data: Pure(io.BytesIO(data)).load(),
    "a pure dialect": lambda data: Dialect(io.BytesIO(data)).load(),
    "a late subclass": lambda data: type("Late", (pickle.Unpickler,), {})(io.BytesIO(data)).load(),
}
# Beyond the reach of replacing: the audit hook is all there is.
NETS: dict[str, Callable[[bytes], Any]] = {
    "held loads": lambda data: HELD[1](data),
    "held load": lambda data: HELD[0](io.BytesIO(data)),
    "held Unpickler": lambda data: HELD[2](io.BytesIO(data)).load(),  # type: ignore[attr-defined]
    "a partial": functools.partial(pickle.loads),
}


def every_way(ways: dict[str, Callable[[bytes], Any]]) -> Any:
    return pytest.mark.parametrize("way", ways.values(), ids=list(ways))


@pytest.fixture(autouse=True)
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that tells when it is imported or run; nothing may be left of a guard afterwards."""
    (tmp_path / "guard_payload.py").write_text(PAYLOAD)
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "canary"
    monkeypatch.setenv("GUARD_CANARY", str(path))
    before = snapshot()
    yield path
    sys.modules.pop("guard_payload", None)
    assert snapshot() == before, "a guard left something behind"


def snapshot() -> dict[str, int]:
    """Where stock pickle stands, by identity."""
    places: dict[str, object] = {
        "load": pickle.load,
        "loads": pickle.loads,
        "Unpickler": pickle.Unpickler,
        "_load": _pickle.load,
        "_loads": _pickle.loads,
        "_Unpickler": _pickle.Unpickler,
        "pure": pickle._Unpickler,  # type: ignore[attr-defined]
        "pure load": pickle._Unpickler.load,  # type: ignore[attr-defined]
        "pure find_class": pickle._Unpickler.find_class,  # type: ignore[attr-defined]
        "taken": loads_taken,
        "class": vars(Holder)["loads"],
        "static": vars(Holder.Inner)["loads"],
        "defaults": default_taken.__defaults__,
        "keyword": keyword_taken.__kwdefaults__["loads"],
        "bases": Early.__bases__[0],
        "shelve": shelve.Unpickler,  # type: ignore[attr-defined]
        "pipes": vars(ForkingPickler)["loads"],
    }
    return {name: id(value) for name, value in places.items()}


def nothing_happened(canary: Path) -> None:
    assert not canary.exists(), canary.read_text()
    assert "guard_payload" not in sys.modules


def test_the_payload_works_without_a_guard(canary: Path) -> None:
    """If not, the tests below prove nothing."""
    pickle.loads(EVIL)
    assert canary.read_text() == "imported ran "


@every_way(WAYS)
def test_every_entrance_refuses_before_anything_happens(way: Callable[[bytes], Any], canary: Path) -> None:
    for data in (EVIL, b"\x80\x04]\x94(K\x01" + EVIL[:-1] + b"e."):
        with torshi.guard() as guard, pytest.raises(torshi.UntrustedError) as caught:
            way(data)
        nothing_happened(canary)
        assert caught.value.findings[0].name == "guard_payload.run"
        assert 'torshi.guard(trust=["guard_payload.run"])' in str(caught.value)
        assert [event.refused for event in guard.events] == [True]
        assert __file__ in guard.events[0].caller


@every_way(NETS)
def test_the_net_refuses_names_where_nothing_could_be_replaced(way: Callable[[bytes], Any], canary: Path) -> None:
    with torshi.guard() as guard, pytest.raises(torshi.UntrustedError, match=r"guard_payload\.run is not trusted"):
        way(EVIL)
    nothing_happened(canary)
    assert [event.entry for event in guard.events] == ["pickle.find_class"]
    with torshi.guard(trust=[Point]):
        assert way(pickle.dumps(Point(1, 2))) == Point(1, 2)


@every_way(WAYS)
def test_what_the_policy_lists_loads_as_ever(way: Callable[[bytes], Any]) -> None:
    value = {"a": [1, 2.5, None, True], "b": (b"bytes", {3, 4}, frozenset("x")), "point": Point(1, 2), "type": Bare}
    with torshi.guard(trust=[Point, Bare]) as guard:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            assert way(pickle.dumps(value, protocol)) == value
    assert guard.events == ()


@every_way(WAYS)
def test_rules_of_arguments_hold_behind_every_entrance(way: Callable[[bytes], Any]) -> None:
    """A name on the list with arguments that are not: the net alone would let it pass."""
    forged = pickle.dumps(functools.partial(int, base=2))
    with torshi.guard(), pytest.raises(torshi.UntrustedError, match="may not be called with these arguments"):
        way(forged)


@every_way(WAYS)
def test_observing_refuses_nothing_and_learns(way: Callable[[bytes], Any], canary: Path, tmp_path: Path) -> None:
    with torshi.guard(observe=True) as guard:
        way(EVIL)
        way(pickle.dumps([1, 2]))
    assert canary.read_text() == "imported ran "
    assert [event.refused for event in guard.events] == [False]
    assert guard.policy().allows("guard_payload.run")
    assert not guard.policy().allows("guard_payload.other")
    guard.save(tmp_path / "seen.toml")
    text = (tmp_path / "seen.toml").read_text()
    assert '"guard_payload:run [call]"' in text
    assert "call: may be called, with any arguments" in text
    with torshi.guard(torshi.Policy.from_file(tmp_path / "seen.toml")) as again:
        way(EVIL)
    assert again.events == ()


def test_observing_gives_stock_pickle_every_byte() -> None:
    """Several pickles in one file, from files that can and cannot go back, and bytes between them."""
    rows = [1, "two", Point(3, 4), list(range(300))]
    data = b"".join(pickle.dumps(row, at) for at, row in enumerate(rows)) + b"rest"

    class OneWay(io.RawIOBase):
        def __init__(self) -> None:
            self.inner = io.BytesIO(data)

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            return self.inner.readinto(buffer)

    for guard in (torshi.guard(observe=True), torshi.guard(trust=[Point])):
        for file in (io.BytesIO(data), io.BufferedReader(io.BytesIO(data)), io.BufferedReader(OneWay())):  # type: ignore[arg-type]
            with guard:
                assert [pickle.load(file) for _ in rows] == rows
                assert file.read() == b"rest"
        for cls in (Early, pickle.Unpickler, Pure, Dialect):
            file = io.BytesIO(data)
            with guard:
                unpickler = cls(file)
                assert [unpickler.load() for _ in rows] == rows
                assert file.read() == b"rest"


def test_hooks_of_subclasses_are_asked() -> None:
    class Named(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return "id" if obj is Bare else None

    file = io.BytesIO()
    Named(file).dump([Bare, Point(1, 2)])
    for guard in (torshi.guard(trust=[Point]), torshi.guard(trust=[Point], observe=True)):
        with guard:
            unpickler = Early(io.BytesIO(file.getvalue()))
            assert unpickler.load() == [("persistent", "id"), Point(1, 2)]
            assert unpickler.asked == ["typed_models.Point"]
            if sys.version_info < (3, 13):  # where the attribute of a plain unpickler can be set
                plain = pickle.Unpickler(io.BytesIO(file.getvalue()))
                plain.persistent_load = lambda pid: pid  # type: ignore[method-assign]
                assert plain.load() == ["id", Point(1, 2)]
        assert guard.events == ()


def test_a_find_class_that_leads_elsewhere_meets_the_gate_again(canary: Path) -> None:
    for base in (pickle.Unpickler, pickle._Unpickler):  # type: ignore[attr-defined]

        class Renames(base):  # type: ignore[misc,valid-type]
            def find_class(self, module: str, name: str) -> Any:
                return super().find_class("guard_payload", "run")

        with torshi.guard(trust=[Point]), pytest.raises(torshi.UntrustedError, match="guard_payload"):
            Renames(io.BytesIO(pickle.dumps(Point(1, 2)))).load()
        nothing_happened(canary)


def test_nested_classes_and_python_2_names_go_through_hooks() -> None:
    with torshi.guard(trust=["test_guard:Holder.Inner"]):
        for protocol in range(4, pickle.HIGHEST_PROTOCOL + 1):
            for cls in (Early, Pure, Dialect):
                assert cls(io.BytesIO(pickle.dumps(Holder.Inner, protocol))).load() is Holder.Inner
        for cls in (Early, Pure, Dialect):
            assert cls(io.BytesIO(b"c__builtin__\nxrange\n(I0\nI3\nI1\ntR.")).load() == range(3)
        assert HELD[1](b"c__builtin__\nxrange\n(I0\nI3\nI1\ntR.") == range(3)


def test_an_unpickler_from_before_is_refused_not_believed(canary: Path) -> None:
    before = Early(io.BytesIO(EVIL))
    with torshi.guard():
        with pytest.raises(torshi.UntrustedError, match="made before the guard began"):
            before.load()
        with pytest.raises(torshi.UntrustedError, match="leaves no room"):
            EarlySlots(io.BytesIO(EVIL)).load()
    nothing_happened(canary)


def test_classes_and_objects_made_under_a_guard_are_stock_afterwards() -> None:
    class Late(pickle.Unpickler):
        pass

    with torshi.guard():

        class Under(pickle.Unpickler):
            pass

        kept = Under(io.BytesIO(pickle.dumps(Point(1, 2))))
        saved = pickle.loads
    assert Under.__bases__ == (_pickle.Unpickler,)
    assert kept.load() == Point(1, 2)
    assert saved(pickle.dumps(Point(1, 2))) == Point(1, 2)
    assert Under(io.BytesIO(pickle.dumps(Bare))).load() is Bare


def test_a_module_imported_under_a_guard_is_given_the_originals(tmp_path: Path) -> None:
    (tmp_path / "guard_late.py").write_text("from pickle import loads, Unpickler\nclass Own(Unpickler): pass\n")
    with torshi.guard():
        late = __import__("guard_late")
        assert late.loads is not HELD[1]
    assert late.loads is HELD[1]
    assert late.Own.__bases__ == (HELD[2],)
    del sys.modules["guard_late"]


def test_what_others_put_there_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = types.FunctionType(default_taken.__code__, {}, "mine")
    with torshi.guard():
        pickle.loads = mine
    assert pickle.loads is mine
    pickle.loads = HELD[1]  # type: ignore[assignment]


def test_exceptions_pass_and_everything_is_restored() -> None:
    before = snapshot()
    with pytest.raises(ZeroDivisionError), torshi.guard():
        1 / 0
    assert snapshot() == before
    with torshi.guard():
        with pytest.raises(EOFError):
            pickle.loads(b"")
        with pytest.raises(pickle.UnpicklingError):
            pickle.loads(b"\xff")
        with pytest.raises(TypeError):
            pickle.load("path")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            pickle.loads("text")  # type: ignore[arg-type]


def test_guards_nest_and_the_innermost_counts(canary: Path) -> None:
    outer, inner = torshi.guard(), torshi.guard(trust=[Point])
    data = pickle.dumps(Point(1, 2))
    with outer:
        with inner:
            assert pickle.loads(data) == Point(1, 2)
            with outer, pytest.raises(torshi.UntrustedError):
                pickle.loads(data)
            assert pickle.loads(data) == Point(1, 2)
        with pytest.raises(torshi.UntrustedError):
            pickle.loads(data)
    assert pickle.loads(data) == Point(1, 2)


def test_torshis_own_loads_keep_their_own_policy() -> None:
    with torshi.guard():
        assert torshi.loads(pickle.dumps(Point(1, 2)), trust=[Point]) == Point(1, 2)
        with torshi.guard(torshi.unrestricted("a test")):
            assert pickle.loads(pickle.dumps(Bare)) is Bare


def test_installing_is_for_the_whole_process(canary: Path) -> None:
    guard = torshi.guard(trust=[Point])
    data = pickle.dumps(Bare)

    def refused() -> bool:
        try:
            pickle.loads(data)
        except torshi.UntrustedError:
            return True
        return False

    assert guard.install() is guard
    try:
        with pytest.raises(RuntimeError, match="installed already"):
            guard.install()
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(refused).result()
        with torshi.guard(trust=[Bare]):
            assert not refused()
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(refused).result(), "a thread without a guard of its own meets the installed one"
    finally:
        guard.uninstall()
    assert not refused()
    with pytest.raises(RuntimeError, match="not installed"):
        guard.uninstall()


def test_threads_meet_their_own_guard_and_new_ones_the_last() -> None:
    data, barrier = pickle.dumps(Bare), threading.Barrier(4)

    def attempt(guard: torshi.Guard | None) -> bool:
        with guard or contextlib.nullcontext():
            barrier.wait(10)
            for _ in range(50):
                try:
                    pickle.loads(data)
                    outcome = True
                except torshi.UntrustedError:
                    outcome = False
            barrier.wait(10)
        return outcome

    with torshi.guard(), ThreadPoolExecutor(4) as pool:
        wide, narrow = torshi.guard(trust=[Bare]), torshi.guard()
        outcomes = list(pool.map(attempt, [wide, narrow, wide, narrow]))
    assert outcomes == [True, False, True, False]
    barrier = threading.Barrier(1)
    with torshi.guard(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(attempt, None).result() is False


def test_tasks_keep_to_their_own_guard() -> None:
    data = pickle.dumps(Bare)

    async def refused() -> bool:
        await asyncio.sleep(0)
        try:
            pickle.loads(data)
        except torshi.UntrustedError:
            return True
        return False

    @torshi.guard(trust=[Bare])
    async def wide() -> bool:
        return await refused()

    @torshi.guard()
    async def narrow() -> bool:
        return await refused()

    async def both() -> list[bool]:
        return await asyncio.gather(wide(), narrow(), wide(), narrow())

    assert asyncio.run(both()) == [False, True, False, True]


def test_functions_are_decorated_and_generators_are_not() -> None:
    @torshi.guard()
    def read(data: bytes) -> Any:
        """Reads."""
        return pickle.loads(data)

    assert read.__doc__ == "Reads."
    assert read(pickle.dumps([1])) == [1]
    with pytest.raises(torshi.UntrustedError):
        read(EVIL)

    def rows() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="generator"):
        torshi.guard()(rows)


def test_a_switch_is_no_policy() -> None:
    with pytest.raises(TypeError, match="never a switch"):
        torshi.guard(True)  # type: ignore[arg-type]
    assert repr(torshi.guard(observe=True)) == "<torshi.Guard observing under policy default, 0 events>"


def test_limits_hold_and_are_noted() -> None:
    data = pickle.dumps("x" * 1000)
    with torshi.guard(limits=torshi.Limits(stream=100)) as guard, pytest.raises(torshi.LimitError):
        pickle.loads(data)
    with torshi.guard(limits=torshi.Limits(stream=100), observe=True) as observed:
        assert pickle.loads(data) == "x" * 1000
        assert pickle.load(io.BytesIO(data)) == "x" * 1000
    assert [len(guard.events), len(observed.events)] == [1, 2]


def test_the_same_refusal_is_counted_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "evil.pkl"
    path.write_bytes(EVIL)
    with torshi.guard() as guard:
        for _ in range(3):
            with open(path, "rb") as file, pytest.raises(torshi.UntrustedError):
                pickle.load(file)
    assert [(event.count, event.source) for event in guard.events] == [(3, str(path))]


def test_out_of_band_buffers_pass() -> None:
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(pickle.PickleBuffer(bytearray(b"x" * 100)), 5, buffer_callback=buffers.append)
    for guard in (torshi.guard(), torshi.guard(observe=True)):
        with guard:
            assert bytes(pickle.loads(data, buffers=buffers)) == b"x" * 100
            assert bytes(pickle.load(io.BytesIO(data), buffers=iter(buffers))) == b"x" * 100
            for cls in (pickle.Unpickler, Early, Pure, Dialect):
                assert bytes(cls(io.BytesIO(data), buffers=buffers).load()) == b"x" * 100
        assert guard.events == ()


def test_shelves_are_guarded(tmp_path: Path, canary: Path) -> None:
    with shelve.open(str(tmp_path / "shelf")) as shelf:
        shelf["good"] = [1, 2]
        shelf.dict[b"evil"] = EVIL  # type: ignore[attr-defined]
    with torshi.guard(), shelve.open(str(tmp_path / "shelf")) as shelf:
        assert shelf["good"] == [1, 2]
        with pytest.raises(torshi.UntrustedError):
            shelf["evil"]
    nothing_happened(canary)


POOL = """
import multiprocessing, pickle, sys, torshi
from concurrent.futures import ProcessPoolExecutor
from typed_models import Point

def work(number):
    return Point(number, number)

if __name__ == "__main__":
    with torshi.guard():
        with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
            assert pool.map(work, [1, 2]) == [Point(1, 1), Point(2, 2)]
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(sys.argv[1])) as pool:
            assert list(pool.map(work, [3])) == [Point(3, 3)]
        try:
            pickle.loads(pickle.dumps(Point(1, 2)))
        except torshi.UntrustedError:
            print("refused")
    if sys.argv[1] == "fork":
        from multiprocessing import Pipe
        here, there = Pipe()
        there.send(Point(1, 2))
        with torshi.guard(pipes=True):
            try:
                here.recv()
            except torshi.UntrustedError:
                print("refused in the pipe")
"""


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_pipes_between_processes_are_left_alone_unless_asked(start: str, tmp_path: Path) -> None:
    script = tmp_path / "pool.py"
    script.write_text(POOL)
    done = subprocess.run(
        [sys.executable, script, start],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    assert done.stderr == ""
    assert done.stdout.split("\n")[:-1] == ["refused", "refused in the pipe"][: 2 if start == "fork" else 1]
