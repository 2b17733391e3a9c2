"""`convert`: files of other formats into files of `save`, and files of either into JSON.

Pickles are rewritten and never loaded; JSON is made of what the stream says, and not of objects. Arrays of numpy's own
formats are read by numpy, without pickles in them. What a format has no form for is refused by its path.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, Literal, TypeAlias

from torshi import _native
from torshi._atomic import replacing
from torshi._errors import MalformedError
from torshi._file import Compression, _write_all, save
from torshi._limits import Limits
from torshi._migrate import migrate
from torshi._rewritten import pickle_file
from torshi._seal import KeyChoice

__all__ = ["Format", "convert"]

Format: TypeAlias = Literal["torshi", "pickle", "json"]
"""What `to=` accepts."""

_SUFFIXES: dict[str, Format] = {
    ".pkl": "torshi",
    ".pickle": "torshi",
    ".torshi": "torshi",
    ".json": "json",
}
_NPY = b"\x93NUMPY"
_ZIP = b"PK\x03\x04"


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    to: Format | None = None,
    lossy: bool = False,
    compress: Compression = None,
    key: KeyChoice = None,
    limits: Limits | None = None,
    progress: Callable[[int], object] | None = None,
) -> Format:
    """Converts a file into another format, without loading a pickle.

    Args:
        source: a pickle of any kind, compressed or not, or a `.npz` or `.npy` file of numpy's.
        target: the file to write, which is replaced as a whole or not at all.
        to: ``"torshi"`` for a file as `save` writes it, ``"pickle"`` for one without a manifest, ``"json"``; if absent,
            what the target's name says.
        lossy: in JSON, write what has no form there but an obvious one: bytes as base64, sets as lists, dates and
            decimals as text, numbers as keys.
        compress, key: as for `migrate`: who converts a stranger's file does not vouch for it.
        limits: how long a compressed file may get, for one thing.
        progress: called with the number of bytes written so far.

    Returns:
        The format written.

    Raises:
        MalformedError: the source is no pickle, or damaged.
        ValueError: the data does not fit the format; the text says where. Or nobody can tell which format is meant.
        OSError: a file cannot be read or written.

    Example:
        >>> import torshi
        >>> torshi.save({"name": "John Doe", "scores": [1, 2.5]}, "data.pkl")
        >>> torshi.convert("data.pkl", "data.json")
        'json'
        >>> print(open("data.json").read())
        {"name":"John Doe","scores":[1,2.5]}
        <BLANKLINE>
    """
    chosen = to or _SUFFIXES.get(PurePath(os.fsdecode(target)).suffix.lower())
    if chosen not in ("torshi", "pickle", "json"):
        raise ValueError(f"cannot tell the format from {os.fsdecode(target)}: give to='torshi', 'pickle' or 'json'")
    with open(source, "rb") as opened:
        first = opened.read(6)
    if first == _NPY or first.startswith(_ZIP):
        _arrays(source, target, chosen, compress, key, progress)
    elif chosen == "json":
        _json(source, target, lossy, limits)
    else:
        options: dict[str, Any] = {"compress": compress, "limits": limits, "progress": progress}
        migrate(source, target, key=key, plain=chosen == "pickle", **options)
    return chosen


def _json(source: Any, target: Any, lossy: bool, limits: Limits | None) -> None:
    data = pickle_file(source, limits).data
    stream = _native.rewrite(data, [])
    if stream.end < len(data):
        raise MalformedError(f"{len(data) - stream.end} bytes follow the pickle: JSON has one value", stream.end)
    text = _native.plain_json(stream, lossy)
    with replacing(target) as descriptor:
        _write_all(descriptor, text.encode() + b"\n")


def _arrays(
    source: Any, target: Any, to: Format, compress: Compression, key: KeyChoice, progress: Callable[[int], object] | None
) -> None:
    """Saves the arrays of a file of numpy's: one, or a dict of them.

    Raises:
        MalformedError: it is none, or has arrays of objects.
        ValueError: the target is another format.
        ModuleNotFoundError: numpy is not there.
    """
    if to != "torshi":
        raise ValueError(f"arrays of numpy's files can be converted to torshi alone, not to {to}")
    try:
        import numpy as np
    except ImportError as error:
        raise ModuleNotFoundError("reading a .npz or .npy file needs numpy: pip install numpy", name="numpy") from error
    try:
        loaded = np.load(source, allow_pickle=False)
        value = loaded if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, EOFError, KeyError) as error:
        raise MalformedError(f"not a file of numpy's arrays, or one with pickles in it: {error}") from error
    finally:
        close = getattr(locals().get("loaded"), "close", None)
        if close is not None:
            close()
    save(value, target, compress=compress, key=False if key is None else key, progress=progress)
