"""`torshi store` and `torshi cache`: what they print, their exit codes, and that they load nothing.

If these failed, a look at a store would run what is in it, make one that was not there, or remove what should stay.
"""

from __future__ import annotations

import dbm.dumb
import io
import json
import shelve
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import torshi
from planted import ATTACK, FORMS, RAN, plant
from torshi._store.foreign import KINDS
from torshi.cli import main
from torshi.cli import store as store_command

BUILT: list[Any] = []


@dataclass
class Noting:
    """A class that notes when one of it is built."""

    value: Any

    def __setstate__(self, state: dict[str, Any]) -> None:
        BUILT.append(state)
        self.__dict__.update(state)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[str]:
    place = tmp_path / "game.db"
    with torshi.Store(place) as store:
        store["ada"] = {"level": 2}
        store[("user", 7)] = Noting([1])
        store.set("big", b"x" * 200_000, ttl=1000, tags=["red", "blue"])
        store[5] = 1
        store[b"raw\xff"] = 2
    BUILT.clear()
    RAN.clear()
    yield str(place)
    assert BUILT == [], "a value was built"
    assert RAN == [], "something was run"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    told = capsys.readouterr()
    return code, told.out, told.err


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


class TestLs:
    def test_text(self, capsys: pytest.CaptureFixture[str], path: str) -> None:
        """Or one could not see what a store has."""
        code, out, _ = run(capsys, "store", "ls", path)
        assert code == 0
        lines = out.splitlines()
        assert [line.split("  ")[-1].strip() for line in lines] == [
            r"b'raw\xff'", "'ada'", "#blue #red", "('user', 7)", "5"
        ]  # fmt: skip
        assert lines[2].startswith(" 195.9 KiB  20")
        assert "'big'" in lines[2]

    def test_json_keys_can_be_given_back(self, capsys: pytest.CaptureFixture[str], path: str) -> None:
        """Or a script could list keys, and not ask for one of them."""
        _, out, _ = run(capsys, "store", "ls", path, "--json")
        found = records(out)
        assert [record["key"] for record in found] == [{"base64": "cmF3/w=="}, "ada", "big", ["user", 7], 5]
        assert found[2]["tags"] == ["blue", "red"]
        assert found[2]["expires"] is not None
        for record in found:
            code, out, _ = run(capsys, "store", "get", path, "--json", "--json-key", json.dumps(record["key"]))
            assert code == 0
            assert json.loads(out)["key"] == record["key"]

    def test_some(self, capsys: pytest.CaptureFixture[str], path: str) -> None:
        """Or one would have to read through millions of keys."""

        def keys(*arguments: str) -> list[Any]:
            return [record["key"] for record in records(run(capsys, "store", "ls", path, "--json", *arguments)[1])]

        assert keys("--prefix", "b") == ["big"]
        assert keys("--prefix", '["user"]', "--json-key") == [["user", 7]]
        assert keys("--tag", "red") == ["big"]
        assert keys("-n", "2") == [{"base64": "cmF3/w=="}, "ada"]
        assert run(capsys, "store", "ls", path, "--json-key", "--prefix", "{")[0] == 2
        assert run(capsys, "store", "ls", path, "--json-key", "--prefix", "1.5")[0] == 2


class TestGet:
    def test_a_value_is_shown_without_being_built(self, capsys: pytest.CaptureFixture[str], path: str) -> None:
        """Or looking at a value would build it, which the fixture sees."""
        code, out, _ = run(capsys, "store", "get", path, "--json-key", '["user", 7]')
        assert code == 0
        assert "('user', 7): sealed for this key" in out
        assert "may use, as its seal says: test_cli_store:Noting" in out
        assert "no findings under policy" in out
        code, out, _ = run(capsys, "store", "get", path, "big", "--json")
        record = json.loads(out)
        assert (code, record["sealed"], record["names"], record["report"]["tree"]["kind"]) == (0, True, [], "bytes")

    def test_what_is_not_there(self, capsys: pytest.CaptureFixture[str], path: str) -> None:
        """Or a slip in a key would look like an empty value."""
        code, out, err = run(capsys, "store", "get", path, "bob")
        assert (code, out) == (2, "")
        assert "no value of 'bob'" in err

    @pytest.mark.parametrize("form", FORMS)
    def test_a_planted_pickle(self, capsys: pytest.CaptureFixture[str], path: str, form: str) -> None:
        """Or whoever looks at what somebody put there would run it, or take it for the user's own."""
        plant(Path(path), form, "ada")
        code, out, err = run(capsys, "store", "get", path, "ada")
        assert (code, out) == (2, "")
        assert "seal" in err
        assert run(capsys, "store", "ls", path)[0] == 0

    def test_without_seals_findings_are_said(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        """Or in a store that anybody writes to, an attack would look like a value."""
        place = str(tmp_path / "open.db")
        with torshi.Store(place, key=False) as store:
            store["a"] = 1
        plant(Path(place), "unsealed", "a")
        code, out, _ = run(capsys, "store", "get", place, "a", "--unsealed")
        assert code == 1
        assert "planted.act" in out
        assert run(capsys, "store", "get", place, "a")[0] == 2


class TestUpkeep:
    def test_stat(self, capsys: pytest.CaptureFixture[str], path: str) -> None:
        """Or one could not see what fills the disk."""
        code, out, _ = run(capsys, "store", "stat", path, "--json")
        record = json.loads(out)
        assert (code, record["values"], record["side_files"], record["sealed"]) == (0, 5, 1, True)
        code, out, _ = run(capsys, "store", "stat", path)
        assert code == 0
        assert "side files   1" in out

    def test_check_and_repair(self, capsys: pytest.CaptureFixture[str], path: str) -> None:
        """Or damage would be found by the user of the program."""
        assert run(capsys, "store", "check", path) == (0, f"{path}: nothing is wrong\n", "")
        plant(Path(path), "forged", "ada")
        code, out, _ = run(capsys, "store", "check", path)
        assert code == 1
        assert out.startswith("seal      'ada': ")
        code, out, _ = run(capsys, "store", "check", path, "--json")
        assert (code, [problem["kind"] for problem in json.loads(out)["problems"]]) == (1, ["seal"])
        code, out, _ = run(capsys, "store", "repair", path, "--json")
        assert code == 0
        assert json.loads(out)["done"][0].startswith("put aside: 'ada'")
        assert run(capsys, "store", "check", path)[0] == 0
        assert "nothing to do" in run(capsys, "store", "repair", path)[1]
        assert json.loads(run(capsys, "store", "stat", path, "--json")[1])["lost"] == 1

    def test_compact(self, capsys: pytest.CaptureFixture[str], path: str) -> None:
        """Or a store that has become small would stay large."""
        with torshi.Store(path) as store:
            store.update({f"k{number}": "x" * 1000 for number in range(500)})
            for number in range(500):
                del store[f"k{number}"]
        code, out, _ = run(capsys, "store", "compact", path, "--json")
        assert code == 0
        assert json.loads(out)["bytes"] > 100_000

    def test_clear_asks(self, capsys: pytest.CaptureFixture[str], path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Or a slip would remove everything."""

        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
        code, _, err = run(capsys, "store", "clear", path)
        assert code == 2
        assert "--yes" in err
        monkeypatch.setattr(sys, "stdin", Terminal("\n"))
        code, _, err = run(capsys, "store", "clear", path)
        assert code == 2
        assert "remove 5 values from" in err
        with torshi.Store(path) as store:
            assert len(store) == 5
        assert run(capsys, "store", "clear", path, "--tag", "red", "--yes")[1] == f"{path}: 1 value removed\n"
        monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
        assert run(capsys, "store", "clear", path)[0] == 0
        with torshi.Store(path) as store:
            assert len(store) == 0

    @pytest.mark.parametrize("action", ["ls", "stat", "check", "repair", "compact", "clear"])
    def test_what_is_not_there_is_not_made(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path, action: str
    ) -> None:
        """Or a slip in a name would leave an empty store behind."""
        code, out, err = run(capsys, "store", action, str(tmp_path / "nothing.db"))
        assert (code, out) == (2, "")
        assert "there is no such store" in err
        (tmp_path / "text").write_text("hello")
        code, out, err = run(capsys, "store", action, str(tmp_path / "text"))
        assert (code, out) == (2, "")
        assert "no store of torshi" in err
        assert {entry.name for entry in tmp_path.iterdir()} == {"text"}

    def test_another_key(self, capsys: pytest.CaptureFixture[str], path: str) -> None:
        """Or a slip in the name of a key would look like damage."""
        code, _, err = run(capsys, "store", "check", path, "--key", "nobody")
        assert code == 2
        assert "nobody" in err


class TestImport:
    @pytest.fixture
    def old(self, tmp_path: Path) -> str:
        with shelve.Shelf(dbm.dumb.open(str(tmp_path / "old"), "c")) as made:
            made["x"] = [1]
            made["own"] = Noting(1)
        with dbm.dumb.open(str(tmp_path / "old"), "w") as raw:
            raw[b"evil"] = ATTACK
        BUILT.clear()
        return str(tmp_path / "old")

    def test_text(self, capsys: pytest.CaptureFixture[str], path: str, old: str) -> None:
        """Or one would not know what did not come along."""
        code, out, _ = run(capsys, "store", "import", old, path)
        assert code == 1
        assert out.count("refused ") == 2
        assert out.endswith(f"{old} (shelve): 1 value imported, 0 skipped, 2 refused\n")
        with torshi.Store(path) as store:
            assert store["x"] == [1]

    def test_options(self, capsys: pytest.CaptureFixture[str], path: str, old: str, tmp_path: Path) -> None:
        """Or the ways of the library would not be there."""
        new = str(tmp_path / "new.db")
        code, out, _ = run(capsys, "store", "import", old, new, "--check", "--json")
        assert (code, json.loads(out)["imported"], Path(new).exists()) == (1, 1, False)
        code, _, err = run(capsys, "store", "import", old, path, "--strict")
        assert (code, "is not trusted" in err) == (2, True)
        name = "test_cli_store:Noting"
        code, out, _ = run(capsys, "store", "import", old, path, "--trust", name, "--prefix", "old", "--json")
        assert (code, json.loads(out)["imported"]) == (1, 2)
        for check in ([], ["--check"]):
            code, out, _ = run(capsys, "store", "import", old, path, "--prefix", "old", "--keep", "--json", *check)
            assert json.loads(out)["skipped"] == 1
        code, out, _ = run(capsys, "store", "get", path, "--json-key", '["old", "own"]')
        assert (code, name in out) == (0, True)

    def test_what_is_no_source(self, capsys: pytest.CaptureFixture[str], path: str, tmp_path: Path) -> None:
        """Or a script would go on without its data."""
        assert run(capsys, "store", "import", str(tmp_path / "nothing"), path)[0] == 2
        assert run(capsys, "store", "import", str(tmp_path / "nothing"), str(tmp_path / "new.db"))[0] == 2
        assert not (tmp_path / "new.db").exists()
        with sqlite3.connect(tmp_path / "other.db") as connection:
            connection.execute("CREATE TABLE people (name TEXT)")
        connection.close()
        code, _, err = run(capsys, "store", "import", str(tmp_path / "other.db"), path)
        assert (code, "neither sqlitedict nor diskcache" in err) == (2, True)

    def test_kinds(self) -> None:
        """Or the command would not know what the library can read."""
        assert tuple(KINDS) == store_command.KINDS


class TestCache:
    @pytest.fixture
    def results(self, tmp_path: Path) -> str:
        place = str(tmp_path / "results.db")

        @torshi.cache(store=place)
        def first(n: int) -> Noting:
            return Noting(n)

        @torshi.cache(store=place)
        def second(n: int) -> list[int]:
            return [n] * 1000

        for number in range(3):
            first(number)
        second(1)
        BUILT.clear()
        return place

    def test_ls(self, capsys: pytest.CaptureFixture[str], results: str) -> None:
        """Or one could not see which function fills the disk."""
        code, out, _ = run(capsys, "cache", "ls", "--store", results, "--json")
        assert code == 0
        found = {record["function"].rpartition(".")[2]: record for record in records(out)}
        assert {name: record["results"] for name, record in found.items()} == {"first": 3, "second": 1}
        assert found["second"]["bytes"] > 1000
        code, out, _ = run(capsys, "cache", "ls", "--store", results)
        assert (code, len(out.splitlines())) == (0, 2)
        assert BUILT == []

    def test_stat(self, capsys: pytest.CaptureFixture[str], results: str) -> None:
        """Or one would not know how much there is."""
        record = json.loads(run(capsys, "cache", "stat", "--store", results, "--json")[1])
        assert (record["functions"], record["results"], record["where"]) == (2, 4, results)
        assert "results      4" in run(capsys, "cache", "stat", "--store", results)[1]

    def test_clear(self, capsys: pytest.CaptureFixture[str], results: str) -> None:
        """Or one could not get rid of results, or only of all."""
        with torshi.Store(results) as store:
            store["other"] = "stays"
        names = [record["function"] for record in records(run(capsys, "cache", "ls", "--store", results, "--json")[1])]
        code, _, err = run(capsys, "cache", "clear", "--store", results, "--function", "nobody", "--yes")
        assert (code, "no results of nobody" in err) == (2, True)
        code, out, _ = run(capsys, "cache", "clear", "--store", results, "--function", names[0], "--yes")
        assert (code, out) == (0, f"{results}: 3 results forgotten\n")
        code, out, _ = run(capsys, "cache", "clear", "--yes", "--json", "--store", results)
        assert json.loads(out)["removed"] == 1
        with torshi.Store(results) as store:
            assert dict(store) == {"other": "stays"}

    def test_the_users_own(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Or one would have to know where it is; and it is not made to be looked at."""
        monkeypatch.setenv("TORSHI_CACHE_DIR", str(tmp_path / "caches"))
        code, _, err = run(capsys, "cache", "ls")
        assert (code, "results.db: there is no such store" in err) == (2, True)
        assert not (tmp_path / "caches").exists()
        (tmp_path / "caches").mkdir()
        with torshi.Store(tmp_path / "caches" / "results.db") as store:
            store["a"] = 1
        assert run(capsys, "cache", "ls") == (0, "", "")


def test_help_has_examples() -> None:
    """Or one would have to guess."""
    for command in (["store"], ["store", "ls"], ["store", "import"], ["cache"], ["cache", "clear"]):
        made = subprocess.run([sys.executable, "-m", "torshi", *command, "--help"], capture_output=True, text=True)
        assert made.returncode == 0
        assert "examples:" in made.stdout
        assert "exit codes:" in made.stdout


def test_the_other_commands_do_not_wait_for_stores() -> None:
    """Or `torshi check` would take twice as long to begin."""
    code = "import sys, torshi.cli; torshi.cli.parser(); print([m for m in ('sqlite3', 'dbm') if m in sys.modules])"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout == "[]\n"
