"""The loading half of pickle's API: `loads` and the `Unpickler` to subclass. `load` knows files, and stands in `_file`.

Everything is done by the native module; this file gives the class its signature and its place in
the package. It never looks at a stream.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from torshi import _native
from torshi._errors import UnpicklingError
from torshi._native import loads

if TYPE_CHECKING:
    from torshi._limits import Limits
    from torshi._placeholder import Missing
    from torshi._policy import Trust

__all__ = ["Unpickler", "loads"]


class Unpickler(_native.Unpickler):
    """Reads pickles from a file, each checked against a policy before anything of it is built.

    Subclasses may define ``persistent_load(pid)`` and override ``find_class(module, name)``, as with
    `pickle.Unpickler`. An overriding ``find_class`` is asked only for names that the policy allows.

    Args:
        file: a binary file with ``read`` and ``readline``.
        fix_imports: translate the Python 2 names of protocols 0 to 2.
        encoding: how Python 2 strings are decoded; ``"bytes"`` leaves them undecoded.
        errors: the error handler of that codec.
        buffers: the out-of-band buffers that the pickler's ``buffer_callback`` was given, in order.
        trust: names, classes or a `Policy` to allow beside the default.
        limits: what a load may cost.
        missing: ``"placeholder"`` puts a `Placeholder` in the place of names that are trusted and not there.

    Raises:
        TypeError: the file has no ``read`` or no ``readline``.

    Example:
        >>> import io, torshi
        >>> file = io.BytesIO(torshi.dumps("first") + torshi.dumps("second"))
        >>> unpickler = torshi.Unpickler(file)
        >>> unpickler.load(), unpickler.load()
        ('first', 'second')
    """

    def __init__(
        self,
        file: Any,
        *,
        fix_imports: bool = True,
        encoding: str = "ASCII",
        errors: str = "strict",
        buffers: Iterable[Any] | None = (),
        trust: Trust | None = None,
        limits: Limits | None = None,
        missing: Missing = "error",
    ) -> None:
        # An empty tuple is stock pickle's way of saying that no buffers are given.
        given = None if buffers == () else buffers
        self._setup(file, fix_imports, encoding, errors, given, trust, limits, missing)

    if sys.version_info >= (3, 13):

        def persistent_load(self, pid: Any) -> Any:
            """Return the object of a persistent id; a subclass that writes such ids overrides it."""
            raise UnpicklingError(
                "A load persistent id instruction was encountered, but no persistent_load function was specified."
            )
