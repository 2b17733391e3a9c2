"""Functions and classes that cannot be found by name, into what a stream says of them instead: their code.

cloudpickle decides which those are, and takes them apart; torshi writes what it says. Loading such a stream runs code
of whoever wrote it, by design: no policy but an unrestricted one lets it pass, and no seal but one that is trusted.
cloudpickle is never imported unless a dump asks for it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["holds_code", "hooks"]

# Where the functions stand that put functions and classes together again.
_MAKERS = "cloudpickle.cloudpickle:"


def hooks(protocol: int) -> tuple[Callable[[Any], Any], Mapping[type, Callable[[Any], Any]]]:
    """What a pickler asks of each object before it goes its own way, and by type; for one dump.

    Functions that share their globals now share them again if one dump has them all, so each dump needs its own.

    Raises:
        ImportError: cloudpickle is not installed.
    """
    try:
        import cloudpickle  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise ImportError("functions by value need cloudpickle: pip install 'torshi[functions]'") from error
    pickler = cloudpickle.Pickler(io.BytesIO(), protocol)
    return pickler.reducer_override, pickler.dispatch_table


def holds_code(names: list[str]) -> bool:
    """Whether a stream with these names puts functions or classes together.

    Example:
        >>> holds_code(["builtins:int", "cloudpickle.cloudpickle:_make_function"]), holds_code(["builtins:int"])
        (True, False)
    """
    return any(name.startswith(_MAKERS) for name in names)
