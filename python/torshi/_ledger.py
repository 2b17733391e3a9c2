"""Ledger: the results of a long scan in a file that a later run can take up again.

JSON lines grow by a line a result; a Parquet ledger is a folder of part files, each written as a whole. What a run
that was killed left half-written is dropped, and scanned again. Says nothing about verdicts.
"""

from __future__ import annotations

import json
import os
import uuid
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

from torshi._objects import Key, ObjectResult

__all__ = ["Ledger", "open_ledger"]

# Results in one part of a Parquet ledger.
_PART = 10_000


class Ledger(Protocol):
    """Where results go, and which are there already."""

    known: set[Key]

    def add(self, result: ObjectResult) -> None:
        """Keeps a result."""

    def __enter__(self) -> Ledger: ...

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None: ...


def open_ledger(path: str | os.PathLike[str]) -> Ledger:
    """Opens a ledger, making it if need be: Parquet for a name that ends in ``.parquet``, else JSON lines.

    Raises:
        ImportError: it is a Parquet ledger, and pyarrow is not installed.
        ValueError: the file is there and is no ledger.
        OSError: it cannot be read or written.
    """
    target = Path(path)
    return _Parts(target) if target.suffix == ".parquet" else _Lines(target)


def _known(result: ObjectResult, known: set[Key]) -> None:
    if not result.failed:
        known.add(result.key)


class _Lines:
    """A ledger of JSON lines."""

    def __init__(self, path: Path) -> None:
        self.known: set[Key] = set()
        whole = self._read(path) if path.exists() else 0
        self._file: IO[bytes] = open(path, "ab")  # noqa: SIM115 - closed by __exit__
        self._file.truncate(whole)

    def _read(self, path: Path) -> int:
        """Notes what is there; how many bytes of it are whole lines."""
        whole = 0
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break  # a run was killed while it wrote this
                try:
                    _known(ObjectResult.from_record(json.loads(line)), self.known)
                except (ValueError, KeyError, TypeError) as error:
                    raise ValueError(f"line {number} is no result of a scan: give another file") from error
                whole += len(line)
        return whole

    def add(self, result: ObjectResult) -> None:
        self._file.write(json.dumps(result.to_record()).encode() + b"\n")
        self._file.flush()
        _known(result, self.known)

    def __enter__(self) -> _Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()


class _Parts:
    """A ledger of Parquet parts."""

    def __init__(self, path: Path) -> None:
        try:
            pyarrow = import_module("pyarrow")
            import_module("pyarrow.parquet")
        except ImportError as error:
            raise ImportError("writing Parquet needs pyarrow: pip install 'torshi[parquet]'") from error
        self._arrow: Any = pyarrow
        self._schema = _schema(pyarrow)
        self._folder = path
        self._pending: list[dict[str, Any]] = []
        self.known: set[Key] = set()
        if path.exists() and not path.is_dir():
            raise ValueError("is a file: a Parquet ledger is a folder of parts")
        path.mkdir(exist_ok=True)
        parts = sorted(path.glob("*.parquet"))
        self._written = len(parts)
        for part in parts:
            self._note(part)

    def _note(self, part: Path) -> None:
        try:
            table = self._arrow.parquet.read_table(part, columns=["path", "e_tag", "basis", "failed"])
        except (self._arrow.ArrowInvalid, KeyError) as error:
            raise ValueError(f"{part.name} is no result of a scan: give another folder") from error
        for row in table.to_pylist():
            if not row["failed"]:
                self.known.add((row["path"], row["e_tag"], row["basis"]))

    def add(self, result: ObjectResult) -> None:
        self._pending.append(result.to_record())
        _known(result, self.known)
        if len(self._pending) >= _PART:
            self._write()

    def _write(self) -> None:
        if not self._pending:
            return
        table = self._arrow.Table.from_pylist(self._pending, schema=self._schema)
        # Numbered, so that of two results the later stands in the later part; two runs at once do not collide.
        name = f"part-{self._written:06}-{uuid.uuid4().hex[:8]}"
        # Under a name that no reader of the folder takes for a part until it is whole.
        self._arrow.parquet.write_table(table, self._folder / f".{name}.tmp")
        os.replace(self._folder / f".{name}.tmp", self._folder / f"{name}.parquet")
        self._pending.clear()
        self._written += 1

    def __enter__(self) -> _Parts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._write()


def _schema(pyarrow: Any) -> Any:
    """The columns, written out so that parts without findings have the same."""
    text, number, flag = pyarrow.string(), pyarrow.int64(), pyarrow.bool_()
    texts = ("code", "rule", "severity", "message", "entry", "format", "opcode", "path", "name", "remedy")
    finding = pyarrow.struct([*((name, text) for name in texts), ("offset", number)])
    entry = pyarrow.struct([("name", text), ("format", text), ("size", number), ("pickles", number)])
    return pyarrow.schema(
        [
            *((name, text) for name in ("path", "verdict", "reason", "format", "blake3", "e_tag", "basis")),
            *((name, number) for name in ("size", "pickles", "left_out", "entries_left_out")),
            ("failed", flag),
            ("findings", pyarrow.list_(finding)),
            ("undecided", pyarrow.list_(finding)),
            ("remarks", pyarrow.list_(finding)),
            ("entries", pyarrow.list_(entry)),
        ]
    )
