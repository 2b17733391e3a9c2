"""Spelling: annotations as text, and whether two of them say the same.

One class may have its annotations as objects today and as text tomorrow (``from __future__ import annotations``), or
write ``Optional`` where it wrote ``|``. Reads expressions, and evaluates none.
"""

from __future__ import annotations

import ast

__all__ = ["same"]

_LONGEST = 1000


def same(was: str, now: str) -> bool:
    """Whether two annotations say the same, however they were written.

    Example:
        >>> from torshi._spelling import same
        >>> same("typing.Optional[int]", "None | int"), same("List['app.User']", "list[User]"), same("int", "str")
        (True, True, False)
    """
    return was == now or _plain(was) == _plain(now)


def _plain(annotation: str) -> str:
    """An annotation without what does not count: modules, quotes, Optional and Union for ``|``, order of a union."""
    if len(annotation) > _LONGEST:
        return annotation
    try:
        return _spelled(ast.parse(annotation, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return annotation


def _spelled(node: ast.expr) -> str:
    match node:
        case ast.BinOp(op=ast.BitOr()):
            return _union([node.left, node.right])
        case ast.Attribute():
            return _lower(node.attr)
        case ast.Name():
            return _lower(node.id)
        case ast.Constant(value=None):
            return "None"
        case ast.Constant(value=str(text)):
            return _plain(text)
        case ast.Subscript():
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            match _spelled(node.value):
                case "Optional":
                    return _union([*parts, ast.Constant(None)])
                case "Union":
                    return _union(parts)
                case base:
                    return f"{base}[{', '.join(map(_spelled, parts))}]"
        case _:
            return ast.unparse(node)


def _lower(name: str) -> str:
    """``List`` of typing is ``list``."""
    return name.lower() if name in ("List", "Dict", "Set", "FrozenSet", "Tuple", "Type") else name


def _union(parts: list[ast.expr]) -> str:
    return " | ".join(sorted({name for part in parts for name in _spelled(part).split(" | ")}))
