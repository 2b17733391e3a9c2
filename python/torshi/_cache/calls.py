"""Arguments of a call into its key: the same for each way to write the same call.

A `Signature` puts arguments into the order of the parameters, with defaults filled in; their digest is the key. How a
call was written, by which one with nothing but plain values is found from then on, is the native module's to say.
Nothing here keeps results.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from torshi._digest import digest

__all__ = ["Signature"]

_ABSENT: Final = object()
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


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
