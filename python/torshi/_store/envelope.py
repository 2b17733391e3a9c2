"""Objects into the values of rows, and back: pickled, sealed with the place they stand at, loaded under a policy.

A value is a head of two bytes (format, flags), a proof if it is sealed, the names that the pickle uses beyond the
default policy, and the pickle; or instead of that, the digest of a side file's manifest, its name, and a proof of its
pickle, which is quicker to compare than digests. The proof is over
all of it, the store's id and the row's key: a value that was forged, changed, or brought from another key or store is
refused before anything of it is read. A sealed value may use the names it lists, and these alone: whoever wrote it had
the reader's own key.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from torshi import _native
from torshi._errors import MalformedError, SealError, StoreError
from torshi._keys import Key as SealingKey
from torshi._keys import keys as all_keys
from torshi._keys import local_key
from torshi._manifest import compose
from torshi._native import dumps_named, loads, seal_row, unseal_row
from torshi._policy import Policy, policy_of
from torshi._seal import chosen_keys, exact_names
from torshi._store.backend import Side
from torshi._store.keys import named
from torshi._typed import validate

if TYPE_CHECKING:
    from torshi._limits import Limits
    from torshi._policy import Trust
    from torshi._seal import KeyChoice
    from torshi._store.sides import SideFiles

__all__ = ["Envelope", "MissingSideError", "secrets_of"]

_FORMAT: Final = 1
_SEALED: Final = 1
_NAMES: Final = 2
_SIDE: Final = 4
_TAGGED: Final = 8
_KNOWN: Final = _SEALED | _NAMES | _SIDE | _TAGGED
_HEAD: Final = 2
_DIGEST: Final = 32
# Where in a body a side file's name ends, the salt of its proof, and the proof; a body may end with the name.
_NAME: Final = _DIGEST + 35
_SALT: Final = _NAME + 16
_PROOF: Final = _SALT + 32

_PLAIN_SEALED: Final = bytes([_FORMAT, _SEALED])

#: What a secret is made into, so that a seal of a row is never a seal of anything else.
_PURPOSE: Final = "torshi 2026-11 rows of a store"


class MissingSideError(StoreError):
    """A row's side file is not there: the row has been replaced since it was read, or somebody took the file away."""


def secrets_of(key: KeyChoice | bytes) -> list[bytes]:
    """What rows are sealed with (the first) and may have been sealed with (all), as `key=` asks; none for False.

    Raises:
        SealError: there is no such key, its secret is not here, or it is not to be believed.
        OSError: there is no local key, and none can be made.
    """
    if isinstance(key, (bytes, bytearray)):
        if len(key) < 16:
            raise ValueError(f"a secret to seal with has 16 bytes or more, not {len(key)}")
        return [_native.derive_key(_PURPOSE, bytes(key))]
    if key is None or key is True or key == "local":
        first = local_key()
        chosen = [first] if first is not None else []
        # The newest seals, but those before it still count.
        chosen += [other for other in all_keys() if other.kind == "local" and other != first and other.trusted]
    else:
        chosen = chosen_keys(key)
    return [_secret(item) for item in chosen]


def _secret(key: SealingKey) -> bytes:
    if key.secret is None:
        raise SealError(f"the secret half of {key.name} is not here, and rows are sealed and read with it")
    return _native.derive_key(_PURPOSE, key.kind.encode() + b":" + key.secret)


def _other(_key: bytes, _value: bytes) -> Any:
    return NotImplemented


class Envelope:
    """Puts objects into values and takes them out again, for one store.

    Args:
        store: its id.
        secrets: of `secrets_of`; none for a store whose rows are not sealed.
        trust, type, limits: what the store was opened with.
        verify: whether arrays that stay in side files are compared with their digests.
        sides: the side files, if there may be any.
        new_side: writes one.
    """

    __slots__ = (
        "_beyond",
        "_lent",
        "_limits",
        "_new_side",
        "_policy",
        "_seal",
        "_secret",
        "_secrets",
        "_sides",
        "_store",
        "_type",
        "_verify",
        "load",
    )

    def __init__(
        self,
        store: bytes,
        secrets: list[bytes],
        *,
        trust: Trust = None,
        type: Any = None,
        limits: Limits | None = None,
        verify: bool = True,
        sides: SideFiles | None = None,
        new_side: Callable[[Callable[[int], object]], Side] | None = None,
    ) -> None:
        self._store = store
        self._secrets = secrets
        self._secret = secrets[0] if secrets else None
        # A sealed row comes from the reader's own key: an annotation then says what is right, not what is safe.
        self._policy = policy_of(trust, None if secrets else type) if trust is not None or not secrets else None
        self._type = type
        self._limits = limits
        self._seal = _native.RowSeal(secrets[0], store, _PLAIN_SEALED) if secrets else None
        # Of most values, what `unpack` gives; of others NotImplemented. Errors say less than those of `unpack`.
        is_plain = self._seal is not None and self._policy is None and type is None and limits is None
        self.load: Callable[[bytes, bytes], Any] = self._seal.load if is_plain else _other  # type: ignore[union-attr]
        self._verify = verify
        self._sides = sides
        self._new_side = new_side
        self._beyond: dict[str, bool] = {}
        self._lent: dict[bytes, Policy] = {}

    @property
    def is_sealed(self) -> bool:
        """Whether rows are sealed."""
        return self._secret is not None

    # Objects into values

    def pack(self, key: bytes, obj: object, *, tagged: bool = False) -> tuple[bytes, Side | None]:
        """The value of a row, and its side file if it has one.

        Raises:
            PicklingError: the object cannot be pickled.
        """
        short = self._sides is not None
        if self._seal is not None and not tagged:
            sealed = self._seal.dump(key, obj, short)
            if isinstance(sealed, bytes):
                return sealed, None
            made = sealed
        else:
            made = dumps_named(obj, short)
        if made is None:
            return self._pack_beside(key, obj, tagged)
        body, names = made
        return self.wrap(key, body, self._listed(names), tagged=tagged), None

    def _pack_beside(self, key: bytes, obj: object, tagged: bool) -> tuple[bytes, Side]:
        assert self._new_side is not None
        said: list[tuple[bytes, list[str], bytes]] = []
        salt = os.urandom(_SALT - _NAME)
        prove = None if self._secret is None else (self._secret, salt)

        def write(descriptor: int) -> None:
            saved, proof = _native.save_stream(obj, descriptor, prove=prove)
            length, digest, buffers, names = saved
            manifest = compose(length, digest, buffers, names, None)
            _write_all(descriptor, _native.render_trailer("plain", length, manifest, b""))
            said.append((manifest, names, b"" if proof is None else salt + proof))

        side = self._new_side(write)
        manifest, names, proof = said[0]
        body = digest_of(manifest) + side.name.encode("ascii") + proof
        return self.wrap(key, body, self._listed(names), tagged=tagged, beside=True), side

    def _listed(self, names: Iterable[str] | None) -> list[str]:
        """Those names that the default policy has not."""
        if names is None:
            return []
        found = []
        for name in names:
            beyond = self._beyond.get(name)
            if beyond is None:
                module, _, qualname = name.partition(":")
                beyond = not _DEFAULT.lists(module, qualname) and exact_names([name]) == [name]
                self._beyond[name] = beyond
            if beyond:
                found.append(name)
        return found

    def wrap(self, key: bytes, body: bytes, names: list[str], *, tagged: bool = False, beside: bool = False) -> bytes:
        """A value of what `unwrap` takes one apart into."""
        if self._secret is None:
            names = []  # nobody vouches for them
        flags = (_NAMES if names else 0) | (_SIDE if beside else 0) | (_TAGGED if tagged else 0)
        if names:
            text = "\n".join(names).encode()
            body = len(text).to_bytes(4, "little") + text + body
        if self._secret is None:
            return bytes([_FORMAT, flags]) + body
        return seal_row(self._secret, self._store, key, bytes([_FORMAT, flags | _SEALED]), body)

    # Values into objects

    def unpack(self, key: bytes, value: bytes, type: Any = None) -> Any:
        """The object of a value that stands at a key.

        `load` is a shorter way, for most values.

        Raises:
            SealError: the value is not sealed for this place.
            MissingSideError: its side file is not there.
            UntrustedError, MalformedError, LimitError, ValidationError: as of `loads`.
        """
        try:
            obj = self._unpack_other(key, value, type)
            expected = self._type if type is None else type
            return obj if expected is None else validate(obj, expected)
        except MissingSideError:
            raise
        except Exception as error:
            if not isinstance(error, SealError):
                error.add_note(f"in the value of {named(key)}")
            raise

    def _unpack_other(self, key: bytes, value: bytes, type: Any) -> Any:
        body, secret = self._opened(key, value)
        body, names, beside, _ = _parts(value, body)
        policy = self.policy(names, type)
        if beside:
            with self.side_of(key, body) as stored:
                # Names are lent to what was compared with its digest, all of it.
                verify = self._verify or bool(names)
                return stored.load(
                    policy._inner,
                    self._limits,
                    True,
                    "ASCII",
                    "strict",
                    None,
                    True,
                    verify,
                    self.is_sealed,
                    proof=_proof_of(secret, body),
                )
        return loads(body, trust=policy, limits=self._limits)

    def unwrap(self, key: bytes, value: bytes) -> tuple[bytes, bytes, bool, bool]:
        """Body, names as they stand in the value, whether the body names a side file, whether the row has tags.

        Raises:
            SealError: the value is not sealed for this place.
            MalformedError: it is none.
        """
        return _parts(value, self._opened(key, value)[0])

    def moved(self, key: bytes, value: bytes, body: bytes, name: str, into: Envelope) -> bytes:
        """The body of a row of another store that names a copy of the side file that a body here names."""
        secret = self._opened(key, value)[1]
        # Who reads it there makes the same proof only by the same secret.
        proof = body[_NAME:] if secret is not None and secret == into._secret else b""
        return body[:_DIGEST] + name.encode("ascii") + proof

    def _opened(self, key: bytes, value: bytes) -> tuple[bytes, bytes | None]:
        """What stands behind the head and the proof, if it may be believed, and the secret that says so."""
        known = len(value) >= _HEAD and value[0] == _FORMAT and value[1] | _KNOWN == _KNOWN
        sealed = known and bool(value[1] & _SEALED)
        if self._secret is None:
            if not known:
                raise MalformedError(f"the value of {named(key)} is none that a store wrote, or a newer torshi's")
            if sealed:
                raise SealError(f"the value of {named(key)} is sealed: open the store with its key, not with key=False")
            if value[1] & _NAMES:
                raise MalformedError(f"the value of {named(key)} lists names, and nobody has sealed it")
            return value[_HEAD:], None
        if sealed:
            for secret in self._secrets:
                body = unseal_row(secret, self._store, key, _HEAD, value)
                if body is not None:
                    return body, secret
            raise SealError(
                f"the value of {named(key)} is not what was sealed for it: it was changed, comes from another key or "
                "store, or was sealed with a key that is not here"
            )
        raise SealError(f"the value of {named(key)} is not sealed, and a sealed store takes no other")

    def policy(self, names: bytes, type: Any = None) -> Policy:
        """What a value with these names may use."""
        if not names:
            if self._policy is None:
                return _DEFAULT_POLICY
            return self._policy if type is None or self.is_sealed else policy_of(self._policy, type)
        found = self._lent.get(names)
        if found is None:
            listed = exact_names(names.decode().split("\n"))
            renamed = [new for new in map(_native.renamed, listed) if new is not None]
            found = (self._policy or _DEFAULT_POLICY).allow(*listed, *renamed)
            if len(self._lent) < 1024:
                self._lent[names] = found
        return found

    def side_name(self, body: bytes) -> str:
        """The side file that a body names."""
        return body[_DIGEST:_NAME].decode("ascii", "replace")

    def side_path(self, body: bytes) -> str:
        """Where the side file is that a body names.

        Raises:
            ValueError: it names none.
        """
        assert self._sides is not None
        return self._sides.path(self.side_name(body))

    def side_of(self, key: bytes, body: bytes) -> _OpenSide:
        """The side file that a body names, opened, and found to be that which was put there.

        Raises:
            MissingSideError: it is not there.
            MalformedError: it is another.
        """
        if self._sides is None:
            raise MalformedError(f"the value of {named(key)} names a side file, and the store has none")
        try:
            path = self._sides.path(self.side_name(body))
        except ValueError:
            raise MalformedError(f"the value of {named(key)} names a side file that can be none") from None
        return _OpenSide(path, body[:_DIGEST], named(key))

    def check(self, key: bytes, value: bytes) -> None:
        """Raises what `unpack` would raise before it builds anything, of a side file too; builds nothing."""
        body, names, beside, _ = self.unwrap(key, value)
        inner = self.policy(names, self._type if not self.is_sealed else None)._inner
        if not beside:
            _native.check(body, inner, self._limits)
            return
        with self.side_of(key, body) as stored:
            stored.verify(self.is_sealed)
            _native.check(stored.pickle(self._limits, self.is_sealed), inner, self._limits)

    def stream(self, key: bytes, value: bytes) -> tuple[bytes, list[str], bool]:
        """The pickle of a value, from wherever it is; its names; whether the row has tags."""
        body, names, beside, tagged = self.unwrap(key, value)
        listed = names.decode().split("\n") if names else []
        if not beside:
            return body, listed, tagged
        with self.side_of(key, body) as stored:
            stored.verify(self.is_sealed)
            return stored.pickle(self._limits, self.is_sealed), listed, tagged


def _parts(value: bytes, body: bytes) -> tuple[bytes, bytes, bool, bool]:
    """What `Envelope.unwrap` gives of a value whose head and proof are known."""
    flags = value[1]
    names = b""
    if flags & _NAMES:
        length = int.from_bytes(body[:4], "little")
        names, body = body[4 : 4 + length], body[4 + length :]
    return body, names, bool(flags & _SIDE), bool(flags & _TAGGED)


def _proof_of(secret: bytes | None, body: bytes) -> tuple[bytes, bytes, bytes] | None:
    """What the pickle of a side file is compared with: secret, salt, proof; None if there is none."""
    if secret is None or len(body) != _PROOF:
        return None
    return secret, body[_NAME:_SALT], body[_SALT:]


class _OpenSide:
    """A side file, open for a block."""

    __slots__ = ("_digest", "_file", "_path", "_whose")

    def __init__(self, path: str, digest: bytes, whose: str) -> None:
        self._path, self._digest, self._whose = path, digest, whose

    def __enter__(self) -> _native.StoredFile:
        try:
            self._file = os.open(self._path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
        except FileNotFoundError:
            raise MissingSideError(f"the side file of {self._whose} is not there: {self._path}") from None
        except OSError as error:
            raise StoreError(f"the side file of {self._whose} cannot be read: {error}") from error
        try:
            stored = _native.StoredFile.open(self._file, os.fstat(self._file).st_size)
            manifest = stored.manifest if stored is not None else None
            if stored is None or manifest is None or digest_of(manifest) != self._digest:
                raise MalformedError(f"the side file of {self._whose} is not the one that was written: {self._path}")
            return stored
        except BaseException:
            os.close(self._file)
            raise

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


def digest_of(manifest: bytes) -> bytes:
    """What a row knows the manifest of its side file by, which in turn has the digest of everything else in it."""
    return hashlib.blake2b(manifest, digest_size=_DIGEST).digest()


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


_DEFAULT: Final = _native.Policy.default()
_DEFAULT_POLICY: Final = Policy.default()
