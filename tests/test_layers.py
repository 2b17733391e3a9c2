"""The import layers and the invariants that are absences.

If these failed, a lower layer would have come to need a higher one, the core would know Python, or
`unsafe` would stand where nobody reviews it.
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "python" / "torshi"

# A module may import modules of its own layer and of those above it in this list, never of those below.
LAYERS = [
    {
        "_version",
        "_opcodes",
        "_printable",
        "_findings",
        "_errors",
        "_limits",
        "_shapes",
        "_atomic",
        "_urls",
        "_by_value",
        "_tensors",
        "_compression",
        "_opening",
        "_canonical",
        "_digest",
        "_native",
    },
    {"_fields", "_placeholder", "_renames", "_versioned"},
    {"_annotations", "_typed", "_policy", "_lesson"},
    {"_pickler", "_unpickler"},
    {"_fingerprint", "_distribution", "_spelling", "_drift"},
    {"_manifest", "_keys", "_seal", "_file"},
    {"_store"},
    {"_cache", "adapters"},
    {"_report", "_inspect", "_scan"},
    {"_outline", "_lock"},
    {"_rewritten", "_migrate", "_convert", "_recover"},
    {"_places", "_gate", "_stand_ins", "_guard"},
    {"_objects", "_ledger"},
    {"cli"},
    {"__init__", "__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The package's own modules that a file imports, by their first name below the package."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "torshi":
                found |= {alias.name for alias in node.names}
            elif node.module and node.module.startswith("torshi."):
                found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("torshi.")}
            assert not any(alias.name == "torshi" for alias in node.names), f"{path}: imports the front door"
    return found


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_every_module_has_a_layer() -> None:
    assert {module_of(path) for path in sources()} <= set(RANK)


def test_no_module_imports_from_a_layer_after_its_own() -> None:
    for path in sources():
        for name in imports(path):
            assert RANK[name] <= RANK[module_of(path)], f"{path.name} imports {name}"


def test_the_package_needs_nothing_at_run_time() -> None:
    with open(ROOT / "pyproject.toml", "rb") as file:
        assert tomllib.load(file)["project"]["dependencies"] == []


def test_only_a_few_lines_execute_code_from_text() -> None:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "compile", "__import__"), path


def rust(folder: str) -> list[Path]:
    return sorted((ROOT / "crates" / folder).rglob("*.rs"))


def without_comments(text: str) -> str:
    return re.sub(r"//[^\n]*", "", text)


def without_tests(text: str) -> str:
    """Without the tests at a file's end, which may read the page they compare with."""
    return re.split(r"^#\[cfg\(test\)\]\nmod tests \{$", text, maxsplit=1, flags=re.MULTILINE)[0]


def test_the_core_knows_no_python_and_no_unsafe() -> None:
    with open(ROOT / "crates/torshi-core/Cargo.toml", "rb") as file:
        manifest = tomllib.load(file)
    for table in ("dependencies", "dev-dependencies", "build-dependencies"):
        assert not [name for name in manifest.get(table, {}) if "pyo3" in name or "python" in name]
    assert "#![forbid(unsafe_code)]" in (ROOT / "crates/torshi-core/src/lib.rs").read_text()
    for path in rust("torshi-core/src"):
        if path.name == "tests.rs":
            continue
        code = without_tests(without_comments(path.read_text(encoding="utf-8")))
        assert not re.search(r"\bstd::(fs|net|process|env|time)\b", code), f"{path}: input or output"


def test_the_scanner_knows_no_python_no_unsafe_and_no_second_parser() -> None:
    with open(ROOT / "crates/torshi-scan/Cargo.toml", "rb") as file:
        manifest = tomllib.load(file)
    assert not [name for name in manifest["dependencies"] if "pyo3" in name or "python" in name]
    assert "#![forbid(unsafe_code)]" in (ROOT / "crates/torshi-scan/src/lib.rs").read_text()
    for path in rust("torshi-scan/src"):
        code = without_tests(without_comments(path.read_text(encoding="utf-8")))
        assert not re.search(r"\bfs::(write|create|remove|rename|File::create)|\bnet\b|\bprocess\b", code), path


def test_the_file_format_knows_no_python_and_no_unsafe() -> None:
    with open(ROOT / "crates/torshi-file/Cargo.toml", "rb") as file:
        manifest = tomllib.load(file)
    assert not [name for name in manifest["dependencies"] if "pyo3" in name or "torshi" in name]
    assert "#![forbid(unsafe_code)]" in (ROOT / "crates/torshi-file/src/lib.rs").read_text()
    for path in rust("torshi-file/src"):
        code = without_tests(without_comments(path.read_text(encoding="utf-8")))
        assert not re.search(r"\bstd::(fs|net|process|env|time)\b", code), f"{path}: opens something"


def test_unsafe_stands_only_under_ffi_and_with_a_reason() -> None:
    for path in rust("torshi-python/src"):
        text = path.read_text(encoding="utf-8")
        if path.parent.name != "ffi":
            assert not re.search(r"\bunsafe\b", without_comments(text)), path
            continue
        lines = text.splitlines()
        for number, line in enumerate(lines):
            if re.search(r"\bunsafe\s*(\{|impl\b)", without_comments(line)):
                before = "\n".join(lines[max(0, number - 8) : number + 1])
                assert "SAFETY:" in before, f"{path}:{number + 1}"


def test_no_file_is_too_long() -> None:
    for path in [
        *sources(),
        *rust("torshi-core/src"),
        *rust("torshi-file/src"),
        *rust("torshi-python/src"),
        *rust("torshi-scan/src"),
    ]:
        if path.name != "_opcodes.py":
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 800, path
