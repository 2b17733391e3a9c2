"""`torshi.renames`, tables of installed libraries, and the built-in ones for the standard library.

If these failed, old files would have to be rewritten when a class moves, a rename would let in what the policy does not
allow, or a refused stream would import a plugin.
"""

from __future__ import annotations

import collections
import io
import os
import pathlib
import pickle
import re
import subprocess
import sys
import textwrap
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import torshi


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A module of today; the ones of old are nowhere."""
    module = types.ModuleType("shapes")

    class Circle:
        r: int

        class Edge:
            pass

    Circle.__module__ = Circle.Edge.__module__ = "shapes"
    Circle.__qualname__, Circle.Edge.__qualname__ = "Circle", "Circle.Edge"
    module.Circle = Circle  # type: ignore[attr-defined]
    module.make = lambda r: ("made", r)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shapes", module)
    yield module
    assert torshi.renames({}).table == {}
    from torshi import _renames

    _renames._in_force.clear()
    torshi.renames({})
    _renames._in_force.clear()


def named(module: str, name: str, protocol: int = 4) -> bytes:
    """A stream that makes an instance with `r` of 3."""
    if protocol < 4:
        return f"c{module}\n{name}\n)\x81}}(U\x01rK\x03ub.".encode("latin1").join([b"\x80\x02", b""])
    parts = [bytes([0x8C, len(text)]) + text.encode() for text in (module, name)]
    return b"\x80\x04" + b"".join(parts) + b"\x93)\x81}\x8c\x01rK\x03sb."


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("table", "module", "name"),
    [
        ({"old.Disc": "shapes.Circle"}, "old", "Disc"),
        ({"old:Disc": "shapes:Circle"}, "old", "Disc"),
        ({"old.*": "shapes.*"}, "old", "Circle"),
        ({"old.*": "middle.*", "middle.*": "shapes.*"}, "old", "Circle"),
        ({"old.*": "wrong.*", "old.deep.*": "shapes.*"}, "old.deep", "Circle"),
        ({"old.*": "wrong.*", "old.Disc": "shapes.Circle"}, "old", "Disc"),
    ],
)
def test_an_old_name_is_the_new_one(table: dict[str, str], module: str, name: str, protocol: int, modules: Any) -> None:
    stream = named(module, name, protocol)
    with torshi.renames(table):
        for load in (
            lambda: torshi.loads(stream, trust=["shapes.Circle"]),
            lambda: torshi.loads(stream, modules.Circle),
            lambda: torshi.load(io.BytesIO(stream), trust=[modules.Circle]),
            lambda: torshi.Unpickler(io.BytesIO(stream), trust=["shapes.*"]).load(),
            lambda: torshi.loads(stream, trust=torshi.unrestricted("names are ours")),
        ):
            loaded = load()
            assert (type(loaded), loaded.r) == (modules.Circle, 3)
        torshi.check(stream, trust=["shapes.Circle"])
        (used,) = torshi.inspect(stream, trust=["shapes.Circle"]).globals
        assert (used.name, used.verdict) == ("shapes.Circle", "allowed")
    with pytest.raises(torshi.UntrustedError):
        torshi.loads(stream, trust=["shapes.Circle"])


def test_classes_stand_for_their_names(modules: Any) -> None:
    table = {"old.Disc": modules.Circle, "old.build": modules.make, "old.Edge": modules.Circle.Edge}
    modules.make.__module__ = "shapes"
    modules.make.__qualname__ = "make"
    with torshi.renames(table) as renames:
        texts = ["shapes:Circle", "shapes:make", "shapes:Circle.Edge"]
        assert renames.table == dict(zip(table, texts, strict=True))
        assert torshi.loads(b"cold\nbuild\n(I1\ntR.", trust=["shapes.*"]) == ("made", 1)
        assert type(torshi.loads(named("old", "Edge"), trust=["shapes.*"])) is modules.Circle.Edge
        # What is inside a class moves with it.
        assert type(torshi.loads(named("old", "Disc.Edge"), trust=["shapes.*"])) is modules.Circle.Edge
    with pytest.raises(TypeError, match="a new name is text"):
        torshi.renames({"old.Disc": 3})  # type: ignore[dict-item]


def test_a_rename_widens_nothing() -> None:
    """If this fails, an entry of a table is as good as trust."""
    with torshi.renames({"old.Disc": "os.system", "old.call": "shapes.make", "old.array": "collections.OrderedDict"}):
        for trust in (None, ["old.*"], ["old.Disc", "old.call"]):
            with pytest.raises(
                torshi.UntrustedError, match=r"os\.system, which the stream calls old\.Disc, is not trusted"
            ):
                torshi.loads(b"cold\nDisc\n(S'echo'\ntR.", trust=trust)
        # The rules of reviewed rows hold for the old name.
        with pytest.raises(torshi.UntrustedError):
            torshi.loads(b"cold\narray\n(I1\ntR.")
        denied = torshi.Policy.default().allow("shapes.make").deny("old.*")
        with pytest.raises(torshi.UntrustedError, match="denied by"):
            torshi.loads(b"cold\ncall\n(I1\ntR.", trust=denied)
        denied = torshi.Policy.default().allow("shapes.*").deny("shapes.make")
        with pytest.raises(torshi.UntrustedError, match="denied by"):
            torshi.loads(b"cold\ncall\n(I1\ntR.", trust=denied)


def test_attributes_of_objects_do_not_move() -> None:
    """If this fails, the policy is asked about another attribute than the builder looks up."""
    stream = b"\x80\x02cbuiltins\ngetattr\ncshapes\nCircle\nU\x04Edge\x86R."
    moved = torshi.renames({"shapes:Circle.Edge": "collections:OrderedDict"})
    with moved, pytest.raises(torshi.UntrustedError, match=r"shapes\.Circle\.Edge"):
        torshi.loads(stream, trust=["shapes.Circle", "collections.OrderedDict"])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"a.X": "b.X", "b.X": "a.X"}, "circle: a.X -> b.X"),
        ({"a.X": "a.X"}, "circle"),
        ({"a.*": "b.c.*", "b.*": "a.*"}, "circle|without end"),
        ({"a.X": "b.*"}, "not of one kind"),
        ({"X": "b.X"}, "is not a name"),
        ({"a.X": "b.<locals>"}, "is not a name"),
        ({"a.X": ""}, "is not a name"),
    ],
)
def test_what_is_no_table(table: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        torshi.renames(table)
    with pytest.raises(torshi.UntrustedError, match=r"^a\.X is"):  # and nothing of it is in force
        torshi.loads(b"ca\nX\n.")


def test_tables_add_up_and_come_apart() -> None:
    first = torshi.renames({"old.Disc": "shapes.Circle"})
    with pytest.raises(ValueError, match=r"renamed to both .shapes:Circle. and .shapes\.Square"):
        torshi.renames({"old.Disc": "shapes.Square"})
    with pytest.raises(ValueError, match="circle"):
        torshi.renames({"shapes.Circle": "old.Disc"})
    again = torshi.renames({"old.Disc": "shapes.Circle"})
    load = lambda: torshi.loads(named("old", "Disc"), trust=["shapes.*"])  # noqa: E731
    first.undo()
    first.undo()
    assert load().r == 3
    again.undo()
    with pytest.raises(torshi.UntrustedError):
        load()
    assert repr(first) == "torshi.renames({'old.Disc': 'shapes.Circle'})"


def test_an_error_takes_a_table_back() -> None:
    with pytest.raises(KeyError), torshi.renames({"old.Disc": "shapes.Circle"}):
        raise KeyError
    with pytest.raises(torshi.UntrustedError):
        torshi.loads(named("old", "Disc"), trust=["shapes.*"])


def test_threads_may_register_at_once(modules: Any) -> None:
    """If this fails, tables registered at one time lose each other, or a load sees half of one."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(200):
                with torshi.renames({f"old{number}.Disc": "shapes.Circle"}):
                    assert type(torshi.loads(named(f"old{number}", "Disc"), trust=["shapes.*"])) is modules.Circle
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_names_that_a_seal_lends_move_too(modules: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, one's own files ask for trust as soon as a class has moved."""
    old = types.ModuleType("old")
    Disc = type("Disc", (), {"__module__": "old"})
    old.Disc = Disc  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "old", old)
    made = Disc()
    made.r = 3  # type: ignore[attr-defined]
    torshi.save(made, tmp_path / "mine.pkl")
    torshi.save(made, tmp_path / "others.pkl", key=False)
    monkeypatch.delitem(sys.modules, "old")
    with pytest.raises(ImportError):
        torshi.load(tmp_path / "mine.pkl")
    with torshi.renames({"old.Disc": modules.Circle}):
        assert type(torshi.load(tmp_path / "mine.pkl")) is modules.Circle
        with pytest.raises(torshi.UntrustedError, match=r"shapes\.Circle"):
            torshi.load(tmp_path / "others.pkl")


def test_an_own_find_class_gets_the_names_of_the_stream(modules: Any) -> None:
    """As for names of Python 2; what it hands on to torshi's is renamed there."""
    asked = []

    class Own(torshi.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            asked.append((module, name))
            return super().find_class(module, name)

    with torshi.renames({"old.Disc": "shapes.Circle"}):
        assert type(Own(io.BytesIO(named("old", "Disc")), trust=["shapes.*"]).load()) is modules.Circle
    assert asked == [("old", "Disc")]


def test_python_2_names_come_first() -> None:
    with torshi.renames({"collections.UserList": "collections.OrderedDict"}):
        assert torshi.loads(b"cUserList\nUserList\n)R.") == collections.OrderedDict()


def test_stock_pickle_under_guard_goes_by_them(modules: Any) -> None:
    with torshi.renames({"old.Disc": "shapes.Circle"}), torshi.guard(trust=["shapes.*"]):
        assert type(pickle.loads(named("old", "Disc"))) is modules.Circle


# -- the standard library's own


def test_pathlib_of_python_3_13() -> None:
    """There, and only there, paths say that they are from `pathlib._local`."""
    for name in ("PurePath", "PurePosixPath", "PureWindowsPath", "Path", "PosixPath"):
        assert torshi.loads(f"cpathlib._local\n{name}\n.".encode()) is getattr(pathlib, name)
    loaded = torshi.loads(b"\x80\x04\x8c\x0epathlib._local\x8c\x09PosixPath\x93\x8c\x01/\x8c\x03usr\x86R.")
    assert loaded == Path("/usr")


@pytest.mark.skipif(sys.platform == "win32", reason="where it can be made")
def test_paths_of_windows_are_pure_paths_here() -> None:
    for module in ("pathlib", "pathlib._local"):
        stream = f"c{module}\nWindowsPath\n(S'C:\\\\'\nS'temp'\ntR.".encode()
        loaded = torshi.loads(stream)
        assert type(loaded) is pathlib.PureWindowsPath
        assert str(loaded) == "C:\\temp"
        with pytest.raises((NotImplementedError, ImportError)):
            pickle.loads(stream)


def test_the_error_of_re_has_two_names() -> None:
    """Python 3.13 pickles it as `re.PatternError`, which earlier ones do not have."""
    error = torshi.loads(b"cre\nPatternError\n(S'bad'\ntR.")
    assert isinstance(error, re.error)


# -- what installed libraries say


SITE = {
    "newlib/__init__.py": "print('newlib is imported')\nclass Thing: pass\n",
    "newlib/deep.py": "class Inner: pass\n",
    "newlib-2.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: newlib\nVersion: 2.0\n",
    "newlib-2.0.dist-info/entry_points.txt": """\
        [torshi.renames]
        oldlib.Thing = newlib:Thing
        oldlib.parts = newlib.deep
        newlib.Gone = newlib:Thing
        newlib.Thing = newlib:Never
        """,
    "bad-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n",
    "bad-1.0.dist-info/entry_points.txt": """\
        [torshi.renames]
        newlib.Never = newlib:Thing
        not a name = newlib:Thing
        os = newlib
        """,
}


def run(site: Path, code: str, *, fails: bool = False) -> str:
    """Output of a program with these libraries installed."""
    for name, text in SITE.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-W", "ignore::RuntimeWarning", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode != 0) == fails, done.stderr
    return done.stdout + done.stderr


def test_libraries_say_what_they_renamed(tmp_path: Path) -> None:
    told = run(
        tmp_path,
        """
        import torshi
        print(torshi.loads(b"coldlib\\nThing\\n)R.", trust=["newlib.*"]))
        print(torshi.loads(b"coldlib.parts\\nInner\\n)R.", trust=["newlib.*"]))
        """,
    )
    assert "<newlib.Thing object" in told
    assert "<newlib.deep.Inner object" in told


def test_a_trusted_name_that_is_gone_is_looked_for(tmp_path: Path) -> None:
    """The old name is trusted and not there: the stream is checked again under the new one."""
    told = run(
        tmp_path,
        """
        import io, torshi
        print(torshi.loads(b"cnewlib\\nGone\\n)R.", trust=["newlib.*"]))
        print(torshi.loads(b"(lcoldlib\\nThing\\n)Racnewlib\\nGone\\n)Ra.", trust=["newlib.*", "oldlib.*"]))
        print(torshi.Unpickler(io.BytesIO(b"cnewlib\\nGone\\n)R."), trust=["newlib.*"]).load())
        print(torshi.loads(b"cnewlib\\nGone\\n)R.", trust=["newlib.*"], missing="placeholder"))
        try:
            torshi.loads(b"cnewlib\\nGone\\n)R.", trust=["newlib.Gone"])
        except torshi.UntrustedError as error:
            print(error)
        """,
    )
    assert told.count("<newlib.Thing object") == 5
    assert "newlib.Thing, which the stream calls newlib.Gone, is not trusted" in told


def test_a_name_that_is_there_is_not_led_away(tmp_path: Path) -> None:
    """If this fails, it depends on what was loaded before what a stream means."""
    told = run(
        tmp_path,
        """
        import torshi
        for _ in range(2):
            print(torshi.loads(b"cnewlib\\nThing\\n)R.", trust=["newlib.*"]))
            print(torshi.loads(b"ccollections\\nOrderedDict\\n)R."))
            torshi.loads(b"coldlib\\nThing\\n.", trust=["newlib.*"])
        """,
    )
    assert told.count("<newlib.Thing object") == 2
    assert told.count("OrderedDict()") == 2


def test_a_refused_stream_imports_no_library(tmp_path: Path) -> None:
    """If this fails, a stream that is refused can run the import of an installed package."""
    told = run(
        tmp_path,
        """
        import sys, torshi
        before = set(sys.modules)
        for stream in (b"coldlib\\nThing\\n)R.", b"coldlib.parts\\nInner\\n.", b"cnowhere\\nX\\n."):
            for action in (torshi.loads, torshi.check, torshi.inspect):
                try:
                    action(stream)
                except torshi.UntrustedError as error:
                    print(error)
        assert not [name for name in set(sys.modules) - before if "newlib" in name]
        """,
    )
    assert "newlib is imported" not in told
    assert "newlib.Thing, which the stream calls oldlib.Thing, is not trusted" in told


def test_tables_that_cannot_be_used_are_left_out(tmp_path: Path) -> None:
    """If this fails, one library's mistake keeps all others from loading."""
    told = run(
        tmp_path,
        """
        import warnings, torshi
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            print(torshi.loads(b"coldlib\\nThing\\n)R.", trust=["newlib.*"]))
        for warning in caught:
            print("warned:", warning.message)
        """,
    )
    assert "<newlib.Thing object" in told
    assert "warned: the renames of bad are not used in full" in told


def test_warnings_that_are_errors_are_raised(tmp_path: Path) -> None:
    """If this fails, an error of Python is swallowed by a check."""
    told = run(
        tmp_path,
        """
        import warnings, torshi
        warnings.simplefilter("error")
        torshi.loads(b"coldlib\\nThing\\n)R.", trust=["newlib.*"])
        """,
        fails=True,
    )
    assert "RuntimeWarning: the renames of bad" in told
