"""Placeholders: what stands for classes that are not there, records what a stream does with them, and is written back.

If these failed, a file of a missing plugin could not be read at all, would come back as other bytes than it was, or a
name that nobody trusts would come in by not being there.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import io
import pickle
import pickletools
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import plugin_values
import torshi

TRUST = ["plugin_values.*", "test_placeholder.*"]
VALUES = list(plugin_values.values())


class Hidden:
    """An import system that does not have the module."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] == "plugin_values":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@contextlib.contextmanager
def hidden() -> Iterator[None]:
    module = sys.modules.pop("plugin_values")
    finder = Hidden()
    sys.meta_path.insert(0, finder)  # type: ignore[arg-type]
    try:
        yield
    finally:
        sys.meta_path.remove(finder)  # type: ignore[arg-type]
        sys.modules["plugin_values"] = module


def same(one: Any, other: Any) -> bool:
    """Equal, of values with cycles too."""
    return bool(pickle.dumps(one) == pickle.dumps(other))


def dumped(value: Any, protocol: int) -> bytes | None:
    """Stock pickle's bytes; None where it has none."""
    try:
        return pickle.dumps(value, protocol)
    except TypeError:  # slots below protocol 2
        return None


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(("name", "value"), VALUES, ids=[name for name, _ in VALUES])
def test_written_back_byte_for_byte(name: str, value: Any, protocol: int) -> None:
    """If this fails, a file that was only looked at and saved again is not the file it was."""
    data = dumped(value, protocol)
    if data is None:
        assert protocol < 2
        return
    with hidden():
        with pytest.raises(ImportError):
            torshi.loads(data, trust=TRUST)
        loaded = torshi.loads(data, trust=TRUST, missing="placeholder")
        assert torshi.dumps(loaded, protocol) == data
        assert torshi.dumps(copy.deepcopy(loaded), protocol) == data or name in ("names as data", "as keys")
        assert "placeholder for plugin_values." in repr(loaded) or name == "beside what is there"
    restored = torshi.loads(torshi.dumps(loaded, protocol), trust=TRUST)
    assert same(restored, pickle.loads(data))


@pytest.mark.parametrize("protocol", range(2, 6))
def test_strings_stay_shared_as_they_were(protocol: int) -> None:
    """If this fails, equal strings become one or fall apart on the way, and the bytes are others."""
    here = Here()
    here.x, here.label = "x", "la" + "bel".lower()
    twice = "".join(["equal", "!"]), "".join(["equal", "!"])
    first, last = plugin_values.Point("x", "label"), plugin_values.Point("y", here)
    value = [first, here, twice, twice[0], "y", last, "plugin_values"]
    data = pickle.dumps(value, protocol)
    with hidden():
        for _ in range(2):  # the second finds what the first has left
            loaded = torshi.loads(data, trust=TRUST, missing="placeholder")
            assert torshi.dumps(loaded, protocol) == data
    # And an ordinary load after it goes on as ever.
    again = torshi.loads(data, trust=TRUST)
    assert (again[0], vars(again[1]), again[2:5]) == (first, vars(here), [twice, twice[0], "y"])


class Here:
    """A class that is there."""

    x: Any
    label: Any


def test_what_one_shows() -> None:
    value = plugin_values.Rebuilt("v")
    data = pickle.dumps([value, plugin_values.Point(1, 2), plugin_values.NewKeywords(1, key=2), plugin_values.Point])
    with hidden():
        rebuilt, point, new, name = torshi.loads(data, trust=TRUST, missing="placeholder")
    assert isinstance(point, torshi.Placeholder)
    assert (point.name, point.args, point.state) == ("plugin_values.Point", (), {"x": 1, "y": 2})
    assert (rebuilt.name, rebuilt.args, rebuilt.items) == ("plugin_values.rebuild", ("v", {"k": 1}), [1, 2, 3])
    assert (rebuilt.entries, rebuilt.state) == ([("own", [4])], {"value": "v"})
    assert (new.args, new.kwargs) == ((1,), {"key": 2})
    assert repr(point) == "<placeholder for plugin_values.Point: state={'x': 1, 'y': 2}>"
    assert repr(name) == "<placeholder for plugin_values.Point>"
    assert issubclass(name, torshi.Placeholder)
    assert type(point) is name
    with pytest.raises(TypeError, match=r"plugin_values\.Point is not there"):
        name(1, 2)
    assert not callable(point)
    cycle: list[Any] = []
    cycle.append(plugin_values.Point(cycle, b"x" * 10_000))
    data = pickle.dumps(cycle)
    with hidden():
        shown = repr(torshi.loads(data, trust=TRUST, missing="placeholder"))
    assert len(shown) < 300


def test_a_name_that_is_not_trusted_stays_refused() -> None:
    """If this fails, whoever has not installed a plugin loads what nobody allowed."""
    data = pickle.dumps(plugin_values.Point(1, 2))
    with hidden():
        for trust in (None, ["plugin_values.Slots"], torshi.Policy.empty()):
            with pytest.raises(torshi.UntrustedError, match="is not trusted"):
                torshi.loads(data, trust=trust, missing="placeholder")
    # A module that is there, without the name.
    with pytest.raises(torshi.UntrustedError):
        torshi.loads(b"cos\nnowhere\n.", missing="placeholder")


def test_a_placeholder_vouches_for_nothing_else() -> None:
    """If this fails, a missing name among the arguments opens a call that the policy does not allow."""
    for stream in (b"cos\nsystem\n(cgone\nName\ntR.", b"cgone\nName\n(S'a'\ntR(S'b'\ntR.", b"cgone\nName\n}b."):
        with pytest.raises(torshi.UnpicklingError):
            torshi.loads(stream, trust=["gone.*"], missing="placeholder")


def test_nothing_is_imported_for_one() -> None:
    before = set(sys.modules)
    loaded = torshi.loads(b"cgone.far.away\nName\n)R}S'a'\nI1\nsb.", trust=["gone.*"], missing="placeholder")
    assert set(sys.modules) - before == set()
    assert loaded.state == {"a": 1}


def test_a_missing_attribute_of_a_module_that_is_there() -> None:
    data = b"\x80\x04\x8c\x0dplugin_values\x8c\x07Retired\x93)\x81."
    with pytest.raises(AttributeError, match="Retired"):
        torshi.loads(data, trust=TRUST)
    loaded = torshi.loads(data, trust=TRUST, missing="placeholder")
    assert loaded.name == "plugin_values.Retired"


def test_a_module_that_fails_otherwise_still_raises(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """If this fails, an error within an installed plugin is taken for its absence."""
    (tmp_path / "broken_plugin.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ZeroDivisionError):
        torshi.loads(b"cbroken_plugin\nName\n.", trust=["broken_plugin.*"], missing="placeholder")


def test_the_old_ways_to_make_objects() -> None:
    """INST and OBJ, as Python 2 wrote them: written back as what makes the same."""
    for stream, args in ((b"(I1\nigone\nOld\n.", (1,)), (b"(cgone\nOld\nI1\no.", (1,)), (b"(igone\nOld\n.", ())):
        loaded = torshi.loads(stream, trust=["gone.*"], missing="placeholder")
        assert (loaded.name, loaded.args) == ("gone.Old", args)
        again = torshi.loads(torshi.dumps(loaded, 2), trust=["gone.*"], missing="placeholder")
        assert (again.name, again.args) == ("gone.Old", args)


def test_what_no_pickler_writes_is_not_lost_in_silence() -> None:
    """If this fails, a stream with state given twice is written back with half of it."""
    twice = b"cgone\nName\n)R}S'a'\nI1\nsb}S'b'\nI2\nsb."
    before = b"cgone\nName\n)R}S'a'\nI1\nsbI1\na."
    added = b"\x80\x04cgone\nName\n)R(K\x01\x90."
    nothing = b"cgone\nName\n)RNb."
    for stream in (twice, before, added, nothing):
        loaded = torshi.loads(stream, trust=["gone.*"], missing="placeholder")
        with pytest.raises(torshi.PicklingError, match="cannot be written back"):
            torshi.dumps(loaded)


def test_stock_pickle_says_that_it_cannot() -> None:
    loaded = torshi.loads(b"cgone\nName\n)R.", trust=["gone.*"], missing="placeholder")
    with pytest.raises((pickle.PicklingError, ImportError), match="gone"):
        pickle.dumps(loaded)


def test_only_placeholders_are_written_unseen() -> None:
    """If this fails, any class is written by a name that does not lead to it."""
    imposter = type("Imposter", (), {"__module__": "gone"})
    with pytest.raises(torshi.PicklingError, match="import of module 'gone' failed"):
        torshi.dumps(imposter)
    assert torshi.loads(torshi.dumps(torshi.Placeholder), trust=[torshi.Placeholder]) is torshi.Placeholder


def test_the_unpickler_has_them_too() -> None:
    data = pickle.dumps(plugin_values.Point(1, 2), 4)
    with hidden():
        unpickler = torshi.Unpickler(io.BytesIO(data + data), trust=TRUST, missing="placeholder")
        first, second = unpickler.load(), unpickler.load()
        assert type(first) is type(second)
        assert unpickler.find_class("plugin_values", "Point") is type(first)

        class Own(torshi.Unpickler):
            def find_class(self, module: str, name: str) -> Any:
                return super().find_class(module, name)

        assert Own(io.BytesIO(data), trust=TRUST, missing="placeholder").load().state == {"x": 1, "y": 2}
        with pytest.raises(ImportError):
            Own(io.BytesIO(data), trust=TRUST).load()


def test_files_keep_them(tmp_path: Any) -> None:
    path, again = tmp_path / "a.pkl", tmp_path / "b.pkl"
    torshi.save([plugin_values.Point(1, 2), "x"], path, key=False)
    with hidden():
        loaded = torshi.load(path, trust=TRUST, missing="placeholder")
        torshi.save(loaded, again, key=False)
    assert torshi.describe(again).digest == torshi.describe(path).digest
    assert torshi.describe(again).globals == ("plugin_values:Point",)
    assert torshi.load(again, trust=TRUST)[0] == plugin_values.Point(1, 2)
    with open(path, "rb") as file, hidden():
        assert torshi.load(file, trust=TRUST, missing="placeholder")[0].state == {"x": 1, "y": 2}


def test_under_no_policy_at_all() -> None:
    """Names may be computed there: one that is only known while building is replaced as well."""
    everything = torshi.unrestricted("names are made up here")
    stream = b"\x80\x04\x8c\x04gone\x8c\x04Name\x93)R."
    assert torshi.loads(stream, trust=everything, missing="placeholder").name == "gone.Name"
    computed = b"\x80\x04cbuiltins\nstr\n\x8c\x04gone\x85R\x8c\x04Name\x93)R."
    assert torshi.loads(computed, trust=everything, missing="placeholder").name == "gone.Name"


def test_a_type_does_not_fit_a_placeholder() -> None:
    data = b"\x80\x04]cgone\nName\n)Ra."
    with pytest.raises(torshi.UntrustedError):
        torshi.loads(data, list[int], missing="placeholder")
    with pytest.raises(torshi.ValidationError):
        torshi.loads(data, list[int], trust=["gone.Name"], missing="placeholder")


@pytest.mark.parametrize("value", ["Placeholder", "", "skip"])
def test_other_words_are_errors(value: str, tmp_path: Any) -> None:
    path = tmp_path / "a.pkl"
    torshi.save(1, path)
    with pytest.raises(ValueError, match="missing wants 'error' or 'placeholder'"):
        torshi.loads(torshi.dumps(1), missing=value)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="missing wants"):
        torshi.load(path, missing=value)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="missing wants"):
        torshi.Unpickler(io.BytesIO(), missing=value)  # type: ignore[arg-type]


def test_classes_are_one_while_somebody_has_them_and_go_after() -> None:
    """If this fails, every load of a long-lived program leaves a class behind."""
    load = lambda: torshi.loads(b"cgone\nFleeting\n.", trust=["gone.*"], missing="placeholder")  # noqa: E731
    first = load()
    assert load() is first
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(load())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found is first for found in results)
    del first, results[:]
    gc.collect()
    from torshi._placeholder import _known

    assert ("gone", "Fleeting") not in _known


def test_nested_ones() -> None:
    value: Any = None
    for _ in range(300):
        value = plugin_values.Point(value, 0)
    data = torshi.dumps(value, 4)
    with hidden():
        loaded = torshi.loads(data, trust=TRUST, missing="placeholder")
        assert torshi.dumps(loaded, 4) == data
    assert sum(1 for opcode, _, _ in pickletools.genops(data) if opcode.name == "NEWOBJ") == 300
