"""Limits: how much a load may ask for, as plain data.

The native loader reads the attributes and does the counting. Nothing here measures or enforces.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Bounds of one load; exceeding one raises `torshi.LimitError`. They hold for every policy.

    Attributes:
        memory: bytes the stream may ask for through declared sizes. None, the default, stands for
            64 MiB plus 32 times the input.
        hash_steps: steps of hashing that keys of sets and dictionaries may take beyond 64 a byte of input,
            counted before anything is hashed. Stops tuples nested by the memo, where 100 bytes mean 2**30.
        collisions: keys of one hash value allowed in one dictionary or set. Stops tables made quadratic.
        depth: nesting of values whose hashing or deallocation recurses on the C stack (keys, deque,
            defaultdict, ...). Plain lists, dictionaries and tuples nest without limit.
        expansion: elements the value may unfold to for a reader that does not remember shared containers
            (a printer, a comparison, a JSON writer). Stops a few nested shared lists that mean 10**29.
        stream: bytes of input, or None for no limit.

    Example:
        >>> import torshi
        >>> try:
        ...     torshi.loads(torshi.dumps("x" * 1000), limits=torshi.Limits(stream=100))
        ... except torshi.LimitError as error:
        ...     print(error.limit)
        stream
    """

    memory: int | None = None
    hash_steps: int = 2**26
    collisions: int = 1000
    depth: int = 1000
    expansion: int = 10**12
    stream: int | None = None

    def __post_init__(self) -> None:
        for name in ("memory", "hash_steps", "collisions", "depth", "expansion", "stream"):
            value = getattr(self, name)
            if value is None and name in ("memory", "stream"):
                continue
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"limit {name} must be an int, not {type(value).__name__}")
            if value < 0:
                raise ValueError(f"limit {name} must not be negative, got {value}")


Limits.__module__ = "torshi"
