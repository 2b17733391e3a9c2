"""What all tests share: exceptions are pickled as Python pickles them.

Dask, once anything imports it, has tblib register another way for every exception of the process, which stock pickle
and torshi follow alike. Tests of exceptions would then depend on which tests ran before them.
"""

from __future__ import annotations

import contextlib

with contextlib.suppress(ImportError):
    import tblib.pickling_support

    tblib.pickling_support.install = lambda *_, **__: None
