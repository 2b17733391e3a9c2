"""`convert`: files of other formats into files of `save`, and files of either into JSON.

Pickles are rewritten and never loaded; JSON is made of what the stream says, and not of objects. Arrays of numpy's own
formats are read by numpy, without pickles in them. What a format has no form for is refused by its path.
"""

from __future__ import annotations

import importlib
import os
import zipfile
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, Literal, TypeAlias

from torshi import _native
from torshi._atomic import replacing
from torshi._compression import Compression, chosen_compression
from torshi._errors import LimitError, MalformedError
from torshi._file import save
from torshi._limits import Limits
from torshi._migrate import migrate
from torshi._opening import write_all
from torshi._rewritten import pickle_file, write_plain, write_stream
from torshi._seal import KeyChoice, chosen_keys

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
_JOBLIB = b"NumpyArrayWrapper"

# How joblib compresses beside gzip and lz4: what such a file begins with, and what unpacks it.
_PACKED = (
    (b"\x78\x01", "zlib", "decompressobj"),
    (b"\x78\x5e", "zlib", "decompressobj"),
    (b"\x78\x9c", "zlib", "decompressobj"),
    (b"\x78\xda", "zlib", "decompressobj"),
    (b"BZh", "bz2", "BZ2Decompressor"),
    (b"\xfd7zXZ", "lzma", "LZMADecompressor"),
    (b"\x5d\x00\x00", "lzma", "LZMADecompressor"),
)


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
        source: a pickle of any kind, compressed or not, a file of joblib's, or a `.npz` or `.npy` file of numpy's.
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
        >>> from pathlib import Path
        >>> Path("data.json").read_text()
        '{"name":"John Doe","scores":[1,2.5]}\\n'
    """
    chosen = to or _SUFFIXES.get(PurePath(os.fsdecode(target)).suffix.lower())
    if chosen not in ("torshi", "pickle", "json"):
        raise ValueError(f"cannot tell the format from {os.fsdecode(target)}: give to='torshi', 'pickle' or 'json'")
    with open(source, "rb") as opened:
        first = opened.read(6)
    if first == _NPY or first.startswith(_ZIP):
        _arrays(source, target, chosen, compress, key, progress)
        return chosen
    data = _joblib_data(source, limits)
    if data is not None:
        _joblib(data, target, chosen, compress, key, progress)
    elif chosen == "json":
        _json(source, target, lossy, limits)
    else:
        options: dict[str, Any] = {"compress": compress, "limits": limits, "progress": progress}
        migrate(source, target, key=key, plain=chosen == "pickle", **options)
    return chosen


def _joblib_data(source: Any, limits: Limits | None) -> bytes | None:
    """The bytes of a file in joblib's layout, unpacked; None if it is none.

    Raises:
        MalformedError: it cannot be unpacked.
        LimitError: it unpacks to more than a load may ask for.
    """
    with open(source, "rb") as opened:
        raw = opened.read()
    packed = next(((module, name) for head, module, name in _PACKED if raw.startswith(head)), None)
    if packed is not None:
        data = _unpacked(raw, *packed, limits)
    elif _native.sniff_container(raw[:4]) != "plain":
        data, fault = _native.unpack_some(raw, _most(raw, limits))
        _within(raw, data, limits)
        if fault is not None and _JOBLIB in data:
            raise MalformedError(f"the file is damaged: it cannot be unpacked: {fault}")
    else:
        data = raw
    if _JOBLIB in data:
        return data
    if packed is not None:
        raise MalformedError("the file unpacks to something without joblib's arrays: unpack it first")
    return None


def _most(raw: bytes, limits: Limits | None) -> int:
    """Bytes that a file may unpack to."""
    if limits is not None and limits.stream is not None:
        return limits.stream
    return (64 << 20) + 32 * len(raw)


def _within(raw: bytes, data: bytes, limits: Limits | None) -> None:
    """Raises if a file unpacks to more than it may."""
    most = _most(raw, limits)
    if len(data) > most:
        text = f"the file has {len(raw)} bytes and unpacks to more than {most}; expected it? limits=Limits(stream=...)"
        raise LimitError(text, "stream", most)


def _unpacked(raw: bytes, module: str, name: str, limits: Limits | None) -> bytes:
    """What a compressed file of joblib's unpacks to."""
    most = _most(raw, limits)
    try:
        unpacker = getattr(importlib.import_module(module), name)()
        data: bytes = unpacker.decompress(raw, most + 1)
    except ImportError as error:
        raise MalformedError(f"this Python has no module {module} to unpack the file with") from error
    except Exception as error:
        raise MalformedError(f"the file is damaged: it cannot be unpacked: {error}") from error
    _within(raw, data, limits)
    if not unpacker.eof:
        raise MalformedError("the file is damaged: what it unpacks to breaks off")
    return data


def _joblib(
    data: bytes,
    target: Any,
    to: Format,
    compress: Compression,
    key: KeyChoice,
    progress: Callable[[int], object] | None,
) -> None:
    if to == "json":
        raise ValueError("JSON has no form for arrays of joblib's")
    stream = _native.rewrite(data, [], joblib=True)
    if stream.end < len(data):
        raise MalformedError(f"{len(data) - stream.end} bytes follow the pickle", stream.end)
    if to == "pickle":
        write_plain([stream.bytes()], target)
        return
    sealing = [] if key is None else chosen_keys(key)
    write_stream(stream, target, chosen_compression(compress), sealing, progress=progress)


def _json(source: Any, target: Any, lossy: bool, limits: Limits | None) -> None:
    data = pickle_file(source, limits).data
    stream = _native.rewrite(data, [])
    if stream.end < len(data):
        raise MalformedError(f"{len(data) - stream.end} bytes follow the pickle: JSON has one value", stream.end)
    text = _native.plain_json(stream, lossy)
    with replacing(target) as descriptor:
        write_all(descriptor, text.encode() + b"\n")


def _arrays(
    source: Any,
    target: Any,
    to: Format,
    compress: Compression,
    key: KeyChoice,
    progress: Callable[[int], object] | None,
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
        # numpy leaves a file open whose name it was given where that file is none of its own.
        with open(source, "rb") as opened:
            loaded = np.load(opened, allow_pickle=False)
            value = loaded if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise MalformedError(f"not a file of numpy's arrays, or one with pickles in it: {error}") from error
    save(value, target, compress=compress, key=False if key is None else key, progress=progress)
