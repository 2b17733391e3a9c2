"""A user's own key is one, however many begin to need it at the same time.

If this failed, programs that start together on a new machine would each seal with a key that the others do not know.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from torshi._keys import Key, keys, local_key


@pytest.mark.skipif(sys.platform == "win32", reason="locks of files: POSIX")
def test_those_who_make_the_first_key_at_once_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for attempt in range(5):
        monkeypatch.setenv("TORSHI_CONFIG_DIR", str(tmp_path / str(attempt)))
        barrier = threading.Barrier(8)

        def first(barrier: threading.Barrier = barrier) -> Key | None:
            barrier.wait()
            return local_key()

        with ThreadPoolExecutor(8) as pool:
            made = [future.result() for future in [pool.submit(first) for _ in range(8)]]
        assert len({key.id for key in made if key is not None}) == 1
        assert len(keys()) == 1
