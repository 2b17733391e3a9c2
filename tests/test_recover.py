"""Files that break off or are damaged: all that is whole comes back, nothing that nobody wrote does.

If these failed, what could be saved would be lost, or made up, or a stranger's broken file would do what a whole one
may not.
"""

from __future__ import annotations

import io
import json
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import torshi
from torshi.cli import main
from typed_models import Point


def record(n: int) -> dict[str, Any]:
    return {
        "id": n,
        "name": f"user {n}",
        "tags": ["a", f"t{n}"],
        "place": (1.0, n),
        "deep": {"n": [n] * 5, "none": None},
    }


RECORDS = [record(n) for n in range(60)]


@pytest.mark.parametrize("protocol", range(6))
def test_every_cut_of_a_list_gives_its_whole_records(protocol: int) -> None:
    data = pickle.dumps(RECORDS, protocol)
    ends = [len(pickle.dumps(RECORDS[:n], protocol)) for n in range(61)]
    last = 0
    for cut in range(len(data)):
        try:
            told = torshi.recover(data[:cut])
        except torshi.MalformedError:
            assert cut < ends[2]
            continue
        if not isinstance(told.value, list):
            assert cut < ends[2]
            continue
        assert told.value == RECORDS[: len(told.value)], cut
        assert len(told.value) >= last
        last = len(told.value)
        # Ends of shorter lists stand somewhat later, since headers and ends are in them too.
        assert last + 3 >= sum(end <= cut for end in ends) - 1, cut
        assert not told.whole
        assert told.fault
    assert last >= 59


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("shape", ["items", "by id", "within", "deep", "tuples", "numbers", "points"])
def test_nothing_is_made_up(protocol: int, shape: str) -> None:
    """Every value that comes back must be one that was there, at its place."""
    values: dict[str, Any] = {
        "items": [("a", n, {"x": n}) for n in range(40)],
        "by id": {f"user {n}": record(n) for n in range(30)},
        "within": {"version": 3, "meta": {"by": "me", "of": [1, 2]}, "records": RECORDS[:20], "end": "x"},
        "deep": {"a": {"b": {"c": [record(n) for n in range(20)]}}},
        "tuples": {n: (n, (n + 1, n + 2), "x") for n in range(60)},
        "numbers": list(range(3000)),
        "points": [Point(n, -n) for n in range(50)],
    }
    value = values[shape]
    data = pickle.dumps(value, protocol)
    whole = 0
    for cut in range(0, len(data), max(1, len(data) // 400)):
        try:
            told = torshi.recover(data[:cut], trust=[Point])
        except torshi.MalformedError:
            continue
        if told.notes:
            continue  # what is given by itself, and said to be
        assert is_part(told.value, value), (cut, told)
        whole += 1
    assert whole > 100


def is_part(part: Any, whole: Any) -> bool:
    """Whether a value is another one with an end missing from its containers."""
    if part == whole and type(part) is type(whole):
        return True
    if isinstance(part, list) and isinstance(whole, list):
        pairs = zip(part, whole, strict=False)
        return (
            len(part) <= len(whole)
            and all(one == other for one, other in list(pairs)[:-1])
            and (not part or is_part(part[-1], whole[len(part) - 1]))
        )
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and is_part(item, whole[key]) for key, item in part.items())
    return False


def test_long_lists_keep_the_items_of_a_batch_that_breaks_off() -> None:
    data = pickle.dumps(list(range(5000)), 5)
    told = torshi.recover(data[: len(data) // 2])
    assert told.value == list(range(len(told.value)))
    assert len(told.value) > 2300
    assert told.kept == (("$", len(told.value)),)
    assert len(torshi.recover(data[:-1]).value) == 5000


def test_incomplete_containers_are_kept_or_dropped_as_asked() -> None:
    data = pickle.dumps({"n": 7, "rows": [[n, n, n, n, n] for n in range(10)]}, 4)[:-12]
    assert torshi.recover(data).value == {"n": 7, "rows": [[n] * 5 for n in range(9)]}
    assert torshi.recover(data, incomplete="drop").value == {"n": 7}
    kept = torshi.recover(data, incomplete="keep")
    assert [len(row) for row in kept.value["rows"]][:9] == [5] * 9
    assert [path for path, _ in kept.kept][:2] == ["$", "$.rows"]
    with pytest.raises(ValueError, match="usual, drop or keep"):
        torshi.recover(data, incomplete="all")  # type: ignore[arg-type]


def test_the_policy_holds(tmp_path: Path) -> None:
    """A broken file must not get what a whole one would not."""
    canary = tmp_path / "canary"
    evil = b"\x80\x04](" + f"cposix\nsystem\n(S'touch {canary}'\ntR".encode() * 6 + b"K\x01"
    for incomplete in ("usual", "keep", "drop"):
        with pytest.raises(torshi.UntrustedError, match=r"posix\.system"):
            torshi.recover(evil, incomplete=incomplete)  # type: ignore[arg-type]
    assert not canary.exists()
    with pytest.raises(torshi.UntrustedError):
        torshi.recover(pickle.dumps([Point(n, n) for n in range(9)])[:-20])


def test_a_whole_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "data.pkl"
    torshi.save(RECORDS, path, key=False)
    told = torshi.recover(path)
    assert (told.whole, told.value, told.fault, told.notes, told.pickles) == (True, RECORDS, None, (), 1)
    assert torshi.recover(io.BytesIO(pickle.dumps([1]))).value == [1]


def test_damage_in_the_middle_and_at_the_end_of_a_saved_file(tmp_path: Path) -> None:
    path = tmp_path / "data.pkl"
    torshi.save(RECORDS, path, key=False)
    data = bytearray(path.read_bytes())
    at = data.index(b"user 30")
    data[at - 2 : at] = b"\xff\xff"
    path.write_bytes(data)
    told = torshi.recover(path)
    assert told.value == RECORDS[:30]
    assert any("not as it was written" in note for note in told.notes)
    assert told.dropped == "$[30]"
    data = bytearray((tmp_path / "data.pkl").read_bytes())
    data[at - 2 : at] = b"\x8c\x07"
    data[at] ^= 1
    path.write_bytes(data)
    changed = torshi.recover(path)
    assert not changed.whole
    assert changed.fault is None
    assert any("digest" in note for note in changed.notes)
    torshi.save(RECORDS, path, key=False)
    for cut in (1, 50, 97, 300, 1000):
        told = torshi.recover(path.read_bytes()[:-cut])
        assert not told.whole or cut > 900 or told.value == RECORDS
        assert told.value == RECORDS[: len(told.value)]


@pytest.mark.parametrize("container", ["zstd", "lz4", "gzip"])
def test_compressed_files_that_break_off(tmp_path: Path, container: str) -> None:
    path = tmp_path / "data.pkl"
    rng = random.Random(1)
    # lz4 has blocks of 4 MB, of which a cut one gives nothing.
    value = [{"id": n, "noise": rng.randbytes(2000)} for n in range(6000 if container == "lz4" else 1000)]
    torshi.save(value, path, compress=container, key=False)
    told = torshi.recover(path.read_bytes()[: path.stat().st_size // 2])
    assert told.value == value[: len(told.value)]
    assert len(told.value) > 0.3 * len(value)
    assert any(container in note for note in told.notes)
    small = torshi.recover(path.read_bytes()[: path.stat().st_size // 2], limits=torshi.Limits(stream=2_200_000))
    assert 100 < len(small.value) <= len(told.value)


def test_pickles_in_a_row() -> None:
    data = b"".join(pickle.dumps(record(n)) for n in range(5)) + pickle.dumps(RECORDS)[:2000]
    told = torshi.recover(data)
    assert told.pickles == 6
    assert told.value[:5] == RECORDS[:5]
    assert told.value[5] == RECORDS[: len(told.value[5])]


def test_instances_and_arrays() -> None:
    value = [{"p": Point(n, n), "a": np.arange(5) + n} for n in range(40)]
    for protocol in (2, 4, 5):
        data = pickle.dumps(value, protocol)
        told = torshi.recover(data[: len(data) // 2], trust=[Point])
        assert len(told.value) >= 15
        for one, other in zip(told.value, value, strict=False):
            assert one["p"] == other["p"]
            assert (one["a"] == other["a"]).all()
    state = torshi.recover(pickle.dumps(Point(list(range(500)), 2), 4)[:-40], trust=[Point])
    assert state.value["x"] == list(range(len(state.value["x"])))
    assert "by itself" in state.notes[0]


def test_nothing_to_recover() -> None:
    for data in (b"", b"<html>", b"\x80\x04", b"cposix\nsystem\n"):
        with pytest.raises(torshi.MalformedError, match="nothing could be recovered"):
            torshi.recover(data)


def test_mutants_end_one_way_or_the_other() -> None:
    rng = random.Random(7)
    data = pickle.dumps(RECORDS[:10], 4)
    for _ in range(2000):
        mutant = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            mutant[rng.randrange(len(data))] = rng.randrange(256)
        try:
            torshi.recover(bytes(mutant))
        except (torshi.UnpicklingError, ValueError, TypeError):
            continue


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, rest = tmp_path / "broken.pkl", tmp_path / "rest.pkl"
    path.write_bytes(pickle.dumps(RECORDS)[:3000])
    assert main(["recover", str(path), "-o", str(rest)]) == 1
    out = capsys.readouterr().out
    saved = torshi.load(rest)
    assert saved == RECORDS[: len(saved)]
    assert f"{path}: " in out
    assert f"kept      $, {len(saved)} items" in out
    assert f"left out  $[{len(saved)}]" in out
    assert main(["recover", "--json", str(path)]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["kept"] == [{"path": "$", "items": len(saved)}]
    assert torshi.seal(rest, key="local")
    assert main(["recover", str(rest)]) == 0
    assert capsys.readouterr().out == f"{rest}: whole\n"
    path.write_bytes(b"<html>")
    assert main(["recover", str(path)]) == 2
    assert main(["recover", str(tmp_path / "absent")]) == 2


def test_what_is_recovered_is_nobodys(tmp_path: Path) -> None:
    """Recovering a stranger's file with one's own key at hand must not vouch for it."""
    path, rest = tmp_path / "own.pkl", tmp_path / "rest.pkl"
    torshi.save([Point(n, n) for n in range(20)], path)
    path.write_bytes(path.read_bytes()[:300])
    main(["recover", str(path), "-o", str(rest)])
    with pytest.raises(torshi.UntrustedError):
        torshi.load(rest)
    assert torshi.load(rest, trust=[Point])[0] == Point(0, 0)
