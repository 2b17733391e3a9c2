"""What has changed since a file was saved: warnings that name the field or the library, notes to what a load raised.

If these failed, an object saved by yesterday's class would load without a word and lack a field, a warning would come
where nothing changed, or comparing would import or run what a stranger's manifest names.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import torshi
from torshi import _distribution, _drift, _native
from torshi._spelling import same

ENUM = "class Colour(enum.Enum):\n    RED = 1\n    BLUE = 2\n"
SLOTS = "class Slotted:\n    __slots__ = ('one', 'two')\n"
PAIR = "Pair = typing.NamedTuple('Pair', [('x', int), ('y', int)])\nPair.__module__ = 'drifting'\n"
PLAIN = """
import dataclasses, enum, typing
from dataclasses import dataclass, field
"""
USER = "@dataclass\nclass User:\n    name: str\n    age: int\n"

App = Callable[[str], Any]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> App:
    """A module `drifting` of an application, made anew from its source."""

    def made(source: str) -> Any:
        module = types.ModuleType("drifting")
        monkeypatch.setitem(sys.modules, "drifting", module)
        exec(PLAIN + source, module.__dict__)
        return module

    return made


def saved(app: App, source: str, make: Callable[[Any], Any], path: Path) -> None:
    torshi.save(make(app(source)), path)


def told(path: Path) -> list[tuple[str, str | None, str | None, str | None, bool]]:
    return [(c.kind, c.field, c.was, c.now, c.matters) for c in torshi.describe(path).changes()]


def user(module: Any) -> Any:
    return module.User("ann", 30)


CHANGES = [
    ("added", USER + "    email: str\n", [("added", "email", None, "str", True)]),
    ("added with a default", USER + "    email: str = ''\n", [("added", "email", None, "str", False)]),
    (
        "added with a factory",
        USER + "    tags: list = field(default_factory=list)\n",
        [("added", "tags", None, "list", False)],
    ),
    ("removed", "@dataclass\nclass User:\n    name: str\n", [("removed", "age", "int", None, True)]),
    ("retyped", USER.replace("age: int", "age: str"), [("retyped", "age", "int", "str", True)]),
    ("renamed", USER.replace("age", "years"), [("renamed", "age", "age", "years", True)]),
    (
        "versioned",
        USER + "    email: str\n    __torshi_version__ = 2\n",
        [("version", None, "none", "2", False), ("added", "email", None, "str", False)],
    ),
    (
        "adapting",
        USER + "    email: str\n    def __setstate__(self, state): vars(self).update(state)\n",
        [("added", "email", None, "str", False)],
    ),
    ("in another order", "@dataclass\nclass User:\n    age: int\n    name: str\n", []),
    ("unchanged", USER, []),
]


@pytest.mark.parametrize(("source", "changes"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_changes_of_a_dataclass(tmp_path: Path, app: App, source: str, changes: list[Any]) -> None:
    path = tmp_path / "file"
    saved(app, USER, user, path)
    app(source)
    assert told(path) == changes
    if any(change[-1] for change in changes):
        with pytest.warns(torshi.ClassChangedWarning) as caught:
            loaded = torshi.load(path)
        (warning,) = caught
        assert warning.filename == __file__
        assert isinstance(warning.message, torshi.ClassChangedWarning)
        assert [change.field for change in warning.message.changes] == [row[1] for row in changes if row[-1]]
        assert {change.name for change in warning.message.changes} == {"drifting:User"}
        assert "drifting.User" in str(warning.message)
        assert warning.message.table in str(warning.message)
        copy = pickle.loads(pickle.dumps(warning.message))
        assert (copy.changes, str(copy)) == (warning.message.changes, str(warning.message))
    elif "__torshi_version__" in source:
        # The class is said to mind old states, and did not: the object says so.
        with pytest.warns(torshi.ChangeWarning, match="nothing for 'email'"):
            loaded = torshi.load(path)
    else:
        loaded = torshi.load(path)
    assert loaded.name == "ann"


def test_the_table_is_for_people(tmp_path: Path, app: App) -> None:
    saved(app, USER, user, tmp_path / "file")
    app("@dataclass\nclass User:\n    name: bytes\n    email: str\n    phone: str\n")
    with pytest.warns(torshi.ClassChangedWarning) as caught:
        torshi.load(tmp_path / "file")
    assert str(caught[0].message).splitlines() == [
        "classes of the file have changed since it was saved:",
        "class          field  then  now",
        "drifting.User  age    int   -",
        "drifting.User  email  -     str, no default",
        "drifting.User  phone  -     str, no default",
        "drifting.User  name   str   bytes",
        "objects of it may lack what today's code expects: give the class a __setstate__, or save them anew",
    ]


KINDS: list[tuple[str, str, str, Callable[[Any], Any], list[Any]]] = [
    (
        "slots",
        SLOTS,
        SLOTS.replace("'two'", "'two', 'three'"),
        lambda m: m.Slotted(),
        [("added", "three", None, None, True)],
    ),
    ("enum, added", ENUM, ENUM + "    GREEN = 3\n", lambda m: m.Colour.RED, [("added", "GREEN", None, None, False)]),
    (
        "enum, removed",
        ENUM,
        ENUM.replace("    BLUE = 2\n", ""),
        lambda m: m.Colour.RED,
        [("removed", "BLUE", None, None, True)],
    ),
    (
        "named tuple, reordered",
        PAIR,
        PAIR.replace("'x'", "'z'").replace("'y'", "'x'").replace("'z'", "'y'"),
        lambda m: m.Pair(1, 2),
        [("reordered", None, "x, y", "y, x", True)],
    ),
    (
        "lowered",
        USER + "    __torshi_version__ = 3\n",
        USER + "    __torshi_version__ = 2\n",
        user,
        [("version", None, "3", "2", True)],
    ),
    (
        "same version, whatever a __setstate__ does",
        USER + "    __torshi_version__ = 3\n",
        USER + "    email: str\n    __torshi_version__ = 3\n    def __setstate__(self, s): vars(self).update(s)\n",
        user,
        [("added", "email", None, "str", True)],
    ),
    (
        "raised",
        USER + "    __torshi_version__ = 3\n",
        USER + "    __torshi_version__ = 4\n",
        user,
        [("version", None, "3", "4", False)],
    ),
    (
        "spelled otherwise",
        "@dataclass\nclass User:\n    name: typing.Optional[typing.List[int]]\n",
        "@dataclass\nclass User:\n    name: 'list[int] | None'\n",
        lambda m: m.User([1]),
        [],
    ),
]


@pytest.mark.parametrize(
    ("before", "after", "make", "changes"), [row[1:] for row in KINDS], ids=[row[0] for row in KINDS]
)
def test_changes_of_other_classes(
    tmp_path: Path, app: App, before: str, after: str, make: Callable[[Any], Any], changes: list[Any]
) -> None:
    path = tmp_path / "file"
    saved(app, before, make, path)
    app(after)
    assert told(path) == changes
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torshi.load(path)
    assert len(caught) == any(change[-1] for change in changes)


def test_attrs(tmp_path: Path, app: App) -> None:
    source = "import attrs\n@attrs.define\nclass User:\n    name: str\n    age: int\n"
    saved(app, source, user, tmp_path / "file")
    app(source + "    email: str = ''\n    phone: str = attrs.field(factory=str)\n")
    assert [row[-1] for row in told(tmp_path / "file")] == [False, False]
    app(source.replace("age", "years"))
    assert told(tmp_path / "file") == [("renamed", "age", "age", "years", True)]


# -- what a load raises


def test_what_a_load_raises_says_which_field_changed(tmp_path: Path, app: App) -> None:
    path = tmp_path / "file"
    saved(app, "@dataclass(slots=True)\nclass User:\n    name: str\n    age: int\n", user, path)
    app("@dataclass(slots=True)\nclass User:\n    name: str\n")
    with pytest.raises(AttributeError) as caught:
        torshi.load(path)
    assert caught.value.__notes__ == ["since the file was saved: drifting.User has no field age any more"]


def test_a_typed_load_says_which_field_changed(tmp_path: Path, app: App) -> None:
    saved(app, USER, user, tmp_path / "file")
    module = app(USER.replace("age: int", "age: str"))
    with pytest.raises(torshi.ValidationError) as caught:
        torshi.load(tmp_path / "file", module.User)
    assert caught.value.__notes__ == ["since the file was saved: drifting.User.age was int, and is str"]


def test_a_setstate_that_fails(tmp_path: Path, app: App) -> None:
    """If this fails, who wrote a __setstate__ for old states is not told which field it did not expect."""
    saved(app, USER, user, tmp_path / "file")
    app(USER + "    email: str\n    def __setstate__(self, state): self.email = state['email']\n")
    with pytest.raises(KeyError) as caught:
        torshi.load(tmp_path / "file")
    assert caught.value.__notes__ == ["since the file was saved: drifting.User has a new field email"]


def test_a_member_that_is_gone(tmp_path: Path, app: App) -> None:
    saved(app, "class Colour(enum.Enum):\n    RED = 1\n    BLUE = 2\n", lambda m: m.Colour.BLUE, tmp_path / "file")
    app("class Colour(enum.Enum):\n    RED = 1\n")
    with pytest.raises(ValueError, match="2 is not a valid Colour") as caught:
        torshi.load(tmp_path / "file")
    assert caught.value.__notes__ == ["since the file was saved: drifting.Colour has no field BLUE any more"]


@pytest.mark.parametrize(
    "source", [USER, "class User:\n    def __init__(self, name, age):\n        self.name = name\n"]
)
def test_a_class_that_moved(tmp_path: Path, app: App, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    path = tmp_path / "file"
    saved(app, source, user, path)
    app("")
    other = types.ModuleType("drifted")
    monkeypatch.setitem(sys.modules, "drifted", other)
    exec(PLAIN + source, other.__dict__)
    expected = 'drifted.User now: torshi.renames({"drifting.User": "drifted.User"})'
    with pytest.raises(AttributeError) as caught:
        torshi.load(path)
    assert expected in caught.value.__notes__[0]
    monkeypatch.delitem(sys.modules, "drifting")
    with pytest.raises(ModuleNotFoundError) as missing:
        torshi.load(path)
    assert expected in missing.value.__notes__[0]


def test_a_class_that_was_renamed_in_its_module(tmp_path: Path, app: App) -> None:
    saved(app, USER, user, tmp_path / "file")
    app(USER.replace("User", "Account"))
    (change,) = torshi.describe(tmp_path / "file").changes()
    assert (change.kind, change.now) == ("moved", "drifting:Account")
    app(USER.replace("User", "Account") + USER.replace("User", "Other"))  # which of the two nobody can say
    (change,) = torshi.describe(tmp_path / "file").changes()
    assert (change.kind, change.now) == ("moved", None)


def test_refusals_and_errors_without_a_change_have_no_note(tmp_path: Path, app: App) -> None:
    path = tmp_path / "file"
    saved(app, USER, user, path)
    app(USER + "    email: str\n")
    with pytest.raises(torshi.UntrustedError) as refused:
        torshi.load(path, trust=[])
    assert "since" not in str(getattr(refused.value, "__notes__", ""))
    app(USER + "    def __setstate__(self, state): raise KeyError('x')\n")
    with pytest.raises(KeyError) as caught:
        torshi.load(path)
    assert not hasattr(caught.value, "__notes__")


# -- libraries


def with_versions(path: Path, **versions: str) -> None:
    """Gives a file another manifest, as if it had been saved with these versions. It has no seal."""
    data = path.read_bytes()
    stored = _native.StoredFile.open(data)
    assert stored is not None
    assert stored.manifest is not None
    record = json.loads(stored.manifest)
    record["distributions"].update(versions)
    manifest = json.dumps(record).encode()
    path.write_bytes(data[: stored.end] + _native.render_trailer("plain", stored.length, manifest, b""))


@pytest.mark.parametrize(
    ("was", "matters"), [("0.1.0", True), ("8.0.0", False), ("8.1.0", True), ("9.0.0", True), ("8.0.9rc1", False)]
)
def test_versions_of_libraries(
    tmp_path: Path, app: App, monkeypatch: pytest.MonkeyPatch, was: str, matters: bool
) -> None:
    monkeypatch.setitem(_distribution._versions, "drifting", "8.0.0")
    monkeypatch.setitem(_distribution._owners, "drifting", ("drifting", "8.0.0"))
    module = app("class Model: pass\n")
    torshi.save(module.Model(), tmp_path / "file", key=False)
    with_versions(tmp_path / "file", drifting=was)
    expected = [] if was == "8.0.0" else [("library", None, was, "8.0.0", matters)]
    assert told(tmp_path / "file") == expected
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torshi.load(tmp_path / "file", trust=[module.Model])
    assert len(caught) == matters
    if matters:
        assert isinstance(caught[0].message, torshi.VersionWarning)
        assert caught[0].message.table == f"library   then   now\ndrifting  {was}  8.0.0"


def test_a_library_whose_classes_are_the_same_is_no_warning(
    tmp_path: Path, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, an application warns of every file of its last release, though no class has changed."""
    monkeypatch.setitem(_distribution._versions, "drifting", "8.0.0")
    monkeypatch.setitem(_distribution._owners, "drifting", ("drifting", "8.0.0"))
    module = app(USER + "class Plain: pass\n")
    torshi.save(module.User("ann", 30), tmp_path / "file", key=False)
    with_versions(tmp_path / "file", drifting="7.0.0")
    assert told(tmp_path / "file") == [("library", None, "7.0.0", "8.0.0", False)]
    torshi.load(tmp_path / "file", trust=[module.User])
    torshi.save([module.User("ann", 30), module.Plain()], tmp_path / "file", key=False)
    with_versions(tmp_path / "file", drifting="7.0.0")
    with pytest.warns(torshi.VersionWarning):
        torshi.load(tmp_path / "file", trust=[module.User, module.Plain])


def test_arrays_of_numpy_1_are_no_warning(tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    torshi.save(np.arange(3), tmp_path / "file", key=False)
    with_versions(tmp_path / "file", numpy="1.26.4")
    assert torshi.load(tmp_path / "file").tolist() == [0, 1, 2]
    assert told(tmp_path / "file") == [("library", None, "1.26.4", np.__version__, False)]


def test_models_of_another_release_are(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    from sklearn.linear_model import LinearRegression

    torshi.save(LinearRegression(), tmp_path / "file", key=False)
    with_versions(tmp_path / "file", **{"scikit-learn": "1.2.0"})
    with pytest.warns(torshi.VersionWarning, match=r"scikit-learn +1\.2\.0"):
        torshi.load(tmp_path / "file")


def test_a_library_that_is_not_there_is_named_where_the_load_fails(tmp_path: Path) -> None:
    torshi.save([1], tmp_path / "file", key=False)
    with_versions(tmp_path / "file", absent="1.0")
    assert torshi.load(tmp_path / "file") == [1]
    assert told(tmp_path / "file") == [("library", None, "1.0", None, False)]
    stored = _native.StoredFile.open((tmp_path / "file").read_bytes())
    assert stored is not None
    error = ModuleNotFoundError("no module")
    _drift.explain(error, stored.manifest)
    assert error.__notes__ == ["since the file was saved: absent was 1.0, and is not installed"]


# -- whoever wrote the manifest


def forged(**parts: Any) -> bytes:
    return json.dumps({"classes": {}, "distributions": {}, "globals": [], **parts}).encode()


@pytest.mark.parametrize(
    "manifest",
    [
        forged(classes={"drifting:User": {"fields": [["name"], "x", [1, 2], {}, ["name", "str"]], "version": []}}),
        forged(classes={"drifting:User": []}, distributions={"numpy": 1, "a/b": "1", "": ""}, globals=[1, None, [":"]]),
        forged(classes={"": {}, ":": {}, "drifting:": {}, "drifting:User.name.x": {}, "sys:modules": {}}),
        forged(classes=[], distributions={}, globals={}),
        b'{"classes": {}, "metadata": ' + b"9" * 5000 + b"}",
        forged(classes={"drifting:User": {"fields": [["x", "(" * 900], ["age", "'" * 2 + "a.b[" * 200]]}}),
        b"[]",
    ],
)
def test_a_manifest_that_is_anybodys_raises_nothing(app: App, manifest: bytes) -> None:
    app(USER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _drift.warn(manifest, stacklevel=1)
    for error in (AttributeError("x"), ModuleNotFoundError("x", name="drifting")):
        _drift.explain(error, manifest)


def test_comparing_imports_nothing_and_runs_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    class Lazy(types.ModuleType):
        def __getattribute__(self, name: str) -> Any:
            ran.append(name)
            return super().__getattribute__(name)

    class Meta(type):
        def __getattr__(cls, name: str) -> Any:
            ran.append(name)
            raise AttributeError(name)

    lazy = Lazy("drifting")
    monkeypatch.setitem(sys.modules, "drifting", lazy)
    lazy.__dict__["Watched"] = Meta("Watched", (), {"__module__": "drifting"})
    ran.clear()
    monkeypatch.delitem(sys.modules, "this", raising=False)
    record = {"fields": [["x", "int"]], "version": 1}
    manifest = forged(classes={"drifting:Watched": record, "drifting:Gone": record, "this:s": record})
    before = set(sys.modules)
    with pytest.warns(torshi.ClassChangedWarning):
        _drift.warn(manifest, stacklevel=1)
    _drift.explain(AttributeError("x"), manifest)
    assert not ran
    assert set(sys.modules) == before


def test_text_of_a_stranger_steers_no_terminal(app: App) -> None:
    app(USER)
    fields = [["\x1b[2J" + "x" * 500, "\u202e"], ["name", "str"], ["age", "int"]]
    with pytest.warns(torshi.ClassChangedWarning) as caught:
        _drift.warn(forged(classes={"drifting:User": {"fields": fields}}), stacklevel=1)
    text = str(caught[0].message)
    assert text.isascii()
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) < 200
    many = {"drifting:User": {"fields": [[f"f{number}", ""] for number in range(5000)]}}
    with pytest.warns(torshi.ClassChangedWarning, match="and 4982 more") as caught:
        _drift.warn(forged(classes=many), stacklevel=1)
    assert len(str(caught[0].message).splitlines()) < 30


# -- annotations, cost, the command line


@pytest.mark.parametrize(
    ("was", "now", "equal"),
    [
        ("int", "int", True),
        ("int", "str", False),
        ("typing.Optional[int]", "int | None", True),
        ("Union[int, str, None]", "Optional[str | int]", True),
        ("List[Dict[str, a.b.C]]", "list[dict[str, C]]", True),
        ("Callable[[int], str]", "Callable[[int], bytes]", False),
        ("Literal['a']", "Literal['b']", False),
        ("'User'", "app.User", True),
        ("tuple[int, ...]", "Tuple[int, ...]", True),
        ("tuple[int, str]", "tuple[str, int]", False),
        ("", "int", False),
    ],
)
def test_annotations_however_they_are_written(was: str, now: str, equal: bool) -> None:
    assert same(was, now) is equal
    assert same(now, was) is equal


def test_a_load_without_changes_asks_for_no_version_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, each load reads what installers wrote: a fifth of a millisecond a library."""
    np = pytest.importorskip("numpy")
    torshi.save(np.arange(3), tmp_path / "array", key=False)
    pd = pytest.importorskip("pandas")
    torshi.save(pd.DataFrame({"a": [1]}), tmp_path / "frame", key=False)
    torshi.load(tmp_path / "frame")
    asked: list[str] = []
    monkeypatch.setattr(_distribution.metadata, "version", lambda name: asked.append(name) or "0")
    torshi.load(tmp_path / "frame")
    monkeypatch.setattr(_distribution, "_versions", {})
    torshi.load(tmp_path / "array")
    assert not asked


def test_comparing_is_cheap(tmp_path: Path, app: App) -> None:
    saved(app, USER, user, tmp_path / "file")
    stored = _native.StoredFile.open((tmp_path / "file").read_bytes())
    assert stored is not None
    least = min(_timed(stored.manifest) for _ in range(50))
    assert least < 500e-6  # some 30 millionths of a second


def _timed(manifest: bytes | None) -> float:
    start = time.perf_counter()
    _drift.warn(manifest, stacklevel=1)
    return time.perf_counter() - start


def test_loads_do_not_look_for_classes_that_moved(tmp_path: Path, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, loads of files with renamed classes go through all modules each time."""
    saved(app, USER, user, tmp_path / "file")
    stored = _native.StoredFile.open((tmp_path / "file").read_bytes())
    assert stored is not None
    app("")
    monkeypatch.setattr(_drift, "successor", None)
    _drift.warn(stored.manifest, stacklevel=1)


def test_describe_shows_versions_that_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from torshi.cli import main

    np = pytest.importorskip("numpy")
    path = tmp_path / "file"
    torshi.save(np.arange(3), path, key=False)
    with_versions(path, numpy="1.0.0", absent="2.0")
    assert main(["describe", str(path)]) == 0
    assert f"numpy 1.0.0 (here {np.__version__}), absent 2.0 (not installed here)" in capsys.readouterr().out
    assert main(["describe", "--json", str(path)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["changes"][0] == {
        "kind": "library", "name": "numpy", "field": None, "was": "1.0.0", "now": np.__version__, "matters": False
    }  # fmt: skip
