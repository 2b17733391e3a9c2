"""Loads cases in processes of their own, limited in memory and time, and says what became of each.

``python -m attacks.child TRUST ID...`` prints one JSON object a line; TRUST is ``own`` for what each case
trusts, ``unrestricted``, or ``look`` for checking and inspecting instead of loading. The process forks
once a case, so that a crash is one case's outcome.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torshi
from attacks.make import corpus

SECONDS = 10
SLACK = 1 << 30
# An eighth of the usual stack, so that streams an eighth as long overflow it.
STACK = 1 << 20


def status(key: str) -> int:
    """A field of `/proc/self/status` in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return 0


def look(data: bytes, trust: Any) -> int:
    """What a careful reader does first; the report must stay small enough to be read."""
    with contextlib.suppress(torshi.UnpicklingError, ValueError):
        torshi.check(data, trust=trust)
    return len(str(torshi.inspect(data, trust=trust)))


def attempt(case: Any, trust: Any, action: Callable[..., Any]) -> dict[str, Any]:
    known = set(sys.modules)
    base = status("VmRSS")
    space = status("VmSize") + SLACK
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_STACK, (STACK, STACK))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    started = time.process_time()
    outcome: dict[str, Any] = {"id": case.id, "error": None}
    loaded = None
    try:
        loaded = action(case.data, trust=trust)
    except Exception as error:
        outcome["error"] = type(error).__name__
        outcome["unpickling"] = isinstance(error, torshi.UnpicklingError)
        outcome["text"] = str(error)[:200]
    outcome["loaded"] = outcome["error"] is None
    outcome["imported"] = sorted(set(sys.modules) - known)
    outcome["peak"] = max(0, status("VmHWM") - base)
    del loaded
    gc.collect()
    outcome["seconds"] = round(time.process_time() - started, 3)
    return outcome


def isolated(case: Any, trust: Any, action: Callable[..., Any]) -> dict[str, Any]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        os.write(writer, json.dumps(attempt(case, trust, action)).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        report = file.read()
    _, code = os.waitpid(pid, 0)
    if code == 0 and report:
        outcome: dict[str, Any] = json.loads(report)
        return outcome | {"died": None}
    return {"id": case.id, "died": code, "loaded": False, "error": None}


def main() -> None:
    mode, *wanted = sys.argv[1:]
    if importlib.util.find_spec("numpy"):
        pass
    # The rows of the policy import these; a case is judged by what it brings in beside them.
    import array, collections, copyreg, datetime, decimal, fractions, functools, pathlib, random, re, uuid, zoneinfo  # noqa: E401, F401, I001

    import victim  # noqa: F401

    torshi.loads(torshi.dumps([1]))
    gc.freeze()
    for name in wanted:
        case = corpus()[name]
        own = torshi.unrestricted("the case says so") if case.trust == "unrestricted" else list(case.trust)
        trust = torshi.unrestricted("limits hold here too") if mode == "unrestricted" else own
        print(json.dumps(isolated(case, trust, look if mode == "look" else torshi.loads)), flush=True)


if __name__ == "__main__":
    main()
