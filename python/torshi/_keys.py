"""Keys: who a user is, and whom he trusts, as files in his configuration folder.

A folder of small JSON files in, keys out. The local key is a secret of this user on this machine, made when it is first
needed; pairs (Ed25519) are for sharing. Secrets are files that nobody else may read, and a file that somebody else may
write is not believed; so none is written where the file system does not keep permissions. Nothing here looks at a
pickle, and no key says what its files may do: `_file` does.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from torshi import _native
from torshi._atomic import replacing
from torshi._errors import SealError

__all__ = [
    "Key",
    "OpenFolderError",
    "config_folder",
    "find_key",
    "import_key",
    "keys",
    "local_key",
    "new_key",
    "remove_key",
    "trust_key",
]

if sys.platform != "win32":
    import fcntl

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@+-]{0,63}")
_KINDS = ("local", "ed25519")
_SHOWN = 16  # hexadecimal digits of an id that are shown, and enough to name a key by


@dataclass(frozen=True)
class Key:
    """A key of a user's folder.

    Attributes:
        name: what the user calls it.
        kind: ``local`` or ``ed25519``.
        id: what seals know it by; for a pair the public half.
        created: when it was made or imported, in UTC.
        trusted: whether files it sealed may use the classes in their manifests.
        secret: the secret half, None where only the public one is here.
    """

    name: str
    kind: str
    id: bytes
    created: str
    trusted: bool
    secret: bytes | None = field(default=None, repr=False)

    @property
    def is_own(self) -> bool:
        """Whether the secret is here, so that its seals can be made here."""
        return self.secret is not None

    @property
    def label(self) -> str:
        """Kind, beginning of the id, and name."""
        return f"{self.kind} {self.id.hex()[:_SHOWN]} ({self.name})"

    @property
    def checking(self) -> bytes | None:
        """What its seals are checked with."""
        return self.secret if self.kind == "local" else self.id

    def export(self, *, secret: bool = False) -> str:
        """One line of text: the public half of a pair, or with `secret` both.

        Raises:
            SealError: it is a local key, which is nobody else's, or the secret is not here.
        """
        if self.kind != "ed25519":
            raise SealError("a local key stays where it is: make a pair to share (torshi keys new NAME)")
        if not secret:
            return f"torshi-ed25519-public:{self.id.hex()} {self.name}"
        if self.secret is None:
            raise SealError(f"the secret half of {self.name} is not here")
        return f"torshi-ed25519-secret:{self.secret.hex()} {self.name}"


def config_folder() -> Path:
    """The folder of the user's configuration: ``TORSHI_CONFIG_DIR``, or where the platform has such things.

    Raises:
        FileNotFoundError: the user has no home.
    """
    override = os.environ.get("TORSHI_CONFIG_DIR")
    if override:
        return Path(override)
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "torshi"
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Application Support" / "torshi"
        return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "torshi"
    except RuntimeError as error:
        raise FileNotFoundError(f"there is no home to keep keys in: {error}") from None


def keys() -> list[Key]:
    """All keys of the folder, the newest first.

    Raises:
        SealError: a file of the folder is no key, or others could have written or read it.
        OSError: the folder cannot be read.
    """
    try:
        folder = config_folder() / "keys"
        names = sorted(name for name in os.listdir(folder) if name.endswith(".json"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    if not names:
        return []
    _demand_own(folder, os.stat(folder), 0o022)
    found = [key for key in (_read(folder / name) for name in names) if key is not None]
    return sorted(found, key=lambda key: key.created, reverse=True)


def _demand_own(path: Path, status: os.stat_result, forbidden: int) -> None:
    """Raises if others may do with a file what they must not."""
    if _belongs_to_another(status):
        raise SealError(f"{path} belongs to another user, and so is not believed")
    if _is_open_to_others(status, forbidden):
        raise SealError(
            f"others may read or write {path}, and so it is not believed: chmod go-rwx {path}; "
            "or where that changes nothing, keep keys in another folder (TORSHI_CONFIG_DIR)"
        )


def _belongs_to_another(status: os.stat_result) -> bool:
    return sys.platform != "win32" and status.st_uid not in (os.geteuid(), 0)


def _is_open_to_others(status: os.stat_result, forbidden: int) -> bool:
    return sys.platform != "win32" and stat.S_IMODE(status.st_mode) & forbidden != 0


class OpenFolderError(PermissionError):
    """A key in that folder would be open to others, and so not be believed when it is read."""


def _demand_kept(folder: Path, status: os.stat_result, forbidden: int) -> None:
    """Raises if others could get at a key that is about to be written, whatever permissions were asked for.

    Raises:
        OpenFolderError: they could: some file systems keep no permissions.
    """
    if _belongs_to_another(status) or _is_open_to_others(status, forbidden):
        text = (
            "others could read or write a key there: chmod go-rwx the folder, or where that changes nothing, as on "
            "file systems without permissions, set TORSHI_CONFIG_DIR to another one"
        )
        raise OpenFolderError(errno.EPERM, text, os.fspath(folder))


def _read(path: Path) -> Key | None:
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            record = json.loads(file.read())
    except FileNotFoundError:
        return None  # removed a moment ago
    except ValueError as error:
        raise SealError(f"{path} is no key: {error}") from None
    try:
        secret = bytes.fromhex(record["secret"]) if "secret" in record else None
        kind, name, created = str(record["kind"]), str(record["name"]), str(record["created"])
        identity, trusted = bytes.fromhex(record["id"]), record["trusted"] is True
        if kind not in _KINDS or (secret is not None and _native.key_id(kind, secret) != identity):
            raise ValueError("id and secret do not belong together")
    except (KeyError, TypeError, ValueError) as error:
        raise SealError(f"{path} is no key: {error}") from None
    _demand_own(path, status, 0o022 if secret is None else 0o077)
    return Key(name, kind, identity, created, trusted, secret)


def _path(key: Key) -> Path:
    return config_folder() / "keys" / f"{key.kind}-{key.id.hex()[:32]}.json"


def _write(key: Key) -> Key:
    folder = config_folder() / "keys"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _demand_kept(folder, os.stat(folder), 0o022)
    record = {
        "kind": key.kind,
        "name": key.name,
        "id": key.id.hex(),
        "created": key.created,
        "trusted": key.trusted,
    }
    if key.secret is not None:
        record["secret"] = key.secret.hex()
    path = _path(key)
    with replacing(path) as descriptor:
        if sys.platform != "win32":
            os.fchmod(descriptor, 0o600)
            _demand_kept(folder, os.fstat(descriptor), 0o077)
        with open(descriptor, "w", encoding="ascii", closefd=False) as file:
            file.write(json.dumps(record, indent=1) + "\n")
    return key


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _demand_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise SealError(f"{name!r} is no name for a key: letters, digits and _.@+- up to 64")


def _made(name: str, kind: str, secret: bytes) -> Key:
    return Key(name, kind, _native.key_id(kind, secret), _now(), True, secret)


def local_key(*, create: bool = True) -> Key | None:
    """The newest local key of the user; made if there is none yet.

    Raises:
        SealError: a key of the folder is not to be believed.
        OSError: it cannot be made; `OpenFolderError` where it would be open to others.
    """
    for key in keys():
        if key.kind == "local":
            return key
    if not create:
        return None
    with _alone():
        # Processes that start together on a new machine shall have one key: another's is a stranger's.
        for key in keys():
            if key.kind == "local":
                return key
        return _write(_made("local", "local", os.urandom(32)))


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """A block that one process at a time is in, where the system has locks of files."""
    if sys.platform == "win32":
        yield
        return
    folder = config_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / "keys.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def new_key(name: str | None = None) -> Key:
    """Makes a pair of that name; without one, a new local key, which seals from now on. The old one still counts.

    Raises:
        SealError: the name is taken, or none.
        OSError: it cannot be written.
    """
    if name is None:
        return _write(_made("local", "local", os.urandom(32)))
    _demand_name(name)
    _demand_free(name)
    return _write(_made(name, "ed25519", os.urandom(32)))


def _demand_free(name: str) -> None:
    if name == "local" or any(key.name == name for key in keys()):
        raise SealError(f"there is a key called {name} already")


def find_key(name: str) -> Key:
    """A key by its name, or by at least eight digits its id begins with.

    Raises:
        SealError: there is none, or more than one.
    """
    found = [key for key in keys() if key.name == name]
    if name == "local":
        found = found[:1]
    if not found and len(name) >= 8:
        found = [key for key in keys() if key.id.hex().startswith(name.lower())]
    if len(found) != 1:
        some = ", ".join(key.name for key in keys()) or "none"
        raise SealError(f"{'no' if not found else 'more than one'} key is called {name}; there are: {some}")
    return found[0]


def import_key(text: str, name: str | None = None) -> Key:
    """Takes up a key that `Key.export` wrote. The public half of someone else's is known, and not trusted yet.

    Args:
        text: the line.
        name: what to call it; the name in the line if absent.

    Raises:
        SealError: the text is no key, or the name is taken.
        OSError: it cannot be written.
    """
    match = re.fullmatch(r"\s*torshi-ed25519-(public|secret):([0-9a-f]{64})(?: (\S+))?\s*", text)
    if match is None:
        raise SealError("the text is no key: torshi keys export writes torshi-ed25519-public:... and a name")
    half, digits, given = match.groups()
    chosen = name or given or digits[:_SHOWN]
    _demand_name(chosen)
    if half == "secret":
        key = _made(chosen, "ed25519", bytes.fromhex(digits))
    else:
        key = Key(chosen, "ed25519", bytes.fromhex(digits), _now(), False)
    for known in keys():
        if known.id == key.id:
            if known.is_own or not key.is_own:
                return known
            return _write(replace(key, name=known.name))
    _demand_free(chosen)
    return _write(key)


def trust_key(name: str, *, trusted: bool = True) -> Key:
    """Says whether files that a key sealed may use the classes in their manifests.

    Raises:
        SealError: there is no such key.
        OSError: it cannot be written.
    """
    return _write(replace(find_key(name), trusted=trusted))


def remove_key(name: str) -> Key:
    """Removes a key from the folder. What it sealed is then sealed by a stranger.

    Raises:
        SealError: there is no such key.
        OSError: it cannot be removed.
    """
    key = find_key(name)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_path(key))
    return key
