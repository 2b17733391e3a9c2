"""A tour of torshi in the terminal: `make demo`.

Saving and loading, typed loads, arrays and models, speed beside C pickle, and a malicious pickle that is
looked into, refused, and shown not to have run. What is shown after `>>>` is what is run, and what comes of it
is checked besides. Everything happens in a temporary folder.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

import torshi

COLOR = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
BOLD, FAINT, RED, GREEN, BLUE = "1", "2", "31", "32", "34"

# What the shown lines see. Classes must be importable by name to be pickled, so it is this very module.
NAMES = vars(sys.modules[__name__])


@dataclass
class Server:
    host: str
    port: int


@dataclass
class Config:
    name: str
    servers: list[Server]


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return subprocess.getoutput, ("echo 'any command could stand here' > canary.txt",)


def painted(style: str, text: object) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if COLOR else str(text)


def title(text: str) -> None:
    print(f"\n{painted(BOLD, text)}\n{painted(FAINT, '-' * len(text))}")


def say(text: str) -> None:
    print(f"\n{text}\n")


def code(text: str) -> None:
    for number, line in enumerate(text.splitlines()):
        print(painted(FAINT, "... " if number else ">>> ") + painted(BLUE, line))


def session(source: str) -> None:
    """Shows each statement, runs it, and shows what comes of it, as the interactive interpreter does."""
    for statement in ast.parse(inspect.cleandoc(source)).body:
        code(ast.get_source_segment(inspect.cleandoc(source), statement) or "")
        try:
            exec(compile(ast.Interactive([statement]), "<demo>", "single"), NAMES)
        except torshi.UnpicklingError as error:
            NAMES["refusal"] = error
            print(painted(RED, f"{type(error).__module__}.{type(error).__name__}: {error}"))


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


def save_and_load() -> None:
    title("1. Save an object, load it again")
    session("""
        import torshi
        student = {"name": "John Doe", "age": 30, "courses": ["Math", "Science"]}
        with open("data.pkl", "wb") as file:
            torshi.dump(student, file)
        with open("data.pkl", "rb") as file:
            torshi.load(file)
    """)
    say("The file is a pickle, so Python's own module reads it too, and the other way round:")
    session("""
        import pickle
        with open("data.pkl", "rb") as file:
            pickle.load(file)
        torshi.loads(pickle.dumps(student)) == student
    """)
    data = Path("data.pkl").read_bytes()
    assert data == pickle.dumps(NAMES["student"], 5)
    assert torshi.loads(data) == pickle.loads(data) == NAMES["student"]


def typed() -> None:
    title("2. Say which type you expect")
    code(inspect.getsource(Server).rstrip())
    code(inspect.getsource(Config).rstrip())
    say("The type is what the load may build, and what the result is checked against:")
    session("""
        data = torshi.dumps(Config("web", [Server("a.example", 80), Server("b.example", 443)]))
        config = torshi.loads(data, Config)
        config.servers[1].port
    """)
    say("Here someone stored a port as text:")
    session("""
        config.servers[1].port = "443"
        torshi.loads(torshi.dumps(config), Config)
    """)
    assert isinstance(NAMES.get("refusal"), torshi.ValidationError)


def science() -> None:
    title("3. Arrays and models")
    print("numpy arrays load as they are:\n")
    rows = np.random.default_rng(0).normal(size=(1000, 4))
    NAMES.update(rows=rows, model=LogisticRegression().fit(rows, rows.sum(axis=1) > 0), np=np)
    session("""
        rows.shape, rows.dtype
        np.array_equal(torshi.loads(torshi.dumps(rows)), rows)
    """)
    say("So do scikit-learn's models: what their compiled code believes was checked before it got there.")
    session("""
        model
        data = torshi.dumps(model)
        again = torshi.loads(data)
        np.array_equal(again.predict(rows), model.predict(rows))
    """)
    assert np.array_equal(NAMES["again"].predict(rows), NAMES["model"].predict(rows))


def best(functions: list[Callable[[], object]], rounds: int = 10) -> list[float]:
    """The shortest time of each, measured in turn so that all meet the same machine."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for spent, function in zip(times, functions, strict=True):
            start = time.perf_counter()
            result = function()
            spent.append(time.perf_counter() - start)
            del result
    return [min(spent) for spent in times]


def speed() -> None:
    title("4. Speed beside Python's own pickle, written in C")
    documents = [{"id": i, "name": f"user {i}", "tags": ["a", "b"], "score": i / 7} for i in range(20_000)]
    workloads: list[tuple[str, Any, Any]] = [
        ("20 000 documents", documents, None),
        ("20 000 dataclasses", [Server(f"h{i}", i) for i in range(20_000)], [Server]),
        ("200 000 strings", [f"text number {i}" for i in range(200_000)], None),
        ("200 000 floats", [i / 3 for i in range(200_000)], None),
        ("array of 8 MB", np.arange(1_000_000, dtype="f8"), None),
    ]
    print("Measured just now; over 1 means that torshi is faster. pickle's loads check nothing, torshi's all.\n")
    print(
        f"{'':<20} {'dumps: pickle':>14} {'torshi':>9} {'ratio':>7}   {'loads: pickle':>14} {'torshi':>9} {'ratio':>7}"
    )
    for name, value, trust in workloads:
        data = pickle.dumps(value, 5)
        assert torshi.dumps(value, 5) == data
        line = f"{name:<20}"
        for stock, ours in (
            best([lambda v=value: pickle.dumps(v, 5), lambda v=value: torshi.dumps(v, 5)]),
            best([lambda d=data: pickle.loads(d), lambda d=data, t=trust: torshi.loads(d, trust=t)]),
        ):
            ratio = painted(GREEN if stock > ours else "0", f"{stock / ours:6.2f}x")
            line += f" {stock * 1e3:11.2f} ms {ours * 1e3:6.2f} ms {ratio}  "
        print(line.rstrip())


def attack(folder: Path) -> None:
    title("5. A malicious pickle")
    code(inspect.getsource(Trap).rstrip())
    say("Stock pickle runs that command when the file is loaded. torshi looks into the file without loading it:")
    canary = folder / "canary.txt"
    session("""
        with open("evil.pkl", "wb") as file:
            pickle.dump(Trap(), file)
        print(torshi.inspect("evil.pkl"))
    """)
    say("Looking ran none of it. Loading it with torshi, in an interpreter of its own:")
    refused = fresh(
        "import sys, torshi\n"
        "try:\n    torshi.load('evil.pkl')\n"
        "except torshi.UntrustedError as error:\n    print(error)\n"
        "print('subprocess' in sys.modules)\n"
    )
    message, imported = refused.splitlines()
    code("torshi.load('evil.pkl')")
    print(painted(RED, f"torshi.UntrustedError: {message}"))
    code("'subprocess' in sys.modules, os.path.exists('canary.txt')    # was it imported? did the command run?")
    print(painted(GREEN, (imported == "True", canary.exists())))
    assert imported == "False"
    assert not canary.exists()
    say("The same with stock pickle:")
    fresh("import pickle; pickle.load(open('evil.pkl', 'rb'))")
    code("pickle.load(open('evil.pkl', 'rb'))")
    code("open('canary.txt').read()")
    print(painted(RED, repr(canary.read_text())))
    assert canary.exists()


def fresh(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def main() -> None:
    print(f"torshi {torshi.__version__}, Python {sys.version.split()[0]}")
    with temporary_folder() as folder:
        save_and_load()
        typed()
        science()
        speed()
        attack(folder)
    print(f"\n{painted(GREEN, 'Everything above was checked while it was shown.')}")


if __name__ == "__main__":
    main()
