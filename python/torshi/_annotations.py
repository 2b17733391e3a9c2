"""Annotations in, shapes out: the only reader of type annotations in torshi.

Understands dataclasses, attrs classes, named tuples, typed dictionaries, enums, pydantic models, plain
annotated classes, the generic containers, unions, literals, aliases, forward references, type variables
and recursive types. Never imports attrs, pydantic or numpy: a class of theirs tells what it is.

Classes that a reviewed policy table covers are leaves: the table says what may be in them, and their
private annotations are no schema.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import functools
import inspect
import sys
import types
import typing
from collections.abc import Hashable, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Union, get_args, get_origin

from torshi import _native
from torshi._shapes import (
    Anything,
    Array,
    Choices,
    Classes,
    Either,
    Function,
    Instance,
    Items,
    Nothing,
    Pairs,
    Record,
    Row,
    Shape,
)

__all__ = ["label", "shape_of"]

# What stands for each type variable inside a generic class or alias.
_Bindings = Mapping[Any, Any]

# Classes whose instances will do for another, as type checkers have it (PEP 484, the numeric tower).
_PROMOTIONS: dict[type, tuple[type, ...]] = {float: (float, int), complex: (complex, float, int)}

# A schema of more nodes than this is an annotation that expands without end.
_MOST_SHAPES = 10_000


def shape_of(annotation: object) -> Shape:
    """Turns an annotation into its shape; cached for hashable annotations.

    Raises:
        TypeError: the annotation, or one it refers to, cannot be resolved or is not a type.
    """
    try:
        hash(annotation)
    except TypeError:  # such as Annotated[int, []]
        return _Reader().read(annotation, {})
    return _cached_shape(annotation)


@functools.lru_cache(maxsize=1024, typed=True)
def _cached_shape(annotation: Hashable) -> Shape:
    return _Reader().read(annotation, {})


def label(annotation: object, depth: int = 4) -> str:
    """Names an annotation as a reader would write it: ``list[int]``, ``Server``, ``int | None``.

    Args:
        annotation: the annotation.
        depth: levels of brackets to write; deeper ones are shown as ``...``.
    """
    if annotation is None or annotation is type(None):
        return "None"
    if annotation is Ellipsis or depth < 0:
        return "..."
    if isinstance(annotation, str):
        return annotation
    origin = get_origin(annotation)
    args = get_args(annotation)
    if origin is Annotated:
        return label(args[0], depth)
    if origin is Literal:
        return " or ".join(repr(value) for value in args)
    if origin in (Union, types.UnionType):
        return " | ".join(label(arg, depth - 1) for arg in args)
    if isinstance(annotation, list):
        return "[" + ", ".join(label(item, depth - 1) for item in annotation) + "]"
    if origin is not None and args:
        return f"{label(origin, depth)}[{', '.join(label(arg, depth - 1) for arg in args)}]"
    return getattr(annotation, "__name__", None) or str(annotation).removeprefix("typing.")


class _Reader:
    """Reads one annotation with everything reachable from it; holds the nodes made on the way."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Shape] = {}
        self._made = 0

    def read(self, annotation: Any, bound: _Bindings) -> Shape:
        self._made += 1
        if self._made > _MOST_SHAPES:
            raise TypeError(f"annotation {label(annotation)} expands without end")
        if annotation is Any or annotation is object:
            return Anything(label(annotation))
        if annotation is None or annotation is type(None):
            return Instance("None", type(None), (type(None),))
        if isinstance(annotation, (str, typing.ForwardRef)):
            name = annotation if isinstance(annotation, str) else annotation.__forward_arg__
            raise TypeError(f"cannot resolve the forward reference {name!r}; pass the class itself")
        if annotation in (typing.Never, typing.NoReturn):
            return Nothing("no value")
        if annotation is typing.LiteralString:
            return self.read(str, bound)
        if annotation is typing.Self:
            return self.read(bound.get(typing.Self, Any), {})
        if isinstance(annotation, typing.TypeVar):
            return self._variable(annotation, bound)
        if isinstance(annotation, typing.NewType):
            return self.read(annotation.__supertype__, bound)
        if _is_alias(annotation):
            return self._alias(annotation, (), bound)
        origin = get_origin(annotation)
        if origin is not None:
            return self._generic(annotation, origin, get_args(annotation), bound)
        if isinstance(annotation, type):
            return self._class(annotation, ())
        # ParamSpec, TypeVarTuple and whatever typing invents next say nothing about a value.
        if type(annotation).__module__ in ("typing", "typing_extensions"):
            return Anything(label(annotation), open=False)
        raise TypeError(f"{annotation!r} is not a type")

    def _variable(self, variable: Any, bound: _Bindings) -> Shape:
        if variable in bound:
            return self.read(bound[variable], {})
        if variable.__bound__ is not None:
            return self.read(variable.__bound__, {})
        if variable.__constraints__:
            return Either(label(variable), [self.read(option, {}) for option in variable.__constraints__])
        return Anything(label(variable))

    def _alias(self, alias: Any, args: tuple[Any, ...], bound: _Bindings) -> Shape:
        """Reads a `type X = ...` alias; the node is known before its value is read, so recursion closes."""
        args = tuple(_close(arg, bound) for arg in args)
        key = ("alias", alias, args)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = node = Either(alias.__name__)
            parameters = getattr(alias, "__type_params__", ())
            node.options.append(self.read(alias.__value__, dict(zip(parameters, args, strict=False))))
        return known

    def _generic(self, annotation: Any, origin: Any, args: tuple[Any, ...], bound: _Bindings) -> Shape:
        name = label(annotation)
        if origin is Annotated or origin in _WRAPPERS:
            return self.read(args[0], bound)
        if origin in (Union, types.UnionType):
            return Either(name, [self.read(arg, bound) for arg in args])
        if origin is Literal:
            return Choices(name, args)
        if _is_alias(origin):
            return self._alias(origin, args, bound)
        if origin is collections.abc.Callable:
            return Function(name)
        if not isinstance(origin, type):
            return Anything(name, open=False)
        if origin is type:
            return Classes(name, _bases(args, bound))
        if origin is tuple:
            return self._tuple(name, args, bound)
        if _is_numpy(origin, "ndarray"):
            return Array(_array_label(args), origin, _dtype(args, bound))
        if not args:
            return self._class(origin, ())
        return self._collection(name, origin, args, bound) or self._class(
            origin, tuple(_close(arg, bound) for arg in args)
        )

    def _tuple(self, name: str, args: tuple[Any, ...], bound: _Bindings) -> Shape:
        if not args and name != "tuple[()]":
            return Instance(name, tuple, (tuple,)) if name == "tuple" else Row(name, ())
        if len(args) == 2 and args[1] is Ellipsis:
            return Items(name, tuple, self.read(args[0], bound))
        if any(get_origin(arg) is typing.Unpack or getattr(arg, "__unpacked__", False) for arg in args):
            return Items(name, tuple, Anything("object"))
        return Row(name, tuple(self.read(arg, bound) for arg in args))

    def _collection(self, name: str, origin: type, args: tuple[Any, ...], bound: _Bindings) -> Shape | None:
        """Reads the generic containers of the standard library; None for any other generic class."""
        if origin.__module__ not in ("builtins", "collections", "collections.abc", "typing"):
            return None
        if issubclass(origin, collections.Counter):
            return Pairs(name, origin, self.read(args[0], bound), self.read(int, {}))
        if issubclass(origin, collections.abc.Mapping) and len(args) == 2:
            return Pairs(name, origin, self.read(args[0], bound), self.read(args[1], bound))
        if issubclass(origin, collections.abc.Iterable) and len(args) == 1:
            return Items(name, origin, self.read(args[0], bound))
        return None

    def _class(self, cls: type, args: tuple[Any, ...]) -> Shape:
        if cls is Any or cls is object:
            return Anything(label(cls))
        key = ("class", cls, args)
        try:
            known = self._known.get(key)
        except TypeError:  # an argument that cannot be hashed: such a class cannot recur either
            known, key = None, ("class", cls, (id(args),))
        if known is not None:
            return known
        if _is_typed_dict(cls):
            record = Record(cls.__name__)
            self._known[key] = record
            self._fill_record(record, cls, args)
            return record
        if getattr(cls, "_is_protocol", False):
            return Anything(cls.__name__, open=False)
        node = Instance(cls.__name__, cls, _PROMOTIONS.get(cls, (cls,)))
        self._known[key] = node
        if not issubclass(cls, enum.Enum) and not reviewed(cls):
            self._fill_instance(node, cls, args)
        return node

    def _fill_record(self, record: Record, cls: type, args: tuple[Any, ...]) -> None:
        scopes = _scopes(cls, args)
        required = set(getattr(cls, "__required_keys__", ()))
        for name, annotation in _hints(cls, lenient=False).items():
            # With postponed annotations the class itself does not see Required and NotRequired.
            wrapper = get_origin(annotation)
            if wrapper is typing.Required:
                required.add(name)
            elif wrapper is typing.NotRequired:
                required.discard(name)
            record.keys[name] = self.read(annotation, scopes.of(name))
        record.required = frozenset(required)

    def _fill_instance(self, node: Instance, cls: type, args: tuple[Any, ...]) -> None:
        required = _declared_fields(cls)
        hints = _hints(cls, lenient=required is None)
        scopes = _scopes(cls, args)
        names = list(hints) if required is None else list(required)
        for name in names:
            annotation = hints.get(name, Any)
            if annotation is ClassVar or get_origin(annotation) is ClassVar:
                continue
            if required is None and annotation is Final:
                continue
            node.fields[name] = self.read(annotation, scopes.of(name))
        node.required = frozenset(name for name, needed in (required or {}).items() if needed)
        node.indexed = issubclass(cls, tuple)


_WRAPPERS: tuple[Any, ...] = (
    typing.Required,
    typing.NotRequired,
    Final,
    getattr(typing, "ReadOnly", Final),  # Python 3.13
)


def reviewed(cls: type) -> bool:
    """Tells whether a reviewed policy table has a row for this very class."""
    if cls.__module__ == "builtins":
        return True
    return _native.Policy.default().lists(cls.__module__, cls.__qualname__)


def _is_alias(annotation: object) -> bool:
    return type(annotation).__name__ == "TypeAliasType" and hasattr(annotation, "__value__")


def _is_typed_dict(cls: type) -> bool:
    return dict in cls.__mro__ and hasattr(cls, "__required_keys__") and hasattr(cls, "__total__")


def _is_numpy(cls: object, name: str) -> bool:
    return isinstance(cls, type) and cls.__module__ == "numpy" and cls.__name__ == name


def _close(annotation: Any, bound: _Bindings) -> Any:
    """Puts what is bound in the place of the type variables of an annotation."""
    if isinstance(annotation, typing.TypeVar):
        return bound.get(annotation, annotation)
    parameters = getattr(annotation, "__parameters__", ())
    if parameters and not isinstance(annotation, type) and any(p in bound for p in parameters):
        return annotation[tuple(bound.get(p, p) for p in parameters)]
    return annotation


def _bases(args: tuple[Any, ...], bound: _Bindings) -> tuple[type, ...]:
    """The classes named by the argument of `type[...]`; none when it leaves the class open."""
    if not args:
        return ()
    target = _close(args[0], bound)
    options = get_args(target) if get_origin(target) in (Union, types.UnionType) else (target,)
    classes = tuple(get_origin(option) or option for option in options)
    if any(not isinstance(cls, type) or cls is Any or cls is object for cls in classes):
        return ()
    return classes


def _dtype(args: tuple[Any, ...], bound: _Bindings) -> type | None:
    """The scalar class in `ndarray[shape, dtype[scalar]]`."""
    if len(args) != 2:
        return None
    scalars = get_args(args[1])
    scalar = _close(scalars[0], bound) if scalars else None
    if isinstance(scalar, type) and scalar is not Any:
        return scalar
    return None


def _array_label(args: tuple[Any, ...]) -> str:
    dtype = _dtype(args, {})
    return f"{dtype.__name__} array" if dtype else "array"


def _declared_fields(cls: type) -> dict[str, bool] | None:
    """The fields a class declares, each with whether it must be there; None for a plain class."""
    if dataclasses.is_dataclass(cls):
        return {f.name: f.init for f in dataclasses.fields(cls)}
    attributes = getattr(cls, "__attrs_attrs__", None)
    if attributes is not None:
        return {a.name: a.init for a in attributes}
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return dict.fromkeys(cls._fields, True)
    models = cls.__dict__.get("__pydantic_fields__") or getattr(cls, "model_fields", None)
    if isinstance(models, dict):
        return {name: bool(info.is_required()) for name, info in models.items()}
    return None


def _hints(cls: type, *, lenient: bool) -> dict[str, Any]:
    """The resolved annotations of a class and its bases, without those of reviewed classes.

    A class that declares fields must resolve. On a plain class annotations are often for the type checker
    alone (names imported under TYPE_CHECKING), so there the ones that do not resolve are left out.
    """
    local = {**vars(cls), cls.__name__: cls}
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except Exception:
        try:
            hints = typing.get_type_hints(cls, localns=local, include_extras=True)
        except Exception as error:
            if not lenient:
                name = f"{cls.__module__}.{cls.__qualname__}"
                raise TypeError(f"cannot resolve the annotations of {name}: {error}") from error
            hints = _resolvable_hints(cls, local)
    # Slots of the object protocol and of enum-like machinery are no data.
    return {name: hint for name, hint in hints.items() if not (name.startswith("__") and name.endswith("__"))}


def _resolvable_hints(cls: type, local: dict[str, Any]) -> dict[str, Any]:
    hints: dict[str, Any] = {}
    for owner in reversed(cls.__mro__):
        names = getattr(sys.modules.get(owner.__module__), "__dict__", {})
        for name, annotation in inspect.get_annotations(owner).items():
            holder = types.SimpleNamespace(__annotations__={name: annotation})
            try:
                hints |= typing.get_type_hints(holder, names, local, include_extras=True)
            except Exception:
                continue
    return hints


@dataclasses.dataclass
class _Scopes:
    """For each annotated name of a class, what its type variables stand for where it was declared."""

    owners: dict[str, type]
    bindings: dict[type, dict[Any, Any]]
    own: type

    def of(self, name: str) -> dict[Any, Any]:
        found = self.bindings.get(self.owners.get(name, self.own), {})
        return {typing.Self: self.own, **found}


def _scopes(cls: type, args: tuple[Any, ...]) -> _Scopes:
    owners: dict[str, type] = {}
    for owner in reversed(cls.__mro__):
        for name in inspect.get_annotations(owner):
            owners[name] = owner
    bindings: dict[type, dict[Any, Any]] = {}
    pending: list[tuple[type, tuple[Any, ...]]] = [(cls, args)]
    while pending:
        current, given = pending.pop()
        bound = dict(zip(getattr(current, "__parameters__", ()), given, strict=False))
        bindings.setdefault(current, bound)
        for base in current.__dict__.get("__orig_bases__", current.__bases__):
            origin = get_origin(base) or base
            if isinstance(origin, type) and origin is not object:
                pending.append((origin, tuple(_close(arg, bound) for arg in get_args(base))))
    return _Scopes(owners, bindings, cls)
