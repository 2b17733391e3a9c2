"""CPython's own pickle tests, from the running interpreter's `test` package, against torshi.

If these failed, `import torshi as pickle` would not be pickle: a call, a hook, an exception or a byte of the
stream would differ from what programs rely on. The classes are imported, never copied, so that every
Python contributes the tests of its own version.
"""

from __future__ import annotations

import logging
import pickle
import pickletools
import unittest
from typing import Any

import pytest

import torshi

pickletester = pytest.importorskip(
    "test.pickletester", reason="this Python is installed without its test package", exc_type=ImportError
)
test_pickle = pytest.importorskip("test.test_pickle", exc_type=ImportError)
test_pickletools = pytest.importorskip("test.test_pickletools", exc_type=ImportError)
test_picklebuffer = pytest.importorskip("test.test_picklebuffer", exc_type=ImportError)

# CPython's tests warn of what they test on purpose; stock pickle is judged with the same filter.
pytestmark = pytest.mark.filterwarnings("default")

logging.getLogger("torshi").setLevel(logging.WARNING)
EVERYTHING = torshi.unrestricted("CPython's own tests")


def loads(data: Any, /, **options: Any) -> Any:
    return torshi.loads(data, trust=EVERYTHING, **options)


def load(file: Any, /, **options: Any) -> Any:
    return torshi.load(file, trust=EVERYTHING, **options)


class Unpickler(torshi.Unpickler):
    """torshi's, trusting what it reads as stock does."""

    def __init__(self, file: Any, **options: Any) -> None:
        super().__init__(file, trust=EVERYTHING, **options)


ERRORS = {"bad_stack_errors": (pickle.UnpicklingError,), "truncated_errors": (pickle.UnpicklingError,)}


def bound(name: str, *bases: type, **attributes: Any) -> Any:
    """A class of CPython's tests with torshi in the places where it names pickle."""
    return type(name, bases, {"__module__": __name__, "__qualname__": name, **attributes})


def by_functions(dumps: Any, loads: Any) -> dict[str, Any]:
    # What CPython's own in-memory class switches off because functions have no pickler to subclass.
    off = {
        name: None
        for name, value in vars(test_pickle.InMemoryPickleTests).items()
        if value is None and name.startswith("test_")
    }
    return {
        "dumps": lambda self, value, protocol=None, **options: dumps(value, protocol, **options),
        "loads": lambda self, data, **options: loads(data, **options),
        **ERRORS,
        **off,
    }


def both(pickler: Any, unpickler: Any) -> dict[str, Any]:
    return {"pickler": pickler, "unpickler": unpickler}


TestModule = bound(
    "TestModule",
    pickletester.AbstractPickleModuleTests,
    unittest.TestCase,
    dump=staticmethod(torshi.dump),
    dumps=staticmethod(torshi.dumps),
    load=staticmethod(load),
    loads=staticmethod(loads),
    Pickler=torshi.Pickler,
    Unpickler=Unpickler,
)
TestUnpickler = bound("TestUnpickler", test_pickle.PyUnpicklerTests, unpickler=Unpickler, **ERRORS)
TestPickler = bound("TestPickler", test_pickle.PyPicklerTests, **both(torshi.Pickler, Unpickler))
TestOursToStock = bound("TestOursToStock", test_pickle.PyPicklerTests, **both(torshi.Pickler, pickle.Unpickler))
TestOursToPython = bound("TestOursToPython", test_pickle.PyPicklerTests, **both(torshi.Pickler, pickle._Unpickler))
TestStockToOurs = bound("TestStockToOurs", test_pickle.PyPicklerTests, **both(pickle.Pickler, Unpickler))
TestPythonToOurs = bound("TestPythonToOurs", test_pickle.PyPicklerTests, **both(pickle._Pickler, Unpickler))
TestPersistent = bound("TestPersistent", test_pickle.PyPersPicklerTests, **both(torshi.Pickler, Unpickler))
TestPersistentIdentity = bound(
    "TestPersistentIdentity",
    test_pickle.PyIdPersPicklerTests,
    **both(torshi.Pickler, Unpickler),
    persistent_load_error=pickle.UnpicklingError,
)
TestObjects = bound(
    "TestObjects",
    getattr(test_pickle, "CPicklerUnpicklerObjectTests", test_pickle.PyPicklerUnpicklerObjectTests),
    pickler_class=torshi.Pickler,
    unpickler_class=Unpickler,
)
TestDispatchTable = bound("TestDispatchTable", test_pickle.PyDispatchTableTests, pickler_class=torshi.Pickler)
TestChainedDispatchTable = bound(
    "TestChainedDispatchTable", test_pickle.PyChainDispatchTableTests, pickler_class=torshi.Pickler
)
TestReducerOverride = bound(
    "TestReducerOverride",
    pickletester.AbstractHookTests,
    unittest.TestCase,
    pickler_class=type("HookedPickler", (torshi.Pickler, pickletester.AbstractCustomPicklerClass), {}),
)
TestFunctions = bound(
    "TestFunctions",
    pickletester.AbstractPickleTests,
    pickletester.AbstractUnpickleTests,
    unittest.TestCase,
    **by_functions(torshi.dumps, loads),
)
TestFunctionsToStock = bound(
    "TestFunctionsToStock",
    pickletester.AbstractPickleTests,
    unittest.TestCase,
    **by_functions(torshi.dumps, pickle.loads),
)
TestStockToFunctions = bound(
    "TestStockToFunctions",
    pickletester.AbstractPickleTests,
    unittest.TestCase,
    **by_functions(pickle.dumps, loads),
)
TestOptimized = bound(
    "TestOptimized",
    test_pickletools.OptimizedPickleTests,
    dumps=lambda self, value, protocol=None, **options: pickletools.optimize(torshi.dumps(value, protocol, **options)),
    loads=lambda self, data, **options: loads(data, **options),
)
if hasattr(test_pickle, "PyPicklingErrorTests"):
    TestPicklingErrors = bound("TestPicklingErrors", test_pickle.PyPicklingErrorTests, pickler=torshi.Pickler)
TestPickleBuffer = bound("TestPickleBuffer", test_picklebuffer.PickleBufferTest)


def test_nothing_of_pickletester_is_left_out() -> None:
    """If this fails, a newer CPython tests something that nothing here is bound to."""
    mine = {base for value in globals().values() if isinstance(value, type) for base in value.__mro__}
    unused = {
        name
        for name, value in vars(pickletester).items()
        if isinstance(value, type)
        and name.startswith("Abstract")
        and name.endswith("Tests")
        and value.__module__ == pickletester.__name__
        and value not in mine
    }
    assert unused <= {"AbstractCustomPicklerClass"}
