"""Writes files of the present format, for all later versions to read: once a format, and never again.

python tests/data/files/make.py v1

The secret half of the pair that seals them is thrown away, so that nobody can make more of them.
"""

from __future__ import annotations

import gzip
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

VALUE = {
    "text": "Ünïcödé 😀",
    "numbers": [0, -1, 2**70, 1.5, float("inf")],
    "nested": [{"a": (1, 2)}, None, True, b"\x00\xff"],
    "long": ["line"] * 300,
}
METADATA = {"run": [1, None, "a7"], "note": "Ü"}
SEALED = {"signed": ["release"], "signed-twice": ["release", "second"]}


def main(folder: Path) -> None:
    """Writes the files."""
    import numpy as np

    import torshi
    from saved_models import Run
    from torshi._keys import new_key

    folder.mkdir()
    os.environ["SOURCE_DATE_EPOCH"] = "1700000000"
    with tempfile.TemporaryDirectory() as secrets:
        os.environ["TORSHI_CONFIG_DIR"] = secrets
        torshi.save(VALUE, folder / "plain.pkl", key=False, metadata=METADATA)
        for way in ("zstd", "lz4", "gzip"):
            torshi.save(VALUE, folder / f"{way}.pkl", key=False, compress=way, metadata=METADATA)
        for name in ("release", "second"):
            (folder / f"{name}.pub").write_text(new_key(name).export() + "\n")
        for name, keys in SEALED.items():
            torshi.save(Run("first", 3, [0.5, 0.25]), folder / f"{name}.pkl", key=keys)
        torshi.save([Run("first", 3, [0.5])] * 2, folder / "signed-zstd.pkl", key="release", compress=True)
        array = np.zeros((1 << 17) + 3)
        array[::4096] = np.arange(33)
        torshi.save({"array": array, "bytes": bytes(1 << 20)}, folder / "mapped.pkl", key=False)
    # Two megabytes of next to nothing: kept packed, and unpacked to be read.
    packed = gzip.compress((folder / "mapped.pkl").read_bytes(), 9, mtime=0)
    (folder / "mapped.pkl.packed").write_bytes(packed)
    (folder / "mapped.pkl").unlink()


if __name__ == "__main__":
    main(HERE / sys.argv[1])
