"""Files rewritten without being loaded: what they build stays the same, names aside, and what must not happen does not.

If these failed, a migration would change or lose somebody's data, run a stranger's code, or vouch for his file.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import io
import json
import os
import pickle
import struct
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import torshi
from torshi import _native
from torshi.cli import main
from typed_models import Point

ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(codec=None, exclude_categories=()), max_size=40),
    st.binary(max_size=40),
    st.binary(max_size=20).map(bytearray),
    st.just(datetime.datetime(2024, 2, 29, 12, 30, 1, 5)),
    st.just(decimal.Decimal("1.10")),
    st.sampled_from([int, collections.OrderedDict, Point(1, 2), range(3)]),
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.lists(inner, max_size=5).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers(), st.booleans()), inner, max_size=6),
        st.frozensets(st.integers(), max_size=4),
        st.sets(st.text(max_size=4), max_size=4),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: [items, items, items[0]]),
        st.dictionaries(st.text(max_size=3), inner, max_size=3).map(collections.OrderedDict),
    ),
    max_leaves=30,
)


class Plain:
    """What stands in the place of another class after a renaming."""

    def __init__(self, x: Any = 0) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    __hash__ = None  # type: ignore[assignment]


def rewritten(data: bytes, renames: dict[str, str] | None = None, **options: Any) -> bytes:
    return _native.rewrite(data, list((renames or {}).items()), **options).bytes()


def text(value: Any) -> str:
    """A value and its sharing: equal texts mean equal structures."""
    seen: dict[int, int] = {}
    held: list[Any] = []

    def of(value: Any) -> str:
        if isinstance(value, (list, tuple, dict, set, bytearray)) and value:
            if id(value) in seen:
                return f"#{seen[id(value)]}"
            seen[id(value)] = len(seen)
            held.append(value)
        kind = type(value).__name__
        if isinstance(value, dict):
            return f"{kind}{{{', '.join(f'{of(k)}: {of(v)}' for k, v in value.items())}}}"
        if isinstance(value, (list, tuple)):
            return f"{kind}[{', '.join(map(of, value))}]"
        if isinstance(value, (set, frozenset)):
            return f"{kind}{sorted(map(repr, value))}"
        return f"{kind} {value!r}"

    return of(value)


@given(VALUES, st.integers(0, 5), st.booleans(), st.sampled_from([4, 5]))
@settings(max_examples=200, deadline=None)
def test_stock_pickle_reads_the_same(value: Any, protocol: int, strip: bool, to: int) -> None:
    try:
        data = pickle.dumps(value, protocol)
    except pickle.PicklingError:
        return
    if to == 4 and b"\x96" in data:
        return
    new = rewritten(data, strip=strip, protocol=to)
    assert text(pickle.loads(new)) == text(pickle.loads(data))
    assert text(pickle.load(io.BytesIO(new))) == text(pickle._Unpickler(io.BytesIO(data)).load())  # type: ignore[attr-defined]
    again = _native.rewrite(new, [], protocol=to, strip=strip)
    assert (again.bytes(), again.reformed, again.dropped) == (new, 0, 0)


def test_long_streams_are_framed_and_read_from_files() -> None:
    value = [{"id": n, "text": "x" * n, "bytes": b"y" * 100} for n in range(2000)] + ["z" * 70_000, b"w" * 2_000_000]
    for protocol in range(6):
        new = rewritten(pickle.dumps(value, protocol))
        with io.BufferedReader(io.BytesIO(new)) as file:  # type: ignore[arg-type]
            assert pickle.load(file) == value
            assert file.read() == b""
        assert torshi.loads(new) == value
    assert len(new) <= len(pickle.dumps(value, 5)) + 100


def test_python_2_strings_stay_what_they_were() -> None:
    """What they are is for `encoding=` to say, at the load."""
    for data in (b"S'caf\\xe9'\np0\n.", b"\x80\x02U\x04caf\xe9q\x00."):
        new = rewritten(data)
        assert pickle.loads(new, encoding="latin-1") == "caf\xe9"
        assert pickle.loads(new, encoding="bytes") == b"caf\xe9"
        with pytest.raises(UnicodeDecodeError):
            pickle.loads(new)


def test_python_2_names_and_old_classes() -> None:
    assert pickle.loads(rewritten(b"c__builtin__\nxrange\n(I1\nI4\ntR.")) == range(1, 4)
    assert pickle.loads(rewritten(b"\x80\x02cUserDict\nUserDict\n.")) is collections.UserDict
    made = pickle.loads(rewritten(b"(itest_migrate\nPlain\np0\n(dp1\nVx\nI5\nsb."))
    assert made == Plain(5)


def test_names_change_and_equal_data_does_not() -> None:
    value = ["typed_models", "Point", Point(1, 2), Point, "typed_models"]
    for protocol in range(6):
        data = pickle.dumps(value, protocol)
        new = rewritten(data, {"typed_models.Point": "test_migrate.Plain"})
        loaded = pickle.loads(new)
        assert loaded[0] == loaded[4] == "typed_models"
        assert loaded[1] == "Point"
        assert loaded[3] is Plain
        assert type(loaded[2]) is Plain
        assert vars(loaded[2]) == vars(Point(1, 2))


def test_modules_change_with_all_below() -> None:
    new = rewritten(pickle.dumps([Point(1, 2), Point(3, 4), "typed_models.x"], 4), {"typed_models.*": "gone.away.*"})
    report = torshi.inspect(new)
    assert [use.name for use in report.globals] == ["gone.away.Point"]
    assert b"typed_models.x" in new
    assert new.count(b"typed_models") == 1


def test_attacks_are_rewritten_and_not_run(tmp_path: Path) -> None:
    """Rewriting judges nothing; if it ran something, a canary would be there."""
    canary = tmp_path / "canary"
    evil = f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode()
    path = tmp_path / "evil.pkl"
    path.write_bytes(evil)
    torshi.migrate(path)
    assert not canary.exists()
    with pytest.raises(torshi.UntrustedError, match=r"posix\.system"):
        torshi.load(path)


def test_migrating_does_not_launder(tmp_path: Path) -> None:
    """A stranger's file that came out sealed would load his classes without a word."""
    path = tmp_path / "own.pkl"
    for write in (
        lambda: path.write_bytes(pickle.dumps(Point(1, 2), 2)),
        lambda: torshi.save(Point(1, 2), path, key=False),
    ):
        write()
        told = torshi.migrate(path, rename={"typed_models.Point": Plain})
        assert told.seals == ()
        with pytest.raises(torshi.UntrustedError):
            torshi.load(path)
    assert torshi.migrate(path, key="local").seals == ("local",)
    assert type(torshi.load(path)) is Plain


def test_ones_own_seal_is_renewed(tmp_path: Path) -> None:
    path = tmp_path / "own.pkl"
    torshi.save(Point(1, 2), path, metadata={"run": 3})
    told = torshi.migrate(path, rename={"typed_models.Point": Plain})
    assert (told.seals, told.unsealed) == (("local",), False)
    loaded = torshi.load(path)
    assert type(loaded) is Plain
    assert torshi.describe(path).metadata == {"run": 3}
    assert list(torshi.describe(path).classes) in ([], ["test_migrate:Plain"])
    torshi.verify(path)
    path.write_bytes(path.read_bytes().replace(b"test_migrate", b"test_misrate"))
    with pytest.raises(torshi.MalformedError, match="damaged"):
        torshi.migrate(path)


def test_a_seal_is_not_stretched_over_names_it_did_not_lend(tmp_path: Path) -> None:
    """A manifest may list less than its stream has; sealing anew would list, and so lend, all of it."""
    path = tmp_path / "own.pkl"
    stream = pickle.dumps([Point(1, 2)], 5)
    written = _native.rewrite(stream, [])
    with open(path, "wb", buffering=0) as file:
        length, digest, buffers, _ = written.write(file.fileno())
        from torshi._manifest import compose

        file.write(_native.render_trailer("plain", length, compose(length, digest, buffers, [], None), b""))
    torshi.seal(path)
    with pytest.raises(torshi.UntrustedError):
        torshi.load(path)
    told = torshi.migrate(path, compress="zstd")
    assert told.seals == ()
    assert told.unsealed
    with pytest.raises(torshi.UntrustedError):
        torshi.load(path)


def test_large_arrays_stay_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "array.pkl"
    value = {"a": np.arange(400_000.0), "b": bytes(3 << 20), "c": bytearray(b"x" * (1 << 20))}
    torshi.save(value, path)
    told = torshi.migrate(path, rename={"nothing.Here": "never.There"})
    assert not told.changed
    torshi.migrate(path, tmp_path / "new.pkl", strip=True)
    mapped = torshi.load(tmp_path / "new.pkl", verify=True)
    assert (mapped["a"] == value["a"]).all()
    assert (mapped["b"], mapped["c"]) == (value["b"], value["c"])
    buffers = torshi.describe(tmp_path / "new.pkl").buffers
    assert [buffer.offset % 64 for buffer in buffers] == [0, 0, 0]
    base = mapped["a"]
    while getattr(base, "base", None) is not None:
        base = base.base
    assert not isinstance(base, (bytes, bytearray))
    with open(tmp_path / "new.pkl", "rb") as file:
        assert (pickle.load(file)["a"] == value["a"]).all()
    assert os.path.getsize(tmp_path / "new.pkl") < os.path.getsize(path) + 1000
    path.write_bytes(pickle.dumps(value, 2))
    torshi.migrate(path, compress="lz4")
    assert (torshi.load(path)["a"] == value["a"]).all()


def test_compression_changes_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "log.pkl"
    value = ["line"] * 10_000
    torshi.save(value, path)
    assert torshi.migrate(path, compress="zstd").changes == ("plain becomes zstd",)
    assert torshi.describe(path).container == "zstd"
    assert not torshi.migrate(path, check=True).changed
    assert torshi.migrate(path, compress=False).to_container == "plain"
    assert torshi.load(path) == value


def test_plain_and_several_pickles(tmp_path: Path) -> None:
    path = tmp_path / "many.pkl"
    path.write_bytes(pickle.dumps([1], 0) + pickle.dumps([2], 2) + pickle.dumps([3], 4))
    with pytest.raises(ValueError, match="3 pickles"):
        torshi.migrate(path)
    told = torshi.migrate(path, plain=True)
    assert (told.pickles, told.protocol) == (3, 0)
    with open(path, "rb") as file:
        assert [pickle.load(file) for _ in range(3)] == [[1], [2], [3]]
        assert file.read() == b""
    path.write_bytes(pickle.dumps([1], 0) + b"<html>")
    with pytest.raises(torshi.MalformedError, match="6 bytes from byte"):
        torshi.migrate(path, plain=True)
    with pytest.raises(ValueError, match="neither seals nor compression"):
        torshi.migrate(path, plain=True, compress="zstd")


def test_nothing_is_written_where_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "data.pkl"
    torshi.save({"a": [1, 2, (3, 4)], "b": {"c": 1.5}}, path)
    before = (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns)
    assert not torshi.migrate(path).written
    assert (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns) == before
    old = tmp_path / "old.pkl"
    old.write_bytes(pickle.dumps([1, 2], 0))
    told = torshi.migrate(old, check=True)
    assert (told.changed, told.written, told.to_size) == (True, False, None)
    assert old.read_bytes() == pickle.dumps([1, 2], 0)


def test_what_cannot_be_migrated_says_why(tmp_path: Path) -> None:
    import joblib

    path = tmp_path / "array.joblib"
    joblib.dump([np.arange(10)], path)
    with pytest.raises(torshi.MalformedError, match="torshi convert"):
        torshi.migrate(path)
    broken = tmp_path / "broken.pkl"
    broken.write_bytes(pickle.dumps([1, 2, 3])[:-4])
    with pytest.raises(torshi.MalformedError):
        torshi.migrate(broken)
    assert len(broken.read_bytes()) == len(pickle.dumps([1, 2, 3])) - 4
    for rename in ({"a": "b"}, {"a.B": "c\nd.E"}, {"a.*": "b.C"}):
        with pytest.raises(ValueError, match="cannot rename"):
            torshi.migrate(broken, rename=rename)
    with pytest.raises(TypeError, match="names or classes"):
        torshi.migrate(broken, rename={"a.B": 7})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="protocol must be 4 or 5"):
        torshi.migrate(broken, protocol=3)


def test_broken_streams_never_get_through() -> None:
    """A stream that stock pickle refuses must not become one that it takes."""
    data = pickle.dumps([{"a": [1, 2.5, "x"], "b": Point(1, 2)}, b"yy", (1, 2)], 2)
    for at in range(len(data)):
        for byte in (0, data[at] ^ 1, 0x28, 0x52, 0x94):
            mutant = data[:at] + bytes([byte]) + data[at + 1 :]
            try:
                new = rewritten(mutant)
            except (torshi.UnpicklingError, ValueError):
                continue
            assert new[:2] == b"\x80\x05"
            torshi.inspect(new)


def test_current_names(tmp_path: Path) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    for file in sorted((Path(__file__).parent / "data" / "renames").glob("pandas-*.pkl")):
        new = tmp_path / file.name
        told = torshi.migrate(file, new, current_names=True)
        assert told.renamed or told.reformed
        loaded = torshi.load(new)
        assert loaded.equals(torshi.load(file))
        assert type(pickle.loads(new.read_bytes())) is type(loaded)
    assert torshi.migrate(new, current_names=True, check=True).renamed == ()


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "old.pkl"
    path.write_bytes(pickle.dumps(Point(1, 2), 2))
    command = ["migrate", "--rename", "typed_models.Point=test_migrate.Plain", str(path)]
    assert main([*command, "--check", "--diff"]) == 1
    out = capsys.readouterr().out
    assert "-GLOBAL     'typed_models Point'" in out
    assert "+SHORT_BINUNICODE 'test_migrate'" in out
    assert f"{path}: would change\n  typed_models.Point becomes test_migrate.Plain\n" in out
    assert main(command) == 0
    assert "migrated" in capsys.readouterr().out
    assert main([*command, "--check"]) == 0
    assert "nothing to change" in capsys.readouterr().out
    assert main(["migrate", "--json", "--check", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["protocol"] == 5
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "a.pickle").write_bytes(pickle.dumps([1], 0))
    (tmp_path / "deep" / "note.txt").write_text("no pickle")
    assert main(["migrate", "--recursive", str(tmp_path / "deep")]) == 0
    assert capsys.readouterr().out.count("migrated") == 1
    assert main(["migrate", str(tmp_path / "absent.pkl"), str(path)]) == 2
    assert main(["migrate", "--rename", "nonsense", str(path)]) == 2
    assert main(["migrate", "-o", str(tmp_path / "x"), str(path), str(path)]) == 2
    assert main(["migrate", "-o", str(tmp_path / "x.pkl"), "--compress", "zstd", str(path)]) == 0
    assert torshi.describe(tmp_path / "x.pkl").container == "zstd"


def test_output_cannot_steer_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "steering.pkl"
    path.write_bytes(b"c\x1b[2Kos\nsys\x07tem\n.")
    main(["migrate", "--check", "--diff", str(path)])
    captured = capsys.readouterr()
    assert not {"\x1b", "\x07"} & set(captured.out + captured.err)


def test_buffers_out_of_band_stay_out(tmp_path: Path) -> None:
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps([pickle.PickleBuffer(b"abc")], 5, buffer_callback=buffers.append)
    assert pickle.loads(rewritten(data), buffers=buffers) == pickle.loads(data, buffers=buffers)
    with pytest.raises(torshi.MalformedError, match="protocol 5 has"):
        rewritten(data, protocol=4)


def test_memo_slots_by_the_hundred() -> None:
    shared = [[n] for n in range(300)]
    value = shared + shared[::-1]
    sparse = b"\x80\x02](" + b"".join(b"]r" + struct.pack("<I", n * 7) for n in range(300))
    sparse += b"".join(b"j" + struct.pack("<I", n * 7) for n in range(300)) + b"e."
    for data in (*(pickle.dumps(value, protocol) for protocol in range(6)), sparse):
        for strip in (False, True):
            loaded = pickle.loads(rewritten(data, strip=strip))
            assert text(loaded) == text(pickle.loads(data))


def test_a_module_that_is_not_there_is_no_matter(tmp_path: Path) -> None:
    """Files of classes that are gone are what a migration is for."""
    gone = types.ModuleType("gone_module")
    gone.Thing = type("Thing", (Plain,), {"__module__": "gone_module"})  # type: ignore[attr-defined]
    sys.modules["gone_module"] = gone
    try:
        data = pickle.dumps(gone.Thing([1, 2]), 2)
    finally:
        del sys.modules["gone_module"]
    path = tmp_path / "gone.pkl"
    path.write_bytes(data)
    torshi.migrate(path, rename={"gone_module.Thing": "test_migrate:Plain"})
    assert torshi.load(path, trust=[Plain]) == Plain([1, 2])
    assert "gone_module" not in sys.modules
