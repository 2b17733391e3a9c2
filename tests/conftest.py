"""What all tests share: exceptions are pickled as Python pickles them, and keys are those of the tests.

Dask, once anything imports it, has tblib register another way for every exception of the process, which stock pickle
and torshi follow alike. Tests of exceptions would then depend on which tests ran before them.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile

with contextlib.suppress(ImportError):
    import tblib.pickling_support

    tblib.pickling_support.install = lambda *_, **__: None

# Set for child processes too, and before anything is saved: no test touches the keys of whoever runs it.
os.environ["TORSHI_CONFIG_DIR"] = tempfile.mkdtemp(prefix="torshi-test-keys-")
atexit.register(shutil.rmtree, os.environ["TORSHI_CONFIG_DIR"], ignore_errors=True)
# Nor does any leave results in his folder for caches.
os.environ["TORSHI_CACHE_DIR"] = tempfile.mkdtemp(prefix="torshi-test-cache-")
atexit.register(shutil.rmtree, os.environ["TORSHI_CACHE_DIR"], ignore_errors=True)
