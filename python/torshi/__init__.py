"""torshi: pickle, mended.

The functions, classes, exceptions and opcode constants of `pickle`, by the same names, so that
``import torshi as pickle`` works, with loads that verify a stream against a policy before they build
anything, and with `inspect` and `check` to look at a pickle without loading it.

This module only gathers names; everything is defined in the private modules behind it. The distribution has a plugin of
pytest, which is no reason for pytest to rewrite the package: PYTEST_DONT_REWRITE.

Example:
    >>> import torshi
    >>> data = torshi.dumps({"name": "John Doe", "courses": ["Math", "Science"]})
    >>> torshi.loads(data)
    {'name': 'John Doe', 'courses': ['Math', 'Science']}
"""

from pickle import DEFAULT_PROTOCOL, HIGHEST_PROTOCOL, PickleBuffer
from typing import TYPE_CHECKING, Any

from torshi._digest import digest
from torshi._drift import Change, ClassChangedWarning, VersionWarning
from torshi._errors import (
    ConflictError,
    LimitError,
    MalformedError,
    MalformedTextError,
    MalformedTypeError,
    MalformedValueError,
    PickleError,
    PicklingError,
    SealError,
    StoreError,
    TruncatedError,
    UnpicklableError,
    UnpicklingError,
    UntrustedError,
    ValidationError,
)
from torshi._fields import ChangeWarning
from torshi._file import Verification, describe, load, save, seal, verify
from torshi._findings import Finding
from torshi._inspect import check, inspect
from torshi._limits import Limits
from torshi._manifest import Description, SavedBuffer
from torshi._opcodes import *
from torshi._pickler import Pickler, dump, dumps
from torshi._placeholder import Placeholder
from torshi._policy import Policy, unrestricted
from torshi._renames import Renames, renames
from torshi._seal import Seal
from torshi._unpickler import Unpickler, loads
from torshi._version import __version__
from torshi._versioned import versioned

if TYPE_CHECKING:
    from torshi._cache import CacheEvent, CacheInfo, cache
    from torshi._convert import convert
    from torshi._gate import Event
    from torshi._guard import Guard, guard
    from torshi._lock import SchemaError, SchemaLock
    from torshi._migrate import Migration, migrate
    from torshi._objects import ObjectResult, scan_objects
    from torshi._recover import Recovery, recover
    from torshi._report import Report
    from torshi._scan import (
        FileResult,
        ScanEntry,
        ScanFinding,
        ScanLimits,
        ScanProgress,
        ScanReport,
        scan,
        scan_bytes,
    )
    from torshi._store import Entry, Message, Problem, Queue, Store, StoreStat, StoreStats
    from torshi._store.imports import RefusedValue, StoreImport
    from torshi._store.shelve import Shelf, shelve_open

# What few programs use, by module: imported when it is first asked for, since many import torshi for `loads` alone.
_LATER = {
    "_cache": ("CacheEvent", "CacheInfo", "cache"),
    "_convert": ("convert",),
    "_gate": ("Event",),
    "_guard": ("Guard", "guard"),
    "_lock": ("SchemaError", "SchemaLock"),
    "_migrate": ("Migration", "migrate"),
    "_objects": ("ObjectResult", "scan_objects"),
    "_recover": ("Recovery", "recover"),
    "_report": ("Report",),
    "_store": ("Entry", "Message", "Problem", "Queue", "Store", "StoreStat", "StoreStats"),
    "_store.imports": ("RefusedValue", "StoreImport"),
    "_store.shelve": ("Shelf", "shelve_open"),
    "_scan": (
        "FileResult",
        "ScanEntry",
        "ScanFinding",
        "ScanLimits",
        "ScanProgress",
        "ScanReport",
        "scan",
        "scan_bytes",
    ),
}
_HOMES = {name: module for module, names in _LATER.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'torshi' has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f"torshi.{home}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    # pickle's names
    "PickleError",
    "PicklingError",
    "UnpicklingError",
    "Pickler",
    "Unpickler",
    "dump",
    "dumps",
    "load",
    "loads",
    "PickleBuffer",
    "DEFAULT_PROTOCOL",
    "HIGHEST_PROTOCOL",
    # files
    "save",
    "describe",
    "verify",
    "seal",
    "Description",
    "SavedBuffer",
    "Verification",
    "Seal",
    # what is not as it was when a file was saved
    "Change",
    "ClassChangedWarning",
    "VersionWarning",
    "SchemaLock",
    "SchemaError",
    # files into others
    "migrate",
    "Migration",
    "convert",
    "recover",
    "Recovery",
    # what an object holds, in 32 bytes
    "digest",
    # trust
    "Policy",
    "unrestricted",
    "Limits",
    # change over time
    "renames",
    "Renames",
    "Placeholder",
    "versioned",
    "ChangeWarning",
    # persistence
    "Store",
    "Entry",
    "Queue",
    "Message",
    "StoreStat",
    "StoreStats",
    "Problem",
    "StoreImport",
    "RefusedValue",
    "Shelf",
    "shelve_open",
    # results of functions
    "cache",
    "CacheEvent",
    "CacheInfo",
    # under code that calls pickle itself
    "guard",
    "Guard",
    "Event",
    # looking without loading
    "inspect",
    "check",
    "Report",
    "Finding",
    # finding pickles in files
    "scan",
    "scan_bytes",
    "scan_objects",
    "ObjectResult",
    "ScanReport",
    "FileResult",
    "ScanFinding",
    "ScanEntry",
    "ScanLimits",
    "ScanProgress",
    # errors beside pickle's
    "UnpicklableError",
    "UntrustedError",
    "MalformedError",
    "MalformedTextError",
    "MalformedTypeError",
    "MalformedValueError",
    "TruncatedError",
    "LimitError",
    "ValidationError",
    "SealError",
    "StoreError",
    "ConflictError",
    "__version__",
]
# The opcode constants, written out because type checkers do not follow another module's list.
# fmt: off
__all__ += [
    "ADDITEMS", "APPEND", "APPENDS", "BINBYTES", "BINBYTES8", "BINFLOAT", "BINGET", "BININT", "BININT1",
    "BININT2", "BINPERSID", "BINPUT", "BINSTRING", "BINUNICODE", "BINUNICODE8", "BUILD", "BYTEARRAY8", "DICT",
    "DUP", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_SET", "EMPTY_TUPLE", "EXT1", "EXT2", "EXT4", "FALSE", "FLOAT",
    "FRAME", "FROZENSET", "GET", "GLOBAL", "INST", "INT", "LIST", "LONG", "LONG1", "LONG4", "LONG_BINGET",
    "LONG_BINPUT", "MARK", "MEMOIZE", "NEWFALSE", "NEWOBJ", "NEWOBJ_EX", "NEWTRUE", "NEXT_BUFFER", "NONE",
    "OBJ", "PERSID", "POP", "POP_MARK", "PROTO", "PUT", "READONLY_BUFFER", "REDUCE", "SETITEM", "SETITEMS",
    "SHORT_BINBYTES", "SHORT_BINSTRING", "SHORT_BINUNICODE", "STACK_GLOBAL", "STOP", "STRING", "TRUE", "TUPLE",
    "TUPLE1", "TUPLE2", "TUPLE3", "UNICODE",
]
# fmt: on
