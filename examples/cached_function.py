"""A slow function whose results are kept on disk: shared by threads, found again by the next run of the program."""

from __future__ import annotations

import atexit
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torshi

FOLDER = tempfile.TemporaryDirectory()
atexit.register(FOLDER.cleanup)
STORE = torshi.Store(Path(FOLDER.name) / "results.db")
runs = 0


# What the file holds is in the key, its path is not: a changed file is another argument, a moved one is not.
@torshi.cache(store=STORE, ttl=3600, key=lambda path: path.read_bytes())
def summarised(path: Path) -> dict[str, int]:
    global runs
    runs += 1
    numbers = [int(line) for line in path.read_text().splitlines()]
    return {"count": len(numbers), "sum": sum(numbers)}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.txt"
        data.write_text("1\n2\n")
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(summarised, [data] * 100))
        print(f"{len(results)} calls: {results[0]['count']} numbers, computed {runs} time")
        data.write_text("1\n2\n3\n")
        print(f"after a change of the data: {summarised(data)['count']} numbers, computed {runs} times")


if __name__ == "__main__":
    main()
