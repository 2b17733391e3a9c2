"""requests-cache: a serializer of responses that loads nothing but plain data.

Responses in, bytes out, for whichever backend requests-cache has. Its converter turns a response into dicts, text,
numbers and bytes, so a pickle that names any class or function is refused before anything is built, and what is no
response, or damaged, counts as absent: requests-cache then asks the server again. Bytes are not sealed here, so whoever
can write to the backend decides what a response says.

::

    from torshi.adapters.requests_cache import serializer

    session = requests_cache.CachedSession("http_cache", serializer=serializer)

The name of the serializer is part of requests-cache's keys, so what another one has stored is asked for again.
"""

from __future__ import annotations

from typing import Any, Final

try:
    from requests_cache import CachedResponse
    from requests_cache.serializers import CattrStage, SerializerPipeline, Stage
except ImportError as error:
    raise ImportError(
        f"torshi.adapters.requests_cache needs requests-cache: pip install requests-cache ({error})"
    ) from error

from torshi._pickler import dumps
from torshi._policy import Policy
from torshi._unpickler import loads

__all__ = ["POLICY", "serializer"]

POLICY: Final = Policy.empty()
"""What a stored response may name: nothing."""


class _Responses(CattrStage):
    """requests-cache's converter, by which plain data that is no response is an error that requests-cache knows."""

    def loads(self, value: Any) -> Any:
        try:
            made = super().loads(value)
        except Exception as error:
            raise ValueError(f"not a response: {error}") from error
        if not isinstance(made, CachedResponse):
            raise ValueError(f"not a response but {type(made).__name__}")
        return made

    def copy(self) -> _Responses:
        made = _Responses(decode_content=self.decode_content)
        made.converter = self.converter
        return made


def _plain(data: bytes) -> Any:
    """The data of a response.

    Raises:
        UntrustedError, MalformedError, LimitError: it is refused, which requests-cache takes for absent.
    """
    return loads(data, trust=POLICY)


serializer: Final = SerializerPipeline([_Responses(), Stage(dumps=dumps, loads=_plain)], name="torshi", is_binary=True)
"""For ``serializer=`` of a session or a backend."""
