"""Schema locks: golden files of an application's classes, and what a change of a class would break.

If these failed, a change that users' files do not survive would go through, one that they do would not, or a golden
file of the past would be written over.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import torshi
from torshi import SchemaError, SchemaLock

BEFORE = """
import enum
from dataclasses import dataclass, field
from typing import NamedTuple

@dataclass
class Removed:
    name: str
    age: int

@dataclass
class Added:
    name: str

@dataclass
class Defaulted:
    name: str

@dataclass
class Retyped:
    name: str
    age: int

@dataclass
class Renamed:
    name: str
    age: int

@dataclass
class Moved:
    name: str

@dataclass
class Old:
    name: str
    size: float

class Colour(enum.Enum):
    RED = 1
    BLUE = 2

@dataclass
class Versioned:
    name: str
    __torshi_version__ = 1

@dataclass
class Lowered:
    name: str
    __torshi_version__ = 2

class Plain:
    def __init__(self, name):
        self.name = name
        self.age = 30

class Pair(NamedTuple):
    left: int
    right: int

@dataclass
class Same:
    name: str
    tags: list = field(default_factory=list)
"""
EDITS = [
    ("class Removed:\n    name: str\n    age: int\n", "class Removed:\n    name: str\n"),
    ("class Added:\n    name: str\n", "class Added:\n    name: str\n    email: str\n"),
    ("class Defaulted:\n    name: str\n", "class Defaulted:\n    name: str\n    email: str = ''\n"),
    ("class Retyped:\n    name: str\n    age: int\n", "class Retyped:\n    name: str\n    age: str\n"),
    ("class Renamed:\n    name: str\n    age: int\n", "class Renamed:\n    name: str\n    years: int\n"),
    ("@dataclass\nclass Moved:\n    name: str\n", "from app.people import Moved\n"),
    ("class Old:", "class New:"),
    ("    BLUE = 2\n", ""),
    ("    __torshi_version__ = 1\n\n@dataclass\n", "    __torshi_version__ = 2\n\n@dataclass\n"),
    ("    __torshi_version__ = 2\n\nclass Plain", "    __torshi_version__ = 1\n\nclass Plain"),
    ("        self.age = 30\n", "        self.years = 30\n        self.email = ''\n"),
    ("    left: int\n    right: int\n", "    right: int\n    left: int\n"),
]  # fmt: skip
PEOPLE = "from dataclasses import dataclass\n\n@dataclass\nclass Moved:\n    name: str\n"

# By name: how today's test makes the object, before and after the classes were edited.
OBJECTS = {
    "removed": ("Removed('ann', 30)", "Removed('ann')"),
    "added": ("Added('ann')", "Added('ann', 'a@x')"),
    "defaulted": ("Defaulted('ann')", "Defaulted('ann')"),
    "retyped": ("Retyped('ann', 30)", "Retyped('ann', '30')"),
    "renamed": ("Renamed('ann', 30)", "Renamed('ann', 30)"),
    "moved": ("Moved('ann')", "Moved('ann')"),
    "class_renamed": ("Old('ann', 1.5)", "New('ann', 1.5)"),
    "member": ("[Colour.RED, Colour.BLUE]", "[Colour.RED]"),
    "versioned": ("Versioned('ann')", "Versioned('ann')"),
    "lowered": ("Lowered('ann')", "Lowered('ann')"),
    "plain": ("Plain('ann')", "Plain('ann')"),
    "pair": ("Pair(1, 2)", "Pair(2, 1)"),
    "same": ("Same('ann', ['x'])", "Same('ann', ['x'])"),
    "data": ("{'a': [1, 2.5, None]}", "{'a': [1, 2.5, None]}"),
}


class Project:
    """An application with a test of every class, and what pytest says about it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "app").mkdir()
        (root / "tests").mkdir()
        (root / "app" / "__init__.py").write_text("")
        (root / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
        self.write(BEFORE, 0)

    def write(self, models: str, which: int) -> None:
        (self.root / "app" / "models.py").write_text(models)
        lines = ["from app.models import *\n"]
        for name, objects in OBJECTS.items():
            lines.append(f"def test_{name}(torshi_lock):\n    torshi_lock.check({objects[which]}, {name!r})\n")
        (self.root / "tests" / "test_app.py").write_text("\n".join(lines))

    def pytest(self, *arguments: str) -> tuple[int, str]:
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "CI": "true"}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-W", "error", *arguments],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout + done.stderr

    def golden(self) -> dict[str, bytes]:
        folder = self.root / "tests" / "torshi_lock"
        return {
            str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
        }


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What pytest says before there are golden files, when they are made, after, and when every class was edited."""
    project = Project(tmp_path_factory.mktemp("project"))
    told: dict[str, Any] = {"missing": project.pytest()}
    told["nothing written"] = not (project.root / "tests" / "torshi_lock").exists()
    told["made"] = project.pytest("--torshi-lock-update")
    told["first"] = project.golden()
    told["unchanged"] = project.pytest()
    models = BEFORE
    for old, new in EDITS:
        assert models.count(old) == 1, old
        models = models.replace(old, new)
    (project.root / "app" / "people.py").write_text(PEOPLE)
    project.write(models, 1)
    told["edited"] = project.pytest()
    told["after edited"] = project.golden()
    told["updated"] = project.pytest("--torshi-lock-update")
    told["second"] = project.golden()
    told["again"] = project.pytest("--torshi-lock-update")
    told["third"] = project.golden()
    return told


def section(output: str, name: str) -> str:
    """What pytest says of one test."""
    _, found, rest = output.partition(f"_ test_{name} _")
    assert found, name
    return rest.partition("\n_____")[0].partition("\n=====")[0]


def test_missing_golden_files_fail_and_are_not_written(story: dict[str, Any]) -> None:
    code, output = story["missing"]
    assert code == 1
    assert f"{len(OBJECTS)} failed" in output
    expected = "there is no golden file of 'same' yet\n"
    assert expected in output
    assert "run pytest --torshi-lock-update, and commit tests/torshi_lock/same/1.pkl and 1.json" in output
    assert "python/torshi" not in output  # what the user wrote is shown, and not what torshi is made of
    assert story["nothing written"]


def test_updating_writes_them_and_says_so(story: dict[str, Any]) -> None:
    code, output = story["made"]
    assert code == 0
    assert "written: tests/torshi_lock/same/1.pkl and 1.json" in output
    assert set(story["first"]) == {f"{name}/1.{kind}" for name in OBJECTS for kind in ("pkl", "json")}
    assert story["unchanged"][0] == 0, story["unchanged"][1]
    told = json.loads(story["first"]["removed/1.json"])
    assert told == {
        "golden": "1.pkl",
        "classes": {"app.models.Removed": {"fields": {"name": "str", "age": "int"}}},
        "values": ["$: app.models.Removed", "$.name = 'ann'", "$.age = 30"],
    }
    told = json.loads(story["first"]["plain/1.json"])
    assert told["classes"] == {"app.models.Plain": {"fields": {"name": "str", "age": "int"}}}


SAID = {
    "removed": ["app.models.Removed has no field age any more", "-    age: int", "pytest --torshi-lock-update"],
    "added": ["app.models.Added has a new field email without a default", "give email a default", "+    email: str"],
    "defaulted": ["app.models.Defaulted has a new field email\n", "+    email: str", "pytest --torshi-lock-update"],
    "retyped": ["app.models.Retyped.age was int, and is str", "-$.age = '30'", "+$.age = 30", "convert age of"],
    "renamed": ["has no field age any more; perhaps it is called years now", "take age of old states for years"],
    "moved": ["app.models.Moved", 'torshi.renames({"app.models.Moved": "app.people.Moved"})'],
    "class_renamed": ["app.models.Old", 'torshi.renames({"app.models.Old": "app.models.New"})'],
    "member": ["ValueError: 2 is not a valid Colour", "keep the member BLUE", "-    BLUE"],
    "versioned": ["was of version 1, and is of version 2", "pytest --torshi-lock-update"],
    "lowered": ["was of version 2, and is of version 1"],
    "plain": ["-$.years = 30", "+$.age = 30", "app.models.Plain has no field age any more"],
    "pair": ["in another order: right, left", "old tuples are made by position"],
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_what_an_edit_breaks_is_said(story: dict[str, Any], name: str) -> None:
    code, output = story["edited"]
    assert code == 1
    said = section(output, name)
    for text in SAID[name]:
        assert text in said, said
    assert "tests/torshi_lock/" in said


def test_what_did_not_change_passes(story: dict[str, Any]) -> None:
    _, output = story["edited"]
    assert "python/torshi" not in output
    assert f"{len(SAID)} failed, {len(OBJECTS) - len(SAID)} passed" in output
    assert story["after edited"] == story["first"]


def test_updating_writes_new_shapes_and_lets_old_files_be(story: dict[str, Any]) -> None:
    """Golden files are written where all older ones still load, and nowhere else; and a second time, none."""
    first, second = story["first"], story["second"]
    assert {name: data for name, data in second.items() if name in first} == first
    new = {name.split("/")[0] for name in second if name not in first}
    assert new == {"removed", "defaulted", "versioned", "lowered"}
    code, output = story["updated"]
    assert code == 1
    assert f"{len(SAID) - len(new)} failed" in output
    assert story["third"] == second


# -- without pytest


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    def made(source: str) -> Any:
        module = types.ModuleType("locked")
        monkeypatch.setitem(sys.modules, "locked", module)
        exec("import enum\nfrom dataclasses import dataclass, field\n" + source, module.__dict__)
        return module

    return made


USER = "@dataclass\nclass User:\n    name: str\n    age: int\n"


def test_equal_objects_give_equal_files(tmp_path: Path, app: Any) -> None:
    user = app(USER).User
    for folder in ("one", "two"):
        SchemaLock(tmp_path / folder, update=True).check(user("ann", 30), "user")
    one, two = (tmp_path / folder / "user" for folder in ("one", "two"))
    assert (one / "1.pkl").read_bytes() == (two / "1.pkl").read_bytes()
    assert (one / "1.json").read_bytes() == (two / "1.json").read_bytes()
    assert torshi.describe(one / "1.pkl").seals == ()
    assert "SOURCE_DATE_EPOCH" not in os.environ


def test_an_upgraded_class_keeps_all_files(tmp_path: Path, app: Any) -> None:
    """Three shapes of a class, and every file of the past loaded each time."""
    lock = SchemaLock(tmp_path, update=True)
    lock.check(app(USER).User("ann", 30), "user")
    upgrading = (
        "@dataclass\nclass User:\n    full_name: str\n    age: int\n    __torshi_version__ = 2\n"
        "    def __setstate__(self, state):\n"
        "        if 'name' in state: state['full_name'] = state.pop('name')\n"
        "        vars(self).update(state)\n"
    )
    lock.check(app(upgrading).User("ann", 30), "user")
    third = upgrading.replace("= 2", "= 3").replace("age: int\n", "age: int\n    tags: tuple = ()\n")
    lock.check(app(third).User("ann", 30), "user")
    assert [path.name for path in lock.written] == ["1.pkl", "2.pkl", "3.pkl"]
    with pytest.raises(SchemaError, match=r"1\.pkl") as caught:
        SchemaLock(tmp_path).check(app(third.replace("'name' in state", "False")).User("ann", 30), "user")
    assert "full_name" in str(caught.value)


def test_the_way_a_class_fails_is_said(tmp_path: Path, app: Any) -> None:
    lock = SchemaLock(tmp_path, update=True)
    lock.check(app(USER).User("ann", 30), "user")
    module = app(USER + "    def __setstate__(self, state):\n        self.email = state['email']\n")
    with pytest.raises(SchemaError, match=r"KeyError: 'email' \(in __setstate__, ") as caught:
        lock.check(module.User("ann", 30), "user")
    assert caught.value.__suppress_context__


def test_what_an_old_file_is_now_can_be_said(tmp_path: Path, app: Any) -> None:
    lock = SchemaLock(tmp_path, update=True)
    lock.check(app(USER).User("ann", 30), "user")
    module = app(USER + "    email: str = ''\n")
    new = module.User("ann", 30, "a@x")
    with pytest.raises(SchemaError, match="another object"):
        lock.check(new, "user")
    lock.check(new, "user", expected={1: module.User("ann", 30, "")})
    assert len(lock.written) == 2
    with pytest.raises(SchemaError, match=r"1\.pkl loads as another object"):
        SchemaLock(tmp_path).check(new, "user")


def test_another_value_is_no_new_shape(tmp_path: Path, app: Any) -> None:
    user = app(USER).User
    lock = SchemaLock(tmp_path, update=True)
    lock.check(user("ann", 30), "user")
    with pytest.raises(SchemaError, match="the test gives another object than it did") as caught:
        lock.check(user("ann", 31), "user")
    assert "-$.age = 31" in str(caught.value)
    assert "+$.age = 30" in str(caught.value)
    assert len(lock.written) == 1


def test_objects_without_an_equality_of_their_own(tmp_path: Path, app: Any) -> None:
    np = pytest.importorskip("numpy")
    source = "class Box:\n    def __init__(self, inside): self.inside = inside\n"
    lock = SchemaLock(tmp_path, update=True)
    for _ in range(2):
        lock.check(app(source).Box(np.arange(3)), "box")
        lock.check([np.arange(3), float("nan")], "arrays")
    with pytest.raises(SchemaError):
        lock.check(app(source).Box(np.arange(4)), "box")
    lock.check(app(source).Box(np.arange(4)), "box", equal=lambda loaded, wanted: loaded.inside[0] == wanted.inside[0])
    assert len(lock.written) == 2


def test_sets_and_cycles_in_objects_without_an_equality(tmp_path: Path, app: Any) -> None:
    """If this fails, a golden file that another process wrote differs by the order of a set, which means nothing."""
    source = "class Box:\n    def __init__(self, inside): self.inside, self.me = inside, [self]\n"
    lock = SchemaLock(tmp_path, update=True)
    lock.check(app(source).Box({8, 0}), "box")
    again = app(source).Box({0, 8})
    assert list(again.inside) != list({8, 0})
    lock.check(again, "box")
    with pytest.raises(SchemaError):
        lock.check(app(source).Box({0, 16}), "box")
    assert len(lock.written) == 1


def test_a_golden_file_may_use_what_the_test_vouches_for(tmp_path: Path, app: Any) -> None:
    """If this fails, whoever can add a golden file has what he likes called by the test run."""
    source = (
        "ran = []\n"
        "def act(text):\n    ran.append(text)\n    return [1]\n"
        "class Acting:\n    def __reduce__(self): return act, ('x',)\n"
    )
    module = app(source)
    (tmp_path / "data").mkdir()
    torshi.save(module.Acting(), tmp_path / "data" / "1.pkl")  # sealed by the very user who runs the test
    with pytest.raises(SchemaError, match=r"names locked\.act, which the object of today does not") as caught:
        SchemaLock(tmp_path).check([1], "data")
    assert module.ran == []
    assert "check(..., trust=['locked.act'])" in str(caught.value)
    SchemaLock(tmp_path).check([1], "data", trust=["locked:act"])
    assert module.ran == ["x"]


def test_damaged_and_other_files(tmp_path: Path) -> None:
    lock = SchemaLock(tmp_path, update=True)
    lock.check([1, 2], "data")
    path = tmp_path / "data" / "1.pkl"
    data = path.read_bytes()
    (tmp_path / "data" / "notes.txt").write_text("not looked at")
    (tmp_path / "data" / "x.pkl").write_text("not looked at")
    lock.check([1, 2], "data")
    path.write_bytes(data.replace(b"\x05", b"\x06"))
    with pytest.raises(SchemaError, match=r"1\.pkl"):
        lock.check([1, 2], "data")
    path.write_bytes(b"N.")
    with pytest.raises(SchemaError, match="no manifest"):
        lock.check([1, 2], "data")
    assert path.read_bytes() == b"N."


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", ".x", "x" * 101])
def test_names_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is no name"):
        SchemaLock(tmp_path, update=True).check([1], name)
    assert not any(tmp_path.iterdir())


def test_warnings_of_the_class_are_not_lost(tmp_path: Path, app: Any) -> None:
    lock = SchemaLock(tmp_path, update=True)
    lock.check(app(USER).User("ann", 30), "user")
    setstate = "    def __setstate__(self, state):\n        warnings.warn('old')\n        vars(self).update(state)\n"
    module = app("import warnings\n" + USER + setstate)
    with pytest.warns(UserWarning, match="old"):
        lock.check(module.User("ann", 30), "user")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lock.check(app(USER + "    tag: str = ''\n").User("ann", 30), "user")


def test_the_plugin_imports_nothing_where_it_is_not_used(tmp_path: Path) -> None:
    """If this fails, every run of pytest in an environment with torshi takes longer."""
    (tmp_path / "test_nothing.py").write_text(
        "import sys\n\ndef test_nothing():\n"
        "    assert 'pytest_torshi' in sys.modules\n    assert 'torshi' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_pytest_does_not_mind_who_imported_torshi_first() -> None:
    """If this fails, pytest warns of torshi in every process that imported it before, as one with a guard has."""
    from _pytest.assertion.rewrite import AssertionRewriter

    assert AssertionRewriter.is_rewrite_disabled(torshi.__doc__ or "")
