"""The peers that torshi is measured beside: how each is called, and what it cannot represent.

A table. A peer that is not installed is named and left out; one that cannot represent a workload is left out of that
workload, after `speed.py` has tried it. Nothing is timed here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from workloads import Workload

#: One way out, one way back: a value to bytes, and bytes to a value.
Ways = tuple[Callable[[Any], bytes], Callable[[bytes], Any]]

BASE = "C pickle"
OURS = "torshi"
#: C pickle measured once more, under another name: how far its ratio is from 1 is how far any ratio may be trusted.
CONTROL = "control"


@dataclass(frozen=True)
class Peer:
    """One serializer.

    Attributes:
        name: how tables call it.
        module: what must be importable.
        ways: its functions for a workload; `None` if it needs a type the workload does not give.
        cannot: what it cannot represent, for people.
        pickles: whether its bytes are a pickle.
    """

    name: str
    module: str
    ways: Callable[[ModuleType, Workload], Ways | None]
    cannot: str = ""
    pickles: bool = False


def _pickle(module: ModuleType, workload: Workload) -> Ways:
    dumps = module.dumps
    return (lambda value: dumps(value, 5)), module.loads


def _torshi(module: ModuleType, workload: Workload) -> Ways:
    dumps, loads, trust = module.dumps, module.loads, workload.trust
    if trust is None:
        return (lambda value: dumps(value, 5)), loads
    return (lambda value: dumps(value, 5)), (lambda data: loads(data, trust=trust))


def _msgspec(module: ModuleType, workload: Workload) -> Ways:
    return module.msgpack.Encoder().encode, module.msgpack.Decoder().decode


def _msgspec_typed(module: ModuleType, workload: Workload) -> Ways | None:
    if workload.schema is None:
        return None
    return module.msgpack.Encoder().encode, module.msgpack.Decoder(workload.schema).decode


NO_OBJECTS = "objects, sets, tuples, sharing, big integers"

PEERS = [
    Peer(BASE, "pickle", _pickle, pickles=True),
    Peer(OURS, "torshi", _torshi, pickles=True),
    Peer(CONTROL, "pickle", _pickle, pickles=True),
    Peer("cloudpickle", "cloudpickle", _pickle, pickles=True),
    Peer("marshal", "marshal", lambda module, _: (module.dumps, module.loads), "any object of a class, arrays"),
    Peer("msgspec", "msgspec", _msgspec, NO_OBJECTS),
    Peer("msgspec, typed", "msgspec", _msgspec_typed, "sharing; needs the type in advance"),
    Peer("ormsgpack", "ormsgpack", lambda module, _: (module.packb, module.unpackb), NO_OBJECTS + ", deep nesting"),
    Peer("orjson", "orjson", lambda module, _: (module.dumps, module.loads), NO_OBJECTS + ", bytes, keys but str"),
]


def installed(only: str = "") -> tuple[dict[Peer, ModuleType], list[str]]:
    """The peers that are there, each with its module, and the names of those that are not.

    Args:
        only: names of peers, separated by semicolons; all if empty. C pickle and torshi are always there.
    """
    wanted = {name.strip() for name in only.split(";") if name.strip()}
    unknown = wanted - {peer.name for peer in PEERS}
    if unknown:
        known = "; ".join(peer.name for peer in PEERS)
        raise SystemExit(f"no peer called {', '.join(sorted(unknown))}; there are: {known}")
    found: dict[Peer, ModuleType] = {}
    missing = []
    for peer in PEERS:
        if wanted and peer.name not in {BASE, OURS, *wanted}:
            continue
        try:
            found[peer] = importlib.import_module(peer.module)
        except ImportError:
            missing.append(peer.name)
    return found, missing
