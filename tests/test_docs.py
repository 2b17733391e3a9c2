"""Every example in the README, the docs and the docstrings, run as it stands.

If these failed, the documentation would show what the package does not do.
"""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import sys
import types
from pathlib import Path

import pytest

import torshi

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
# Made from tables, and compared with them by the tests of the crates.
MADE = {"opcodes.md", "findings.md"}
# What a page's examples use beside torshi; a module of an adapter says so itself.
NEEDS = {"adapters.md": ("django", "cachelib", "dogpile.cache", "requests_cache", "joblib")}
MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(torshi.__path__, "torshi.")
    if not info.name.endswith(("_native", "__main__"))
)


def run(test: doctest.DocTest) -> None:
    lines: list[str] = []
    runner = doctest.DocTestRunner()
    runner.run(test, out=lines.append)
    assert runner.failures == 0, "".join(lines)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in MADE], ids=lambda page: page.name)
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for needed in NEEDS.get(page.name, ()):
        pytest.importorskip(needed, reason=f"{needed} is not installed")
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```pycon\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert blocks, "a page without an example"
    # The examples define classes, which must be importable by name to be pickled.
    name = f"page_{page.stem.lower()}"
    module = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest("".join(blocks), module.__dict__, page.name, str(page), 0)
    test.globs = module.__dict__
    run(test)


@pytest.mark.parametrize("name", ["torshi", *MODULES])
def test_docstrings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if not name.startswith("torshi.adapters."):
            raise
        pytest.skip(str(error))
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        run(test)


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readmes_commands_are_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
