"""Flask-Caching: cachelib's cache on a store, made as Flask-Caching makes its backends.

Settings of a Flask application in, a `TorshiCache` out; what that does is in `torshi.adapters.cachelib`.

::

    CACHE_TYPE = "torshi.adapters.flask_caching.FlaskCache"
    CACHE_ARGS = ["cache.db"]                             # or ":memory:", or "redis://..."
    CACHE_OPTIONS = {"max_bytes": 256 * 1024**2}          # 1 GiB if absent
    CACHE_DEFAULT_TIMEOUT = 300
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

try:
    from flask_caching.backends.base import BaseCache
except ImportError as error:
    raise ImportError(
        f"torshi.adapters.flask_caching needs Flask-Caching: pip install flask-caching ({error})"
    ) from error

from torshi.adapters.cachelib import TorshiCache

__all__ = ["FlaskCache"]


class FlaskCache(TorshiCache, BaseCache):
    """A cache of Flask-Caching's whose values are in a `torshi.Store`, which it has to itself.

    Args: as of `torshi.adapters.cachelib.TorshiCache`.
    """

    @classmethod
    def factory(cls, app: Any, config: Mapping[str, Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> FlaskCache:
        """The cache of an application.

        Raises:
            ValueError: ``CACHE_ARGS`` does not say where it is.
            TypeError: ``CACHE_OPTIONS`` has something that is no option.
            StoreError: the store cannot be opened.
        """
        if len(args) != 1:
            raise ValueError(f"CACHE_ARGS has one item, the place of the store: a path or URL; not {list(args)!r}")
        return cls(args[0], **kwargs)
