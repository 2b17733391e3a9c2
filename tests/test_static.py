"""Static types: `torshi.loads(data, Config)` is a `Config` to a type checker.

If these failed, a typed load would be `Any` in the editor, and mistakes with its result would go unseen.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def mypy(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
    )


def test_calls_have_the_types_they_promise() -> None:
    done = mypy("tests/static_sample.py")
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


def test_a_mistake_with_the_result_is_seen(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import torshi\ncount: int = torshi.loads(b'N.', str)\ntorshi.loads(b'N.', trust=3)\n")
    out = mypy(str(wrong)).stdout
    assert 'wrong.py:2: error: Incompatible types in assignment (expression has type "str"' in out, out
    assert 'wrong.py:3: error: No overload variant of "loads" matches' in out, out
