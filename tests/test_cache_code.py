"""What a cached function's results depend on beside its arguments: what its code means, and not how it is written.

If these failed, results of code that is no longer there would be handed out, or a formatter would throw them all away.
"""

from __future__ import annotations

import functools
import importlib
import json
import linecache
import subprocess
import sys
import textwrap
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import torshi
from torshi._cache.bytecode import compiles_to
from torshi._cache.meaning import identity, meaning
from torshi._cache.source import definition_of

HELPERS = """
    FACTOR = 2
    TABLE = {"a": 1, "b": (2, 3)}

    def scale(x):
        return x * FACTOR

    def unused(x):
        return x - 1

    class Rates:
        base = 10
        def rate(self, x):
            return self.base + x
        def other(self, x):
            return x
"""
MAIN = """
    import math
    from app import helpers
    from app.helpers import scale, Rates

    LIMIT = 100

    def total(values, factor=3, *, extra=None):
        '''The sum.'''
        # of all
        result = 0
        for item in values:
            result += scale(item) * factor
        return min(result, LIMIT) + helpers.TABLE["a"]

    def nested(n):
        def inner(k):
            return k + n
        return [inner(i) for i in range(n) if i % 2]

    def rated(x):
        return Rates().rate(x)

    def even(n):
        return True if n == 0 else odd(n - 1)

    def odd(n):
        return False if n == 0 else even(n - 1)

    class Model:
        def __init__(self, weight):
            self.weight = weight
        def predict(self, x):
            return self.helper(x) * self.weight
        def helper(self, x):
            return x + 1
        def unrelated(self):
            return 5
"""


class Package:
    """A package of two modules, written, imported and looked at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "app"
        self.folder.mkdir()
        (self.folder / "__init__.py").write_text("")
        self.texts = {"helpers": textwrap.dedent(HELPERS), "main": textwrap.dedent(MAIN)}
        self.load()

    def load(self) -> Any:
        for name, text in self.texts.items():
            (self.folder / f"{name}.py").write_text(text)
        for name in [name for name in sys.modules if name == "app" or name.startswith("app.")]:
            del sys.modules[name]
        linecache.clearcache()
        importlib.invalidate_caches()
        return importlib.import_module("app.main")

    def changed(self, module: str, *pairs: tuple[str, str]) -> Any:
        """The package's main module, after texts were put in the place of others."""
        kept = dict(self.texts)
        for old, new in pairs:
            assert old in self.texts[module], old
            self.texts[module] = self.texts[module].replace(old, new)
        try:
            return self.load()
        finally:
            self.texts = kept


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Package(tmp_path)
    for name in [name for name in sys.modules if name == "app" or name.startswith("app.")]:
        del sys.modules[name]


SAME = {
    "a comment": [("# of all", "# of all of them\n    # and more")],
    "a docstring": [("'''The sum.'''", "'''The sum of all values, times the factor.'''")],
    "no docstring": [("    '''The sum.'''\n", "")],
    "layout": [("result += scale(item) * factor", "result += (\n            scale( item )\n            * factor)")],
    "one line": [("for item in values:\n        result +=", "for item in values: result +=")],
    "names of locals": [("result", "so_far"), ("item", "value")],
    "a parameter's name": [("values", "numbers")],
    "annotations": [
        (
            "def total(values, factor=3, *, extra=None):",
            "def total(values: list, factor: int=3, *, extra: str=None) -> int:",
        )
    ],
    "a local's annotation": [("result = 0", "result: int = 0")],
    "what stands elsewhere": [("return k + n", "return k - n"), ("import math", "import math, os")],
    "a constant nobody names": [("LIMIT = 100", "LIMIT = 100\nOTHER = 5")],
    "its own name": [("def total", "def summed")],
}
OTHER = {
    "a constant": [("result = 0", "result = 1")],
    "a constant's type": [("result = 0", "result = 0.0")],
    "a default": [("factor=3", "factor=4")],
    "a default of a keyword": [("extra=None", "extra=1")],
    "an operator": [("scale(item) * factor", "scale(item) + factor")],
    "a global": [("LIMIT = 100", "LIMIT = 101")],
    "another global": [("min(result, LIMIT)", "max(result, LIMIT)")],
    "names that meet": [("result += scale(item) * factor", "result += scale(result) * factor")],
    "an attribute": [("helpers.TABLE", "helpers.FACTOR")],
}


@pytest.mark.parametrize("what", SAME)
def test_what_leaves_the_meaning_as_it_is(package: Package, what: str) -> None:
    before = meaning(package.load().total)
    module = package.changed("main", *SAME[what])
    after = meaning(getattr(module, "total", None) or module.summed)
    assert after == before


@pytest.mark.parametrize("what", OTHER)
def test_what_changes_the_meaning(package: Package, what: str) -> None:
    before = meaning(package.load().total)
    assert meaning(package.changed("main", *OTHER[what]).total).digest != before.digest


@pytest.mark.parametrize(
    ("function", "old", "new", "changes"),
    [
        ("total", "return x * FACTOR", "return x * FACTOR + 1", True),
        ("total", "FACTOR = 2", "FACTOR = 3", True),
        ("total", '{"a": 1', '{"a": 2', True),
        ("total", "return x - 1", "return x - 2", False),
        ("total", "    return x * FACTOR", "    # twice\n    return x * FACTOR", False),
        ("rated", "return self.base + x", "return self.base - x", True),
        ("rated", "base = 10", "base = 11", True),
        ("even", "FACTOR = 2", "FACTOR = 3", False),
    ],
)
def test_what_a_function_calls_belongs_to_it(
    package: Package, function: str, old: str, new: str, changes: bool
) -> None:
    before = meaning(getattr(package.load(), function))
    after = meaning(getattr(package.changed("helpers", (old, new)), function))
    assert (after.digest != before.digest) == changes


def test_functions_that_call_each_other_end(package: Package) -> None:
    before = meaning(package.load().even)
    assert set(before.parts) == {"(itself)", "app.main:odd"}
    assert meaning(package.changed("main", ("False if n == 0", "None if n == 0")).even) != before


def test_a_function_within_a_function_is_part_of_it(package: Package) -> None:
    before = meaning(package.load().nested)
    assert meaning(package.changed("main", ("return k + n", "return n + k")).nested) != before
    renamed = package.changed(
        "main", ("inner(k)", "within(m)"), ("return k + n", "return m + n"), ("inner(i)", "within(i)")
    )
    assert meaning(renamed.nested) == before


def test_a_method_uses_those_of_its_class(package: Package) -> None:
    """Of the class that it is called with: a subclass may have others."""
    module = package.load()
    before = meaning(module.Model.predict, module.Model)
    module = package.changed("main", ("return x + 1", "return x + 2"))
    assert meaning(module.Model.predict, module.Model) != before
    module = package.changed("main", ("return 5", "return 6"))
    assert meaning(module.Model.predict, module.Model) == before

    class Other(module.Model):  # type: ignore[misc,name-defined]
        def helper(self, x: int) -> int:
            return x

    assert meaning(module.Model.predict, Other) != before


def test_a_file_edited_after_the_import_is_not_taken_for_what_runs(package: Package) -> None:
    """If it were, results of the old code would be kept for the new one, and be handed out after a restart."""
    module = package.load()
    before = meaning(module.total).digest
    path = package.folder / "main.py"
    path.write_text(path.read_text().replace("result = 0", "result = 9"))
    linecache.clearcache()
    from torshi._cache.meaning import _form

    _form.cache_clear()
    running = meaning(module.total).digest
    restarted = meaning(package.changed("main", ("result = 0", "result = 9")).total).digest
    assert running != restarted
    assert before != restarted


@pytest.mark.parametrize("name", ["argparse", "asyncio.tasks", "dataclasses", "json.decoder", "tarfile", "typing"])
def test_a_source_is_known_to_be_that_of_its_function(name: str) -> None:
    """If a compiler did otherwise with a function by itself, its instructions would count, and layout with them."""
    module = importlib.import_module(name)
    found = [value for value in vars(module).values() if getattr(value, "__module__", "") == name]
    found += [value for cls in found if isinstance(cls, type) for value in vars(cls).values()]
    functions = [value for value in found if isinstance(value, types.FunctionType) and value.__module__ == name]
    sources = [value for value in functions if not value.__code__.co_filename.startswith("<")]
    assert len(sources) > 5
    for function in sources:
        if function.__name__ != "<lambda>":
            source = definition_of(function.__code__)
            assert source is not None, function
            assert compiles_to(source, function.__code__), function


def test_without_a_source_the_instructions_count(tmp_path: Path) -> None:
    """Functions of a prompt or of a frozen program have no source, and are told apart all the same."""

    def made(body: str) -> Callable[..., Any]:
        space: dict[str, Any] = {"__name__": "made"}
        exec(compile(body, "<made>", "exec"), space)
        found: Callable[..., Any] = space["f"]
        return found

    one = meaning(made("def f(a, b=1):\n    'Doc.'\n    c = a + b\n    return [c for _ in range(3)]"))
    same = meaning(made("def f(x, y=1):\n\n    z = (x +\n       y)\n    return [z for k in range(3)]"))
    other = meaning(made("def f(x, y=1):\n    z = x - y\n    return [z for k in range(3)]"))
    assert one == same
    assert one != other


def test_closures_count_by_what_they_hold() -> None:
    def adder(n: Any) -> Callable[[int], Any]:
        def add(x: int) -> Any:
            return n + x if isinstance(n, int) else n(x)

        return add

    def twice(x: int) -> int:
        return 2 * x

    def thrice(x: int) -> int:
        return 3 * x

    assert meaning(adder(1)) == meaning(adder(1))
    assert len({meaning(adder(n)).digest for n in (1, 2, twice, thrice)}) == 4


def test_what_is_wrapped_counts_with_its_wrapper() -> None:
    def louder(by: int) -> Callable[[Callable[[int], int]], Callable[[int], int]]:
        def decorate(function: Callable[[int], int]) -> Callable[[int], int]:
            @functools.wraps(function)
            def wrapper(x: int) -> int:
                return function(x) * by

            return wrapper

        return decorate

    def plain(x: int) -> int:
        return x

    def other(x: int) -> int:
        return x + 1

    digests = {meaning(louder(by)(function)).digest for by in (1, 2) for function in (plain, other)}
    assert len(digests) == 4
    assert meaning(functools.lru_cache(plain)) != meaning(functools.lru_cache(other))
    assert meaning(functools.partial(plain, 1)) != meaning(functools.partial(plain, 2))


STATE = """
    import random, threading, logging, re
    LOCK = threading.Lock()
    RANDOM = random.Random()
    LOG = logging.getLogger("x")
    PATTERN = re.compile("{pattern}")
    def f(x):
        with LOCK:
            LOG.debug(RANDOM.random())
            return PATTERN.match(x)
    import json, sys
    sys.path.insert(0, {path!r})
    from torshi._cache.meaning import meaning
    print(meaning(f).digest.hex())
"""


def test_state_of_a_process_is_no_part_of_the_meaning(tmp_path: Path) -> None:
    """If it were, no process would find what another one kept: locks, random numbers, seeds of hashes."""

    def run(pattern: str, seed: str) -> str:
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(STATE).format(pattern=pattern, path=str(tmp_path)))
        done = subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        )
        return done.stdout

    assert run("a+", "1") == run("a+", "2")
    assert run("a+", "1") != run("b+", "1")


SCRIPT = """
    import sys
    import torshi
    from helper import scale

    @torshi.cache(store=sys.argv[1])
    def total(n, factor=2):
        # {comment}
        {name} = {constant}
        for i in range(n):
            {name} += scale(i) * factor
        return {name}

    total(10)
    print(total.cache_info().store)
"""
HELPER = "def scale(x):\n    return x * {factor}  # {comment}\n"


def test_results_outlive_edits_without_a_meaning_and_no_others(tmp_path: Path) -> None:
    """The whole of it: a program that is edited and started again."""

    def hits(*, name: str = "result", constant: int = 0, factor: int = 2, comment: str = "a") -> int:
        text = textwrap.dedent(SCRIPT).format(name=name, constant=constant, comment=comment)
        (tmp_path / "script.py").write_text(text)
        (tmp_path / "helper.py").write_text(HELPER.format(factor=factor, comment=comment))
        arguments = [sys.executable, "-B", str(tmp_path / "script.py"), str(tmp_path / "results.db")]
        done = subprocess.run(arguments, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    assert hits() == 0
    assert hits() == 1
    assert hits(name="summed", comment="something else,\n    # at length") == 1
    assert hits(constant=1) == 0
    assert hits(factor=3) == 0
    assert hits() == 1


def test_at_a_prompt_functions_may_be_defined_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook a helper is changed and run again, and the cached function that calls it is not."""
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    space: dict[str, Any] = {"__name__": "notebook", "torshi": torshi}
    exec("@torshi.cache(store=':memory:', fresh=0.05)\ndef f(x): return helper(x)\ndef helper(x): return x", space)
    assert space["f"](1) == space["f"](1) == 1
    exec("def helper(x): return x + 1", space)
    time.sleep(0.06)
    assert space["f"](1) == space["f"](1) == 2
    assert space["f"].cache_info().misses == 2


def test_scripts_are_told_apart_by_their_files(tmp_path: Path) -> None:
    """Two scripts are both __main__, and a function of the same name in both is not the same."""
    assert identity(json.dumps) == "json:dumps"
    text = "def f(): pass\nfrom torshi._cache.meaning import identity\nprint(identity(f))"
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text(text)
        done = subprocess.run([sys.executable, str(tmp_path / name)], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == f"{tmp_path / name}:f"
