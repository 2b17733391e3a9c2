"""Policy: the list of what a load may use, as users compose it.

Wraps the native policy, which alone decides; this file turns classes, functions, annotations, files and
known-good pickles into patterns. It never holds a list of names of its own.
"""

from __future__ import annotations

import logging
import os
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias, final

from torshi import _native
from torshi._annotations import label, shape_of
from torshi._atomic import replacing
from torshi._lesson import Lesson
from torshi._shapes import classes_in

__all__ = ["Policy", "Trust", "TrustItem", "resolve", "unrestricted", "write_text"]

TrustItem: TypeAlias = str | type | Callable[..., Any]
"""What `allow`, `deny` and the items of `trust=` accept: a pattern, a class or a function."""

_log = logging.getLogger("torshi")

# The names of the module a program starts with: in itself, and in the processes it spawns.
_MAIN = {"__main__": "__mp_main__", "__mp_main__": "__main__"}

# Modules whose classes describe other types and are never what a pickle constructs by name.
_DESCRIPTIVE = frozenset({"builtins", "typing", "typing_extensions", "types", "abc", "collections.abc"})


@final
class Policy:
    """An immutable list of what a load may import, call, construct and fill.

    Without `trust=` a load uses `Policy.default()`: value types of builtins and the standard library, and
    the reviewed tables for the scientific stack. Every method returns a new policy.

    Patterns are ``"myapp.models.User"`` (a class or function), ``"myapp.util:rebuild"`` (module and name
    told apart) and ``"myapp.models.*"`` (everything in a module and below it). A name may be followed by the uses
    it is for: ``"myapp.util:rebuild [call]"``, ``"myapp.models:User [construct, state]"``.

    Example:
        >>> import torshi
        >>> policy = torshi.Policy.default().allow("myapp.models.*").deny("myapp.models.Secret")
        >>> policy.allows("myapp.models.User"), policy.allows("myapp.models.Secret")
        (True, False)
    """

    __slots__ = ("_inner", "_name", "_text")

    _inner: _native.Policy
    _name: str
    _text: str | None

    def __init__(self) -> None:
        raise TypeError("use Policy.default(), Policy.builtins() or Policy.empty()")

    @classmethod
    def _wrap(cls, native: _native.Policy, name: str, text: str | None = None) -> Policy:
        self = object.__new__(cls)
        object.__setattr__(self, "_inner", native)
        object.__setattr__(self, "_name", name)
        # What `save` writes: with the comments of a learnt policy, if it is one.
        object.__setattr__(self, "_text", text)
        return self

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Policy does not change; allow() and deny() return a new one")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("a Policy does not change; allow() and deny() return a new one")

    @classmethod
    def default(cls) -> Policy:
        """The policy of a load without `trust=`: every reviewed table."""
        return cls._wrap(_native.Policy.default(), "default")

    @classmethod
    def builtins(cls) -> Policy:
        """Builtin and standard-library value types alone."""
        return cls._wrap(_native.Policy.builtins(), "builtins")

    @classmethod
    def empty(cls) -> Policy:
        """Nothing that has a name: only numbers, text, bytes and plain containers load."""
        return cls._wrap(_native.Policy.empty(), "empty")

    @classmethod
    def for_type(cls, annotation: Any) -> Policy:
        """The policy that `load(..., annotation)` uses.

        It has the classes reachable from the annotation, beside the builtin and standard-library value
        types. Where the annotation says `Any`, or names a class of a reviewed library, it builds on the
        default policy. A class that a reviewed table covers stays under that table's rules.

        Args:
            annotation: a class, or any annotation of the kinds `docs/typed.md` lists.

        Raises:
            TypeError: the annotation cannot be resolved.
            ValueError: it names a class that cannot be imported by name, such as one inside a function.

        Example:
            >>> import torshi, fractions
            >>> torshi.Policy.for_type(list[fractions.Fraction]).allows(fractions.Fraction)
            True
        """
        classes, is_open = classes_in(shape_of(annotation))
        base = _native.Policy.builtins()
        everything = _native.Policy.default()
        if is_open:
            base = everything
        named = sorted({(c.__module__, c.__qualname__, c) for c in classes}, key=lambda item: item[:2])
        patterns: list[str] = []
        for module, qualname, reached in named:
            if module in _DESCRIPTIVE or base.lists(module, qualname):
                continue
            if everything.lists(module, qualname):
                base = everything
                continue
            patterns.extend(_patterns(reached))
        for text in patterns:
            base = base.allow(text)
        return cls._wrap(base, f"type {label(annotation)}")

    @classmethod
    def learn(cls, paths: Iterable[str | os.PathLike[str]]) -> Policy:
        """The default policy and the names that known-good files use beyond it, each for the uses that were met.

        Reads what the files say, without loading them, and believes it: teach it only with files you wrote
        yourself. `save` writes it with a comment on each name, for you to read before you rely on it. A name that is
        allowed to be called may be called with any arguments.

        Args:
            paths: files to learn from, of any format that `torshi.scan` opens; all pickles in them are taken.

        Returns:
            The policy. It may still refuse a file, where no entry can allow what it does; `torshi policy learn` says
            so, and so does the saved file.

        Raises:
            MalformedError: there is no pickle in a file, or not all of it could be read.
            LimitError: a file asks for more than the limits of a load grant.
            OSError: a file cannot be read.

        Example:
            >>> import torshi
            >>> with open("good.pkl", "wb") as file:
            ...     _ = file.write(b"cmyapp.util\\nrebuild\\n(I1\\ntR.")
            >>> policy = torshi.Policy.learn(["good.pkl"])
            >>> policy.allows("myapp.util:rebuild"), policy.allows("myapp.util:other")
            (True, False)
        """
        lesson = Lesson(_native.Policy.default())
        if isinstance(paths, (str, os.PathLike)):
            paths = [paths]
        for path in paths:
            lesson.study_file(Path(path).read_bytes(), os.fsdecode(path))
        return cls._wrap(lesson.policy, "learnt", lesson.to_toml())

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Policy:
        """Reads a policy from a TOML file, as `save` writes it.

        Raises:
            ValueError: the file is not a policy.
            OSError: the file cannot be read.
        """
        text = Path(path).read_text(encoding="utf-8")
        return cls._wrap(_native.Policy.from_toml(text), Path(path).name)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the policy to a TOML file; an existing file is replaced as a whole or not at all.

        Raises:
            OSError: the file cannot be written.
        """
        write_text(path, self._text or self._inner.to_toml())

    def allow(self, *items: TrustItem) -> Policy:
        """Adds classes, functions and patterns.

        Whatever is allowed by name may be called, constructed and given any state: it is trusted as code.

        Args:
            *items: patterns, classes or functions.

        Raises:
            TypeError: an item is none of these.
            ValueError: a pattern is malformed, or a class cannot be imported by name.

        Example:
            >>> import torshi
            >>> torshi.Policy.empty().allow("myapp.util:rebuild").allows("myapp.util.rebuild")
            True
        """
        native = self._inner
        for item in items:
            for text in _patterns(item):
                native = native.allow(text)
        return self._wrap(native, _plus(self._name, "allowed", len(items)))

    def deny(self, *items: TrustItem) -> Policy:
        """Takes classes, functions and patterns away; denying wins over allowing, wherever that was done.

        Args:
            *items: patterns, classes or functions.

        Raises:
            TypeError: an item is none of these.
            ValueError: a pattern is malformed, or a class cannot be imported by name.
        """
        native = self._inner
        for item in items:
            for text in _patterns(item):
                native = native.deny(text)
        return self._wrap(native, _plus(self._name, "denied", len(items)))

    def allows(self, item: TrustItem) -> bool:
        """Tells whether a class or function may occur in a stream at all.

        Args:
            item: a class, a function, or a name such as ``"myapp.models.User"`` or ``"myapp.util:rebuild"``.
        """
        name = pattern(item)
        if ":" in name:
            module, _, qualname = name.partition(":")
            return self._inner.lists(module, qualname)
        parts = name.split(".")
        splits = ((".".join(parts[:i]), ".".join(parts[i:])) for i in range(len(parts) - 1, 0, -1))
        return any(self._inner.lists(module, qualname) for module, qualname in splits)

    @property
    def name(self) -> str:
        """What the policy is called in verdicts and reports."""
        return self._name

    @property
    def is_unrestricted(self) -> bool:
        """Whether this policy allows everything, as stock pickle does."""
        return self._inner.is_unrestricted()

    def __or__(self, other: object) -> Policy:
        if not isinstance(other, Policy):
            return NotImplemented
        return self._wrap(self._inner.union(other._inner), f"{self._name} | {other._name}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Policy):
            return NotImplemented
        return self._inner == other._inner

    def __hash__(self) -> int:
        return hash(self._inner)

    def __repr__(self) -> str:
        return f"<torshi.Policy {self._name}>"

    def __reduce__(self) -> tuple[Callable[[str, str], Policy], tuple[str, str]]:
        if self.is_unrestricted:
            raise TypeError("an unrestricted policy is not pickled: whoever reads it would inherit it")
        return _rebuilt, (self._inner.to_toml(), self._name)


Policy.__module__ = "torshi"

Trust: TypeAlias = Policy | TrustItem | Iterable[TrustItem | Policy] | None
"""What `trust=` accepts."""


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file; an existing one is replaced as a whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    with replacing(path) as descriptor, open(descriptor, "w", encoding="utf-8", closefd=False) as file:
        file.write(text)


def _rebuilt(text: str, name: str) -> Policy:
    return Policy._wrap(_native.Policy.from_toml(text), name)


def _plus(name: str, verb: str, count: int) -> str:
    return f"{name}, {count} {verb}" if count else name


def pattern(item: object) -> str:
    """The pattern that stands for a class or function; a string is one already.

    Raises:
        TypeError: the item is no class, function or string.
        ValueError: the item cannot be imported by its name.
    """
    if isinstance(item, str):
        return item
    if isinstance(item, bool) or item is None:
        raise TypeError(f"trust is a list of classes, functions and patterns, never a switch; got {item!r}")
    module = getattr(item, "__module__", None)
    qualname = getattr(item, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualname, str) or isinstance(item, types.GenericAlias):
        raise TypeError(f"cannot trust {type(item).__name__} object; pass a class, a function or a pattern")
    if "<" in qualname:
        raise ValueError(f"{module}.{qualname} cannot be imported by name, so no pickle can refer to it")
    return f"{module}:{qualname}"


def _patterns(item: object) -> Iterator[str]:
    """The patterns of an item: one, and two for what stands in a program's main module.

    A process that multiprocessing has spawned calls the parent's `__main__` `__mp_main__`, and each of
    the two processes knows the same module by both names.
    """
    text = pattern(item)
    yield text
    module, _, qualname = text.partition(":")
    if module in _MAIN and qualname and not isinstance(item, str):
        yield f"{_MAIN[module]}:{qualname}"


def resolve(trust: Trust, type: Any = None) -> _native.Policy:
    """Turns the `trust` and `type` of a load into the native policy; called by the native loader.

    Args:
        trust: a policy, an item, several of them, or None.
        type: the annotation of a typed load, or None.

    Returns:
        The default policy when neither is given, the type's policy when only a type is, and the trusted
        items added to either.

    Raises:
        TypeError: `trust` or `type` is not what it should be.
        ValueError: a pattern is malformed, or a class cannot be imported by name.
    """
    return policy_of(trust, type)._inner


def policy_of(trust: Trust, type: Any = None) -> Policy:
    """As `resolve`, with the policy still in its wrapper."""
    base = Policy.default() if type is None else Policy.for_type(type)
    if trust is None:
        return base
    if isinstance(trust, Policy):
        return trust if type is None else base | trust
    if isinstance(trust, str) or not isinstance(trust, Iterable) or isinstance(trust, _CLASS):
        trust = [trust]
    items = list(trust)
    for item in items:
        if isinstance(item, Policy):
            base = base | item
    return base.allow(*(item for item in items if not isinstance(item, Policy)))


# The name `type` is a parameter above, as it is in the public functions.
_CLASS = type


def unrestricted(reason: str) -> Policy:
    """Everything, as stock pickle: any class, any call. Limits still hold.

    Writes one line to the logger ``torshi``, so that every use can be found.

    Args:
        reason: why this input is trusted.

    Returns:
        A policy for `trust=`.

    Raises:
        TypeError: the reason is no string.
        ValueError: the reason is empty.

    Example:
        >>> import torshi
        >>> policy = torshi.unrestricted("written by this process a moment ago")
        >>> torshi.loads(torshi.dumps(print), trust=policy)
        <built-in function print>
    """
    if not isinstance(reason, str):
        raise TypeError(f"the reason must be a str, not {type(reason).__name__}")
    if not reason.strip():
        raise ValueError("unrestricted loading wants a reason: unrestricted('why this input is trusted')")
    _log.info("unrestricted unpickling: %s", " ".join(reason.split()), stacklevel=2)
    return Policy._wrap(_native.Policy.unrestricted(), "unrestricted")
