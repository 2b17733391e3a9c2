"""Seals: who vouches for a file.

Keys and a file in, seals and what they say out. A seal is over the manifest, the stream that the manifest is of and the
seals before it, so it fits one file, and none before it can be taken away. It lends trust only to the names in that
manifest, only where the reader's own key or one he trusts made it, and only to a stream that was compared with its
digest.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from torshi import _native
from torshi._errors import MalformedError, SealError
from torshi._keys import Key, OpenFolderError, find_key, keys, local_key

__all__ = [
    "KeyChoice",
    "Seal",
    "chosen_keys",
    "demand_right",
    "exact_names",
    "examine",
    "lent_names",
    "records",
    "sealed",
]

KeyChoice: TypeAlias = str | Key | Iterable[str | Key] | bool | None
"""What `key=` accepts: names, keys, several of them; True for the local key, False for none."""

# Names that mean themselves: none that a policy would read as a pattern.
_NAME = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")
# What no policy can allow, whoever vouches for it.
_DUNDER = re.compile(r"[:.]__\w*__(\.|$)")


@dataclass(frozen=True)
class Seal:
    """A seal of a file.

    Attributes:
        kind: ``local`` or ``ed25519``.
        id: what its key is known by; for a pair the public half.
        name: what the reader calls that key, None for a stranger's.
        state: ``valid`` or ``wrong`` as the key says; ``unknown`` where the reader has not got it.
        trusted: whether it is valid, and by a key whose files may use the classes in their manifests.
    """

    kind: str
    id: str
    name: str | None
    state: str
    trusted: bool

    def __str__(self) -> str:
        by = "a key not known here" if self.name is None else self.name
        trusted = "trusted" if self.trusted else "not trusted"
        return f"{self.kind} {self.id[:16]} by {by}: {self.state}, {trusted}"


Seal.__module__ = "torshi"


def chosen_keys(choice: KeyChoice) -> list[Key]:
    """The keys that `key=` asks to seal with. Without a choice the local key, if there is or can be one.

    Raises:
        SealError: there is no such key, or its secret is not here.
        OSError: the local key was asked for and cannot be made.
    """
    if choice is False:
        return []
    if choice is None:
        try:
            key = local_key()
        except OpenFolderError as error:
            # There is a folder, so that its user will wonder why his own files come back as a stranger's.
            warnings.warn(f"saved without a seal, since no key can be kept: {error}", stacklevel=3)
            return []
        except OSError:
            return []  # nowhere to keep one: the file is sealed by nobody
        return [key] if key is not None else []
    if choice is True:
        choice = "local"
    if isinstance(choice, (str, Key)):
        choice = [choice]
    chosen = [_chosen(item) for item in choice]
    for key in chosen:
        if not key.is_own:
            raise SealError(f"the secret half of {key.name} is not here: only who has it can seal with it")
    return chosen


def _chosen(item: str | Key) -> Key:
    if isinstance(item, Key):
        return item
    if not isinstance(item, str):
        raise TypeError(f"key is the name of a key, not {type(item).__name__}")
    if item == "local":
        key = local_key()
        if key is not None:
            return key
    return find_key(item)


def records(chosen: list[Key], manifest: bytes, before: bytes = b"") -> bytes:
    """The records of a file's seals: those `before`, and one by each key, over the manifest and all records before."""
    made = before
    for key in chosen:
        if key.secret is not None:
            made += _native.make_seal(key.kind, key.secret, manifest, made)
    return made


def examine(stored: _native.StoredFile) -> tuple[Seal, ...]:
    """What the seals of a file say, given the keys of this user. Of the stream they say nothing: `verify` does.

    Raises:
        SealError: a key of the folder is not to be believed.
    """
    if not stored.seals:
        return ()
    known = {(key.kind, key.id): key for key in keys()}
    found = []
    for place, (kind, identity) in enumerate(stored.seals):
        key = known.get((kind, identity))
        checking = key.checking if key is not None else identity if kind == "ed25519" else None
        if checking is None:
            state = "unknown"
        elif stored.is_sealed_by(place, checking):
            state = "valid"
        else:
            state = "wrong"
        trusted = state == "valid" and key is not None and key.trusted
        found.append(Seal(kind, identity.hex(), key.name if key is not None else None, state, trusted))
    return tuple(found)


def demand_right(seals: Iterable[Seal]) -> None:
    """Raises if a seal is not over this file.

    Raises:
        SealError: one is wrong.
    """
    for seal in seals:
        if seal.state == "wrong":
            raise SealError(f"the file is not what was sealed: {seal}")


def lent_names(seals: tuple[Seal, ...], stored: _native.StoredFile) -> list[str] | None:
    """The names that a file may use because of its seals; None if nobody the reader trusts has sealed it.

    Raises:
        SealError: a seal is wrong.
    """
    demand_right(seals)
    if not any(seal.trusted for seal in seals):
        return None
    return exact_names(stored.globals)


def exact_names(names: Iterable[str]) -> list[str]:
    """Those names of a manifest that a policy reads as themselves: no patterns, and nothing with uses."""
    return [name for name in names if _NAME.fullmatch(name) and not _DUNDER.search(name)]


def sealed(stored: _native.StoredFile, chosen: list[Key]) -> bytes:
    """The records of a file's seals with those of these keys added; a key that has sealed it already does not again.

    Raises:
        MalformedError: the file has no manifest.
    """
    manifest = stored.manifest
    if manifest is None:
        raise MalformedError("the file has no manifest, which is what a seal is over: save it again")
    there = set(stored.seals)
    return records([key for key in chosen if (key.kind, key.id) not in there], manifest, stored.seal_records)
