"""Files of modules into the functions that are defined in them, each with what it needs to be compiled by itself.

A file is read and parsed once, for all of its functions, and again when it has changed. Whether a function that runs is
the one that stands there now is not known here: see `bytecode.compiles_to`.
"""

from __future__ import annotations

import ast
import linecache
from collections import OrderedDict
from types import CodeType
from typing import Final, NamedTuple

from torshi._cache.syntax import Function

__all__ = ["Definition", "definition_of"]

# Files whose trees are kept; a program's cached functions are in few.
_FILES: Final = 64


class Definition(NamedTuple):
    """A function as it stands in a file.

    Attributes:
        node: its tree.
        imported: names that its module imports, outside of functions and classes.
    """

    node: Function
    imported: tuple[str, ...]


class _File(NamedTuple):
    lines: list[str]
    functions: dict[tuple[int, str], Function]
    imported: tuple[str, ...]


_files: Final[OrderedDict[str, _File]] = OrderedDict()


def definition_of(code: CodeType) -> Definition | None:
    """What stands in a code object's file at the place where it was; None for lambdas, and where there is no file.

    Example:
        >>> import textwrap
        >>> definition_of(textwrap.dedent.__code__).node.name
        'dedent'
    """
    path = code.co_filename
    linecache.checkcache(path)
    lines = linecache.getlines(path)
    if not lines:
        return None
    file = _files.get(path)
    if file is None or (file.lines is not lines and file.lines != lines):
        file = _files[path] = _parsed(lines)
        while len(_files) > _FILES:
            _files.popitem(last=False)
    node = file.functions.get((code.co_firstlineno, code.co_name))
    return None if node is None else Definition(node, file.imported)


def _parsed(lines: list[str]) -> _File:
    functions: dict[tuple[int, str], Function] = {}
    imported: set[str] = set()
    try:
        waiting: list[tuple[ast.AST, bool]] = [(ast.parse("".join(lines)), True)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _File(lines, functions, ())
    while waiting:
        node, is_outside = waiting.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)) and is_outside:
            imported |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, Function):
            first = min((decorator.lineno for decorator in node.decorator_list), default=node.lineno)
            functions[first, node.name] = node
        inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        if not isinstance(node, ast.expr):
            waiting += [(child, is_outside and not inside) for child in ast.iter_child_nodes(node)]
    return _File(lines, functions, tuple(sorted(imported - {"*"})))
