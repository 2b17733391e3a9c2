"""Functions and classes by value: lambdas, closures and what stands in `__main__`, as their code.

If these failed, such an object would come back as something else, a stranger's code would load without anyone having
said that it may, or one's own would not.
"""

from __future__ import annotations

import asyncio
import functools
import io
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import torshi
from torshi.cli import main

cloudpickle = pytest.importorskip("cloudpickle")

# As a program's main module or a notebook has it: by no name that another process could import it by.
SOURCE = """
import abc, asyncio, dataclasses, enum, functools, json, os.path, typing

FACTOR = 5
T = typing.TypeVar("T")

def plain(x): return x + 1
def recursive(n): return 1 if n == 0 else n * recursive(n - 1)
def uses_globals(x): return json.dumps([x * FACTOR, os.path.basename("a/b")])
def generator(n): yield from (i * i for i in range(n))
async def coroutine(x):
    await asyncio.sleep(0)
    return x
async def agen(n):
    for i in range(n): yield i
def defaults(a: int, b=2, /, *rest, c: "text" = 3, **named) -> list:
    "documented"
    return [a, b, rest, c, named]
def closure(n):
    held = [n]
    def inner(x):
        nonlocal n
        n += 1
        held.append(x)
        return n, held
    return inner
def is_even(n): return n == 0 or is_odd(n - 1)
def is_odd(n): return n != 0 and is_even(n - 1)
@functools.lru_cache
def cached(n): return n * FACTOR

class Base:
    KIND = "base"
    def __init__(self, x): self.x = x
    @property
    def twice(self): return self.x * 2
    @classmethod
    def made(cls, x): return cls(x)
    @staticmethod
    def fixed(): return 9
    def kind(self): return self.KIND
    class Nested:
        def __eq__(self, other): return type(self) is type(other)
class Derived(Base):
    def kind(self): return super().kind() + "d"
class Slotted:
    __slots__ = ("a", "b")
    def __init__(self, a): self.a = a
class Meta(type):
    def __call__(cls, *args): return super().__call__(*args)
class WithMeta(metaclass=Meta): pass
@dataclasses.dataclass(order=True)
class Point:
    x: int
    tags: list = dataclasses.field(default_factory=list)
@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: int
class Color(enum.Enum):
    RED = 1
    def shown(self): return self.name.lower()
class Flags(enum.IntFlag):
    A = 1
    B = 2
class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...
class Square(Shape):
    def area(self): return 4
class Box(typing.Generic[T]):
    def __init__(self, held): self.held = held
class Pair(typing.NamedTuple):
    left: int
    right: int = 7
class Failure(Exception):
    pass
class Loop:
    def __init__(self): self.me = self; self.call = lambda: self
"""

MAIN: dict[str, Any] = {"__name__": "__main__"}
exec(compile(SOURCE, "<notebook>", "exec", dont_inherit=True), MAIN)


async def gathered(agen: Any) -> list[Any]:
    return [item async for item in agen]


# What to save, and what must come of it: both given by name, so that another process can compare too.
CASES: dict[str, tuple[Callable[[dict[str, Any]], Any], Callable[[Any], Any], Any]] = {
    "lambda": (lambda m: eval("lambda x: x + 1", m), lambda v: v(1), 2),
    "plain": (lambda m: m["plain"], lambda v: (v(1), v.__name__, v.__module__), (2, "plain", "__main__")),
    "recursive": (lambda m: m["recursive"], lambda v: v(5), 120),
    "mutual": (lambda m: [m["is_even"], m["is_odd"]], lambda v: (v[0](10), v[1](10)), (True, False)),
    "globals": (lambda m: m["uses_globals"], lambda v: v(2), '[10, "b"]'),
    "generator": (lambda m: m["generator"], lambda v: list(v(4)), [0, 1, 4, 9]),
    "coroutine": (lambda m: m["coroutine"], lambda v: asyncio.run(v(3)), 3),
    "async generator": (lambda m: m["agen"], lambda v: asyncio.run(gathered(v(3))), [0, 1, 2]),
    "defaults": (
        lambda m: m["defaults"],
        lambda v: (v(1), v(1, 5, 6, c=7, d=8), v.__annotations__["a"], v.__annotations__["c"], v.__doc__),
        ([1, 2, (), 3, {}], [1, 5, (6,), 7, {"d": 8}], int, "text", "documented"),
    ),
    "closure": (lambda m: m["closure"](3), lambda v: (v(1), v(2)), ((4, [3, 1, 2]), (5, [3, 1, 2]))),
    "partial": (lambda m: functools.partial(eval("lambda a, b: a - b", m), 5), lambda v: v(2), 3),
    "method": (lambda m: m["Derived"](4).kind, lambda v: (v(), v.__self__.x), ("based", 4)),
    "class": (lambda m: m["Base"], lambda v: (v(2).twice, v.made(3).x, v.fixed(), v.KIND), (4, 3, 9, "base")),
    "instance": (
        lambda m: m["Derived"](4),
        lambda v: (v.x, v.twice, v.kind(), type(v).__mro__[1].KIND),
        (4, 8, "based", "base"),
    ),
    "nested class": (lambda m: m["Base"].Nested(), lambda v: type(v).__name__, "Nested"),
    "slots": (lambda m: m["Slotted"](1), lambda v: (v.a, hasattr(v, "b")), (1, False)),
    "metaclass": (lambda m: m["WithMeta"](), lambda v: type(type(v)).__name__, "Meta"),
    "dataclass": (
        lambda m: m["Point"](1, ["t"]),
        lambda v: (v.x, v.tags, v < type(v)(2), repr(type(v)(3))),
        (1, ["t"], True, "Point(x=3, tags=[])"),
    ),
    "frozen dataclass": (lambda m: m["Frozen"](1), lambda v: (v.x, v == type(v)(1)), (1, True)),
    "enum": (lambda m: m["Color"].RED, lambda v: (v.shown(), v is type(v)(1), v is type(v).RED), ("red", True, True)),
    "flags": (lambda m: m["Flags"].A | m["Flags"].B, lambda v: (int(v), type(v).A in v), (3, True)),
    "abstract": (lambda m: m["Square"](), lambda v: v.area(), 4),
    "generic": (lambda m: m["Box"](5), lambda v: v.held, 5),
    "named tuple": (lambda m: m["Pair"](1), lambda v: (tuple(v), v._replace(left=3).left), ((1, 7), 3)),
    "exception": (lambda m: m["Failure"]("why"), lambda v: (str(v), isinstance(v, Exception)), ("why", True)),
    "cycle": (lambda m: m["Loop"](), lambda v: v.me is v and v.call() is v, True),
    "shared": (
        lambda m: [m["plain"], m["plain"], m["Base"], m["Base"](1)],
        lambda v: (v[0] is v[1], type(v[3]) is v[2]),
        (True, True),
    ),
    "module": (lambda m: m["json"], lambda v: v is json, True),
    "views": (lambda m: [{"a": 1}.keys(), {"a": 1}.values()], lambda v: [list(view) for view in v], [["a"], [1]]),
}
# What holds no code comes back under any policy that has its names.
HARMLESS = {"module", "views"}

unrestricted = torshi.unrestricted("the test wrote it")


def made(name: str) -> Any:
    return CASES[name][0](MAIN)


@pytest.mark.parametrize("name", CASES)
def test_what_goes_by_value_comes_back(name: str) -> None:
    _, look, expected = CASES[name]
    data = torshi.dumps(made(name), by_value=True)
    assert look(torshi.loads(data, trust=unrestricted)) == expected
    assert look(pickle.loads(data)) == expected
    file = io.BytesIO()
    torshi.dump(made(name), file, by_value=True)
    assert look(pickle.loads(file.getvalue())) == expected


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("name", ["closure", "dataclass", "recursive", "enum"])
def test_other_protocols(name: str, protocol: int) -> None:
    _, look, expected = CASES[name]
    data = torshi.dumps(made(name), protocol, by_value=True)
    assert data[:2] == bytes([0x80, protocol])
    assert look(pickle.loads(data)) == expected


@pytest.mark.parametrize("name", [name for name in CASES if name not in HARMLESS])
def test_nobody_elses_code_loads(name: str, tmp_path: Path) -> None:
    """Not by default, not with the names that make functions allowed; and the refusal says what it is and the way."""
    data = torshi.dumps(made(name), by_value=True)
    for trust in (None, ["cloudpickle.*"], ["cloudpickle.*", "builtins.*", "types.*", "enum.*", "__main__.*"]):
        with pytest.raises(torshi.UntrustedError) as caught:
            torshi.loads(data, trust=trust)
        assert "functions by value are code" in str(caught.value)
        assert 'trust=torshi.unrestricted("why")' in str(caught.value)
    torshi.save(made(name), tmp_path / "file", by_value=True, key=False)
    with pytest.raises(torshi.UntrustedError):
        torshi.load(tmp_path / "file")


def test_code_does_not_run_before_the_check(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    source = (
        f"class Hostile:\n    def __init_subclass__(cls): open({str(mark)!r}, 'w').close()\nclass Sub(Hostile): pass"
    )
    space = {"__name__": "__main__"}
    exec(source, space)
    mark.unlink()
    data = torshi.dumps(space["Sub"], by_value=True)
    with pytest.raises(torshi.UntrustedError):
        torshi.loads(data)
    assert not mark.exists()
    torshi.loads(data, trust=unrestricted)
    assert mark.exists(), "then this test proves nothing"


@pytest.mark.parametrize("name", CASES)
def test_ones_own_seal_gives_ones_code_back(name: str, tmp_path: Path) -> None:
    _, look, expected = CASES[name]
    path = tmp_path / "file"
    torshi.save([made(name), "beside"], path, by_value=True, compress=name == "closure")
    assert look(torshi.load(path)[0]) == expected
    with open(path, "rb") as file:
        if name != "closure":
            assert look(pickle.load(file)[0]) == expected
    assert torshi.describe(path).by_value
    # A seal says nothing about what the caller has said to trust.
    if name not in HARMLESS:
        with pytest.raises(torshi.UntrustedError):
            torshi.load(path, trust=["collections.Counter"])


def test_a_damaged_or_forged_file_gets_nothing(tmp_path: Path) -> None:
    """If this fails, who has no key gets code in, by a manifest that says so or a stream that is not the sealed one."""
    path = tmp_path / "file"
    torshi.save(made("lambda"), path, by_value=True)
    data = bytearray(path.read_bytes())
    at = data.index(b"_make_function") + 3
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(torshi.UnpicklingError):
        torshi.load(path)
    # The same file, sealed by a key that the reader does not have.
    torshi.save(made("lambda"), path, by_value=True, key=False)
    assert torshi.describe(path).by_value
    with pytest.raises(torshi.UntrustedError):
        torshi.load(path)
    torshi.seal(path)
    assert torshi.load(path)(1) == 2


def test_the_flag_is_for_files_that_hold_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file"
    torshi.save({"a": [1, 2]}, path, by_value=True)
    assert not torshi.describe(path).by_value
    assert torshi.load(path) == {"a": [1, 2]}
    torshi.save(made("lambda"), path, by_value=True)
    assert main(["describe", str(path)]) == 0
    assert "loading it runs code" in capsys.readouterr().out


def test_plain_data_has_the_same_bytes() -> None:
    value = {"a": [1, 2.5, "text"], "b": (None, True), "c": {1, 2}, "d": torshi.Limits, "e": Path("/x")}
    assert torshi.dumps(value, by_value=True) == torshi.dumps(value)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("class", "instance", "shared", "method")])
def test_the_bytes_are_cloudpickles(name: str) -> None:
    """Once made twice alike: what cloudpickle itself writes of an object, torshi does."""
    value = made(name)
    cloudpickle.dumps(value)  # from now on it knows the classes by the numbers it gave them
    assert torshi.dumps(value, 5, by_value=True) == cloudpickle.dumps(value, 5)


def test_without_by_value_nothing_changes() -> None:
    with pytest.raises((AttributeError, pickle.PicklingError)):
        torshi.dumps(eval("lambda: 1", MAIN))
    with pytest.raises(TypeError):
        torshi.dumps(1, 5, True)  # type: ignore[misc]
    code = "import sys, torshi; torshi.dumps({'a': print}, by_value=False); sys.exit('cloudpickle' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_without_cloudpickle_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    path = tmp_path / "file"
    torshi.save("old", path)
    for call in (lambda: torshi.dumps(1, by_value=True), lambda: torshi.save(1, path, by_value=True)):
        with pytest.raises(ImportError, match=r"pip install 'torshi\[functions\]'"):
            call()
    assert torshi.load(path) == "old"


def test_what_cannot_be_taken_apart_either_is_named() -> None:
    import threading

    with pytest.raises((TypeError, pickle.PicklingError)) as caught:
        torshi.dumps({"jobs": [eval("lambda: 1", MAIN), threading.Lock()]}, by_value=True)
    assert "$['jobs'][1]" in str(caught.value) + "".join(getattr(caught.value, "__notes__", []))


CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
import pickle, pathlib
import test_by_value as tests, torshi
for number, (name, (_, look, expected)) in enumerate(tests.CASES.items()):
    path = pathlib.Path(sys.argv[2], str(number))
    assert look(torshi.load(path)) == expected, name
    with open(path, "rb") as file:
        assert look(pickle.load(file)) == expected, name
print("all of them")
"""


def test_another_process_has_nothing_but_the_file(tmp_path: Path) -> None:
    """If this fails, what was loaded above was found here, and not in the file."""
    for number, name in enumerate(CASES):
        torshi.save(made(name), tmp_path / str(number), by_value=True)
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "all of them\n", done.stderr[-2000:]
