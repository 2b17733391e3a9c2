"""Arguments of a call into its key: the same for each way to write the same call.

A `Signature` puts arguments into the order of the parameters, with defaults filled in; their digest is the key. For
calls with nothing but plain values there is a spelling, from which the key was computed once and which is only looked
up from then on. Nothing here keeps results.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from torshi._digest import digest

__all__ = ["PLAIN", "Signature", "spelled", "spelled_call"]

_ABSENT: Final = object()
# Equal values of these are the same argument. Floats are not of them, for 0.0 == -0.0, nor is anything with a method.
PLAIN: Final = frozenset({int, str, bytes, bool, type(None)})
# Nor are floats looked up by themselves if one is zero. NaN equals none but itself, and is found by the digest.
_NUMBERS: Final = PLAIN | {float}
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def spelled(value: object) -> object:
    """A value and its types as something to look up by, or None if it is not plain.

    Example:
        >>> spelled(1) == spelled(True), spelled((1, "a")) == spelled((1, "a")), spelled([1])
        (False, True, None)
    """
    kind = type(value)
    if kind in PLAIN:
        return (kind, value)
    if kind is float:
        # The digits of a float tell zeros apart; NaN, which equals nothing, would never be found again.
        return (float, float.hex(value)) if value == value else None  # type: ignore[arg-type]
    if kind is tuple:
        items = tuple(map(spelled, value))  # type: ignore[call-overload]
        return None if None in items else (tuple, items)
    return None


def spelled_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
    """Arguments as something to look up by, or None if one of them is not plain.

    What is made of arguments by position alone, of those with names, and the slow way of either, differ in length or in
    what stands first, so that none is taken for another.
    """
    kinds = tuple(map(type, args))
    are_plain = PLAIN.issuperset(kinds) or (_NUMBERS.issuperset(kinds) and 0.0 not in args)
    if not kwargs:
        return (kinds, args) if are_plain else spelled(args)
    values = tuple(kwargs.values())
    more = tuple(map(type, values))
    if are_plain and (PLAIN.issuperset(more) or (_NUMBERS.issuperset(more) and 0.0 not in values)):
        return (kinds, args, more, tuple(kwargs.items()))
    first, second = spelled(args), spelled(values)
    return None if first is None or second is None else (first, tuple(kwargs), second)


class Signature:
    """How the arguments of a function are put in order.

    Args:
        function: whose parameters they are.
        ignore: parameters that are no part of the key.

    Raises:
        TypeError: `ignore` names something that is no parameter.
    """

    __slots__ = ("_count", "_defaults", "_first", "_keywords", "_names", "_only", "_places", "_rest", "_skip", "_taken")

    def __init__(self, function: Callable[..., Any], ignore: Iterable[str]) -> None:
        parameters = list(inspect.signature(function).parameters.values())
        known = {parameter.name for parameter in parameters}
        skip = frozenset(ignore)
        if not skip <= known:
            raise TypeError(
                f"{getattr(function, '__qualname__', function)} has no parameter {', '.join(sorted(skip - known))} to "
                f"ignore; it has: {', '.join(sorted(known)) or 'none'}"
            )
        positional = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
        only = [parameter for parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
        self._first = next((parameter.kind is inspect.Parameter.POSITIONAL_ONLY for parameter in positional), False)
        self._names = [parameter.name for parameter in positional]
        self._places = {
            parameter.name: place
            for place, parameter in enumerate(positional)
            if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        }
        self._defaults = [_default(parameter) for parameter in positional]
        self._only = [(parameter.name, _default(parameter)) for parameter in only]
        self._taken = {*self._places, *(parameter.name for parameter in only)}
        self._rest = next((p.name for p in parameters if p.kind is inspect.Parameter.VAR_POSITIONAL), None)
        self._keywords = next((p.name for p in parameters if p.kind is inspect.Parameter.VAR_KEYWORD), None)
        self._skip = skip
        self._count = len(positional)

    @property
    def names(self) -> list[str]:
        """The parameters that may be given by position, in order."""
        return self._names

    def bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[tuple[str, Any]] | None:
        """What each parameter is, in order, without those to ignore; None if the function cannot be called so.

        Example:
            >>> def f(a, b=2, *rest, c=3, **more): ...
            >>> Signature(f, ()).bound((1,), {"c": 4}) == Signature(f, ()).bound((), {"c": 4, "a": 1, "b": 2})
            True
        """
        given, count = len(args), self._count
        if given > count and self._rest is None:
            return None
        values = list(args[:count])
        values += self._defaults[given:]
        more: dict[str, Any] = {}
        for name, value in kwargs.items():
            place = self._places.get(name)
            if place is not None:
                if place < given:
                    return None
                values[place] = value
            elif name not in self._taken:
                if self._keywords is None:
                    return None
                more[name] = value
        bound = list(zip(self._names, values, strict=True))
        if self._rest is not None:
            bound.append((self._rest, args[count:]))
        bound += [(name, kwargs.get(name, default)) for name, default in self._only]
        if self._keywords is not None:
            bound.append((self._keywords, more))
        if any(value is _ABSENT for _, value in bound):
            return None
        return [pair for pair in bound if pair[0] not in self._skip] if self._skip else bound

    def key(self, function: str, whose: object, bound: list[tuple[str, Any]]) -> bytes:
        """The digest of a call.

        Raises:
            TypeError: an argument cannot be digested; the error says which.
        """
        try:
            # By place and not by name: a parameter may be renamed like any other local.
            return digest((whose, [value for _, value in bound]))
        except Exception as error:
            for name, value in bound:
                try:
                    digest(value)
                except Exception as reason:
                    raise TypeError(
                        f"the argument {name} of {function} cannot be part of a key: {reason}; leave it out with "
                        f"ignore=({name!r},), or say with key= what the result depends on"
                    ) from error
            raise


def _default(parameter: inspect.Parameter) -> Any:
    return _ABSENT if parameter.default is inspect.Parameter.empty else parameter.default
