"""Static types of cached functions: the decorated function keeps its signature.

If these failed, an editor would know nothing of a cached function, and wrong arguments would go unseen.
"""

from __future__ import annotations

from pathlib import Path

from test_static import mypy


def test_cached_functions_have_the_types_they_promise() -> None:
    done = mypy("tests/static_cache_sample.py")
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


def test_mistakes_are_seen(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "import torshi\n"
        "@torshi.cache(ttl=60)\n"
        "def f(n: int) -> str: return str(n)\n"
        "f('1')\n"
        "f.peek(1, 2)\n"
        "count: int = f(1)\n"
        "torshi.cache(tll=3)\n"
    )
    out = mypy(str(wrong)).stdout
    assert 'wrong.py:4: error: Argument 1 to "__call__" of "Cached" has incompatible type "str"' in out, out
    assert 'wrong.py:5: error: Too many arguments for "peek"' in out, out
    assert 'wrong.py:6: error: Incompatible types in assignment (expression has type "str"' in out, out
    assert 'wrong.py:7: error: Unexpected keyword argument "tll"' in out, out
