"""Source of a function into a normal form: what it says, without how it is written.

A syntax tree in, nested text out, the same for two sources that differ in comments, docstrings, layout, annotations and
the names of locals. The form is made of what stands in the tree and of nothing that a release of Python adds to trees
without a meaning, so that it outlives most upgrades. Nothing here looks at objects or runs anything.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

__all__ = ["Function", "normal_form"]

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

# Fields that say how something was written, or to whom it is of use beside the interpreter.
_UNSAID: Final = {
    "FunctionDef": {"decorator_list", "returns", "type_comment", "type_params"},
    "AsyncFunctionDef": {"decorator_list", "returns", "type_comment", "type_params"},
    "arg": {"annotation", "type_comment"},
    "Name": {"ctx"},
    "Attribute": {"ctx"},
    "Subscript": {"ctx"},
    "Starred": {"ctx"},
    "List": {"ctx"},
    "Tuple": {"ctx"},
    "Constant": {"kind"},
    "Assign": {"type_comment"},
    "For": {"type_comment"},
    "AsyncFor": {"type_comment"},
    "With": {"type_comment"},
    "AsyncWith": {"type_comment"},
}
# Where a name of the scope stands as text.
_NAMES: Final = {
    "Name": "id",
    "arg": "arg",
    "FunctionDef": "name",
    "AsyncFunctionDef": "name",
    "ExceptHandler": "name",
    "MatchAs": "name",
    "MatchStar": "name",
    "MatchMapping": "rest",
    "Global": "names",
    "Nonlocal": "names",
}
# What sees the names of locals at run time; in a function that mentions one, they keep them.
_SEES_NAMES: Final = {"locals", "vars", "dir", "eval", "exec"}


def normal_form(function: Function) -> str:
    """The function without its name, decorators, docstring, annotations, comments, layout and names of locals.

    Raises:
        RecursionError: it is nested too deep.

    Example:
        >>> first = ast.parse("def f(a: int):\\n    'Doubles.'\\n    b = a * 2  # twice\\n    return b")
        >>> second = ast.parse("def g(x):\\n    y = (x\\n         * 2)\\n    return y")
        >>> normal_form(first.body[0]) == normal_form(second.body[0])
        True
    """
    numbers: dict[str, int] = {}
    form = _Form(_own_names(function), numbers)
    outer = form.fields(function, beside="name")
    return f"{type(function).__name__}({outer})"


class _Form:
    """Trees into text, with the names in `own` replaced by numbers in the order in which they are met."""

    def __init__(self, own: set[str], numbers: dict[str, int]) -> None:
        self._own = own
        self._numbers = numbers
        self._in_class = 0

    def name(self, name: str) -> str:
        if name not in self._own:
            return repr(name)
        return f"#{self._numbers.setdefault(name, len(self._numbers))}"

    def of(self, value: object) -> str:
        if isinstance(value, ast.Constant):
            return f"Constant({_constant(value.value)})"
        if isinstance(value, ast.AnnAssign) and not self._in_class:
            # Locals may be annotated without a change of meaning; in a class body annotations are fields.
            if value.value is None:
                return ""
            return f"Assign(targets=[{self.of(value.target)}],value={self.of(value.value)})"
        if isinstance(value, ast.alias):
            bound = value.asname or value.name.split(".")[0]
            return f"alias({value.name!r},{self.name(bound)})"
        if isinstance(value, ast.ClassDef):
            self._in_class += 1
            text = f"ClassDef({self.fields(value)})"
            self._in_class -= 1
            return text
        if isinstance(value, Function):
            within, self._in_class = self._in_class, 0
            text = f"{type(value).__name__}({self.fields(value)},decorators=[{self._all(value.decorator_list)}])"
            self._in_class = within
            return text
        if isinstance(value, ast.AST):
            return f"{type(value).__name__}({self.fields(value)})"
        if isinstance(value, list):
            return f"[{self._all(value)}]"
        return repr(value)

    def _all(self, values: Sequence[object]) -> str:
        return ",".join(filter(None, map(self.of, values)))

    def fields(self, node: ast.AST, beside: str = "") -> str:
        """Fields with something in them: a later Python may add some that stay empty."""
        kind = type(node).__name__
        unsaid, named = _UNSAID.get(kind, ()), _NAMES.get(kind)
        said = []
        for name in node._fields:
            value = getattr(node, name, None)
            if name in unsaid or name == beside or value is None or value == []:
                continue
            if name == "body" and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                value = _without_docstring(node.body)
            if name == named:
                names = value if isinstance(value, list) else [value]
                said.append(f"{name}={'|'.join(map(self.name, names))}")
            else:
                said.append(f"{name}={self.of(value)}")
        return ",".join(said)


def _constant(value: object) -> str:
    """A literal with its type: 1, 1.0 and True are three."""
    if isinstance(value, tuple):
        return f"tuple({','.join(map(_constant, value))})"
    if isinstance(value, frozenset):
        return f"frozenset({','.join(sorted(map(_constant, value)))})"
    return f"{type(value).__name__} {value!r}"


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return body[1:]
    return body


def _own_names(function: Function) -> set[str]:
    """Names that a function binds and that nothing but itself can see.

    None where something in it sees names at run time, or a class within makes names into attributes.
    """
    bound: set[str] = set()
    shared: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.ClassDef) or (isinstance(node, ast.Name) and node.id in _SEES_NAMES):
            return set()
        if isinstance(node, ast.Global):
            shared |= set(node.names)
        elif isinstance(node, ast.Nonlocal):
            continue
        elif isinstance(node, ast.alias):
            bound.add(node.asname or node.name.split(".")[0])
        else:
            bound |= set(_bound(node))
    bound.discard(function.name)
    return bound - shared


def _bound(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        return
    where = _NAMES.get(type(node).__name__)
    if where is not None:
        name = getattr(node, where)
        if isinstance(name, str):
            yield name
