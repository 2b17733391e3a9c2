"""guard: torshi's check under code that calls pickle itself.

Turns a policy into a gate that `pickle.load`, `pickle.loads`, `pickle.Unpickler` and what libraries made of them must
pass, for a block, a function or the whole process, and takes it away again without a trace. What stands in the
places of stock pickle is in `_stand_ins`; nothing here looks at a stream.
"""

from __future__ import annotations

import _pickle
import functools
import inspect
import os
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast, final

from torshi import _stand_ins
from torshi._gate import Entered, Event, Gate, enter, innermost, leave
from torshi._places import Places, swap_base
from torshi._policy import Policy, policy_of
from torshi._stand_ins import STOCK

if TYPE_CHECKING:
    from torshi._limits import Limits
    from torshi._policy import Trust

__all__ = ["Guard", "guard"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

_lock = threading.RLock()
_places: Places | None = None
_unreached: list[type] = []
_hooked = False


@final
class Guard:
    """A gate for unpickling by code that knows nothing of torshi; made by `torshi.guard`.

    A context manager, a decorator, and, with `install` and `uninstall`, a switch for the whole process. One guard
    may be entered many times, also at once and one within another.
    """

    __slots__ = ("_gate", "_pipes")

    def __init__(self, gate: Gate, pipes: bool) -> None:
        self._gate = gate
        self._pipes = pipes

    def __enter__(self) -> Guard:
        self._begin(installed=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end(installed=False)

    def install(self) -> Guard:
        """Guards every thread of the process that is not in a guard of its own, until `uninstall`.

        Returns:
            The guard itself.

        Raises:
            RuntimeError: it is installed already.
        """
        with _lock:
            if innermost(self._gate, installed=True) is not None:
                raise RuntimeError("this guard is installed already")
            self._begin(installed=True)
        return self

    def uninstall(self) -> None:
        """Ends what `install` began.

        Raises:
            RuntimeError: it is not installed.
        """
        self._end(installed=True)

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """Guards every call of a function, a coroutine function too.

        Raises:
            TypeError: it is a generator function, of which the guard would not see the body.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError("a guard does not decorate a generator function: put a with block into its body")
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def guarded_coroutine(*args: _P.args, **kwargs: _P.kwargs) -> object:
                with self:
                    return await function(*args, **kwargs)

            return cast("Callable[_P, _R]", guarded_coroutine)

        @functools.wraps(function)
        def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with self:
                return function(*args, **kwargs)

        return guarded

    @property
    def observes(self) -> bool:
        """Whether it only notes what it would refuse."""
        return self._gate.observe

    @property
    def events(self) -> tuple[Event, ...]:
        """What it refused, or would have; each distinct one once, with a count."""
        return self._gate.events

    def policy(self) -> Policy:
        """The policy of the guard and, in addition, every name that it refused or would have.

        Believes what it saw: review it before you rely on it. `save` writes it with comments for that.
        """
        lesson = self._gate.lesson
        return Policy._wrap(lesson.policy, f"{self._gate.policy.name}, observed", lesson.to_toml())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes `policy()` to a TOML file, with a comment on each name: where it was met and what is done with it.

        Raises:
            OSError: the file cannot be written.
        """
        self.policy().save(path)

    def __repr__(self) -> str:
        mode = "observing under" if self.observes else "under"
        return f"<torshi.Guard {mode} policy {self._gate.policy.name}, {len(self.events)} events>"

    def _begin(self, installed: bool) -> None:
        with _lock:
            if enter(Entered(self._gate, installed, self._pipes)):
                _put_in()

    def _end(self, installed: bool) -> None:
        with _lock:
            entered = innermost(self._gate, installed)
            if entered is None:
                raise RuntimeError("this guard is not installed" if installed else "this guard was not entered")
            if leave(entered):
                _take_out()


Guard.__module__ = "torshi"


def guard(trust: Trust = None, *, limits: Limits | None = None, observe: bool = False, pipes: bool = False) -> Guard:
    """Puts torshi's check under code that calls pickle itself, such as a library's own `load`.

    While it is active, what `pickle.load`, `pickle.loads` and `pickle.Unpickler` read, wherever they were imported
    to, is checked as `torshi.load` checks it, and refused with the same errors. `docs/guard.md` says what is
    covered and what is not.

    Args:
        trust: names, classes or a `Policy`, as for `torshi.load`; the default policy if absent.
        limits: what a load may cost.
        observe: refuse nothing, only note in `events` what would be refused.
        pipes: guard the messages that multiprocessing passes between the processes of a program, too. Without
            it these are left as they are: they carry functions and classes by name.

    Returns:
        The guard, for ``with``, as a decorator, or to ``install()``.

    Raises:
        TypeError: `trust` is not what it should be.
        ValueError: a pattern is malformed.

    Example:
        >>> import pickle, torshi
        >>> with torshi.guard():
        ...     try:
        ...         pickle.loads(b"cos\\nsystem\\n(S'true'\\ntR.")
        ...     except torshi.UntrustedError as error:
        ...         print(error.findings[0].message)
        os.system is not trusted
    """
    return Guard(Gate(policy_of(trust), limits, observe), pipes)


def _put_in() -> None:
    """Puts the stand-ins where stock pickle stands."""
    global _places, _hooked
    # Imported now, or it would take a stand-in for its pipes when it is imported later.
    from multiprocessing.reduction import ForkingPickler

    if not _hooked:
        # For good, since Python has no way to remove one; without a gate it does nothing.
        sys.addaudithook(_stand_ins.audit)
        _hooked = True
    _places = Places(
        [
            (STOCK.load, _stand_ins.load),
            (STOCK.loads, _stand_ins.loads),
            (STOCK.Unpickler, _stand_ins.Unpickler),
        ]
    )
    _places.set(_stand_ins.Pure, "load", _stand_ins.load_pure)
    _places.set(_stand_ins.Pure, "find_class", _stand_ins.find_class_pure)
    _places.set(ForkingPickler, "loads", staticmethod(_stand_ins.pipe_loads))
    _places.replace()
    _unreached[:] = swap_base(STOCK.Unpickler, _stand_ins.Unpickler)


def _take_out() -> None:
    """Puts stock pickle back."""
    global _places
    swap_base(_stand_ins.Unpickler, STOCK.Unpickler, _stand_ins.SPARED)
    if _places is not None:
        _places.restore()
    _places = None


def _renew_lock() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    # Another thread may have held it when the process was forked.
    os.register_at_fork(after_in_child=_renew_lock)

assert STOCK.load is _pickle.load, "torshi was imported while another guard was active"
