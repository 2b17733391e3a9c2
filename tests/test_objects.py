"""Scanning object stores, here and on a Dask cluster.

If these failed, a large scan would skip objects, judge them otherwise than a scan of local files, or start from the
beginning after every interruption.
"""

from __future__ import annotations

import gzip
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import torshi
from stores import BUCKET, s3_server
from torshi._ledger import open_ledger
from torshi.cli import main
from typed_models import Point

pytest.importorskip("obstore", reason="obstore is not installed")

EVIL = b"cposix\nsystem\n(S'true'\ntR."
COUNT = 1000
SEVEN_ZIP = b"7z\xbc\xaf\x27\x1c\0\x04"  # nothing here opens these


def contents(number: int) -> bytes:
    """An object of one of several kinds; each has its own bytes."""
    value = {"number": number, "text": "x" * (number % 50)}
    match number % 10:
        case 0:
            return pickle.dumps(Point(number, number))
        case 1:
            return gzip.compress(pickle.dumps(value), mtime=0)
        case 2:
            return EVIL + bytes([number % 256])
        case 3:
            return b"just text %d" % number
        case 4:
            return SEVEN_ZIP + pickle.dumps(value)
        case _:
            return pickle.dumps(value, number % 6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The objects as files."""
    root = tmp_path_factory.mktemp("objects")
    for number in range(COUNT):
        path = root / f"part {number % 7}" / f"{number}.pkl"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(contents(number))
    return root


@pytest.fixture(scope="module")
def s3(folder: Path) -> Iterator[str]:
    """An S3-compatible server with the same objects; its URL is in the environment, as a user would have it."""
    import obstore
    from obstore.store import from_url

    with s3_server():
        store = from_url(f"s3://{BUCKET}", client_options={"allow_http": True})
        for path in sorted(folder.rglob("*.pkl")):
            obstore.put(store, path.relative_to(folder).as_posix(), path.read_bytes())
        yield f"s3://{BUCKET}"


@pytest.fixture(scope="module")
def cluster(s3: str) -> Iterator[str]:
    """The address of a Dask scheduler with two workers in processes of their own."""
    pytest.importorskip("distributed", reason="Dask's distributed is not installed")
    script = (
        "from distributed import LocalCluster\nimport time\n"
        "if __name__ == '__main__':\n"
        "    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)\n"
        "    print(cluster.scheduler_address, flush=True)\n    time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().decode().strip()
        assert address.startswith("tcp://")
        yield address
    finally:
        os.killpg(process.pid, 9)  # the workers are in its session
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def local(folder: Path, prefix: str = f"s3://{BUCKET}") -> dict[str, torshi.FileResult]:
    """What a scan of the files says, under the names of the objects."""
    found = {}
    for result in torshi.scan(folder):
        name = f"{prefix}/{Path(result.path).relative_to(folder).as_posix()}"
        found[name] = replace(result, path=name)
    assert len(found) == COUNT
    return found


def by_path(results: Iterator[torshi.ObjectResult]) -> dict[str, torshi.FileResult]:
    every = list(results)
    found = {each.result.path: each.result for each in every}
    assert len(found) == len(every), "an object was scanned twice"
    return found


def test_the_objects_are_of_all_kinds(folder: Path) -> None:
    """If not, equal results prove little."""
    verdicts = [result.verdict for result in local(folder).values()]
    assert {verdict: verdicts.count(verdict) > 50 for verdict in verdicts} == {
        "no findings": True,
        "findings": True,
        "undecided": True,
    }


def test_a_thousand_objects_on_a_cluster_are_judged_as_files_are(folder: Path, s3: str, cluster: str) -> None:
    assert by_path(torshi.scan_objects(s3, dask=cluster)) == local(folder)


def test_threads_say_the_same(folder: Path, s3: str) -> None:
    assert by_path(torshi.scan_objects(s3, jobs=2)) == local(folder)


def test_policies_reach_the_workers(s3: str, cluster: str) -> None:
    url = f"{s3}/part 0/0.pkl"
    for dask in (None, cluster):
        (plain,) = torshi.scan_objects(url, dask=dask)
        (trusting,) = torshi.scan_objects(url, trust=[Point], dask=dask)
        assert (plain.result.verdict, trusting.result.verdict) == ("findings", "no findings")
        assert plain.basis != trusting.basis
        assert plain.result.path == url


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_client_is_taken_too_and_left_open(s3: str, cluster: str) -> None:
    from distributed import Client

    with Client(cluster) as client:
        assert len(list(torshi.scan_objects(f"{s3}/part 1", dask=client))) == len(range(1, COUNT, 7))
        assert client.status == "running"


def test_urls_are_prefixes_objects_and_patterns(folder: Path, s3: str) -> None:
    def count(url: str) -> int:
        return len(list(torshi.scan_objects(url)))

    for root in (s3, folder.as_uri()):
        assert count(f"{root}/part*1/1.pkl".replace(" ", "?")) == 1
    assert count(f"{s3}/part 3/") == count(f"{s3}/part 3") == len(range(3, COUNT, 7))
    assert count(f"{s3}/part 3/3.pkl") == 1
    assert count(f"{s3}/*/1?.pkl") == 10
    for absent in (f"{s3}/nothing", f"{s3}/*.nothing", f"{s3}/part 3/nothing.pkl"):
        with pytest.raises(FileNotFoundError, match="no object there"):
            count(absent)
    with pytest.raises(OSError, match="absent-bucket"):
        count("s3://absent-bucket/x")
    with pytest.raises(ValueError, match="nothing to find"):
        list(torshi.scan_objects(s3, policy=torshi.unrestricted("a test")))


def test_folders_are_stores_too(folder: Path) -> None:
    found = by_path(torshi.scan_objects(folder.as_uri()))
    assert found == local(folder, folder.as_uri())


@pytest.mark.parametrize("name", ["results.jsonl", "results.parquet"])
def test_a_ledger_is_taken_up_where_it_was_left(name: str, folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "objects"
    root.mkdir()
    for number in range(30):
        (root / f"{number}.pkl").write_bytes(contents(number))
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    path = tmp_path / name

    def run(stop: int | None = None, trust: Any = None) -> int:
        done = 0
        with open_ledger(path) as ledger:
            for result in torshi.scan_objects(root.as_uri(), known=ledger.known, trust=trust):
                ledger.add(result)
                done += 1
                if done == stop:
                    break
        return done

    assert run(stop=10) == 10
    if name.endswith(".jsonl"):
        with open(path, "ab") as file:
            file.write(b'{"path": "half a li')
    assert run() == 20
    assert run() == 0
    (root / "5.pkl").write_bytes(contents(6) + b"changed")
    (root / "new.pkl").write_bytes(EVIL)
    assert run() == 2
    assert run(trust=[Point]) == 31, "another policy is another scan"
    records = read_ledger(path)
    assert len(records) == 30 + 2 + 31
    latest = {record["path"]: record for record in records}
    assert {torshi.ObjectResult.from_record(record).result for record in latest.values()} == {
        result.result for result in torshi.scan_objects(root.as_uri(), trust=[Point])
    }


def read_ledger(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        import pyarrow.parquet

        rows = []
        for part in sorted(path.glob("*.parquet")):
            rows += pyarrow.parquet.read_table(part).to_pylist()
        return rows
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_is_no_ledger_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.jsonl").write_text("my notes\n")
    (tmp_path / "file.parquet").write_text("no folder")
    for name in ("notes.jsonl", "file.parquet"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(ValueError, match=r"give another file|folder of parts"):
            open_ledger(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before


def test_what_cannot_be_read_is_undecided_and_tried_again(tmp_path: Path) -> None:
    root = tmp_path / "objects"
    root.mkdir()
    (root / "good.pkl").write_bytes(pickle.dumps(1))
    (root / "gone.pkl").write_bytes(pickle.dumps(2))

    def lose(_: int) -> None:
        (root / "gone.pkl").unlink(missing_ok=True)

    with open_ledger(tmp_path / "results.jsonl") as ledger:
        for result in torshi.scan_objects(root.as_uri(), known=ledger.known, listed=lose):
            ledger.add(result)
    records = {Path(record["path"]).name: record for record in read_ledger(tmp_path / "results.jsonl")}
    assert records["good.pkl"]["verdict"] == "no findings"
    assert records["gone.pkl"]["verdict"] == "undecided"
    assert "not readable" in records["gone.pkl"]["reason"]
    (root / "gone.pkl").write_bytes(pickle.dumps(2))
    with open_ledger(tmp_path / "results.jsonl") as ledger:
        again = list(torshi.scan_objects(root.as_uri(), known=ledger.known))
    assert [Path(result.result.path).name for result in again] == ["gone.pkl"]


def test_objects_over_the_limit_are_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "big.pkl").write_bytes(pickle.dumps("x" * 1000))
    (found,) = torshi.scan_objects(tmp_path.as_uri(), limits=torshi.ScanLimits(file=100))
    assert (found.result.verdict, found.failed) == ("undecided", False)
    assert "more than the limit file=100" in found.result.reason


def test_the_command_scans_on_a_cluster_and_resumes(
    s3: str, cluster: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "results.jsonl"
    command = ["scan", f"{s3}/part 2", "--dask", cluster, "-o", str(output), "--no-progress", "--jsonl"]
    expected = len(range(2, COUNT, 7))
    assert main(command) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == len(read_ledger(output)) == expected
    assert main(command) == 0
    assert capsys.readouterr().out == ""
    assert len(read_ledger(output)) == expected


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.jsonl").write_text("my notes\n")
    (tmp_path / "good.pkl").write_bytes(pickle.dumps(1))
    assert main(["scan", f"{tmp_path.as_uri()}/absent.pkl"]) == 2
    assert "no object there" in capsys.readouterr().err
    assert main(["scan", str(tmp_path / "good.pkl"), "-o", str(tmp_path / "notes.jsonl")]) == 2
    assert "no result of a scan" in capsys.readouterr().err
    assert main(["scan", str(tmp_path / "good.pkl"), "-o", str(tmp_path / "new.jsonl")]) == 0
    assert len(read_ledger(tmp_path / "new.jsonl")) == 1
    with pytest.raises(SystemExit):
        main(["scan", "s3://bucket", "--store-option", "nothing"])
