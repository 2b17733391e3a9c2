"""Outlines: what stands in a pickle, as lines and as the shapes of its classes.

A stream in; one line a value, by its path, and for each class of an application its fields, out. Where a class declares
fields these are its shape, else the attributes that its instances are seen to have. Loads nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torshi._drift import dotted
from torshi._inspect import inspect
from torshi._policy import Policy
from torshi._printable import printable
from torshi._report import Node, Report

__all__ = ["Outline", "outline"]


@dataclass(frozen=True)
class Outline:
    """What stands in a pickle.

    Attributes:
        values: one line a value, such as ``$.age = 30``.
        classes: for each class of the application, as ``module:qualname``, its ``fields`` and ``version``, as in a
            manifest.
    """

    values: list[str]
    classes: dict[str, dict[str, Any]]

    @property
    def schema(self) -> list[str]:
        """The classes as lines, for a diff."""
        lines = []
        for name, record in sorted(self.classes.items()):
            version = f" (version {record['version']})" if "version" in record else ""
            lines.append(f"class {printable(dotted(name))}{version}")
            lines += [f"    {printable(f'{field}: {kind}' if kind else field)}" for field, kind in record["fields"]]
        return lines


def outline(stream: bytes, declared: Mapping[str, Mapping[str, Any]]) -> Outline:
    """The outline of a pickle.

    Args:
        stream: the pickle.
        declared: what its manifest says of classes.

    Example:
        >>> import torshi
        >>> from torshi._outline import outline
        >>> outline(torshi.dumps({"a": [1]}), {}).values
        ['$: dict (1)', '$.a: list (1)', '$.a[0] = 1']
    """
    report = inspect(stream)
    if report.tree is None:
        return Outline([], {})
    seen = _seen(report)
    classes = {}
    for name in sorted(_own_names(report)):
        record = {"fields": seen.get(dotted(name), []), **declared.get(name, {})}
        if record["fields"] or "version" in record:
            classes[name] = record
    return Outline([_line(node) for node in _nodes(report.tree)], classes)


def _own_names(report: Report) -> set[str]:
    """What a pickle names beside what the default policy has, which is what belongs to the application."""
    reviewed = Policy.default()._inner
    return {
        f"{used.module}:{used.qualname}" for used in report.globals if not reviewed.lists(used.module, used.qualname)
    }


def _nodes(tree: Node) -> Iterator[Node]:
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(child for _, child in reversed(node.children))


def _line(node: Node) -> str:
    what = node.kind if node.kind in ("dict", "list", "tuple", "set", "frozenset") else node.type or node.kind
    if node.kind == "reference":
        text = f"{node.path} is {node.value}"
    elif node.count is not None:
        text = f"{node.path}: {what} ({node.count})"
    elif node.value is not None and node.type is None:
        text = f"{node.path} = {node.value}"
    else:
        text = f"{node.path}: {what}"
    return printable(text)


def _seen(report: Report) -> dict[str, list[list[str]]]:
    """By class, the attributes of its instances with the kinds of their values."""
    found: dict[str, dict[str, set[str]]] = {}
    for node in _nodes(report.tree) if report.tree is not None else ():
        if node.kind != "instance" or node.type is None:
            continue
        attributes = found.setdefault(node.type, {})
        for key, child in node.children:
            if key is not None and key.isidentifier():
                attributes.setdefault(key, set()).add(child.type or child.kind)
    return {
        name: [[attribute, " | ".join(sorted(kinds))] for attribute, kinds in attributes.items()]
        for name, attributes in found.items()
    }
