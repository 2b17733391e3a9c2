"""A tour of torshi in the terminal: `make demo`.

Round trips, typed loads, arrays and models, speed beside C pickle, and a malicious pickle that is shown,
refused, and proven not to have run. Everything happens in a temporary folder.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

import torshi


@dataclass
class Server:
    host: str
    port: int


@dataclass
class Config:
    name: str
    servers: list[Server] = field(default_factory=list)


def title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def indented(text: object) -> None:
    for line in str(text).splitlines():
        print(f"    {line}")


def round_trip(folder: Path) -> None:
    title("1. Pickling and unpickling")
    student = {"name": "John Doe", "age": 30, "courses": ["Math", "Science"]}
    path = folder / "data.pkl"
    with open(path, "wb") as file:
        torshi.dump(student, file)
    print(f"torshi.dump   {student}")
    print(f"              -> data.pkl, {path.stat().st_size} bytes")
    with open(path, "rb") as file:
        again = torshi.load(file)
    print(f"torshi.load   {again}")
    with open(path, "rb") as file:
        stock = pickle.load(file)
    print(f"pickle.load   {stock}   (stock pickle reads the same file)")
    assert again == stock == student
    assert torshi.loads(pickle.dumps(student)) == student
    print("equal, and torshi reads what stock pickle writes")


def typed(folder: Path) -> None:
    title("2. The type you expect is the policy")
    config = Config("web", [Server("a.example", 80), Server("b.example", 443)])
    data = torshi.dumps(config)
    print("torshi.loads(data, Config)")
    again = torshi.loads(data, Config)
    assert again == config
    indented(again)
    config.servers[1].port = "443"  # type: ignore[assignment]
    print("the same with a port that is text:")
    try:
        torshi.loads(torshi.dumps(config), Config)
    except torshi.ValidationError as error:
        indented(f"ValidationError: {error}")
    else:
        raise AssertionError("a wrong type came through")


def science(folder: Path) -> None:
    title("3. Arrays and models")
    array = np.random.default_rng(0).normal(size=(1000, 100))
    again = torshi.loads(torshi.dumps(array, 5))
    assert np.array_equal(array, again)
    print(f"numpy array {array.shape}, {array.dtype}: equal after a round trip under the default policy")
    features = array[:, :4]
    labels = features.sum(axis=1) > 0
    model = LogisticRegression().fit(features, labels)
    loaded = torshi.loads(torshi.dumps(model, 5), trust=["sklearn.*"])
    assert np.array_equal(loaded.predict(features), model.predict(features))
    print(f"scikit-learn {model}: same {len(labels)} predictions after a round trip, trust=['sklearn.*']")


def best(function: Callable[[], object], other: Callable[[], object], rounds: int = 15) -> tuple[float, float]:
    """The shortest time of each, measured in turn so that both meet the same machine."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for spent, timed in zip(times, (function, other), strict=True):
            start = time.perf_counter()
            timed()
            spent.append(time.perf_counter() - start)
    return min(times[0]), min(times[1])


def speed(folder: Path) -> None:
    title("4. Speed beside C pickle (protocol 5; over 1 means torshi is faster)")
    documents = [
        {
            "id": i,
            "name": f"user {i}",
            "tags": ["a", "b"],
            "score": i / 7,
            "address": {"zip": str(i % 100), "street": "Main"},
        }
        for i in range(20_000)
    ]
    workloads: list[tuple[str, Any, Any]] = [
        ("20 000 documents", documents, None),
        ("20 000 dataclasses", [Server(f"h{i}", i) for i in range(20_000)], [Server]),
        ("200 000 strings", [f"text number {i}" for i in range(200_000)], None),
        ("array of 8 MB", np.arange(1_000_000, dtype="f8"), None),
    ]
    print(f"{'':<20} {'dumps':>18} {'checked loads':>20}")
    for name, value, trust in workloads:
        data = pickle.dumps(value, 5)
        stock_out, ours_out = best(lambda v=value: pickle.dumps(v, 5), lambda v=value: torshi.dumps(v, 5))
        stock_in, ours_in = best(lambda d=data: pickle.loads(d), lambda d=data, t=trust: torshi.loads(d, trust=t))
        print(
            f"{name:<20} {ours_out * 1e3:7.2f} ms {stock_out / ours_out:6.2f}x"
            f"   {ours_in * 1e3:7.2f} ms {stock_in / ours_in:6.2f}x"
        )


def attack(folder: Path) -> None:
    title("5. A malicious pickle")
    canary = folder / "canary"
    # Calls timeit.timeit("pass", <code that creates a file>): any code could stand there.
    code = f"open({str(canary)!r}, 'w').close()"
    evil = b"ctimeit\ntimeit\n(Vpass\nV" + code.encode() + b"\ntR."
    path = folder / "evil.pkl"
    path.write_bytes(evil)

    print("what is inside (torshi.inspect):")
    indented(torshi.inspect(path))

    print("\ntorshi.loads refuses it:")
    try:
        torshi.loads(evil)
    except torshi.UntrustedError as error:
        indented(f"UntrustedError: {error}")
    else:
        raise AssertionError("the malicious pickle was loaded")
    assert not canary.exists()

    print("\nin a fresh interpreter:")
    refused = fresh(
        "import sys, torshi\n"
        "try:\n    torshi.loads(open(sys.argv[1], 'rb').read())\n"
        "except torshi.UntrustedError:\n    print('refused; timeit imported:', 'timeit' in sys.modules)\n",
        path,
    )
    print(f"    torshi  {refused}; canary created: {canary.exists()}")
    assert refused == "refused; timeit imported: False"
    assert not canary.exists()
    ran = fresh("import sys, pickle; pickle.load(open(sys.argv[1], 'rb')); print('loaded')", path)
    print(f"    pickle  {ran}; canary created: {canary.exists()}")
    assert canary.exists()


def fresh(code: str, path: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def main() -> None:
    print(f"torshi {torshi.__version__}, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as name:
        for part in (round_trip, typed, science, speed, attack):
            part(Path(name))
    print("\nEverything above was checked while it was shown.")


if __name__ == "__main__":
    main()
