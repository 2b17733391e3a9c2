"""The long workloads: a megabyte to 256 of what services, notebooks and model stores pickle.

Makes values and measures nothing. Every value comes out of a seeded generator, so that a run on another machine
pickles the same bytes, but for what libraries of another version write.
"""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import fractions
import pathlib
import random
import string
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from workloads import Workload


@dataclass
class Place:
    x: float
    y: float
    label: str
    weight: int
    tags: list[int]


class SlotPlace:
    __slots__ = ("label", "weight", "x", "y")

    def __init__(self, x: float, y: float, label: str, weight: int) -> None:
        self.x, self.y, self.label, self.weight = x, y, label, weight


class Row(NamedTuple):
    id: int
    name: str
    score: float
    flag: bool


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"
    BLUE = "blue"


class Node:
    """A tree whose every edge closes a cycle: children know their parent."""

    def __init__(self, name: str, parent: Node | None = None) -> None:
        self.name = name
        self.parent = parent
        self.children: list[Node] = []
        if parent is not None:
            parent.children.append(self)


class Customer:
    def __init__(self, number: int, name: str) -> None:
        self.number, self.name, self.orders = number, name, list[Order]()


class Order:
    """As an object-relational mapper hands it out: dates, money, empty columns, and both ends of a relation."""

    __slots__ = ("customer", "key", "lines", "note", "paid", "placed", "total")

    def __init__(self, customer: Customer, source: random.Random) -> None:
        self.customer = customer
        self.key = uuid.UUID(int=source.getrandbits(128))
        self.placed = dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=source.randrange(10**7))
        self.total = decimal.Decimal(source.randrange(10**6)) / 100
        self.paid = source.choice((None, self.placed.date()))
        self.note = source.choice((None, "", "leave at the neighbour's", "größe prüfen"))
        self.lines = [{"sku": _word(source, 8, 8), "count": source.randrange(1, 9)} for _ in range(3)]
        customer.orders.append(self)


class Stateful:
    """State methods in Python, as hand-written classes have them: most of the time is theirs, whoever pickles."""

    def __init__(self, number: int) -> None:
        self.number, self.cache = number, object()

    def __getstate__(self) -> dict[str, Any]:
        return {"number": self.number}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.number, self.cache = state["number"], None


def _word(source: random.Random, least: int, most: int, alphabet: str = string.ascii_lowercase) -> str:
    return "".join(source.choices(alphabet, k=source.randint(least, most)))


def api_documents(count: int = 10_000) -> list[dict[str, Any]]:
    """Nested records as an HTTP API answers with: equal keys, short and middling texts, a few numbers."""
    source = random.Random(1)
    names = [_word(source, 4, 12) for _ in range(500)]
    return [
        {
            "id": number + 10_000_000,
            "type": source.choice(("issue", "pull", "commit", "release")),
            "public": source.random() < 0.9,
            "title": " ".join(source.choices(names, k=6)),
            "score": source.random() * 100,
            "parent": None,
            "author": {
                "login": source.choice(names),
                "id": source.randrange(1 << 20),
                "site_admin": False,
                "url": "https://api.example.org/users/" + _word(source, 5, 9),
                "email": None,
            },
            "labels": [
                {"name": source.choice(names), "color": source.randrange(1 << 24), "default": source.random() < 0.2}
                for _ in range(source.randint(0, 3))
            ],
            "counts": [source.randrange(300) for _ in range(5)],
            "geo": {"lat": source.uniform(-90, 90), "lon": source.uniform(-180, 180)},
            "body": _word(source, 40, 120, string.ascii_letters + "     "),
            "created_at": f"2024-{source.randint(1, 12):02}-{source.randint(1, 28):02}T12:00:00Z",
        }
        for number in range(count)
    ]


def small_messages(count: int = 64) -> list[dict[str, Any]]:
    source = random.Random(17)
    return [
        {
            "id": source.randrange(1 << 40),
            "user": _word(source, 4, 10),
            "action": source.choice(("get", "put", "del")),
            "ok": source.random() < 0.9,
            "latency": source.random(),
            "size": source.randrange(1 << 16),
            "path": "/" + _word(source, 8, 30),
            "tags": [_word(source, 3, 6) for _ in range(3)],
            "parent": None,
            "ts": 1_700_000_000 + source.random() * 1e6,
        }
        for _ in range(count)
    ]


def ints(count: int = 1_000_000) -> list[int]:
    """A quarter each below 2**8, 2**16 and 2**31, 15 % negative, 10 % of 63 bits."""
    source = random.Random(2)
    ranges = [(0, 1 << 8)] * 5 + [(0, 1 << 16)] * 5 + [(0, 1 << 31)] * 5 + [(1 - (1 << 31), 1)] * 3
    ranges += [(-(1 << 62), 1 << 62)] * 2
    return [source.randrange(*source.choice(ranges)) for _ in range(count)]


def floats(count: int = 1_000_000) -> list[float]:
    source = random.Random(3)
    return [source.uniform(-1e6, 1e6) for _ in range(count)]


def short_strings(count: int = 200_000) -> list[str]:
    source = random.Random(4)
    return [_word(source, 3, 14) + str(number) for number in range(count)]


def repeated_strings(count: int = 400_000) -> list[str]:
    """The same 300 str objects over and over: references are most of the stream."""
    source = random.Random(5)
    pool = [_word(source, 5, 20) for _ in range(300)]
    return [source.choice(pool) for _ in range(count)]


def shared_refs(count: int = 200_000) -> list[Any]:
    source = random.Random(6)
    pool = [{f"k{j}": j, "v": [j, j + 1]} for j in range(1000)]
    return [source.choice(pool) for _ in range(count)] + pool


def str_int_dict(count: int = 200_000) -> dict[str, int]:
    source = random.Random(7)
    return {f"key_{_word(source, 3, 8)}_{number}": source.randrange(1 << 31) for number in range(count)}


def deep_lists(chains: int = 60, depth: int = 500) -> list[Any]:
    out = []
    for number in range(chains):
        value: list[Any] = [number]
        for _ in range(depth - 2):
            value = [value]
        out.append(value)
    return out


def wide_tree(fanout: int = 10, depth: int = 5) -> Any:
    source = random.Random(8)

    def made(levels: int) -> Any:
        return source.randrange(100) if levels == 0 else [made(levels - 1) for _ in range(fanout)]

    return made(depth)


def places(count: int = 100_000) -> list[Place]:
    source = random.Random(9)
    return [
        Place(source.random(), source.random(), f"p{i}", source.randrange(1 << 20), [i, i + 1]) for i in range(count)
    ]


def slot_places(count: int = 100_000) -> list[SlotPlace]:
    source = random.Random(10)
    return [SlotPlace(source.random(), source.random(), f"s{i}", source.randrange(1 << 20)) for i in range(count)]


def named_tuples(count: int = 100_000) -> list[Row]:
    source = random.Random(19)
    return [Row(i, f"row{i}", source.random(), source.random() < 0.5) for i in range(count)]


def standard_values(count: int = 10_000) -> list[Any]:
    """Dates without and with a zone, decimals, UUIDs and members of an enumeration."""
    source = random.Random(11)
    colors = list(Color)
    out: list[Any] = []
    for _ in range(count):
        moment = dt.datetime(2020, 1, 1) + dt.timedelta(
            seconds=source.randrange(10**8), microseconds=source.randrange(10**6)
        )
        out += [moment, moment.replace(tzinfo=dt.UTC), decimal.Decimal(source.randrange(10**9)) / 100]
        out += [uuid.UUID(int=source.getrandbits(128)), source.choice(colors)]
    return out


def sets_tuples(count: int = 20_000) -> list[Any]:
    source = random.Random(12)
    out: list[Any] = []
    for i in range(count):
        out.append({source.randrange(10_000) for _ in range(6)})
        out.append((i, f"t{i}", source.random()))
        out.append((i, (i + 1, i + 2), None, True, f"u{i}"))
        # Made of integers: the order of a set of texts would differ from one process to the next.
        out.append(frozenset(source.randrange(1000) for _ in range(4)))
    return out


def cyclic_graph(count: int = 50_000, fanout: int = 8) -> Node:
    nodes = [Node("n0")]
    for i in range(1, count):
        nodes.append(Node(f"n{i}", nodes[(i - 1) // fanout]))
    return nodes[0]


def shop(customers: int = 4_000) -> list[Customer]:
    source = random.Random(21)
    made = [Customer(number, _word(source, 4, 12).title()) for number in range(customers)]
    for customer in made:
        for _ in range(source.randrange(6)):
            Order(customer, source)
    return made


def bytes_heavy(count: int = 1000, size: int = 100_000) -> list[bytes]:
    source = random.Random(18)
    return [source.randbytes(size) for _ in range(count)]


def unicode_strings(count: int = 100_000) -> list[str]:
    """Equal shares of Latin with accents, Cyrillic, CJK, and emoji."""
    source = random.Random(20)
    alphabets = ["abcdeéèüßñøå ", "абвгдежзиклмнопрст ", "漢字仮名交文世界人山川日本語", "ab😀🚀🎉🐍🌍 "]
    return [_word(source, 6, 24, alphabets[i % 4]) for i in range(count)]


def texts(count: int = 24, size: int = 1 << 20) -> list[str]:
    """Long texts: half ASCII, half of four scripts."""
    source = random.Random(22)
    words = [_word(source, 2, 10) for _ in range(4000)]
    mixed = words + unicode_strings(2000)
    return [" ".join(source.choices(mixed if number % 2 else words, k=size // 8)) for number in range(count)]


def log_records(count: int = 50_000) -> list[dict[str, Any]]:
    """Records of a log: some with a traceback, some with extra keys, levels and loggers over and over."""
    source = random.Random(23)
    loggers = [".".join(_word(source, 3, 8) for _ in range(3)) for _ in range(40)]
    trace = 'Traceback (most recent call last):\n  File "/app/service.py", line {}, in handle\n    raise {}\n'
    out = []
    for number in range(count):
        record: dict[str, Any] = {
            "at": 1_700_000_000.0 + number * 0.013,
            "level": source.choice(("DEBUG", "INFO", "INFO", "INFO", "WARNING", "ERROR")),
            "logger": source.choice(loggers),
            "message": _word(source, 20, 160, string.ascii_letters + "      "),
            "thread": source.randrange(140_000_000_000_000, 140_000_000_100_000),
        }
        if source.random() < 0.05:
            record["traceback"] = trace.format(source.randrange(2000), _word(source, 6, 20)) * source.randint(1, 12)
        if source.random() < 0.3:
            record["extra"] = {
                _word(source, 3, 8): source.choice((None, number, "ü", 1.5, ["a", "b"])) for _ in range(4)
            }
        out.append(record)
    return out


def counters(count: int = 3_000) -> dict[str, Any]:
    """Counters in a defaultdict, ordered dicts, deques: what analyses leave behind."""
    source = random.Random(24)
    made: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for number in range(count):
        made[f"user {number}"].update(source.choices(("view", "click", "buy", "leave"), k=12))
    recent = collections.deque((source.randrange(1000) for _ in range(20_000)), maxlen=20_000)
    order = collections.OrderedDict((f"step {i}", source.random()) for i in range(20_000))
    return {"counts": made, "recent": recent, "order": order}


def odd_values(count: int = 10_000) -> list[Any]:
    """Fractions, paths, complex numbers, ranges, slices of time, integers of a thousand bits."""
    source = random.Random(25)
    out: list[Any] = []
    for number in range(count):
        out += [fractions.Fraction(number, 7), pathlib.PurePosixPath("/srv/data", _word(source, 3, 8), f"{number}.bin")]
        out += [complex(number, -0.0), range(number, number + 3), dt.timedelta(milliseconds=number)]
        out += [dt.date(2024, 1 + number % 12, 1 + number % 28), -source.getrandbits(1000)]
        out += [float("nan") if number % 100 == 0 else float("-inf")]
    return out


def big_array(megabytes: int = 256) -> Any:
    return np.random.default_rng(13).random((megabytes << 20) // 8)


def tiny_arrays(count: int = 20_000) -> list[Any]:
    source = np.random.default_rng(14)
    return [source.random(4) for _ in range(count)]


def mixed_arrays(count: int = 60) -> dict[str, Any]:
    """Arrays of many types, orders and shapes, views among them: a checkpoint of somebody's experiment."""
    source = np.random.default_rng(26)
    out: dict[str, Any] = {}
    for number in range(count):
        base = source.random((64, 1 + number * 4))
        out[f"layer{number}.weight"] = base.astype("f4")
        out[f"layer{number}.fortran"] = np.asfortranarray(base)
        out[f"layer{number}.view"] = base[::2, ::-1]
        out[f"layer{number}.mask"] = base > 0.5
        out[f"layer{number}.step"] = np.int64(number)
    out["complex"] = source.random(5000) + 1j * source.random(5000)
    out["moments"] = np.datetime64("2024-01-01") + np.arange(20_000).astype("m8[h]")
    out["texts"] = np.array([f"name {i}" for i in range(5000)])
    out["record"] = np.zeros(1000, dtype=[("id", "i8"), ("score", "f4"), ("tag", "S8")])
    out["empty"] = np.empty((0, 3))
    out["scalar"] = np.array(1.5)
    return out


def frame(count: int = 200_000) -> Any:
    import pandas as pd

    source, words = np.random.default_rng(15), random.Random(15)
    return pd.DataFrame(
        {
            "id": np.arange(count),
            "price": source.random(count) * 1000,
            "qty": source.integers(0, 100, count, dtype="int32"),
            "flag": source.random(count) < 0.5,
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(source.integers(0, 10**7, count), unit="s"),
            "cat": pd.Categorical(words.choices(["alpha", "beta", "gamma", "delta"], k=count)),
            "name": [_word(words, 4, 12) for _ in range(count)],
            "obj": pd.Series([words.choice((None, i, f"s{i}", 1.5)) for i in range(count)], dtype=object),
        }
    )


def forest(trees: int = 100) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    source = np.random.default_rng(16)
    x = source.random((4000, 20))
    y = (x[:, :3].sum(axis=1) + 0.3 * source.standard_normal(4000) > 1.5).astype(int)
    return RandomForestClassifier(n_estimators=trees, random_state=16, n_jobs=1).fit(x, y)


def pipeline() -> Any:
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    source = np.random.default_rng(27)
    x = source.random((2000, 12))
    model = GradientBoostingClassifier(n_estimators=60, random_state=27)
    return make_pipeline(StandardScaler(), model).fit(x, (x[:, 0] > x[:, 1]).astype(int))


def _needs(*modules: str) -> Callable[[], bool]:
    import importlib.util

    return lambda: all(importlib.util.find_spec(module) for module in modules)


#: Workloads that libraries make; those whose library is missing are named and left out.
OF_LIBRARIES = {"dataframe": _needs("pandas"), "random_forest": _needs("sklearn"), "pipeline": _needs("sklearn")}


def large() -> Iterator[Workload]:
    """The suite, in the order it is shown."""
    yield Workload("api_documents", api_documents)
    yield Workload("small_messages", small_messages, times=100, each=True)
    # As a server meets them: the same keys and ever other words, more than any cache or branch predictor learns.
    yield Workload("new_messages", lambda: small_messages(4096), each=True)
    yield Workload("ints_1m", ints)
    yield Workload("floats_1m", floats)
    yield Workload("short_strings", short_strings)
    yield Workload("repeated_strings", repeated_strings)
    yield Workload("unicode_strings", unicode_strings, fresh=True)
    yield Workload("texts", texts, fresh=True)
    yield Workload("str_int_dict", str_int_dict)
    yield Workload("shared_refs", shared_refs)
    yield Workload("deep_lists", deep_lists)
    yield Workload("wide_tree", wide_tree)
    yield Workload("sets_tuples", sets_tuples)
    yield Workload("log_records", log_records)
    yield Workload("dataclasses_100k", places, [Place], schema=list[Place])
    yield Workload("slots_100k", slot_places, [SlotPlace])
    yield Workload("namedtuples_100k", named_tuples, [Row], schema=list[Row])
    yield Workload("cyclic_graph", cyclic_graph, [Node])
    yield Workload("shop", shop, [Customer, Order])
    yield Workload("state_methods", lambda: [Stateful(i) for i in range(50_000)], [Stateful])
    members = [f"{__name__}:Color.{color.name}" for color in Color]  # as Python 3.11.0 to 3.11.3 pickle them
    yield Workload("standard_values", standard_values, [Color, *members])
    yield Workload("counters", counters)
    yield Workload("odd_values", odd_values)
    yield Workload("bytes_heavy", bytes_heavy)
    yield Workload("numpy_tiny", tiny_arrays)
    yield Workload("mixed_arrays", mixed_arrays)
    yield Workload("numpy_256mb", big_array)
    yield Workload("dataframe", frame)
    yield Workload("random_forest", forest)
    yield Workload("pipeline", pipeline)
