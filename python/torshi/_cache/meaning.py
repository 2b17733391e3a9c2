"""Functions into what their results depend on beside arguments: their code, and what of their package it uses.

From a function go out the globals, free variables and methods that its code names; functions and classes of the same
package are followed, constants are digested, everything else counts by its name alone. What cannot be seen from the
code, such as methods of arguments, files or other packages, is not looked for: `version=` says that these have changed.
Nothing here calls what it finds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import inspect
import os
import pathlib
import re
import sys
import sysconfig
import types
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from torshi._cache.bytecode import code_form, compiles_to, references
from torshi._cache.source import definition_of
from torshi._cache.syntax import normal_form
from torshi._digest import digest

__all__ = ["Meaning", "bound_to", "identity", "meaning"]

# Types whose values are what they are for good, or until somebody assigns to them: constants, as modules have them.
_CONSTANT: Final = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    bytearray,
    range,
    slice,
    type(None),
    type(...),
    datetime.date,
    datetime.time,
    datetime.timedelta,
    datetime.tzinfo,
    decimal.Decimal,
    fractions.Fraction,
    uuid.UUID,
    re.Pattern,
    pathlib.PurePath,
)
_CONTAINER: Final = (list, tuple, set, frozenset)
# Places for attributes, which say nothing of these.
_SLOTS: Final = (types.MemberDescriptorType, types.GetSetDescriptorType)
_ABSENT: Final = object()


class Meaning(NamedTuple):
    """What a function's results depend on beside its arguments.

    Attributes:
        digest: of all of it, 32 bytes.
        parts: its parts by what a person calls them, each as the beginning of its digest.
    """

    digest: bytes
    parts: dict[str, str]


def identity(function: Callable[..., Any]) -> str:
    """What a function is called: module and name. A script's is the path of its file.

    Example:
        >>> import json
        >>> identity(json.dumps)
        'json:dumps'
    """
    inner: Any = inspect.unwrap(function)
    while isinstance(inner, functools.partial):
        inner = inspect.unwrap(inner.func)
    if not hasattr(inner, "__qualname__"):
        inner = type(inner)
    module = getattr(inner, "__module__", None) or "?"
    if module == "__main__":
        main = sys.modules.get("__main__")
        spec = getattr(main, "__spec__", None)
        file = getattr(main, "__file__", None)
        # `python -m name` and `import name` are one module; two scripts are two.
        module = spec.name if spec is not None else os.path.abspath(file) if file else "__main__"
    return f"{module}:{inner.__qualname__}"


def bound_to(function: Any) -> bytes:
    """The digest of what a function carries along: a method's instance, a partial's arguments, a callable object.

    Raises:
        TypeError: it cannot be digested, and so results would be those of any other instance.
    """
    if isinstance(function, functools.partial):
        carried: object = (bound_to(function.func), function.args, function.keywords)
    elif isinstance(function, types.FunctionType):
        return b""
    elif hasattr(function, "__wrapped__"):
        return bound_to(function.__wrapped__)
    else:
        carried = getattr(function, "__self__", function)
        if isinstance(carried, types.ModuleType):
            return b""
    try:
        return digest(carried)
    except Exception as error:
        raise TypeError(
            f"what {identity(function)} is bound to cannot be part of a key: {error}; decorate it in its class instead"
        ) from error


def meaning(function: Callable[..., Any], owner: type | None = None) -> Meaning:
    """Digests a function's code and what it uses of its own package.

    Args:
        function: a Python function, or something that wraps one.
        owner: the class of the instance that it is called with, if it is a method: whose helpers it uses.

    Example:
        >>> def area(r): return 3.14 * r * r
        >>> def surface(radius):
        ...     'The same.'
        ...     return 3.14 * radius * radius
        >>> meaning(area).digest == meaning(surface).digest
        True
        >>> def rough(r): return 3 * r * r
        >>> meaning(area).digest == meaning(rough).digest
        False
    """
    walk = _Walk(_Package(inspect.unwrap(function)), owner)
    walk.callable(function, "")
    parts = {name: tuple(sorted(forms)) for name, forms in walk.parts.items()}
    whole = digest(sorted(parts.items()))
    return Meaning(whole, {name or "(itself)": digest(forms).hex()[:16] for name, forms in sorted(parts.items())})


class _Package:
    """Which modules are of the same package as a function.

    Those below the same first name; and for a module that is in no package, such as a script, those beside it.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.name = str(getattr(function, "__globals__", {}).get("__name__") or getattr(function, "__module__", ""))
        self._top = self.name.split(".")[0]
        self._folder = None
        if not hasattr(sys.modules.get(self._top), "__path__"):
            self._folder = self._place(self._top)

    def owns(self, module: object) -> bool:
        if not isinstance(module, str) or not module:
            return False
        top = module.split(".")[0]
        return top == self._top or (self._folder is not None and self._place(top) == self._folder)

    @staticmethod
    def _place(top: str) -> Path | None:
        """The folder that a module or package stands in; None for those that were installed."""
        file = getattr(sys.modules.get(top), "__file__", None)
        if not file:
            return None
        path = Path(os.path.abspath(file)).parent
        if hasattr(sys.modules[top], "__path__"):
            path = path.parent
        return None if path in _installed() or "lib-dynload" in path.parts else path


@functools.cache
def _installed() -> frozenset[Path]:
    """Folders of the standard library and of installed packages."""
    return frozenset(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


class _Walk:
    """From one function to all that it uses; each thing once, so that circles end."""

    def __init__(self, package: _Package, owner: type | None) -> None:
        self.parts: dict[str, set[str]] = {}
        self._package = package
        self._owner = owner
        self._seen: dict[int, object] = {}

    def _is_new(self, value: object) -> bool:
        if id(value) in self._seen:
            return False
        self._seen[id(value)] = value
        return True

    def _note(self, label: str, form: str) -> None:
        self.parts.setdefault(label, set()).add(form)

    def callable(self, value: Any, label: str) -> None:
        """A function, or what is made of one. The one that it begins with has no name: it may be renamed."""
        if not self._is_new(value):
            return
        inner = getattr(value, "__wrapped__", None)
        if inner is not None:
            self.value(inner, f"{label}.wrapped" if label else "")
        if isinstance(value, types.MethodType):
            self.value(value.__func__, label)
        elif isinstance(value, functools.partial):
            self.value(value.func, f"{label}.func")
            self.value(value.args, f"{label}.args")
            self.value(value.keywords, f"{label}.keywords")
        elif isinstance(value, types.FunctionType) and (inner is None or self._is_own(value)):
            self._function(value, label)

    def _is_own(self, function: types.FunctionType) -> bool:
        return self._package.owns(function.__globals__.get("__name__"))

    def _function(self, function: types.FunctionType, label: str) -> None:
        code = function.__code__
        self._note(label, _form(code))
        for name, value in (function.__kwdefaults__ or {}).items():
            self.value(value, f"{label}.default.{name}")
        for place, value in enumerate(function.__defaults__ or ()):
            self.value(value, f"{label}.default.{place}")
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=False))
        first = code.co_varnames[0] if code.co_argcount else None
        for name, chain, is_global in references(code):
            if is_global:
                found = function.__globals__.get(name, _ABSENT)
                if found is not _ABSENT:
                    self._follow(found, chain, f"{label}.{name}" if label else name)
                elif name == "super" and self._owner is not None:
                    self._overridden(self._owner, function.__name__)
            elif name in cells:
                try:
                    self._follow(cells[name].cell_contents, chain, f"{label}.{name}")
                except ValueError:  # not filled yet
                    continue
            elif name == first and chain and self._owner is not None:
                self._attribute(self._owner, chain[0])

    def _follow(self, value: Any, chain: tuple[str, ...], label: str) -> None:
        """What a name with attributes stands for, as far as modules of the package lead."""
        for name in chain:
            if not isinstance(value, types.ModuleType):
                break
            if not self._package.owns(value.__name__):
                return
            value, label = vars(value).get(name, _ABSENT), f"{label}.{name}"
        self.value(value, label)

    def value(self, value: Any, label: str) -> None:
        """Something that code uses: followed, digested, or known by its class."""
        if value is _ABSENT or isinstance(value, types.ModuleType):
            return
        if isinstance(value, type):
            if self._package.owns(value.__module__):
                self._class(value)
        elif isinstance(value, types.FunctionType):
            if self._is_own(value):
                self.callable(value, label and _called(value))
            elif hasattr(value, "__wrapped__"):
                self.callable(value, label)
        elif isinstance(value, (types.MethodType, functools.partial)) or _wraps(value):
            self.callable(value, label)
        elif isinstance(value, (staticmethod, classmethod)):
            self.value(value.__func__, label)
        elif isinstance(value, property):
            for accessor in (value.fget, value.fset, value.fdel):
                self.value(accessor, label)
        elif isinstance(value, functools.cached_property):
            self.value(value.func, label)
        else:
            self._constant(value, label)

    def _constant(self, value: Any, label: str) -> None:
        if isinstance(value, _CONTAINER):
            if not _is_constant(value):
                for place, item in enumerate(value if isinstance(value, (list, tuple)) else ()):
                    if self._is_new(item):
                        self.value(item, f"{label}[{place}]")
                return
        elif isinstance(value, dict) and not _is_constant(value):
            for key, item in value.items():
                if _is_constant(key) and self._is_new(item):
                    self.value(item, f"{label}[{key!r}]")
            return
        if _is_constant(value):
            # Whatever a class's own hooks raise: it then counts by its class, as below.
            with contextlib.suppress(Exception):
                self._note(label, f"value {digest(value).hex()}")
                return
        kind = type(value)
        self._note(label, f"a {kind.__module__}.{kind.__qualname__}")
        if self._package.owns(kind.__module__):
            self._class(kind)

    def _class(self, cls: type) -> None:
        if not self._is_new(cls):
            return
        self._note(_called(cls), f"class of {[base.__qualname__ for base in cls.__bases__]}")
        for base in cls.__bases__:
            if self._package.owns(base.__module__):
                self._class(base)
        if issubclass(cls, enum.Enum):
            for member in cls.__members__.values():
                self.value(member.value, f"{_called(cls)}.{member.name}")
        for name, value in vars(cls).items():
            written = not name.startswith("__") or isinstance(value, (types.FunctionType, staticmethod, classmethod))
            if written and not name.startswith("_abc_") and not isinstance(value, (cls, *_SLOTS)):
                self.value(value, f"{_called(cls)}.{name}")

    def _attribute(self, owner: type, name: str) -> None:
        """What a method uses of its own class."""
        found = inspect.getattr_static(owner, name, _ABSENT)
        if found is not _ABSENT and not isinstance(found, _SLOTS):
            self.value(found, f"self.{name}")

    def _overridden(self, owner: type, name: str) -> None:
        for base in owner.__mro__[1:]:
            if name in vars(base) and self._package.owns(base.__module__):
                self.value(vars(base)[name], f"super.{name}")


def _called(value: Any) -> str:
    return f"{value.__module__}:{value.__qualname__}"


def _wraps(value: Any) -> bool:
    """Whether something other than a function stands before one, as what caches make do."""
    return not isinstance(value, type) and callable(value) and "__wrapped__" in getattr(value, "__dict__", {})


def _is_constant(value: Any, depth: int = 0) -> bool:
    if isinstance(value, _CONSTANT):
        return True
    if isinstance(value, _CONTAINER):
        return depth < 20 and all(_is_constant(item, depth + 1) for item in value)
    if type(value) is dict:
        return depth < 20 and all(_is_constant(item, depth + 1) for pair in value.items() for item in pair)
    if isinstance(value, enum.Enum):
        return True
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic, numpy.dtype)):
        return True
    parameters = getattr(type(value), "__dataclass_params__", None)
    if parameters is not None and parameters.frozen:
        return depth < 20 and all(_is_constant(found, depth + 1) for found in _fields(value))
    return False


def _fields(value: Any) -> Iterator[Any]:
    for field in dataclasses.fields(value):
        yield getattr(value, field.name, None)


@functools.lru_cache(maxsize=4096)
def _form(code: types.CodeType) -> str:
    """Code in a normal form: of its source if that is its source, else of its instructions."""
    source = definition_of(code)
    if source is None or not compiles_to(source, code):
        return code_form(code)
    try:
        return normal_form(source.node)
    except RecursionError:
        return code_form(code)
