"""Report: what a pickle stream holds, as plain data and as text.

Turns the JSON of the native inspection into frozen dataclasses and these into lines. Nothing here reads
a stream, and no wording claims more than that a policy had no findings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torshi._findings import Finding, from_record
from torshi._printable import printable

__all__ = ["Call", "Fault", "GlobalUse", "Memo", "Node", "Report"]


@dataclass(frozen=True)
class GlobalUse:
    """A class or function the stream names.

    Attributes:
        name: ``module.qualname``, in Python 3 names.
        module: the module.
        qualname: the name inside the module, dotted for nested classes.
        offset: byte offset of the opcode that names it first.
        opcode: name of that opcode.
        verdict: ``allowed`` or ``untrusted``.
        uses: what the stream does with it: ``call``, ``construct``, ``state``, ``value``...
        rule: the policy's row or pattern that allowed it, or None.
    """

    name: str
    module: str
    qualname: str
    offset: int
    opcode: str
    verdict: str
    uses: tuple[str, ...]
    rule: str | None


@dataclass(frozen=True)
class Call:
    """A call or construction the stream would make.

    Attributes:
        name: what is called, as ``module.qualname``.
        offset: byte offset of the opcode that calls.
        opcode: name of that opcode.
        path: where the result stands in the object, or None.
    """

    name: str
    offset: int
    opcode: str
    path: str | None


@dataclass(frozen=True)
class Memo:
    """Use of the memo: values stored, and values of those ever read again."""

    stored: int
    read: int


@dataclass(frozen=True)
class Fault:
    """Where and why the stream stopped being a pickle."""

    message: str
    offset: int | None
    opcode: str | None


@dataclass(frozen=True)
class Node:
    """One value of the tree.

    Attributes:
        kind: ``dict``, ``list``, ``str``, ``instance``, ``global``, ``call``, ``reference``...
        type: ``module.qualname`` of an instance's class or of a global, or None.
        value: a short text of the value, or None.
        start: byte offset where the value's opcodes begin.
        end: byte offset after them.
        path: where the value stands, such as ``$.servers[3]``.
        children: what it holds, each with its key (None where it has none).
        truncated: how many children are left out.
        count: number of elements it holds, or None.
    """

    kind: str
    type: str | None
    value: str | None
    start: int
    end: int
    path: str
    children: tuple[tuple[str | None, Node], ...]
    truncated: int
    count: int | None

    @property
    def size(self) -> int:
        """Bytes of the stream this value takes, with all it holds."""
        return self.end - self.start


@dataclass(frozen=True)
class Report:
    """What a stream holds and what a policy has to say about it; made by `torshi.inspect`.

    Attributes:
        policy: name of the policy the findings are under.
        protocol: the protocol the stream declares or needs.
        protocols: protocols the opcodes used belong to.
        size: bytes up to and including STOP.
        trailing: bytes after STOP, which a load does not read.
        opcodes: number of opcodes.
        memo: use of the memo.
        globals: classes and functions the stream names, in stream order.
        calls: calls and constructions it would make, in stream order.
        findings: what the policy does not allow, in stream order.
        error: where it stopped being a pickle, or None.
        tree: the value it stands for, or None where there is none.

    Example:
        >>> import torshi
        >>> report = torshi.inspect(torshi.dumps({"name": "John Doe", "age": 30}))
        >>> report.verdict
        'no findings under policy default'
        >>> [key for key, node in report.tree.children]
        ['name', 'age']
    """

    policy: str
    protocol: int
    protocols: tuple[int, ...]
    size: int
    trailing: int
    opcodes: int
    memo: Memo
    globals: tuple[GlobalUse, ...]
    calls: tuple[Call, ...]
    findings: tuple[Finding, ...]
    error: Fault | None
    tree: Node | None
    _record: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, text: str, policy: str = "default") -> Report:
        """Builds a report from the JSON of the native inspection.

        Args:
            text: one JSON object.
            policy: name of the policy it was made under.
        """
        record = json.loads(text)
        error = record["error"]
        return cls(
            policy=policy,
            protocol=record["protocol"],
            protocols=tuple(record["protocols"]),
            size=record["size"],
            trailing=record["trailing"],
            opcodes=record["opcodes"],
            memo=Memo(record["memo"]["stored"], record["memo"]["read"]),
            globals=tuple(_global(entry) for entry in record["globals"]),
            calls=tuple(Call(c["name"], c["offset"], c["opcode"], c.get("path")) for c in record["calls"]),
            findings=tuple(from_record(finding) for finding in record["findings"]),
            error=None if error is None else Fault(error["message"], error.get("offset"), error.get("opcode")),
            tree=_tree(record.get("tree")),
            _record=record,
        )

    @property
    def is_pickle(self) -> bool:
        """Whether it is a pickle, perhaps a broken one, and not plainly something else, such as a zip archive."""
        return self.error is None or not self.error.message.startswith("not a pickle")

    @property
    def verdict(self) -> str:
        """The outcome in one line, without a word more than was checked."""
        if not self.is_pickle and self.error is not None:
            return printable(self.error.message)
        if self.error is not None:
            return f"not a readable pickle: {printable(self.error.message)}"
        count = len(self.findings)
        what = "no findings" if not count else "1 finding" if count == 1 else f"{count} findings"
        return f"{what} under policy {printable(self.policy)}"

    def to_json(self, indent: int | None = None) -> str:
        """The report as one JSON object, with the policy's name and the verdict beside the native fields."""
        return json.dumps({"policy": self.policy, "verdict": self.verdict, **self._record}, indent=indent)

    def to_text(self, color: bool = False, depth: int | None = None) -> str:
        """The report as lines for a reader; control characters in names are escaped.

        Args:
            color: mark findings with ANSI colours.
            depth: levels of the tree to show; None for all, 0 for none.
        """
        return "\n".join(_lines(self, _Paint(color), depth))

    def __str__(self) -> str:
        return self.to_text()


for _shown in (Call, Fault, GlobalUse, Memo, Node, Report):
    _shown.__module__ = "torshi"
del _shown


def _global(entry: Mapping[str, Any]) -> GlobalUse:
    return GlobalUse(
        name=entry["name"],
        module=entry["module"],
        qualname=entry["qualname"],
        offset=entry["offset"],
        opcode=entry["opcode"],
        verdict=entry["verdict"],
        uses=tuple(entry["uses"]),
        rule=entry.get("rule"),
    )


def _tree(record: Mapping[str, Any] | None) -> Node | None:
    """Builds the tree from the leaves up, without recursion: streams nest deeper than the stack."""
    if record is None:
        return None
    order: list[Mapping[str, Any]] = []
    pending = [record]
    while pending:
        entry = pending.pop()
        order.append(entry)
        pending.extend(child["node"] for child in entry.get("children", ()))
    built: dict[int, Node] = {}
    for entry in reversed(order):
        children = tuple((child["key"], built[id(child["node"])]) for child in entry.get("children", ()))
        built[id(entry)] = Node(
            kind=entry["kind"],
            type=entry.get("type"),
            value=entry.get("value"),
            start=entry["start"],
            end=entry["end"],
            path=entry["path"],
            children=children,
            truncated=entry.get("truncated") or 0,
            count=entry.get("count"),
        )
    return built[id(record)]


class _Paint:
    """ANSI colours, or none."""

    def __init__(self, color: bool) -> None:
        self._color = color

    def bad(self, text: str) -> str:
        return f"\x1b[31m{text}\x1b[0m" if self._color else text

    def good(self, text: str) -> str:
        return f"\x1b[32m{text}\x1b[0m" if self._color else text

    def faint(self, text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if self._color else text


def _lines(report: Report, paint: _Paint, depth: int | None) -> Iterator[str]:
    trailing = f", {report.trailing} bytes after it" if report.trailing else ""
    if not report.is_pickle:
        yield paint.bad(report.verdict)
        return
    opcodes = f"{report.opcodes} opcode{'' if report.opcodes == 1 else 's'}"
    yield f"pickle, protocol {report.protocol}, {_bytes(report.size)}, {opcodes}{trailing}"
    clean = report.error is None and not report.findings
    yield (paint.good if clean else paint.bad)(report.verdict)
    if report.globals:
        yield ""
        yield f"globals ({len(report.globals)})"
        for used in report.globals:
            uses = f"  {', '.join(used.uses)}" if used.uses else ""
            line = f"  {used.verdict:<9}  {printable(used.name)}{uses}"
            place = paint.faint(f"  {used.opcode} at byte {used.offset}")
            yield (line if used.verdict == "allowed" else paint.bad(line)) + place
    if report.calls:
        yield ""
        yield f"calls ({len(report.calls)})"
        for call in report.calls:
            where = f"  at {printable(call.path)}" if call.path else ""
            yield f"  {printable(call.name)}{where}" + paint.faint(f"  {call.opcode} at byte {call.offset}")
    if report.findings:
        yield ""
        yield f"findings ({len(report.findings)})"
        for finding in report.findings:
            yield paint.bad(f"  {printable(str(finding))}")
    if report.tree is not None and depth != 0:
        yield ""
        yield "tree"
        yield from _tree_lines(report.tree, paint, depth)


def _tree_lines(root: Node, paint: _Paint, depth: int | None) -> Iterator[str]:
    pending: list[tuple[int, str | None, Node | str]] = [(1, None, root)]
    while pending:
        level, key, node = pending.pop()
        indent = "  " * level
        if isinstance(node, str):
            yield paint.faint(indent + node)
            continue
        name = f"{printable(key)}: " if key is not None else ""
        yield indent + name + _described(node) + paint.faint(f"  [{node.start}:{node.end}] {_bytes(node.size)}")
        if depth is not None and level >= depth:
            continue
        if node.truncated:
            pending.append((level + 1, None, f"... and {node.truncated} more"))
        pending.extend((level + 1, inner, child) for inner, child in reversed(node.children))


def _described(node: Node) -> str:
    parts = [printable(node.kind)]
    if node.type is not None:
        parts.append(printable(node.type))
    if node.count is not None:
        parts.append(f"({node.count})")
    if node.value is not None:
        parts.append(printable(node.value))
    return " ".join(parts)


def _bytes(count: int) -> str:
    if count == 1:
        return "1 byte"
    if count < 10_000:
        return f"{count} bytes"
    size = float(count)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000 or unit == "GB":
            break
    return f"{size:.1f} {unit}"
