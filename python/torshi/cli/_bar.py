"""A progress bar: counts in, one line on a terminal out, drawn over itself. Writes nothing anywhere else."""

from __future__ import annotations

import shutil
import sys
import time
from types import TracebackType

from torshi._scan import ScanProgress

__all__ = ["Bar"]

_WIDTH = 24
_SECONDS_BETWEEN = 0.1


class Bar:
    """Shows how far a scan is on standard error; as a context manager it wipes itself away at the end."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._last = 0.0
        self._drawn = False
        self._began = time.monotonic()

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.wipe()

    def update(self, progress: ScanProgress) -> None:
        """Draws, but not more often than can be read."""
        now = time.monotonic()
        if not self._shown or now - self._last < _SECONDS_BETWEEN:
            return
        self._last = now
        if progress.files == 0:
            line = "listing files..."
        else:
            filled = _WIDTH * progress.done // progress.files
            rate = progress.bytes / 1e6 / max(now - self._began, 1e-3)
            bar = "#" * filled + "-" * (_WIDTH - filled)
            line = f"[{bar}] {progress.done}/{progress.files} files, {progress.bytes / 1e6:.0f} MB, {rate:.0f} MB/s"
        columns = shutil.get_terminal_size().columns
        sys.stderr.write("\r\x1b[K" + line[: columns - 1])
        sys.stderr.flush()
        self._drawn = True

    def wipe(self) -> None:
        """Takes the line away, before something else is written."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False
