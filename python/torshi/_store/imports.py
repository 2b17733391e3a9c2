"""`Store.import_from`: rows of shelve, sqlitedict and diskcache into rows of a store, under a policy.

A pickle is checked as a load would, written anew for today's protocol and sealed for its new place; it is never built,
here or by stock pickle. What the policy refuses is reported and left out. What a pattern alone lets in is refused too:
whether it is what the pattern means could only be seen by importing it, and a seal would lend the name for good.
"""

from __future__ import annotations

import contextlib
import os
import time
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from torshi import _native
from torshi._errors import StoreError, UntrustedError
from torshi._manifest import compose
from torshi._policy import Policy, policy_of
from torshi._store.backend import ABSENT, ANY, Put, Side
from torshi._store.envelope import digest_of
from torshi._store.foreign import KINDS, Item, items_of, kind_of
from torshi._store.keys import DATA, Key, encode
from torshi._store.rows import name_of, tags_of

if TYPE_CHECKING:
    from torshi._limits import Limits
    from torshi._policy import Trust
    from torshi._store.store import Store

__all__ = ["RefusedValue", "StoreImport", "import_into"]

# Rows that are put at once.
_PAGE: Final = 256
# Bytes of a pickle above which a value gets a file of its own, where there are such.
_BESIDE: Final = 1 << 16


@dataclass(frozen=True)
class RefusedValue:
    """A value that was not imported.

    Attributes:
        key: its key, as a person reads it.
        error: the class of the error: ``UntrustedError``, ``MalformedError``, ``LimitError``, ...
        why: what it says.
    """

    key: str
    error: str
    why: str

    def __str__(self) -> str:
        return f"{self.key}: {self.why}"


@dataclass(frozen=True)
class StoreImport:
    """What an import has done; with ``check``, what it would.

    Attributes:
        source: where from.
        kind: ``shelve``, ``sqlitedict`` or ``diskcache``.
        imported: how many values.
        skipped: how many that had expired, or whose key was there already and was to stay.
        refused: those that are not to be loaded, or cannot be read.
    """

    source: str
    kind: str
    imported: int
    skipped: int
    refused: tuple[RefusedValue, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {**asdict(self), "refused": [asdict(one) for one in self.refused]}


for _class in (RefusedValue, StoreImport):
    _class.__module__ = "torshi"


def import_into(
    store: Store[Any],
    source: str | os.PathLike[str],
    kind: str | None,
    *,
    table: str | None,
    trust: Trust,
    limits: Limits | None,
    prefix: tuple[Key, ...],
    replace: bool,
    strict: bool,
    check: bool,
) -> StoreImport:
    """As `Store.import_from`."""
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind is one of {', '.join(map(repr, KINDS))}, not {kind!r}")
    text = os.fsdecode(source)
    chosen = kind or kind_of(text)
    run = _Run(store, trust, limits, prefix, replace, strict, check)
    # All or nothing, where the first refusal ends it; else a page at a time, so that others can write meanwhile.
    with store.transaction() if strict and not check else contextlib.nullcontext():
        for item in items_of(text, chosen, table):
            run.take(item)
        run.write()
    return StoreImport(text, chosen, run.imported, run.skipped, tuple(run.refused))


class _Run:
    """One import under way."""

    def __init__(
        self,
        store: Store[Any],
        trust: Trust,
        limits: Limits | None,
        prefix: tuple[Key, ...],
        replace: bool,
        strict: bool,
        check: bool,
    ) -> None:
        self._store = store
        self._envelope = store._envelope
        self._policy = self._envelope.policy(b"") if trust is None else policy_of(trust)
        self._exact = _without_patterns(self._policy) if self._envelope.is_sealed else None
        self._limits = limits
        self._prefix = prefix
        self._is_replacing = replace
        self._is_strict = strict
        self._is_check = check
        self._page: list[Put] = []
        self.imported = 0
        self.skipped = 0
        self.refused: list[RefusedValue] = []

    def take(self, item: Item) -> None:
        """Imports a row, or notes why not.

        Raises:
            StoreError: the store cannot be written to.
            Exception: what is wrong with the row, if the first such is to end it.
        """
        if item.expires is not None and item.expires <= time.time():
            self.skipped += 1
            return
        try:
            encoded, key = self._key(item)
            stream = self._checked(item.pickle) if item.pickle is not None else None
        except Exception as error:  # whatever is wrong with one row, the others may be right
            self._refuse(item, error)
            return
        if not self._is_replacing and self._store._now().get(encoded) is not None:
            self.skipped += 1
            return
        try:
            self._put(item, encoded, key, stream)
        except StoreError:
            raise
        except Exception as error:
            self._refuse(item, error)

    def _key(self, item: Item) -> tuple[bytes, Key]:
        if item.problem is not None:
            raise item.problem
        if item.key is None:
            raise ValueError("it has no key")
        key = (*self._prefix, item.key) if self._prefix else item.key
        return encode(DATA, key), key

    def _refuse(self, item: Item, error: Exception) -> None:
        if self._is_strict:
            error.add_note(f"in the value of {item.name}, at which the import was to end; nothing was imported")
            raise error
        self.refused.append(RefusedValue(item.name, type(error).__name__, str(error)))

    def _checked(self, data: bytes) -> _native.RewrittenStream:
        """A pickle as it will be stored, if the policy lets it be loaded.

        Raises:
            UntrustedError, MalformedError, LimitError: not so.
        """
        stream = _native.rewrite(data, [])
        _native.check(stream.bytes(), self._policy._inner, self._limits)
        if self._exact is not None:
            for name in self._envelope._listed(stream.names):
                name = _native.renamed(name) or name  # which is what the policy was asked about
                module, _, qualname = name.partition(":")
                if not self._exact.lists(module, qualname):
                    raise UntrustedError(
                        f"{module}.{qualname} is let in by a pattern alone, and nothing is imported here to see what "
                        f'it is: name it, trust=["{name}"]'
                    )
        return stream

    def _put(self, item: Item, encoded: bytes, key: Key, stream: _native.RewrittenStream | None) -> None:
        tags = tags_of(item.tags)
        if self._is_check:
            self.imported += 1
            return
        if stream is None:
            sealed, side = self._envelope.pack(encoded, item.value, tagged=bool(tags))
        else:
            sealed, side = self._sealed(encoded, stream, bool(tags))
        expect = ANY if self._is_replacing else ABSENT
        self._page.append(Put(encoded, sealed, name_of(key), item.expires, tags, expect, side))
        # A side file belongs to the row that is put next; and whether a row was there is asked of each by itself.
        if side is not None or len(self._page) == _PAGE or not self._is_replacing:
            self.write()

    def _sealed(self, encoded: bytes, stream: _native.RewrittenStream, tagged: bool) -> tuple[bytes, Side | None]:
        """The value of a row, and its side file if it is large."""
        envelope, body = self._envelope, stream.bytes()
        listed = envelope._listed(stream.names)
        if len(body) <= _BESIDE or envelope._sides is None or envelope._new_side is None:
            return envelope.wrap(encoded, body, listed, tagged=tagged), None
        told: list[bytes] = []

        def write(descriptor: int) -> None:
            length, digest, buffers, names = stream.write(descriptor)
            manifest = compose(length, digest, buffers, names, None)
            trailer = memoryview(_native.render_trailer("plain", length, manifest, b""))
            while trailer:
                trailer = trailer[os.write(descriptor, trailer) :]
            told.append(manifest)

        side = envelope._new_side(write)
        body = digest_of(told[0]) + side.name.encode("ascii")
        return envelope.wrap(encoded, body, listed, tagged=tagged, beside=True), side

    def write(self) -> None:
        """Puts what is left."""
        page, self._page = self._page, []
        if not page:
            return
        if self._store._now().apply(page):
            self.imported += len(page)
        else:  # one alone, whose key somebody else has put meanwhile
            self.skipped += len(page)


def _without_patterns(policy: Policy) -> _native.Policy | None:
    """What a policy allows by name, beyond the default one; None if it allows everything."""
    if policy.is_unrestricted:
        return None
    exact = _native.Policy.default()
    for name in _names(tomllib.loads(policy._inner.to_toml()).get("allow", ())):
        with contextlib.suppress(ValueError):
            exact = exact.allow(name)
    return exact


def _names(entries: Any) -> Iterator[str]:
    for entry in entries:
        name = entry.get("name") if isinstance(entry, dict) else entry
        if isinstance(name, str) and "*" not in name:
            yield name
