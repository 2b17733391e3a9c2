"""Manifests: what a file says of itself, written by `save` and read by `describe`.

Lengths, digests and names in, JSON out; JSON in, a `Description` out. Looks at classes that the saved object uses,
which are there already, and imports none. What a load goes by is read by the native module alone.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import platform
import sys
from dataclasses import dataclass
from typing import Any

from torshi._distribution import distribution_of
from torshi._drift import Change, changes
from torshi._fingerprint import fingerprint, live_class
from torshi._version import __version__

__all__ = ["Description", "SavedBuffer", "compose", "description", "metadata_checked", "says_by_value"]

_VERSION = 1


@dataclass(frozen=True)
class SavedBuffer:
    """A large buffer of a file.

    Attributes:
        offset: where it begins in the pickle, in bytes.
        length: how many bytes it has.
        digest: BLAKE3 of these, as ``blake3:`` and hexadecimal digits.
    """

    offset: int
    length: int
    digest: str


@dataclass(frozen=True)
class Description:
    """What a file that `torshi.save` wrote says of itself. Nothing of it is checked here; `torshi.verify` does that.

    Attributes:
        format: version of the file format.
        container: how the pickle is held: ``plain``, ``zstd``, ``lz4`` or ``gzip``.
        size: bytes of the file.
        stream: bytes of the pickle, uncompressed.
        digest: BLAKE3 of the pickle, as ``blake3:`` and hexadecimal digits.
        globals: names the pickle uses, ``module:qualname``.
        classes: for each class among these what it was like: ``fields``, and ``version`` where it declares one.
        distributions: versions of the distributions these come from.
        buffers: the large buffers.
        metadata: what the one who saved it added.
        created: when it was written, in UTC.
        writer: what wrote it.
        python: version of the Python that wrote it.
        platform: system and machine that wrote it.
        seals: who sealed it, one line each.
        by_value: whether it holds functions or classes as their code, which loading runs.
    """

    format: int
    container: str
    size: int
    stream: int
    digest: str
    globals: tuple[str, ...]
    classes: dict[str, dict[str, Any]]
    distributions: dict[str, str]
    buffers: tuple[SavedBuffer, ...]
    metadata: Any
    created: datetime.datetime | None
    writer: str
    python: str
    platform: str
    seals: tuple[str, ...] = ()
    by_value: bool = False

    def changes(self) -> tuple[Change, ...]:
        """What is not as it was when the file was saved: versions of libraries, and classes that are imported already.

        Imports nothing: of a class whose module is not loaded there is nothing to say.

        Example:
            >>> import torshi
            >>> torshi.save([1, 2], "list.pkl")
            >>> torshi.describe("list.pkl").changes()
            ()
        """
        return changes(self.classes, self.distributions, self.globals)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        plain = dataclasses.asdict(self)
        plain["created"] = self.created.isoformat() if self.created else None
        return plain


Description.__module__ = "torshi"
SavedBuffer.__module__ = "torshi"


def compose(
    length: int,
    digest: str,
    buffers: list[tuple[int, int, str, bool]],
    names: list[str],
    metadata: Any,
    by_value: bool = False,
) -> bytes:
    """The manifest of a stream that has just been written.

    Args:
        length: bytes of the stream.
        digest: its digest.
        buffers: offset, length and digest of each large buffer, and whether it may come back as another buffer.
        names: ``module:qualname`` of everything the stream names.
        metadata: what the user adds; JSON.
        by_value: whether the stream holds functions or classes as their code.

    Raises:
        TypeError: the metadata is not JSON.
        ValueError: it has numbers that JSON has not, or refers to itself.
    """
    classes: dict[str, dict[str, Any]] = {}
    distributions: dict[str, str] = {}
    for name in names:
        module = name.partition(":")[0]
        distribution = distribution_of(module)
        if distribution:
            distributions[distribution[0]] = distribution[1]
        known = fingerprint(live_class(name)) if module.partition(".")[0] not in sys.stdlib_module_names else None
        if known:
            classes[name] = known
    record = {
        "torshi": _VERSION,
        "writer": f"torshi {__version__}",
        "created": _now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": f"{sys.platform}-{platform.machine()}",
        "stream": length,
        "digest": digest,
        "globals": names,
        "classes": classes,
        "distributions": dict(sorted(distributions.items())),
        "buffers": buffers,
        "metadata": metadata,
    }
    if by_value:
        record["by_value"] = True
    return json.dumps(record, allow_nan=False, separators=(",", ":")).encode("ascii")


def says_by_value(manifest: bytes | None) -> bool:
    """Whether a manifest says that its stream holds code."""
    return manifest is not None and json.loads(manifest).get("by_value") is True


def metadata_checked(metadata: Any) -> None:
    """Raises what `compose` would raise of the metadata, before anything is written."""
    try:
        json.dumps(metadata, allow_nan=False)
    except TypeError as error:
        raise TypeError(f"metadata must be JSON: text, numbers, lists and dictionaries; {error}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"metadata must be JSON: {error}") from None


def description(text: bytes, container: str, size: int, seals: tuple[str, ...] = ()) -> Description:
    """What a manifest says; what is missing or of another type is left empty."""
    record = json.loads(text)

    def of(key: str, kind: type, default: Any) -> Any:
        value = record.get(key, default)
        return value if isinstance(value, kind) else default

    return Description(
        format=of("torshi", int, 0),
        container=container,
        size=size,
        stream=of("stream", int, 0),
        digest=of("digest", str, ""),
        globals=tuple(of("globals", list, [])),
        classes=of("classes", dict, {}),
        distributions=of("distributions", dict, {}),
        buffers=tuple(SavedBuffer(*entry[:3]) for entry in of("buffers", list, [])),
        metadata=record.get("metadata"),
        created=_time(of("created", str, "")),
        writer=of("writer", str, ""),
        python=of("python", str, ""),
        platform=of("platform", str, ""),
        seals=seals,
        by_value=record.get("by_value") is True,
    )


def _now() -> datetime.datetime:
    """The time, or what it is for builds that want equal bytes (reproducible-builds.org, SOURCE_DATE_EPOCH)."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if epoch.isdecimal():
        return datetime.datetime.fromtimestamp(int(epoch), datetime.UTC)
    return datetime.datetime.now(datetime.UTC)


def _time(text: str) -> datetime.datetime | None:
    try:
        return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC)
    except ValueError:
        return None
