"""`torshi.shelve_open` beside `shelve.open`: the same program on both.

If these failed, a program that changes one line to get shelves that last would not run as before.
"""

from __future__ import annotations

import dbm
import shelve
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import torshi
from planted import FORMS, RAN, plant


@dataclass
class Own:
    """A class of the program."""

    value: Any = None


OPENERS: list[Callable[..., Any]] = [shelve.open, torshi.shelve_open]


@pytest.mark.parametrize("opened", OPENERS, ids=["shelve", "torshi"])
class TestAlike:
    def test_a_mapping_that_lasts(self, opened: Any, tmp_path: Path) -> None:
        """Or what was assigned would not be there in the next run."""
        place = str(tmp_path / "state")
        with opened(place) as shelf:
            shelf["a"] = Own([1])
            shelf["é"] = 2
            shelf["gone"] = 3
            del shelf["gone"]
            shelf.update(x=1, y=2)
        with opened(place, "r") as shelf:
            assert dict(shelf) == {"a": Own([1]), "é": 2, "x": 1, "y": 2}
            assert len(shelf) == 4
            assert "a" in shelf
            assert "b" not in shelf
            assert shelf.get("b", 7) == 7
            assert shelf.get("b") is None
            with pytest.raises(KeyError):
                shelf["b"]
        with opened(place) as shelf:
            assert shelf.pop("x") == 1
            assert shelf.pop("x", 5) == 5
            with pytest.raises(KeyError):
                shelf.pop("x")
            with pytest.raises(KeyError):
                del shelf["x"]
            assert shelf.setdefault("s", []) == []
            shelf.clear()
            assert list(shelf) == []

    def test_without_writeback_values_are_copies(self, opened: Any, tmp_path: Path) -> None:
        """Or a program that relies on either way would lose changes, or make some that it does not want."""
        with opened(str(tmp_path / "state")) as shelf:
            shelf["list"] = [1]
            shelf["list"].append(2)
            assert shelf["list"] == [1]

    def test_writeback(self, opened: Any, tmp_path: Path) -> None:
        """Or what was changed in place would be lost."""
        place = str(tmp_path / "state")
        with opened(place, writeback=True) as shelf:
            shelf["list"] = [1]
            shelf["list"].append(2)
            shelf.sync()
            shelf["list"].append(3)
            shelf["gone"] = []
            del shelf["gone"]
        with opened(place, writeback=True) as shelf:
            assert dict(shelf) == {"list": [1, 2, 3]}
            shelf.setdefault("other", []).append(1)
        with opened(place) as shelf:
            assert shelf["other"] == [1]

    def test_flags(self, opened: Any, tmp_path: Path) -> None:
        """Or one would get an empty shelf for a name with a slip in it, or write where one only reads."""
        place = str(tmp_path / "state")
        for flag in ("r", "w"):
            with pytest.raises(dbm.error):
                opened(place, flag)
        with opened(place, "n") as shelf:
            shelf["a"] = 1
        with opened(place, "w") as shelf:
            shelf["b"] = 2
        with opened(place, "n") as shelf:
            assert len(shelf) == 0
        with pytest.raises(ValueError, match=r"(?i)flag"):
            opened(place, "x")

    def test_closed(self, opened: Any, tmp_path: Path) -> None:
        """Or a program would go on writing to nowhere."""
        shelf = opened(str(tmp_path / "state"), protocol=2)
        shelf["a"] = 1
        shelf.close()
        shelf.close()
        with pytest.raises(ValueError, match="closed"):
            shelf["a"]
        with pytest.raises(ValueError, match="closed"):
            shelf["a"] = 2


def test_reading_only(tmp_path: Path) -> None:
    """Or whoever opens a shelf to look at it could change it."""
    with torshi.shelve_open(tmp_path / "s") as shelf:
        shelf["a"] = [1]
    with torshi.shelve_open(tmp_path / "s", "r", writeback=True) as shelf:
        shelf["a"].append(2)
        for change in (lambda: shelf.__setitem__("a", 1), lambda: shelf.pop("a"), lambda: shelf.clear()):
            with pytest.raises(torshi.StoreError, match="reading only"):
                change()
        with pytest.raises(torshi.StoreError, match="reading only"):
            del shelf["a"]
    with torshi.shelve_open(tmp_path / "s") as shelf:
        assert shelf["a"] == [1]


def test_a_shelf_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    """Or opening an old shelf would destroy it."""
    place = tmp_path / "old"
    place.write_bytes(b"\x13\x57\x9a\xce" + bytes(100))  # gdbm's
    for flag in ("c", "n", "r"):
        with pytest.raises(torshi.StoreError):
            torshi.shelve_open(place, flag)
    assert place.read_bytes() == b"\x13\x57\x9a\xce" + bytes(100)


def test_keys_are_text(tmp_path: Path) -> None:
    """Or keys would be written that no reader of a shelf can ask for."""
    with torshi.shelve_open(tmp_path / "s") as shelf:
        with pytest.raises(TypeError, match="is str, not int"):
            shelf[1] = 1  # type: ignore[index]
        assert 1 not in shelf


def test_several_at_the_same_time(tmp_path: Path) -> None:
    """Or writers would overwrite one another, as in a shelf of the standard library."""

    def write(number: int) -> None:
        with torshi.shelve_open(tmp_path / "s") as shelf:
            for turn in range(25):
                shelf[f"{number}-{turn}"] = turn

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with torshi.shelve_open(tmp_path / "s") as shelf:
        assert len(shelf) == 100


@pytest.mark.parametrize("form", FORMS)
def test_a_planted_pickle_is_an_error_of_its_key(tmp_path: Path, form: str) -> None:
    """Or whoever can write to the file would run code in the program, or take the other keys away."""
    RAN.clear()
    with torshi.shelve_open(tmp_path / "s") as shelf:
        shelf.update(a=1, b=2)
    assert plant(tmp_path / "s", form, "a") == 1
    with torshi.shelve_open(tmp_path / "s") as shelf:
        with pytest.raises(torshi.SealError, match="'a'"):
            shelf["a"]
        assert shelf["b"] == 2
        del shelf["a"]
        assert dict(shelf) == {"b": 2}
    assert RAN == []
