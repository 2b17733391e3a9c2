"""Finding: one reason why a stream is refused, as plain data.

Turns the JSON record the native verifier writes into a frozen dataclass. Never decides anything: whether
something is a finding was settled by the verifier.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Finding", "from_json", "from_record"]


@dataclass(frozen=True)
class Finding:
    """One thing in a stream that the policy does not allow.

    Attributes:
        kind: short name of the rule that was broken, such as ``untrusted-global``.
        name: the class or function concerned, as ``module.qualname``, or None.
        offset: byte offset of the opcode, counted from the start of the stream.
        opcode: name of that opcode, as in `pickletools`.
        path: where in the object the value would stand, such as ``$.owner``, or None where it has no place.
        message: what is wrong, without the place.
        remedy: the shortest entry of a trust list that would allow it, or None where none can.

    Example:
        >>> import torshi
        >>> report = torshi.inspect(b"cposix\\nsystem\\n(S'true'\\ntR.")
        >>> finding = report.findings[0]
        >>> finding.name, finding.offset, finding.opcode
        ('posix.system', 0, 'GLOBAL')
    """

    kind: str
    name: str | None
    offset: int
    opcode: str
    path: str | None
    message: str
    remedy: str | None

    def __str__(self) -> str:
        """The whole finding in one line: what, where, and the way out."""
        return self.to_line('load(..., trust=["{}"])')

    def to_line(self, way_out: str) -> str:
        """The same with the way out put for somebody else.

        Args:
            way_out: how to allow a name, which stands for ``{}`` in it.
        """
        at = f", at {self.path}" if self.path else ""
        way = f"; expected it? {way_out.format(self.remedy)}" if self.remedy else ""
        return f"{self.message} ({self.opcode} at byte {self.offset}{at}){way}"


# Shown as `torshi.Finding`, the name users import it by (a dataclass body would take an assignment
# to `__module__` for granted, but type checkers then lose the dataclass's own module).
Finding.__module__ = "torshi"


def from_record(record: Mapping[str, Any]) -> Finding:
    """Builds a finding from a decoded JSON record.

    Args:
        record: the fields of `Finding` by name; absent optional fields are None.

    Returns:
        The finding.

    Raises:
        KeyError: a field that every finding has is absent.
    """
    return Finding(
        kind=record["kind"],
        name=record.get("name"),
        offset=record["offset"],
        opcode=record["opcode"],
        path=record.get("path"),
        message=record["message"],
        remedy=record.get("remedy"),
    )


def from_json(text: str) -> Finding:
    """Builds a finding from one JSON object, as the native verifier writes it."""
    return from_record(json.loads(text))
