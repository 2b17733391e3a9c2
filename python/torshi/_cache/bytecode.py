"""Code objects into a normal form: what they do, without where it was written and how locals are called.

For functions whose source is not there or is no longer theirs. Instructions are those of one release of Python, and so
is the form. Nothing here runs anything, but `compiles_to` has Python compile a source, to compare it with what runs.
"""

from __future__ import annotations

import ast
import dis
import sys
from collections.abc import Iterator
from importlib.abc import InspectLoader
from types import CodeType
from typing import Final

from torshi._cache.source import Definition
from torshi._cache.syntax import Function

__all__ = ["code_form", "compiles_to", "references"]

# Without an effect beyond making room or being traced.
_IDLE: Final = {"NOP", "RESUME", "CACHE", "EXTENDED_ARG", "COPY_FREE_VARS", "MAKE_CELL"}
# Of the flags of code: arguments in rows and by name, generators, coroutines.
_KINDS: Final = 0x2AC
_FUTURE_ANNOTATIONS: Final = 0x1000000
_ATTRIBUTE: Final = {"LOAD_ATTR", "LOAD_METHOD"}
_GLOBAL: Final = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_LOCAL: Final = ("LOAD_FAST", "LOAD_DEREF", "LOAD_CLASSDEREF")


def code_form(code: CodeType) -> str:
    """A code object as text: instructions, constants, names.

    Example:
        >>> first, second = (lambda a: a + 1).__code__, (lambda b: b + 1).__code__
        >>> code_form(first) == code_form(second)
        True
        >>> code_form(first) == code_form((lambda a: a + 2).__code__)
        False
    """
    return _form(code, {})


def _form(code: CodeType, outer: dict[str, str]) -> str:
    """Text of code within code whose locals go by the names in `outer`."""
    names = _Names(code, outer)
    instructions = [found for found in dis.get_instructions(code) if found.opname not in _IDLE]
    places = {found.offset: place for place, found in enumerate(instructions)}
    lines = [f"{sys.implementation.cache_tag} {_parameters(code)} {code.co_flags & _KINDS}"]
    for found in instructions:
        lines.append(f"{found.opname} {_argument(found, names, places)}")
    lines.append(code.co_exceptiontable.hex())
    return "\n".join(lines)


class _Names:
    """Names of locals into numbers in the order in which they are met, and of free variables into those around."""

    def __init__(self, code: CodeType, outer: dict[str, str]) -> None:
        self._own = {*code.co_varnames, *code.co_cellvars}
        self.known = {name: outer[name] for name in code.co_freevars if name in outer}
        self._depth = len(outer)
        for name in code.co_varnames[: _parameters(code)]:
            self.of(name)

    def of(self, name: str) -> str:
        found = self.known.get(name)
        if found is None:
            found = f"#{self._depth}.{len(self.known)}" if name in self._own else repr(name)
            if name in self._own:
                self.known[name] = found
        return found

    def has(self, name: object) -> bool:
        return name in self._own or name in self.known


def _parameters(code: CodeType) -> int:
    return code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)


def _argument(found: dis.Instruction, names: _Names, places: dict[int, int]) -> str:
    value, code = found.argval, found.opcode
    if code in dis.hasconst:
        return _constant(value, names.known)
    if code in dis.hasjrel or code in dis.hasjabs:
        later = min((offset for offset in places if offset >= value), default=-1)
        return f"to {places.get(later, -1)}"
    several = value if isinstance(value, tuple) else (value,)
    if code not in dis.hasname and all(map(names.has, several)):
        return " ".join(map(names.of, several))
    return repr(value)


def _constant(value: object, outer: dict[str, str]) -> str:
    if isinstance(value, CodeType):
        return f"({_form(value, outer)})"
    if isinstance(value, tuple):
        return f"tuple({','.join(_constant(item, outer) for item in value)})"
    if isinstance(value, frozenset):
        return f"frozenset({','.join(sorted(_constant(item, outer) for item in value))})"
    return f"{type(value).__name__} {value!r}"


def compiles_to(source: Definition, code: CodeType) -> bool:
    """Whether a source is that of a code object, and not of what was written into the file since.

    A process runs the code that it read when it started, while the source of a function is read when it is asked for.
    Without this comparison an edited file would have the results of the old code kept for the new one.
    """
    bare = _copy(source.node)
    body: list[ast.stmt] = [bare]
    names = code.co_qualname.split(".")
    if len(names) > 1 and names[-2] != "<locals>":
        # Private names are spelled by their class, and super() has its cell from it.
        body = [ast.ClassDef(name=names[-2], bases=[], keywords=[], body=body, decorator_list=[])]
    free = [name for name in code.co_freevars if name != "__class__"]
    if free:
        none = ast.Constant(value=None)
        cells: list[ast.stmt] = [ast.Assign(targets=[ast.Name(id=name, ctx=ast.Store())], value=none) for name in free]
        nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
        body = [ast.FunctionDef(name="outer", args=nothing, body=[*cells, *body], decorator_list=[])]
    # Methods of what a module imports are called by other instructions than those of other globals.
    if source.imported:
        body.insert(0, ast.Import(names=[ast.alias(name=name) for name in source.imported]))
    if code.co_flags & _FUTURE_ANNOTATIONS:
        body.insert(0, ast.ImportFrom(module="__future__", names=[ast.alias(name="annotations")], level=0))
    module = ast.fix_missing_locations(ast.Module(body=body, type_ignores=[]))
    if sys.version_info >= (3, 12):
        for node in ast.walk(module):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not hasattr(
                node, "type_params"
            ):
                node.type_params = []
    try:
        made = InspectLoader.source_to_code(module, code.co_filename)
    except (SyntaxError, ValueError, TypeError, RecursionError):
        return False
    return any(_same(found, code) for found in _within(made) if found.co_name == code.co_name)


def _copy(function: Function) -> Function:
    """A function's node without decorators, which are no part of its code."""
    fields = {name: getattr(function, name) for name in function._fields if hasattr(function, name)}
    fields["decorator_list"] = []
    return ast.copy_location(type(function)(**fields), function)


def _within(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _within(constant)


def _same(one: CodeType, other: CodeType) -> bool:
    """Whether two code objects do the same in the same way; lines and columns may differ."""
    if (one.co_code, one.co_names, one.co_varnames, one.co_freevars, one.co_cellvars) != (
        other.co_code,
        other.co_names,
        other.co_varnames,
        other.co_freevars,
        other.co_cellvars,
    ):
        return False
    if len(one.co_consts) != len(other.co_consts):
        return False
    return all(map(_same_constant, one.co_consts, other.co_consts))


def _same_constant(one: object, other: object) -> bool:
    if isinstance(one, CodeType) and isinstance(other, CodeType):
        return _same(one, other)
    return _constant(one, {}) == _constant(other, {})


def references(code: CodeType) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """Names that code takes from outside of its locals, each with the attributes taken of it, and whether it is global.

    Names that are not are free variables and the first parameter, which for a method is its instance.

    Example:
        >>> list(references((lambda x: math.sqrt(x)).__code__))
        [('math', ('sqrt',), True), ('x', (), False)]
    """
    yield from _references(code, {*code.co_freevars, *code.co_varnames[: 1 if code.co_argcount else 0]})


def _references(code: CodeType, wanted: set[str]) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    name, chain, is_global = "", list[str](), False
    for found in dis.get_instructions(code):
        if name and found.opname in _ATTRIBUTE:
            chain.append(str(found.argval))
            continue
        if name:
            yield name, tuple(chain), is_global
        name, chain, is_global = "", [], found.opname in _GLOBAL
        last = found.argval[-1] if isinstance(found.argval, tuple) and found.argval else found.argval
        if is_global or (found.opname.startswith(_LOCAL) and last in wanted):
            name = str(last)
    if name:
        yield name, tuple(chain), is_global
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _references(constant, {*constant.co_freevars})
