"""The attack corpus: hostile streams through every way of loading one, and what they cost.

If these failed, a stranger's file would run code in its reader, crash it, or take its memory or time.
"""

from __future__ import annotations

import builtins
import contextlib
import copyreg
import importlib.util
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import torshi
from attacks.assembler import CANARY, OPCODES, Case
from attacks.make import MANIFEST, corpus, is_written, manifest, path_of

TESTS = Path(__file__).parent
SUPPORT = TESTS / "attacks" / "support"
ALL = list(corpus().values())
REFUSED = [case for case in ALL if case.expected == "refuse" and not case.isolated]
FIRST_ONLY = [case for case in ALL if case.expected == "first-only"]
ISOLATED = [case for case in ALL if case.isolated]
MIB = 1 << 20

NEEDS_THE_CLASS = {case.id for case in ALL if case.mechanism == "dunder-state" and case.trust}
NEEDS_THE_CLASS.add("broken-after-call/buffer_missing")  # nobody knows yet which buffers load will be given


def identifier(case: Case) -> str:
    return case.id


def trust_of(case: Case) -> Any:
    return torshi.unrestricted("the case says so") if case.trust == "unrestricted" else list(case.trust)


def loads(case: Case) -> Any:
    return torshi.loads(case.data, trust=trust_of(case))


def load(case: Case) -> Any:
    return torshi.load(io.BytesIO(case.data), trust=trust_of(case))


def unpickler(case: Case) -> Any:
    return torshi.Unpickler(io.BytesIO(case.data), trust=trust_of(case)).load()


def check(case: Case) -> Any:
    return torshi.check(case.data, trust=trust_of(case))


class Asks(torshi.Unpickler):
    """Finds classes itself, as applications do."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        return super().find_class(module_name, global_name)


def hooked(case: Case) -> Any:
    return Asks(io.BytesIO(case.data), trust=trust_of(case)).load()


WAYS: list[Callable[[Case], Any]] = [loads, load, unpickler, hooked]


@pytest.fixture(autouse=True)
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty working directory, the victim's package, and a poisoned extension code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(SUPPORT))
    importlib.import_module("victim")
    for name in ("xml.etree.ElementTree", "zoneinfo", "array", "uuid"):  # rows of the policy, not payloads
        importlib.import_module(name)
    copyreg.add_extension("os", "mkdir", 201)
    copyreg._extension_cache[201] = os.mkdir  # type: ignore[attr-defined]
    try:
        yield
    finally:
        copyreg.remove_extension("os", "mkdir", 201)
        copyreg._extension_cache.pop(201, None)  # type: ignore[attr-defined]
        sys.modules.pop("victim", None)


def nothing_happened(known: set[str]) -> None:
    assert not os.listdir("."), "the payload ran"
    assert set(sys.modules) == known, f"imported {set(sys.modules) - known}"
    assert 202 not in copyreg._inverted_registry  # type: ignore[attr-defined]


def accepted(case: Case) -> tuple[type[BaseException], ...]:
    named = getattr(builtins, case.error) if case.error else None
    return (torshi.UnpicklingError, named) if named else (torshi.UnpicklingError,)


def test_the_files_are_what_the_generator_writes() -> None:
    """If not, the corpus on disk is not the one its readable source describes."""
    assert MANIFEST.read_text(encoding="utf-8") == manifest()
    for case in ALL:
        if is_written(case):
            assert path_of(case).read_bytes() == case.data, case.id
    assert len({path_of(case) for case in ALL}) == len(ALL)
    assert len(list((TESTS / "attacks" / "corpus").rglob("*.pkl"))) == sum(map(is_written, ALL))


@pytest.mark.parametrize("case", REFUSED, ids=identifier)
def test_refused_before_anything_happens(case: Case) -> None:
    """If this fails, loading the file imports, constructs or calls something."""
    known = set(sys.modules)
    for way in WAYS:
        with pytest.raises(accepted(case)) as caught:
            way(case)
        nothing_happened(known)
        for finding in getattr(caught.value, "findings", ()):
            assert 0 <= finding.offset < len(case.data)
            assert finding.opcode in OPCODES
            assert finding.message
            assert finding.message.isprintable()
        if isinstance(caught.value, torshi.UntrustedError):
            assert caught.value.findings, "a refusal without evidence"
            assert "\x1b" not in str(caught.value)
            assert len(str(caught.value)) < 10_000


@pytest.mark.parametrize("case", REFUSED, ids=identifier)
def test_check_touches_nothing(case: Case) -> None:
    """If this fails, looking at a file runs something, or passes what load refuses."""
    known = set(sys.modules)
    if case.error or case.mechanism == "re-exported" or case.id in NEEDS_THE_CLASS:
        # Only an import tells where a name leads, and whether a class takes such state itself.
        with contextlib.suppress(torshi.UnpicklingError):
            check(case)
    else:
        with pytest.raises(torshi.UnpicklingError):
            check(case)
    nothing_happened(known)


@pytest.mark.parametrize("case", [case for case in ALL if is_written(case)], ids=identifier)
def test_inspect_touches_nothing(case: Case) -> None:
    """If this fails, looking at a file runs something, fails, or sees no reason for a refusal."""
    known = set(sys.modules)
    report = torshi.inspect(case.data, trust=trust_of(case))
    nothing_happened(known)
    assert str(report).replace("\n", "").isprintable()
    shown_only = NEEDS_THE_CLASS | {"broken-after-call/persistent_id", "broken-after-call/binpersid"}
    if case in REFUSED and not case.error and case.mechanism != "re-exported" and case.id not in shown_only:
        assert report.findings or report.error


@pytest.mark.parametrize("case", FIRST_ONLY, ids=identifier)
def test_only_the_first_pickle_is_loaded(case: Case) -> None:
    """If this fails, bytes behind a pickle run, or are refused although nobody asked for them."""
    known = set(sys.modules)
    for way in WAYS:
        way(case)
        nothing_happened(known)
    file = io.BytesIO(case.data)
    torshi.load(file)
    with pytest.raises((torshi.UnpicklingError, EOFError)):
        torshi.load(file)
    nothing_happened(known)


@cache
def outcomes(mode: str) -> dict[str, dict[str, Any]]:
    """What became of every isolated case, each in a process of its own."""
    paths = [str(Path(torshi.__file__).parents[1]), str(TESTS), str(SUPPORT)]
    wanted = [case.id for case in ISOLATED if mode != "unrestricted" or case.mechanism not in CALLS]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "attacks.child", mode, *wanted],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not os.path.exists(CANARY)
    return {outcome["id"]: outcome for outcome in map(json.loads, done.stdout.splitlines())}


# Calls that only the policy can bound: unrestricted trust makes them, as it says.
CALLS = ("size-argument", "forged-state", "numpy-lie")


def within_bounds(case: Case, outcome: dict[str, Any], share: int = 1) -> None:
    assert outcome["died"] is None, outcome
    assert outcome["seconds"] < 5, outcome
    assert outcome["peak"] <= 64 * MIB + share * 32 * len(case.data), outcome
    if not outcome["loaded"]:
        assert outcome["unpickling"] or outcome["error"] == case.error, outcome


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("case", ISOLATED, ids=identifier)
def test_costs_are_bounded(case: Case) -> None:
    """If this fails, a small file kills its reader, or takes its memory or time."""
    for needed in case.needs:
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    outcome = outcomes("own")[case.id]
    within_bounds(case, outcome)
    if case.expected == "refuse":
        assert not outcome["loaded"], outcome
        assert outcome["unpickling"] or outcome["error"] == case.error, outcome
        assert outcome["imported"] == [] or case.error, outcome


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("case", [case for case in ISOLATED if case.mechanism not in CALLS], ids=identifier)
def test_limits_hold_without_a_policy_too(case: Case) -> None:
    """If this fails, `unrestricted` also means that a damaged file may take all memory."""
    within_bounds(case, outcomes("unrestricted")[case.id])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("case", ISOLATED, ids=identifier)
def test_looking_is_bounded_too(case: Case) -> None:
    """If this fails, the tool that is to tell whether a file is safe falls to the file."""
    outcome = outcomes("look")[case.id]
    within_bounds(case, outcome, share=3)  # the tree that is shown is more than the value
    assert outcome["loaded"], outcome
    assert outcome["imported"] == [], outcome


def test_every_mechanism_is_met_by_stock_pickle(tmp_path: Path) -> None:
    """If this fails, the corpus's payload is dead and the refusals above prove nothing."""
    import pickle

    for name in ("direct-call/reduce", "direct-call/inst", "name-spelling/string_escape", "trampoline/map"):
        pickle.loads(corpus()[name].data)
        assert os.listdir(".") == [CANARY]
        os.rmdir(CANARY)
