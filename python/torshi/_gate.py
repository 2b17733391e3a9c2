"""Gate: the policy that unpickling must pass while a guard is active, and which of several gates applies.

Turns a refusal into an exception and an event, or into an event alone where it only observes. It checks bytes and
names against its policy, and never loads, replaces or decides anything itself.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torshi import _native
from torshi._errors import LimitError, MalformedError, UnpicklingError, UntrustedError
from torshi._findings import Finding
from torshi._lesson import Lesson

if TYPE_CHECKING:
    from torshi._limits import Limits
    from torshi._policy import Policy

__all__ = ["Entered", "Event", "Gate", "current", "enter", "innermost", "leave", "sparing"]

# Distinct refusals kept; a program that runs for months must not fill its memory with them.
_MOST_EVENTS = 10_000

# The way out, as a refusal puts it to those who call torshi themselves, and to those who do not.
_LOAD, _GUARD = "expected it? load(..., ", "expected it? torshi.guard("

# Frames of these do not say who wanted the load.
_MACHINERY = ("torshi._gate", "torshi._stand_ins", "torshi._guard", "pickle", "_pickle")


@dataclass(frozen=True)
class Event:
    """A refusal under a guard, or what would have been one where the guard only observes.

    Attributes:
        entry: what was called, such as ``pickle.load``; ``pickle.find_class`` where only the audit hook saw a name.
        caller: file and line of the code that called it.
        source: the name of the file that was read, or None where it has none.
        message: why, as the exception says it.
        findings: the findings; none for a stream that is malformed or over a limit.
        refused: whether it was refused; False where the guard observes.
        count: how often the same was met.
    """

    entry: str
    caller: str
    source: str | None
    message: str
    findings: tuple[Finding, ...]
    refused: bool
    count: int = 1


Event.__module__ = "torshi"


class Gate:
    """A policy with limits, and a log of what it refused.

    Args:
        policy: what may pass.
        limits: what a load may cost.
        observe: whether refusals are only noted.
    """

    def __init__(self, policy: Policy, limits: Limits | None, observe: bool) -> None:
        self.policy = policy
        self.limits = limits
        self.observe = observe
        self.lesson = Lesson(policy._inner)
        self.overlooked = 0
        self._events: dict[tuple[object, ...], Event] = {}
        self._lock = threading.Lock()

    @property
    def events(self) -> tuple[Event, ...]:
        """What was refused so far, in order of first meeting."""
        with self._lock:
            return tuple(self._events.values())

    def admits(self, module: str, name: str) -> bool:
        """Whether a stream may use the name at all."""
        return self.policy._inner.lists(module, name)

    def vet(self, data: bytes, entry: str, source: str | None, **settings: Any) -> tuple[frozenset[str], int]:
        """Checks the bytes of one pickle.

        Returns:
            The names in it that were noted as not allowed, and the bytes it has (all, where it was noted).

        Raises:
            UntrustedError, MalformedError, LimitError: it is refused, and this gate does not only observe.
        """
        end = len(data)
        with self.noting(entry, source, data) as noted:
            end = _native.vet(data, self.policy._inner, self.limits, **settings)
        return frozenset(noted), end

    @contextlib.contextmanager
    def noting(self, entry: str, source: str | None, data: bytes | None = None) -> Iterator[set[str]]:
        """Notes refusals of the block; passes them on unless this gate only observes."""
        noted: set[str] = set()
        try:
            yield noted
        except (UntrustedError, MalformedError, LimitError) as error:
            noted.update(finding.name for finding in getattr(error, "findings", ()) if finding.name)
            self._note(error, entry, source, data)
            if not self.observe:
                raise

    def refuse_name(self, module: str, name: str, entry: str, source: str | None) -> None:
        """Notes that a name is not allowed, and raises unless this gate only observes."""
        full = f"{module}.{name}"
        finding = Finding("untrusted-global", full, 0, "GLOBAL", None, f"{full} is not trusted", full)
        with self.noting(entry, source):
            raise UntrustedError(f'{full} is not trusted; expected it? torshi.guard(trust=["{full}"])', (finding,))

    def _note(self, error: UnpicklingError, entry: str, source: str | None, data: bytes | None) -> None:
        if getattr(error, "_noted", False):
            return  # by a load within this one
        error._noted = True  # type: ignore[attr-defined]
        findings: tuple[Finding, ...] = getattr(error, "findings", ())
        if findings:
            error.args = (str(error).replace(_LOAD, _GUARD),)
        event = Event(entry, _caller(), source, str(error), findings, not self.observe)
        key = (entry, event.caller, event.refused, tuple((f.kind, f.name, f.message) for f in findings) or str(error))
        with self._lock:
            if key in self._events:
                self._events[key] = replace(self._events[key], count=self._events[key].count + 1)
            elif len(self._events) < _MOST_EVENTS:
                self._events[key] = event
            else:
                self.overlooked += 1
            if findings:
                self._learn(findings, source or event.caller, data)

    def _learn(self, findings: tuple[Finding, ...], where: str, data: bytes | None) -> None:
        if data is not None:
            # What it cannot learn from, such as a broken rest, it leaves: the event stands.
            with contextlib.suppress(UnpicklingError, ValueError):
                self.lesson.study(data, where, limits=self.limits)
                return
        for finding in findings:
            if finding.remedy is not None:
                self.lesson.add(finding.remedy, f"{where}, byte {finding.offset}")


def _caller() -> str:
    """File and line of the innermost frame that is not the machinery of loading."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        name = frame.f_globals.get("__name__", "")
        if name not in _MACHINERY and name != "contextlib":
            break
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


class Entered:
    """One entering of a gate: live until it is left."""

    __slots__ = ("gate", "installed", "live", "pipes")

    def __init__(self, gate: Gate, installed: bool, pipes: bool) -> None:
        self.gate = gate
        self.installed = installed
        self.pipes = pipes
        self.live = True


# Those of the process, oldest first: a tuple that is replaced, never changed, so that no reader needs the lock.
_live: tuple[Entered, ...] = ()
# Those that the running thread or task entered, oldest first.
_entered: ContextVar[tuple[Entered, ...]] = ContextVar("torshi_guards", default=())
# Whether the running code reads a message between processes of this program.
_in_pipe: ContextVar[bool] = ContextVar("torshi_pipe", default=False)


def enter(entered: Entered) -> bool:
    """Makes a gate apply; whether it is the first. The caller holds the lock of all guards."""
    global _live
    first = not _live
    _live = (*_live, entered)
    if not entered.installed:
        _entered.set((*_entered.get(), entered))
    return first


def leave(entered: Entered) -> bool:
    """Ends what `enter` began; whether it was the last. The caller holds the lock of all guards."""
    global _live
    entered.live = False
    _live = tuple(other for other in _live if other is not entered)
    _entered.set(tuple(other for other in _entered.get() if other.live))
    return not _live


def innermost(gate: Gate, installed: bool) -> Entered | None:
    """The last entering of a gate that is still live, if possible one of the running thread or task."""
    for entered in (*reversed(_entered.get()), *reversed(_live)):
        if entered.gate is gate and entered.live and entered.installed is installed:
            return entered
    return None


def _applying() -> Entered | None:
    """The innermost of the running thread or task; else the one installed last; else the one entered last."""
    for entered in reversed(_entered.get()):
        if entered.live:
            return entered
    live = _live
    for entered in reversed(live):
        if entered.installed:
            return entered
    return live[-1] if live else None


def current() -> Gate | None:
    """The gate the running code must pass, or None."""
    if not _live:
        return None
    entered = _applying()
    if entered is None or (_in_pipe.get() and not entered.pipes):
        return None
    return entered.gate


@contextlib.contextmanager
def sparing() -> Iterator[None]:
    """Within it, gates that leave the pipes between processes alone do not apply."""
    token = _in_pipe.set(True)
    try:
        yield
    finally:
        _in_pipe.reset(token)
