"""What making the very objects of a load costs, without reading a stream: how far a loader could get.

For the workloads where checked loads are near C pickle: what the standard library offers, in C, that makes equal new
objects from what is laid ready. No loader that makes Python objects can take less time than making them; the nearest
such call is no exact floor, though, and each says what it does too much and what it leaves out. In turn, in one
process, with the loads of C pickle, torshi and marshal (which keeps no memo); processor time, the shortest counts.
Each floor is compared with the value first: it must have made an equal one. Then a load of None: what any call costs.
Last, dumps beside other writers, one of them with and without remembering what it has met, as pickle has to.

Examples:
  floors.py
  floors.py --only dict --rounds 30
"""

from __future__ import annotations

import argparse
import array
import contextlib
import io
import itertools
import json
import marshal
import operator
import pickle
import pickletools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import large
import machine
import torshi
from timing import interleaved, shown
from workloads import Workload, documents, message


@dataclass(frozen=True)
class Floor:
    """The nearest thing to making a value and no more.

    Attributes:
        ready: what is laid ready, from the value.
        make: makes an equal value out of it.
        what: the call, for people.
        more: what it does beyond making the objects.
        less: what of making them it leaves out.
    """

    ready: Callable[[Any], Any]
    make: Callable[[Any], Any]
    what: str
    more: str
    less: str


class Said(NamedTuple):
    """What a way of doing it does too much, and what it leaves out."""

    more: str
    less: str


def _pairs(value: dict[str, int]) -> tuple[str, array.array[int]]:
    return "\n".join(value), array.array("q", value.values())


def _references(value: list[Any]) -> tuple[bytes, Callable[[Any], Any]]:
    pool = list({id(item): item for item in value}.values())
    places = {id(item): place for place, item in enumerate(pool)}
    return marshal.dumps(pool), operator.itemgetter(*(places[id(item)] for item in value))


def _slices(value: list[bytes]) -> tuple[bytes, list[slice]]:
    ends = itertools.accumulate(map(len, value), initial=0)
    return b"".join(value), list(itertools.starmap(slice, itertools.pairwise(ends)))


class _Constructors(pickle._Unpickler):
    """The calls and the states of a stream, as it asks for them of numpy, pandas and scikit-learn."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def load_reduce(self) -> None:
        self.calls.append((self.stack[-2], self.stack[-1]))
        super().load_reduce()

    def load_build(self) -> None:
        state, setter = self.stack[-1], getattr(self.stack[-2], "__setstate__", None)
        if setter is not None:
            self.calls.append((setter, (dict(state) if isinstance(state, dict) else state,)))
        super().load_build()

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.BUILD[0]] = load_build


def _calls(value: Any) -> tuple[list[tuple[Callable[..., Any], tuple[Any, ...]]], Any]:
    unpickler = _Constructors(pickle.dumps(value, 5))
    made = unpickler.load()
    return unpickler.calls, made


def _call_again(ready: tuple[list[tuple[Callable[..., Any], tuple[Any, ...]]], Any]) -> Any:
    for call, arguments in ready[0]:
        # Some empty the dict that is their state.
        call(*(dict(part) if isinstance(part, dict) else part for part in arguments))
    return ready[1]


def _same(left: Any, right: Any) -> bool:
    if hasattr(left, "equals"):  # a frame, whose stream also says what it has cached
        return bool(left.equals(right))
    # Loaded once more: what is made at first may share texts with the program, and so have other memo reads.
    left, right = (pickle.loads(pickle.dumps(value, 5)) for value in (left, right))
    return pickle.dumps(left, 5) == pickle.dumps(right, 5)


def _payloads(value: Any) -> tuple[list[bytes], Any]:
    data = pickle.dumps(value, 5)
    large = (
        part for _, part, _ in pickletools.genops(data) if isinstance(part, bytes | bytearray) and len(part) >= 4096
    )
    return list(map(bytes, large)), value


def _copy_again(ready: tuple[list[bytes], Any]) -> Any:
    copies = list(map(bytearray, ready[0]))
    return ready[1] if copies else None


COPIES = Floor(
    _payloads, _copy_again, "the payloads of arrays, copied", "nothing", "everything but one copy of the arrays' bytes"
)
CONSTRUCTORS = Floor(
    _calls,
    _call_again,
    "the calls and states of the stream, arguments ready",
    "a loop in Python",
    "reading, copying arrays out of the stream, plain objects and their attributes",
)


def _column(value: Any) -> tuple[bytes, Any]:
    mixed = [list(value[name]) for name in value.columns if value[name].dtype == object]
    return marshal.dumps(mixed), value


def _make_column(ready: tuple[bytes, Any]) -> Any:
    return ready[1] if marshal.loads(ready[0]) else None


def _nodes(value: Any) -> tuple[list[Any], Any]:
    return [tree.tree_.__getstate__()["nodes"]["left_child"] for tree in value.estimators_], value


def _look_at_nodes(ready: tuple[list[Any], Any]) -> Any:
    return ready[1] if max(int(column.max()) for column in ready[0]) else None


COLUMN = Floor(
    _column, _make_column, "marshal.loads(the column of objects)", "nothing", "everything but that column's objects"
)
LOOK = Floor(
    _nodes,
    _look_at_nodes,
    "the nodes of the trees, each looked at once",
    "a call of numpy for each tree",
    "everything else: compiled code follows children, so no check can be without it",
)

FLOORS: list[tuple[Workload, list[Floor]]] = [
    (
        Workload("ints_1m", large.ints),
        [
            Floor(
                lambda value: array.array("q", value),
                lambda ready: ready.tolist(),
                "array('q').tolist()",
                "nothing",
                "nothing but the growth of the list",
            )
        ],
    ),
    (
        Workload("floats_1m", large.floats),
        [
            Floor(
                lambda value: array.array("d", value),
                lambda ready: ready.tolist(),
                "array('d').tolist()",
                "nothing",
                "turning eight bytes around, and the growth of the list",
            )
        ],
    ),
    (
        Workload("str_int_dict", large.str_int_dict),
        [
            Floor(
                _pairs,
                lambda ready: dict(zip(ready[0].split("\n"), ready[1].tolist(), strict=True)),
                "dict(zip(text.split('\\n'), array('q').tolist()))",
                "looks for the ends of the keys; two lists in between",
                "nothing: keys are hashed, the dict grows",
            ),
            Floor(
                lambda value: (list(value), list(value.values())),
                lambda ready: dict(zip(*ready, strict=True)),
                "dict(zip(keys, values)), keys hashed before",
                "nothing",
                "making and hashing the keys, making the numbers",
            ),
        ],
    ),
    (
        Workload("bytes_heavy", large.bytes_heavy),
        [
            Floor(
                _slices,
                lambda ready: list(map(ready[0].__getitem__, ready[1])),
                "[blob[a:b], ...]: memory, and one copy",
                "nothing",
                "asking for the pages of a value all at once, as torshi does",
            )
        ],
    ),
    (
        Workload("shared_refs", large.shared_refs),
        [
            Floor(
                _references,
                lambda ready: list(ready[1](marshal.loads(ready[0]))),
                "itemgetter(*places)(marshal.loads(pool))",
                "a tuple in between, which is copied to the list",
                "reading the places: they are integers already",
            ),
            Floor(
                lambda value: (_references(value)[0], value),
                lambda ready: marshal.loads(ready[0]) and ready[1].copy(),
                "marshal.loads(pool), list.copy()",
                "nothing",
                "reading and following the places",
            ),
        ],
    ),
    (Workload("dataframe", large.frame), [CONSTRUCTORS, COPIES, COLUMN]),
    (Workload("random_forest", large.forest), [CONSTRUCTORS, COPIES, LOOK]),
    (
        Workload("small message", message, times=5_000),
        [
            Floor(
                lambda value: value,
                lambda ready: {**ready, "params": ready["params"][:]},
                "{**message, 'params': message['params'][:]}",
                "nothing",
                "making any text or number, and hashing keys",
            ),
        ],
    ),
    (
        Workload("an empty load", lambda: None, times=20_000),
        [],
    ),
]


#: Of dumps: what writers take that remember what they have met, as pickle has to, and that do not.
WRITERS: list[tuple[str, Callable[[Any], Any], str, str]] = [
    ("marshal.dumps(value)", marshal.dumps, "remembers objects by two words each", "the memo's own instructions"),
    ("marshal.dumps(value, 2)", lambda value: marshal.dumps(value, 2), "nothing", "remembering what it has met"),
]
with contextlib.suppress(ImportError):
    import msgspec

    WRITERS.append(("msgspec.msgpack.encode(value)", msgspec.msgpack.Encoder().encode, "nothing", "the same"))

DUMPS: list[Workload] = [
    Workload("small message", message, times=5_000),
    Workload("documents", lambda: documents(2000)),
    Workload("an empty dump", lambda: None, times=20_000),
]


def written(workload: Workload, rounds: int) -> dict[str, float]:
    """Seconds a call of dumps, of C pickle, torshi and the other writers."""
    value = workload.make()
    runs: dict[str, Callable[[Any], Any]] = {"C pickle": lambda v: pickle.dumps(v, 5), "torshi": torshi.dumps}
    runs |= {name: write for name, write, *_ in WRITERS}

    def repeated(run: Callable[[Any], Any]) -> Callable[[Any], object]:
        def many(value: Any) -> Any:
            for _ in range(workload.times):
                made = run(value)
            return made

        return many

    times = interleaved({name: repeated(run) for name, run in runs.items()}, rounds, prepare=lambda _: value)
    return {name: min(row) / workload.times for name, row in times.items()}


def measured(workload: Workload, floors: list[Floor], rounds: int) -> dict[str, Any]:
    """The record of one workload: seconds a call of the loads and of each floor."""
    value = workload.make()
    data = pickle.dumps(value, 5)
    runs: dict[str, tuple[Callable[[Any], Any], Any]] = {
        "C pickle": (pickle.loads, data),
        "torshi": (torshi.loads, data),
    }
    if CONSTRUCTORS not in floors:
        runs["marshal"] = (marshal.loads, marshal.dumps(value))
    same = operator.eq if CONSTRUCTORS not in floors else _same
    for floor in floors:
        runs[floor.what] = (floor.make, floor.ready(value))
    for name, (run, ready) in runs.items():
        if not same(run(ready), value):
            raise SystemExit(f"{workload.name}: {name} makes another value")

    def repeated(run: Callable[[Any], Any]) -> Callable[[Any], object]:
        def many(ready: Any) -> Any:
            for _ in range(workload.times - 1):
                run(ready)
            return run(ready)

        return many

    times = interleaved(
        {name: repeated(run) for name, (run, _) in runs.items()}, rounds, prepare=lambda name: runs[name][1]
    )
    return {name: min(row) / workload.times for name, row in times.items()}


def lines(name: str, kind: str, notes: dict[str, Any], seconds: dict[str, float]) -> list[list[str]]:
    """A row each for the table; `kind` is loads or dumps, `notes` says of what is neither C pickle's nor torshi's."""
    base = seconds["C pickle"]
    return [
        [
            name,
            f"`{what}`" if what in notes else f"{what}, {kind}",
            shown(taken),
            f"{base / taken:.2f}x",
            notes[what].more if what in notes else "",
            notes[what].less if what in notes else "",
        ]
        for what, taken in seconds.items()
    ]


def told(rows: list[list[str]]) -> list[list[str]]:
    for row in rows:
        print(f"{row[0]:14} {row[1].strip('`'):52} {row[2]:>9} {row[3]:>7}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="times each is run (default: 10)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only workloads whose name contains this")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there too")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write the table there too")
    arguments = parser.parse_args()
    about = machine.described()
    print(machine.paragraph(about), end="\n\n")
    head = ["workload", "", "time", "C pickle's time divided by it", "does too much", "leaves out"]
    rows: list[list[str]] = []
    records: dict[str, dict[str, float]] = {}
    for workload, floors in FLOORS:
        if arguments.only not in workload.name:
            continue
        records[workload.name] = measured(workload, floors, arguments.rounds)
        notes = {floor.what: floor for floor in floors}
        rows += told(lines(workload.name, "loads", notes, records[workload.name]))
    for workload in DUMPS:
        if arguments.only not in workload.name:
            continue
        taken = records[f"{workload.name}, dumps"] = written(workload, arguments.rounds)
        notes = {name: Said(more, less) for name, _, more, less in WRITERS}
        rows += told(lines(workload.name, "dumps", notes, taken))
    if not records:
        raise SystemExit(f"no workload has {arguments.only!r} in its name")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": about, "seconds": records}, indent=1) + "\n", encoding="utf-8")
    if arguments.markdown:
        table = ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]
        arguments.markdown.write_text("\n".join([machine.paragraph(about), "", *table]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
