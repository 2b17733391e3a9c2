"""Keeping an expensive result on disk, and computing it again only when it is not there."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import torshi


def expensive(n: int) -> dict[str, list[int]]:
    print(f"computing for {n} ...")
    return {"primes": [k for k in range(2, n) if all(k % d for d in range(2, int(k**0.5) + 1))]}


def cached(folder: Path, n: int) -> dict[str, list[int]]:
    key = hashlib.sha256(torshi.dumps(("expensive", n), 5)).hexdigest()
    path = folder / f"{key}.pkl"
    try:
        return torshi.loads(path.read_bytes(), dict[str, list[int]])
    except FileNotFoundError:
        pass
    except torshi.UnpicklingError as error:
        # Damaged, or not what it should be: computing it again is all there is to do.
        print(f"ignoring the cached file: {error}")
    result = expensive(n)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(torshi.dumps(result))
    os.replace(fresh, path)
    return result


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(len(cached(folder, 1000)["primes"]), "primes")
        print(len(cached(folder, 1000)["primes"]), "primes, from the cache")
        next(folder.glob("*.pkl")).write_bytes(torshi.dumps({"primes": ["2"]}))
        print(len(cached(folder, 1000)["primes"]), "primes, after someone changed the file")


if __name__ == "__main__":
    main()
